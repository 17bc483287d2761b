//! WASI for guests whose standard library imports it, and for commands, cut down to what is reproducible: clocks that count calls, randomness from the job's
//! hash. No sockets.
//!
//! A guest of the world `isobit:compute/workload` has no files; its standard output and error are log lines, its environment holds the job's parameters.
//! A command (`wasi:cli/run`) has the job in the form that its standard library knows:
//!
//! | the command's | the job's |
//! |---|---|
//! | arguments | parameter `args`: a JSON array of strings; other text is one argument |
//! | environment | parameter `env`: a JSON object of strings; and the other parameters by their names |
//! | standard input | input `stdin`; empty without one |
//! | `/in/NAME`, read only | input `NAME`; of an archive `NAME.tar` also its files, in `/in/NAME/` |
//! | standard output | output `stdout` |
//! | `/out/NAME`, written once, front to back | output `NAME` |
//! | standard error | the log |

mod clock;
mod files;
mod log;
mod random;
mod streams;

pub(super) use self::clock::VirtualClock;
pub(super) use self::files::Files;
pub use self::files::MAX_ARCHIVED;

use self::log::LineLog;
use self::random::{JobRandom, MAX_RANDOM};
use self::streams::{StandardInput, StandardOutput};
use super::HostState;
use super::fuel::HostFuel;
use super::io::OutputHandle;
use crate::ending::Ending;
use crate::fuel;
use crate::job::{Input, Reporter};
use isobit_job::{JobSpec, LogLevel, Name};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::cli::WasiCliView as _;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::random::{insecure, random as secure};
use wasmtime_wasi::p2::bindings::sync::filesystem::types;
use wasmtime_wasi::p2::bindings::sync::io::poll;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// The names of parameters, input and output that a command has in another form.
const ARGS: &str = "args";
const ENV: &str = "env";
const STDIN: &str = "stdin";
const STDOUT: &str = "stdout";

/// What a command has that other guests do not.
pub(super) struct Command {
    stdin: Option<Arc<Input>>,
    stdout: StandardOutput,
}

impl Command {
    pub(super) fn new(inputs: &BTreeMap<Name, Arc<Input>>, stdout: OutputHandle) -> Self {
        Self { stdin: inputs.get(STDIN).cloned(), stdout: StandardOutput(stdout) }
    }
}

/// The name of a command's standard output.
pub(super) fn stdout() -> Option<Name> {
    STDOUT.parse().ok()
}

impl HostState {
    /// Marks what a command is told before it runs as read.
    pub(super) fn arguments_are_read(&mut self) {
        self.unread_params.clear();
        self.unread_inputs.remove(STDIN);
    }
}

/// The WASI context of a job. The first argument is a fixed name.
pub(super) fn context(
    spec: &JobSpec,
    reporter: &Arc<dyn Reporter>,
    fuel: &HostFuel,
    command: Option<Command>,
) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder.arg("workload");
    let id = spec.id();
    builder
        .stderr(LineLog::new(LogLevel::Warn, reporter, fuel))
        .secure_random(JobRandom::new(id.0.as_bytes(), b"secure"))
        .insecure_random(JobRandom::new(id.0.as_bytes(), b"insecure"))
        .insecure_random_seed(0)
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    match command {
        None => {
            builder.stdout(LineLog::new(LogLevel::Info, reporter, fuel));
            for (name, value) in &spec.params {
                builder.env(name.as_str(), value);
            }
        }
        Some(Command { stdin, stdout }) => {
            builder.stdin(StandardInput::new(stdin, fuel)).stdout(stdout);
            arguments(spec, &mut builder, &**reporter);
        }
    }
    builder.build()
}

/// The arguments and the environment of a command.
fn arguments(spec: &JobSpec, builder: &mut WasiCtxBuilder, reporter: &dyn Reporter) {
    for (name, value) in &spec.params {
        match name.as_str() {
            ARGS => match serde_json::from_str::<Vec<String>>(value) {
                Ok(args) => builder.args(&args),
                Err(_) => builder.arg(value),
            },
            ENV => match serde_json::from_str::<BTreeMap<String, String>>(value) {
                Ok(variables) => builder.envs(&variables.into_iter().collect::<Vec<_>>()),
                Err(error) => {
                    let message =
                        format!("parameter `{ENV}` is left out, because it is no JSON object of strings: {error}");
                    reporter.log(LogLevel::Warn, &message);
                    &mut *builder
                }
            },
            name => builder.env(name, value),
        };
    }
}

/// Links WASI preview 2; then again what is the job's own, and what takes longer for a longer argument or answer and so is charged for.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    fn state(state: &mut HostState) -> &mut HostState {
        state
    }
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    wall_clock::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    secure::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    insecure::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    environment::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    preopens::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, state)?;
    poll::add_to_linker::<_, HasSelf<_>>(linker, state)
}

impl environment::Host for HostState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let environment = self.cli().get_environment()?;
        let bytes = environment.iter().map(|(name, value)| name.len().saturating_add(value.len()) as u64).sum();
        self.charge(bytes, fuel::BYTE).map_err(Ending::raise)?;
        self.charge(environment.len() as u64, fuel::ITEM).map_err(Ending::raise)?;
        Ok(environment)
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        self.cli().get_arguments()
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        self.cli().initial_cwd()
    }
}

impl poll::Host for HostState {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.charge(pollables.len() as u64, fuel::ITEM).map_err(Ending::raise)?;
        self.table.poll(pollables)
    }
}

impl poll::HostPollable for HostState {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.table.ready(pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.table.block(pollable)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}
