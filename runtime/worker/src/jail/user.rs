//! Another user than the key's owner.

use super::reach::Reach;
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Users that no system gives to anybody: the worker's number among the processes is added, so that no two workers are the same user.
const FIRST: u32 = 1_900_000_000;

/// The user where the system has fewer of them, as in a container: nobody.
const NOBODY: u32 = 65_534;

/// Becomes a user that owns nothing and has no capabilities, in the groups that device nodes of GPUs belong to. `process` is the number of this process, or of
/// its parent in front of the namespaces. Without a root of its own, only if that user can look at all that the worker needs.
pub(super) fn leave(reach: &Reach, process: u32, has_own_root: bool) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can become another user".into());
    }
    if !has_own_root && let Some(path) = reach.read.iter().find(|path| path.exists() && !is_open_to_all(path)) {
        return Err(format!("{} is not open to other users", path.display()));
    }
    rustix::thread::set_thread_groups(&groups(reach)).map_err(|error| format!("groups cannot be given up: {error}"))?;
    let become_user = |number: u32| {
        let (user, group) = (Uid::from_raw(number), Gid::from_raw(number));
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)
    };
    become_user(FIRST.saturating_add(process))
        .or_else(|_| become_user(NOBODY))
        .map_err(|error| format!("this system has no other user to become: {error}"))
}

/// Gives up all capabilities: of root, and of the only user of a user namespace.
pub(super) fn drop_capabilities() -> Result<(), String> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(|error| format!("capabilities cannot be given up: {error}"))
}

/// The groups that may drive GPUs where not everybody may, such as `render` and `video`.
fn groups(reach: &Reach) -> Vec<Gid> {
    let inside = |path: &Path| -> Vec<_> { fs::read_dir(path).into_iter().flatten().filter_map(Result::ok).collect() };
    let nodes =
        reach.devices.iter().flat_map(|path| inside(path).into_iter().map(|entry| entry.path()).chain([path.clone()]));
    let mut groups: Vec<_> = nodes
        .filter_map(|node| fs::metadata(node).ok())
        .filter(|node| !node.is_dir() && node.mode() & 0o060 == 0o060 && node.mode() & 0o006 != 0o006)
        .map(|node| node.gid())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().map(Gid::from_raw).collect()
}

/// Whether any user can get at a path.
fn is_open_to_all(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.ancestors()
        .all(|part| fs::metadata(part).is_ok_and(|part| part.mode() & if part.is_dir() { 0o001 } else { 0o004 } != 0))
}
