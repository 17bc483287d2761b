//! How long a renter waits for a guest's first instruction, told by its first host call: in a worker that is ready, at
//! a provider that has run the workload before, and at one that has just been started.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::fs::{self, File};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_sandbox::{Sandbox, TrustedCode};
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

criterion_group!(benches, worker, provider);
criterion_main!(benches);
