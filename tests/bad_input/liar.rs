//! A provider written by hand that lies: what it sends is not what its receipt says.

use std::time::Duration;

use isobit_job::{
    Blob, Bytes, Claim, Cost, Envelope, JobSpec, Millis, NodeAddr, Observed, Outcome, Prices, Receipt, Rules, SecretKey,
};
use isobit_transport::listen;
use isobit_wire::{OutputHeader, PROTOCOL, ProviderSession, ToProvider, ToRenter, encode};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustix::process::Signal;

use super::{Outputs, misbehave};
use crate::support::{Ended, Running, isobit};

/// What its one output holds.
const CONTENT: &[u8] = b"the truth";

/// How it lies.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    None,
    /// The output is not the one in the receipt.
    Output,
    /// The output's stream ends early.
    Truncated,
    /// The receipt is about another job.
    Job,
    /// The receipt is signed by another key.
    Signer,
    /// The receipt's signature is wrong.
    Signature,
    /// The output's stream never comes.
    Silence,
    /// The output has no end.
    Endless,
    /// The log has no end.
    Flood,
    /// There are more outputs than the job may make.
    Many,
    /// The receipt claims an output of which nothing is said.
    Withheld,
    /// It takes the connection and says nothing.
    Mute,
    /// A stream has no header.
    Headless,
    /// It has prices beyond what it has been told is paid.
    Price,
    /// It bills by other prices than it has named.
    Bill,
}

struct Liar {
    key: SecretKey,
    endpoint: Endpoint,
    lie: Lie,
}

impl Liar {
    fn new(lie: Lie) -> Liar {
        let key = SecretKey::generate();
        let endpoint = listen(([127, 0, 0, 1], 0).into(), &key).unwrap();
        Liar { key, endpoint, lie }
    }

    fn address(&self) -> NodeAddr {
        let port = self.endpoint.local_addr().unwrap().port();
        NodeAddr { host: "127.0.0.1".into(), port, key: self.key.public() }
    }

    /// Takes one job, and stays until the renter has left.
    async fn serve(self) {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        if self.lie == Lie::Mute {
            connection.closed().await;
            return;
        }
        let (mut send, mut receive) = connection.accept_bi().await.unwrap();
        let mut session = ProviderSession::new();
        let hello = hear(&mut session, &mut receive).await;
        assert!(matches!(hello, ToProvider::Hello { .. }));
        say(&mut session, &mut send, &ToRenter::Welcome { protocol: PROTOCOL, software: "liar".into() }).await;
        let spec_json = loop {
            if let ToProvider::Submit { spec_json, .. } = hear(&mut session, &mut receive).await {
                break spec_json;
            }
        };
        let spec = JobSpec::from_json(&spec_json).unwrap();
        if self.lie == Lie::Price {
            // The renter leaves when it hears that.
            say(&mut session, &mut send, &ToRenter::Prices(prices())).await;
            connection.closed().await;
            return;
        }
        say(&mut session, &mut send, &ToRenter::Accepted { deadline_ms: 60_000 }).await;
        say(&mut session, &mut send, &ToRenter::Running { device: "none".into() }).await;
        let flood = ToRenter::log(isobit_job::LogLevel::Info, &"flood ".repeat(100));
        while self.lie == Lie::Flood && send.write_all(&session.send(&flood).unwrap()).await.is_ok() {}
        if self.lie != Lie::Withheld {
            say(&mut session, &mut send, &ToRenter::Output { index: 0, name: "out".parse().unwrap() }).await;
        }
        if self.lie == Lie::Many {
            say(&mut session, &mut send, &ToRenter::Output { index: 1, name: "more".parse().unwrap() }).await;
        }
        let _headless = match self.lie {
            Lie::Headless => {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&[40, 0]).await.unwrap();
                Some(stream)
            }
            _ => None,
        };
        self.send_output(&connection).await;
        let envelope_json = self.receipt(spec).to_json().into_bytes();
        let outputs = u32::from(self.lie != Lie::Withheld) + u32::from(self.lie == Lie::Many);
        // The renter may have left.
        send.write_all(&session.send(&ToRenter::Finished { envelope_json, outputs }).unwrap()).await.ok();
        connection.closed().await;
    }

    async fn send_output(&self, connection: &Connection) {
        let content = match self.lie {
            Lie::Silence | Lie::Withheld => return,
            Lie::Output => b"the ruth!",
            Lie::Truncated => &CONTENT[..4],
            _ => CONTENT,
        };
        let mut output = connection.open_uni().await.unwrap();
        output.write_all(&encode(&OutputHeader { job: 0, index: 0 }).unwrap()).await.unwrap();
        output.write_all(content).await.unwrap();
        while self.lie == Lie::Endless && output.write_all(&[0; 1 << 16]).await.is_ok() {}
        output.finish().ok();
    }

    fn receipt(&self, mut spec: JobSpec) -> Envelope {
        if self.lie == Lie::Job {
            spec.params.insert("other".parse().unwrap(), "job".into());
        }
        let other = SecretKey::generate();
        let key = if self.lie == Lie::Signer { &other } else { &self.key };
        let output = Blob::of(CONTENT);
        let input_bytes = spec.inputs.values().map(|input| input.size.get()).sum::<u64>();
        let cost =
            Cost { input_bytes: Bytes::saturating_from(input_bytes), output_bytes: output.size, ..Cost::default() };
        let outputs = [("out".parse().unwrap(), output)].into();
        let (rules, outcome) = (Rules::of(spec.profile, 1, 1), Outcome::Completed);
        let claim = Claim { job: spec.id(), rules, outcome, outputs, cost, trace: None };
        let none = || "none".to_owned();
        let observed = Observed {
            device: none(),
            driver: none(),
            backend: none(),
            software: none(),
            started_unix_ms: Millis::ZERO,
            queue_ms: Millis::ZERO,
            prepare_ms: Millis::ZERO,
            run_ms: Millis::ZERO,
            instead_of: None,
        };
        let bill = (self.lie == Lie::Bill).then(|| prices().bill(&claim.cost));
        let envelope = Receipt { spec, claim, observed, provider: key.public(), bill }.sign(key);
        match self.lie {
            Lie::Signature => {
                let mut json: serde_json::Value = serde_json::from_str(&envelope.to_json()).unwrap();
                let signature = json["signatures"][0]["sig"].as_str().unwrap();
                let first = if signature.starts_with('A') { "B" } else { "A" };
                json["signatures"][0]["sig"] = format!("{first}{}", &signature[1..]).into();
                Envelope::from_json(json.to_string().as_bytes()).unwrap()
            }
            _ => envelope,
        }
    }
}

