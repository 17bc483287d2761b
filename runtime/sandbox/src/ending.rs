//! How a job ends. Endings that follow from the job are outcomes and go into the claim; endings that
//! are the provider's own trouble are faults, and claim nothing.

use crate::rewrite;

use isobit_job::{Fault, FaultKind, LimitName, Outcome, Trap, TrapCode};

/// An ending raised by a host call. It passes through wasmtime as an error, and [`classify`] recognizes it.
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

    pub(crate) fn limit(limit: LimitName) -> Self {
        Self::Trapped(Trap::Limit { limit })
    }
}

/// Sorts an error that ended the guest into an outcome or a fault. An error that is not known to follow from the job
/// is a fault.
///
/// `memory_denied` says whether the guest's last request for memory was refused: a guest that aborts
/// right after that is reported as having reached its memory limit. `entered` says whether the guest's
/// `run` was called: only then is a breach of the ABI the guest's. `stopped` is the reason if the host
/// stopped the guest.
pub(crate) fn classify(
    error: &wasmtime::Error,
    memory_denied: bool,
    entered: bool,
    stopped: Option<FaultKind>,
) -> Result<Outcome, Fault> {
    match error.downcast_ref::<Ending>() {
        Some(Ending::Trapped(trap)) => return Ok(Outcome::Trapped(trap.clone())),
        Some(Ending::Fault(fault)) => return Err(stopped.map_or_else(|| fault.clone(), Fault::from)),
        None => {}
    }
    if let Some(stopped) = stopped {
        return Err(stopped.into());
    }
    let unknown = || Fault::new(FaultKind::Internal, format_args!("the guest ended in an unknown way: {error:#}"));
    let out_of_memory = || Outcome::Trapped(Trap::Limit { limit: LimitName::GuestMemory });
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return Ok(exit_outcome(exit.0));
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::OutOfFuel) => Ok(Outcome::Trapped(Trap::Fuel)),
        Some(wasmtime::Trap::UnreachableCodeReached) if rewrite::is_overflow(error) => {
            Ok(Outcome::Trapped(Trap::Limit { limit: LimitName::CallDepth }))
        }
        Some(wasmtime::Trap::UnreachableCodeReached) if memory_denied => Ok(out_of_memory()),
        Some(trap) => match trap_code(*trap) {
            Some(code) => Ok(Outcome::Trapped(Trap::GuestTrap { code })),
            None => Err(unknown()),
        },
        None if memory_denied => Ok(out_of_memory()),
        None if entered => abi_breach(&format!("{error:#}")).ok_or_else(unknown),
        None => Err(unknown()),
    }
}

/// A WASI guest that calls `exit`: 0 is a normal end, anything else an error of the guest.
fn exit_outcome(code: i32) -> Outcome {
    match code {
        0 => Outcome::Completed,
        code => Outcome::Trapped(Trap::guest_error(&format!("exit status {code}"))),
    }
}

/// The code of a trap that the guest causes itself; none for other traps.
fn trap_code(trap: wasmtime::Trap) -> Option<TrapCode> {
    use wasmtime::Trap as Wasm;
    Some(match trap {
        Wasm::UnreachableCodeReached => TrapCode::Unreachable,
        Wasm::MemoryOutOfBounds => TrapCode::MemoryOutOfBounds,
        Wasm::TableOutOfBounds => TrapCode::TableOutOfBounds,
        Wasm::IndirectCallToNull => TrapCode::IndirectCallToNull,
        Wasm::BadSignature => TrapCode::BadSignature,
        Wasm::IntegerOverflow => TrapCode::IntegerOverflow,
        Wasm::IntegerDivisionByZero => TrapCode::IntegerDivisionByZero,
        Wasm::BadConversionToInteger => TrapCode::BadConversionToInteger,
        Wasm::HeapMisaligned => TrapCode::UnalignedAtomic,
        Wasm::AtomicWaitNonSharedMemory => TrapCode::AtomicWait,
        Wasm::CannotEnterComponent
        | Wasm::CannotLeaveComponent
        | Wasm::InvalidChar
        | Wasm::StringOutOfBounds
        | Wasm::ListOutOfBounds
        | Wasm::InvalidDiscriminant
        | Wasm::UnalignedPointer => TrapCode::ComponentAbi,
        _ => return None,
    })
}

/// Parts of wasmtime 48's messages for breaches of the canonical ABI that have no trap.
const ABI_BREACHES: [&str; 26] = [
    "out of bounds of memory",
    "pointer out of bounds",
    "pointer size overflow",
    "not aligned",
    "out of range [0..",
    "unexpected discriminant",
    "invalid option discriminant",
    "invalid expected discriminant",
    "size overflow copying a",
    "byte length too large",
    "byte length overflow",
    "invalid utf-8 sequence",
    "incomplete utf-8 byte sequence",
    "invalid utf-16",
    "invalid utf8 encoding",
    "invalid utf16 encoding",
    "unpaired surrogate",
    "unknown handle index",
    "is not a resource",
    "is not an own resource",
    "used with the wrong type",
    "cannot lend resource: too many active lends",
    "cannot remove owned resource while borrowed",
    "borrow handles still remain at the end of the call",
    "converted integer out of range for `char`",
    "realloc",
];

/// The outcome of a guest that broke the canonical ABI, if this message reports that.
fn abi_breach(message: &str) -> Option<Outcome> {
    if message.contains("too much data is being copied between the host and the guest") {
        return Some(Outcome::Trapped(Trap::Limit { limit: LimitName::HostCallBytes }));
    }
    // The most that WASI gives in one call, of random bytes for instance.
    if message.contains("requested len ") && message.contains(" exceeds limit ") {
        return Some(Outcome::Trapped(Trap::Limit { limit: LimitName::HostCallBytes }));
    }
    // Of all handles, and wasmtime's own of those that are lent for the time of a call.
    if message.contains("resource table has no free keys") || message.contains("store handle limit exceeded") {
        return Some(Outcome::Trapped(Trap::Limit { limit: LimitName::Handles }));
    }
    let breach = ABI_BREACHES.iter().any(|part| message.contains(part));
    breach.then_some(Outcome::Trapped(Trap::GuestTrap { code: TrapCode::ComponentAbi }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_claimed() {
        for unknown in ["failed to allocate a fiber", "something new in wasmtime 49", ""] {
            let error = wasmtime::Error::msg(unknown.to_owned());
            let fault = classify(&error, false, true, None).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Internal, "{unknown}");
        }
        for trap in [wasmtime::Trap::Interrupt, wasmtime::Trap::StackOverflow, wasmtime::Trap::DisabledOpcode] {
            assert_eq!(classify(&trap.into(), true, true, None).unwrap_err().kind, FaultKind::Internal, "{trap}");
        }
        let breach = wasmtime::Error::msg("string pointer/length out of bounds of memory");
        assert!(classify(&breach, false, true, None).is_ok());
        // Before the guest runs, a breach cannot be the guest's.
        assert!(classify(&breach, false, false, None).is_err());
        let stopped = classify(&wasmtime::Trap::UnreachableCodeReached.into(), false, true, Some(FaultKind::Deadline));
        assert_eq!(stopped.unwrap_err().kind, FaultKind::Deadline);
    }
}
