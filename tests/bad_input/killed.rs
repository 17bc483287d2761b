//! Who is killed without a word, at each state of a job: the worker, the supervisor, the renter. States are told from messages and files.

use std::time::Duration;

use isobit_job::{Envelope, FaultKind, Hash, Outcome, Receipt};
use isobit_transport::read_header;
use isobit_wire::{OutputHeader, ToRenter, encode};
use quinn::{RecvStream, SendStream};
use rustix::process::Signal;

use super::Site;
use super::client::{Client, spec};
use super::wire::Fresh;
use crate::support::{Provider, eventually, has_ended, signal_to};

const MINUTE: Duration = Duration::from_secs(60);

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Half of a blob has arrived.
    Uploading,
    /// Another job runs.
    Queued,
    /// It has its turn; its worker starts or compiles.
    Starting,
    Running,
    /// Half of an output has been sent.
    Streaming,
    /// All of it has, and the receipt may be on its way.
    Delivered,
    /// The renter has the receipt.
    Receipted,
}

const ALL: [State; 7] = [
    State::Uploading,
    State::Queued,
    State::Starting,
    State::Running,
    State::Streaming,
    State::Delivered,
    State::Receipted,
];

/// A job that has come so far, and what it holds.
struct Job {
    client: Client,
    fresh: Fresh,
    /// What is left to send of its input.
    upload: Option<(SendStream, Vec<u8>)>,
    _output: Option<RecvStream>,
    /// The job that is before it.
    first: Option<Client>,
    receipt: Option<Receipt>,
}

impl State {
    /// Submits a job and waits until it has come so far.
    async fn reach(self, provider: &Provider) -> Job {
        let fresh = Fresh::doing(match self {
            State::Running => "spin",
            State::Streaming => "half-an-output",
            _ => "behave",
        });
        let first = match self {
            State::Queued => Some(spinning(provider).await),
            _ => None,
        };
        let (mut client, header, bytes) = fresh.submit_to(provider).await;
        let head = encode(&header).unwrap();
        if self == State::Uploading {
            let (now, later) = bytes.split_at(150_000);
            let stream = client.open(&[&head, now].concat()).await;
            eventually("half a blob", || (!provider.temporary_files().is_empty()).then_some(()));
            let upload = Some((stream, later.to_vec()));
            return Job { client, fresh, upload, _output: None, first, receipt: None };
        }
        client.upload(&header, &bytes).await;
        let mut output = None;
        let mut receipt = None;
        match self {
            State::Uploading => {}
            State::Queued => heard(&mut client, |message| matches!(message, ToRenter::Queued { .. })).await,
            State::Starting => heard(&mut client, |message| matches!(message, ToRenter::Accepted { .. })).await,
            State::Running => heard(&mut client, |message| matches!(message, ToRenter::Log { .. })).await,
            State::Streaming => {
                heard(&mut client, |message| matches!(message, ToRenter::Log { .. })).await;
                let mut stream = client.connection.accept_uni().await.unwrap();
                let _: OutputHeader = read_header(&mut stream).await.unwrap();
                stream.read_exact(&mut vec![0; 1 << 19]).await.unwrap();
                output = Some(stream);
            }
            State::Delivered | State::Receipted => {
                heard(&mut client, |message| matches!(message, ToRenter::Output { .. })).await;
                let mut stream = client.connection.accept_uni().await.unwrap();
                let _: OutputHeader = read_header(&mut stream).await.unwrap();
                let bytes = stream.read_to_end(1 << 20).await.unwrap();
                if self == State::Receipted {
                    receipt = Some(verified(&client.last().await, &fresh));
                    assert_eq!(receipt.as_ref().unwrap().claim.outputs.values().next().unwrap().hash, Hash::of(&bytes));
                }
            }
        }
        Job { client, fresh, upload: None, _output: output, first, receipt }
    }
}

async fn heard(client: &mut Client, is_it: impl Fn(&ToRenter) -> bool) {
    client.hear_of(|message| is_it(message).then_some(())).await;
}

/// A job that runs until it is given up.
async fn spinning(provider: &Provider) -> Client {
    let mut client = Client::submit(provider, &spec("spin", &[], &[]), MINUTE).await;
    client.bring_workload().await;
    heard(&mut client, |message| matches!(message, ToRenter::Log { .. })).await;
    client
}

/// The receipt in a last message: it is about this job, and it holds.
fn verified(last: &ToRenter, job: &Fresh) -> Receipt {
    let ToRenter::Finished { envelope_json, .. } = last else { panic!("{last:?}") };
    let receipt = Envelope::from_json(envelope_json).unwrap().verify().unwrap();
    assert_eq!((receipt.spec.id(), &receipt.claim.outcome), (job.spec.id(), &Outcome::Completed));
    receipt
}

