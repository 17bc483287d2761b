//! What users, guests, renters, providers and networks do wrong. Each has its own clear error and leaves nothing
//! behind: no half-written output, no stuck job, no process, no temporary file.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod crowds;
mod endings;
mod interruptions;
mod kernels;
mod killed;
mod liar;
mod refusals;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use support::{Ended, Provider, devices, eventually, test_guest};
use tempfile::TempDir;

/// The device of these tests.
const DEVICE: &str = "llvmpipe";

/// Flags of a provider that takes one job and lets none wait.
const ONE_JOB: [&str; 4] = ["--slots", "1", "--waiting", "0"];

/// A device on which a kernel can hang. lavapipe leaves every loop after 65 535 turns.
fn device_with_endless_loops() -> Option<String> {
    let device = devices().into_iter().find(|device| !device.name.contains("llvmpipe")).map(|device| device.index);
    if device.is_none() {
        support::skip("no device here on which a kernel can hang");
    }
    device
}

/// The guest that does what it is told to do wrong.
fn misbehave() -> PathBuf {
    test_guest("misbehave")
}

/// A provider for one test at a time, and a folder for outputs.
struct Site {
    provider: Arc<Provider>,
    outputs: Outputs,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Site {
    /// The provider that these tests use one after the other.
    fn shared() -> Site {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Site { provider: Provider::shared(DEVICE), outputs: Outputs::new(), _alone: Some(alone) }
    }

    /// A provider of its own, with these flags.
    fn own(flags: &[&str]) -> Site {
        Site::on(DEVICE, flags)
    }

    /// A provider of its own, on this device and with these flags.
    fn on(device: &str, flags: &[&str]) -> Site {
        Site { provider: Arc::new(Provider::start(device, flags)), outputs: Outputs::new(), _alone: None }
    }

    /// Submits the guest that does this wrong, and waits for its end.
    fn submit(&self, wish: &str, args: &[&str]) -> Ended {
        let mut submit = self.provider.submit(&misbehave());
        submit.args(["-p", &format!("do={wish}"), "-o", &self.outputs.out()]).args(args);
        submit.output().unwrap().into()
    }

    /// As [`Site::submit`], but does not wait.
    fn start(&self, wish: &str, args: &[&str]) -> support::Running {
        let wish = format!("do={wish}");
        let out = self.outputs.out();
        self.provider.start_job(&misbehave(), &[&["-p", &wish, "-o", &out][..], args].concat())
    }

    /// What has to hold after everything that goes wrong.
    #[track_caller]
    fn assert_unharmed(&self) {
        self.outputs.assert_empty();
        self.provider.settles();
        assert_serves(&self.provider);
    }
}

/// A folder in which nothing may be left.
struct Outputs(TempDir);

impl Outputs {
    fn new() -> Outputs {
        Outputs(tempfile::tempdir().unwrap())
    }

    /// The argument that asks for output `out`.
    fn out(&self) -> String {
        format!("out={}", self.0.path().join("out").display())
    }

    /// Neither an output nor a part of one.
    #[track_caller]
    fn assert_empty(&self) {
        let left: Vec<_> = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Submits a job that does nothing wrong, and looks at what comes back.
#[track_caller]
fn assert_serves(provider: &Provider) {
    let outputs = Outputs::new();
    let ended = eventually("a free place", || {
        let mut submit = provider.submit(&misbehave());
        submit.args(["-p", "do=behave", "-o", &outputs.out()]);
        let ended = Ended::from(submit.output().unwrap());
        // The end of a worker can be seen a moment before its place is free.
        (!ended.stdout.contains("the provider is full")).then_some(ended)
    });
    ended.done();
    assert_behaved(&outputs.0.path().join("out"));
    provider.settles();
}

/// Asserts that an output is that of `do=behave`.
#[track_caller]
fn assert_behaved(out: &Path) {
    let expected: Vec<u8> = (0..1000_u32).flat_map(|number| (2 * number).to_le_bytes()).collect();
    assert!(std::fs::read(out).unwrap() == expected);
}
