//! What tests of the whole share: the binary, built guests, drivers, a photograph, providers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(dead_code, reason = "no test file uses all of it")]

#[path = "../../xtask/src/data.rs"]
pub mod data;
#[path = "../../xtask/src/drivers.rs"]
mod drivers;
mod process;
mod provider;
mod seen;

#[allow(unused_imports, reason = "no test file uses all of it")]
#[cfg(target_os = "linux")]
pub use process::without;
#[allow(unused_imports, reason = "no test file uses all of it")]
pub use process::{Ended, Running, children, eventually, has_ended, signal_to, stats, worker_of};
#[allow(unused_imports, reason = "no test file uses all of it")]
pub use provider::Provider;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The command `isobit`, with no key of its user's.
pub fn isobit() -> Command {
    let mut isobit = Command::new(env!("CARGO_BIN_EXE_isobit"));
    isobit.env_remove("ISOBIT_KEY").env_remove("ISOBIT_LOG");
    isobit
}

/// A photograph, 512 by 512 pixels in RGB, or none where set-up did not run.
pub fn photograph() -> Option<PathBuf> {
    Some(drivers::photograph()).filter(|path| path.is_file())
}

/// The files of a data set, which `cargo xtask test` has fetched.
pub fn data_files(set: &data::DataSet) -> Vec<PathBuf> {
    assert!(set.is_here(), "no {}: run `cargo xtask data {}`", set.what, set.name);
    set.paths()
}

/// Says that a test, or a part of one, cannot run here. `cargo xtask test` counts these lines.
pub fn skip(reason: &str) {
    println!("SKIP: {reason}");
}

/// A device that can run kernels.
#[derive(Clone, Debug)]
pub struct TestDevice {
    /// What `--device` takes.
    pub index: String,
    /// What people call it.
    pub name: String,
}

/// Every device of this machine that can run kernels; on any machine, set-up sees to lavapipe.
pub fn devices() -> Vec<TestDevice> {
    let output = isobit().args(["devices", "--json"]).output().unwrap();
    let found = json(&output)["devices"].as_array().unwrap().clone();
    let usable = found.iter().filter(|device| device["missing"].as_array().unwrap().is_empty());
    let devices: Vec<TestDevice> = usable
        .map(|device| TestDevice {
            index: device["index"].to_string(),
            name: device["name"].as_str().unwrap().to_owned(),
        })
        .collect();
    let is_there = |name: &str| devices.iter().any(|device| device.name.contains(name));
    assert!(is_there("isobit CPU device"), "the CPU device is missing");
    assert!(is_there("llvmpipe"), "lavapipe is missing: run `cargo xtask setup`");
    seen::expect_drivers(devices.iter().map(|device| device.name.as_str()));
    devices
}

/// The component of the workload in `guest-examples/NAME`, built at most once per test run: once per process, and
/// by one process at a time.
pub fn guest(name: &str) -> PathBuf {
    built(&format!("guest-examples/{name}"), name)
}

/// The component of the guest in `tests/guests/NAME`, built as [`guest`] does.
pub fn test_guest(name: &str) -> PathBuf {
    built(&format!("tests/guests/{name}"), &format!("test-{name}"))
}

fn built(folder: &str, name: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, Arc<OnceLock<PathBuf>>>>> = Mutex::new(None);
    let once = {
        let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(built.get_or_insert_default().entry(name.to_owned()).or_default())
    };
    once.get_or_init(|| build(&repository().join(folder), name)).clone()
}

/// Builds the crate in `dir` to `target/guests/NAME.wasm`.
pub fn build(dir: &Path, name: &str) -> PathBuf {
    build_with(dir, name, &[])
}

/// As [`build`], with further arguments. Cargo knows what is fresh; the lock keeps a second process from reading half of
/// what a first one writes, and from building the standard library twice.
pub fn build_with(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let folder = target_dir().join("guests");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let component = folder.join(format!("{name}.wasm"));
    let output = isobit()
        .arg("build")
        .arg(dir)
        .arg("-o")
        .arg(&component)
        .args(args)
        .env("CARGO_TARGET_DIR", target_dir())
        .output()
        .unwrap();
    if !output.status.success() {
        // Through the test's own capture, unlike an inherited stderr.
        std::io::stderr().write_all(&output.stderr).unwrap();
        panic!("cannot build {}: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
    }
    component
}

/// Cargo's target folder of this very build. Guests go to a profile folder of their own in it, so the standard library is
/// built once for all of them, and no outer cargo holds its lock.
pub fn target_dir() -> PathBuf {
    // target/PROFILE/isobit
    let binary = Path::new(env!("CARGO_BIN_EXE_isobit"));
    binary.parent().and_then(Path::parent).unwrap().to_owned()
}

/// Parses what a command printed on stdout.
pub fn json(output: &std::process::Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}
