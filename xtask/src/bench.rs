//! `cargo xtask bench`: runs the benchmarks in `benches/` and writes what they found to BENCHMARKS.md.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{cargo, check};
use crate::{Failure, Options, document, setup};

const MIB: u32 = 1 << 20;

/// A line of the table.
struct Measure {
    what: &'static str,
    /// Group and name of the benchmark.
    isobit: &'static str,
    /// What it is compared to: the fastest of these.
    baselines: &'static [&'static str],
    unit: Unit,
    goal: Goal,
}

/// What was found, and how it is shown.
enum Unit {
    /// The median of times.
    Time,
    /// The time that all but so many of a thousand were within.
    AllBut(u32),
    /// The median of times in which so many bytes were moved.
    Bytes(u32),
    /// A number of bytes, measured once.
    Memory,
}

enum Goal {
    None,
    /// At most so many seconds.
    Within(f64),
    /// At most so many times the baseline's time.
    Slower(f64),
    /// At least so much of the baseline's speed.
    Speed(f64),
}

const fn transfer(what: &'static str, isobit: &'static str, baselines: &'static [&'static str]) -> Measure {
    Measure { what, isobit, baselines, unit: Unit::Bytes(256 * MIB), goal: Goal::Speed(0.9) }
}

const fn time(what: &'static str, isobit: &'static str, baselines: &'static [&'static str], goal: Goal) -> Measure {
    Measure { what, isobit, baselines, unit: Unit::Time, goal }
}

const fn network(
    what: &'static str,
    isobit: &'static str,
    bytes: u32,
    quinn: &'static [&'static str],
    goal: Goal,
) -> Measure {
    Measure { what, isobit, baselines: quinn, unit: Unit::Bytes(bytes), goal }
}

const fn memory(what: &'static str, isobit: &'static str, baselines: &'static [&'static str]) -> Measure {
    Measure { what, isobit, baselines, unit: Unit::Memory, goal: Goal::None }
}

/// What `cargo xtask bench` measures besides [`DP32`] and [`STRANGERS`].
const MEASURES: &[Measure] = &[
    time("a: matmul, inputs made up", "matmul-generated/isobit", &["matmul-generated/wgpu"], Goal::Slower(1.1)),
    time("a: matmul, inputs from files", "matmul-files/isobit", &["matmul-files/wgpu"], Goal::Slower(1.1)),
    transfer("b: `buffer.write`", "write/isobit", &["write/wgpu-mapped", "write/wgpu-staging", "write/wgpu-queue"]),
    transfer("b: `buffer.read`", "read/isobit", &["read/wgpu-mapped", "read/wgpu-staging"]),
    transfer("b: `buffer.load-from`", "load-from/isobit", &["load-from/wgpu-mapped", "load-from/wgpu-staging"]),
    transfer("b: `buffer.append-to`", "append-to/isobit", &["append-to/wgpu-mapped", "append-to/wgpu-staging"]),
    time("c: call of `gpu.limits`", "call/limits", &["call/bare"], Goal::None),
    time("c: call of `buffer.size`", "call/size", &["call/bare"], Goal::None),
    time(
        "c: compiling `matmul` on a core, by the loop that spends the same fuel",
        "compile/workload",
        &["compile/same-fuel"],
        Goal::None,
    ),
    time("d: first instruction in a ready worker", "start/worker", &[], Goal::Within(1e-3)),
    time("d: ... from the job's acceptance", "start/warm-accepted", &[], Goal::None),
    time("d: ... from its submission", "start/warm-submitted", &[], Goal::None),
    time("d: ... from its submission to a fresh provider", "start/fresh-submitted", &[], Goal::None),
    time("d: ... from the start of that provider", "start/fresh-spawned", &[], Goal::None),
    time(
        "d: first instruction in a worker's process, over its socket, in its jail",
        "start/worker-jailed",
        &["start/worker"],
        Goal::None,
    ),
    time("d: start of that process: jail, engine, device", "start/worker-process", &[], Goal::None),
    time("d: ... the jail alone", "start/jail", &[], Goal::None),
    network("e: 1 GiB up", "upload/submit", 1024 * MIB, &["upload/quinn"], Goal::Speed(0.7)),
    network("e: 1 GiB up, hashed before", "upload/submit-hashed", 1024 * MIB, &["upload/quinn"], Goal::None),
    network("e: 1 GiB up and down by `stream`", "stream/submit", 2048 * MIB, &["stream/quinn"], Goal::None),
];

