//! `isobit run --watch`: a workload that is run again when it, or what it reads, changes.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use support::{Running, build, children, eventually, guest, has_ended, isobit, target_dir, test_guest};

/// A job that is run again and again, on the CPU device.
fn watch(workload: &Path, args: &[&str]) -> Running {
    let mut run = isobit();
    run.args(["run", "--watch"]).arg(workload).args(args).args(["--device", "cpu"]);
    run.env("CARGO_TARGET_DIR", target_dir());
    Running::start(&mut run)
}

#[test]
fn a_workload_is_run_again_when_it_or_its_input_changes_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let [workload, input, output] = ["copy.wasm", "in", "out"].map(|name| folder.path().join(name));
    fs::copy(guest("stream"), &workload).unwrap();
    fs::write(&input, "once").unwrap();
    let (from, to) = (format!("in={}", input.display()), format!("out={}", output.display()));
    let mut job = watch(&workload, &["-i", &from, "-o", &to]);
    job.wait_for("waiting for changes");
    assert_eq!(fs::read_to_string(&output).unwrap(), "once");

    fs::write(&input, "and once more").unwrap();
    job.wait_for("waiting for changes");
    assert_eq!(fs::read_to_string(&output).unwrap(), "and once more");

    // What cannot run is told, and waited for.
    fs::write(&workload, "rubbish").unwrap();
    job.wait_for("is not a workload");
    job.wait_for("waiting for changes");
    fs::write(&input, "thrice").unwrap();
    job.wait_for("waiting for changes");
    assert_eq!(fs::read_to_string(&output).unwrap(), "and once more");
    fs::copy(guest("stream"), &workload).unwrap();
    job.wait_for("copied 6 bytes");
    job.wait_for("waiting for changes");
    assert_eq!(fs::read_to_string(&output).unwrap(), "thrice");

    job.signal(Signal::INT);
    assert_eq!(job.finish().code, Some(130));
}

#[test]
fn a_kernel_alone_is_run_again_when_what_it_binds_changes() {
    let folder = tempfile::tempdir().unwrap();
    let [kernel, input, output] = ["double.wgsl", "in", "out"].map(|name| folder.path().join(name));
    fs::write(
        &kernel,
        "@group(0) @binding(0) var<storage, read_write> data: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) { data[id.x] = 2u * data[id.x]; }",
    )
    .unwrap();
    fs::write(&input, 7_u32.to_le_bytes()).unwrap();
    let (from, to) = (format!("0={}", input.display()), format!("0={}", output.display()));
    let mut job = watch(&kernel, &["--bind", &from, "--workgroups", "1", "-o", &to]);
    job.wait_for("waiting for changes");
    assert_eq!(fs::read(&output).unwrap(), 14_u32.to_le_bytes());
    fs::write(&input, 21_u32.to_le_bytes()).unwrap();
    job.wait_for("waiting for changes");
    assert_eq!(fs::read(&output).unwrap(), 42_u32.to_le_bytes());
    job.signal(Signal::INT);
    assert_eq!(job.finish().code, Some(130));
}

#[test]
fn a_run_that_does_not_end_is_ended_by_a_change_and_by_who_watches() {
    let folder = tempfile::tempdir().unwrap();
    let workload = folder.path().join("spin.wasm");
    fs::copy(test_guest("misbehave"), &workload).unwrap();
    let mut job = watch(&workload, &["-p", "do=spin"]);
    for _ in 0..2 {
        job.wait_for("spinning");
        let run = children(job.pid())[0];
        let worker = eventually("the worker", || children(run).first().copied());
        // The same bytes again: a file that is written anew has changed.
        fs::copy(test_guest("misbehave"), &workload).unwrap();
        eventually("the end of the run before", || (has_ended(run) && has_ended(worker)).then_some(()));
    }
    job.wait_for("spinning");
    let run = children(job.pid())[0];
    job.signal(Signal::TERM);
    assert_eq!(job.finish().code, Some(130));
    eventually("the end of the last run", || has_ended(run).then_some(()));
}

#[test]
fn a_crate_is_built_before_it_is_run_and_mistakes_are_told_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("watched");
    assert!(isobit().arg("new").arg(&dir).output().unwrap().status.success());
    // An output in the crate's own folder is no change of the crate.
    let (source, kernel, output) = (dir.join("src/lib.rs"), dir.join("src/kernel.wgsl"), dir.join("out.txt"));
    // What all guests need is built by one test at a time, however long that takes.
    build(&dir, "watched");
    let to = format!("out={}", output.display());
    let mut job = watch(&dir, &["-o", &to, "-p", "count=3"]);
    job.wait_for("waiting for changes");
    assert_eq!(fs::read_to_string(&output).unwrap(), "0\n2\n4\n");

    let before = fs::read_to_string(&source).unwrap();
    fs::write(&source, format!("{before}\nfn broken(")).unwrap();
    job.wait_for("does not compile");
    job.wait_for("waiting for changes");
    let text = fs::read_to_string(&kernel).unwrap();
    fs::write(&source, before).unwrap();
    fs::write(&kernel, text.replace("*= 2u", "*= 5u")).unwrap();
    eventually("the new output", || (fs::read_to_string(&output).unwrap() == "0\n5\n10\n").then_some(()));
    job.signal(Signal::INT);
    assert_eq!(job.finish().code, Some(130));
}