fn prices() -> Prices {
    "out=1".parse().unwrap()
}

async fn say(session: &mut ProviderSession, send: &mut SendStream, message: &ToRenter) {
    send.write_all(&session.send(message).unwrap()).await.unwrap();
}

async fn hear(session: &mut ProviderSession, receive: &mut RecvStream) -> ToProvider {
    loop {
        let chunk = receive.read_chunk(1 << 16, true).await.unwrap().unwrap();
        if let Some(message) = session.receive(&chunk.bytes).unwrap().pop() {
            return message;
        }
    }
}

/// Starts `isobit submit` to a provider that lies so.
fn submit(lie: Lie, outputs: &Outputs) -> Running {
    let liar = Liar::new(lie);
    let address = liar.address().to_string();
    tokio::spawn(liar.serve());
    let mut submit = isobit();
    submit.arg("submit").arg(misbehave()).args(["--to", &address, "-o", &outputs.out()]);
    submit.args(["--output-bytes", "1MiB", "--outputs", "1", "--budget", "0.0001", "--receipt"]);
    Running::start(submit.arg(outputs.0.path().join("receipt.json")))
}

/// Asserts what `isobit submit` makes of a lie. Nothing is written.
async fn assert_caught(lie: Lie, words: &'static [&'static str]) {
    let outputs = Outputs::new();
    let job = submit(lie, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(|| job.finish()).await.unwrap();
    ended.failed(1, words);
    ended.failed(1, &["hint: do not trust this provider"]);
    outputs.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_not_the_receipts_is_thrown_away() {
    assert_caught(Lie::Output, &["output `out` arrived with hash ", "but the receipt says "]).await;
    assert_caught(Lie::Truncated, &["output `out` arrived with hash ", "but the receipt says "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_about_something_else_is_no_receipt() {
    assert_caught(Lie::Job, &["the receipt is about job ", "expected job "]).await;
    assert_caught(Lie::Signer, &["signed by ", "and provider "]).await;
    assert_caught(Lie::Signature, &["the provider's receipt is no good: "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_holds_to_its_budget_and_to_the_prices_that_it_was_told() {
    assert_caught(Lie::Bill, &["the receipt bills the job by other prices than the provider named"]).await;
    let outputs = Outputs::new();
    let job = submit(Lie::Price, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(|| job.finish()).await.unwrap();
    // A MiB of 1024 at most.
    ended.failed(2, &["the job could cost 0.000976 credits", "its budget is 0.0001 credits", "isobit quote"]);
    outputs.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_tells_the_truth_is_believed() {
    let outputs = Outputs::new();
    let job = submit(Lie::None, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(|| job.finish()).await.unwrap();
    ended.failed(0, &[]);
    assert_eq!(std::fs::read(outputs.0.path().join("out")).unwrap(), CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_works_while_an_output_does_not_come() {
    let outputs = Outputs::new();
    let mut job = submit(Lie::Silence, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(move || {
        job.wait_for("running on none");
        // The provider's last word is on its way; there is no event to wait for.
        std::thread::sleep(Duration::from_millis(300));
        job.signal(Signal::INT);
        job.finish()
    })
    .await
    .unwrap();
    ended.failed(130, &["cancelled"]);
    outputs.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_held_to_the_jobs_limits() {
    assert_caught(Lie::Endless, &["more than the job may make: limit output-bytes, 1048576"]).await;
    assert_caught(Lie::Many, &["more than the job may make: limit outputs, 1"]).await;
    assert_caught(Lie::Withheld, &["the receipt claims 1 outputs, and 0 arrived"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_header_holds_nothing_up() {
    let outputs = Outputs::new();
    let job = submit(Lie::Headless, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(|| job.finish()).await.unwrap();
    ended.failed(0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_nothing_is_left() {
    let outputs = Outputs::new();
    let job = submit(Lie::Mute, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(|| job.finish()).await.unwrap();
    ended.failed(3, &["waited in vain for a first answer"]);
    outputs.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ctrl_c_is_heard_in_a_flood() {
    let outputs = Outputs::new();
    let mut job = submit(Lie::Flood, &outputs);
    let ended: Ended = tokio::task::spawn_blocking(move || {
        job.wait_for("flood flood");
        job.signal(Signal::INT);
        let start = std::time::Instant::now();
        let ended = job.finish();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        ended
    })
    .await
    .unwrap();
    ended.failed(130, &["cancelled"]);
    outputs.assert_empty();
}
