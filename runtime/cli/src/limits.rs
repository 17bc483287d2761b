//! Every limit in one table: `isobit limits` prints it, and docs/limits.md is made from it. The values are those of the constants that enforce them, and of the flags'
//! defaults.

use std::fmt;
use std::time::Duration;

use isobit_device::{DeviceLimits, MAX_COMMANDS, MAX_HOST_MEMORY};
use isobit_job::{Bytes, DeviceClass, Fuel, Limits};
use isobit_sandbox::limits as sandbox;
use isobit_shader::dp32;
use serde::Serialize;

/// Whom a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One job: its spec.
    JobSpec,
    /// One workload, before it is compiled.
    Workload,
    /// One job: its guest.
    Guest,
    /// One job: what its guest pays for in fuel.
    Fuel,
    /// One job: its kernels.
    Kernels,
    /// One job as its renter sees it.
    Renter,
    /// One renter at a provider, by its key, its address or its connection.
    OneRenter,
    /// All renters of a provider together.
    Provider,
    /// A worker process of a provider.
    Worker,
}

impl Scope {
    /// All of them, in the order of the table.
    pub const ALL: [Scope; 9] = [
        Scope::JobSpec,
        Scope::Workload,
        Scope::Guest,
        Scope::Fuel,
        Scope::Kernels,
        Scope::Renter,
        Scope::OneRenter,
        Scope::Provider,
        Scope::Worker,
    ];

    /// What the limits are about, as a heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Scope::JobSpec => "A job's spec",
            Scope::Workload => "A workload, before it is compiled",
            Scope::Guest => "A guest while it runs",
            Scope::Fuel => "What a guest's fuel pays for",
            Scope::Kernels => "Kernels and dispatches",
            Scope::Renter => "What a renter bears from a provider",
            Scope::OneRenter => "One renter at a provider",
            Scope::Provider => "A provider, all renters together",
            Scope::Worker => "A provider's worker process",
        }
    }
}

