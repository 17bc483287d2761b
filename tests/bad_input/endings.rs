//! Guests that end badly, on this machine and at a provider: the same outcome, the same claim.

use serde_json::Value;

use super::{Outputs, Site, misbehave};
use crate::support::{Ended, devices, isobit};

/// `isobit run` of the guest that does this wrong.
fn run(wish: &str, args: &[&str], outputs: &Outputs) -> Ended {
    run_on(super::DEVICE, wish, args, outputs)
}

fn run_on(device: &str, wish: &str, args: &[&str], outputs: &Outputs) -> Ended {
    let mut run = isobit();
    run.arg("run").arg(misbehave()).args(["--device", device, "-p", &format!("do={wish}")]);
    run.args(["-o", &outputs.out()]).args(args).output().unwrap().into()
}

/// Asserts that a job ends as trapped, with this outcome and these words for people, and that its claim does not
/// depend on where it ran.
#[track_caller]
fn assert_traps(wish: &str, args: &[&str], cause: &Value, words: &[&str]) {
    let site = Site::shared();
    let there = site.submit(wish, args);
    there.failed(1, &[]);
    let answer = there.json();
    assert_eq!(answer["outcome"]["status"], "trapped");
    for (field, value) in cause.as_object().unwrap() {
        assert_eq!(&answer["outcome"][field], value, "{answer}");
    }
    assert_eq!(answer["outputs"], serde_json::json!({}));
    site.assert_unharmed();

    let outputs = Outputs::new();
    let here = run(wish, &[args, &["--json"]].concat(), &outputs);
    here.failed(1, &[]);
    assert_eq!(here.json()["claim"], answer["claim"], "{}\n{}", here.stdout, there.stdout);
    run(wish, args, &outputs).failed(1, words);
    outputs.assert_empty();
}

/// Asserts that a job ends without a claim, there and here.
#[track_caller]
fn assert_faults(wish: &str, args: &[&str], words: &[&str]) {
    let site = Site::shared();
    site.submit(wish, args).failed(3, words);
    site.assert_unharmed();
    let outputs = Outputs::new();
    run(wish, args, &outputs).failed(3, words);
    outputs.assert_empty();
}

fn guest_error(message: &str) -> Value {
    serde_json::json!({ "cause": "guest-error", "message": message })
}

fn limit(limit: &str) -> Value {
    serde_json::json!({ "cause": "limit", "limit": limit })
}

#[test]
fn a_guest_that_returns_an_error_is_quoted() {
    let message = "the planet is not there";
    assert_traps(
        "return-an-error",
        &[],
        &guest_error(message),
        &["trapped: the workload says: the planet is not there"],
    );
}

#[test]
fn a_guest_that_traps_is_named_by_its_trap() {
    let cause = serde_json::json!({ "cause": "guest-trap", "code": "unreachable" });
    assert_traps("trap", &[], &cause, &["trapped: the guest crashed (unreachable)"]);
}

#[test]
fn a_guest_that_panics_says_why_in_the_log() {
    let cause = serde_json::json!({ "cause": "guest-trap", "code": "unreachable" });
    assert_traps(
        "panic",
        &[],
        &cause,
        &["[guest error] panicked at ", "not my day", "the guest crashed (unreachable)"],
    );
}

#[test]
fn wgsl_that_does_not_parse_is_shown_with_line_and_caret() {
    let site = Site::shared();
    let answer = site.submit("broken-wgsl", &[]);
    answer.failed(1, &[]);
    let message = answer.json()["outcome"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("wgsl:4:5"), "{message}");
    site.assert_unharmed();
    let shown = run("broken-wgsl", &[], &Outputs::new());
    shown.failed(1, &["no definition in scope for identifier: `nubmers`"]);
    let mut lines = shown.stdout.lines();
    let source =
        lines.find(|line| line.contains("4 │     nubmers[id.x] *= 2u;")).unwrap_or_else(|| panic!("{}", shown.stdout));
    let marked = lines.next().unwrap();
    let column = |line: &str, text: &str| line.split_once(text).map(|(before, _)| before.chars().count());
    assert_eq!(column(marked, "^^^^^^^").unwrap(), column(source, "nubmers").unwrap(), "{}", shown.stdout);
}

#[test]
fn a_kernel_with_a_label_is_named_in_its_errors() {
    let shown = run("bind-too-little", &[], &Outputs::new());
    shown.failed(1, &["trapped: the workload says: twice: "]);
}

