//! The jail as keepers of providers and users of `isobit run` meet it: on systems that have all of it, and on such that lack a part.
//! What a prisoner tries from inside is in `runtime/worker/src/jail/tests.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use support::{
    Ended, Provider, Running, children, eventually, has_ended, isobit, signal_to, test_guest, without, worker_of,
};

/// `isobit run` of the guest that does this, on the CPU device.
fn run(wish: &str) -> Command {
    let mut run = isobit();
    run.arg("run").arg(test_guest("misbehave")).args(["--device", "cpu", "-p", &format!("do={wish}")]);
    run
}

/// The worker of a command that runs a job.
fn worker(job: &Running) -> u32 {
    eventually("the worker", || children(job.pid()).first().copied().map(worker_of))
}

/// A line of what the system says of a process.
fn status(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim_start_matches(':').trim().to_owned()
}

fn without_landlock(command: &mut Command) -> &mut Command {
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];
    without(command, &calls, libc::ENOSYS)
}

fn without_namespaces(command: &mut Command) -> &mut Command {
    without(command, &[libc::SYS_unshare], libc::EPERM)
}

#[test]
fn a_guest_that_is_run_here_is_jailed_too() {
    let mut job = Running::start(&mut run("spin"));
    job.wait_for("spinning");
    let worker = worker(&job);
    assert_eq!((status(worker, "Seccomp"), status(worker, "NoNewPrivs")), ("2".into(), "1".into()));
    assert_eq!(status(worker, "CapEff"), "0000000000000000");
    assert_eq!(status(job.pid(), "Seccomp"), "0");
    job.signal(Signal::INT);
    job.finish().failed(130, &["cancelled"]);
    eventually("the worker's end", || has_ended(worker).then_some(()));
}

#[test]
fn a_worker_that_dies_here_is_a_fault_and_one_without_its_parent_ends() {
    let mut job = Running::start(&mut run("spin"));
    job.wait_for("spinning");
    signal_to(worker(&job), Signal::KILL);
    job.finish().failed(3, &["the worker died", "was ended by signal 9"]);

    let mut job = Running::start(&mut run("spin"));
    job.wait_for("spinning");
    let worker = worker(&job);
    job.signal(Signal::KILL);
    job.finish();
    eventually("the worker's end", || has_ended(worker).then_some(()));
}

#[test]
fn without_landlock_nothing_runs_unless_a_weak_jail_is_allowed() {
    let words = ["a worker cannot be jailed here: files: this kernel lacks Landlock", "--allow-weak-jail"];
    Ended::from(without_landlock(&mut run("behave")).output().unwrap()).failed(2, &words);
    let weak = Ended::from(without_landlock(run("behave").arg("--allow-weak-jail")).output().unwrap());
    weak.failed(0, &["warning: the job is jailed without files: this kernel lacks Landlock"]);

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    assert!(isobit().args(["keygen", "-q", "-o"]).arg(&key).output().unwrap().status.success());
    let mut serve = isobit();
    serve.args(["serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--key"]).arg(&key);
    serve.arg("--data-dir").arg(folder.path().join("data"));
    Ended::from(without_landlock(&mut serve).output().unwrap()).failed(2, &words);

    let doctor =
        Ended::from(without_landlock(isobit().args(["doctor", "--device", "cpu", "--json"])).output().unwrap());
    let jail = &doctor.json()["jail"];
    assert_eq!(jail["closed"], false);
    assert!(
        jail["gaps"].as_array().unwrap().iter().any(|gap| gap["wall"] == "files" && gap["required"] == true),
        "{jail}"
    );
}

#[test]
fn where_no_namespaces_are_permitted_jobs_run_and_what_is_missing_is_told() {
    Ended::from(without_namespaces(&mut run("behave")).output().unwrap()).failed(0, &["outcome  completed"]);
    let doctor = || without_namespaces(isobit().args(["doctor", "--device", "cpu"])).output().unwrap();
    Ended::from(doctor()).failed(0, &["can be jailed, but not in all ways", "without namespaces: not permitted here"]);
}

#[test]
fn a_worker_has_none_of_the_descriptors_that_the_provider_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "nobody's business").unwrap();
    let provider = Provider::start_holding(&secret);
    let open = |pid: u32| -> io::Result<Vec<PathBuf>> {
        let links = fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(Result::ok);
        Ok(links.filter_map(|link| fs::read_link(link.path()).ok()).collect())
    };
    assert!(open(provider.pid()).unwrap().contains(&secret));
    match open(provider.workers()[0]) {
        Ok(files) => assert!(!files.is_empty() && !files.contains(&secret), "{files:?}"),
        Err(error) => support::skip(&format!("only root may look at a worker: {error}")),
    }
}