/// A kernel in one of its forms, beside the same kernel as it is written.
macro_rules! dp32 {
    ($what:literal, $kernel:literal, $form:literal, $goal:expr) => {
        time($what, concat!("dp32-", $kernel, "/", $form), &[concat!("dp32-", $kernel, "/native")], $goal)
    };
}

/// What `cargo xtask bench dp32` measures.
const DP32: &[Measure] = &[
    dp32!("f: tier A, naive matrix product", "matmul-naive", "tier-a", Goal::Slower(1.15)),
    dp32!("f: tier A, register-tiled product", "matmul-tiled", "tier-a", Goal::Slower(2.5)),
    dp32!("f: tier A, copy", "copy", "tier-a", Goal::Slower(1.1)),
    dp32!("f: tier A, saxpy", "saxpy", "tier-a", Goal::Slower(1.1)),
    dp32!("f: tier A, reduction", "reduction", "tier-a", Goal::Slower(1.1)),
    dp32!("f: tier A, nbody", "nbody", "tier-a", Goal::Slower(2.5)),
    dp32!("f: tier A, softmax", "softmax", "tier-a", Goal::None),
    dp32!("f: tier A, gelu", "gelu", "tier-a", Goal::None),
    dp32!("f: tier A, product of 8-bit integers", "int8", "tier-a", Goal::Slower(1.1)),
    dp32!("g: tier B, naive matrix product", "matmul-naive", "tier-b", Goal::None),
    dp32!("g: tier B, register-tiled product", "matmul-tiled", "tier-b", Goal::None),
    dp32!("g: tier B, copy", "copy", "tier-b", Goal::None),
    dp32!("g: tier B, saxpy", "saxpy", "tier-b", Goal::None),
    dp32!("g: tier B, reduction", "reduction", "tier-b", Goal::None),
    dp32!("g: tier B, nbody", "nbody", "tier-b", Goal::None),
    dp32!("g: tier B, softmax", "softmax", "tier-b", Goal::None),
    dp32!("g: tier B, gelu", "gelu", "tier-b", Goal::None),
    dp32!("g: tier B, product of 8-bit integers", "int8", "tier-b", Goal::None),
    dp32!("h: CPU device, naive matrix product", "matmul-naive", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, register-tiled product", "matmul-tiled", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, copy", "copy", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, saxpy", "saxpy", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, reduction", "reduction", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, nbody", "nbody", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, softmax", "softmax", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, gelu", "gelu", "cpu", Goal::Slower(30.0)),
    dp32!("h: CPU device, product of 8-bit integers", "int8", "cpu", Goal::Slower(30.0)),
    time("i: 500 lines lowered and validated for tier A", "lowering/tier-a", &["lowering/native"], Goal::Within(20e-3)),
    time("i: ... for tier B", "lowering/tier-b", &["lowering/native"], Goal::None),
    time("j: the whole probe", "probe/cold", &[], Goal::Within(20.0)),
    time("j: a verdict that is known", "probe/cached", &[], Goal::Within(5e-3)),
];

/// A loop of WebAssembly with fuel, beside the same without.
macro_rules! wasm_fuel {
    ($what:literal, $loop:literal) => {
        time($what, concat!("wasm-fuel-", $loop, "/on"), &[concat!("wasm-fuel-", $loop, "/off")], Goal::Slower(1.25))
    };
}

/// A kernel whose loops pay fuel, beside the same kernel whose loops do not.
macro_rules! kernel_fuel {
    ($what:literal, $kernel:literal) => {
        time(
            $what,
            concat!("kernel-fuel-", $kernel, "/on"),
            &[concat!("kernel-fuel-", $kernel, "/off")],
            Goal::Slower(1.1),
        )
    };
}

/// What `cargo xtask bench strangers` measures.
const STRANGERS: &[Measure] = &[
    time("k: first instruction after submission, median", "warm-start/jailed", &["warm-start/free"], Goal::None),
    Measure {
        unit: Unit::AllBut(10),
        ..time("k: ... of 99 in 100", "warm-start/jailed", &["warm-start/free"], Goal::None)
    },
    memory("l: a worker that waits, resident", "memory/idle-resident", &[]),
    memory("l: ... its share of what others have too", "memory/idle-share", &[]),
    memory("l: ... its own", "memory/idle-own", &[]),
    memory("l: with a job in WebAssembly, resident", "memory/wasm-resident", &["memory/idle-resident"]),
    memory("l: ... its own", "memory/wasm-own", &["memory/idle-own"]),
    memory("l: with a job in a kernel, resident", "memory/kernel-resident", &["memory/idle-resident"]),
    memory("l: ... its own", "memory/kernel-own", &["memory/idle-own"]),
    memory("l: supervisor with 1 000 idle connections", "memory/supervisor-crowded", &["memory/supervisor"]),
    time("m: end of an endless loop in WebAssembly", "deadline/wasm", &["deadline/deadline"], Goal::Slower(1.2)),
    time("m: ... of an endless row of kernels", "deadline/kernel", &["deadline/deadline"], Goal::Slower(1.2)),
    time("m: ... of a kernel as long, native", "deadline/kernel-native", &["deadline/deadline"], Goal::Slower(1.2)),
    wasm_fuel!("n: fuel in a loop of arithmetic", "arithmetic"),
    wasm_fuel!("n: ... of loads and stores", "memory"),
    wasm_fuel!("n: ... of floating point", "floats"),
    wasm_fuel!("n: ... of branches", "branches"),
    wasm_fuel!("n: ... of calls", "calls"),
    kernel_fuel!("o: fuel in the naive matrix product", "matmul-naive"),
    kernel_fuel!("o: ... in the register-tiled product", "matmul-tiled"),
    kernel_fuel!("o: ... in the reduction", "reduction"),
    kernel_fuel!("o: ... in nbody", "nbody"),
    kernel_fuel!("o: ... in the product of 8-bit integers", "int8"),
    time("p: a small dispatch, submitted alone", "dispatch-alone/isobit", &["dispatch-alone/wgpu"], Goal::Slower(1.0)),
    time("p: ... 100 in a submission", "dispatch-together/isobit", &["dispatch-together/wgpu"], Goal::Slower(1.0)),
    time(
        "p: ... with a loop that pays fuel",
        "dispatch-together-looping/isobit",
        &["dispatch-together-looping/wgpu"],
        Goal::Slower(1.0),
    ),
];

/// A table of BENCHMARKS.md.
struct Table {
    /// What writes it alone: `cargo xtask bench NAME`; empty: only a run of all.
    name: &'static str,
    /// The files in `benches/` that are run for it alone.
    benches: &'static [&'static str],
    measures: &'static [Measure],
}

