//! Rewrites the core modules of a component before they are compiled: so that the depth of calls and the cost of host calls follow from the job.
//!
//! **Depth.** How much native stack a function takes depends on the processor and on the compiler, so wasmtime's own limit ends a recursion at another depth on
//! another machine. A function that calls therefore adds its cost to a counter when it is entered and takes it off when it returns; over the limit it traps. The
//! method is that of `wasm-instrument` (stack limiter), with the counting in the function that is called instead of at each call.
//!
//! The counter is a global variable that the module cannot name, because it comes after all of its own. Each instance has one, and all instances of the component share
//! [`MAX_DEPTH`] evenly. [`NATIVE_STACK`] is large enough for that: the cost of a function bounds its native frame.
//!
//! ```text
//! (func $f ...                        (func $f ...
//!   BODY)                               (if (i32.gt_u (global.get $depth) (i32.const LIMIT - COST)) (then (call $overflow)))
//!                                       (global.set $depth (i32.add (global.get $depth) (i32.const COST)))
//!                                       (block BODY, with `return` as a branch out of the block)
//!                                       (global.set $depth (i32.sub (global.get $depth) (i32.const COST))))
//! ```
//!
//! **Host calls.** wasmtime counts a call of the host like any instruction, though it takes a hundred times as long or more. So wherever a module names a function that it
//! imports from the host, it gets another that spends [`HOST_CALL`](crate::fuel::HOST_CALL) and then calls the one it wanted. Which functions are the host's follows from
//! how the component instantiates its modules ([`imports`]): what one module imports from another costs as much as a call within a module.

mod body;
mod imports;
mod module;

use self::imports::HostImports;
use wasm_encoder::Encode as _;
use wasmparser::{BinaryReader, BinaryReaderError, WasmFeatures};

/// The parts of WebAssembly that are compiled. The engine has them too; it also refuses shared memory.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::THREADS)
    .difference(WasmFeatures::GC_TYPES);

/// The depth that all instances of a component have together: some 150 000 calls of small functions.
pub const MAX_DEPTH: u32 = 16 << 20;

/// Native stack for one unit of depth.
const BYTES_PER_UNIT: usize = 8;

/// Native stack for a guest. A function that does not call the guest's own is not counted: one frame of the largest, and what the compiled code calls on its
/// own, fit into the last 16 MiB.
pub(crate) const NATIVE_STACK: usize = MAX_DEPTH as usize * BYTES_PER_UNIT + (16 << 20);

/// Why a component cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    #[error("{} at byte {}", .0.message(), .0.offset())]
    Broken(#[from] BinaryReaderError),
    #[error("{0}")]
    Unsupported(String),
}

impl From<wasm_encoder::reencode::Error> for RewriteError {
    fn from(error: wasm_encoder::reencode::Error) -> Self {
        match error {
            wasm_encoder::reencode::Error::ParseError(error) => Self::Broken(error),
            other => Self::Unsupported(other.to_string()),
        }
    }
}

type Result<T> = std::result::Result<T, RewriteError>;

/// Rewrites all core modules of a component that has `instances` instances of them.
///
/// # Errors
/// Fails if the component cannot be read, or a module is not valid.
pub(crate) fn rewrite(component: &[u8], instances: u32) -> Result<Vec<u8>> {
    let mut modules = HostImports::of(component)?.into_modules().into_iter();
    rewrite_component(component, MAX_DEPTH / instances.max(1), &mut modules)
}

/// Whether an `unreachable` of this module's function is the end of a recursion that went too deep.
pub(crate) fn is_overflow(error: &wasmtime::Error) -> bool {
    let frame = error.downcast_ref::<wasmtime::WasmBacktrace>().and_then(|backtrace| backtrace.frames().first());
    // The function that traps is the last one of each rewritten module.
    frame.is_some_and(|frame| {
        let last = frame.module().functions().last();
        last.is_some_and(|last| last.index.as_u32() == frame.func_index())
    })
}

const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// Modules come in the order in which a parser meets them.
fn rewrite_component(
    bytes: &[u8],
    limit: u32,
    modules: &mut impl Iterator<Item = imports::OfModule>,
) -> Result<Vec<u8>> {
    let (header, sections) = sections(bytes)?;
    let mut out = header.to_vec();
    out.reserve(bytes.len() + bytes.len() / 8);
    for (id, content) in sections {
        match id {
            CORE_MODULE => {
                push_section(&mut out, id, &module::rewrite(content, limit, &modules.next().unwrap_or_default())?);
            }
            COMPONENT => push_section(&mut out, id, &rewrite_component(content, limit, modules)?),
            _ => push_section(&mut out, id, content),
        }
    }
    Ok(out)
}

/// The bytes of magic and version.
const HEADER: usize = 8;

/// A section's id and content.
type Section<'a> = (u8, &'a [u8]);

/// The header of a module or component, and its sections.
fn sections(bytes: &[u8]) -> Result<(&[u8], Vec<Section<'_>>)> {
    let mut reader = BinaryReader::new(bytes, 0);
    let header = reader.read_bytes(HEADER)?;
    let mut sections = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()?;
        sections.push((id, reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?));
    }
    Ok((header, sections))
}

fn push_section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    content.encode(out);
}
