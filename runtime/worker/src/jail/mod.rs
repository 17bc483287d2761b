//! The jail of a worker: what a process that runs strangers' code and drives a GPU for it may still ask of the system.
//!
//! [`enter`] comes first, before any thread is started and any driver is opened: inherited descriptors are closed; the worker goes on in namespaces of its own, with
//! a root that has only what drivers need, as another user; Landlock closes the file system; and the system calls are those that opening a driver takes.
//! [`close_calls`] comes when engine and device are open, before the first byte of a job is read: fewer system calls are left, and each other ends the
//! process. What arrives over the supervisor's socket stays usable.
//!
//! All of it is for good, and holds for all threads. What a system does not offer is a [`Gap`]; some of them no provider should accept.

mod calls;
mod descriptors;
mod files;
mod reach;
mod root;
mod spaces;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]
#[allow(unsafe_code, reason = "a prisoner breaks out by system calls")]
mod tests;
mod user;

pub(crate) use calls::{Phase, Wrong, close as close_calls};
pub(crate) use reach::{Reach, drivers_folders};

use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A wall of the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wall {
    /// Inherited descriptors are closed.
    Descriptors,
    /// Landlock: files, TCP, signals to others.
    Files,
    /// seccomp: which system calls there are.
    Calls,
    /// Namespaces for processes, mounts, network, IPC.
    Namespaces,
    /// A root of the file system with nothing but what drivers need.
    Root,
    /// Another user than the one who started the provider, without capabilities.
    User,
    /// A control group with the most memory and threads.
    Group,
}

impl Wall {
    /// Whether a worker takes no job without it. The others come on top where the system permits them: in a container it rarely does.
    pub fn is_required(self) -> bool {
        matches!(self, Self::Descriptors | Self::Files | Self::Calls)
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "inherited descriptors",
            Self::Files => "files",
            Self::Calls => "system calls",
            Self::Namespaces => "namespaces",
            Self::Root => "a root of its own",
            Self::User => "another user",
            Self::Group => "a control group",
        })
    }
}

/// A wall that the system does not let a worker have, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which.
    pub wall: Wall,
    /// Whether no worker takes a job without it, unless it is told to.
    pub required: bool,
    /// Why.
    pub reason: String,
}

impl Gap {
    /// A wall that there is not, or not whole.
    pub fn new(wall: Wall, reason: impl fmt::Display) -> Self {
        Self { wall, required: wall.is_required(), reason: reason.to_string() }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.wall, self.reason)
    }
}

/// Closes the jail around this process, as far as can be before the device is opened. May go on in a child process: see [`spaces::enter`].
///
/// Closes all descriptors but the three standard ones: call it before anything is opened.
pub(crate) fn enter(reach: &Reach, wrong: Wrong) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut need = |wall, result: Result<(), String>| {
        let is_there = result.is_ok();
        gaps.extend(result.err().map(|reason| Gap::new(wall, reason)));
        is_there
    };
    need(Wall::Descriptors, descriptors::close(3).map_err(|error| error.to_string()));
    let process = std::process::id();
    let has_spaces = need(Wall::Namespaces, spaces::enter().map_err(|error| format!("not permitted here: {error}")));
    let has_root =
        has_spaces && need(Wall::Root, root::build(reach).map_err(|error| format!("it cannot be built: {error}")));
    let (left, dropped) = (user::leave(reach, process, has_root), user::drop_capabilities());
    need(Wall::User, left.and(dropped));
    // Nobody reads this process's memory, its files or its environment, unless root does.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    if has_spaces {
        // A change of the user has cleared it.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).ok();
    }
    let files = files::close(reach);
    need(
        Wall::Files,
        files.as_ref().map_err(ToString::to_string).and_then(|closed| match closed {
            files::Closed::Not => Err("this kernel lacks Landlock, or has it switched off".into()),
            files::Closed::Whole | files::Closed::Partly => Ok(()),
        }),
    );
    need(Wall::Calls, close_calls(Phase::Opening, wrong));
    if matches!(files, Ok(files::Closed::Partly)) {
        // System calls and namespaces close that too.
        let reason = "this kernel's Landlock is older than Linux 6.12: it does not close signals, abstract sockets and all requests to devices";
        gaps.push(Gap { wall: Wall::Files, required: false, reason: reason.into() });
    }
    gaps
}
