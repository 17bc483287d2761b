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

/// What a time is shown as.
enum Unit {
    Time,
    /// So many bytes were moved in it.
    Bytes(u32),
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

/// What `cargo xtask bench` measures besides [`DP32`].
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

/// Sets up, runs them, and rewrites the tables of those that were run whole: without arguments both, with `dp32` one. With `table` nothing is run, and
/// both are rewritten from the last results, where a run was interrupted and its rest made up for.
pub fn run(options: &Options) -> Result<(), Failure> {
    let results = target().join("criterion");
    let is = |word: &str| options.rest.iter().map(String::as_str).eq([word]);
    if is("table") {
        return write_tables(&results, false);
    }
    setup::run(options)?;
    let dp32_only = is("dp32");
    let mut bench = cargo(&["bench", "--package", "isobit-cli"]);
    match dp32_only {
        true => bench.args(["--bench", "dp32"]),
        false => bench.args(&options.rest),
    };
    check(bench.env("CRITERION_HOME", &results))?;
    if !dp32_only && !options.rest.is_empty() {
        eprintln!("BENCHMARKS.md is as it was: only a run without arguments, or with `dp32`, writes it");
        return Ok(());
    }
    write_tables(&results, dp32_only)
}

fn write_tables(results: &Path, dp32_only: bool) -> Result<(), Failure> {
    let all = [("bench", MEASURES), ("bench dp32", DP32)];
    for (command, measures) in all.into_iter().skip(usize::from(dp32_only)) {
        let table = format!("{}\n{}", machine(results), table(results, measures)?);
        print!("{table}");
        document::write_table("BENCHMARKS.md", command, &table)?;
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
        let isobit = median(results, measure.isobit)?;
        let baselines: Vec<f64> =
            measure.baselines.iter().map(|name| median(results, name)).collect::<Result<_, _>>()?;
        let baseline = baselines.into_iter().reduce(f64::min);
        let _ = writeln!(text, "{}", measure.line(isobit, baseline));
    }
    Ok(text)
}

/// Criterion's estimate of a benchmark's median, in seconds.
fn median(results: &Path, name: &str) -> Result<f64, Failure> {
    let text = fs::read_to_string(results.join(name).join("new/estimates.json"));
    let text = text.map_err(|error| format!("{name} has left no result: {error}"))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let nanoseconds = json.pointer("/median/point_estimate").and_then(serde_json::Value::as_f64);
    nanoseconds.map(|time| time / 1e9).ok_or_else(|| format!("{name} has left a result without a median"))
}

impl Measure {
    fn line(&self, isobit: f64, baseline: Option<f64>) -> String {
        let shown = |time: f64| match self.unit {
            Unit::Time => seconds(time),
            Unit::Bytes(bytes) => format!("{:.2} GiB/s", f64::from(bytes) / time / f64::from(1024 * MIB)),
        };
        let slower = baseline.map(|baseline| isobit / baseline);
        let ratio = match self.unit {
            Unit::Time => slower,
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
    fn a_goal_is_met_or_it_is_not() {
        let matmul = time("matmul", "", &[], Goal::Slower(1.1));
        assert_eq!(matmul.line(2.1, Some(2.0)), "| matmul | 2.10 s | 2.00 s | 1.05 | ≤ 1.10 | yes |");
        assert_eq!(matmul.line(2.4, Some(2.0)), "| matmul | 2.40 s | 2.00 s | 1.20 | ≤ 1.10 | **no** |");
        let write = transfer("write", "", &[]);
        assert_eq!(write.line(0.5, Some(0.25)), "| write | 0.50 GiB/s | 1.00 GiB/s | 0.50 | ≥ 0.90 | **no** |");
        let start = time("start", "", &[], Goal::Within(1e-3));
        assert_eq!(start.line(0.000_25, None), "| start | 250.0 µs |  |  | ≤ 1.00 ms | yes |");
    }
}
