//! From WGSL to a checked kernel. Pure: text in, naga module out, no I/O and no device.
//!
//! Every kernel passes through [`prepare`] on its way from a guest's text to a device: it parses, validates and reflects.
//! Under profile [`dp32`] it also checks that the kernel can be made reproducible. [`Resolved::lower`] then rewrites it, and
//! the [`interpreter`] can run the result.

mod advice;
mod diagnostic;
pub mod dp32;
pub mod interpreter;
mod kernel;
mod overrides;
mod prelude;
mod refusal;
mod specialize;
mod tails;
mod text;
mod validate;
mod visit;

pub use diagnostic::{Diagnostic, KernelError, SourceLocation};
pub use dp32::{LoopCost, Lowered, Tier};
pub use isobit_job::Profile;
use isobit_job::{Fault, FaultKind};
pub use kernel::{Binding, BufferBindingType, EntryPoint, Kernel, Resolved};
use refusal::Refusal;

/// The most bytes of source text in one kernel: 1 MiB, as `wit/gpu.wit` says.
pub const MAX_WGSL_BYTES: usize = 1 << 20;

/// Bind groups 0 to 2 are the guest's; `@group(3)` is the system's.
pub const GUEST_BIND_GROUPS: u32 = 3;

/// Stack for the compiler: 256 MiB reserved, not committed. naga walks declarations and expressions
/// recursively; the deepest nesting that 1 MiB of text can have, within the bounds of `text`, needs less than this.
const COMPILER_STACK_BYTES: usize = 1 << 28;

/// Parses and validates a kernel.
///
/// The compiler runs on a separate thread with a deep stack: hostile nesting cannot overflow the caller's.
///
/// # Errors
/// The kernel breaks a rule of WGSL, of WebGPU or of its profile: a [`Diagnostic`], which shows the source line with a
/// caret. Or the compiler itself fails: a fault.
pub fn prepare(wgsl: &str, profile: Profile) -> Result<Kernel, KernelError> {
    if wgsl.len() > MAX_WGSL_BYTES {
        let reason =
            format!("the source has {} bytes, more than the {MAX_WGSL_BYTES} that a kernel may have", wgsl.len());
        return Err(KernelError::Refused(Diagnostic::new(reason)));
    }
    kernel::compile(wgsl, profile)
}

/// Runs the compiler with [`COMPILER_STACK_BYTES`] of stack; refusals are drawn with lines of `source`. Both a thread that
/// cannot be started and a panic are faults: neither is a function of the kernel alone.
fn on_deep_stack<T: Send>(source: &str, work: impl FnOnce() -> Result<T, Refusal> + Send) -> Result<T, KernelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("wgsl".to_owned())
            .stack_size(COMPILER_STACK_BYTES)
            .spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result.map_err(|refusal| refusal.judge(source)),
            Ok(Err(_panic)) => Err(Fault::new(FaultKind::Internal, "the shader compiler panicked").into()),
            Err(error) => {
                let what = format_args!("the shader compiler could not be started: {error}");
                Err(Fault::new(FaultKind::OutOfMemory, what).into())
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_panics_is_a_fault() {
        let panicked = on_deep_stack("", || -> Result<(), Refusal> { panic!("a defect") });
        let Err(KernelError::Fault(fault)) = panicked else { panic!("{panicked:?}") };
        assert_eq!(fault.kind, FaultKind::Internal);
        let defect = on_deep_stack("", || -> Result<(), Refusal> { Err(refusal::defect("a helper is missing")) });
        assert!(matches!(defect, Err(KernelError::Fault(_))), "{defect:?}");
        let refused = on_deep_stack("", || -> Result<(), Refusal> { Err(Refusal::new("no")) });
        assert!(matches!(refused, Err(KernelError::Refused(_))), "{refused:?}");
    }
}
