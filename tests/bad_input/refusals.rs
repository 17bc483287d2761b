//! Jobs that are refused before anything runs, each with its reason and what to do about it.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

use rustix::process::Signal;

use super::{ONE_JOB, Outputs, Site, assert_behaved, assert_serves, misbehave};
use crate::support::{Ended, Running, isobit};

/// A public key that nobody here has.
const STRANGER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// `isobit submit` of a job that is fine, to this address.
fn submit_to(address: &str, outputs: &Outputs) -> Ended {
    let mut submit = isobit();
    submit.arg("submit").arg(misbehave()).args(["-p", "do=behave", "--to", address, "-o", &outputs.out()]);
    submit.output().unwrap().into()
}

/// Writes a component in text form to a file.
fn component(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("component.wasm");
    fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    path
}

#[test]
fn a_wrong_key_in_the_address_names_both_keys() {
    let site = Site::shared();
    let (host, key) = site.provider.address.split_once('#').unwrap();
    let found = format!("has the key {key}, not {STRANGER}");
    submit_to(&format!("{host}#{STRANGER}"), &site.outputs)
        .failed(2, &[&found, "hint: ask the provider for its address"]);
    site.assert_unharmed();
}

#[test]
fn an_unknown_host_is_named() {
    let outputs = Outputs::new();
    let words = ["cannot find the host `no-such-host.invalid`", "hint: check the part before the colon"];
    submit_to(&format!("no-such-host.invalid:4433#{STRANGER}"), &outputs).failed(2, &words);
    outputs.assert_empty();
}

#[test]
fn an_address_where_nobody_answers_is_given_up_after_10_s() {
    // Taken, so that nobody else gets the port; but it never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let outputs = Outputs::new();
    let words = [&format!("no answer from {address} within 10 s"), "hint: is the provider running there"];
    submit_to(&format!("{address}#{STRANGER}"), &outputs).failed(2, &words);
    outputs.assert_empty();
}

#[test]
fn an_address_that_is_none_is_bad_usage() {
    for address in ["127.0.0.1", "127.0.0.1:4433", "127.0.0.1:4433#beef", &format!("127.0.0.1#{STRANGER}")] {
        submit_to(address, &Outputs::new()).failed(2, &["--to"]);
    }
}

#[test]
fn a_full_provider_says_so_and_takes_the_next_job_when_one_has_left() {
    let site = Site::own(&ONE_JOB);
    let mut running = site.start("spin", &[]);
    running.wait_for("spinning");
    let words =
        ["the provider is full: 1 jobs are running and 0 are waiting", "try again later, or at another provider"];
    site.submit("behave", &[]).failed(2, &words);
    running.signal(Signal::INT);
    running.finish().failed(130, &["cancelled"]);
    site.assert_unharmed();
}

#[test]
fn a_queued_job_is_told_its_place_and_runs_in_its_turn() {
    let site = Site::shared();
    let mut first = site.start("spin", &[]);
    first.wait_for("spinning");
    let places: Vec<Outputs> = (0..2).map(|_| Outputs::new()).collect();
    let mut waiting: Vec<Running> = Vec::new();
    for (place, outputs) in (1..).zip(&places) {
        let mut job = site.provider.start_job(&misbehave(), &["-p", "do=behave", "-o", &outputs.out()]);
        job.wait_for(&format!("waiting, number {place} in line: the one slot is taken"));
        waiting.push(job);
    }
    first.signal(Signal::INT);
    first.finish().failed(130, &[]);
    waiting[1].wait_for("waiting, number 1 in line");
    for (job, outputs) in waiting.into_iter().zip(&places) {
        job.finish().done();
        assert_behaved(&outputs.0.path().join("out"));
    }
    site.assert_unharmed();
}

#[test]
fn a_waiting_job_can_be_cancelled() {
    let site = Site::shared();
    let mut first = site.start("spin", &[]);
    first.wait_for("spinning");
    let mut second = site.start("behave", &[]);
    second.wait_for("waiting, number 1 in line");
    second.signal(Signal::INT);
    second.finish().failed(130, &["cancelled"]);
    let mut third = site.start("spin", &[]);
    third.wait_for("waiting, number 1 in line");
    first.signal(Signal::INT);
    third.wait_for("spinning");
    third.signal(Signal::INT);
    third.finish().failed(130, &[]);
    first.finish().failed(130, &[]);
    site.assert_unharmed();
}