/// What has to hold of a provider's folder at any time: a blob is whole, and what its name says.
fn assert_blobs_are_whole(provider: &Provider) {
    let shards = std::fs::read_dir(provider.data().join("store/blobs")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    for path in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_none()) {
        let hash = Hash::of(&std::fs::read(&path).unwrap()).to_string();
        assert_eq!(path.file_name().unwrap().to_str(), Some(hash.as_str()));
    }
}

/// A provider that starts fast, with room for one job that waits.
fn site() -> Site {
    Site::on("cpu", &["--slots", "1", "--waiting", "2"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_is_killed_leaves_nothing_half_done_at_any_state() {
    let mut site = site();
    for state in ALL {
        let mut job = state.reach(&site.provider).await;
        let workers = site.provider.workers();
        site.provider = site.provider.killed_and_started_again().into();
        eventually("the end of its workers", || workers.iter().all(|worker| has_ended(*worker)).then_some(()));
        assert!(site.provider.temporary_files().is_empty(), "{state:?}");
        assert_blobs_are_whole(&site.provider);
        // What had been sent by then holds.
        let last = job.client.last_if_any().await;
        assert!(last.is_none() || state == State::Delivered, "{state:?}: {last:?}");
        let before = job.receipt.or_else(|| last.map(|last| verified(&last, &job.fresh)));

        // The same renter, with the same input: what is there need not be sent again, and the claim is the same.
        let fresh = job.fresh.doing_no_wrong();
        let mut again = Client::submit_as(&site.provider, &job.client.key, &fresh.spec, MINUTE).await;
        let missing = again.missing().await;
        assert_eq!(missing.is_empty(), state != State::Uploading, "{state:?}: {missing:?}");
        fresh.bring(&again, &missing).await;
        let receipt = verified(&again.last().await, &fresh);
        assert!(before.is_none_or(|before| before.claim == receipt.claim), "{state:?}");
    }
    site.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_costs_its_job_and_no_other_at_any_state() {
    let site = site();
    for state in ALL {
        let mut job = state.reach(&site.provider).await;
        eventually("a worker", || (!site.provider.workers().is_empty()).then_some(()));
        for worker in site.provider.workers() {
            signal_to(worker, Signal::KILL);
        }
        if let Some((mut stream, rest)) = job.upload.take() {
            stream.write_all(&rest).await.unwrap();
            stream.finish().unwrap();
        }
        let died = |last: &ToRenter| matches!(last, ToRenter::Faulted(fault) if fault.kind == FaultKind::WorkerDied);
        if let Some(mut first) = job.first.take() {
            let last = first.last().await;
            assert!(died(&last), "{last:?}");
        }
        match state {
            State::Receipted => {}
            State::Uploading | State::Queued => drop(verified(&job.client.last().await, &job.fresh)),
            State::Running | State::Streaming => {
                let last = job.client.last().await;
                assert!(died(&last), "{state:?}: {last:?}");
            }
            // It may not have begun, and another worker took the job; or it had nothing more to say.
            State::Starting | State::Delivered => {
                let last = job.client.last().await;
                let faulted = matches!(&last, ToRenter::Faulted(fault) if fault.kind == FaultKind::Internal);
                assert!(died(&last) || faulted || verified(&last, &job.fresh).claim.cost.output_bytes.get() > 0);
            }
        }
        drop(job);
        site.provider.settles();
    }
    assert_blobs_are_whole(&site.provider);
    site.assert_unharmed();
}

/// Has renters leave at each state, one after the other.
fn assert_renters_may_leave(leave: impl Fn(tokio::runtime::Runtime, Vec<Client>)) {
    let site = site();
    for state in ALL {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let job = runtime.block_on(state.reach(&site.provider));
        let busy = site.provider.workers();
        leave(runtime, [job.client].into_iter().chain(job.first).collect());
        if matches!(state, State::Running | State::Streaming) {
            eventually("the end of its worker", || busy.iter().all(|worker| has_ended(*worker)).then_some(()));
        }
        site.provider.settles();
    }
    assert_blobs_are_whole(&site.provider);
    site.assert_unharmed();
}

#[test]
fn a_renter_that_leaves_at_any_state_leaves_nothing_behind() {
    assert_renters_may_leave(|runtime, clients| {
        for client in clients {
            client.connection.close(0_u32.into(), b"");
            runtime.block_on(client.endpoint.wait_idle());
        }
    });
}

#[test]
#[ignore = "long: silence counts as gone after 15 s"]
fn a_renter_that_vanishes_without_a_word_at_any_state_leaves_nothing_behind() {
    assert_renters_may_leave(|runtime, clients| {
        // From here on nothing of it runs: no packet is sent, and none is answered.
        runtime.shutdown_background();
        drop(clients);
    });
}
