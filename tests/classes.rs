//! Device classes: a job of class large runs where a device has it, with one claim, and is refused in words where none has.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::Path;

use support::{Ended, Provider, isobit, json, skip, test_guest};

/// A class, and a buffer of 512 MiB, which class base has not.
const LARGE: [&str; 4] = ["--class", "large", "-p", "mib=512"];

/// A device of this machine that can run kernels.
struct Device {
    index: String,
    name: String,
    classes: Vec<String>,
}

fn devices() -> Vec<Device> {
    let found = json(&isobit().args(["devices", "--json"]).output().unwrap())["devices"].as_array().unwrap().clone();
    let usable = found.iter().filter(|device| device["missing"].as_array().unwrap().is_empty());
    let device = |device: &serde_json::Value| Device {
        index: device["index"].to_string(),
        name: device["name"].as_str().unwrap().to_owned(),
        classes: serde_json::from_value(device["classes"].clone()).unwrap(),
    };
    usable.map(device).collect()
}

impl Device {
    fn is_large(&self) -> bool {
        self.classes.iter().any(|class| class == "large")
    }

    fn run(&self, args: &[&str]) -> Ended {
        let mut run = isobit();
        run.arg("run").arg(test_guest("large")).args(["--device", &self.index, "--json"]).args(args);
        run.output().unwrap().into()
    }
}

/// A device that runs kernels and has not class large: lavapipe, as far as is known.
fn small() -> Option<Device> {
    let small = devices().into_iter().find(|device| !device.is_large());
    if small.is_none() {
        skip("every device here has class large, so that none can refuse it");
    }
    small
}

/// `-o NAME=FOLDER/NAME` for all that the guest makes.
fn outputs(folder: &Path) -> Vec<String> {
    ["out", "limits"]
        .iter()
        .flat_map(|name| ["-o".to_owned(), format!("{name}={}", folder.join(name).display())])
        .collect()
}

#[test]
fn a_buffer_of_512_mib_has_one_claim_on_every_device_of_class_large() {
    let large: Vec<Device> = devices().into_iter().filter(Device::is_large).collect();
    assert!(large.iter().any(|device| device.name == "isobit CPU device"));
    let has_swiftshader = large.iter().any(|device| device.name.contains("SwiftShader"));
    support::devices();
    assert!(has_swiftshader || std::env::var_os("CI").is_none(), "SwiftShader offers class large");
    let folder = tempfile::tempdir().unwrap();
    let outputs = outputs(folder.path());
    let mut claims = Vec::new();
    for device in &large {
        let args: Vec<&str> = LARGE.into_iter().chain(outputs.iter().map(String::as_str)).collect();
        let answer = device.run(&args).done();
        assert_eq!(answer["observed"]["device"], device.name.as_str());
        let words = 512_u32 << 18;
        let expected: Vec<u8> = (1..=64).chain(words - 63..=words).flat_map(u32::to_le_bytes).collect();
        assert!(fs::read(folder.path().join("out")).unwrap() == expected, "{}", device.name);
        assert_eq!(fs::read_to_string(folder.path().join("limits")).unwrap(), "1073741824 1073741824\n");
        claims.push(answer["claim"].clone());
    }
    assert!(claims.windows(2).all(|pair| pair[0] == pair[1]), "{claims:?}");
}

#[test]
fn a_buffer_beyond_class_base_is_the_guests_mistake_everywhere_and_names_the_class() {
    let mut claims = Vec::new();
    for device in devices() {
        let ended = device.run(&["-p", "mib=512"]);
        ended.failed(1, &["limit max-buffer-size exceeded", "in device class base; run the job with --class large"]);
        claims.push(ended.json()["claim"].clone());
        // 200 MiB are a buffer of class base, and no binding.
        device.run(&["-p", "mib=200"]).failed(1, &["limit max-storage-buffer-binding-size exceeded", "--class large"]);
        let folder = tempfile::tempdir().unwrap();
        let outputs = outputs(folder.path());
        device.run(&outputs.iter().map(String::as_str).collect::<Vec<_>>()).done();
        assert_eq!(fs::read_to_string(folder.path().join("limits")).unwrap(), "268435456 134217728\n");
    }
    assert!(claims.windows(2).all(|pair| pair[0] == pair[1]), "{claims:?}");
    // What no class has is no matter of the class.
    let cpu = devices().pop().unwrap();
    let ended = cpu.run(&["--class", "large", "-p", "mib=1025", "--device-memory", "2GiB"]);
    ended.failed(1, &["no device class allows more than 1 GiB"]);
    let help: Ended = isobit().args(["run", "x.wasm", "--class", "huge"]).output().unwrap().into();
    help.failed(2, &["no device class is called \"huge\"; the classes of this version are: base, large"]);
}

