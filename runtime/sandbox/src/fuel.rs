//! What the host does for a guest, in guest fuel.
//!
//! A unit of fuel is about a nanosecond of a processor: what an instruction of WebAssembly costs. Each price here is close to what the work takes, and never so
//! far below that a guest could keep its provider busy for much longer than its fuel says. Prices are part of the sandbox's semantics:
//! [`SANDBOX_VERSION`](crate::SANDBOX_VERSION).

/// A call of the host, whatever it does, which the guest's own code spends: see `rewrite`. Also a line of standard output or error that goes into the log.
pub const HOST_CALL: u32 = 1_000;

/// A byte that a call moves: of lists and strings, and between inputs, buffers and outputs.
pub const BYTE: u64 = 1;

/// An item of a list that is no byte, and a random byte.
pub const ITEM: u64 = 100;

/// A command that is submitted: a dispatch, a copy, a clear.
pub const COMMAND: u64 = 10_000;

/// A byte of WGSL: in a shader module, which is parsed, and again for each pipeline that is made from it, whose entry point is checked.
pub const WGSL_BYTE: u64 = 1_000;

/// A nanosecond that a driver may take to compile a pipeline: see [`ComputePipeline::compile_time`](isobit_device::ComputePipeline::compile_time).
pub const NANOSECOND: u64 = 1;