const TABLES: &[Table] = &[
    Table { name: "", benches: &[], measures: MEASURES },
    Table { name: "dp32", benches: &["dp32"], measures: DP32 },
    Table { name: "strangers", benches: &["provider", "fuel", "dispatch"], measures: STRANGERS },
];

/// Sets up, runs them, and rewrites the tables of those that were run whole: without arguments all, with its name one. With `table` nothing is run, and
/// what would be is rewritten from the last results, where a run was interrupted and its rest made up for.
pub fn run(options: &Options) -> Result<(), Failure> {
    let results = target().join("criterion");
    let words: Vec<&str> = options.rest.iter().map(String::as_str).collect();
    let named = |name: &str| TABLES.iter().find(|table| !table.name.is_empty() && table.name == name);
    match words[..] {
        ["table"] => return write(&results, TABLES),
        ["table", name] => {
            let table = named(name).ok_or_else(|| format!("BENCHMARKS.md has no table {name:?} of its own"))?;
            return write(&results, std::slice::from_ref(table));
        }
        _ => setup::run(options)?,
    }
    let only = words.first().filter(|_| words.len() == 1).and_then(|name| named(name));
    let mut bench = cargo(&["bench", "--package", "isobit-cli"]);
    match only {
        Some(table) => bench.args(table.benches.iter().flat_map(|name| ["--bench", name])),
        None => bench.args(&options.rest),
    };
    check(bench.env("CRITERION_HOME", &results))?;
    match only {
        Some(table) => write(&results, std::slice::from_ref(table)),
        None if words.is_empty() => write(&results, TABLES),
        None => {
            eprintln!(
                "BENCHMARKS.md is as it was: only a run without arguments, or with the name of a table, writes it"
            );
            Ok(())
        }
    }
}

