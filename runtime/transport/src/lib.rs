//! QUIC between nodes that are known by their keys: TLS 1.3 with raw public keys (RFC 7250) on both
//! sides, no certificate authority, and windows for 1 Gbit/s at 100 ms. Provider and renter use
//! this crate; their messages are in `isobit-wire`.

mod tls;

use isobit_job::{NodeAddr, NodeKey, SecretKey};
use isobit_wire::{Frame, FrameDecoder, FrameError};
use quinn::congestion::CubicConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, RecvStream,
    ServerConfig, TransportConfig, VarInt,
};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use tls::TlsError;

/// The most bytes in flight on one stream: 1 Gbit/s * 100 ms = 12.5 MB, rounded up to 16 MiB.
const STREAM_WINDOW: u32 = 16 << 20;

/// The most bytes in flight on one connection: two full streams, so outputs need not wait for inputs.
pub const CONNECTION_WINDOW: u32 = 32 << 20;

/// The same for a connection that has been promised nothing: 128 KiB, a quarter of the longest message. A node that listens
/// opens the window when it has asked for something, see [`Windows`].
pub const CLOSED_WINDOW: u32 = 128 << 10;

/// The most connections at once whose window is [`CONNECTION_WINDOW`]; more get [`SHARED_WINDOW`].
pub const MAX_OPEN_WINDOWS: usize = 8;

/// The window of a connection that has been promised something while others have the whole ones.
pub const SHARED_WINDOW: u32 = 512 << 10;

/// Kernel buffers of the UDP socket, each way: 4 MiB holds 2 ms at 16 Gbit/s of loopback.
const SOCKET_BUFFER: usize = 4 << 20;

/// How long a peer may be silent before the connection is closed.
pub const IDLE: Duration = Duration::from_secs(15);

/// How often a keep-alive is sent on an otherwise silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Jobs that one connection may have open at once.
pub const MAX_JOBS: u32 = 16;

/// Bulk streams that one connection may have open at once towards the node that connects.
pub const MAX_BULK: u32 = 64;

/// Bulk streams that a connection may have open at once towards a node that listens: each holds a file there.
pub const MAX_UPLOADS: u32 = 16;

/// Time for name lookup and handshake together.
const CONNECT: Duration = Duration::from_secs(10);

/// The largest packet that path discovery tries. Loopback carries it; ordinary paths end up at 1 452.
const MAX_PACKET: u16 = 16_320;

/// The most bytes sent before the first acknowledgement: 3 * [`MAX_PACKET`], some 34 ordinary packets.
///
/// quinn sends the message that closes a connection only if a packet of the largest size fits the window, and from then on
/// processes no acknowledgements. With its default window of 14 720 bytes, a path discovery probe in flight would hold the
/// message back forever.
const INITIAL_WINDOW: u64 = 3 * (MAX_PACKET as u64);

/// Close code of a connection whose peer broke the protocol.
pub const CLOSE_PROTOCOL: VarInt = VarInt::from_u32(1);

/// Close code of a connection that ends normally.
pub const CLOSE_DONE: VarInt = VarInt::from_u32(0);

/// Closing code of a connection whose key may not submit.
pub const CLOSE_NOT_ALLOWED: VarInt = VarInt::from_u32(3);

/// Closing code of a connection that has to give way to others.
pub const CLOSE_BUSY: VarInt = VarInt::from_u32(4);

/// Reset code of a stream whose content is no longer wanted or no longer available.
pub const RESET_ABANDONED: VarInt = VarInt::from_u32(2);

/// Why an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum BindError {
    #[error("cannot listen on {addr}: {source}")]
    Socket { addr: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a provider could not be reached.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum ConnectError {
    #[error("cannot find the host `{host}`: {reason}")]
    UnknownHost { host: String, reason: String },
    #[error("no answer from {addr} within {} s", CONNECT.as_secs())]
    Unreachable { addr: SocketAddr },
    #[error("{addr} has the key {found}, not {expected}")]
    WrongKey { addr: SocketAddr, expected: NodeKey, found: NodeKey },
    /// The handshake failed in another way.
    #[error("cannot connect to {addr}: {reason}")]
    Handshake { addr: SocketAddr, reason: String },
    /// No local endpoint could be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl ConnectError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownHost { .. } => "check the part before the colon of host:port#key",
            Self::Unreachable { .. } => "is the provider running there, and does a firewall let UDP through?",
            Self::WrongKey { .. } => {
                "ask the provider for its address; if its key has changed, find out why before you trust the new one"
            }
            Self::Handshake { .. } => "the two sides may speak different versions of the protocol",
            Self::Bind(_) => "check that the system allows UDP sockets",
        }
    }
}

