//! wasmtime's settings, and components compiled under them.
//!
//! Everything that could let two honest runs differ is switched off or pinned here.

use crate::bounds::MAX_CORE_INSTANCES;
use crate::host::limiter::{MAX_MEMORIES, MAX_TABLE_ELEMENTS, MAX_TABLES};
use crate::host::{self, HostState};
use crate::rewrite::{self, NATIVE_STACK};
use crate::rules::SANDBOX_VERSION;
use crate::workload::Workload;
use isobit_job::Hash;
use std::fs::File;
use std::hash::{Hash as _, Hasher};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi::p2::bindings::sync::CommandPre;

/// The most bytes of one linear memory: what 32-bit wasm can address.
const MAX_GUEST_MEMORY: usize = 4 << 30;

/// How often a running guest is checked for its deadline and for cancellation.
pub(crate) const EPOCH_TICK: std::time::Duration = std::time::Duration::from_millis(10);

/// An engine with the host interface linked. Made once per process.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<HostState>,
}

/// Why a workload could not be compiled: it is not valid, or not of the world `isobit:compute/workload`.
#[derive(Debug, thiserror::Error)]
#[error("the workload cannot be compiled: {0}")]
pub struct CompileError(String);

impl CompileError {
    fn new(error: &wasmtime::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// Identifies an engine's form of compiled code. Code can be loaded only under the key that it was compiled under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeKey(String);

impl CodeKey {
    /// The key as part of a file name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A workload in machine code, its imports resolved, ready for any number of jobs.
#[derive(Clone)]
pub struct CompiledWorkload {
    pub(crate) engine: Engine,
    pub(crate) entry: Entry,
    hash: Hash,
}

/// How a workload is entered.
#[derive(Clone)]
pub(crate) enum Entry {
    /// By `run` of the world `isobit:compute/workload`.
    Workload(host::bindings::WorkloadPre<HostState>),
    /// By `wasi:cli/run`.
    Command(CommandPre<HostState>),
}

impl Entry {
    pub(crate) fn pre(&self) -> &InstancePre<HostState> {
        match self {
            Self::Workload(workload) => workload.instance_pre(),
            Self::Command(command) => command.instance_pre(),
        }
    }
}

/// A file of machine code that this program wrote through [`CompiledWorkload::code`].
///
/// Loading machine code means running it. The caller of [`TrustedCode::promise`] promises that the file holds
/// what `code` returned, and that no guest, renter or other user could write to it since.
pub struct TrustedCode(File);

impl TrustedCode {
    /// Wraps the file. The type's documentation says what the caller promises.
    #[must_use]
    pub fn promise(file: File) -> Self {
        Self(file)
    }
}

/// The component as it is compiled: its functions count the depth of their calls and pay for those of the host. [`Sandbox::compile`] does this first; it is
/// here for those who look at it.
///
/// # Errors
/// Fails if the component cannot be read, or a module in it is not valid.
pub fn instrumented(workload: &Workload) -> Result<Vec<u8>, CompileError> {
    rewrite::rewrite(workload.bytes(), workload.instances()).map_err(|error| CompileError(error.to_string()))
}

impl Sandbox {
    /// An engine with the settings of this crate.
    ///
    /// # Errors
    /// Fails if the host lacks what the settings need: virtual memory for the pool, or a supported processor.
    pub fn new() -> Result<Self, CompileError> {
        let engine = Engine::new(&settings()).map_err(|error| CompileError::new(&error))?;
        let linker = host::linker(&engine).map_err(|error| CompileError::new(&error))?;
        Ok(Self { engine, linker })
    }

    /// Names the settings, the wasmtime version and the processor features that compiled code depends on.
    #[must_use]
    pub fn code_key(&self) -> CodeKey {
        let mut hasher = KeyHasher(blake3::Hasher::new());
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        // Code counts calls as this version says.
        SANDBOX_VERSION.hash(&mut hasher);
        CodeKey(hasher.0.finalize().to_hex().chars().take(16).collect())
    }

    /// Compiles a workload with Cranelift, on all cores.
    ///
    /// # Errors
    /// Fails if the component is not valid, or does not fit the world.
    pub fn compile(&self, workload: &Workload) -> Result<CompiledWorkload, CompileError> {
        let instrumented = instrumented(workload)?;
        let component =
            Component::from_binary(&self.engine, &instrumented).map_err(|error| CompileError::new(&error))?;
        self.link(&component, workload.blob().hash)
    }

    /// Loads what [`CompiledWorkload::code`] saved for the workload of this hash. Maps the file; about 0.1 ms.
    ///
    /// # Errors
    /// Fails if the file was made under another [`CodeKey`].
    pub fn load(&self, code: &TrustedCode, workload: Hash) -> Result<CompiledWorkload, CompileError> {
        let component = deserialize(&self.engine, code).map_err(|error| CompileError::new(&error))?;
        self.link(&component, workload)
    }

    fn link(&self, component: &Component, hash: Hash) -> Result<CompiledWorkload, CompileError> {
        let pre: InstancePre<HostState> =
            self.linker.instantiate_pre(component).map_err(|error| CompileError::new(&error))?;
        // A component that exports both is entered as what this project defines.
        let exports_run = component.get_export_index(None, "run").is_some();
        let entry = if exports_run {
            host::bindings::WorkloadPre::new(pre).map(Entry::Workload)
        } else {
            CommandPre::new(pre).map(Entry::Command)
        };
        let entry = entry.map_err(|error| CompileError::new(&error))?;
        Ok(CompiledWorkload { engine: self.engine.clone(), entry, hash })
    }
}

impl CompiledWorkload {
    /// The machine code in wasmtime's own format, for a cache.
    ///
    /// # Errors
    /// Fails if wasmtime cannot serialize the code.
    pub fn code(&self) -> Result<Vec<u8>, CompileError> {
        self.entry.pre().component().serialize().map_err(|error| CompileError::new(&error))
    }

    /// Hash of the workload that this was compiled from.
    #[must_use]
    pub fn workload(&self) -> Hash {
        self.hash
    }
}

/// Maps compiled code from a file by its descriptor, because the file may have no name that can be reached.
#[allow(unsafe_code, reason = "wasmtime cannot check machine code; TrustedCode carries the promise")]
fn deserialize(engine: &Engine, code: &TrustedCode) -> wasmtime::Result<Component> {
    use std::io::Read as _;
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let path = std::path::PathBuf::from(format!("/proc/self/fd/{}", code.0.as_raw_fd()));
        if path.exists() {
            // SAFETY: `TrustedCode` promises that the file is `Component::serialize`'s output, unchanged.
            return unsafe { Component::deserialize_file(engine, path) };
        }
    }
    let mut bytes = Vec::new();
    (&code.0).read_to_end(&mut bytes)?;
    // SAFETY: as above.
    unsafe { Component::deserialize(engine, bytes) }
}

/// BLAKE3 behind `std::hash::Hasher`, because the key becomes a file name that outlives the process.
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// wasmtime's settings for jobs, which [`Sandbox::new`] uses. They are here for measurements of what one of them costs.
#[must_use]
pub fn settings() -> Config {
    let mut config = Config::new();
    // Determinism: one result for every instruction, cost instead of time.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.consume_fuel(true);
    config.epoch_interruption(true);
    // Only the parts of wasm that compilers for Rust, C and similar languages need.
    config.wasm_component_model(true);
    config.shared_memory(false);
    config.wasm_memory64(false);
    // A guest's module has one memory, which is checked where its calls are counted; what wasmtime puts between two components has those of both.
    config.wasm_multi_memory(true);
    config.concurrency_support(false);
    config.gc_support(false);
    // What is counted ends first.
    config.max_wasm_stack(NATIVE_STACK);
    config.async_stack_size(NATIVE_STACK);
    // The innermost frame says whether a recursion went too deep.
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(1));
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config.memory_init_cow(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

/// Room for one job: a component's main module, its adapter and shims. Only address space is taken up front.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(4)
        .total_core_instances(MAX_CORE_INSTANCES)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .total_memories(MAX_MEMORIES)
        .max_memories_per_component(MAX_MEMORIES)
        .total_tables(MAX_TABLES)
        .max_tables_per_component(MAX_TABLES)
        .max_tables_per_module(MAX_TABLES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .total_stacks(0)
        .max_memory_size(MAX_GUEST_MEMORY)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20);
    pool
}
