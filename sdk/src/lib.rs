//! Write isobit workloads in Rust.
//!
//! A workload is a WebAssembly component that a provider runs once, in a sandbox, with a GPU. It sees
//! named [inputs](Input), named [outputs](Output), [parameters](param) and the [device](Gpu), and nothing
//! else: no clock, no randomness, no network, no files. So a run is a function of the job, and two honest
//! runs of one job can be compared by hash.
//!
//! ```no_run
//! use isobit::{Gpu, Output};
//!
//! #[isobit::main]
//! fn main() -> isobit::Result<()> {
//!     let gpu = Gpu::new();
//!     let kernel = gpu.kernel(
//!         "@group(0) @binding(0) var<storage, read_write> numbers: array<u32>;
//!          @compute @workgroup_size(64) fn double(@builtin(global_invocation_id) id: vec3<u32>) {
//!              if id.x < arrayLength(&numbers) { numbers[id.x] *= 2u; }
//!          }",
//!     )?;
//!     let numbers = gpu.buffer_from(&[1_u32, 2, 3])?;
//!     kernel.dispatch().bind(0, &numbers).workgroups(1, 1, 1).run()?;
//!     Output::create("out")?.append_from(&numbers)
//! }
//! ```
//!
//! The crate is for `crate-type = ["cdylib"]` on `wasm32-unknown-unknown`; `isobit build` compiles it.
//! It also compiles for the host, so that a workload's own pure functions can be tested with
//! `cargo test`; there, calls that need a provider abort.
//!
//! [`bindings`] has what the crate does not offer, and can be used next to it.

#[doc(hidden)]
#[path = "takes.rs"]
pub mod __takes;
mod buffer;
mod dispatch;
mod entry;
mod error;
mod gpu;
mod kernel;
mod param;
mod report;
mod stream;

pub use bindings::isobit::compute::gpu::{DeviceLimits, SourceLocation};
pub use buffer::{Buffer, BufferSlice};
pub use bytemuck::{self, Pod, Zeroable};
pub use dispatch::{Batch, BindGroup, BindGroupBuilder, Binding, Dispatch};
#[doc(hidden)]
pub use entry::{Ending, run};
pub use error::{Error, Result};
pub use gpu::Gpu;
pub use isobit_macros::main;
pub use kernel::{Kernel, KernelBuilder, ShaderModule, Slot};
pub use param::{param, params};
pub use report::{Level, log, progress};
pub use stream::{Input, Output};

/// The generated bindings of `isobit:compute`, one to one as in `wit/`.
///
/// A workload can be written against them alone, without [`main`](macro@main):
///
/// ```no_run
/// use isobit::bindings::{Guest, isobit::compute::report};
///
/// struct Workload;
///
/// impl Guest for Workload {
///     fn run() -> Result<(), String> {
///         report::log(report::Level::Info, "hello");
///         Ok(())
///     }
/// }
///
/// isobit::bindings::export!(Workload with_types_in isobit::bindings);
/// # fn main() {}
/// ```
#[allow(unsafe_code, missing_docs, clippy::all, clippy::restriction, clippy::pedantic, reason = "generated code")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "workload",
        pub_export_macro: true,
        default_bindings_module: "isobit::bindings",
    });
}
