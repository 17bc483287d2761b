//! The file system closed by Landlock.

use super::reach::Reach;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

/// How far the file system is closed.
pub(super) enum Closed {
    /// As far as this program knows to ask.
    Whole,
    /// The kernel's Landlock is too old for some of it: signals and abstract sockets (Linux 6.12), or requests to devices (6.10).
    Partly,
    /// The kernel has no Landlock.
    Not,
}

/// Closes the file system, but for what is in reach; TCP; signals to processes outside. For this thread and those that it starts.
pub(super) fn close(reach: &Reach) -> Result<Closed, RulesetError> {
    let abi = ABI::V6;
    let read = AccessFs::from_read(abi);
    let drive = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::Signal)?
        .scope(Scope::AbstractUnixSocket)?
        .create()?;
    let readable = reach.read.iter().chain(&reach.system).map(|path| (path, read));
    for (path, access) in readable.chain(reach.devices.iter().map(|path| (path, drive))) {
        // What is not there needs no rule.
        if let Ok(opened) = PathFd::new(path) {
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            ruleset = ruleset.add_rule(PathBeneath::new(opened, access))?;
        }
    }
    let RestrictionStatus { ruleset, no_new_privs, .. } = ruleset.restrict_self()?;
    Ok(match ruleset {
        _ if !no_new_privs => Closed::Not,
        RulesetStatus::FullyEnforced => Closed::Whole,
        RulesetStatus::PartiallyEnforced => Closed::Partly,
        RulesetStatus::NotEnforced => Closed::Not,
    })
}
