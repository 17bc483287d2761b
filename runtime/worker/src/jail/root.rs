//! A root of the file system that has nothing but what a worker may reach. Needs a mount namespace of its own.
//!
//! Landlock closes files; this takes away their names as well, and with them what Landlock does not cover: sockets in the file system, and what can be
//! learned of a file without opening it.

use super::reach::Reach;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// Folders of which one is there on every system. The new root is mounted on it until it is the root.
const BASES: [&str; 5] = ["/tmp", "/run", "/mnt", "/var", "/usr"];

/// The most links from a path to what it names, as in the kernel.
const MAX_LINKS: u8 = 40;

/// What the new root gets.
enum Step {
    Folder(PathBuf),
    Link { at: PathBuf, to: PathBuf },
    Bind { at: PathBuf, from: OwnedFd, is_folder: bool },
}

/// Gives this process a root with nothing but what is in reach, all of it read only. If that cannot be done, the root stays as it is.
pub(super) fn build(reach: &Reach) -> io::Result<()> {
    // Sources are opened before the new root covers a folder.
    let mut steps = Vec::new();
    let system = reach.system.iter().filter(|path| !path.starts_with("/proc"));
    for path in reach.read.iter().chain(system).chain(&reach.devices) {
        place(path, &mut steps, 0)?;
    }
    let old_proc = open("/proc".as_ref())?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let base = BASES.into_iter().map(Path::new).find(|base| base.is_dir()).ok_or(io::ErrorKind::NotFound)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("isobit", base, "tmpfs", flags, c"mode=0755,size=1m")?;
    let built = fill(base, &steps, &old_proc).and_then(|()| enter(base));
    if built.is_err() {
        rustix::mount::unmount(base, UnmountFlags::DETACH).ok();
    }
    built
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?)
}

/// Adds the steps that make a path what it is now, by way of the same links.
fn place(path: &Path, steps: &mut Vec<Step>, links: u8) -> io::Result<()> {
    let mut at = PathBuf::from("/");
    let mut names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    while let Some(name) = names.next() {
        at.push(name);
        // What is below a folder that is there already is there too, but a link from there may lead out of it.
        let is_inside = steps.iter().any(|step| matches!(step, Step::Bind { at: bound, .. } if at.starts_with(bound)));
        // What is not there, or may not be looked at, is not in reach.
        let Ok(kind) = fs::symlink_metadata(&at).map(|meta| meta.file_type()) else { return Ok(()) };
        let rest: PathBuf = names.clone().collect();
        if kind.is_symlink() {
            let to = fs::read_link(&at)?;
            let target = plain(&at.parent().unwrap_or(&at).join(&to)).join(&rest);
            if !is_inside {
                steps.push(Step::Link { at, to });
            }
            return if links < MAX_LINKS { place(&target, steps, links + 1) } else { Ok(()) };
        }
        if is_inside {
            continue;
        }
        if rest.as_os_str().is_empty() {
            let from = open(&at)?;
            steps.push(Step::Bind { at, from, is_folder: kind.is_dir() });
            return Ok(());
        }
        steps.push(Step::Folder(at.clone()));
    }
    Ok(())
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

fn fill(base: &Path, steps: &[Step], old_proc: &OwnedFd) -> io::Result<()> {
    let inside = |at: &Path| base.join(at.strip_prefix("/").unwrap_or(at));
    let folder = |at: &Path| match fs::create_dir(at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    for step in steps {
        match step {
            Step::Folder(at) => folder(&inside(at))?,
            Step::Link { at, to } => match std::os::unix::fs::symlink(to, inside(at)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            },
            Step::Bind { at, from, is_folder } => {
                let at = inside(at);
                if *is_folder {
                    folder(&at)?
                } else {
                    drop(File::create(&at)?)
                }
                bind(from, &at)?;
            }
        }
    }
    let proc = base.join("proc");
    folder(&proc)?;
    // Its own, of its own processes. In a container that hides parts of `/proc` the kernel gives no other than that.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", &proc, "proc", flags, None)
        .or_else(|_| bind(old_proc, &proc).map_err(|_| rustix::io::Errno::PERM))?;
    read_only(base)
}

fn bind(from: &OwnedFd, at: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind_recursive(format!("/proc/self/fd/{}", from.as_raw_fd()), at)?)
}

/// Makes everything below read only, without programs that change users. Device nodes can be written to all the same.
#[allow(unsafe_code, reason = "no crate in use has this system call")]
fn read_only(base: &Path) -> io::Result<()> {
    let path = CString::new(base.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the kernel reads a path that ends in a zero and a structure of the size that is stated; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a folder the root, and lets go of the old one.
fn enter(base: &Path) -> io::Result<()> {
    rustix::process::chdir(base)?;
    if let Err(error) = rustix::process::pivot_root(".", ".") {
        rustix::process::chdir("/").ok();
        return Err(error.into());
    }
    // The old root lies over the new one at the same place.
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