#[test]
fn a_bind_group_serves_several_dispatches_and_keeps_its_buffers() {
    let outputs = Outputs::new();
    run("bind-once", &["--json"], &outputs).done();
    let (_, path) = outputs.out().split_once('=').map(|(name, path)| (name.to_owned(), path.to_owned())).unwrap();
    let written = std::fs::read(path).unwrap();
    let quadrupled: Vec<u8> = (0..1000_u32).flat_map(|number| (number * 4).to_le_bytes()).collect();
    assert_eq!(written, quadrupled);
}

#[test]
fn what_a_guest_says_in_several_lines_does_not_pass_for_ours() {
    let shown = run("broken-wgsl", &[], &Outputs::new());
    let ours = ["outcome", "job", "claim", "rules", "fuel", "device"];
    for line in shown.stdout.lines() {
        assert!(
            line.is_empty() || line.starts_with(' ') || ours.iter().any(|field| line.starts_with(field)),
            "{line:?}"
        );
    }
}

#[test]
fn a_guest_that_runs_out_of_fuel_is_told_how_to_get_more() {
    let cause = serde_json::json!({ "cause": "fuel" });
    assert_traps(
        "spin",
        &["--fuel", "4G"],
        &cause,
        &["the guest's fuel ran out; raise it with --fuel (limit fuel: 4_000_000_000 of 4_000_000_000 used)"],
    );
}

#[test]
fn a_guest_that_runs_out_of_kernel_fuel_is_told_how_to_get_more() {
    let cause = serde_json::json!({ "cause": "kernel-fuel" });
    let words = ["the fuel for dispatches ran out; raise it with --kernel-fuel", "of 1_000_000 used"];
    assert_traps("dispatch-too-much", &["--kernel-fuel", "1M"], &cause, &words);
}

#[test]
fn a_kernel_that_never_ends_runs_out_of_kernel_fuel_and_claims_the_same_everywhere() {
    let cause = serde_json::json!({ "cause": "kernel-fuel" });
    let args = ["--kernel-fuel", "200K"];
    assert_traps("spin-in-a-kernel", &args, &cause, &["the fuel for dispatches ran out"]);
    let claims: Vec<Value> = devices()
        .iter()
        .map(|device| {
            let outputs = Outputs::new();
            let args = [&args[..], &["--json"]].concat();
            let answer = run_on(&device.index, "spin-in-a-kernel", &args, &outputs).json();
            assert_eq!(answer["cost"]["kernel-fuel"], 200_000, "on {}: {answer}", device.name);
            answer["claim"].clone()
        })
        .collect();
    assert!(claims.iter().all(|claim| *claim == claims[0]), "{claims:?}");
}

#[test]
fn a_guest_that_hoards_memory_meets_its_limit() {
    let words = ["the limit guest-memory was reached; raise it with --guest-memory (more than 16 MiB asked for)"];
    assert_traps("hoard-guest-memory", &["--guest-memory", "16MiB"], &limit("guest-memory"), &words);
}

#[test]
fn a_guest_that_hoards_device_memory_meets_its_limit() {
    let message = "out of device memory: 1048576 bytes asked for, 16777216 of 16777216 in use; \
                   use smaller buffers or raise the job's limit device-memory";
    assert_traps("hoard-device-memory", &["--device-memory", "16MiB"], &guest_error(message), &[message]);
}

#[test]
fn a_guest_that_hoards_handles_meets_a_limit_that_no_flag_raises() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    std::fs::write(&input, "anything").unwrap();
    let input = format!("a={}", input.display());
    assert_traps(
        "hoard-handles",
        &["-i", &input],
        &limit("handles"),
        &["trapped: the limit handles was reached (more than 65_536 held at once)"],
    );
    let shown = run("hoard-handles", &["-i", &input], &Outputs::new());
    assert!(!shown.stdout.contains("--handles"), "{}", shown.stdout);
}

#[test]
fn a_guest_that_has_the_host_remember_too_much_meets_a_limit_that_no_flag_raises() {
    let cause = serde_json::json!({ "cause": "guest-error" });
    for wish in ["hoard-commands", "hoard-kernels"] {
        assert_traps(wish, &[], &cause, &["limit host-memory exceeded: ", "at most 536870912 allowed"]);
    }
}

#[test]
fn a_guest_that_writes_too_much_meets_its_limit() {
    let message = "limit output-bytes exceeded: 1048577 asked for, at most 1048576 allowed";
    let args = ["--output-bytes", "1MiB", "-p", "bytes=1048577"];
    assert_traps("write-too-much", &args, &guest_error(message), &[message]);
}

