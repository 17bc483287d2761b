//! A small HTTP server for this machine: `/metrics` for Prometheus, `/status` for `isobit status`. It answers on a socket in the data folder, and on a
//! loopback address if asked to. And the client that asks it.
//!
//! Everybody on this machine may connect, so connections are bounded in number, bytes and time.

use crate::metrics;
use crate::shared::Shared;
use crate::status::Status;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// The socket's name in the data folder.
const SOCKET: &str = "status.sock";

/// The most connections at once to each of the two; further ones wait.
const MAX_CONNECTIONS: usize = 16;

/// Time for a request's head.
const HEAD: Duration = Duration::from_secs(5);

/// Time for a connection, which has one request.
const WHOLE: Duration = Duration::from_secs(15);

/// The most bytes of a request's head: the least that hyper takes.
const MAX_HEAD: usize = 8 << 10;

/// Time for a provider to say what it does.
const ANSWER: Duration = Duration::from_secs(5);

/// The most bytes of its answer: 64 Ki jobs would not fit, and no queue is as long.
const MAX_ANSWER: usize = 16 << 20;

/// Why the endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum EndpointError {
    /// What it tells is this machine's business.
    #[error("metrics are served on this machine only, and {0} is an address for others")]
    NotLoopback(SocketAddr),
    #[error("metrics cannot be served on {address}: {error}")]
    Bind { address: SocketAddr, error: std::io::Error },
    #[error("another provider runs with the data folder {}", .0.display())]
    InUse(PathBuf),
}

/// Listens on a loopback address.
///
/// # Errors
/// It is none, or cannot be listened on.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, EndpointError> {
    if !address.ip().to_canonical().is_loopback() {
        return Err(EndpointError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| EndpointError::Bind { address, error })
}

/// The socket in a data folder. Dropping it removes its name.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    folder: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        std::fs::remove_file(self.folder.join(SOCKET)).ok();
    }
}

/// Listens on the socket in a data folder, for this user and its group. None, with a line in the log, if the file system has no sockets.
///
/// # Errors
/// Another provider listens there.
pub(crate) async fn listen_in(folder: &Path) -> Result<Option<Socket>, EndpointError> {
    if connect(folder).await.is_ok() {
        return Err(EndpointError::InUse(folder.to_owned()));
    }
    let open = || {
        std::fs::create_dir_all(folder)?;
        let (_held, path) = short(folder)?;
        // Left over by a provider that was killed.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Socket { listener, folder: folder.to_owned() })
    };
    Ok(open()
        .inspect_err(
            |error| tracing::warn!(target: "isobit::provider", %error, "`isobit status` will not find this provider"),
        )
        .ok())
}

async fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    let (_held, path) = short(folder)?;
    UnixStream::connect(path).await
}

/// A path to the socket that is short, however long the folder's is: the system takes 107 bytes. It holds as long as the folder is held open.
fn short(folder: &Path) -> std::io::Result<(File, PathBuf)> {
    let folder = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, path))
}

/// Answers on both until it is dropped.
pub(crate) async fn serve(shared: Arc<Shared>, socket: Option<Socket>, tcp: Option<TcpListener>) {
    let places = || Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let local = async {
        match socket {
            Some(socket) => accept(&shared, places(), &socket).await,
            None => std::future::pending().await,
        }
    };
    let metrics = async {
        match tcp {
            Some(listener) => accept(&shared, places(), &listener).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(local, metrics);
}

/// What accepts connections.
trait Listen {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Listen for Socket {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

async fn accept(shared: &Arc<Shared>, places: Arc<Semaphore>, listener: &impl Listen) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok(stream) = listener.next().await else {
            // Out of descriptors, most likely: others have to be closed first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let shared = Arc::clone(shared);
        let answer = move |request| std::future::ready(Ok::<_, Infallible>(answer(&shared, &request)));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(MAX_HEAD)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
            // What becomes of it is the other side's business.
            tokio::time::timeout(WHOLE, connection).await.ok();
            drop(place);
        });
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&(Method::GET | Method::HEAD), "/metrics") => (StatusCode::OK, metrics::MEDIA_TYPE, metrics::text(shared)),
        (&(Method::GET | Method::HEAD), "/status") => match serde_json::to_string(&Status::of(shared)) {
            Ok(json) => (StatusCode::OK, "application/json", json),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
        },
        (_, "/metrics" | "/status") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "here are /metrics and /status\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// Where a provider on this machine can be asked what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The address of `serve --metrics`.
    Address(SocketAddr),
    /// The provider's data folder.
    Folder(PathBuf),
}

/// Why a provider did not say what it does.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum AskError {
    /// Nothing listens there.
    #[error("no provider runs {place}")]
    NotRunning { place: Place },
    #[error("the provider {place} cannot be asked: {error}")]
    Io { place: Place, error: std::io::Error },
    #[error("what is {place} does not answer as a provider: {what}")]
    Other { place: Place, what: String },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Address(address) => write!(f, "at {address}"),
            Place::Folder(folder) => write!(f, "with the data folder {}", folder.display()),
        }
    }
}

/// Asks a provider on this machine what it does.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(place: &Place) -> Result<Status, AskError> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning { place: place.clone() }
        }
        _ => AskError::Io { place: place.clone(), error },
    };
    let asked = async {
        match place {
            Place::Address(address) => get(place, TcpStream::connect(address).await.map_err(io)?).await,
            Place::Folder(folder) => get(place, connect(folder).await.map_err(io)?).await,
        }
    };
    let late = || AskError::Other { place: place.clone(), what: format!("no answer within {} s", ANSWER.as_secs()) };
    tokio::time::timeout(ANSWER, asked).await.map_err(|_| late())?
}

async fn get<S>(place: &Place, stream: S) -> Result<Status, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let other = |what: &dyn std::fmt::Display| AskError::Other { place: place.clone(), what: what.to_string() };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| other(&error))?;
    let driver = tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, "localhost").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| other(&error))?;
    let response = sender.send_request(request).await.map_err(|error| other(&error))?;
    if response.status() != StatusCode::OK {
        return Err(other(&response.status()));
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| other(&error))?;
    driver.abort();
    serde_json::from_slice(&body.to_bytes()).map_err(|error| other(&error))
}
