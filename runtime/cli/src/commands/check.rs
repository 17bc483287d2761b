//! `isobit check`: what is proved of a kernel's results, and what it binds and costs.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use isobit_device::RaceReport;
use isobit_job::{Bytes, DeviceClass, KernelRules, Profile};
use isobit_shader::dp32::{Order, Unproved};
use isobit_shader::{BufferBindingType, Diagnostic, Kernel, LoopCost, Lowered, Tier};

use crate::failure::{Failure, Status};
use crate::kernel_file::{self, judged, override_value, rendered, workgroups};
use crate::made_up::{self, Tried};
use crate::printer::Printer;
use crate::races::Races;
use crate::table::Table;

/// Say whether a kernel computes the same bits on every device
///
/// Says what is proved of that and what is not: where invocations may meet in one word, only a run tells, for which --detect-races makes up inputs.
/// Shows its entry points, what they bind, and what an invocation costs; of a kernel that is refused where and why, and what to write instead. Exit
/// status 1: it is refused, or it races. Needs no device, and holds the kernel to the limits that all of a class have.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  isobit check kernel.wgsl\n  isobit check kernel.wgsl --emit=tier-a > rewritten.wgsl\n  \
    isobit check - --override width=64 --json < kernel.wgsl\n  \
    isobit check reduce.wgsl --detect-races --workgroups 16"
)]
pub struct Check {
    /// The kernel in WGSL; `-` for stdin
    #[arg(value_name = "KERNEL")]
    kernel: PathBuf,
    /// Print what becomes of the kernel, as WGSL, in place of the report
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "lowered")]
    emit: Option<Form>,
    /// Only this entry point; --emit needs it where there are several
    #[arg(long, value_name = "NAME")]
    entry_point: Option<String>,
    /// A value for an override; may be given again
    #[arg(long = "override", value_name = "NAME=VALUE", value_parser = override_value)]
    overrides: Vec<(String, f64)>,
    /// The rules to check against: dp32, the same bits on every device, or native, what WGSL itself demands
    #[arg(long, value_name = "PROFILE", default_value_t)]
    profile: Profile,
    /// The device class to check against: base, which every device has, or large, with bindings of 1 GiB
    #[arg(long, value_name = "CLASS", default_value_t)]
    class: DeviceClass,
    /// Run it on made-up inputs, and look for two invocations that meet in one word, one of them writing
    #[arg(long, conflicts_with = "emit")]
    detect_races: bool,
    /// The workgroups of these runs [default: 3, and 2 in each other dimension that a workgroup has]
    #[arg(long, value_name = "X[,Y[,Z]]", requires = "detect_races", value_parser = workgroups)]
    workgroups: Option<[u32; 3]>,
}

/// How long races are looked for in an entry point.
const PATIENCE: Duration = Duration::from_secs(20);

/// A form that a kernel takes on its way to a device.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// In operations with one meaning each, as isobit's CPU device runs it
    Lowered,
    /// As it goes to devices that pass the probe
    TierA,
    /// In integers only, as it goes to other devices and is checked against
    TierB,
}

impl Form {
    fn tier(self) -> Option<Tier> {
        match self {
            Self::Lowered => None,
            Self::TierA => Some(Tier::A),
            Self::TierB => Some(Tier::B),
        }
    }
}

#[derive(serde::Serialize)]
struct Answer {
    accepted: bool,
    rules: KernelRules,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    entry_points: Vec<EntryPoint>,
}

/// Why a kernel is refused: what is wrong in one line, what led to it, what to write instead, and all of it as one text
/// with the source.
#[derive(serde::Serialize)]
struct Problem {
    reason: String,
    notes: Vec<String>,
    help: Option<String>,
    rendered: String,
    line: Option<u32>,
    column: Option<u32>,
    offset: Option<u32>,
    length: Option<u32>,
}