fn write(results: &Path, tables: &[Table]) -> Result<(), Failure> {
    for Table { name, measures, .. } in tables {
        let table = format!("{}\n{}", machine(results), table(results, measures)?);
        print!("{table}");
        document::write_table("BENCHMARKS.md", format!("bench {name}").trim_end(), &table)?;
    }
    Ok(())
}

fn target() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    chosen.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

/// One sentence about what was measured on.
fn machine(results: &Path) -> String {
    let file = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cpuinfo = file(Path::new("/proc/cpuinfo"));
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let release = file(Path::new("/proc/sys/kernel/osrelease"));
    // What stands behind the version is of the distribution, or of the machine's owner.
    let kernel = release.split('-').next().unwrap_or_default();
    let (device, rustc, date) =
        (file(&results.join("device.txt")), said("rustc", &["--version"]), said("date", &["-u", "+%F"]));
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("On {model} with {cores} cores, Linux {kernel}, {device}, {rustc}; {date}.\n")
}

fn table(results: &Path, measures: &[Measure]) -> Result<String, Failure> {
    let mut text =
        String::from("| measure | isobit | baseline | ratio | goal | met |\n|---|---:|---:|---:|---:|---|\n");
    for measure in measures {
        let found = |name| measure.unit.found(results, name);
        let isobit = found(measure.isobit)?;
        let baselines: Vec<f64> = measure.baselines.iter().map(|name| found(name)).collect::<Result<_, _>>()?;
        let baseline = baselines.into_iter().reduce(f64::min);
        let _ = writeln!(text, "{}", measure.line(isobit, baseline));
    }
    Ok(text)
}

impl Unit {
    /// What a benchmark has found: seconds, or bytes.
    fn found(&self, results: &Path, name: &str) -> Result<f64, Failure> {
        match self {
            Unit::Time | Unit::Bytes(_) => median(results, name),
            Unit::AllBut(of_thousand) => {
                let found = quantile(&left(results, name, "new/sample.json")?, *of_thousand);
                found.ok_or_else(|| format!("{name} has left no times"))
            }
            Unit::Memory => {
                let found = left(results, name, "figure.txt")?;
                found.parse().map_err(|_| format!("{name} has left {found:?} instead of a number"))
            }
        }
    }
}

/// A file that a benchmark has left.
fn left(results: &Path, name: &str, file: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(results.join(name).join(file));
    text.map_err(|error| format!("{name} has left no result: {error}"))
}

/// Criterion's estimate of a benchmark's median, in seconds.
fn median(results: &Path, name: &str) -> Result<f64, Failure> {
    let text = left(results, name, "new/estimates.json")?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let nanoseconds = json.pointer("/median/point_estimate").and_then(serde_json::Value::as_f64);
    nanoseconds.map(|time| time / 1e9).ok_or_else(|| format!("{name} has left a result without a median"))
}

