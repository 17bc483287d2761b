//! The corpus against a provider: several keys submit it in random order, while an honest tenant's jobs go on.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use isobit_job::{ClaimId, NodeAddr, SecretKey};
use isobit_renter::{Places, Submission, SubmitError, submit};
use tempfile::TempDir;

use super::corpus::{Entry, Guest};
use super::here::{Came, Place, Ready, spec, workload};
use super::{everything, wrong};
use crate::support::{Provider, devices, eventually, has_ended, stats};

/// Jobs that run at once.
const SLOTS: usize = 2;

/// Keys that submit hostile jobs, one job after the other.
const KEYS: usize = 4;

/// The most that the supervisor's memory may grow while it is attacked.
const GROWTH: u64 = 128 << 20;

/// The honest tenant's job.
fn honest() -> Entry {
    const VIEW: &[(&str, &str)] = &[
        ("width", "64"),
        ("height", "48"),
        ("iterations", "100"),
        ("x", "-0.743643887"),
        ("y", "0.131825904"),
        ("zoom", "40"),
    ];
    Entry::new("an honest job", Guest::Example("mandelbrot", VIEW), super::corpus::Ends::Completes)
        .fuel(100_000_000_000)
        .kernel_fuel(1_000_000_000_000)
}

/// A job that can be submitted, with its files.
struct Filed {
    entry: Entry,
    submission: Arc<Submission>,
    _files: TempDir,
}

impl Filed {
    fn new(entry: Entry) -> Filed {
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = files.path().join(name);
            std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
            path
        };
        let bytes = workload(&entry);
        let (spec, inputs) = spec(&entry, &bytes);
        let inputs = inputs.iter().map(|(name, bytes)| (name.clone(), write(name.as_str(), bytes))).collect();
        let path = write("workload.wasm", &bytes);
        let submission = Submission::new(&path, &inputs, spec.params, spec.limits, spec.profile).unwrap();
        Filed { entry, submission: Arc::new(submission), _files: files }
    }

    /// Submits it with what renters have, but without what their command checks before.
    async fn submit(&self, provider: &NodeAddr, key: &SecretKey) -> Result<Came, String> {
        let places = Arc::new(Places::default());
        let delivered =
            submit(provider, key, &self.submission, self.entry.deadline, &places, |_| (), std::future::pending());
        // Generous: it may have to wait for its turn.
        match tokio::time::timeout(Duration::from_secs(600), delivered).await {
            Ok(Ok(delivered)) => Ok(Came::Ended(Box::new(delivered.receipt.claim), Vec::new())),
            Ok(Err(SubmitError::Rejected(rejection))) => Ok(Came::NotTaken(rejection.to_string())),
            Ok(Err(SubmitError::Faulted(fault))) => Ok(Came::Faulted(fault)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not end".to_owned()),
        }
    }
}

/// SplitMix64: the order of the corpus follows from a number that is printed.
struct Order(u64);

impl Order {
    /// From the variable `HOSTILE_SEED`, or another one each time.
    fn new() -> Order {
        let clock = || u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
        let seed = std::env::var("HOSTILE_SEED").map_or_else(|_| clock(), |seed| seed.parse().unwrap());
        println!("HOSTILE_SEED={seed}");
        Order(seed)
    }

    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.next(at + 1));
        }
    }
}

