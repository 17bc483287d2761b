//! A guest that asks Rust's standard library for all that differs between machines and moments is told the same
//! every time, and is not let out of the sandbox.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{Ended, Provider, devices, isobit};

fn guest() -> PathBuf {
    support::build_with(&support::repository().join("tests/guests/wasi"), "test-wasi", &["--target", "wasm32-wasip1"])
}

/// What a run came to: its claim, what the guest was told, and what it logged.
fn run(device: &str, guest: &Path, greeting: &str) -> (String, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut run = isobit();
    run.arg("run").arg(guest).args(["--json", "--device", device, "-p", &format!("greeting={greeting}")]);
    let ended = Ended::from(run.arg("-o").arg(format!("out={}", out.display())).output().unwrap());
    (ended.done()["claim"].to_string(), fs::read_to_string(out).unwrap(), ended.stderr)
}

#[test]
fn a_wasi_guest_sees_one_world_on_every_run_and_device() {
    let guest = guest();
    let devices = devices();
    let (claim, told, log) = run(&devices[0].index, &guest, "hello");
    for device in &devices {
        let again = run(&device.index, &guest, "hello");
        assert_eq!((&again.0, &again.1), (&claim, &told), "on {}", device.name);
    }
    let provider = Provider::start(&devices[0].index, &[]);
    let there = Ended::from(provider.submit(&guest).args(["-p", "greeting=hello"]).output().unwrap());
    assert_eq!(there.done()["claim"].to_string(), claim);

    assert!(log.contains("[guest]       a line on standard output"), "{log}");
    assert!(log.contains("[guest warn]  a line on standard error"), "{log}");
    let line = |start: &str| told.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert_eq!(line("args"), r#"args ["workload"]"#);
    assert_eq!(line("vars"), r#"vars [("greeting", "hello")]"#);
    // An hour of sleep passes at once, by a clock that moves when it is asked.
    assert_eq!(line("slept"), "slept 3600 s");
    assert!(line("now").starts_with("now 17356932"), "{}", line("now"));
}

#[test]
fn another_job_has_another_seed() {
    let guest = guest();
    let device = &devices()[0].index;
    let order = |greeting: &str| {
        let (_, told, _) = run(device, &guest, greeting);
        told.lines().find(|line| line.starts_with("order")).unwrap().to_owned()
    };
    assert_ne!(order("hello"), order("good evening"));
}

/// A program with `main`, as a component.
fn command() -> PathBuf {
    support::build(&support::repository().join("tests/guests/command"), "test-command")
}

/// Runs the program on a device, with these arguments of `isobit run` and these of the program.
fn try_command(device: &str, job: &[&str], program: &[&str]) -> Ended {
    let mut run = isobit();
    run.arg("run").arg(command()).args(["--device", device]).args(job).arg("--").args(program);
    run.output().unwrap().into()
}

fn claim(ended: &Ended) -> String {
    // The answer is where the command's own output is not.
    let mut lines = ended.stderr.lines().chain(ended.stdout.lines());
    lines.find(|line| line.starts_with("claim")).unwrap_or_else(|| panic!("{}", ended.stderr)).to_owned()
}

#[test]
fn a_command_is_told_its_job_as_its_standard_library_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let stdin = folder.path().join("stdin");
    fs::write(&stdin, "typed").unwrap();
    let input = format!("stdin={}", stdin.display());
    let job = ["-i", &input, "--env", "HOME=/in", "--env", "EMPTY=", "-p", "level=3"];
    let mut claims = Vec::new();
    for device in devices() {
        let ended = try_command(&device.index, &job, &["tell", "two words", "", "ä\n\"-x"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let told: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(
            told,
            [
                r#"args ["tell", "two words", "", "ä\n\"-x"]"#,
                r#"vars [("EMPTY", ""), ("HOME", "/in"), ("level", "3")]"#,
                r#"stdin "typed""#
            ]
        );
        assert!(ended.stderr.contains("[guest warn]  for the log"), "{}", ended.stderr);
        claims.push(claim(&ended));
    }
    claims.dedup();
    assert_eq!(claims.len(), 1);
}

#[test]
fn an_input_is_a_file_and_an_archive_is_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut archive = tar::Builder::new(Vec::new());
    let long = format!("{}/deep.txt", ["a-folder-with-a-long-name"; 8].join("/"));
    for (path, text) in [("one.txt", "1"), ("./sub/two.txt", "22"), (&long, "333"), ("one.txt", "the later one")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let archive = archive.into_inner().unwrap();
    fs::write(at("tree.tar"), &archive).unwrap();
    fs::write(at("cut.tar"), &archive[..512]).unwrap();
    fs::write(at("text"), "some").unwrap();
    let inputs: Vec<_> =
        ["tree.tar", "cut.tar", "text"].map(|name| format!("{name}={}", at(name).display())).into_iter().collect();
    let job: Vec<&str> = inputs.iter().flat_map(|input| ["-i", input]).collect();
    let ended = try_command("cpu", &job, &["tree"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut expected = vec!["cut.tar \"one.txt".to_owned(), r#"text "some""#.to_owned(), "tree/".to_owned()];
    expected.extend((0..8).map(|depth| format!("{}a-folder-with-a-long-name/", "  ".repeat(depth + 1))));
    expected.push(format!("{}deep.txt \"333\"", "  ".repeat(9)));
    expected.extend(
        [r#"  one.txt "the later one""#, "  sub/", r#"    two.txt "22""#, "tree.tar \"one.txt"].map(str::to_owned),
    );
    let told: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(told.len(), expected.len(), "{}", ended.stdout);
    for (line, expected) in told.iter().zip(&expected) {
        assert!(line.starts_with(expected.as_str()), "{line:?} {expected:?}");
    }
    assert!(ended.stderr.contains("input cut.tar is only a file"), "{}", ended.stderr);
}

#[test]
fn a_command_reads_and_writes_much_here_and_at_a_provider() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes: Vec<u8> =
        (0..3_000_000_u32).flat_map(|at| (at.wrapping_mul(at) >> 7).to_le_bytes().into_iter().take(1)).collect();
    fs::write(at("bytes"), &bytes).unwrap();
    let input = format!("stdin={}", at("bytes").display());
    let named = |name: &str| format!("{name}={}", at(name).display());
    let outputs = [named("copy"), named("part"), named("stdout")];
    let mut job = vec!["-i", &input];
    job.extend(outputs.iter().flat_map(|output| ["-o", output]));
    let here = try_command("cpu", &job, &["copy"]);
    assert_eq!(here.code, Some(0), "{}", here.stderr);
    let check = || {
        assert!(fs::read(at("copy")).unwrap() == bytes && fs::read(at("stdout")).unwrap() == bytes);
        assert_eq!(fs::read(at("part")).unwrap(), bytes[1_000_000..1_001_000]);
    };
    check();
    let provider = Provider::start("cpu", &[]);
    let there: Ended = provider.submit(&command()).args(&job).args(["--", "copy"]).output().unwrap().into();
    check();
    assert!(claim(&here).ends_with(there.done()["claim"].as_str().unwrap()), "{}", here.stderr);
}

#[test]
fn a_command_meets_its_limits_as_errors_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "some").unwrap();
    let ended = try_command("cpu", &["-i", &format!("text={}", text.display())], &["breaches"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ended.stdout.lines() {
        assert!(!line.ends_with(": done"), "{line}");
    }
    assert_eq!(ended.stdout.lines().count(), 12, "{}", ended.stdout);
    assert!(ended.stdout.contains("read what is not there: No such file"), "{}", ended.stdout);
    assert!(ended.stdout.contains("write an input: Read-only file system"), "{}", ended.stdout);

    let much = try_command("cpu", &["--output-bytes", "1MiB"], &["too-much"]);
    much.failed(1, &["after 1048576 bytes", "exit status 1"]);
    try_command("cpu", &[], &["exit"]).failed(1, &["exit status 1"]);
    // Only a command has arguments.
    let workload = guest();
    let refused: Ended = isobit().arg("run").arg(workload).args(["--", "x"]).output().unwrap().into();
    refused.failed(2, &["only a WASI command takes arguments"]);
}

#[test]
fn a_core_module_that_is_a_program_runs_as_it_is() {
    let module = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "from a module\0a")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 14))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let folder = tempfile::tempdir().unwrap();
    let (program, receipt) = (folder.path().join("program.wasm"), folder.path().join("receipt"));
    fs::write(&program, wat::parse_str(module).unwrap()).unwrap();
    let provider = Provider::start("cpu", &[]);
    let told = folder.path().join("told");
    let mut submit = provider.submit(&program);
    submit.arg("--receipt").arg(&receipt).arg("-o").arg(format!("stdout={}", told.display()));
    Ended::from(submit.output().unwrap()).done();
    assert_eq!(fs::read_to_string(told).unwrap(), "from a module\n");
    let verified: Ended = isobit().arg("verify").arg(&receipt).arg("--rerun").arg(&program).output().unwrap().into();
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let before = fs::read(&program).unwrap();
    let onto = format!("stdout={}", program.display());
    let refused: Ended = isobit().arg("run").arg(&program).args(["-o", &onto]).output().unwrap().into();
    refused.failed(2, &["workload"]);
    assert_eq!(fs::read(&program).unwrap(), before);
    fs::write(&program, wat::parse_str("(module (func (export \"other\")))").unwrap()).unwrap();
    let refused: Ended = isobit().arg("run").arg(&program).output().unwrap().into();
    refused.failed(2, &["the core module is no program for WASI"]);
}