#[test]
fn only_renters_on_the_list_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let keygen = isobit().args(["keygen", "-o"]).arg(&key).output().unwrap();
    let public = String::from_utf8(keygen.stdout).unwrap();
    let site = Site::own(&["--allow", public.trim()]);
    let words = ["the provider does not take jobs from this key", "isobit serve --allow KEY"];
    site.submit("behave", &[]).failed(2, &words);
    site.outputs.assert_empty();
    site.provider.settles();
    let allowed = site.submit("behave", &["--key", key.to_str().unwrap()]);
    allowed.done();
}

#[test]
fn an_input_file_that_is_not_there_is_named_before_anything_is_sent() {
    let site = Site::shared();
    let words = ["cannot open /no/such/file: No such file or directory"];
    site.submit("behave", &["-i", "a=/no/such/file"]).failed(2, &words);
    site.submit("behave", &["-i", "a=/proc"]).failed(2, &["/proc is not a regular file"]);
    site.assert_unharmed();
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let site = Site::shared();
    let words = ["cannot write /no/such/folder/out: there is no folder /no/such/folder", "mkdir -p /no/such/folder"];
    site.submit("pour", &["-p", "bytes=100000", "-o", "log=/no/such/folder/out"]).failed(2, &words);
    // Nothing was sent for it, to nobody: the address need not be right.
    let mut submit = isobit();
    submit.arg("submit").arg(misbehave()).args(["-p", "do=behave", "-o", "out=/no/such/folder/out", "--to"]);
    Ended::from(submit.arg(format!("no-such-host.invalid:4433#{STRANGER}")).output().unwrap()).failed(2, &words);
    site.assert_unharmed();
}

#[test]
fn limits_above_the_providers_are_refused_with_what_it_grants() {
    let site = Site::shared();
    let words = ["the job asks for 5368709120 of `device-memory`; the provider grants 4294967296", "lower the limit"];
    site.submit("behave", &["--device-memory", "5GiB"]).failed(2, &words);
    // No provider could grant these, so none is asked.
    site.submit("behave", &["--outputs", "257"]).failed(2, &["limit `outputs` is 257; the most is 256"]);
    site.submit("behave", &["--guest-memory", "5GiB"]).failed(2, &["limit `guest-memory` is 5368709120"]);
    site.assert_unharmed();
}

#[test]
fn blobs_that_do_not_fit_the_store_are_refused_before_they_are_sent() {
    let site = Site::own(&["--store-limit", "4MiB"]);
    let input = site.outputs.0.path().join("input");
    fs::write(&input, vec![1; 4 << 20]).unwrap();
    let too_large = site.submit("behave", &["-i", &format!("a={}", input.display())]);
    too_large.failed(2, &["of `blob-bytes`; the provider grants 2097152"]);
    fs::remove_file(&input).unwrap();
    site.assert_unharmed();
}

#[test]
fn a_component_of_another_world_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::shared();
    let foreign = component(&folder, r#"(component (import "wasi:http/types@0.2.0" (instance)))"#);
    let words = ["is not a workload", "the component imports `wasi:http/types@0.2.0`"];
    let submit = |workload: &PathBuf| Ended::from(site.provider.submit(workload).output().unwrap());
    let command =
        |name: &str, workload: &PathBuf| -> Ended { isobit().arg(name).arg(workload).output().unwrap().into() };
    // The answer of `inspect` is no; the others cannot do what they are asked to.
    submit(&foreign).failed(2, &words);
    command("run", &foreign).failed(2, &words);
    command("inspect", &foreign).failed(1, &["the component imports `wasi:http/types@0.2.0`"]);

    // The right name with the wrong type is found out where it is compiled.
    let text = r#"(component (core module $m (func (export "run"))) (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    let disguised = component(&folder, text);
    submit(&disguised).failed(2, &["the provider rejected the job: not a workload", "isobit inspect"]);
    command("run", &disguised).failed(2, &["the workload cannot be compiled"]);

    fs::write(&foreign, "\0asm and then nothing").unwrap();
    submit(&foreign).failed(2, &["is not a workload: not a WebAssembly component: it begins as WebAssembly does, but"]);
    site.assert_unharmed();
}

#[test]
fn a_provider_needs_a_free_address_and_a_device() {
    let site = Site::shared();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
    let serve = |args: &[&str]| -> Ended {
        let mut serve = isobit();
        serve.arg("serve").arg("--key").arg(&key).arg("--data-dir").arg(folder.path().join("data")).args(args);
        serve.output().unwrap().into()
    };
    let (taken, _) = site.provider.address.split_once('#').unwrap();
    serve(&["--listen", taken, "--device", super::DEVICE])
        .failed(2, &[&format!("cannot listen on {taken}"), "--listen"]);
    serve(&["--listen", "127.0.0.1:0", "--device", "no-such-device"]).failed(2, &["no-such-device"]);
    assert_serves(&site.provider);
}
