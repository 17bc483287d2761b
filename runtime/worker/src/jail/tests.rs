//! Prisoners: processes of this test that try to break out, each in one way.

use super::*;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::Command;

/// Where the test keeps what the prisoner is after.
const FOLDER: &str = "ISOBIT_TEST_JAIL_FOLDER";
/// Which walls the prisoner's jail has.
const WALLS: &str = "ISOBIT_TEST_JAIL_WALLS";
/// The process that has started it, by its number outside of its namespaces.
const SUPERVISOR: &str = "ISOBIT_TEST_JAIL_SUPERVISOR";
/// What the prisoner tries.
const ATTEMPT: &str = "ISOBIT_TEST_JAIL_ATTEMPT";

/// The prisoner's exit status when the system refused.
const REFUSED: i32 = 42;

/// How an attempt has to end.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    /// With an error.
    Refused,
    /// With the process.
    Killed,
    /// Well: what a worker needs.
    Done,
}

fn call(number: libc::c_long, arguments: [libc::c_long; 4]) -> io::Result<()> {
    let [a, b, c, d] = arguments;
    // SAFETY: none of the calls that the tests make reads or writes memory of this process by these arguments.
    let result = unsafe { libc::syscall(number, a, b, c, d, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

type Attempt = Box<dyn Fn(&Path) -> io::Result<()>>;

fn reads(path: impl Into<std::path::PathBuf>) -> Attempt {
    let path = path.into();
    Box::new(move |folder| File::open(folder.join(&path))?.read(&mut [0; 16]).map(drop))
}

fn calls(number: libc::c_long, arguments: [libc::c_long; 4]) -> Attempt {
    Box::new(move |_| call(number, arguments))
}

/// All that a prisoner tries, and how it has to end.
fn attempts() -> Vec<(&'static str, End, Attempt)> {
    use End::{Done, Killed, Refused};
    let parent = libc::c_long::from(supervisor());
    let (inet, unix, stream) = (libc::AF_INET.into(), libc::AF_UNIX.into(), libc::SOCK_STREAM.into());
    let of_parent = |name: &str| format!("/proc/{}/{name}", supervisor());
    let attempts: Vec<(&'static str, End, Attempt)> = vec![
        ("read the users of the machine", Refused, reads("/etc/passwd")),
        ("read its passwords", Refused, reads("/etc/shadow")),
        ("read the provider's key", Refused, reads("key")),
        ("list the provider's folder", Refused, Box::new(|folder| fs::read_dir(folder).map(drop))),
        ("list the root of the file system", Refused, Box::new(|_| fs::read_dir("/").map(drop))),
        ("list the home of its user", Refused, Box::new(|_| fs::read_dir("/root").map(drop))),
        ("write a file", Refused, Box::new(|folder| fs::write(folder.join("new"), "x"))),
        ("write to /tmp", Refused, Box::new(|_| fs::write("/tmp/isobit-prisoner", "x"))),
        ("overwrite cached code", Refused, Box::new(|folder| fs::write(folder.join("code"), "x"))),
        (
            "append to cached code",
            Refused,
            Box::new(|folder| OpenOptions::new().append(true).open(folder.join("code")).map(drop)),
        ),
        ("delete a blob", Refused, Box::new(|folder| fs::remove_file(folder.join("blob")))),
        ("rename a blob", Refused, Box::new(|folder| fs::rename(folder.join("blob"), folder.join("other")))),
        ("link a blob", Refused, Box::new(|folder| fs::hard_link(folder.join("blob"), folder.join("other")))),
        ("make a folder", Refused, Box::new(|folder| fs::create_dir(folder.join("folder")))),
        ("make a link", Refused, Box::new(|folder| std::os::unix::fs::symlink("/", folder.join("link")))),
        ("read the supervisor's environment", Refused, reads(of_parent("environ"))),
        ("read the supervisor's command line", Refused, reads(of_parent("cmdline"))),
        ("open the supervisor's memory", Refused, reads(of_parent("mem"))),
        ("list the supervisor's files", Refused, Box::new(move |_| fs::read_dir(of_parent_folder()).map(drop))),
        ("connect by TCP", Killed, Box::new(|_| std::net::TcpStream::connect("127.0.0.1:9").map(drop))),
        ("open a UDP socket", Killed, Box::new(|_| std::net::UdpSocket::bind("127.0.0.1:0").map(drop))),
        ("open a Unix socket", Killed, calls(libc::SYS_socket, [unix, stream, 0, 0])),
        ("open a raw socket", Killed, calls(libc::SYS_socket, [inet, libc::SOCK_RAW.into(), 1, 0])),
        ("run a program in its place", Killed, Box::new(|_| Err(Command::new("/bin/true").exec()))),
        ("run a program", Killed, Box::new(|_| Command::new("/bin/true").status().map(drop))),
        ("fork", Killed, Box::new(|_| call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0]))),
        ("trace the supervisor", Killed, calls(libc::SYS_ptrace, [16, parent, 0, 0])),
        ("read the supervisor's memory", Killed, calls(libc::SYS_process_vm_readv, [parent, 0, 0, 0])),
        ("write the supervisor's memory", Killed, calls(libc::SYS_process_vm_writev, [parent, 0, 0, 0])),
        ("kill the supervisor", Killed, calls(libc::SYS_kill, [parent, 0, 0, 0])),
        ("kill the supervisor's thread", Killed, calls(libc::SYS_tgkill, [parent, parent, 0, 0])),
        ("hold on to the supervisor", Killed, calls(libc::SYS_pidfd_open, [parent, 0, 0, 0])),
        ("limit the supervisor", Killed, calls(libc::SYS_prlimit64, [parent, 0, 0, 0])),
        ("make a namespace", Killed, calls(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0])),
        ("mount", Killed, calls(libc::SYS_mount, [0, 0, 0, 0])),
        ("change its root", Killed, calls(libc::SYS_chroot, [0, 0, 0, 0])),
        ("load a program into the kernel", Killed, calls(libc::SYS_bpf, [0, 0, 0, 0])),
        ("watch the machine", Killed, calls(libc::SYS_perf_event_open, [0, 0, 0, 0])),
        ("use io_uring", Killed, calls(libc::SYS_io_uring_setup, [1, 0, 0, 0])),
        ("handle page faults", Killed, calls(libc::SYS_userfaultfd, [0, 0, 0, 0])),
        ("use the kernel's keys", Killed, calls(libc::SYS_keyctl, [0, 0, 0, 0])),
        ("become another user", Killed, calls(libc::SYS_setuid, [0, 0, 0, 0])),
        ("restart the machine", Killed, calls(libc::SYS_reboot, [0, 0, 0, 0])),
        (
            "open the key to all",
            Killed,
            Box::new(|folder| {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(0o666))
            }),
        ),
        ("give the key away", Killed, Box::new(|folder| std::os::unix::fs::chown(folder.join("key"), Some(1), None))),
        ("type on a terminal", Killed, calls(libc::SYS_ioctl, [2, 0x1_0000_0000 | 0x5412, 0, 0])),
        ("type on a console", Killed, calls(libc::SYS_ioctl, [2, 0x541c, 0, 0])),
        ("have the supervisor sent signals", Killed, calls(libc::SYS_fcntl, [0, libc::F_SETOWN.into(), parent, 0])),
        ("choose which signal", Killed, calls(libc::SYS_fcntl, [0, 0x1_0000_0000 | 10, 9, 0])),
        ("hold up whoever opens a blob", Killed, calls(libc::SYS_fcntl, [0, libc::F_SETLEASE.into(), 1, 0])),
        (
            "empty the key",
            Killed,
            Box::new(|folder| {
                let path = std::ffi::CString::new(folder.join("key").into_os_string().into_encoded_bytes())?;
                call(libc::SYS_truncate, [path.as_ptr() as libc::c_long, 0, 0, 0])
            }),
        ),
        ("change modes by a newer call", Killed, calls(452, [0, 0, 0, 0])),
        ("call what nobody knows yet", Killed, calls(599, [0, 0, 0, 0])),
        ("keep memory beyond its end", Killed, calls(libc::SYS_shmget, [0, 4096, 0o1600, 0])),
        ("talk to a local service", Killed, Box::new(|_| std::os::unix::net::UnixDatagram::pair().map(drop))),
        ("slow the supervisor down", Refused, calls(libc::SYS_sched_setscheduler, [parent, 5, 0, 0])),
        ("move the supervisor's memory", Killed, calls(libc::SYS_migrate_pages, [parent, 0, 0, 0])),
        (
            "write by way of a file that it was given to read",
            Refused,
            Box::new(|_| OpenOptions::new().write(true).open("/proc/self/fd/0").map(drop)),
        ),
        (
            "read what the supervisor had open",
            Refused,
            Box::new(|_| {
                // SAFETY: whether there is such a descriptor is the question, and nothing else uses it.
                let inherited = unsafe { BorrowedFd::borrow_raw(INHERITED) };
                Ok(rustix::io::read(inherited, &mut [0; 16]).map(drop)?)
            }),
        ),
        ("list the processes of the machine", Refused, Box::new(|_| fs::read_dir("/proc").map(drop))),
        ("find a user's socket", Refused, Box::new(|_| fs::read_dir("/run/user").map(drop))),
        ("share memory by name", Refused, Box::new(|_| fs::write("/dev/shm/isobit-prisoner", "x"))),
        ("open the machine's memory", Refused, reads("/dev/mem")),
        ("open its disk", Refused, reads("/dev/vda")),
        ("open its kernel's log", Refused, reads("/dev/kmsg")),
        ("open a terminal", Refused, reads("/dev/tty")),
        ("open its own memory", Refused, Box::new(|_| OpenOptions::new().write(true).open("/proc/self/mem").map(drop))),
        ("change its kernel's settings", Refused, Box::new(|_| fs::write("/proc/sys/kernel/core_pattern", "|/bin/sh"))),
        ("change a device's settings", Refused, Box::new(|_| fs::write("/sys/kernel/uevent_helper", "/bin/sh"))),
        ("leave its control group", Refused, Box::new(|_| fs::write("/sys/fs/cgroup/cgroup.procs", "0"))),
        ("give itself users", Refused, Box::new(|_| fs::write("/proc/self/uid_map", "0 0 1"))),
        ("enter the supervisor's namespaces", Killed, calls(libc::SYS_setns, [0, 0, 0, 0])),
        (
            "start a thread in a user namespace",
            Killed,
            calls(libc::SYS_clone, [thread_in(libc::CLONE_NEWUSER), 0, 0, 0]),
        ),
        (
            "start a thread in a network of its own",
            Killed,
            calls(libc::SYS_clone, [thread_in(libc::CLONE_NEWNET), 0, 0, 0]),
        ),
        ("have capabilities", Killed, calls(libc::SYS_capset, [0, 0, 0, 0])),
        ("outlive its supervisor", Refused, calls(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG.into(), 0, 0, 0])),
        ("be looked at by others", Refused, calls(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0])),
        ("adopt processes", Refused, calls(libc::SYS_prctl, [libc::PR_SET_CHILD_SUBREAPER.into(), 1, 0, 0])),
        ("change how it ends", Killed, calls(libc::SYS_rt_sigaction, [libc::SIGSYS.into(), 0, 0, 8])),
        ("add a filter", Killed, calls(libc::SYS_seccomp, [1, 0, 0, 0])),
        ("start a new session", Killed, calls(libc::SYS_setsid, [0, 0, 0, 0])),
        ("format a disk", Killed, calls(libc::SYS_ioctl, [2, 0x1268, 0, 0])),
        ("open a network device", Killed, calls(libc::SYS_ioctl, [2, 0x4004_54ca, 0, 0])),
        ("lock a blob", Killed, calls(libc::SYS_fcntl, [0, libc::F_SETLKW.into(), 0, 0])),
        ("call by the numbers of another interface", Killed, calls(0x4000_0000 | libc::SYS_getpid, [0, 0, 0, 0])),
        // What a worker needs is left to it.
        (
            "start a thread",
            Done,
            Box::new(|_| std::thread::spawn(|| ()).join().map_err(|_| io::ErrorKind::Other.into())),
        ),
        ("pair two streams", Done, Box::new(|_| std::os::unix::net::UnixStream::pair().map(drop))),
        ("read a library", Done, reads("/proc/self/exe")),
        ("know its processor", Done, reads("/proc/cpuinfo")),
        ("limit itself", Done, calls(libc::SYS_prlimit64, [0, libc::RLIMIT_CORE.into(), 0, 0])),
    ];
    attempts
}

