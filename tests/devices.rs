//! What the command says of devices: the list, the doctor, and probing.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::process::Output;

use support::{Provider, isobit, json};

/// Runs `isobit` with these arguments.
fn run(args: &[&str]) -> Output {
    isobit().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn devices_are_listed_with_whether_they_can_run_kernels() {
    let output = run(&["devices", "--json"]);
    let devices = json(&output)["devices"].as_array().unwrap().clone();
    assert_eq!(output.status.code(), Some(0));
    // The CPU device is always there.
    let last = devices.last().unwrap();
    assert_eq!((&last["kind"], &last["missing"]), (&"interpreter".into(), &serde_json::json!([])));
    assert_eq!(last["index"], devices.len() - 1);
    let table = stdout(&run(&["devices"]));
    for device in &devices {
        assert!(table.contains(device["name"].as_str().unwrap()), "{table}");
    }
    // What is wrong in silence is not offered.
    assert!(devices.iter().all(|device| device["backend"] != "OpenGL"), "{devices:?}");
    // Drivers are not heard when they are looked for.
    assert_eq!(stderr(&output), "");
}

#[test]
fn the_cpu_device_needs_no_probe() {
    let output = run(&["doctor", "--device", "cpu"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("isobit CPU device (") && stdout(&output).contains("needs no probe"));
    // By its number, and where it is the only one.
    let number = json(&run(&["devices", "--json"]))["devices"].as_array().unwrap().len() - 1;
    assert_eq!(stdout(&run(&["doctor", "--device", &number.to_string()])), stdout(&output));
    let mut bare = isobit();
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        bare.env(variable, "/no/such/driver.json");
    }
    let output = bare.args(["doctor", "--device", "best", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(json(&output)["devices"][0]["kind"], "interpreter");
    let jail = &json(&output)["jail"];
    let is_missed = jail["gaps"].as_array().unwrap().iter().any(|gap| gap["required"] == true);
    assert_eq!(jail["closed"].as_bool().unwrap(), jail["reason"].is_null() && !is_missed, "{jail}");
}

#[test]
fn the_doctor_probes_a_device_and_the_list_shows_what_was_found() {
    let cache = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| isobit().args(args).env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    let llvmpipe = || {
        let devices = json(&run(&["devices", "--json"]))["devices"].as_array().unwrap().clone();
        devices.into_iter().find(|device| device["driver"] == "llvmpipe").unwrap()
    };
    assert_eq!(llvmpipe()["tier"], serde_json::Value::Null);
    assert!(stdout(&run(&["devices"])).contains("not probed"));

    let output = run(&["doctor", "--device", "llvmpipe", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(json(&output)["devices"][0]["tier"], "A");
    assert_eq!(llvmpipe()["tier"], "A");
    // Its first worker waits for a job from now on.
    let provider = Provider::start_with("llvmpipe", &[], &[("XDG_CACHE_HOME", cache.path())]);

    // As if the probe had found something.
    let folder = cache.path().join("isobit/probe");
    let verdict = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut found: serde_json::Value = serde_json::from_slice(&fs::read(&verdict).unwrap()).unwrap();
    found["tier"] = "B".into();
    found["failure"] = serde_json::json!({ "check": "a product", "detail": "of 0x00800000 ..." });
    fs::write(&verdict, found.to_string()).unwrap();
    assert_eq!(llvmpipe()["failure"]["check"], "a product");
    assert!(stdout(&run(&["devices"])).contains("B: a product: of 0x00800000 ..."));

    // As if integers were wrong, too.
    found["tier"] = "none".into();
    fs::write(&verdict, found.to_string()).unwrap();
    assert_eq!(llvmpipe()["tier"], "none");
    let table = stdout(&run(&["devices"]));
    assert!(table.contains("no: computes wrongly") && table.contains("none: a product: of 0x00800000 ..."), "{table}");
    let component = support::guest("matmul");
    let key = cache.path().join("key");
    assert_eq!(run(&["keygen", "-o", key.to_str().unwrap()]).status.code(), Some(0));
    for args in [
        &["run", component.to_str().unwrap(), "--device", "llvmpipe"][..],
        &["serve", "--listen", "127.0.0.1:0", "--key", key.to_str().unwrap(), "--device", "llvmpipe"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("even with integers only: a product"), "{}", stderr(&output));
        assert!(stderr(&output).contains("--device cpu"), "{}", stderr(&output));
    }
    let late = provider.submit(&component).output().unwrap();
    assert_eq!(late.status.code(), Some(3), "{}", stderr(&late));
    assert!(provider.log().contains("even with integers only: a product"), "{}", provider.log());
    // A provider with more devices goes without this one.
    let several = Provider::start_with("llvmpipe", &["--device", "cpu"], &[("XDG_CACHE_HOME", cache.path())]);
    let log = several.log();
    assert!(log.contains("a device is left out") && log.contains("even with integers only: a product"), "{log}");
    assert!(log.contains("serving isobit CPU device (slots: 1, classes: base, large)"), "{log}");
    let misbehave = support::test_guest("misbehave");
    let output = several.submit(&misbehave).args(["-p", "do=behave"]).output().unwrap();
    assert_eq!(json(&output)["observed"]["device"], "isobit CPU device");
    drop(several);
    // A verdict of an older isobit, which had no such tier and kept no time, is none.
    found.as_object_mut().unwrap().remove("recorded");
    fs::write(&verdict, found.to_string()).unwrap();
    assert_eq!(llvmpipe()["tier"], serde_json::Value::Null);

    let output = run(&["doctor", "--device", "no such device"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
}

#[test]
fn probing_is_told_of_and_so_is_a_verdict_that_cannot_be_kept() {
    // A file, where the folder of caches should be.
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = isobit().args(["doctor", "--device", "llvmpipe"]).env("XDG_CACHE_HOME", file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("probing llvmpipe ("), "{said}");
    assert!(lines[1].starts_with("probed llvmpipe (") && lines[1].ends_with("every bit is right (tier A)"), "{said}");
    let path = file.path().join("isobit/probe");
    assert!(lines[2].contains(&format!("cannot be kept in {}", path.display())), "{said}");
}