#[derive(serde::Serialize)]
struct EntryPoint {
    name: String,
    workgroup_size: [u32; 3],
    workgroup_memory: Bytes,
    /// Kernel fuel of an invocation, without `loops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation_cost: Option<u32>,
    /// The loops whose iterations are counted as they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    loops: Option<Vec<Loop>>,
    bindings: Vec<Binding>,
    /// Memory for which it is not proved that the order of invocations has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_proved: Option<Vec<NotProved>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    races: Option<RaceSearch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wgsl: Option<String>,
}

/// Runs on made-up inputs, and the races in them.
#[derive(serde::Serialize)]
struct RaceSearch {
    workgroups: [u32; 3],
    /// What the buffers held in the runs that came to their end.
    tried: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_early: Option<String>,
    #[serde(flatten, serialize_with = "as_races")]
    report: RaceReport,
}

impl RaceSearch {
    /// Whether there are none, there are, or that was not found out: what did not run to its end may race.
    fn status(&self) -> Status {
        match (Races::new(&self.report).status(), &self.ended_early) {
            (Status::Ok, Some(_)) => Status::CouldNot,
            (status, _) => status,
        }
    }
}

fn as_races<S: serde::Serializer>(report: &RaceReport, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&Races::new(report), serializer)
}

#[derive(serde::Serialize)]
struct Loop {
    line: Option<u32>,
    column: Option<u32>,
    /// Kernel fuel of an iteration, without inner loops that are listed too.
    iteration_cost: u32,
}

#[derive(serde::Serialize)]
struct NotProved {
    variable: String,
    /// None: workgroup memory.
    group: Option<u32>,
    binding: Option<u32>,
    why: &'static str,
}

#[derive(serde::Serialize)]
struct Binding {
    group: u32,
    binding: u32,
    kind: &'static str,
    min_size: Bytes,
}

