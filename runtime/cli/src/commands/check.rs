//! `isobit check`: whether a kernel computes the same bits everywhere, and what it binds and costs.

use std::fmt::{self, Write as _};
use std::io::Read as _;
use std::path::PathBuf;

use isobit_job::{Bytes, Profile, Rules};
use isobit_shader::{BufferBindingType, Diagnostic, Kernel, Lowered, MAX_WGSL_BYTES, Tier};

use crate::failure::{Failure, Status};
use crate::printer::Printer;
use crate::table::Table;

/// Say whether a kernel computes the same bits on every device
///
/// Shows its entry points, what they bind, and what an invocation costs; of a kernel that is refused where and why, and
/// what to write instead. Needs no device.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  isobit check kernel.wgsl\n  isobit check kernel.wgsl --emit=tier-a > rewritten.wgsl\n  \
    isobit check - --override width=64 --json < kernel.wgsl"
)]
pub struct Check {
    /// The kernel in WGSL; `-` for stdin
    #[arg(value_name = "KERNEL")]
    kernel: PathBuf,
    /// Print what becomes of the kernel, as WGSL, in place of the report
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "lowered")]
    emit: Option<Form>,
    /// A value for an override; may be given again
    #[arg(long = "override", value_name = "NAME=VALUE", value_parser = override_value)]
    overrides: Vec<(String, f64)>,
    /// The rules to check against: dp32, the same bits on every device, or native, what WGSL itself demands
    #[arg(long, value_name = "PROFILE", default_value_t)]
    profile: Profile,
}

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
    rules: Rules,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    entry_points: Vec<EntryPoint>,
}

#[derive(serde::Serialize)]
struct Problem {
    message: String,
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
    /// Kernel fuel of an invocation outside of loops whose length depends on data.
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation_cost: Option<u32>,
    bindings: Vec<Binding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wgsl: Option<String>,
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
        if self.emit.is_some() && self.profile == Profile::Native {
            return Err(Failure::new("under profile native a kernel stays as it is").hint("leave out --emit").into());
        }
        let source = self.read()?;
        let rules = Rules::of(self.profile, isobit_shader::dp32::PASS_VERSION);
        match self.examine(&source)? {
            Ok(entry_points) => {
                let answer = Answer { accepted: true, rules, problem: None, entry_points };
                if self.emit.is_some() {
                    let text: Vec<&str> =
                        answer.entry_points.iter().filter_map(|entry| entry.wgsl.as_deref()).collect();
                    printer.answer(&answer, &text.join("\n"))?;
                } else {
                    printer.answer(&answer, &answer)?;
                }
                Ok(Status::Ok)
            }
            Err(refused) => {
                let problem = Problem::from(&refused);
                if printer.is_json() {
                    let answer = Answer { accepted: false, rules, problem: Some(problem), entry_points: Vec::new() };
                    printer.answer(&answer, &"")?;
                    return Ok(Status::No);
                }
                Err(Failure::new(problem.message).status(Status::No).into())
            }
        }
    }

    fn read(&self) -> anyhow::Result<String> {
        let cannot = |error: &dyn fmt::Display| Failure::new(format!("cannot read {}: {error}", self.kernel.display()));
        // One byte more than is allowed, so that what is too long is seen to be.
        let limit = u64::try_from(MAX_WGSL_BYTES)? + 1;
        let mut bytes = Vec::new();
        if self.kernel.as_os_str() == "-" {
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
        } else {
            let file = std::fs::File::open(&self.kernel).map_err(|error| cannot(&error))?;
            file.take(limit).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
        }
        Ok(String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is not text", self.kernel.display())))?)
    }

    /// The entry points, or why the kernel is refused.
    fn examine(&self, source: &str) -> anyhow::Result<Result<Vec<EntryPoint>, Diagnostic>> {
        let kernel = match isobit_shader::prepare(source, self.profile) {
            Ok(kernel) => kernel,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut entry_points = Vec::new();
        for entry_point in kernel.entry_points() {
            let resolved = kernel
                .specialize(entry_point, &self.overrides)
                .map_err(|error| Failure::new(error.message).hint("give a value with --override NAME=VALUE"))?;
            match self.examine_entry_point(&kernel, &resolved) {
                Ok(found) => entry_points.push(found),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Ok(Ok(entry_points))
    }

    fn examine_entry_point(
        &self,
        kernel: &Kernel,
        entry_point: &isobit_shader::EntryPoint,
    ) -> Result<EntryPoint, Diagnostic> {
        let lowered = match self.profile {
            Profile::Dp32 => Some(kernel.lower(entry_point, &self.overrides)?),
            _ => None,
        };
        let wgsl = match (&lowered, self.emit) {
            (Some(lowered), Some(form)) => Some(lowered.emit(form.tier())?),
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
        Ok(EntryPoint {
            name: entry_point.name.clone(),
            workgroup_size: entry_point.workgroup_size,
            workgroup_memory: Bytes::saturating_from(entry_point.workgroup_bytes),
            invocation_cost: lowered.as_ref().map(Lowered::invocation_cost),
            bindings: bindings.collect(),
            wgsl,
        })
    }
}

/// Reads `name=value`; the value is a number, or true or false.
fn override_value(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value, without spaces")?;
    let value = match value {
        "true" => 1.0,
        "false" => 0.0,
        number => number.parse().map_err(|_| format!("`{number}` is no number"))?,
    };
    Ok((name.to_owned(), value))
}

impl From<&Diagnostic> for Problem {
    fn from(refused: &Diagnostic) -> Self {
        let message = refused.message.strip_prefix("error: ").unwrap_or(&refused.message);
        let location = refused.location;
        Self {
            message: message.trim_end().to_owned(),
            line: location.map(|location| location.line),
            column: location.map(|location| location.column),
            offset: location.map(|location| location.offset),
            length: location.map(|location| location.length),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rules {
            Rules::Native => writeln!(f, "valid, and each device may round in its own way (native)")?,
            rules => writeln!(f, "the same bits on every device ({rules})")?,
        }
        for entry_point in &self.entry_points {
            let [x, y, z] = entry_point.workgroup_size;
            writeln!(f)?;
            writeln!(f, "entry point  {}", crate::escape::line(&entry_point.name))?;
            writeln!(f, "workgroup    {x} x {y} x {z}, {} of workgroup memory", entry_point.workgroup_memory)?;
            if let Some(cost) = entry_point.invocation_cost {
                writeln!(f, "cost         {cost} per invocation, without loops of unknown length")?;
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