#[test]
fn a_guest_that_makes_too_many_outputs_meets_its_limit() {
    let message = "limit outputs exceeded: 4 asked for, at most 3 allowed";
    assert_traps("many-outputs", &["--outputs", "3"], &guest_error(message), &[message]);
}

#[test]
fn an_output_is_created_once_and_by_a_good_name() {
    let message = "output `out` was created before; outputs are written once";
    assert_traps("output-twice", &[], &guest_error(message), &[message]);
    let message = "`../out` is no name for an input or output: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, \
                   with a letter or digit first";
    assert_traps("bad-name", &[], &guest_error(message), &[message]);
}

#[test]
fn an_input_that_the_job_lacks_is_named() {
    let message = "the job has no input `no-such-input`";
    assert_traps("missing-input", &[], &guest_error(message), &[message]);
}

#[test]
fn endless_recursion_meets_a_limit_and_is_billed() {
    let cause = serde_json::json!({ "cause": "limit", "limit": "call-depth" });
    assert_traps("recurse", &[], &cause, &["the limit call-depth was reached"]);
}

#[test]
fn a_job_whose_fuel_does_not_pay_for_compiling_is_refused() {
    let refused = run("behave", &["--fuel", "1M"], &Outputs::new());
    refused.failed(2, &["compiling the workload's", "the job has 1000000: raise its limit `fuel`"]);
}

#[test]
fn a_guest_that_runs_past_the_deadline_is_given_up() {
    assert_faults("spin", &["--deadline", "300ms"], &["the job did not end before its deadline"]);
}

#[test]
fn a_kernel_that_never_ends_is_given_up_at_the_deadline() {
    let Some(device) = super::device_with_endless_loops() else { return };
    let args = ["--profile", "native", "--deadline", "300ms"];
    let refusing = Site::on(&device, &super::ONE_JOB);
    refusing.submit("spin-in-a-kernel", &args).failed(2, &["runs no jobs of profile native", "--allow-native"]);
    let site = Site::on(&device, &[&super::ONE_JOB[..], &["--allow-native"]].concat());
    site.submit("spin-in-a-kernel", &args).failed(3, &["the job did not end before its deadline"]);
    site.assert_unharmed();
    let outputs = Outputs::new();
    run_on(&device, "spin-in-a-kernel", &args, &outputs).failed(3, &["the job did not end before its deadline"]);
    outputs.assert_empty();
}

#[test]
fn a_job_ends_at_its_deadline_while_a_driver_compiles_its_kernel() {
    let args = ["--deadline", "1s"];
    let site = Site::own(&super::ONE_JOB);
    site.submit("compile-for-long", &args).failed(3, &["the job did not end before its deadline"]);
    site.assert_unharmed();
    let outputs = Outputs::new();
    run("compile-for-long", &args, &outputs).failed(3, &["the job did not end before its deadline"]);
    outputs.assert_empty();
}

#[test]
fn a_race_between_invocations_is_found_when_looked_for() {
    let look = |wish: &str, args: &[&str]| -> Ended {
        let outputs = Outputs::new();
        let mut run = isobit();
        run.arg("run").arg(misbehave()).args(["--detect-races", "-p", &format!("do={wish}"), "-o", &outputs.out()]);
        run.args(args).output().unwrap().into()
    };
    let none = look("behave", &["--json"]);
    let clear = serde_json::json!({ "found": [], "more_found": false, "all_memory_followed": true });
    assert_eq!((none.code, &none.json()["races"]), (Some(0), &clear), "{}", none.stderr);
    let race = "`race`: word 0 of @group(0) @binding(0): invocation (0, 0, 0) writes at 5:5, invocation (1, 0, 0) writes at 5:5";
    look("race", &[]).failed(1, &[race]);
    let some = look("race", &["--json"]);
    some.failed(1, &[]);
    let races = some.json()["races"].clone();
    let found = &races["found"][0];
    assert_eq!((&found["entry_point"], &found["word"]), (&"race".into(), &0.into()), "{races}");
    assert_eq!(found["memory"], serde_json::json!({ "group": 0, "binding": 0 }));
    for (access, local) in [(&found["accesses"][0], 0), (&found["accesses"][1], 1)] {
        assert_eq!(access["workgroup"], serde_json::json!([0, 0, 0]), "{races}");
        assert_eq!(access["local_invocation"], serde_json::json!([local, 0, 0]), "{races}");
        assert_eq!((&access["writes"], &access["atomic"]), (&true.into(), &false.into()), "{races}");
        assert_eq!((&access["location"]["line"], &access["location"]["column"]), (&5.into(), &5.into()), "{races}");
    }
}