impl Check {
    /// Checks, and prints what was found.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        if self.detect_races && self.profile == Profile::Native {
            return Err(Failure::new("under profile native every kernel's results may differ between devices")
                .hint("leave out --detect-races, or --profile native")
                .into());
        }
        if self.emit.is_some() && self.profile == Profile::Native {
            return Err(Failure::new("under profile native a kernel stays as it is").hint("leave out --emit").into());
        }
        let rules = isobit_sandbox::rules(self.profile).kernels;
        let entry_points = match self.examine(&kernel_file::read(&self.kernel)?) {
            Ok(entry_points) => entry_points,
            Err(error) => return self.refuse(&error.downcast()?, rules, printer),
        };
        let answer = Answer { accepted: true, rules, problem: None, entry_points };
        match answer.entry_points.as_slice() {
            [EntryPoint { wgsl: Some(wgsl), .. }] => printer.answer(&answer, wgsl)?,
            _ => printer.answer(&answer, &answer)?,
        }
        Ok(answer.status())
    }

    fn refuse(&self, refused: &Diagnostic, rules: KernelRules, printer: &Printer) -> anyhow::Result<Status> {
        if !printer.is_json() {
            return Err(self.shown(refused).status(Status::No).into());
        }
        let problem = Some(Problem::new(refused, &kernel_file::name(&self.kernel)));
        printer.answer(&Answer { accepted: false, rules, problem, entry_points: Vec::new() }, &"")?;
        Ok(Status::No)
    }

    /// A refusal as a failure.
    fn shown(&self, refused: &Diagnostic) -> Failure {
        kernel_file::shown(refused, &kernel_file::name(&self.kernel))
    }

    /// The entry points asked for.
    ///
    /// # Errors
    /// A [`Diagnostic`] if the kernel is refused; anything else if it could not be checked.
    fn examine(&self, source: &str) -> anyhow::Result<Vec<EntryPoint>> {
        let kernel = judged(isobit_shader::prepare(source, self.profile))?;
        let names: Vec<&str> = match &self.entry_point {
            Some(name) => vec![name],
            None => kernel.entry_point_names().collect(),
        };
        if names.is_empty() {
            judged(kernel.entry_point(None))?;
        }
        if names.len() > 1 && self.emit.is_some() {
            return Err(Failure::new("a kernel is rewritten for one entry point, and this one has several")
                .hint(format!("choose one with --entry-point: {}", names.join(", ")))
                .into());
        }
        if let Some(name) = names.iter().find(|name| !kernel.entry_point_names().any(|known| known == **name)) {
            let unknown = kernel.entry_point(Some(name)).map(|_| ());
            unknown.map_err(|unknown| self.shown(&unknown.diagnostic()))?;
        }
        names
            .into_iter()
            .map(|name| self.examine_entry_point(&kernel, judged(kernel.entry_point(Some(name)))?))
            .collect()
    }

    fn examine_entry_point(
        &self,
        kernel: &Kernel,
        entry_point: &isobit_shader::EntryPoint,
    ) -> anyhow::Result<EntryPoint> {
        kernel.check_overrides(entry_point, &self.overrides).map_err(|wrong| {
            let wrong = wrong.diagnostic();
            let shown = self.shown(&wrong);
            if wrong.help.is_some() { shown } else { shown.hint("give it one with --override NAME=VALUE") }
        })?;
        let resolved = judged(kernel.resolve(Some(&entry_point.name), &self.overrides))?;
        let entry_point = resolved.entry_point();
        isobit_device::check_entry_point(entry_point, self.class)?;
        let lowered = match self.profile {
            Profile::Dp32 => Some(judged(resolved.lower())?),
            _ => None,
        };
        let wgsl = match (&lowered, self.emit) {
            (Some(lowered), Some(form)) => Some(judged(lowered.emit(form.tier()))?),
            _ => None,
        };
        let bindings = entry_point.bindings.iter().map(|binding| Binding {
            group: binding.group,
            binding: binding.binding,
            kind: match binding.ty {
                BufferBindingType::Uniform => "uniform",
                BufferBindingType::Storage => "read-write storage",
                BufferBindingType::ReadOnlyStorage => "read-only storage",
            },
            min_size: Bytes::saturating_from(binding.min_size),
        });
        let races = if self.detect_races { Some(self.search(kernel, entry_point)?) } else { None };
        Ok(EntryPoint {
            name: entry_point.name.clone(),
            workgroup_size: entry_point.workgroup_size,
            workgroup_memory: Bytes::saturating_from(entry_point.workgroup_bytes),
            invocation_cost: lowered.as_ref().map(Lowered::invocation_cost),
            loops: lowered.as_ref().map(|lowered| lowered.loops().iter().map(Loop::from).collect()),
            bindings: bindings.collect(),
            not_proved: lowered.as_ref().map(|lowered| lowered.unproved().iter().map(NotProved::from).collect()),
            races,
            wgsl,
        })
    }

    fn search(&self, kernel: &Kernel, entry_point: &isobit_shader::EntryPoint) -> anyhow::Result<RaceSearch> {
        let workgroups = self.workgroups.unwrap_or_else(|| made_up::default_workgroups(entry_point));
        let Tried { contents, ended_early, report } =
            made_up::detect_races(kernel, entry_point, &self.overrides, self.class, workgroups, PATIENCE).map_err(
                |error| {
                    let name = crate::escape::line(&entry_point.name);
                    Failure::new(format!("`{name}` cannot be run on made-up inputs: {error}"))
                        .hint("give fewer --workgroups, or look for races in a job: `isobit run --detect-races`")
                },
            )?;
        Ok(RaceSearch { workgroups, tried: contents, ended_early, report })
    }
}

impl Answer {
    /// Whether races were found, or could not be looked for to the end.
    fn status(&self) -> Status {
        let found = self.entry_points.iter().filter_map(|entry_point| entry_point.races.as_ref());
        found.fold(Status::Ok, |status, search| match (status, search.status()) {
            (Status::No, _) | (_, Status::No) => Status::No,
            (Status::Ok, Status::Ok) => Status::Ok,
            _ => Status::CouldNot,
        })
    }
}

impl Problem {
    fn new(refused: &Diagnostic, file: &str) -> Self {
        let location = refused.location;
        Self {
            reason: refused.reason.clone(),
            notes: refused.notes.clone(),
            help: refused.help.clone(),
            rendered: rendered(refused, file),
            line: location.map(|location| location.line),
            column: location.map(|location| location.column),
            offset: location.map(|location| location.offset),
            length: location.map(|location| location.length),
        }
    }
}