/// The time in seconds that all but so many of a thousand of criterion's samples were within.
fn quantile(samples: &str, all_but: u32) -> Option<f64> {
    let json: serde_json::Value = serde_json::from_str(samples).ok()?;
    let list = |name: &str| -> Option<Vec<f64>> {
        json.get(name)?.as_array()?.iter().map(serde_json::Value::as_f64).collect()
    };
    let mut times: Vec<f64> = list("times")?.iter().zip(list("iters")?).map(|(time, rounds)| time / rounds).collect();
    times.sort_by(f64::total_cmp);
    let over = times.len() * usize::try_from(all_but).ok()? / 1000;
    times.iter().rev().nth(over).map(|time| time / 1e9)
}

impl Measure {
    fn line(&self, isobit: f64, baseline: Option<f64>) -> String {
        let shown = |time: f64| match self.unit {
            Unit::Time | Unit::AllBut(_) => seconds(time),
            Unit::Memory => format!("{:.1} MiB", time / f64::from(MIB)),
            Unit::Bytes(bytes) => format!("{:.2} GiB/s", f64::from(bytes) / time / f64::from(1024 * MIB)),
        };
        let slower = baseline.map(|baseline| isobit / baseline);
        let ratio = match self.unit {
            Unit::Time | Unit::AllBut(_) | Unit::Memory => slower,
            Unit::Bytes(_) => slower.map(f64::recip),
        };
        let (goal, met) = match self.goal {
            Goal::None => (String::new(), None),
            Goal::Within(most) => (format!("≤ {}", seconds(most)), Some(isobit <= most)),
            Goal::Slower(most) => (format!("≤ {most:.2}"), ratio.map(|ratio| ratio <= most)),
            Goal::Speed(least) => (format!("≥ {least:.2}"), ratio.map(|ratio| ratio >= least)),
        };
        format!(
            "| {} | {} | {} | {} | {goal} | {} |",
            self.what,
            shown(isobit),
            baseline.map(shown).unwrap_or_default(),
            ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            met.map_or("", |met| if met { "yes" } else { "**no**" }),
        )
    }
}

/// A time in the unit that suits it.
fn seconds(time: f64) -> String {
    match time {
        1.0.. => format!("{time:.2} s"),
        1e-3.. => format!("{:.2} ms", time * 1e3),
        1e-6.. => format!("{:.1} µs", time * 1e6),
        _ => format!("{:.1} ns", time * 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_leaves_out_the_slowest() {
        let of = |count: u32| {
            let times: Vec<u64> = (1..=count).rev().map(|time| u64::from(time) * 2_000_000_000).collect();
            serde_json::json!({ "times": times, "iters": vec![2; times.len()] }).to_string()
        };
        assert_eq!(quantile(&of(200), 10), Some(198.0));
        assert_eq!(quantile(&of(10), 10), Some(10.0));
        assert_eq!(quantile(&of(0), 10), None);
        assert_eq!(quantile("{}", 10), None);
    }

    #[test]
    fn a_goal_is_met_or_it_is_not() {
        let matmul = time("matmul", "", &[], Goal::Slower(1.1));
        assert_eq!(matmul.line(2.1, Some(2.0)), "| matmul | 2.10 s | 2.00 s | 1.05 | ≤ 1.10 | yes |");
        assert_eq!(matmul.line(2.4, Some(2.0)), "| matmul | 2.40 s | 2.00 s | 1.20 | ≤ 1.10 | **no** |");
        let write = transfer("write", "", &[]);
        assert_eq!(write.line(0.5, Some(0.25)), "| write | 0.50 GiB/s | 1.00 GiB/s | 0.50 | ≥ 0.90 | **no** |");
        let worker = memory("worker", "", &[]);
        assert_eq!(worker.line(3_145_728.0, Some(2_097_152.0)), "| worker | 3.0 MiB | 2.0 MiB | 1.50 |  |  |");
        let start = time("start", "", &[], Goal::Within(1e-3));
        assert_eq!(start.line(0.000_25, None), "| start | 250.0 µs |  |  | ≤ 1.00 ms | yes |");
    }
}