/// Attacks a provider on this device with these entries, and asserts what has to hold.
fn attack(device: &str, entries: Vec<Entry>, has_driver: bool) {
    let started = Instant::now();
    let mut provider =
        Provider::start(device, &["--slots", &SLOTS.to_string(), "--waiting", "64", "--max-deadline", "2m"]);
    let address: NodeAddr = provider.address.parse().unwrap();
    let honest = honest();
    let expected = match Ready::new(&honest).run(&honest, &Place::cpu()) {
        Came::Ended(claim, _) => claim.id(),
        other => panic!("{other:?}"),
    };
    let honest = Filed::new(honest);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let key = SecretKey::generate();
    let claim = |came: Result<Came, String>| -> ClaimId {
        match came.unwrap() {
            Came::Ended(claim, _) => claim.id(),
            other => panic!("the honest tenant's job: {other:?}"),
        }
    };
    assert_eq!(claim(runtime.block_on(honest.submit(&address, &key))), expected);
    let before = stats(provider.pid()).unwrap();

    let (count, under_way) = (entries.len(), Arc::new(AtomicBool::new(true)));
    let (sender, receiver) = tokio::sync::mpsc::channel::<Entry>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let (failures, honest_jobs) = runtime.block_on(async {
        let attackers: Vec<_> = (0..KEYS)
            .map(|_| {
                let (receiver, address) = (Arc::clone(&receiver), address.clone());
                tokio::spawn(async move {
                    let (key, mut failures) = (SecretKey::generate(), Vec::new());
                    loop {
                        let next = receiver.lock().await.recv().await;
                        let Some(entry) = next else { return failures };
                        let began = Instant::now();
                        let job = tokio::task::spawn_blocking(move || Filed::new(entry)).await.unwrap();
                        let name = job.entry.name;
                        match job.submit(&address, &key).await {
                            Ok(came) => failures
                                .extend(wrong(&job.entry, &came, has_driver).map(|wrong| format!("{name:?}: {wrong}"))),
                            Err(error) => failures.push(format!("{name:?}: {error}")),
                        }
                        println!("{:>6} ms  {name}", began.elapsed().as_millis());
                    }
                })
            })
            .collect();
        let tenant = tokio::spawn({
            let (address, under_way) = (address.clone(), Arc::clone(&under_way));
            async move {
                let mut jobs = Vec::new();
                while under_way.load(Ordering::Relaxed) {
                    jobs.push(honest.submit(&address, &key).await);
                }
                jobs
            }
        });
        for entry in entries {
            sender.send(entry).await.unwrap();
        }
        drop(sender);
        let mut failures = Vec::new();
        for attacker in attackers {
            failures.extend(attacker.await.unwrap());
        }
        under_way.store(false, Ordering::Relaxed);
        (failures, tenant.await.unwrap())
    });
    let honest_count = honest_jobs.len();
    assert!(honest_count > 0);
    for came in honest_jobs {
        assert_eq!(claim(came), expected);
    }
    let after = stats(provider.pid()).unwrap();
    println!(
        "{count} hostile jobs and {honest_count} honest ones in {:?} on {device}; the supervisor took {} KiB before, {} KiB at most",
        started.elapsed(),
        before.memory >> 10,
        after.peak >> 10
    );
    assert!(failures.is_empty(), "{} of {count} entries on {device}:\n{}", failures.len(), failures.join("\n"));
    let grown = after.peak.saturating_sub(before.memory);
    assert!(grown < GROWTH, "the supervisor's memory has grown by {grown} bytes");

    eventually("a provider with no more than spare workers", || (provider.workers().len() <= SLOTS).then_some(()));
    eventually("a store without temporary files", || provider.temporary_files().is_empty().then_some(()));
    let workers = provider.workers();
    provider.stop();
    provider.rest_of_stdout();
    eventually("the end of all workers", || workers.iter().all(|pid| has_ended(*pid)).then_some(()));
}

/// A tenth of the corpus, another one each time.
fn tenth() -> Vec<Entry> {
    let mut order = Order::new();
    let mut entries: Vec<_> = everything().into_iter().filter(|entry| !entry.is_long).collect();
    order.shuffle(&mut entries);
    entries.truncate(entries.len().div_ceil(10));
    entries
}

#[test]
fn an_honest_tenants_jobs_go_on_while_a_provider_is_attacked() {
    attack("cpu", tenth(), false);
}

#[test]
fn an_honest_tenants_jobs_go_on_while_a_provider_with_a_driver_is_attacked() {
    attack("llvmpipe", tenth(), true);
}

#[test]
#[ignore = "long: the whole corpus on every device, some minutes each"]
fn an_honest_tenants_jobs_go_on_while_providers_are_attacked_with_everything() {
    let mut order = Order::new();
    for device in devices() {
        let mut entries = everything();
        order.shuffle(&mut entries);
        attack(&device.index, entries, !device.name.contains("isobit CPU device"));
    }
}
