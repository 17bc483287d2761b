//! Workers that were taken over: processes of this test that say what a worker never says. It is the provider's fault, is never signed, and never breaks
//! the renter's connection.

use super::{DeviceSummary, FromWorker, ToWorker};
use crate::{Admission, Ceiling, Config, Provider};
use isobit_job::{
    Blob, Bytes, Cost, DeviceClass, Ended, FaultKind, JobSpec, Limits, LogLevel, NodeAddr, Outcome, Profile, Rules,
    SecretKey, Trap,
};
use isobit_store::{Encoder, hash_file};
use isobit_wire::{BlobHeader, PROTOCOL, RenterSession, ToProvider, ToRenter, encode};
use isobit_worker::{Inbox, receive, send};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

fn device() -> DeviceSummary {
    DeviceSummary {
        name: "none".into(),
        driver: "none".into(),
        backend: "none".into(),
        classes: [DeviceClass::Base].into(),
    }
}

fn honest() -> Ended {
    let rules = isobit_sandbox::rules(Profile::Dp32);
    Ended { rules, outcome: Outcome::Completed, cost: Cost::default(), unread: Default::default() }
}

/// A worker's part in a job: what it sends once it has the job.
fn play(messages: Vec<FromWorker>) {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    // Without a supervisor there is nothing to play: somebody runs all ignored tests.
    if socket.peer_addr().is_err() {
        return;
    }
    let suspicion = Some(suspicion());
    send(
        &socket,
        &FromWorker::Ready { device: device(), code_key: "0".into(), integers_only: None, suspicion, gaps: vec![] },
        &[],
    )
    .unwrap();
    let mut inbox = Inbox::default();
    if let Ok((ToWorker::Start { .. }, _)) = receive::<ToWorker>(&socket, &mut inbox) {
        for message in messages {
            if send(&socket, &message, &[]).is_err() {
                break;
            }
        }
        // The supervisor ends this process.
        std::thread::sleep(Duration::from_secs(60));
    }
    std::process::exit(0);
}

macro_rules! players {
    ($($name:ident: $messages:expr;)*) => {
        $(
            #[test]
            #[ignore = "a process of its own, started by another test"]
            fn $name() {
                play($messages);
            }
        )*
    };
}

players! {
    plays_well: vec![FromWorker::Started, FromWorker::Ended(honest())];
    states_other_rules: vec![
        FromWorker::Started,
        FromWorker::Ended(Ended { rules: Rules::of(Profile::Dp32, 4_000_000_000, 1), ..honest() }),
    ];
    bills_beyond_the_limit: vec![
        FromWorker::Started,
        FromWorker::Ended(Ended {
            outcome: Outcome::Trapped(Trap::Fuel),
            cost: Cost { guest_fuel: isobit_job::Fuel::MAX, ..Cost::default() },
            ..honest()
        }),
    ];
    bills_outputs_that_are_none: vec![
        FromWorker::Started,
        FromWorker::Ended(Ended { cost: Cost { output_bytes: Bytes::mib(1), ..Cost::default() }, ..honest() }),
    ];
    starts_twice: vec![FromWorker::Started, FromWorker::Started, FromWorker::Ended(honest())];
    makes_an_output_without_a_pipe: vec![FromWorker::Started, FromWorker::Output { name: "out".into() }];
    names_an_output_badly: vec![FromWorker::Started, FromWorker::Output { name: "../key".into() }];
    compiles_twice: vec![FromWorker::Compiled, FromWorker::Compiled];
    is_ready_again: vec![FromWorker::Ready { device: device(), code_key: "0".into(), integers_only: None, suspicion: None, gaps: vec![] }];
    restarts_twice: vec![
        FromWorker::Started,
        FromWorker::Restarted { device: device(), reason: "x".repeat(100_000) },
        FromWorker::Restarted { device: device(), reason: String::new() },
    ];
    logs_too_much_at_once: vec![
        FromWorker::Started,
        FromWorker::Log { level: LogLevel::Info, message: "x".repeat(900_000) },
        FromWorker::Progress { fraction: 7.5, message: "x".repeat(900_000) },
        FromWorker::Ended(honest()),
    ];
    suspects_its_device: {
        let again = |number: u32| FromWorker::Suspect { what: format!("word {number} differs, {}", "x".repeat(100_000)) };
        let suspicions = (0..100).map(again);
        [FromWorker::Started].into_iter().chain(suspicions).chain([FromWorker::Ended(honest())]).collect()
    };
    speaks_before_it_starts: vec![FromWorker::Log { level: LogLevel::Info, message: "early".into() }];
}

