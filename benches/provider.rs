//! What it costs a provider to run strangers' code: the start of a job with and without the jail, memory for workers and for connections, and how
//! long after its deadline a job ends that would not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_job::{NodeAddr, Profile, SecretKey};
use isobit_transport::{connect_through, open};
use support::provider::{Provider, Renter};
use support::{Contender, children, eventually, figure, stats, worker_of};

/// Time for a provider to get a spare worker ready after a job.
const REST: Duration = Duration::from_millis(300);

/// How many starts are measured: with so many, a hundredth of them is more than one.
const STARTS: usize = 200;

/// Of the jobs that do not end.
const DEADLINE: Duration = Duration::from_secs(10);

/// Without these calls nothing of the jail can be closed but descriptors and what a process may take.
const JAILERS: [libc::c_long; 5] = [
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_unshare,
    libc::SYS_seccomp,
];

/// From a submission to the guest's first instruction, at a provider that has run the workload before.
fn starts(criterion: &mut Criterion) {
    support::device();
    let renter = Renter::new();
    let submission = renter.prepare(&support::probe("look"), None);
    let jailed = Provider::start();
    let free = Provider::start_as(|serve| {
        support::without(serve.arg("--allow-weak-jail"), &JAILERS, libc::ENOSYS);
    });
    assert!(spaces(worker(&jailed)) != spaces(jailed.pid()) && spaces(worker(&free)) == spaces(free.pid()));
    let start = |provider: &Provider| {
        std::thread::sleep(REST);
        renter.submit(provider, &submission, None).first_line
    };
    let contenders: Vec<Contender<'_>> =
        vec![("jailed", Box::new(|| start(&jailed))), ("free", Box::new(|| start(&free)))];
    support::compare(criterion, "warm-start", STARTS, contenders);
}

/// The namespaces of a process and the filters of its system calls, as far as the filter is not this benchmark's.
fn spaces(pid: u32) -> (std::path::PathBuf, bool) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let filters = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")).unwrap();
    let own = u32::from(status.contains("NoNewPrivs:\t1"));
    (fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap(), filters.trim().parse::<u32>().unwrap() > own)
}

/// The provider's only worker, as soon as it waits for a job.
fn worker(provider: &Provider) -> u32 {
    eventually("a worker", || children(provider.pid()).first().copied().map(worker_of))
}

/// What a process takes: what is resident, its share of that where others have the same pages, and what only it has. In bytes.
fn memory(pid: u32) -> [u64; 3] {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let all: BTreeMap<&str, u64> = rollup
        .lines()
        .filter_map(|line| line.strip_suffix(" kB")?.split_once(':'))
        .map(|(name, kib)| (name, kib.trim().parse::<u64>().unwrap() << 10))
        .collect();
    [all["Rss"], all["Pss"], all["Private_Clean"] + all["Private_Dirty"]]
}

fn note(name: &str, pid: u32) {
    let kinds = ["resident", "share", "own"];
    for (kind, bytes) in kinds.into_iter().zip(memory(pid)) {
        figure(&format!("memory/{name}-{kind}"), bytes as f64);
    }
}

/// Of a worker that waits and of workers with a job, and of the supervisor with many connections that say nothing.
fn memories(_: &mut Criterion) {
    let renter = Renter::new();
    // Has the device probed, so that the worker has not.
    drop(Provider::start());
    let provider = Provider::start();
    renter.submit(&provider, &renter.prepare(&support::probe("look"), None), None);
    std::thread::sleep(REST);
    note("idle", worker(&provider));
    let endless = support::probe("endless");
    for place in ["wasm", "kernel"] {
        let job = renter.prepare_with(&endless, &[("where", place)], Profile::Dp32);
        std::thread::sleep(REST);
        let (supervisor, before) = (provider.pid(), worker(&provider));
        let look = move || {
            std::thread::sleep(Duration::from_secs(1));
            assert!(children(supervisor).into_iter().map(worker_of).any(|pid| pid == before));
            note(place, before);
        };
        renter.outlast(&provider, &job, Duration::from_secs(3), look);
    }
    drop(provider);

    let provider = Provider::start();
    renter.submit(&provider, &renter.prepare(&support::probe("look"), None), None);
    let memory = || stats(provider.pid()).unwrap().memory as f64;
    figure("memory/supervisor", memory());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let crowd = runtime.block_on(crowd(provider.addr()));
    figure("memory/supervisor-crowded", memory());
    let open = crowd.iter().flat_map(|(_, idle)| idle).filter(|connection| connection.close_reason().is_none());
    assert_eq!(open.count(), 1000);
    // Dropping a connection takes a runtime.
    runtime.block_on(async move { drop(crowd) });
}

/// A thousand connections, each with a key of its own, from ten addresses: more from one would have to give way.
async fn crowd(addr: &NodeAddr) -> Vec<(quinn::Endpoint, Vec<quinn::Connection>)> {
    let (key, provider) = (addr.key, ([127, 0, 0, 1], addr.port).into());
    let mut crowds = tokio::task::JoinSet::new();
    for host in 1..=10 {
        crowds.spawn(async move {
            let endpoint = open((Ipv4Addr::new(127, 0, 9, host), 0).into()).unwrap();
            let mut idle = Vec::new();
            for _ in 0..100 {
                idle.push(connect_through(&endpoint, provider, key, &SecretKey::generate()).await.unwrap());
            }
            (endpoint, idle)
        });
    }
    crowds.join_all().await
}

/// From when a job's turn has come to its end, which its deadline brings about.
fn deadlines(criterion: &mut Criterion) {
    let (renter, provider, endless) = (Renter::new(), Provider::start(), support::probe("endless"));
    let outlast = |place, profile| {
        let job = renter.prepare_with(&endless, &[("where", place)], profile);
        let (renter, provider) = (&renter, &provider);
        move || {
            std::thread::sleep(REST);
            renter.outlast(provider, &job, DEADLINE, || ())
        }
    };
    let contenders: Vec<Contender<'_>> = vec![
        ("deadline", Box::new(|| DEADLINE)),
        ("wasm", Box::new(outlast("wasm", Profile::Dp32))),
        ("kernel", Box::new(outlast("kernel", Profile::Dp32))),
        ("kernel-native", Box::new(outlast("kernel", Profile::Native))),
    ];
    support::compare(criterion, "deadline", 3, contenders);
}

criterion_group!(benches, starts, memories, deadlines);
criterion_main!(benches);
