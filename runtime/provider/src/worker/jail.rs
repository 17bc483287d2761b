//! The jail of a worker: what a process that runs strangers' code and drives a GPU for it may still ask of the system.
//!
//! In two steps. [`close_files`] comes first, before any thread is started: with Landlock, the file system is read only, and of that only
//! what drivers need; no TCP; no signals to processes outside. [`close_calls`] comes when engine and device are open, before the first byte of a job is read: a system call that a
//! worker has no use for ends the process. What is inherited stays usable: the supervisor's socket, and what arrives over it.
//!
//! Both are for good, and hold for all threads.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Why a jail cannot be closed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
pub(crate) enum JailError {
    #[error("this kernel lacks Landlock, or has it switched off, so a worker's files cannot be closed")]
    NoLandlock,
    #[error("a worker's files cannot be closed: {0}")]
    Files(#[from] landlock::RulesetError),
    #[error("a worker's system calls cannot be closed: {0}")]
    Calls(String),
}

/// Where libraries, drivers and their settings are, and what both learn of the machine. Read only. Of `/proc` only this process: what others are
/// is not its business.
const READ: [&str; 21] = [
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/nix",
    "/run/opengl-driver",
    "/etc/ld.so.cache",
    "/etc/vulkan",
    "/etc/drirc",
    "/etc/nvidia",
    "/etc/alternatives",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/modules",
    "/proc/filesystems",
    "/proc/sys",
    "/proc/driver",
    "/sys",
];

/// What GPUs are driven by, and what programs expect in any process.
const DEVICES: [&str; 8] = [
    "/dev/dri",
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/kfd",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
];

/// Closes the file system, but for reading what is named above and `more`: where drivers of the user's own lie, and the probe's verdicts.
pub(crate) fn close_files(more: &[&Path]) -> Result<(), JailError> {
    let abi = ABI::V6;
    let read = AccessFs::from_read(abi);
    let drive = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::Signal)?
        .scope(Scope::AbstractUnixSocket)?
        .create()?;
    let paths = READ.iter().map(Path::new).chain(more.iter().copied());
    let rules = paths.map(|path| (path, read)).chain(DEVICES.iter().map(|path| (Path::new(path), drive)));
    for (path, access) in rules {
        // What is not there needs no rule.
        if let Ok(opened) = PathFd::new(path) {
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            ruleset = ruleset.add_rule(PathBeneath::new(opened, access))?;
        }
    }
    let RestrictionStatus { ruleset, no_new_privs, .. } = ruleset.restrict_self()?;
    if ruleset == RulesetStatus::NotEnforced || !no_new_privs { Err(JailError::NoLandlock) } else { Ok(()) }
}

/// In the numbers of the x32 interface, which some kernels have: the same calls by other numbers.
#[cfg(target_arch = "x86_64")]
const X32: libc::c_long = 0x4000_0000;

/// What the C library's bindings have no names for: typing on a console, and who is sent signals about a file.
const TIOCLINUX: u64 = 0x541c;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;

/// System calls that end the process: they start programs, reach other processes, the network, the system's own settings, or what Landlock does not
/// cover of files.
fn forbidden() -> Vec<libc::c_long> {
    let calls = [
        // Programs and processes.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kcmp,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_process_madvise,
        // The network, and local sockets with names.
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        // Namespaces, mounts, users.
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_mount_setattr,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        // The kernel's settings and its larger surfaces.
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_fanotify_init,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_setrlimit,
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_semget,
        libc::SYS_semctl,
        libc::SYS_msgget,
        libc::SYS_msgctl,
        libc::SYS_mq_open,
        libc::SYS_move_pages,
        libc::SYS_migrate_pages,
        // Of files, what Landlock lets pass.
        libc::SYS_truncate,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
    ];
    #[cfg(target_arch = "x86_64")]
    let own = [
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_utime,
        libc::SYS_utimes,
        libc::SYS_futimesat,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
        libc::SYS_kexec_file_load,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let own = [libc::SYS_kexec_file_load];
    // Calls that are newer than the table of names: of modes, attributes and mounts, and whatever comes. Those in between are of memory and of waiting.
    let newer = [452].into_iter().chain(457..=461).chain(463..=600);
    let calls: Vec<libc::c_long> = calls.into_iter().chain(own).chain(newer).collect();
    // What only the x32 interface has.
    #[cfg(target_arch = "x86_64")]
    let calls = calls.into_iter().chain((512..=547).map(|call| call | X32)).collect();
    calls
}

/// Closes the system calls for all threads. Call it when all is open that has to be.
pub(crate) fn close_calls() -> Result<(), JailError> {
    let failed = |error: &dyn std::fmt::Display| JailError::Calls(error.to_string());
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(&error))?;
    let compile = |rules, action| -> Result<BpfProgram, JailError> {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(|error| failed(&error))?;
        filter.try_into().map_err(|error: seccompiler::BackendError| failed(&error))
    };
    let condition = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value).map_err(|error| failed(&error))
    };
    let rule = |conditions| SeccompRule::new(conditions).map_err(|error| failed(&error));
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = forbidden().into_iter().map(|call| (call, Vec::new())).collect();
    // Its own limits, but not those of others.
    let of_other = condition(0, SeccompCmpOp::Ne, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![rule(vec![of_other])?]);
    // New threads, but no processes.
    let thread = u64::try_from(libc::CLONE_THREAD).map_err(|error| failed(&error))?;
    let is_process = condition(0, SeccompCmpOp::MaskedEq(thread), 0)?;
    rules.insert(libc::SYS_clone, vec![rule(vec![is_process])?]);
    // Signals to itself, as `abort` sends them, but to no other.
    let not_own = condition(0, SeccompCmpOp::Ne, u64::from(std::process::id()))?;
    rules.insert(libc::SYS_tgkill, vec![rule(vec![not_own])?]);
    // Pairs of streams, as asynchronous runtimes use them, reach nobody else; pairs of datagram sockets can send to any name.
    let kinds = [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, 10];
    let kinds = kinds.map(|kind| {
        let value = u64::from(kind.cast_unsigned());
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(0xf), value);
        condition.map_err(|error| failed(&error)).and_then(|condition| rule(vec![condition]))
    });
    rules.insert(libc::SYS_socketpair, kinds.into_iter().collect::<Result<_, _>>()?);
    // What a terminal's owner would run, typed by this process; and signals by way of files, to whom one likes. The kernel looks at 32 bits of these.
    let low = |argument, value| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
        condition.map_err(|error| failed(&error)).and_then(|condition| rule(vec![condition]))
    };
    let ioctls = [libc::TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP].map(|request| low(1, request));
    rules.insert(libc::SYS_ioctl, ioctls.into_iter().collect::<Result<_, _>>()?);
    let fcntls = [libc::F_SETOWN, F_SETSIG, F_SETOWN_EX, libc::F_SETLEASE, libc::F_NOTIFY];
    let fcntls = fcntls.map(|command| low(1, u64::from(command.cast_unsigned())));
    rules.insert(libc::SYS_fcntl, fcntls.into_iter().collect::<Result<_, _>>()?);
    // By the numbers of x32 they are forbidden whatever they ask.
    #[cfg(target_arch = "x86_64")]
    for call in rules.keys().copied().filter(|call| call & X32 == 0).collect::<Vec<_>>() {
        rules.entry(call | X32).or_default();
    }
    let kill = compile(rules, SeccompAction::KillProcess)?;
    // Its flags are in memory, where no filter sees them: C libraries take `clone` where there is no `clone3`.
    let absent = SeccompAction::Errno(u32::try_from(libc::ENOSYS).map_err(|error| failed(&error))?);
    let absent = compile([(libc::SYS_clone3, Vec::new())].into(), absent)?;
    // Drivers like to set the order in which their threads run, and live without it.
    let order = [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_setpriority,
        libc::SYS_ioprio_set,
    ];
    let denied = SeccompAction::Errno(u32::try_from(libc::EPERM).map_err(|error| failed(&error))?);
    let denied = compile(order.map(|call| (call, Vec::new())).into(), denied)?;
    for filter in [absent, denied, kill] {
        seccompiler::apply_filter_all_threads(&filter).map_err(|error| failed(&error))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]