impl From<&Unproved> for NotProved {
    fn from(unproved: &Unproved) -> Self {
        Self {
            variable: unproved.name.clone(),
            group: unproved.binding.map(|(group, _)| group),
            binding: unproved.binding.map(|(_, binding)| binding),
            why: match unproved.why {
                Order::Stores => "is stored to",
                Order::Atomics => "has atomics of several kinds, or loads beside them",
            },
        }
    }
}

impl fmt::Display for NotProved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", crate::escape::line(&self.variable))?;
        match self.group.zip(self.binding) {
            Some((group, binding)) => write!(f, "group {group}, binding {binding}")?,
            None => f.write_str("workgroup memory")?,
        }
        write!(f, ") {}", self.why)
    }
}

impl From<&LoopCost> for Loop {
    fn from(cost: &LoopCost) -> Self {
        Self {
            line: cost.location.map(|location| location.line),
            column: cost.location.map(|location| location.column),
            iteration_cost: cost.iteration,
        }
    }
}

impl fmt::Display for RaceSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.workgroups;
        let tried = if self.tried.is_empty() { "nothing to its end".to_owned() } else { self.tried.join("; ") };
        writeln!(f, "tried        {x} x {y} x {z} workgroups on buffers of: {tried}")?;
        if let Some(why) = &self.ended_early {
            writeln!(f, "             not all: {why}")?;
            if self.report.races.is_empty() {
                return writeln!(f, "races        unknown: none found in what was run");
            }
        }
        write!(f, "{:13}", Races::new(&self.report))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rules {
            KernelRules::Native => writeln!(f, "valid, and each device may round in its own way (native)")?,
            rules => {
                writeln!(f, "proved: each operation has one result on every device ({rules})")?;
                if self.entry_points.iter().flat_map(|entry| &entry.not_proved).any(|all| !all.is_empty()) {
                    writeln!(
                        f,
                        "not proved: that no two invocations meet in one word without a barrier, one of them writing;"
                    )?;
                    let looked = self.entry_points.iter().any(|entry| entry.races.is_some());
                    let advice = match looked {
                        true => "Below is what was found on made-up inputs; others may",
                        false => "--detect-races looks for it, here or in `isobit run`",
                    };
                    writeln!(f, "            where they do, devices may differ. {advice}")?;
                } else {
                    writeln!(f, "        and no order of the invocations changes it: the same bits on every device")?;
                }
            }
        }
        for entry_point in &self.entry_points {
            let [x, y, z] = entry_point.workgroup_size;
            writeln!(f)?;
            writeln!(f, "entry point  {}", crate::escape::line(&entry_point.name))?;
            writeln!(f, "workgroup    {x} x {y} x {z}, {} of workgroup memory", entry_point.workgroup_memory)?;
            if let Some(cost) = entry_point.invocation_cost {
                let plus = if entry_point.loops.as_ref().is_some_and(|loops| !loops.is_empty()) { ", and" } else { "" };
                writeln!(f, "cost         {cost} per invocation{plus}")?;
            }
            for Loop { line, column, iteration_cost } in entry_point.loops.iter().flatten() {
                let place = line.zip(*column).map_or_else(String::new, |(line, column)| format!(" at {line}:{column}"));
                writeln!(f, "             {iteration_cost} per iteration of the loop{place}")?;
            }
            for (at, unproved) in entry_point.not_proved.iter().flatten().enumerate() {
                writeln!(f, "{:<12} {unproved}", if at == 0 { "not proved" } else { "" })?;
            }
            if let Some(search) = &entry_point.races {
                search.fmt(f)?;
            }
            let mut table = Table::new(["group", "binding", "kind", "at least"]);
            for Binding { group, binding, kind, min_size } in &entry_point.bindings {
                table.row([group.to_string(), binding.to_string(), (*kind).to_owned(), min_size.to_string()]);
            }
            f.write_char('\n')?;
            table.fmt(f)?;
        }
        Ok(())
    }
}
