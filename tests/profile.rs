//! `isobit profile`: what it shows agrees with what ran, and it changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Ended, devices, guest, isobit, test_guest};

/// A command that runs the workload nbody on a device, with few bodies.
fn nbody(command: &str, device: &str, out: &Path) -> Command {
    let mut run = isobit();
    run.arg(command).arg(guest("nbody")).args(["--device", device, "-p", "bodies=256", "-p", "steps=5"]);
    run.arg("-o").arg(format!("bodies={}", out.display()));
    run
}

fn ran(mut command: Command) -> Ended {
    command.output().unwrap().into()
}

#[test]
fn a_profile_has_every_dispatch_and_the_claim_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (out, trace) = (folder.path().join("out"), folder.path().join("trace.json"));
    for device in devices() {
        let mut run = nbody("run", &device.index, &out);
        run.arg("--json");
        let claim = ran(run).done()["claim"].clone();
        let before = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();

        let mut command = nbody("profile", &device.index, &out);
        command.arg("--json").arg("--trace").arg(&trace);
        let answer = ran(command).done();
        assert_eq!(answer["claim"], claim, "{}", device.name);
        assert!(fs::read(&out).unwrap() == before);

        let profile = &answer["profile"];
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} in {profile}"));
        let kernels = profile["kernels"].as_array().unwrap();
        let fuel: u64 = kernels.iter().map(|kernel| number(&kernel["kernel_fuel"])).sum();
        assert_eq!(fuel, number(&answer["cost"]["kernel-fuel"]), "{profile}");
        let dispatches: u64 = kernels.iter().map(|kernel| number(&kernel["dispatches"])).sum();
        assert!(dispatches >= 5 && kernels.iter().all(|kernel| number(&kernel["bound_bytes"]) > 0), "{profile}");
        let others = profile["others"].as_array().unwrap();
        let parts = kernels.iter().chain(others).map(|part| number(&part["time_ns"])).sum::<u64>();
        assert_eq!(parts + number(&profile["guest_ns"]), number(&profile["total_ns"]), "{profile}");

        let found: Value = serde_json::from_slice(&fs::read(&trace).unwrap()).unwrap();
        let events = found["traceEvents"].as_array().unwrap();
        let on = |thread: u64| events.iter().filter(move |event| event["ph"] == "X" && event["tid"] == thread).count();
        assert_eq!(on(2) as u64, dispatches, "{}", device.name);
        assert!(on(1) > 0 && on(3) > 0, "{found}");
        for event in events.iter().filter(|event| event["ph"] == "X") {
            assert!(event["name"].is_string() && event["pid"].is_u64(), "{event}");
            assert!(event["ts"].as_f64().unwrap() >= 0.0 && event["dur"].as_f64().unwrap() >= 0.0, "{event}");
        }
    }
}

#[test]
fn a_profile_for_people_is_a_table_of_kernels_and_of_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let ended = ran(nbody("profile", "cpu", &folder.path().join("out")));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for words in ["kernel  ", "dispatches", "writable", "compiling kernels", "the guest"] {
        assert!(ended.stdout.contains(words), "no {words:?} in:\n{}", ended.stdout);
    }
}

#[test]
fn a_trap_is_profiled_too_and_a_trace_overwrites_nothing_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let profile = |args: &[&str]| {
        let mut command = isobit();
        command.arg("profile").arg(test_guest("misbehave")).args(["--device", "cpu", "--json"]).args(args);
        ran(command)
    };
    let trapped = profile(&["-p", "do=spin-in-a-kernel", "--kernel-fuel", "1M"]);
    assert_eq!(trapped.code, Some(1), "{}", trapped.stderr);
    assert_eq!(trapped.json()["profile"]["kernels"][0]["entry_point"], "endless");

    let input = folder.path().join("in");
    fs::write(&input, "precious").unwrap();
    let (given, trace) = (format!("in={}", input.display()), input.to_str().unwrap());
    profile(&["-p", "do=behave", "-i", &given, "--trace", trace]).failed(2, &["would overwrite"]);
    assert_eq!(fs::read_to_string(&input).unwrap(), "precious");
    let nowhere = input.join("trace");
    profile(&["-p", "do=behave", "--trace", nowhere.to_str().unwrap()]).failed(2, &["cannot write"]);
}