/// Opens an endpoint that accepts connections.
///
/// # Errors
/// The address cannot be bound, or the key cannot be used.
pub fn listen(addr: SocketAddr, secret: &SecretKey) -> Result<Endpoint, BindError> {
    let mut config = ServerConfig::with_crypto(Arc::new(tls::server(secret)?));
    let mut transport = transport(MAX_JOBS);
    transport.receive_window(VarInt::from_u32(CLOSED_WINDOW)).max_concurrent_uni_streams(VarInt::from_u32(0));
    config.transport_config(Arc::new(transport));
    endpoint(addr, Some(config))
}

/// Connects to the node at `addr`, and refuses one with another key.
///
/// Keep the endpoint for as long as the connection is used.
///
/// # Errors
/// The host has no address, or the node does not answer, has another key or fails the handshake.
pub async fn connect(addr: &NodeAddr, secret: &SecretKey) -> Result<(Endpoint, Connection), ConnectError> {
    let unknown = |reason: String| ConnectError::UnknownHost { host: addr.host.clone(), reason };
    let lookup = tokio::time::timeout(CONNECT, tokio::net::lookup_host((addr.host.as_str(), addr.port)));
    let mut found =
        lookup.await.map_err(|_| unknown("no answer in time".into()))?.map_err(|error| unknown(error.to_string()))?;
    let socket = found.next().ok_or_else(|| unknown("it has no address".into()))?;
    let local: SocketAddr = if socket.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let endpoint = open(local)?;
    let connection = connect_through(&endpoint, socket, addr.key, secret).await?;
    Ok((endpoint, connection))
}

/// Opens an endpoint that only connects to others, at an address of this machine; port 0 takes any.
///
/// # Errors
/// The address cannot be bound.
pub fn open(local: SocketAddr) -> Result<Endpoint, BindError> {
    endpoint(local, None)
}

/// As [`connect`], through an endpoint that may have other connections, and to an address that is known.
///
/// # Errors
/// The node does not answer, has another key or fails the handshake.
pub async fn connect_through(
    endpoint: &Endpoint,
    socket: SocketAddr,
    expected: NodeKey,
    secret: &SecretKey,
) -> Result<Connection, ConnectError> {
    let (crypto, seen) = tls::client(secret, expected).map_err(BindError::from)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(0)));
    let handshake = |error: &dyn std::fmt::Display| ConnectError::Handshake { addr: socket, reason: error.to_string() };
    // The name is not used: the key is the identity.
    let connecting = endpoint.connect_with(config, socket, "isobit.invalid").map_err(|error| handshake(&error))?;
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Err(_) | Ok(Err(ConnectionError::TimedOut)) => Err(ConnectError::Unreachable { addr: socket }),
        Ok(Err(error)) => match seen.wrong_key() {
            Some(found) => Err(ConnectError::WrongKey { addr: socket, expected, found }),
            None => Err(handshake(&error)),
        },
    }
}

/// The receive windows of a node that listens: the memory that its peers can fill with bytes which nobody has read yet.
///
/// A window has 128 KiB until bulk data has been asked for. It is opened once in the life of a connection: QUIC takes back no credit that it has given. The sum of
/// the open ones is bounded.
#[derive(Debug, Clone)]
pub struct Windows(Arc<Semaphore>);

/// A share of what open windows may take. Drop it with the connection.
#[derive(Debug)]
pub struct OpenWindow {
    _share: Option<OwnedSemaphorePermit>,
}

impl Default for Windows {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_OPEN_WINDOWS)))
    }
}

impl Windows {
    /// Lets the peer send bulk streams, as much at once as there is memory for. Call it once for a connection.
    #[must_use]
    pub fn open(&self, connection: &Connection) -> OpenWindow {
        let share = Arc::clone(&self.0).try_acquire_owned().ok();
        let window = if share.is_some() { CONNECTION_WINDOW } else { SHARED_WINDOW };
        connection.set_receive_window(VarInt::from_u32(window));
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(MAX_UPLOADS));
        OpenWindow { _share: share }
    }
}

/// The key that the peer has proved to hold.
#[must_use]
pub fn peer_key(connection: &Connection) -> Option<NodeKey> {
    let identity = connection.peer_identity()?.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().ok()?;
    tls::key_of(identity.first()?)
}

