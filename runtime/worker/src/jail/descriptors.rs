//! What was open when the process was started.

use std::io;

/// Closes all descriptors from this one on.
#[allow(unsafe_code, reason = "no crate in use has this system call")]
pub(super) fn close(first: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers. This is the start of a process: what is open came from another, and nothing of this one owns it.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