#[test]
fn a_device_without_the_class_refuses_the_job_and_best_is_one_that_has_it() {
    let Some(small) = small() else { return };
    let ended = small.run(&LARGE);
    ended.failed(2, &[&small.name, "has no device class large: it lacks max-", "choose a device that has the class"]);
    let best = Device { index: "best".to_owned(), ..small };
    let answer = best.run(&["--class", "large"]).done();
    let large: Vec<String> = devices().into_iter().filter(Device::is_large).map(|device| device.name).collect();
    assert!(large.contains(&answer["observed"]["device"].as_str().unwrap().to_owned()), "{answer}");
}

#[test]
fn a_provider_that_has_no_device_of_the_class_refuses_the_job_at_once() {
    let Some(small) = small() else { return };
    let provider = Provider::start(&small.index, &[]);
    let submit = |args: &[&str]| -> Ended { provider.submit(&test_guest("large")).args(args).output().unwrap().into() };
    let refusal = "the job needs device class large, which no device of the provider has";
    let ended = submit(&LARGE);
    ended.failed(2, &[refusal, "ask another provider"]);
    assert!(!provider.log().contains("completed"), "{}", provider.log());
    let quote =
        |args: &[&str]| -> Ended { isobit().args(["quote", &provider.address]).args(args).output().unwrap().into() };
    quote(&["--class", "large"]).failed(1, &[refusal, "  base  "]);
    let answer = quote(&["--json"]).done();
    assert_eq!(answer["quotes"][0]["classes"], serde_json::json!(["base"]));
    submit(&[]).done();
}

#[test]
fn a_provider_with_several_devices_gives_each_job_to_one_of_its_class() {
    let Some(small) = small() else { return };
    let folder = tempfile::tempdir().unwrap();
    let receipt = folder.path().join("receipt.json");
    let provider = Provider::start(&small.index, &["--device", "cpu"]);
    let submit = |args: &[&str]| -> Ended { provider.submit(&test_guest("large")).args(args).output().unwrap().into() };
    // An idle provider gives a job to its first device that has the class.
    assert_eq!(submit(&[]).done()["observed"]["device"], small.name.as_str());
    let args: Vec<&str> = LARGE.into_iter().chain(["--receipt", receipt.to_str().unwrap()]).collect();
    let answer = submit(&args).done();
    assert_eq!(answer["observed"]["device"], "isobit CPU device");
    let shown: Ended = isobit().arg("show").arg(&receipt).output().unwrap().into();
    shown.failed(0, &["class     large\n"]);
    // Whoever runs it again needs the class, too.
    let verify = |device: &str| -> Ended {
        let mut verify = isobit();
        verify.arg("verify").arg(&receipt).arg("--rerun").arg(test_guest("large")).args(["--device", device]);
        verify.output().unwrap().into()
    };
    verify("cpu").failed(0, &[]);
    verify(&small.index).failed(2, &["has no device class large"]);
    let status: Ended = isobit().arg("status").arg(provider.data()).output().unwrap().into();
    status.failed(0, &["slots: 1, classes: base\n", "slots: 1, classes: base, large\n"]);
}

#[test]
fn the_list_and_the_doctor_say_which_classes_a_device_has() {
    let table = String::from_utf8(isobit().arg("devices").output().unwrap().stdout).unwrap();
    for device in devices() {
        let row = table.lines().find(|line| line.contains(&device.name)).unwrap();
        assert!(row.contains(&format!("  {}  ", device.classes.join(", "))), "{table}");
    }
    let doctor: Ended = isobit().args(["doctor", "--device", "cpu"]).output().unwrap().into();
    doctor.failed(0, &["isobit CPU device (none, classes: base, large): needs no probe"]);
}

#[test]
fn check_holds_a_kernel_to_the_limits_of_a_class() {
    let kernel = tempfile::NamedTempFile::new().unwrap();
    let check = |words: u64, args: &[&str]| -> Ended {
        let wgsl = format!(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32, {words}>;
            @compute @workgroup_size(1) fn main() {{ a[{words} - 1] = 1u; }}"
        );
        fs::write(kernel.path(), wgsl).unwrap();
        isobit().arg("check").arg(kernel.path()).args(args).output().unwrap().into()
    };
    check(1 << 27, &[]).failed(1, &["no device of class base takes the entry point `main`", "`--class large`"]);
    check(1 << 28, &["--class", "large"]).failed(0, &[]);
    let over = check((1 << 28) + 1, &["--class", "large"]);
    over.failed(1, &["no device of class large takes the entry point `main`", "split it into several buffers"]);
    assert!(!over.stderr.contains("--class"), "{}", over.stderr);
}