/// How much a limit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "unit", content = "amount", rename_all = "kebab-case")]
pub enum Amount {
    Count(u64),
    Bytes(u64),
    Fuel(u64),
    /// Milliseconds.
    Milliseconds(u64),
    /// As it is written after a flag.
    Flag(String),
    /// In words.
    Text(&'static str),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) | Self::Fuel(count) => Fuel::saturating_from(*count).fmt(f),
            Self::Bytes(bytes) => Bytes::saturating_from(*bytes).fmt(f),
            Self::Milliseconds(time) if time.is_multiple_of(1000) => write!(f, "{} s", time / 1000),
            Self::Milliseconds(time) => write!(f, "{time} ms"),
            Self::Flag(text) => f.write_str(text),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A limit.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    pub scope: Scope,
    pub name: &'static str,
    /// What it limits.
    pub what: &'static str,
    /// What holds if nobody says otherwise.
    pub default: Amount,
    /// The most that it can be set to; the same as the default where it is fixed.
    pub maximum: Amount,
    pub set_by: &'static str,
    /// What happens at it.
    pub at_it: &'static str,
}

/// Nobody sets it.
const FIXED: &str = "fixed";

fn count(count: impl TryInto<u64>) -> Amount {
    Amount::Count(count.try_into().unwrap_or(u64::MAX))
}

fn bytes(bytes: impl TryInto<u64>) -> Amount {
    Amount::Bytes(bytes.try_into().unwrap_or(u64::MAX))
}

fn fuel(fuel: Fuel) -> Amount {
    Amount::Fuel(fuel.get())
}

fn time(time: Duration) -> Amount {
    Amount::Milliseconds(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The default of a flag of a command.
fn flag(isobit: &clap::Command, command: &str, flag: &str) -> Amount {
    let argument = isobit
        .find_subcommand(command)
        .and_then(|found| found.get_arguments().find(|argument| argument.get_id() == flag));
    let values = argument.map(clap::Arg::get_default_values).unwrap_or_default();
    Amount::Flag(values.first().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default())
}

/// The default of one of `serve`'s settings.
#[cfg(target_os = "linux")]
fn setting(key: &str) -> Amount {
    let defaults = crate::settings::defaults().unwrap_or_default();
    let found = defaults.into_iter().find(|listed| listed.key == key);
    let shown = found.map(|listed| listed.value.as_str().map_or_else(|| listed.value.to_string(), str::to_owned));
    Amount::Flag(shown.unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
fn setting(_: &str) -> Amount {
    Amount::Text("what the provider grants")
}

/// A limit that nobody can change.
fn fixed(scope: Scope, name: &'static str, what: &'static str, amount: Amount, at_it: &'static str) -> Limit {
    Limit { scope, name, what, default: amount.clone(), maximum: amount, set_by: FIXED, at_it }
}

/// All limits, those of one scope together. Takes the command line for the defaults of its flags.
pub fn all(isobit: &clap::Command) -> Vec<Limit> {
    let mut limits = [spec(), workload(), guest(isobit), prices(), kernels(), renter()].concat();
    limits.extend(of_providers());
    limits
}

fn spec() -> Vec<Limit> {
    use isobit_job::{MAX_INPUTS, MAX_NAME, MAX_PARAM, MAX_PARAMS, MAX_SPEC_JSON};
    const REFUSED: &str = "the job is refused before anything is sent";
    [
        ("spec-bytes", "a job spec as JSON", bytes(MAX_SPEC_JSON)),
        ("inputs", "inputs", count(MAX_INPUTS)),
        ("parameters", "parameters", count(MAX_PARAMS)),
        ("parameter-bytes", "the value of a parameter", bytes(MAX_PARAM)),
        ("name", "characters in a name of an input, output or parameter", count(MAX_NAME)),
    ]
    .map(|(name, what, amount)| fixed(Scope::JobSpec, name, what, amount, REFUSED))
    .into()
}

fn workload() -> Vec<Limit> {
    const REFUSED: &str = "no workload: refused before it is compiled";
    let mut limits = vec![fixed(
        Scope::Workload,
        "workload-bytes",
        "the component",
        bytes(isobit_sandbox::MAX_WORKLOAD),
        "rejected before it is sent",
    )];
    limits.extend(
        [
            ("functions", "functions of all modules", count(sandbox::MAX_FUNCTIONS)),
            ("function-bytes", "code of one function", bytes(sandbox::MAX_FUNCTION_BYTES)),
            ("locals", "local variables of one function", count(sandbox::MAX_LOCALS)),
            ("modules", "core modules", count(sandbox::MAX_MODULES)),
            ("components", "components within the component", count(sandbox::MAX_COMPONENTS)),
            ("instances", "instances of core modules", count(sandbox::MAX_INSTANCES)),
            ("component-instances", "instances of components", count(sandbox::MAX_COMPONENT_INSTANCES)),
            ("tables", "tables of all modules", count(sandbox::MAX_TABLES)),
            ("table-elements", "elements that all tables have at first", count(sandbox::MAX_TABLE_ELEMENTS)),
            ("memories", "memories of all modules", count(sandbox::MAX_MEMORIES)),
            ("globals", "global variables of all modules", count(sandbox::MAX_GLOBALS)),
            ("types", "types of all modules and components", count(sandbox::MAX_TYPES)),
        ]
        .map(|(name, what, amount)| fixed(Scope::Workload, name, what, amount, REFUSED)),
    );
    limits.push(fixed(
        Scope::Workload,
        "code-bytes",
        "compiled code that is kept",
        bytes(sandbox::MAX_CODE_BYTES),
        "compiled again for each job",
    ));
    limits
}

/// What things cost in guest fuel. An instruction costs 1.
fn prices() -> Vec<Limit> {
    [
        ("compile-byte", "a byte of the workload, compiled here or before", isobit_job::COMPILE_FUEL_PER_BYTE),
        ("host-call", "a call of the host", sandbox::HOST_CALL_FUEL.into()),
        ("byte", "a byte that a call moves: lists, strings, inputs, buffers, outputs", sandbox::BYTE_FUEL),
        ("item", "an item of any other list, and a random byte", sandbox::ITEM_FUEL),
        ("command", "a dispatch, copy or clear that is submitted", sandbox::COMMAND_FUEL),
        ("wgsl-byte", "a byte of WGSL in a shader module, and again for each pipeline", sandbox::WGSL_BYTE_FUEL),
        (
            "compile-time",
            "a nanosecond that compiling a pipeline may take, estimated from its kernel",
            sandbox::NANOSECOND_FUEL,
        ),
    ]
    .map(|(name, what, price)| fixed(Scope::Fuel, name, what, Amount::Fuel(price), "`trapped: fuel`"))
    .into()
}

/// The most that a provider grants unless it is told otherwise.
fn granted() -> Option<Limits> {
    #[cfg(target_os = "linux")]
    return Some(isobit_provider::Ceiling::default().limits);
    #[cfg(not(target_os = "linux"))]
    None
}

fn guest(isobit: &clap::Command) -> Vec<Limit> {
    const SEES: &str = "the call fails with `limit-exceeded`, which the guest can handle";
    let (own, most) = (Limits::default(), granted());
    let most = |of: fn(&Limits) -> Amount| most.as_ref().map_or(Amount::Text("what the provider grants"), of);
    let of_job = |name, what, default, maximum, set_by, at_it| Limit {
        scope: Scope::Guest,
        name,
        what,
        default,
        maximum,
        set_by,
        at_it,
    };
    let fixed = |name, what, amount, at_it| fixed(Scope::Guest, name, what, amount, at_it);
    vec![
        of_job(
            "guest-memory",
            "linear memory, all memories together",
            bytes(own.guest_memory.get()),
            bytes(Limits::MAX_GUEST_MEMORY.get()),
            "the job: --guest-memory",
            "growing fails; a guest that ends right after is `trapped: limit guest-memory`",
        ),
        of_job(
            "fuel",
            "the guest's instructions, compiling, and calls of the host",
            fuel(own.fuel),
            most(|limits| fuel(limits.fuel)),
            "the job: --fuel",
            "`trapped: fuel`",
        ),
        of_job(
            "kernel-fuel",
            "what dispatches do",
            fuel(own.kernel_fuel),
            most(|limits| fuel(limits.kernel_fuel)),
            "the job: --kernel-fuel",
            "`trapped: kernel-fuel`, when the guest waits for the device",
        ),
        of_job(
            "device-memory",
            "buffers",
            bytes(own.device_memory.get()),
            most(|limits| bytes(limits.device_memory.get())),
            "the job: --device-memory; the provider: serve --max-device-memory",
            "the call fails with `out-of-memory`, which the guest can handle",
        ),
        of_job(
            "output-bytes",
            "all outputs together",
            bytes(own.output_bytes.get()),
            most(|limits| bytes(limits.output_bytes.get())),
            "the job: --output-bytes",
            SEES,
        ),
        of_job("outputs", "outputs", count(own.outputs), count(isobit_job::MAX_OUTPUTS), "the job: --outputs", SEES),
        of_job(
            "deadline",
            "time from the start of a run",
            flag(isobit, "submit", "deadline"),
            setting("max-deadline"),
            "the renter: --deadline; the provider: serve --max-deadline",
            "a fault: no claim and no bill",
        ),
        fixed(
            "call-depth",
            "depth of calls, functions by their size",
            count(sandbox::MAX_CALL_DEPTH),
            "`trapped: limit call-depth`",
        ),
        fixed(
            "archived-files",
            "files of all archives that a command has as inputs",
            count(sandbox::MAX_ARCHIVED_FILES),
            "an archive with more is a file, and no folder",
        ),
        fixed("handles", "handles of all kinds at once", count(sandbox::MAX_HANDLES), "`trapped: limit handles`"),
        fixed(
            "host-call-bytes",
            "what one host call hands over",
            bytes(sandbox::HOSTCALL_BYTES),
            "`trapped: limit host-call-bytes`",
        ),
        fixed(
            "host-memory",
            "what the host remembers for the guest, each thing at a fixed charge",
            bytes(MAX_HOST_MEMORY),
            SEES,
        ),
        fixed("running-tables", "tables", count(sandbox::MAX_RUNNING_TABLES), "the workload cannot be started"),
        fixed(
            "running-memories",
            "linear memories",
            count(sandbox::MAX_RUNNING_MEMORIES),
            "the workload cannot be started",
        ),
        fixed(
            "running-table-elements",
            "elements of all tables",
            count(sandbox::MAX_RUNNING_TABLE_ELEMENTS),
            "growing fails",
        ),
        fixed(
            "read-bytes",
            "what one read of an input returns",
            bytes(sandbox::MAX_READ_BYTES),
            "the read returns less",
        ),
        fixed("log-line", "a line of the log", bytes(sandbox::MAX_LOG), "the line is cut"),
        fixed(
            "progress-message",
            "the message of a progress report",
            bytes(sandbox::MAX_PROGRESS),
            "the message is cut",
        ),
        fixed(
            "guest-error",
            "the error that a guest returns",
            bytes(isobit_job::MAX_GUEST_ERROR),
            "the message is cut",
        ),
    ]
}

fn kernels() -> Vec<Limit> {
    const REFUSED: &str = "the kernel is refused, which the guest can handle";
    const INVALID: &str = "the call fails, which the guest can handle";
    let [base, large] = [DeviceClass::Base, DeviceClass::Large].map(DeviceLimits::of);
    let workgroups = base.max_compute_workgroups_per_dimension;
    let of_every_class = [
        ("wgsl-bytes", "the text of a shader module", bytes(isobit_shader::MAX_WGSL_BYTES), REFUSED),
        ("control-depth", "nested control flow, calls inlined", count(dp32::MAX_CONTROL_DEPTH), REFUSED),
        ("kernel-call-depth", "functions that call each other", count(dp32::MAX_CALL_DEPTH), REFUSED),
        ("variable-bytes", "the private variables of an invocation", bytes(dp32::MAX_VARIABLE_BYTES), REFUSED),
        ("value-bytes", "a value", bytes(dp32::MAX_VALUE_BYTES), REFUSED),
        (
            "invocation-fuel",
            "fuel of one invocation",
            Amount::Fuel(dp32::INVOCATION_FUEL.into()),
            "`trapped: kernel-fuel`",
        ),
        ("dispatches", "dispatches", Amount::Text("no number of their own"), "bounded by kernel-fuel and by commands"),
        ("commands", "commands in one encoder", count(MAX_COMMANDS), INVALID),
        ("workgroups", "workgroups of a dispatch in each dimension", count(workgroups), INVALID),
        ("invocations", "invocations of a workgroup", count(base.max_compute_invocations_per_workgroup), INVALID),
        ("workgroup-memory", "workgroup memory", bytes(base.max_compute_workgroup_storage_size), INVALID),
        ("uniform-binding-bytes", "a uniform binding", bytes(base.max_uniform_buffer_binding_size), INVALID),
        ("bind-groups", "bind groups of a pipeline", count(base.max_bind_groups), INVALID),
        ("storage-buffers", "storage buffers of a kernel", count(base.max_storage_buffers_per_shader_stage), INVALID),
        ("uniform-buffers", "uniform buffers of a kernel", count(base.max_uniform_buffers_per_shader_stage), INVALID),
    ]
    .map(|(name, what, amount, at_it)| fixed(Scope::Kernels, name, what, amount, at_it));
    let sizes = [
        ("buffer-bytes", "a buffer", base.max_buffer_size, large.max_buffer_size),
        (
            "storage-binding-bytes",
            "a storage binding",
            base.max_storage_buffer_binding_size,
            large.max_storage_buffer_binding_size,
        ),
    ]
    .map(|(name, what, default, most)| Limit {
        scope: Scope::Kernels,
        name,
        what,
        default: bytes(default),
        maximum: bytes(most),
        set_by: "the job: --class, base or large",
        at_it: INVALID,
    });
    of_every_class.into_iter().chain(sizes).collect()
}

fn renter() -> Vec<Limit> {
    use isobit_renter::limits;
    const LEFT: &str = "the provider is left: exit status 3";
    [
        (
            "log-bytes",
            "log lines and progress messages that are shown",
            bytes(limits::MAX_LOG_BYTES),
            "a last line says that there is more",
        ),
        ("log-lines", "their number", count(limits::MAX_LINES), "a last line says that there is more"),
        (
            "output-limits",
            "bytes and number of outputs",
            Amount::Text("the job's limits"),
            "the provider is left: exit status 1",
        ),
        ("first-answer", "time for a provider's first answer", time(limits::WELCOME_TIME), LEFT),
        ("answer", "time for an answer to the job, and to its blobs", time(limits::ANSWER_TIME), LEFT),
        ("upload-stall", "time for a provider to take any byte", time(limits::UPLOAD_STALL), LEFT),
        ("late", "time beyond the deadline", time(limits::DEADLINE_GRACE), LEFT),
        (
            "output-stall",
            "time for the next byte of an output when the job has ended",
            time(limits::OUTPUT_STALL),
            LEFT,
        ),
    ]
    .map(|(name, what, amount, at_it)| fixed(Scope::Renter, name, what, amount, at_it))
    .into()
}

#[cfg(not(target_os = "linux"))]
fn of_providers() -> Vec<Limit> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn of_providers() -> Vec<Limit> {
    use crate::settings;
    use isobit_provider::limits;
    use isobit_transport as transport;
    const CLOSED: &str = "the connection is closed";
    const GONE: &str = "the renter counts as gone";
    const FULL: &str = "rejected, with the limit's name";
    let one = |name, what, amount, at_it| fixed(Scope::OneRenter, name, what, amount, at_it);
    let all = |name, what, amount, at_it| fixed(Scope::Provider, name, what, amount, at_it);
    let worker = |name, what, amount, at_it| fixed(Scope::Worker, name, what, amount, at_it);
    let settable = |name, what, maximum, set_by, at_it| {
        let default = setting(name);
        Limit { scope: Scope::Provider, name, what, default, maximum, set_by, at_it }
    };
    let idle_first = "the longest idle gives way; if all have jobs, the newcomer is closed";
    vec![
        one("connections-of-key", "connections of a key", count(limits::MAX_PER_KEY), idle_first),
        one("connections-of-address", "connections of an address", count(limits::MAX_PER_ADDRESS), idle_first),
        one("jobs-of-connection", "jobs at once on a connection", count(transport::MAX_JOBS), "further streams wait"),
        one(
            "blob-streams",
            "streams of blobs at once on a connection",
            count(transport::MAX_UPLOADS),
            "further streams wait",
        ),
        one("uploads", "jobs whose blobs are on their way", count(limits::MAX_UPLOADING_PER_KEY), FULL),
        one(
            "uploads-of-an-address",
            "the same, of all renters at an address",
            count(limits::MAX_UPLOADING_PER_ADDRESS),
            FULL,
        ),
        one(
            "handshakes-of-address",
            "handshakes under way, of an address that has shown where it is",
            count(limits::MAX_HANDSHAKES_PER_ADDRESS),
            "further ones are ignored",
        ),
        one(
            "slots-of-renter",
            "slots",
            Amount::Text("a free one goes to the renter with the fewest"),
            "the job waits, and is told why",
        ),
        one(
            "store-share",
            "stored bytes",
            Amount::Text("half of --store-limit"),
            "its own unused blobs are evicted first; rejected if those in use are too many",
        ),
        one(
            "window-unasked",
            "bytes in flight that nobody asked for",
            bytes(transport::CLOSED_WINDOW),
            "the sender waits",
        ),
        one(
            "window",
            "bytes in flight once something was asked for",
            bytes(transport::CONNECTION_WINDOW),
            "the sender waits",
        ),
        one(
            "upload-pace",
            "the least bytes per second over all of a job's uploads",
            bytes(limits::SLOWEST_UPLOAD),
            "rejected: the upload is given up",
        ),
        one(
            "upload-stall",
            "time without a byte of an upload",
            time(limits::UPLOAD_STALL),
            "rejected: the upload is given up",
        ),
        one("handshake-time", "time for a handshake", time(limits::HANDSHAKE_TIME), CLOSED),
        one("submit-time", "time to send the job spec", time(limits::SUBMIT_TIME), CLOSED),
        one("header-time", "time for the header of a stream", time(limits::HEADER_TIME), CLOSED),
        one("jobless-time", "time without a job", time(limits::JOBLESS_TIME), CLOSED),
        one("silence", "time without a packet", time(transport::IDLE), CLOSED),
        one("send-time", "time to take a message", time(limits::SEND_TIME), GONE),
        one("output-time", "time to take any byte of an output", time(limits::OUTPUT_STALL), GONE),
        one("frame-bytes", "a message", bytes(isobit_wire::MAX_FRAME), CLOSED),
        one("header-bytes", "the header of a stream", bytes(isobit_wire::MAX_HEADER), CLOSED),
        settable(
            "slots",
            "jobs that run at once on each device",
            count(settings::MAX_SLOTS),
            "the provider: --slots",
            "further jobs wait",
        ),
        settable(
            "waiting",
            "jobs that wait",
            count(settings::MAX_WAITING),
            "the provider: --waiting",
            "the renter with the most gives way, or rejected: the provider is full",
        ),
        settable(
            "store-limit",
            "blobs that are kept; those of a job, half of it",
            Amount::Text("any"),
            "the provider: --store-limit",
            "the longest unused are evicted; rejected if those in use leave no room",
        ),
        all("connections", "connections", count(limits::MAX_CONNECTIONS), idle_first),
        all("handshakes", "handshakes under way", count(limits::MAX_HANDSHAKES), "further ones are ignored"),
        all(
            "handshakes-unvalidated",
            "handshakes from which on newcomers show where they are",
            count(limits::VALIDATE_ABOVE),
            "QUIC retry",
        ),
        all("uploads-of-all", "jobs whose blobs are on their way", count(limits::MAX_UPLOADING), FULL),
        all(
            "open-windows",
            "connections with the whole window",
            count(transport::MAX_OPEN_WINDOWS),
            "further ones get a small one",
        ),
        all("small-window", "that small one", bytes(transport::SHARED_WINDOW), "the sender waits"),
        all(
            "holders",
            "renters that are noted as holders of one blob",
            count(isobit_store::MAX_HOLDERS),
            "further ones send it each time",
        ),
        all(
            "code-cache",
            "compiled code that is kept",
            bytes(sandbox::CODE_CACHE_BYTES),
            "the longest unused is removed",
        ),
        all(
            "log-burst",
            "lines in the log that strangers cause at once",
            Amount::Count(whole(limits::LOG_BURST)),
            "the rest is counted",
        ),
        all(
            "log-rate",
            "such lines in a second after that",
            Amount::Count(whole(limits::LOG_RATE)),
            "the rest is counted",
        ),
        worker(
            "worker-memory",
            "memory besides the job's own (device memory counts twice)",
            bytes(limits::WORKER_MEMORY),
            "the worker ends: a fault",
        ),
        worker("worker-file", "a file that it writes", bytes(limits::MAX_WORKER_FILE), "the worker ends: a fault"),
        worker(
            "worker-stderr",
            "what it says on standard error",
            bytes(limits::MAX_WORKER_STDERR),
            "the rest is dropped",
        ),
        worker("worker-start", "time to open engine and device", time(limits::WORKER_START), "a fault"),
        worker(
            "late-end",
            "time beyond the deadline to end by itself",
            time(limits::DEADLINE_GRACE),
            "the worker is killed",
        ),
    ]
}

/// A small number that is a float because it is computed with.
#[cfg(target_os = "linux")]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "constants of some tens")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// The document docs/limits.md.
pub fn document(limits: &[Limit]) -> String {
    let mut text = "\
# Limits

Every limit of isobit: what it limits, what it is, who sets it, and what happens at it. `isobit limits` prints this table, with `--json` for programs; \
this page is written by `isobit limits --markdown`, and a test holds it to the code.

`trapped` is an outcome: it follows from the job, is claimed and billed, and is the same at every provider. A fault is the provider's trouble: nothing is claimed or billed. \
What the guest can handle ends the job only if the guest lets it, with the guest's error as its outcome. What providers grant of a job's limits is what `serve` grants by default.
"
    .to_owned();
    for scope in Scope::ALL {
        let heading = scope.heading();
        text.push_str(&format!(
            "\n## {heading}\n\n| limit | of | default | most | set by | at it |\n|---|---|---|---|---|---|\n"
        ));
        for limit in limits.iter().filter(|limit| limit.scope == scope) {
            let Limit { name, what, default, maximum, set_by, at_it, .. } = limit;
            let maximum = if default == maximum { "the same".to_owned() } else { maximum.to_string() };
            text.push_str(&format!("| `{name}` | {what} | {default} | {maximum} | {set_by} | {at_it} |\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory as _;
    use isobit_job::LimitName;

    use super::*;
    use crate::cli::Cli;

    fn all() -> Vec<Limit> {
        super::all(&Cli::command())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_page_is_what_the_code_says() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
        let found = std::fs::read_to_string(page).unwrap_or_default();
        assert!(
            found == document(&all()),
            "docs/limits.md differs: run `isobit limits --markdown > docs/limits.md` and read the diff"
        );
    }

    #[test]
    fn every_limit_is_named_once_and_says_all_there_is_to_say() {
        let limits = all();
        let mut names = BTreeSet::new();
        for limit in &limits {
            assert!(names.insert((limit.scope.heading(), limit.name)), "{} twice", limit.name);
            let texts = [limit.name.to_owned(), limit.what.to_owned(), limit.at_it.to_owned(), limit.set_by.to_owned()];
            let amounts = [limit.default.to_string(), limit.maximum.to_string()];
            assert!(texts.iter().chain(&amounts).all(|text| !text.is_empty() && !text.contains('|')), "{limit:?}");
        }
        // Those of one scope stand together, in the order of the scopes.
        let order: Vec<_> =
            limits.iter().map(|limit| Scope::ALL.iter().position(|scope| *scope == limit.scope)).collect();
        assert!(order.is_sorted());
    }

    #[test]
    fn every_limit_that_traps_is_in_the_table() {
        let limits = all();
        for name in LimitName::ALL {
            let limit = limits.iter().find(|limit| limit.name == name.to_string());
            assert!(limit.is_some_and(|limit| limit.at_it.contains(&format!("trapped: limit {name}"))), "{name}");
        }
        // And every limit of the job spec, by the name that it has there.
        let spec = serde_json::to_value(Limits::default()).unwrap();
        for name in spec.as_object().unwrap().keys() {
            assert!(
                limits.iter().any(|limit| limit.name == name && limit.set_by.contains(&format!("--{name}"))),
                "{name}"
            );
        }
    }
}
