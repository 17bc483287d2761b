//! The machine's trouble is never the kernel's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

use std::process::Command;

use isobit_job::FaultKind;
use isobit_shader::{KernelError, Profile, prepare};

const IN_NEED: &str = "ISOBIT_TEST_IN_NEED";

/// This test runs itself once more, with so little address space that the compiler's thread cannot be had.
#[cfg(target_os = "linux")]
#[test]
fn a_thread_that_cannot_be_had_is_a_fault() {
    if std::env::var_os(IN_NEED).is_some() {
        let error = prepare("@compute @workgroup_size(1) fn main() {}", Profile::Dp32).err().unwrap();
        let KernelError::Fault(fault) = error else { panic!("the kernel is blamed: {error}") };
        assert_eq!(fault.kind, FaultKind::OutOfMemory, "{fault}");
        return;
    }
    let mut child = Command::new("sh");
    child.args(["-c", "ulimit -v 262144; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "a_thread_that_cannot_be_had_is_a_fault"]).env(IN_NEED, "yes");
    let ended = child.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}