/// Why the header of a data stream could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum HeaderError {
    #[error("a data stream ended within its header")]
    Broken(#[from] quinn::ReadExactError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads the header that every data stream begins with.
///
/// # Errors
/// The stream ends early, or begins with something else.
pub async fn read_header<H: Frame>(stream: &mut RecvStream) -> Result<H, HeaderError> {
    let mut decoder = FrameDecoder::new();
    loop {
        // A header has some 50 bytes, and the stream is buffered. Reading byte by byte takes nothing that follows the header.
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        if let Some(header) = decoder.decode(&mut byte.as_slice())? {
            return Ok(header);
        }
    }
}

fn endpoint(addr: SocketAddr, server: Option<ServerConfig>) -> Result<Endpoint, BindError> {
    let failed = |source| BindError::Socket { addr, source };
    let socket = UdpSocket::bind(addr).map_err(failed)?;
    // Larger buffers are faster but not needed: the system may refuse them.
    socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER).ok();
    socket2::SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER).ok();
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(MAX_PACKET).map_err(|error| failed(std::io::Error::other(error)))?;
    Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime)).map_err(failed)
}

/// The settings of a connection on which the peer may have `incoming_jobs` control streams open at once.
#[must_use]
fn transport(incoming_jobs: u32) -> TransportConfig {
    let mut config = TransportConfig::default();
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MAX_PACKET);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(incoming_jobs))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_BULK))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .congestion_controller_factory(Arc::new(congestion))
        .mtu_discovery_config(Some(mtu));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Runtime::new().unwrap()
    }

    fn here(endpoint: &Endpoint, key: NodeKey) -> NodeAddr {
        NodeAddr { host: "127.0.0.1".into(), port: endpoint.local_addr().unwrap().port(), key }
    }

    #[test]
    fn two_nodes_know_each_other_by_key() {
        runtime().block_on(async {
            let (server, client) = (SecretKey::generate(), SecretKey::generate());
            let endpoint = listen(([127, 0, 0, 1], 0).into(), &server).unwrap();
            let addr = here(&endpoint, server.public());
            let accepted = tokio::spawn(async move { endpoint.accept().await.unwrap().await.unwrap() });
            let (_endpoint, connection) = connect(&addr, &client).await.unwrap();
            assert_eq!(peer_key(&connection), Some(server.public()));
            assert_eq!(peer_key(&accepted.await.unwrap()), Some(client.public()));
        });
    }

    #[test]
    fn a_connection_to_another_key_is_refused_and_names_both() {
        runtime().block_on(async {
            let (server, other) = (SecretKey::generate(), SecretKey::generate());
            let endpoint = listen(([127, 0, 0, 1], 0).into(), &server).unwrap();
            let addr = here(&endpoint, other.public());
            tokio::spawn(async move { endpoint.accept().await.unwrap().await.ok() });
            let error = connect(&addr, &SecretKey::generate()).await.unwrap_err();
            assert!(matches!(error, ConnectError::WrongKey { expected, found, .. } if expected == other.public() && found == server.public()), "{error}");
        });
    }

    #[test]
    fn an_unknown_host_is_told_apart_from_a_silent_one() {
        runtime().block_on(async {
            let key = SecretKey::generate();
            let addr = NodeAddr { host: "no-such-host.invalid".into(), port: 1, key: key.public() };
            assert!(matches!(connect(&addr, &key).await, Err(ConnectError::UnknownHost { .. })));
        });
    }

    #[test]
    fn why_a_connection_is_closed_arrives_even_in_its_first_moment() {
        runtime().block_on(async {
            let server = SecretKey::generate();
            let endpoint = listen(([127, 0, 0, 1], 0).into(), &server).unwrap();
            let addr = here(&endpoint, server.public());
            tokio::spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    let connection = incoming.await.unwrap();
                    let (_, mut receive) = connection.accept_bi().await.unwrap();
                    receive.read_exact(&mut [0]).await.unwrap();
                    connection.close(CLOSE_PROTOCOL, b"because");
                }
            });
            for _ in 0..20 {
                let (_endpoint, connection) = connect(&addr, &SecretKey::generate()).await.unwrap();
                let (mut send, _receive) = connection.open_bi().await.unwrap();
                send.write_all(b"!").await.unwrap();
                let error = connection.closed().await;
                assert!(
                    matches!(&error, ConnectionError::ApplicationClosed(close) if &close.reason[..] == b"because"),
                    "{error}"
                );
            }
        });
    }
}
