//! `isobit serve` as its keeper and its renters see it: addresses, a line for each job, deadlines, and jobs that are run anew.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;
use support::{Ended, Provider, devices, eventually, isobit, signal_to, test_guest};

fn misbehave() -> PathBuf {
    test_guest("misbehave")
}

/// Submits the guest that does this, and waits for its end.
fn submit(provider: &Provider, wish: &str, args: &[&str]) -> Ended {
    let mut submit = provider.submit(&misbehave());
    submit.args(["-p", &format!("do={wish}")]).args(args).output().unwrap().into()
}

/// What a provider said of jobs, a line for each.
fn lines(provider: &Provider) -> Vec<String> {
    provider.log().lines().filter(|line| line.contains("isobit::job")).map(str::to_owned).collect()
}

/// Waits until a provider has told of so many jobs, and returns what it said of the last.
fn line(provider: &Provider, number: usize) -> String {
    let lines = eventually("a line about a job", || Some(lines(provider)).filter(|lines| lines.len() >= number));
    assert_eq!(lines.len(), number, "{lines:?}");
    lines[number - 1].clone()
}

#[test]
fn a_provider_that_listens_everywhere_prints_addresses_that_a_renter_can_use() {
    let mut provider = Provider::start_plain(&["--listen", "0.0.0.0:0"]);
    let first = provider.address.clone();
    assert!(!first.starts_with("0.0.0.0"), "{first}");
    provider.stop();
    let rest = provider.rest_of_stdout();
    let addresses: Vec<&str> = std::iter::once(first.as_str()).chain(rest.lines()).collect();
    // This machine is one of those that can be renters, so its own address is among them.
    assert!(addresses.iter().any(|address| address.starts_with("127.0.0.1:")), "{addresses:?}");
    drop(provider);

    // All are reached, by IPv6 too, where there is any.
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let mut serve = isobit();
        serve.args(["serve", "--device", "cpu", "--listen", listen, "--json", "--key"]);
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
        serve.arg(&key).arg("--data-dir").arg(folder.path().join("data"));
        serve.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let answer = serde_json::Deserializer::from_reader(child.stdout.as_mut().unwrap()).into_iter::<Value>().next();
        let Some(Ok(answer)) = answer else {
            let ended = Ended::from(child.wait_with_output().unwrap());
            assert!(listen.starts_with('['), "{}", ended.stderr);
            support::skip("no IPv6 here");
            continue;
        };
        assert_eq!(answer["address"], answer["addresses"][0]);
        assert_eq!(answer["devices"][0]["name"], "isobit CPU device");
        assert_eq!(answer["devices"][0]["slots"], 1);
        for address in answer["addresses"].as_array().unwrap() {
            let mut submit = isobit();
            submit.arg("submit").arg(misbehave()).args(["-p", "do=behave", "--to", address.as_str().unwrap()]);
            submit.env("XDG_CONFIG_HOME", folder.path().join("nothing"));
            Ended::from(submit.output().unwrap()).failed(0, &["outcome  completed"]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn an_address_without_brackets_or_port_is_answered_with_one_that_works() {
    for (listen, words) in [
        ("::1:4433", "write [::1]:4433"),
        ("0.0.0.0", "there is no port; write 0.0.0.0:4433"),
        ("localhost:4433", "`localhost` is no IP address of this machine"),
    ] {
        Ended::from(isobit().args(["serve", "--listen", listen]).output().unwrap()).failed(2, &[words]);
    }
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    for (to, words) in [
        (format!("::1:4433#{key}"), "write [::1]:4433#key"),
        (format!("0.0.0.0:4433#{key}"), "0.0.0.0 is where a provider listens, not where it is"),
    ] {
        let mut submit = isobit();
        submit.args(["submit", "x.wasm", "--to", &to]);
        Ended::from(submit.output().unwrap()).failed(2, &[words]);
    }
}

#[test]
fn a_provider_says_a_line_for_each_job_and_calls_each_end_by_its_name() {
    let provider = Provider::start_plain(&["--listen", "127.0.0.1:0", "--max-deadline", "1m"]);
    let answer = submit(&provider, "behave", &[]).done();
    let said = line(&provider, 1);
    for part in ["INFO", "completed", answer["job"].as_str().unwrap(), "isobit CPU device"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    submit(&provider, "return-an-error", &[]).failed(1, &[]);
    assert!(line(&provider, 2).contains("trapped"), "{}", provider.log());

    let mut job = provider.start_job(&misbehave(), &["-p", "do=spin"]);
    job.wait_for("spinning");
    job.signal(Signal::INT);
    job.finish().failed(130, &["cancelled"]);
    let said = line(&provider, 3);
    assert!(said.contains("INFO") && said.contains("cancelled by the renter"), "{said}");

    let mut job = provider.start_job(&misbehave(), &["-p", "do=spin"]);
    job.wait_for("spinning");
    job.signal(Signal::KILL);
    assert_eq!(job.finish().code, None);
    let said = line(&provider, 4);
    assert!(said.contains("INFO") && said.contains("the renter has gone"), "{said}");

    submit(&provider, "behave", &["--device-memory", "5GiB"]).failed(2, &[]);
    assert!(line(&provider, 5).contains("rejected"), "{}", provider.log());
    submit(&provider, "spin", &["--deadline", "300ms"]).failed(3, &[]);
    let said = line(&provider, 6);
    assert!(said.contains("WARN") && said.contains("faulted") && said.contains("300ms"), "{said}");
    assert!(!provider.log().contains("connected"), "{}", provider.log());
}

#[test]
fn a_quiet_provider_says_nothing_of_jobs_that_went_well() {
    let provider = Provider::start_plain(&["--listen", "127.0.0.1:0", "-q"]);
    submit(&provider, "behave", &[]).done();
    provider.settles();
    assert_eq!(provider.log(), "");
}

#[test]
fn the_deadline_that_holds_is_said_and_the_hint_is_about_it() {
    let provider = Provider::start_plain(&["--listen", "127.0.0.1:0", "--max-deadline", "1s"]);
    let ended = submit(&provider, "spin", &["--deadline", "10m"]);
    ended.failed(
        3,
        &[
            "the provider gives any job 1s, less than the 600s asked for",
            "the job ran as long as the provider lets any job run: 1s",
            "--deadline cannot raise it: ask the provider's owner",
        ],
    );
    // One that the renter has set itself.
    let ended = submit(&provider, "spin", &["--deadline", "400ms"]);
    ended.failed(3, &["the job did not end before its deadline: 400ms", "give it more time with --deadline"]);
    assert!(!ended.stderr.contains("gives any job"), "{}", ended.stderr);
}

#[test]
fn a_provider_that_is_in_trouble_does_not_show_its_paths() {
    let provider = Provider::start_plain(&["--listen", "127.0.0.1:0"]);
    submit(&provider, "behave", &[]).done();
    provider.settles();
    // Its store is there and cannot be used any more.
    let data = provider.data();
    let (store, away) = (data.join("store/temporary"), data.join("store/away"));
    std::fs::rename(&store, &away).unwrap();
    std::fs::write(&store, "in the way").unwrap();
    let input = data.join("input");
    std::fs::write(&input, "new to it").unwrap();
    let ended = submit(&provider, "behave", &["-i", &format!("a={}", input.display())]);
    ended.failed(3, &["the provider faulted: a file could not be read or written", "run it again"]);
    let place = store.to_str().unwrap();
    assert!(!ended.stdout.contains(place) && !ended.stderr.contains(place), "{}{}", ended.stdout, ended.stderr);
    // The one who keeps it reads where.
    let log = eventually("a line in the log", || Some(provider.log()).filter(|log| log.contains("faulted")));
    assert!(log.contains(place), "{log}");
    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
}

#[test]
fn a_loop_beyond_what_the_driver_turns_is_run_anew_on_the_cpu_device() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
    let run = |device: &str| {
        let (out, receipt) =
            (folder.path().join(format!("{device}-out")), folder.path().join(format!("{device}.json")));
        let mut run = isobit();
        run.arg("run").arg(misbehave()).args(["--device", device, "-p", "do=long-loop", "--json", "-o"]);
        run.arg(format!("out={}", out.display())).arg("--receipt").arg(&receipt).arg("--key").arg(&key);
        (Ended::from(run.output().unwrap()).done(), std::fs::read(out).unwrap(), receipt)
    };
    let (right, content, _) = run("cpu");
    assert!(content.starts_with(b"before the loop") && content.len() == 15 + 4 * 64);
    assert_eq!(right["observed"]["instead-of"], Value::Null);

    let (here, out, receipt) = run("llvmpipe");
    assert_eq!((&here["claim"], &out), (&right["claim"], &content));
    if here["observed"]["instead-of"] == Value::Null {
        return support::skip("this llvmpipe turns long loops to their end");
    }
    assert_anew(&here);
    let show = Ended::from(isobit().arg("show").arg(&receipt).output().unwrap());
    show.failed(0, &["outcome   completed", "device  isobit CPU device", "instead of llvmpipe"]);
    let mut verify = isobit();
    verify.arg("verify").arg(&receipt).arg("--rerun").arg(misbehave()).args(["--device", "llvmpipe"]);
    Ended::from(verify.output().unwrap()).failed(0, &["agrees (signature, shape, rerun)"]);

    let provider = Provider::start("llvmpipe", &[]);
    let out = folder.path().join("out");
    let ended = submit(&provider, "long-loop", &["-o", &format!("out={}", out.display())]);
    let there = ended.done();
    assert_eq!((&there["claim"], std::fs::read(&out).unwrap()), (&right["claim"], content));
    assert_anew(&there);
    ended.failed(0, &["running on llvmpipe", "running anew on isobit CPU device"]);
    provider.settles();
    // The driver has done nothing wrong, so the next job has it again.
    let next = submit(&provider, "behave", &[]).done();
    assert!(next["observed"]["device"].as_str().unwrap().contains("llvmpipe"), "{next}");
}

fn assert_anew(answer: &Value) {
    assert_eq!(answer["observed"]["device"], "isobit CPU device");
    let instead = &answer["observed"]["instead-of"];
    assert!(instead["device"].as_str().unwrap().contains("llvmpipe"), "{answer}");
    assert!(instead["reason"].as_str().unwrap().contains("loop"), "{answer}");
}

#[test]
fn the_first_request_to_stop_lets_jobs_end_and_hands_back_all_others() {
    let mut provider = Provider::start_plain(&["--listen", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().unwrap();
    let receipt = folder.path().join("receipt.json");
    // Its fuel is the end of it, after a second or a few.
    let args = ["-p", "do=spin", "--fuel", "5G", "--receipt", receipt.to_str().unwrap()];
    let mut running = provider.start_job(&misbehave(), &args);
    running.wait_for("spinning");
    let worker = provider.workers()[0];
    // Ctrl-C goes to a whole process group: workers are in another.
    let group = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().to_owned()
    };
    assert_ne!(group(worker), group(provider.pid()));
    // It does not go on before all others have been told.
    signal_to(worker, Signal::STOP);
    let mut waiting = provider.start_job(&misbehave(), &["-p", "do=behave"]);
    waiting.wait_for("waiting, number 1 in line");
    provider.stop();
    let words = ["the provider is shutting down", "this one was not started", "submit it to another provider"];
    waiting.finish().failed(2, &words);
    submit(&provider, "behave", &[]).failed(2, &words);
    signal_to(worker, Signal::CONT);
    running.finish().failed(1, &["trapped"]);
    let verified = Ended::from(isobit().arg("verify").arg(&receipt).output().unwrap());
    verified.failed(0, &["agrees (signature, shape)"]);
    assert_eq!(provider.status(), Some(0), "{}", provider.log());
    let log = provider.log();
    assert!(log.contains("draining: jobs that run have 10m to end") && log.contains("stopped"), "{log}");
}

#[test]
fn jobs_that_do_not_end_in_the_time_to_drain_are_given_up() {
    let mut provider = Provider::start_plain(&["--listen", "127.0.0.1:0", "--drain-timeout", "200ms"]);
    let mut running = provider.start_job(&misbehave(), &["-p", "do=spin"]);
    running.wait_for("spinning");
    provider.stop();
    running.finish().failed(3, &["the provider was shut down", "the job is not to blame"]);
    assert_eq!(provider.status(), Some(130), "{}", provider.log());
    assert!(provider.log().contains("the time to drain is over"), "{}", provider.log());
}

#[test]
fn a_service_manager_is_told_when_a_provider_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let hear = || {
        let mut text = [0; 1024];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let mut provider = Provider::start_with("cpu", &[], &[("NOTIFY_SOCKET", &path)]);
    assert_eq!(hear(), "READY=1\n");
    provider.stop();
    assert_eq!(hear(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=610000000\n");
    assert_eq!(provider.status(), Some(0));
}

#[test]
fn a_file_with_settings_is_in_effect_and_shown() {
    let settings = "listen = \"127.0.0.1:0\"\ndevice = \"cpu\"\nmax-deadline = \"1s\"\n";
    let provider = Provider::start_configured(settings);
    submit(&provider, "spin", &["--deadline", "10m"]).failed(3, &["the provider gives any job 1s"]);
    // The paths in the file start in its folder.
    let folder = provider.data();
    assert!(folder.join("store").is_dir());
    let file = folder.parent().unwrap().join("provider.toml");

    let show = |args: &[&str]| Ended::from(isobit().args(["config", "show"]).args(args).output().unwrap());
    let shown = show(&["--config", file.to_str().unwrap(), "--slots", "2", "--json"]).done();
    let setting = |key: &str| {
        let found = shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
        (found["value"].clone(), found["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(setting("slots"), (2.into(), "flag".into()));
    assert_eq!(setting("max-deadline"), ("1s".into(), "file".into()));
    assert_eq!(setting("data-dir"), (folder.to_str().unwrap().into(), "file".into()));
    assert_eq!(setting("waiting"), (16.into(), "default".into()));
    show(&["--config", file.to_str().unwrap()]).failed(0, &["max-deadline", "1s", "file"]);
    let mut with_key = isobit();
    with_key.args(["config", "show"]).env("ISOBIT_KEY", "/run/key");
    Ended::from(with_key.output().unwrap()).failed(0, &["/run/key", "environment"]);
    let example = Ended::from(isobit().args(["config", "example"]).output().unwrap());
    let written = folder.join("example.toml");
    std::fs::write(&written, &example.stdout).unwrap();
    show(&["--config", written.to_str().unwrap()]).failed(0, &["slots"]);
}

#[test]
fn mistakes_in_a_file_with_settings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("provider.toml");
    let path = file.to_str().unwrap();
    let serve = |flags: &[&str]| Ended::from(isobit().args(["serve", "--config", path]).args(flags).output().unwrap());
    serve(&[]).failed(2, &["there are no settings", "No such file", "isobit config example > FILE"]);
    for (text, words) in [
        ("slots = 1\nslot = 2\n", "provider.toml:2: unknown key `slot`"),
        ("slots = 0\n", "provider.toml:1: `slots`: 0 is out of range: it has to be from 1 to 256"),
        (
            "# slots\nslots = \"two\"\n",
            "provider.toml:2: `slots`: invalid type: string \"two\", expected a whole number",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        serve(&[]).failed(2, &[words, "isobit config example"]);
        Ended::from(isobit().args(["config", "show", "--config", path]).output().unwrap()).failed(2, &[words]);
    }
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    serve(&[]).failed(2, &["longer than 1048576 bytes"]);
    std::fs::write(&file, "slots = 2\n").unwrap();
    serve(&["--slots", "0"]).failed(2, &["0 is out of range: it has to be from 1 to 256"]);
}

#[test]
fn jobs_run_on_all_devices_at_once_and_what_ends_on_one_touches_no_other() {
    let all: Vec<(String, String)> = devices()
        .into_iter()
        .filter(|device| ["llvmpipe", "SwiftShader", "isobit CPU device"].iter().any(|name| device.name.contains(name)))
        .map(
            |device| {
                if device.name == "isobit CPU device" {
                    ("cpu".into(), device.name)
                } else {
                    (device.index, device.name)
                }
            },
        )
        .collect();
    let flags: Vec<&str> = all.iter().skip(1).flat_map(|(index, _)| ["--device", index]).collect();
    let provider = Provider::start(&all[0].0, &flags);
    // One job on each: all run, though each device has one slot.
    let occupy = |device: &str| {
        let mut job = provider.start_job(&misbehave(), &["-p", "do=spin"]);
        job.wait_for("spinning");
        let workers = provider.workers_on(device);
        (job, workers)
    };
    let mut running: Vec<_> = all
        .iter()
        .map(|(device, name)| {
            let (job, workers) = occupy(device);
            assert_eq!(workers.len(), 1, "{name}: {workers:?}");
            // It need not turn while it is in the way.
            signal_to(workers[0], Signal::STOP);
            Some((job, workers[0]))
        })
        .collect();
    let mut full = provider.start_job(&misbehave(), &["-p", "do=behave"]);
    full.wait_for("waiting, number 1 in line");
    full.signal(Signal::INT);
    full.finish().failed(130, &[]);

    let mut claims = Vec::new();
    for (index, (device, name)) in all.iter().enumerate() {
        let (job, worker) = running[index].take().unwrap();
        signal_to(worker, Signal::KILL);
        job.finish().failed(3, &["the worker died"]);
        // The place that is free is on this device.
        let answer = submit(&provider, "behave", &[]).done();
        assert_eq!(answer["observed"]["device"], name.as_str());
        claims.push(answer["claim"].clone());
        // Nothing has happened to the others.
        let (job, workers) = occupy(device);
        running[index] = Some((job, workers[0]));
        signal_to(workers[0], Signal::STOP);
        assert_eq!(provider.log().matches("faulted").count(), index + 1, "{}", provider.log());
    }
    assert!(claims.windows(2).all(|pair| pair[0] == pair[1]), "{claims:?}");
}

#[test]
fn all_is_every_device_of_the_best_kind_and_each_is_served_once() {
    let software: Vec<_> = devices().into_iter().filter(|device| device.name != "isobit CPU device").collect();
    if software.iter().any(|device| !device.name.contains("llvmpipe") && !device.name.contains("SwiftShader")) {
        return support::skip("a GPU is here, so that `all` is not the drivers that compute on the CPU");
    }
    let provider = Provider::start("all", &["--device", "llvmpipe", "--slots", "2"]);
    let log = eventually("what is served", || Some(provider.log()).filter(|log| log.contains("serving ")));
    let served = log.lines().find(|line| line.starts_with("serving ")).unwrap();
    assert!(log.contains("a device is named twice"), "{log}");
    assert!(served.contains("llvmpipe") && !served.contains("isobit CPU device"), "{served}");
    assert_eq!(served.matches("(slots: 2,").count(), software.len(), "{served}");
    // A warm worker for each slot.
    eventually("warm workers", || (provider.workers().len() == 2 * software.len()).then_some(()));
}
