//! How a job ends. Endings that follow from the job are outcomes and go into the claim; endings that
//! are the provider's own trouble are faults, and claim nothing.

use isobit_device::DeviceFault;
use isobit_job::{Outcome, Trap};

/// The provider's own trouble: no claim is made, and the job can be run again elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Fault {
    /// What kind of trouble.
    pub kind: FaultKind,
    /// One line on what happened.
    pub message: String,
}

/// Kinds of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The job ran past its deadline.
    Deadline,
    /// The embedder asked the job to stop.
    Cancelled,
    /// The device was lost, hung, or ran out of real memory.
    Device,
    /// The driver left a loop that had not ended, see [`DeviceFault::LeftLoop`]: the CPU device can run the job.
    LeftLoop,
    /// An input could not be read or an output not be written.
    Io,
    /// The guest's native stack overflowed; how deep it goes depends on the host's compiler.
    Stack,
    /// wasmtime could not give the guest what it needs.
    Sandbox,
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Device => "device",
            Self::LeftLoop => "left-loop",
            Self::Io => "i/o",
            Self::Stack => "stack",
            Self::Sandbox => "sandbox",
        })
    }
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::new(FaultKind::Io, format!("{what}: {error}"))
    }
}

impl From<DeviceFault> for Fault {
    fn from(fault: DeviceFault) -> Self {
        let kind = match fault {
            DeviceFault::LeftLoop => FaultKind::LeftLoop,
            _ => FaultKind::Device,
        };
        Self::new(kind, fault.to_string())
    }
}

/// An ending raised by a host call; travels through wasmtime as an error and is recognized at the other end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ending {
    /// Follows from the job.
    #[error("the job is trapped: {0:?}")]
    Trapped(Trap),
    /// The provider's own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Ending {
    /// The ending as the error that a host call returns to make wasmtime unwind the guest.
    pub(crate) fn raise(self) -> wasmtime::Error {
        wasmtime::Error::new(self)
    }

    pub(crate) fn limit(name: &str) -> Self {
        Self::Trapped(Trap::Limit { limit: name.to_owned() })
    }
}

/// Why the guest, or a wait for the device, was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Deadline,
    Cancelled,
}

impl From<Stopped> for Fault {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Deadline => Self::new(FaultKind::Deadline, "the job ran past its deadline"),
            Stopped::Cancelled => Self::new(FaultKind::Cancelled, "the job was cancelled"),
        }
    }
}

/// Sorts an error that ended the guest into outcome or fault.
///
/// `memory_denied` says whether the guest's last request for memory was refused: a guest that aborts
/// right after that ran into its memory limit, and the renter should read so. `entered` says whether
/// the guest's `run` was called: what wasmtime finds wrong after that is the guest's doing.
pub(crate) fn classify(
    error: &wasmtime::Error,
    memory_denied: bool,
    entered: bool,
    stopped: Option<Stopped>,
) -> Result<Outcome, Fault> {
    match error.downcast_ref::<Ending>() {
        Some(Ending::Trapped(trap)) => return Ok(Outcome::Trapped(trap.clone())),
        Some(Ending::Fault(fault)) => {
            return Err(stopped.map_or_else(|| Fault::new(fault.kind, fault.message.clone()), Fault::from));
        }
        None => {}
    }
    match (stopped, error.downcast_ref::<wasmtime::Trap>()) {
        (Some(stopped), _) => Err(stopped.into()),
        (None, Some(trap)) => of_trap(*trap, memory_denied),
        (None, None) if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() => {
            let code = error.downcast_ref::<wasmtime_wasi::I32Exit>().map_or(0, |exit| exit.0);
            Ok(exit_outcome(code))
        }
        (None, None) if memory_denied => Ok(Outcome::Trapped(Trap::Limit { limit: "guest-memory".into() })),
        // A pointer outside of memory, text that is not UTF-8, a handle that is none of the guest's, ...
        (None, None) if entered => Ok(Outcome::Trapped(Trap::GuestTrap { code: "component-abi".to_owned() })),
        (None, None) => Err(Fault::new(FaultKind::Sandbox, format!("{error:#}"))),
    }
}

/// A WASI guest that calls `exit`: 0 is a normal end, anything else an error of the guest.
fn exit_outcome(code: i32) -> Outcome {
    match code {
        0 => Outcome::Completed,
        code => Outcome::Trapped(Trap::guest_error(&format!("exit status {code}"))),
    }
}

fn of_trap(trap: wasmtime::Trap, memory_denied: bool) -> Result<Outcome, Fault> {
    use wasmtime::Trap as Wasm;
    let code = match trap {
        Wasm::OutOfFuel => return Ok(Outcome::Trapped(Trap::Fuel)),
        Wasm::StackOverflow => {
            return Err(Fault::new(
                FaultKind::Stack,
                "the guest's call stack ran over 1 MiB: is there an endless recursion?",
            ));
        }
        Wasm::Interrupt => return Err(Fault::new(FaultKind::Deadline, "the job was interrupted")),
        Wasm::UnreachableCodeReached if memory_denied => {
            return Ok(Outcome::Trapped(Trap::Limit { limit: "guest-memory".into() }));
        }
        Wasm::UnreachableCodeReached => "unreachable",
        Wasm::MemoryOutOfBounds => "memory-out-of-bounds",
        Wasm::TableOutOfBounds => "table-out-of-bounds",
        Wasm::IndirectCallToNull => "indirect-call-to-null",
        Wasm::BadSignature => "bad-signature",
        Wasm::IntegerOverflow => "integer-overflow",
        Wasm::IntegerDivisionByZero => "integer-division-by-zero",
        Wasm::BadConversionToInteger => "bad-conversion-to-integer",
        Wasm::HeapMisaligned => "unaligned-atomic",
        // The component model's own checks: a guest whose bindings break the canonical ABI.
        _ => "component-abi",
    };
    Ok(Outcome::Trapped(Trap::GuestTrap { code: code.to_owned() }))
}
