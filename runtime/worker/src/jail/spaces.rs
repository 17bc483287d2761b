//! Namespaces of a worker's own: it sees no other process, no network, no mounts but its own, and none of the names of IPC.

use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;
use std::fs;
use std::io;

/// What a worker shares with nobody.
const SPACES: UnshareFlags = UnshareFlags::NEWNS
    .union(UnshareFlags::NEWPID)
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS);

/// Enters namespaces of its own. A process cannot change its own PID namespace, so the worker goes on in a child, and this process
/// waits for its end and ends the same way: what kills one of them kills both.
///
/// Root makes namespaces as it is; for anyone else, and for root without its capabilities, a user namespace gives the permission, in which there is one
/// user.
pub(super) fn enter() -> io::Result<()> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!("it has {threads} threads already")));
    }
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || unshare(SPACES).is_err() {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        unshare(SPACES | UnshareFlags::NEWUSER)?;
        // Where a system refuses the names, the namespaces are there all the same, and the root that cannot be built without them is told of.
        fs::write("/proc/self/setgroups", "deny").ok();
        fs::write("/proc/self/uid_map", format!("{user} {user} 1")).ok();
        fs::write("/proc/self/gid_map", format!("{group} {group} 1")).ok();
    }
    // From here on only a child has threads.
    match fork()? {
        None => Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?),
        Some(worker) => wait_for(worker),
    }
}

#[allow(unsafe_code, reason = "unsharing descriptors would be a danger to other threads")]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors stay shared, and there is one thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// The child's number in the parent, none in the child.
#[allow(unsafe_code, reason = "only libc forks")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: there is one thread, so no lock is held by another, which the child would not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Waits for the worker, and ends as it ends.
#[allow(unsafe_code, reason = "only libc ends a process without its exit handlers")]
fn wait_for(worker: Pid) -> ! {
    // The supervisor sees the end of the worker by its socket, which only the worker may hold.
    super::descriptors::close(0).ok();
    super::user::drop_capabilities().ok();
    let status = loop {
        match rustix::process::waitpid(Some(worker), WaitOptions::empty()) {
            Ok(Some((_, status))) => break Some(status),
            Err(error) if error != rustix::io::Errno::INTR => break None,
            _ => {}
        }
    };
    let signal = status.and_then(|status| status.terminating_signal());
    if let Some(signal) = signal.and_then(Signal::from_named_raw) {
        rustix::process::kill_process(rustix::process::getpid(), signal).ok();
    }
    let code = status.and_then(|status| status.exit_status()).unwrap_or(128 + signal.unwrap_or_default());
    // SAFETY: `_exit` takes a number and does not return; it runs nothing of this process.
    unsafe { libc::_exit(code) }
}