#[allow(unsafe_code, reason = "a prisoner breaks out by system calls")]
mod tests {
    use super::*;
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, Read as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _, parent_id};
    use std::process::Command;

    /// Where the test keeps what the prisoner is after.
    const FOLDER: &str = "ISOBIT_TEST_JAIL_FOLDER";
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
        let parent = libc::c_long::from(parent_id());
        let (inet, unix, stream) = (libc::AF_INET.into(), libc::AF_UNIX.into(), libc::SOCK_STREAM.into());
        let of_parent = |name: &str| format!("/proc/{}/{name}", parent_id());
        let mut attempts: Vec<(&'static str, End, Attempt)> = vec![
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
            (
                "give the key away",
                Killed,
                Box::new(|folder| std::os::unix::fs::chown(folder.join("key"), Some(1), None)),
            ),
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
        attempts.push((
            "write by way of a file that it was given to read",
            Refused,
            Box::new(|_| {
                let given = GIVEN.with_borrow(|file| file.as_ref().unwrap().as_raw_fd());
                OpenOptions::new().write(true).open(format!("/proc/self/fd/{given}")).map(drop)
            }),
        ));
        attempts
    }

    fn of_parent_folder() -> String {
        format!("/proc/{}/fd", parent_id())
    }

    thread_local! {
        /// A file that was open for reading before the jail was closed.
        static GIVEN: std::cell::RefCell<Option<File>> = const { std::cell::RefCell::new(None) };
    }

    /// Not a test by itself: what [`every_way_out_is_closed`] starts.
    #[test]
    #[ignore = "a process of its own, started by another test"]
    fn prisoner() {
        let (Some(folder), Ok(wish)) = (std::env::var_os(FOLDER), std::env::var(ATTEMPT)) else { return };
        let folder = Path::new(&folder);
        let (_, _, attempt) = attempts().into_iter().find(|(name, ..)| *name == wish).unwrap();
        GIVEN.set(Some(File::open(folder.join("blob")).unwrap()));
        // The program's folder stands for where libraries are.
        let exe = std::env::current_exe().unwrap();
        close_files(&[exe.parent().unwrap()]).unwrap();
        close_calls().unwrap();
        match attempt(folder) {
            Ok(()) => std::process::exit(0),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(REFUSED)
            }
        }
    }

    #[test]
    fn every_way_out_is_closed() {
        let attempts = attempts();
        assert!(attempts.iter().filter(|(_, end, _)| *end != End::Done).count() >= 40);
        let mut wrong = Vec::new();
        for (name, expected, _) in attempts {
            let folder = tempfile::tempdir().unwrap();
            for file in ["key", "code", "blob"] {
                fs::write(folder.path().join(file), "secret").unwrap();
            }
            let mut prisoner = Command::new(std::env::current_exe().unwrap());
            prisoner.args(["--exact", "worker::jail::tests::prisoner", "--ignored", "--nocapture", "--test-threads=1"]);
            let output = prisoner.env(FOLDER, folder.path()).env(ATTEMPT, name).output().unwrap();
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
}
