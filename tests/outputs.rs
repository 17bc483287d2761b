//! Where outputs go: files, links, pipes, devices and stdout. Nothing that is there is destroyed, mistakes are found before the
//! work, and what was computed is not thrown away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Ended, Provider, Running, eventually, isobit, test_guest};
use tempfile::TempDir;

/// What `do=two-outputs` writes to `out`.
const OUT: &[u8] = b"the one";

/// A folder to run jobs in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `isobit run` in it, of the guest that does this.
    fn command(&self, wish: &str, args: &[&str]) -> Command {
        let mut run = isobit();
        run.arg("run").arg(test_guest("misbehave")).args(["--device", "cpu", "-p", &format!("do={wish}")]).args(args);
        run.current_dir(self.0.path()).env("XDG_CONFIG_HOME", self.path("nothing"));
        run
    }

    /// Runs the guest that writes `out` and `log`.
    fn run(&self, args: &[&str]) -> Ended {
        self.command("two-outputs", args).output().unwrap().into()
    }

    /// Asserts that this is refused before the guest runs, with these words, and that nothing was made or changed.
    #[track_caller]
    fn refused(&self, args: &[&str], words: &[&str]) {
        let before = self.names();
        let ended = self.run(args);
        ended.failed(2, words);
        ended.failed(2, &["hint"]);
        assert!(!ended.stderr.contains("not asked for"), "the workload ran: {}", ended.stderr);
        assert_eq!(self.names(), before, "{args:?}");
    }

    /// What is in it, by name.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A key, whose file name is returned.
    fn key(&self) -> String {
        let path = self.path("key");
        assert!(isobit().args(["keygen", "-q", "-o"]).arg(&path).output().unwrap().status.success());
        path.to_str().unwrap().to_owned()
    }
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_permissions() {
    let folder = Folder::new();
    folder.write("x", "old");
    fs::set_permissions(folder.path("x"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(folder.path("x")).unwrap().ino();
    folder.run(&["-o", "out=x"]).failed(0, &["output   out", "x\n"]);
    assert_eq!(folder.read("x"), OUT);
    let after = fs::metadata(folder.path("x")).unwrap();
    assert_eq!(after.permissions().mode() & 0o7777, 0o640);
    // In one step: whoever had it open has the old one whole.
    assert_ne!(after.ino(), before);
    assert_eq!(folder.names(), ["x"]);
    // A job that fails leaves it as it is.
    folder.write("x", "old");
    let ended: Ended = folder.command("return-an-error", &["-o", "out=x"]).output().unwrap().into();
    ended.failed(1, &["the planet is not there"]);
    assert_eq!(folder.read("x"), b"old");
}

#[test]
fn a_new_file_has_the_permissions_of_any_new_file() {
    let folder = Folder::new();
    folder.run(&["-o", "out=x"]).failed(0, &[]);
    folder.write("y", "");
    let mode = |name| fs::metadata(folder.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("x"), mode("y"));
}

#[test]
fn dash_is_stdout_and_nothing_else_goes_there() {
    let folder = Folder::new();
    let ended = folder.run(&["-o", "out=-"]);
    assert_eq!((ended.code, ended.stdout.as_bytes()), (Some(0), OUT), "{}", ended.stderr);
    // The answer is on the other side.
    assert!(ended.stderr.contains("outcome  completed") && ended.stderr.contains("stdout"), "{}", ended.stderr);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    folder.refused(&["-o", "out=-", "--json"], &["stdout cannot take both"]);
    folder.refused(&["-o", "out=-", "-o", "log=-"], &["the output log and the output out go to one file: stdout"]);
    folder.refused(&["-o", "out=-", "-o", "log=/dev/stdout"], &["go to one file", "/dev/stdout"]);
    // A receipt is one of them.
    let key = folder.key();
    let ended = folder.run(&["-o", "out=x", "--receipt", "-", "--key", &key, "-q"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    folder.write("r.json", &ended.stdout);
    Ended::from(isobit().arg("verify").arg(folder.path("r.json")).output().unwrap()).failed(0, &["agrees"]);
    // A file of that name is still to be had.
    folder.run(&["-o", "out=./-"]).failed(0, &[]);
    assert_eq!(folder.read("-"), OUT);
}

#[test]
fn a_job_that_fails_writes_nothing_to_stdout() {
    let folder = Folder::new();
    let ended: Ended = folder.command("half-an-output", &["-o", "out=-", "--fuel", "4G"]).output().unwrap().into();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("the guest's fuel ran out"), "{}", ended.stderr);
}

#[test]
fn what_stdout_leads_to_is_written_into_by_whatever_name() {
    let folder = Folder::new();
    for (name, redirected) in [("/dev/stdout", "a"), ("/proc/self/fd/1", "b"), ("c", "c")] {
        let file = fs::File::create(folder.path(redirected)).unwrap();
        let before = file.metadata().unwrap().ino();
        let status =
            folder.command("two-outputs", &["-q", "-o", &format!("out={name}")]).stdout(file).status().unwrap();
        assert!(status.success(), "{name}");
        assert_eq!(folder.read(redirected), OUT, "{name}");
        assert_eq!(fs::metadata(folder.path(redirected)).unwrap().ino(), before, "{name}");
    }
    let dev = fs::symlink_metadata("/dev/stdout").unwrap();
    assert!(dev.file_type().is_symlink());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = Folder::new();
    let mut run = folder.command("pour", &["-p", "bytes=3000000", "-o", "out=-"]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().unwrap());
    ended.failed(0, &["outcome  completed"]);
}

#[test]
fn devices_are_written_into_and_stay() {
    let folder = Folder::new();
    let before = fs::metadata("/dev/null").unwrap();
    // Any number of outputs may be thrown away.
    folder.run(&["-o", "out=/dev/null", "-o", "log=/dev/null"]).failed(0, &["/dev/null"]);
    let after = fs::metadata("/dev/null").unwrap();
    assert!(after.file_type().is_char_device());
    assert_eq!((after.ino(), after.rdev()), (before.ino(), before.rdev()));
    // A device that has no room says so, and what was to go there is not lost.
    let ended = folder.run(&["-o", "out=/dev/full"]);
    ended.failed(2, &["cannot write the output out to /dev/full: No space left", "output out is in ./isobit-"]);
    let [kept] = folder.names().try_into().unwrap();
    assert_eq!(folder.read(&kept), OUT);
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}

#[test]
fn a_named_pipe_is_written_into_when_somebody_reads_it() {
    let folder = Folder::new();
    mkfifo(&folder.path("pipe"));
    let mut job = Running::start(&mut folder.command("two-outputs", &["-o", "out=pipe", "-o", "log=x"]));
    job.wait_for("waiting until somebody reads");
    let path = folder.path("pipe");
    let reader = std::thread::spawn(move || fs::read(path).unwrap());
    job.finish().failed(0, &["outcome  completed"]);
    assert_eq!(reader.join().unwrap(), OUT);
    assert!(fs::symlink_metadata(folder.path("pipe")).unwrap().file_type().is_fifo());
    folder.refused(&["-o", "out=pipe", "-o", "log=./pipe"], &["go to one file: "]);
}

#[test]
fn a_reader_is_waited_for_until_the_user_has_enough() {
    let folder = Folder::new();
    mkfifo(&folder.path("pipe"));
    let mut job = Running::start(&mut folder.command("two-outputs", &["-o", "out=pipe"]));
    job.wait_for("waiting until somebody reads");
    job.signal(rustix::process::Signal::INT);
    job.finish().failed(130, &[]);
    assert_eq!(folder.names(), ["pipe"]);
}

#[test]
fn links_are_followed_and_stay() {
    let folder = Folder::new();
    fs::create_dir(folder.path("real")).unwrap();
    folder.write("real/x", "old");
    symlink("real/x", folder.path("link")).unwrap();
    symlink("link", folder.path("link-to-link")).unwrap();
    folder.run(&["-o", "out=link-to-link"]).failed(0, &[]);
    assert_eq!(folder.read("real/x"), OUT);
    // To a file that is not there yet.
    symlink("real/new", folder.path("dangling")).unwrap();
    folder.run(&["-o", "out=dangling"]).failed(0, &[]);
    assert_eq!(folder.read("real/new"), OUT);
    for link in ["link", "link-to-link", "dangling"] {
        assert!(fs::symlink_metadata(folder.path(link)).unwrap().file_type().is_symlink(), "{link}");
    }
    symlink("no/such/folder", folder.path("nowhere")).unwrap();
    folder.refused(&["-o", "out=nowhere"], &["cannot write nowhere: there is no folder no/such"]);
    symlink("round", folder.path("round")).unwrap();
    folder.refused(&["-o", "out=round"], &["cannot write round: "]);
}

#[test]
fn mistakes_in_paths_are_found_before_the_work() {
    let folder = Folder::new();
    fs::create_dir(folder.path("folder")).unwrap();
    folder.write("file", "old");
    folder.refused(&["-o", "out=folder"], &["folder is a folder", "folder/NAME"]);
    folder.refused(&["-o", "out=folder/"], &["folder/ is a folder"]);
    folder.refused(&["-o", "out=no/such/x"], &["there is no folder no/such", "mkdir -p no/such"]);
    folder.refused(&["-o", "out=new/"], &["there is no folder new/"]);
    folder.refused(&["-o", "out=~/x"], &["there is no folder ~", "$HOME"]);
    folder.refused(&["-o", "out=file/x"], &["cannot write file/x: Not a directory"]);
    let key = folder.key();
    folder.refused(&["-o", "out=x", "--receipt", "no/r.json", "--key", &key], &["the receipt: cannot write no/r.json"]);
    let socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    folder.refused(&["-o", "out=socket"], &["socket is a socket"]);
    drop(socket);
    assert_eq!(folder.read("file"), b"old");
}

#[test]
fn places_without_permission_or_room_are_refused_before_the_work() {
    let folder = Folder::new();
    // What only root may do to anybody else's.
    folder.refused(&["-o", "out=/proc/version"], &["cannot write /proc/version"]);
    folder.refused(&["-o", "out=/proc/new"], &["cannot write /proc/new"]);
    if rustix::process::geteuid().is_root() {
        return support::skip("root may write anywhere, so permissions are not tried");
    }
    folder.write("locked", "old");
    fs::set_permissions(folder.path("locked"), fs::Permissions::from_mode(0o444)).unwrap();
    folder.refused(&["-o", "out=locked"], &["cannot write locked: Permission denied", "write-protected"]);
    assert_eq!(folder.read("locked"), b"old");
}

#[test]
fn two_things_never_go_to_one_file() {
    let folder = Folder::new();
    let key = folder.key();
    let both = |first: &str, second: &str| {
        folder.refused(&["-o", &format!("out={first}"), "-o", &format!("log={second}")], &["go to one file: "]);
    };
    both("x", "x");
    both("x", "./x");
    both("x", folder.path("x").to_str().unwrap());
    fs::create_dir(folder.path("sub")).unwrap();
    both("x", "sub/../x");
    folder.write("there", "old");
    fs::hard_link(folder.path("there"), folder.path("other-name")).unwrap();
    both("there", "other-name");
    symlink("there", folder.path("link")).unwrap();
    both("there", "link");
    symlink("x", folder.path("dangling")).unwrap();
    both("x", "dangling");
    folder.refused(
        &["-o", "out=x", "--receipt", "./x", "--key", &key],
        &["the output out and the receipt go to one file: x is ./x"],
    );
    // Nor over what the job is made of.
    let input = ["-i", "in=there"];
    folder.refused(&[&input[..], &["-o", "out=other-name"]].concat(), &["the output out would overwrite the input in"]);
    folder.refused(
        &[&input[..], &["-o", "out=x", "--receipt", "there", "--key", &key]].concat(),
        &["the receipt would overwrite the input in"],
    );
    let workload = test_guest("misbehave");
    let over_workload = format!("out={}", workload.display());
    folder.refused(&["-o", &over_workload], &["the output out would overwrite the workload"]);
    folder.refused(&["-o", "out=key", "--key", &key], &["the output out would overwrite the key"]);
    assert_eq!(folder.read("there"), b"old");
    // Two names that are alike are two names.
    folder.run(&["-o", "out=a", "-o", "log=A"]).failed(0, &[]);
    assert_eq!((folder.read("a"), folder.read("A")), (OUT.to_vec(), b"the other".to_vec()));
}

#[test]
fn a_wrong_output_name_costs_nothing_that_was_computed() {
    let folder = Folder::new();
    let key = folder.key();
    let words = ["the workload created no output `oot`; it created: out, log", "correct the name in -o NAME=PATH"];
    let ended = folder.run(&["-o", "oot=x", "-o", "log=log.txt", "--receipt", "r.json", "--key", &key, "--json"]);
    ended.failed(2, &words);
    let error = ended.json()["error"].clone();
    assert_eq!(folder.read("log.txt"), b"the other");
    let kept = error["kept"]["outputs"]["out"].as_str().unwrap();
    assert!(error["message"].as_str().unwrap().contains(kept), "{error}");
    assert_eq!(fs::read(kept).unwrap(), OUT);
    assert_eq!((&error["kept"]["outputs"]["log"], &error["kept"]["receipt"]), (&"log.txt".into(), &"r.json".into()));
    Ended::from(
        isobit().arg("verify").arg(folder.path("r.json")).arg("-o").arg(format!("out={kept}")).output().unwrap(),
    )
    .failed(0, &["agrees (signature, shape, outputs)"]);
    // Nothing takes the kept one's name.
    let again = folder.run(&["-o", "oot=x", "--json"]);
    let other = again.json()["error"]["kept"]["outputs"]["out"].as_str().unwrap().to_owned();
    assert_ne!(other, kept);
    assert_eq!(fs::read(other).unwrap(), OUT);
}

#[test]
fn a_wrong_output_name_keeps_a_providers_receipt_too() {
    let folder = Folder::new();
    let provider = Provider::start("cpu", &[]);
    let mut submit = provider.submit(&test_guest("misbehave"));
    submit.args(["-p", "do=two-outputs", "-o"]).arg(format!("oot={}", folder.path("x").display()));
    let ended = Ended::from(submit.output().unwrap());
    ended.failed(2, &["the workload created no output `oot`; it created: "]);
    let kept = ended.json()["error"]["kept"].clone();
    for (name, content) in [("out", OUT), ("log", &b"the other"[..])] {
        assert_eq!(fs::read(kept["outputs"][name].as_str().unwrap()).unwrap(), content);
    }
    let mut verify = isobit();
    verify.arg("verify").arg(kept["receipt"].as_str().unwrap()).args(["--provider", provider.key()]);
    Ended::from(verify.output().unwrap()).failed(0, &["agrees"]);
    assert_eq!(folder.names().len(), 3, "{:?}", folder.names());
}

#[test]
fn a_place_that_goes_away_while_the_job_runs_costs_nothing_that_was_computed() {
    let folder = Folder::new();
    fs::create_dir(folder.path("sub")).unwrap();
    mkfifo(&folder.path("pipe"));
    // `out` is put in its place before `log`, and waits for a reader there.
    let mut job = Running::start(&mut folder.command("two-outputs", &["-o", "out=pipe", "-o", "log=sub/x"]));
    job.wait_for("waiting until somebody reads");
    fs::create_dir(folder.path("sub/x")).unwrap();
    let path = folder.path("pipe");
    let reader = std::thread::spawn(move || fs::read(path).unwrap());
    let ended = job.finish();
    ended.failed(2, &["cannot write the output log to sub/x: it is no regular file any more", "need not run again"]);
    assert_eq!(reader.join().unwrap(), OUT);
    let kept = fs::read_dir(folder.path("sub")).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file());
    assert_eq!(fs::read(kept.unwrap()).unwrap(), b"the other");
}

#[test]
fn what_nobody_asked_for_and_what_was_given_in_vain_is_named() {
    let folder = Folder::new();
    folder.write("in", "something");
    let ended = folder.run(&["-o", "log=x", "-p", "cuont=5", "-i", "photo=in"]);
    ended.failed(0, &["writes an output `out` that is not asked for; keep it with -o out=PATH"]);
    ended.failed(0, &["the workload never looked at the parameter `cuont`", "never looked at the input `photo`"]);
    assert!(!ended.stderr.contains("parameter `do`"), "{}", ended.stderr);
    let ended = folder.run(&["-o", "log=x", "-p", "cuont=5", "-i", "photo=in", "--json"]);
    assert_eq!(ended.json()["unread"], serde_json::json!({ "params": ["cuont"], "inputs": ["photo"] }));

    let provider = Provider::start("cpu", &[]);
    let mut submit = provider.submit(&test_guest("misbehave"));
    submit.args(["-p", "do=behave", "-p", "cuont=5", "-o"]).arg(format!("out={}", folder.path("y").display()));
    let ended = Ended::from(submit.output().unwrap());
    ended.failed(0, &["the workload never looked at the parameter `cuont`"]);
    assert_eq!(ended.json()["unread"], serde_json::json!({ "params": ["cuont"], "inputs": [] }));
}

#[test]
fn a_workload_that_says_what_it_takes_is_held_to_it_before_anything_runs() {
    let matmul = support::guest("matmul");
    let inspect = Ended::from(isobit().arg("inspect").arg(&matmul).output().unwrap());
    inspect.failed(
        0,
        &["params   check  1: compute", "n      rows and columns; 256", "inputs   a  the left matrix", "outputs  c"],
    );
    let json = Ended::from(isobit().arg("inspect").arg(&matmul).arg("--json").output().unwrap()).json();
    assert!(json["takes"]["inputs"]["b"].as_str().unwrap().starts_with("the right matrix"), "{json}");
    let folder = Folder::new();
    folder.write("in", "something");
    let run = |args: &[&str]| {
        let mut run = isobit();
        run.arg("run").arg(&matmul).args(["--device", "cpu"]).args(args).current_dir(folder.0.path());
        Ended::from(run.output().unwrap())
    };
    run(&["-p", "m=5", "-o", "c=x"]).failed(2, &["the workload takes no parameter `m`", "check, n"]);
    run(&["-i", "aa=in", "-o", "c=x"]).failed(2, &["the workload takes no input `aa`", "a, b"]);
    run(&["-o", "out=x"]).failed(2, &["the workload makes no output `out`", "of itself: c"]);
    assert_eq!(folder.names(), ["in"]);
    run(&["-p", "n=4", "-o", "c=x"]).failed(0, &[]);
    assert_eq!(folder.read("x").len(), 64);
    // Of one that says nothing, nothing is known.
    let silent = Ended::from(isobit().arg("inspect").arg(test_guest("misbehave")).output().unwrap());
    silent.failed(0, &["takes    it does not say"]);
}

#[test]
fn a_renter_that_is_killed_leaves_no_part_of_an_output() {
    let folder = Folder::new();
    if !takes_files_without_names(&folder) {
        return support::skip("the file system has no files without names");
    }
    let mut job = Running::start(&mut folder.command("half-an-output", &["-o", "out=x"]));
    job.wait_for("half of it is written");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    job.signal(rustix::process::Signal::KILL);
    assert_eq!(job.finish().code, None);
    eventually("an empty folder", || folder.names().is_empty().then_some(()));
}

fn takes_files_without_names(folder: &Folder) -> bool {
    use rustix::fs::{Mode, OFlags, open};
    open(folder.0.path(), OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR).is_ok()
}
