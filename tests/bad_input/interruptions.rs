//! Who goes away, and when: renters, workers, providers.

use std::time::Duration;

use isobit_job::FaultKind;
use isobit_wire::{ToProvider, ToRenter};
use rustix::process::Signal;

use super::client::{Client, spec};
use super::{ONE_JOB, Outputs, Site, misbehave};
use crate::support::{Running, eventually, has_ended, isobit, signal_to};

/// The worker of the one job that runs at a site. There is no spare beside it, because one is made when a job ends.
fn worker(site: &Site) -> u32 {
    let workers = site.provider.workers();
    assert_eq!(workers.len(), 1, "{workers:?}");
    workers[0]
}

fn assert_gone(pid: u32) {
    eventually("the worker's end", || has_ended(pid).then_some(()));
}

#[test]
fn ctrl_c_cancels_the_job_at_the_provider() {
    let site = Site::own(&ONE_JOB);
    let mut job = site.start("half-an-output", &[]);
    job.wait_for("half of it is written");
    let worker = worker(&site);
    job.signal(Signal::INT);
    job.finish().failed(130, &["cancelled"]);
    assert_gone(worker);
    site.assert_unharmed();
}

/// Cancels a job, and waits for the provider's answer.
async fn cancel(job: &mut Client) {
    job.say(&ToProvider::Cancel).await;
    let last = job.last().await;
    assert!(matches!(&last, ToRenter::Faulted(fault) if fault.kind == FaultKind::Cancelled), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_in_whatever_state_it_is() {
    let site = Site::own(&["--slots", "1", "--waiting", "1"]);
    let submit =
        async |wish: &str| Client::submit(&site.provider, &spec(wish, &[], &[]), Duration::from_secs(600)).await;
    // It waits for its blobs.
    let mut job = submit("behave").await;
    assert_eq!(job.missing().await.len(), 1);
    cancel(&mut job).await;

    // Its worker starts, and comes no further. There is no spare one.
    let spare = worker(&site);
    signal_to(spare, Signal::KILL);
    assert_gone(spare);
    let mut starting = submit("behave").await;
    starting.bring_workload().await;
    let starts = eventually("a worker that starts", || {
        site.provider.workers().into_iter().find(|pid| *pid != spare).inspect(|pid| signal_to(*pid, Signal::STOP))
    });
    starting.hear_of(|message| matches!(message, ToRenter::Accepted { .. }).then_some(())).await;

    // It waits for its turn.
    let mut queued = submit("behave").await;
    queued.bring_workload().await;
    let told = queued.hear_of(|message| match message {
        ToRenter::Queued { position, reason } => Some((*position, reason.clone())),
        _ => None,
    });
    assert_eq!(told.await, (1, "the one slot is taken; yours is next".to_owned()));
    cancel(&mut queued).await;
    cancel(&mut starting).await;
    assert_gone(starts);

    // It runs, and an output is on its way.
    let mut running = submit("half-an-output").await;
    running.bring_workload().await;
    running.hear_of(|message| matches!(message, ToRenter::Output { .. }).then_some(())).await;
    let runs = worker(&site);
    cancel(&mut running).await;
    assert_gone(runs);
    site.assert_unharmed();
}

#[test]
fn a_closed_terminal_and_a_request_to_end_cancel_the_job_as_ctrl_c_does() {
    let site = Site::own(&ONE_JOB);
    for signal in [Signal::HUP, Signal::TERM] {
        let mut job = site.start("half-an-output", &[]);
        job.wait_for("half of it is written");
        let worker = worker(&site);
        job.signal(signal);
        job.finish().failed(130, &["cancelled"]);
        assert_gone(worker);
        site.assert_unharmed();
        assert!(site.provider.log().contains("cancelled by the renter"), "{}", site.provider.log());
        // Here, too.
        let outputs = Outputs::new();
        let mut run = isobit();
        run.arg("run").arg(misbehave()).args([
            "--device",
            super::DEVICE,
            "-p",
            "do=half-an-output",
            "-o",
            &outputs.out(),
        ]);
        let mut job = Running::start(&mut run);
        job.wait_for("half of it is written");
        job.signal(signal);
        job.finish().failed(130, &["cancelled"]);
        outputs.assert_empty();
    }
    assert!(!site.provider.log().contains("faulted"), "{}", site.provider.log());
}

#[test]
fn a_job_under_nohup_outlives_the_terminal() {
    let site = Site::own(&ONE_JOB);
    let mut submit = std::process::Command::new("sh");
    submit.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_isobit"), "submit"]).arg(misbehave());
    submit.args(["--to", &site.provider.address, "-p", "do=half-an-output", "-o", &site.outputs.out()]);
    let mut job = Running::start(submit.env("XDG_CONFIG_HOME", site.outputs.0.path()));
    job.wait_for("half of it is written");
    let worker = worker(&site);
    job.signal(Signal::HUP);
    // Were it heard, the job would be over before the next signal.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!has_ended(worker));
    job.signal(Signal::TERM);
    job.finish().failed(130, &["cancelled"]);
    assert_gone(worker);
    site.assert_unharmed();
}

#[test]
fn ctrl_c_ends_a_job_that_runs_here() {
    assert_ctrl_c_ends(super::DEVICE, "half-an-output", "half of it is written");
    if let Some(device) = super::device_with_endless_loops() {
        assert_ctrl_c_ends(&device, "spin-in-a-kernel", "spinning");
    }
}

/// Asserts that Ctrl-C ends `isobit run` of this, once it has said that it has begun.
fn assert_ctrl_c_ends(device: &str, wish: &str, begun: &str) {
    let outputs = Outputs::new();
    let mut run = isobit();
    run.arg("run").arg(misbehave()).args(["--device", device, "-p", &format!("do={wish}")]);
    let mut job = Running::start(run.args(["-o", &outputs.out()]));
    job.wait_for(begun);
    job.signal(Signal::INT);
    job.finish().failed(130, &[]);
    outputs.assert_empty();
}

#[test]
fn a_worker_that_dies_costs_its_job_and_no_other() {
    let site = Site::own(&ONE_JOB);
    let mut job = site.start("half-an-output", &[]);
    job.wait_for("half of it is written");
    signal_to(worker(&site), Signal::KILL);
    job.finish().failed(3, &["the provider faulted: the worker died", "the job is not to blame"]);
    site.assert_unharmed();
}

#[test]
fn a_spare_worker_that_dies_is_not_missed() {
    let site = Site::own(&ONE_JOB);
    let spare = worker(&site);
    signal_to(spare, Signal::KILL);
    assert_gone(spare);
    site.assert_unharmed();
}

#[test]
fn a_renter_that_is_killed_frees_its_place() {
    let site = Site::own(&ONE_JOB);
    let mut job = site.start("spin", &[]);
    job.wait_for("spinning");
    let worker = worker(&site);
    job.signal(Signal::KILL);
    assert_eq!(job.finish().code, None);
    assert_gone(worker);
    site.assert_unharmed();
}

#[test]
fn a_provider_that_is_killed_leaves_the_renter_without_half_an_output() {
    let site = Site::own(&ONE_JOB);
    let mut job = site.start("half-an-output", &[]);
    job.wait_for("half of it is written");
    let worker = worker(&site);
    site.provider.kill();
    assert_gone(worker);
    job.finish()
        .failed(3, &["the connection to the provider broke", "submit the job again, here or to another provider"]);
    site.outputs.assert_empty();
}

#[test]
fn a_provider_that_is_stopped_says_so_to_its_renters() {
    let site = Site::own(&ONE_JOB);
    let mut job = site.start("half-an-output", &[]);
    job.wait_for("half of it is written");
    let worker = worker(&site);
    site.provider.stop_at_once();
    job.finish().failed(3, &["the provider faulted: the provider was shut down", "the job is not to blame"]);
    site.outputs.assert_empty();
    assert_gone(worker);
}

#[test]
fn a_provider_that_is_stopped_turns_away_who_waits() {
    let site = Site::own(&[]);
    let mut running = site.start("spin", &[]);
    running.wait_for("spinning");
    let mut waiting = site.start("behave", &[]);
    waiting.wait_for("waiting, number 1 in line");
    site.provider.stop_at_once();
    waiting.finish().failed(2, &["the provider is shutting down", "submit it to another provider"]);
    running.finish().failed(3, &["the provider was shut down"]);
    site.outputs.assert_empty();
}
