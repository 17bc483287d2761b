//! A guest that asks Rust's standard library for all that differs between machines and moments is told the same
//! every time, and is not let out of the sandbox.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{Ended, Provider, devices, isobit};

fn guest() -> PathBuf {
    support::build_with(&support::repository().join("tests/guests/wasi"), "test-wasi", &["--target", "wasm32-wasip1"])
}

/// What a run came to: its claim, what the guest was told, and what it logged.
fn run(device: &str, guest: &Path, greeting: &str) -> (String, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut run = isobit();
    run.arg("run").arg(guest).args(["--json", "--device", device, "-p", &format!("greeting={greeting}")]);
    let ended = Ended::from(run.arg("-o").arg(format!("out={}", out.display())).output().unwrap());
    (ended.done()["claim"].to_string(), fs::read_to_string(out).unwrap(), ended.stderr)
}

#[test]
fn a_wasi_guest_sees_one_world_on_every_run_and_device() {
    let guest = guest();
    let devices = devices();
    let (claim, told, log) = run(&devices[0].index, &guest, "hello");
    for device in &devices {
        let again = run(&device.index, &guest, "hello");
        assert_eq!((&again.0, &again.1), (&claim, &told), "on {}", device.name);
    }
    let provider = Provider::start(&devices[0].index, &[]);
    let there = Ended::from(provider.submit(&guest).args(["-p", "greeting=hello"]).output().unwrap());
    assert_eq!(there.done()["claim"].to_string(), claim);

    assert!(log.contains("[guest]       a line on standard output"), "{log}");
    assert!(log.contains("[guest warn]  a line on standard error"), "{log}");
    let line = |start: &str| told.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert_eq!(line("args"), r#"args ["workload"]"#);
    assert_eq!(line("vars"), r#"vars [("greeting", "hello")]"#);
    // An hour of sleep passes at once, by a clock that moves when it is asked.
    assert_eq!(line("slept"), "slept 3600 s");
    assert!(line("now").starts_with("now 17356932"), "{}", line("now"));
}

#[test]
fn another_job_has_another_seed() {
    let guest = guest();
    let device = &devices()[0].index;
    let order = |greeting: &str| {
        let (_, told, _) = run(device, &guest, greeting);
        told.lines().find(|line| line.starts_with("order")).unwrap().to_owned()
    };
    assert_ne!(order("hello"), order("good evening"));
}
