//! What a provider tells those who keep it: metrics, `isobit status`, its log as JSON.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use support::{Ended, Provider, eventually, isobit, test_guest};

fn misbehave() -> PathBuf {
    test_guest("misbehave")
}

/// A provider that serves metrics, and where.
fn with_metrics() -> (Provider, String) {
    let provider = Provider::start_plain(&["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    let log = provider.log();
    let url = log.lines().find_map(|line| line.strip_prefix("metrics under http://")).unwrap().to_owned();
    (provider, url.strip_suffix("/metrics").unwrap().to_owned())
}

/// Sends these bytes, and returns all that comes back.
fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // A connection that is closed or reset has been answered too.
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8(answer).unwrap()
}

/// All samples of a scrape, by name and labels. Fails on what is not the text format of OpenMetrics.
fn scrape(address: &str) -> BTreeMap<String, f64> {
    let answer = exchange(address, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    let body = body.strip_suffix("# EOF\n").unwrap();
    let (mut samples, mut family) = (BTreeMap::new(), String::new());
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            assert!(matches!(words.next(), Some("HELP" | "TYPE" | "UNIT")), "{line}");
            family = words.next().unwrap().to_owned();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        assert!(sample.starts_with(&family) && family.starts_with("isobit_"), "{line} in {family}");
        assert!(!samples.contains_key(sample), "{line} is there twice");
        samples.insert(sample.to_owned(), value.parse().unwrap());
    }
    samples
}

fn status(of: &Path) -> Value {
    Ended::from(isobit().arg("status").arg(of).arg("--json").output().unwrap()).done()
}

#[test]
fn metrics_and_status_agree_with_receipts() {
    let (provider, address) = with_metrics();
    let before = scrape(&address);
    assert_eq!(before["isobit_connections"], 0.0);
    assert_eq!(before["isobit_workers{state=\"idle\"}"], 1.0);
    assert_eq!(before["isobit_slots"], 1.0);
    assert_eq!(before["isobit_guest_fuel_total"], 0.0);
    assert!(!before.keys().any(|name| name.starts_with("isobit_jobs_total")), "{before:?}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(before.keys().any(|name| name.starts_with("isobit_build_info{") && name.contains(version)), "{before:?}");

    let input = provider.data().join("an-input");
    std::fs::write(&input, vec![7; 100_000]).unwrap();
    let submit = |wish: &str| {
        let mut submit = provider.submit(&misbehave());
        submit.args(["-p", &format!("do={wish}"), "-i", &format!("a={}", input.display())]);
        Ended::from(submit.output().unwrap())
    };
    let done = submit("behave").done();
    let trapped = submit("return-an-error").json();
    let after = scrape(&address);
    assert_eq!(after["isobit_jobs_total{outcome=\"completed\",reason=\"\"}"], 1.0);
    assert_eq!(after["isobit_jobs_total{outcome=\"trapped\",reason=\"guest-error\"}"], 1.0);
    let both = |pointer: &str| {
        let sum = |answer: &Value| answer.pointer(pointer).and_then(Value::as_u64).unwrap();
        (sum(&done) + sum(&trapped)) as f64
    };
    assert_eq!(after["isobit_guest_fuel_total"], both("/cost/guest-fuel"));
    assert_eq!(after["isobit_kernel_fuel_total"], both("/cost/kernel-fuel"));
    assert_eq!(after["isobit_input_bytes_total"], 200_000.0);
    assert_eq!(after["isobit_output_bytes_total"], both("/cost/output-bytes"));
    assert!(both("/cost/kernel-fuel") > 0.0 && both("/cost/output-bytes") > 0.0);
    for (histogram, field) in [("wait", "queue-ms"), ("prepare", "prepare-ms"), ("run", "run-ms")] {
        let sample = |of: &str| after[&format!("isobit_job_{histogram}_seconds_{of}")];
        assert_eq!((sample("count"), sample("bucket{le=\"+Inf\"}")), (2.0, 2.0));
        assert!((sample("sum") * 1000.0 - both(&format!("/observed/{field}"))).abs() < 0.01, "{after:?}");
    }
    assert!(after["isobit_store_bytes"] >= 100_000.0, "{after:?}");

    // While one runs.
    let mut job = provider.start_job(&misbehave(), &["-p", "do=spin", "--device-memory", "3MiB"]);
    job.wait_for("spinning");
    let now = scrape(&address);
    for (name, value) in [
        ("isobit_active_jobs{state=\"running\"}", 1.0),
        ("isobit_workers{state=\"busy\"}", 1.0),
        ("isobit_device_memory_granted_bytes", f64::from(3 << 20)),
        ("isobit_queue_length", 0.0),
        ("isobit_connections", 1.0),
    ] {
        assert_eq!(now[name], value, "{name}");
    }
    assert!(now["isobit_store_in_use_bytes"] > 0.0 && now["isobit_resident_memory_bytes"] > 1e6, "{now:?}");
    let told = status(&provider.data());
    assert_eq!(told["jobs"][0]["state"], "running");
    assert_eq!(told["ended"], serde_json::json!({ "completed": 1, "trapped": 1 }));
    assert_eq!(told["billed"]["guest-fuel"].as_u64().unwrap() as f64, both("/cost/guest-fuel"));
    assert_eq!((told["key"].as_str().unwrap(), told["pid"].as_u64()), (provider.key(), Some(provider.pid().into())));
    let shown = Ended::from(isobit().arg("status").arg(&address).output().unwrap());
    shown.failed(0, &["1 of 1 running", "1 completed, 1 trapped", told["jobs"][0]["job"].as_str().unwrap()]);
    job.signal(Signal::INT);
    job.finish().failed(130, &["cancelled"]);
    eventually("no job", || {
        let now = scrape(&address);
        let cancelled = now.get("isobit_jobs_total{outcome=\"cancelled\",reason=\"\"}") == Some(&1.0);
        (cancelled && now["isobit_active_jobs{state=\"running\"}"] == 0.0).then_some(())
    });
}

#[test]
fn metrics_are_for_this_machine_and_bounded() {
    let mut serve = isobit();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
    serve.args(["serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0", "--key"]).arg(&key);
    let ended = Ended::from(serve.arg("--data-dir").arg(folder.path().join("data")).output().unwrap());
    ended.failed(2, &["served on this machine only", "--metrics 127.0.0.1:9464"]);

    let (provider, address) = with_metrics();
    let first_line =
        |request: &str| exchange(&address, request.as_bytes()).lines().next().unwrap_or_default().to_owned();
    assert_eq!(first_line("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404 Not Found");
    assert_eq!(
        first_line("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.1 405 Method Not Allowed"
    );
    let long = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(64 << 10));
    assert!(!first_line(&long).contains("200"));
    assert!(!first_line("\0\0\0\r\n\r\n").contains("200"));
    // Whoever says nothing holds up neither the socket nor, for longer than a request may take, the others.
    let idle: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    status(&provider.data());
    assert!(scrape(&address).contains_key("isobit_connections"));
    drop(idle);
}

#[test]
fn status_says_whether_a_provider_runs() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |of: &Path| Ended::from(isobit().arg("status").arg(of).output().unwrap());
    ask(folder.path()).failed(1, &["no provider runs with the data folder", "isobit serve"]);
    ask(&folder.path().join("missing")).failed(1, &["no provider runs"]);
    // Nothing listens at a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    ask(Path::new(&free)).failed(1, &["no provider runs at 127.0.0.1:"]);

    let mut provider = Provider::start_plain(&["--listen", "127.0.0.1:0"]);
    let data = provider.data();
    ask(&data).failed(0, &[provider.key(), "0 of 1 running, 0 of 16 waiting", "ended        none"]);
    // One folder, one provider.
    let mut serve = isobit();
    serve.args(["serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--key"]).arg(data.join("../key"));
    let second = Ended::from(serve.arg("--data-dir").arg(&data).output().unwrap());
    second.failed(2, &["another provider runs with the data folder", "isobit status"]);
    ask(&data).failed(0, &[provider.key()]);
    // A name that is left over is no provider, and is in nobody's way.
    provider.kill();
    provider.rest_of_stdout();
    assert!(data.join("status.sock").exists());
    ask(&data).failed(1, &["no provider runs"]);
    let again = Ended::from({
        let mut serve = isobit();
        serve.args(["serve", "--device", "cpu", "--listen", "192.0.2.1:1", "--key"]).arg(data.join("../key"));
        serve.arg("--data-dir").arg(&data).output().unwrap()
    });
    again.failed(2, &["--listen"]);
    assert!(!data.join("status.sock").exists());
}

#[test]
fn a_log_of_json_has_an_object_a_line_with_the_job() {
    let mut provider = Provider::start_plain(&["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let submit = |args: &[&str]| Ended::from(provider.submit(&misbehave()).args(args).output().unwrap());
    let done = submit(&["-p", "do=behave"]).done();
    submit(&["-p", "do=behave", "--device-memory", "5GiB"]).failed(2, &[]);
    submit(&["-p", "do=spin", "--deadline", "300ms"]).failed(3, &[]);
    eventually("three lines", || (provider.log().matches("isobit::job").count() >= 3).then_some(()));
    provider.stop();
    provider.rest_of_stdout();
    let log = provider.log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
    }
    let of_jobs: Vec<&Value> = lines.iter().filter(|line| line["target"] == "isobit::job").collect();
    assert_eq!(of_jobs.len(), 3, "{log}");
    assert!(of_jobs.iter().all(|line| line["job"].as_str().is_some_and(|job| job.len() == 64)), "{log}");
    assert_eq!(of_jobs[0]["job"], done["job"]);
    assert_eq!(of_jobs[0]["guest_fuel"], done["cost"]["guest-fuel"]);
    let said: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    for message in ["serving isobit CPU device", "completed", "rejected", "faulted", "stopped"] {
        assert!(said.iter().any(|said| said.contains(message)), "no {message} in {log}");
    }
}
