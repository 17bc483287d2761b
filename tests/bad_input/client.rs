//! A renter written by hand over the real protocol, which can be told to break it at any point.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use isobit_job::{Blob, Hash, JobSpec, Limits, NodeAddr, Profile, SecretKey};
use isobit_renter::Submission;
use isobit_store::{Encoder, hash_file};
use isobit_transport::{connect, connect_through, open};
use isobit_wire::{BlobHeader, PROTOCOL, RenterSession, ToProvider, ToRenter, encode};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};

use super::misbehave;
use crate::support::Provider;

/// As long as anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection with one control stream.
pub struct Client {
    pub endpoint: Endpoint,
    pub key: SecretKey,
    pub connection: Connection,
    pub send: SendStream,
    receive: RecvStream,
    session: RenterSession,
    pending: VecDeque<ToRenter>,
}

impl Client {
    /// Connects, and opens a control stream on which nothing is said yet.
    pub async fn connect(provider: &Provider) -> Client {
        Client::connect_as(provider, &SecretKey::generate()).await
    }

    async fn connect_as(provider: &Provider, key: &SecretKey) -> Client {
        let address: NodeAddr = provider.address.parse().unwrap();
        let (endpoint, connection) = connect(&address, key).await.unwrap();
        Client::through(endpoint, connection, key).await
    }

    async fn through(endpoint: Endpoint, connection: Connection, key: &SecretKey) -> Client {
        let key = SecretKey::from_bytes(key.to_bytes());
        let (send, receive) = connection.open_bi().await.unwrap();
        let (session, pending) = (RenterSession::new(), VecDeque::new());
        Client { endpoint, key, connection, send, receive, session, pending }
    }

    /// Connects and submits a job.
    pub async fn submit(provider: &Provider, spec: &JobSpec, deadline: Duration) -> Client {
        Client::submit_as(provider, &SecretKey::generate(), spec, deadline).await
    }

    /// The same with a key that may have been seen before.
    pub async fn submit_as(provider: &Provider, key: &SecretKey, spec: &JobSpec, deadline: Duration) -> Client {
        Client::connect_as(provider, key).await.submitting(spec, deadline).await
    }

    /// The same with a new key, from an address of this machine.
    pub async fn submit_from(host: Ipv4Addr, provider: &Provider, spec: &JobSpec, deadline: Duration) -> Client {
        let NodeAddr { port, key, .. } = provider.address.parse().unwrap();
        let (endpoint, own) = (open((host, 0).into()).unwrap(), SecretKey::generate());
        let connection = connect_through(&endpoint, ([127, 0, 0, 1], port).into(), key, &own).await.unwrap();
        Client::through(endpoint, connection, &own).await.submitting(spec, deadline).await
    }

    async fn submitting(mut self, spec: &JobSpec, deadline: Duration) -> Client {
        let client = &mut self;
        client.say(&ToProvider::Hello { protocol: PROTOCOL, software: "by hand".into() }).await;
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap();
        client.say(&ToProvider::Submit { spec_json: spec.canonical(), deadline_ms }).await;
        self
    }

    pub async fn say(&mut self, message: &ToProvider) {
        let frame = self.session.send(message).unwrap();
        self.send.write_all(&frame).await.unwrap();
    }

    /// The provider's next message.
    pub async fn hear(&mut self) -> ToRenter {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return message;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.receive.read_chunk(1 << 16, true)).await.unwrap();
            self.pending.extend(self.session.receive(&chunk.unwrap().unwrap().bytes).unwrap());
        }
    }

    /// The first message that `pick` takes.
    pub async fn hear_of<T>(&mut self, pick: impl Fn(&ToRenter) -> Option<T>) -> T {
        loop {
            let message = self.hear().await;
            if let Some(picked) = pick(&message) {
                return picked;
            }
            assert!(!message.is_last(), "{message:?}");
        }
    }

    /// The blobs that the provider asks for; none if it has them all.
    pub async fn missing(&mut self) -> Vec<Hash> {
        self.hear_of(|message| match message {
            ToRenter::Missing { blobs } => Some(blobs.clone()),
            ToRenter::Accepted { .. } | ToRenter::Queued { .. } => Some(Vec::new()),
            _ => None,
        })
        .await
    }

    /// Sends the workload, which is all that a job without inputs is asked for.
    pub async fn bring_workload(&mut self) {
        let (blob, bytes) = encoded(&misbehave());
        assert_eq!(self.missing().await, [blob.hash]);
        self.upload(&BlobHeader { job: 0, blob }, &bytes).await;
    }

    /// The provider's last message.
    pub async fn last(&mut self) -> ToRenter {
        self.hear_of(|message| message.is_last().then(|| message.clone())).await
    }

    /// A last message that has been sent already, if one has.
    pub async fn last_if_any(&mut self) -> Option<ToRenter> {
        let mut messages = std::mem::take(&mut self.pending);
        let chunk = tokio::time::timeout(Duration::from_secs(1), self.receive.read_chunk(1 << 16, true));
        if let Ok(Ok(Some(chunk))) = chunk.await {
            messages.extend(self.session.receive(&chunk.bytes).unwrap());
        }
        messages.into_iter().find(ToRenter::is_last)
    }

    /// All that the provider still sends on the control stream, as bytes.
    pub async fn rest(&mut self) -> Vec<u8> {
        tokio::time::timeout(PATIENCE, self.receive.read_to_end(1 << 20)).await.unwrap().unwrap()
    }

    /// Opens a stream and sends these bytes. The stream stays open.
    pub async fn open(&self, bytes: &[u8]) -> SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        // The provider may have stopped it already.
        stream.write_all(bytes).await.ok();
        stream
    }

    /// Sends a blob's stream, whole.
    pub async fn upload(&self, header: &BlobHeader, encoded: &[u8]) {
        let mut stream = self.open(&[&encode(header).unwrap(), encoded].concat()).await;
        stream.finish().ok();
    }

    /// Waits until the provider closes the connection, and says why.
    pub async fn closed(&self) -> String {
        match tokio::time::timeout(PATIENCE, self.connection.closed()).await.unwrap() {
            ConnectionError::ApplicationClosed(closed) => {
                assert_eq!(closed.error_code, isobit_transport::CLOSE_PROTOCOL);
                String::from_utf8(closed.reason.to_vec()).unwrap()
            }
            other => panic!("{other}"),
        }
    }
}

/// The spec of a job that makes the guest do this.
pub fn spec(wish: &str, params: &[(&str, &str)], inputs: &[(&str, &Path)]) -> JobSpec {
    let params = [&[("do", wish)], params].concat();
    let params = params.iter().map(|(name, value)| (name.parse().unwrap(), (*value).to_owned())).collect();
    let inputs = inputs.iter().map(|(name, path)| (name.parse().unwrap(), path.to_path_buf())).collect();
    let submission = Submission::new(&misbehave(), &inputs, params, Limits::default(), Profile::default());
    submission.unwrap().spec().clone()
}

/// A file's blob, and the bytes that carry it to a provider.
pub fn encoded(path: &Path) -> (Blob, Vec<u8>) {
    let (blob, outboard) = hash_file(path).unwrap();
    let pieces: Result<Vec<Vec<u8>>, _> = Encoder::open(path, &outboard).unwrap().collect();
    (blob, pieces.unwrap().concat())
}
