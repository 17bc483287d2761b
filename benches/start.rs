//! How long a renter waits for a guest's first instruction, told by its first host call: in a worker that is ready, with and without its jail, at
//! a provider that has run the workload before, and at one that has just been started. And how long a worker takes to start, and its jail to close.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use isobit_job::{DeviceClass, JobSpec, Limits, Profile};
use isobit_sandbox::{Sandbox, TrustedCode, Workload};
use isobit_worker::{CodeFile, FromWorker, ToWorker, Worker, WorkerCommand, sealed};
use support::Guest;
use support::provider::{Provider, Renter, Times};

/// Time for a provider to get a spare worker ready after a job.
const REST: Duration = Duration::from_secs(1);

/// Machine code on disk to first instruction, with engine and device open.
fn worker(criterion: &mut Criterion) {
    let folder = support::folder();
    let code = folder.path().join("code");
    let sandbox = Sandbox::new().unwrap();
    let mut guest = Guest::new(&sandbox, &support::probe("look"));
    fs::write(&code, guest.compiled.code().unwrap()).unwrap();
    let mut group = criterion.benchmark_group("start");
    group.bench_function("worker", |bencher| {
        bencher.iter_custom(|rounds| {
            let run = |_| {
                let start = Instant::now();
                let file = TrustedCode::promise(File::open(&code).unwrap());
                guest.compiled = sandbox.load(&file, guest.compiled.workload()).unwrap();
                guest.run(&[], &[], support::no_sink())[0] - start
            };
            (0..rounds).map(run).sum()
        });
    });
    group.finish();
}

/// The same in a worker's process, which is jailed; that process's start; and what of it the jail takes.
fn jailed(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let component = support::probe("look");
    let workload = Workload::parse(fs::read(&component).unwrap()).unwrap();
    let code = Sandbox::new().unwrap().compile(&workload).unwrap().code().unwrap();
    // Has the device probed, so that no worker has to.
    drop(Provider::start());
    let device = support::selector().to_string();
    let mut args: Vec<OsString> =
        ["worker", "--device", &device, "--spot-checks", "off", "--verdicts"].map(Into::into).to_vec();
    args.push(support::verdicts().into());
    let command = WorkerCommand { program: support::program(), args, groups: None };
    let spec = JobSpec {
        workload: workload.blob(),
        inputs: BTreeMap::new(),
        params: BTreeMap::new(),
        limits: Limits::default(),
        profile: Profile::Native,
        class: DeviceClass::Base,
    };
    let start = async || {
        let begun = Instant::now();
        let worker = Worker::start(&command).await.unwrap();
        assert!(!worker.gaps.iter().any(|gap| gap.required), "{:?}", worker.gaps);
        (worker, begun.elapsed())
    };
    let run = async || {
        let (mut worker, _) = start().await;
        let files = [sealed(workload.bytes()).unwrap(), sealed(&code[..]).unwrap()];
        let (deadline_ms, code, patience_ms, detect_races) = (60_000, CodeFile::Compiled, None, false);
        let begun = Instant::now();
        let job = ToWorker::Start { spec: spec.clone(), deadline_ms, code, patience_ms, detect_races };
        worker.send(&job, &files.each_ref().map(AsFd::as_fd)).await.unwrap();
        loop {
            match worker.receive().await.unwrap().0 {
                FromWorker::Started => {}
                FromWorker::Log { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        let time = begun.elapsed();
        worker.kill().await;
        time
    };
    let mut group = support::slow(criterion, "start");
    group.bench_function("worker-jailed", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| runtime.block_on(run())).sum());
    });
    group.bench_function("worker-process", |bencher| {
        bencher.iter_custom(|rounds| {
            let time = async || {
                let (worker, time) = start().await;
                worker.kill().await;
                time
            };
            (0..rounds).map(|_| runtime.block_on(time())).sum()
        });
    });
    group.bench_function("jail", |bencher| {
        let time = |_| {
            let child = Command::new(std::env::current_exe().unwrap()).env(JAIL, "1").output().unwrap();
            let told = String::from_utf8(child.stdout).unwrap();
            Duration::from_nanos(told.trim().parse().unwrap())
        };
        bencher.iter_custom(|rounds| (0..rounds).map(time).sum());
    });
    group.finish();
}

/// Set in a process that only closes the jail, and says how many nanoseconds that took.
const JAIL: &str = "ISOBIT_BENCH_JAIL";

/// The same as a renter sees it.
fn provider(criterion: &mut Criterion) {
    let renter = Renter::new();
    let submission = renter.prepare(&support::probe("look"), None);
    let mut group = support::slow(criterion, "start");

    let warm = Provider::start();
    renter.submit(&warm, &submission, None);
    let mut at_warm = |name, time: fn(Times) -> Duration| {
        group.bench_function(name, |bencher| {
            let run = |_| {
                std::thread::sleep(REST);
                time(renter.submit(&warm, &submission, None))
            };
            bencher.iter_custom(|rounds| (0..rounds).map(run).sum());
        });
    };
    at_warm("warm-submitted", |times| times.first_line);
    at_warm("warm-accepted", |times| times.first_line - times.accepted);
    drop(warm);

    let at_fresh = || {
        let start = Instant::now();
        let provider = Provider::start();
        let listening = start.elapsed();
        (listening, renter.submit(&provider, &submission, None).first_line)
    };
    group.bench_function("fresh-submitted", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| at_fresh().1).sum());
    });
    group.bench_function("fresh-spawned", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| at_fresh()).map(|(listening, first)| listening + first).sum());
    });
    group.finish();
}

criterion_group!(benches, worker, jailed, provider);

fn main() {
    if std::env::var_os(JAIL).is_none() {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return;
    }
    let begun = Instant::now();
    let gaps = isobit_worker::try_jail();
    assert!(!gaps.iter().any(|gap| gap.required), "{gaps:?}");
    println!("{}", begun.elapsed().as_nanos());
}