fn supervisor() -> u32 {
    std::env::var(SUPERVISOR).map_or(0, |number| number.parse().unwrap())
}

fn thread_in(space: libc::c_int) -> libc::c_long {
    libc::c_long::from(libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND | space)
}

fn of_parent_folder() -> String {
    format!("/proc/{}/fd", supervisor())
}

/// A descriptor that prisoners inherit.
const INHERITED: libc::c_int = 9;

/// Not a test by itself: what [`every_way_out_is_closed`] starts.
#[test]
#[ignore = "a process of its own, started by another test"]
fn prisoner() {
    let (Some(folder), Ok(wish)) = (std::env::var_os(FOLDER), std::env::var(ATTEMPT)) else { return };
    // The program's folder stands for where libraries are.
    let exe = std::env::current_exe().unwrap();
    let reach = Reach::with(&[exe.parent().unwrap().to_owned()]);
    let walls = std::env::var(WALLS).unwrap();
    let wrong = if walls == "weak" { Wrong::Fails } else { Wrong::Ends };
    if walls != "all" {
        descriptors::close(3).unwrap();
        assert!(!matches!(files::close(&reach).unwrap(), files::Closed::Not));
        close_calls(Phase::Opening, wrong).unwrap();
    } else {
        be_alone();
        let gaps = enter(&reach, wrong);
        assert!(!gaps.iter().any(|gap| gap.required), "{gaps:?}");
    }
    if wish == LOOK {
        println!("\n{}", look_around());
        std::process::exit(0);
    }
    close_calls(Phase::Job, wrong).unwrap();
    let (_, _, attempt) = attempts().into_iter().find(|(name, ..)| *name == wish).unwrap();
    match attempt(Path::new(&folder)) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(REFUSED)
        }
    }
}