/// What a worker says before its job of suspicions against its device.
fn suspicion() -> isobit_device::probe::Suspicion {
    let subject = serde_json::json!({
        "name": "none", "backend": "none", "driver": "none", "driver_info": "1", "vendor_id": 0, "device_id": 0,
        "pass_version": 2, "software": "0",
    });
    let what = serde_json::json!({ "check": "a job", "detail": "" });
    serde_json::from_value(serde_json::json!({ "subject": subject, "tier": "A", "what": what })).unwrap()
}

/// What the renter of a job is told last, when this plays the worker. None if the connection was closed instead.
async fn last_word(player: &str) -> Option<ToRenter> {
    let folder = tempfile::tempdir().unwrap();
    last_word_in(folder.path(), player).await
}

async fn last_word_in(folder: &std::path::Path, player: &str) -> Option<ToRenter> {
    last_words(folder, vec![command(player)], 1).await.remove(0)
}

/// Program and arguments of a player.
fn command(player: &str) -> (PathBuf, Vec<OsString>) {
    let name = format!("worker::breach_tests::{player}");
    let args = ["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"].map(Into::into).to_vec();
    (std::env::current_exe().unwrap(), args)
}

/// What the renters of so many jobs, one after the other, are told last by a provider with a device for each of these workers.
async fn last_words(
    folder: &std::path::Path,
    workers: Vec<(PathBuf, Vec<OsString>)>,
    jobs: usize,
) -> Vec<Option<ToRenter>> {
    // Each has a folder of its own: the socket of the one before may still be open, in a process that is being started.
    let data = tempfile::tempdir_in(folder).unwrap();
    let config = Config {
        metrics: None,
        listen: ([127, 0, 0, 1], 0).into(),
        secret: SecretKey::generate(),
        admission: Admission::Open,
        ceiling: Ceiling::default(),
        prices: None,
        data_dir: data.path().to_owned(),
        store_limit: Bytes::mib(64),
        slots: 1,
        waiting: 0,
        verdicts: Some(folder.join("verdicts")),
        workers,
    };
    let provider = Provider::start(config).await.unwrap();
    let address =
        NodeAddr { host: "127.0.0.1".into(), port: provider.local_addr().unwrap().port(), key: provider.key() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    #[allow(clippy::async_yields_async, reason = "what it yields says when to stop: at once")]
    let serving = tokio::spawn(provider.serve(async move {
        drop(stopped.await);
        std::future::ready(())
    }));
    let mut told = Vec::new();
    for _ in 0..jobs {
        told.push(tokio::time::timeout(Duration::from_secs(30), rent(&address, folder)).await.unwrap());
    }
    drop(stop);
    serving.await.unwrap();
    told
}

/// Submits a job whose workload is of no matter, as nobody compiles it.
async fn rent(address: &NodeAddr, folder: &std::path::Path) -> Option<ToRenter> {
    let path = folder.join("workload");
    std::fs::write(&path, "not looked at").unwrap();
    let (workload, outboard) = hash_file(&path).unwrap();
    let encoded: Vec<u8> = Encoder::open(&path, &outboard).unwrap().flat_map(Result::unwrap).collect();
    let workload: Blob = workload;
    let (limits, profile, class) = (Limits::default(), Profile::Dp32, DeviceClass::Base);
    let spec = JobSpec { workload, inputs: Default::default(), params: Default::default(), limits, profile, class };
    let (_endpoint, connection) = isobit_transport::connect(address, &SecretKey::generate()).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let mut session = RenterSession::new();
    let hello = ToProvider::Hello { protocol: PROTOCOL, software: "test".into() };
    for message in [hello, ToProvider::Submit { spec_json: spec.canonical(), deadline_ms: 20_000 }] {
        send.write_all(&session.send(&message).unwrap()).await.unwrap();
    }
    let mut upload = None;
    while let Ok(Some(chunk)) = receive.read_chunk(1 << 16, true).await {
        for message in session.receive(&chunk.bytes).unwrap() {
            if let ToRenter::Missing { .. } = message {
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_all(&encode(&BlobHeader { job: 0, blob: workload }).unwrap()).await.unwrap();
                stream.write_all(&encoded).await.unwrap();
                stream.finish().unwrap();
                upload = Some(stream);
            } else if message.is_last() {
                drop(upload);
                return Some(message);
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_its_word_is_the_providers_fault_and_nothing_is_signed() {
    // A worker that keeps it is believed, so the others fail for what they say.
    let well = last_word("plays_well").await;
    assert!(matches!(well, Some(ToRenter::Finished { .. })), "{well:?}");
    // Long texts are cut, and what is no fraction is none: the job goes on.
    let long = last_word("logs_too_much_at_once").await;
    assert!(matches!(long, Some(ToRenter::Finished { .. })), "{long:?}");
    for player in [
        "states_other_rules",
        "bills_beyond_the_limit",
        "bills_outputs_that_are_none",
        "starts_twice",
        "makes_an_output_without_a_pipe",
        "names_an_output_badly",
        "compiles_twice",
        "is_ready_again",
        "restarts_twice",
        "speaks_before_it_starts",
    ] {
        match last_word(player).await {
            Some(ToRenter::Faulted(fault)) => {
                assert!(matches!(fault.kind, FaultKind::Internal | FaultKind::WorkerDied), "{player}: {fault:?}");
            }
            other => panic!("{player}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspicion_is_noted_by_the_supervisor_and_once_for_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let told = last_word_in(folder.path(), "suspects_its_device").await;
    assert!(matches!(told, Some(ToRenter::Finished { .. })), "{told:?}");
    let files = std::fs::read_dir(folder.path().join("verdicts")).unwrap();
    let texts: Vec<_> = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("word 0 differs") && texts[0].len() < 3000, "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_workers_do_not_start_rests_and_its_jobs_go_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    // As if a device went away after the first worker: the second finds the folder there.
    let (player, args) = command("plays_well");
    let script = ["-c", "mkdir \"$0\" && exec \"$@\""].map(OsString::from).into_iter();
    let once = |mark: &str| {
        let words = [folder.path().join(mark).into_os_string(), player.clone().into_os_string()];
        (PathBuf::from("/bin/sh"), script.clone().chain(words).chain(args.clone()).collect())
    };
    let words = last_words(folder.path(), vec![once("first"), command("plays_well")], 4).await;
    assert!(words.iter().all(|word| matches!(word, Some(ToRenter::Finished { .. }))), "{words:?}");
    // One that is broken from the start is left out.
    let broken = (PathBuf::from("/bin/false"), Vec::new());
    let words = last_words(folder.path(), vec![broken, command("plays_well")], 1).await;
    assert!(matches!(words[0], Some(ToRenter::Finished { .. })), "{words:?}");
    // Where there is no other, the job fails by the provider's fault.
    let words = last_words(folder.path(), vec![once("second")], 2).await;
    assert!(matches!(words[0], Some(ToRenter::Finished { .. })), "{words:?}");
    assert!(matches!(&words[1], Some(ToRenter::Faulted(fault)) if fault.kind == FaultKind::Internal), "{words:?}");
}
