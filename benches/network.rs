//! 1 GiB from a renter to a provider on loopback, and back, against a bare quinn stream with the same transport
//! settings. A job's bytes are read from a file, hashed, checked and stored on the way; quinn's come from memory and
//! are dropped.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use isobit_job::{NodeAddr, SecretKey};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use support::provider::{Provider, Renter};
use support::{Contender, MIB, time};
use tokio::runtime::Runtime;

const SIZE: usize = 1024 * MIB;

/// What the sender hands to quinn at once, as the renter does.
const PIECE: usize = MIB / 4;

fn network(criterion: &mut Criterion) {
    let folder = support::folder();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    support::file(&input, SIZE);
    let renter = Renter::new();
    let provider = Provider::start();
    let quinn = Quinn::start(&input);

    let (look, stream) = (support::probe("look"), support::guest("stream"));
    let submit = |workload: &Path, output: Option<&Path>| {
        renew(&input);
        time(|| renter.submit(&provider, &renter.prepare(workload, Some(&input)), output))
    };
    let submit_hashed = || {
        renew(&input);
        let job = renter.prepare(&look, Some(&input));
        time(|| renter.submit(&provider, &job, None))
    };
    let upload: Vec<Contender<'_>> = vec![
        ("submit", Box::new(|| submit(&look, None))),
        ("submit-hashed", Box::new(submit_hashed)),
        ("quinn", Box::new(|| time(|| quinn.send(false)))),
    ];
    support::compare(criterion, "upload", 10, upload);
    let both: Vec<Contender<'_>> = vec![
        ("submit", Box::new(|| submit(&stream, Some(&output)))),
        ("quinn", Box::new(|| time(|| quinn.send(true)))),
    ];
    support::compare(criterion, "stream", 10, both);
}

/// Makes the input one that no provider has seen.
fn renew(input: &Path) {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    File::options().write(true).open(input).unwrap().write_all_at(&now.to_le_bytes(), 0).unwrap();
}

/// A stream between two endpoints, each with a runtime of its own, as two processes would have.
struct Quinn {
    runtime: Runtime,
    _server: Runtime,
    _endpoint: Endpoint,
    connection: Connection,
    data: Bytes,
}

impl Quinn {
    fn start(file: &Path) -> Self {
        let (runtime, server) = (Runtime::new().unwrap(), Runtime::new().unwrap());
        let (ours, theirs) = (SecretKey::generate(), SecretKey::generate());
        let listening = {
            let _entered = server.enter();
            isobit_transport::listen(([127, 0, 0, 1], 0).into(), &theirs).unwrap()
        };
        let addr =
            NodeAddr { host: "127.0.0.1".into(), port: listening.local_addr().unwrap().port(), key: theirs.public() };
        let data = Bytes::from(fs::read(file).unwrap());
        server.spawn(serve(listening, data.clone()));
        let (endpoint, connection) = runtime.block_on(isobit_transport::connect(&addr, &ours)).unwrap();
        Self { runtime, _server: server, _endpoint: endpoint, connection, data }
    }

    /// Sends all, and gets a byte or all of it back.
    fn send(&self, back: bool) {
        self.runtime.block_on(async {
            let (mut send, mut receive) = self.connection.open_bi().await.unwrap();
            send.write_all(&[u8::from(back)]).await.unwrap();
            write(&mut send, &self.data).await;
            let expected = if back { SIZE } else { 1 };
            assert_eq!(drain(&mut receive).await, expected);
        });
    }
}

async fn serve(endpoint: Endpoint, data: Bytes) {
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let mut back = [0];
        receive.read_exact(&mut back).await.unwrap();
        drain(&mut receive).await;
        let answer = if back == [0] { data.slice(..1) } else { data.clone() };
        write(&mut send, &answer).await;
    }
}

async fn write(stream: &mut SendStream, data: &Bytes) {
    for start in (0..data.len()).step_by(PIECE) {
        stream.write_chunk(data.slice(start..data.len().min(start + PIECE))).await.unwrap();
    }
    stream.finish().unwrap();
}

async fn drain(stream: &mut RecvStream) -> usize {
    let mut pieces = vec![Bytes::new(); 32];
    let mut length = 0;
    while let Some(count) = stream.read_chunks(&mut pieces).await.unwrap() {
        length += pieces[..count].iter().map(Bytes::len).sum::<usize>();
    }
    length
}

criterion_group!(benches, network);
criterion_main!(benches);