/// Goes on in a process with one thread, as a worker has at its start: a test has two.
fn be_alone() {
    // SAFETY: the other thread waits for this one, so it holds no lock.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if let Some(child) = Pid::from_raw(child) {
        let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
        if let Some(signal) = status.terminating_signal() {
            kill_process(getpid(), Signal::from_named_raw(signal).unwrap()).unwrap();
        }
        std::process::exit(status.exit_status().unwrap());
    }
}

/// A process that is jailed and then does this. It inherits a descriptor of the key, and has a blob as its standard input.
fn send_to_jail(folder: &Path, walls: &str, wish: &str) -> Command {
    for file in ["key", "code", "blob"] {
        fs::write(folder.join(file), "secret").unwrap();
    }
    let mut prisoner = Command::new("sh");
    prisoner.args(["-c", "exec 9<key; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    prisoner.args(["--exact", "jail::tests::prisoner", "--ignored", "--nocapture", "--test-threads=1"]);
    prisoner.current_dir(folder).stdin(File::open(folder.join("blob")).unwrap());
    prisoner.env(FOLDER, folder).env(WALLS, walls).env(ATTEMPT, wish).env(SUPERVISOR, std::process::id().to_string());
    prisoner
}

#[test]
fn every_way_out_is_closed() {
    every_way_out_is_closed_by("all");
}

/// As in a container, which permits no namespaces.
#[test]
fn every_way_out_is_closed_by_the_walls_that_are_required() {
    every_way_out_is_closed_by("required");
}

fn every_way_out_is_closed_by(walls: &str) {
    let attempts = attempts();
    assert!(attempts.iter().filter(|(_, end, _)| *end != End::Done).count() >= 80);
    let mut wrong = Vec::new();
    for (name, expected, _) in attempts {
        let folder = tempfile::tempdir().unwrap();
        let output = send_to_jail(folder.path(), walls, name).output().unwrap();
        let end = match (output.status.code(), output.status.signal()) {
            (Some(0), _) => Some(End::Done),
            (Some(REFUSED), _) => Some(End::Refused),
            (None, Some(libc::SIGSYS)) => Some(End::Killed),
            _ => None,
        };
        if end != Some(expected) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push((name, expected, output.status, said));
        }
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["blob", "code", "key"], "{name}");
        assert_eq!(fs::read(folder.path().join("code")).unwrap(), b"secret", "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_call_that_is_not_allowed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = send_to_jail(folder.path(), "required", "trace the supervisor").output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSYS));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = libc::SYS_ptrace.to_string();
    let is_named = |line: &str| line.contains("system call") && line.split([' ', ',']).any(|word| word == number);
    assert!(said.lines().any(is_named), "{said}");
}

#[test]
fn in_a_weak_jail_a_call_that_is_not_allowed_fails() {
    let folder = tempfile::tempdir().unwrap();
    for wish in ["trace the supervisor", "open a UDP socket", "make a namespace", "call what nobody knows yet"] {
        let output = send_to_jail(folder.path(), "weak", wish).output().unwrap();
        assert_eq!(output.status.code(), Some(REFUSED), "{wish}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What the prisoner does that only says where it is.
const LOOK: &str = "look around";

/// What a prisoner sees of itself, a line each.
fn look_around() -> String {
    let spaces = ["mnt", "pid", "net", "ipc", "uts"].map(|space| {
        let link = fs::read_link(format!("/proc/self/ns/{space}")).unwrap();
        format!("SPACE {space} {}\n", link.display())
    });
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let groups = status
        .lines()
        .filter(|line| ["Uid:", "Groups:", "CapEff:", "CapPrm:", "NoNewPrivs:"].iter().any(|it| line.starts_with(it)));
    let groups: String = groups.map(|line| format!("{line}\n")).collect();
    format!("{}{groups}PID {}\n", spaces.concat(), std::process::id())
}

/// What this system permits is tested: what it does not, `isobit doctor` says.
#[test]
fn a_worker_has_namespaces_a_root_and_a_user_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let look = || String::from_utf8(send_to_jail(folder.path(), "all", LOOK).output().unwrap().stdout).unwrap();
    let seen = look();
    let line = |text: &str, start: &str| -> String {
        text.lines()
            .find_map(|line| line.strip_prefix(start))
            .unwrap_or_else(|| panic!("no {start} in {text}"))
            .trim()
            .to_owned()
    };
    assert_eq!(line(&seen, "NoNewPrivs:"), "1");
    for set in ["CapEff:", "CapPrm:"] {
        assert_eq!(line(&seen, set), "0000000000000000", "{seen}");
    }
    if line(&seen, "PID") != "1" {
        eprintln!("SKIP: this system permits no namespaces");
        return;
    }
    for space in ["mnt", "pid", "net", "ipc", "uts"] {
        let ours = fs::read_link(format!("/proc/self/ns/{space}")).unwrap().display().to_string();
        assert_ne!(line(&seen, &format!("SPACE {space}")), ours, "{seen}");
    }
    if rustix::process::geteuid().is_root() {
        let others = look();
        assert_ne!(line(&seen, "Uid:"), line(&others, "Uid:"), "each has a user of its own");
        assert!(line(&seen, "Uid:").split_whitespace().all(|user| user.parse::<u32>().unwrap() > 1000), "{seen}");
    }
}
