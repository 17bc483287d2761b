//! A kernel alone: `isobit run kernel.wgsl --bind 0=in.bin --workgroups 64 -o 0=out.bin`. The workload is isobit's own; the kernel and what it binds are
//! the job's inputs and parameters, so that job, claim and receipt are like all others. What is wrong is found before the job is made, and told with the
//! kernel's file.

mod workload;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use isobit_device::{DeviceLimits, check_entry_point};
use isobit_job::{Bytes, DeviceClass, Name, Profile};
use isobit_renter::Destination;
use isobit_shader::{Binding, BufferBindingType, Diagnostic, EntryPoint, Kernel, prepare};
use tempfile::TempDir;

use crate::escape;
use crate::failure::Failure;
use crate::job_args::{JobArgs, JobFiles, JobNames, in_a_folder};
use crate::kernel_args::KernelArgs;
use crate::kernel_file::{self, judged};
use crate::slot::{Bind, Contents, Slot};

pub use self::workload::workload;

/// The input that holds the kernel.
const KERNEL: &str = "kernel";

/// Whether a file is a kernel, by its name and its first bytes.
pub fn is_kernel(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wgsl") && !is_wasm(path)
}

fn is_wasm(path: &Path) -> bool {
    let mut start = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok_and(|()| start == *b"\0asm")
}

/// The files of the job for a kernel alone; none if the arguments name a workload.
///
/// # Errors
/// The kernel is refused, or does not fit what it is given.
pub fn files(args: &mut JobArgs, profile: Profile) -> anyhow::Result<Option<JobFiles>> {
    let given = args.kernel.given();
    if is_wasm(&args.workload) {
        return match given.first() {
            None => Ok(None),
            Some(flag) => {
                Err(Failure::new(format!("{flag} is for a kernel, and {} is a workload", args.workload.display()))
                    .hint("a workload is given inputs with -i, and parameters with -p")
                    .into())
            }
        };
    }
    if given.is_empty() && !is_kernel(&args.workload) {
        return Ok(None);
    }
    if !args.input.is_empty() || !args.param.is_empty() {
        return Err(Failure::new("a kernel alone takes no -i and no -p")
            .hint("give it buffers with --bind [GROUP.]N=FILE, and values with --override NAME=VALUE")
            .into());
    }
    let file = kernel_file::name(&args.workload);
    let told = |error: anyhow::Error| -> anyhow::Error {
        match error.downcast::<Diagnostic>() {
            Ok(refused) => kernel_file::shown(&refused, &file).into(),
            Err(error) => error,
        }
    };
    let source = kernel_file::read(&args.workload)?;
    let alone = Alone::new(&source, args, profile).map_err(told)?;
    alone.files(args).map(Some)
}

/// A kernel with all that it needs.
struct Alone {
    entry_point: EntryPoint,
    slots: BTreeMap<Slot, Contents>,
    outputs: BTreeMap<Slot, Destination>,
    workgroups: [u32; 3],
}

impl Alone {
    fn new(source: &str, args: &JobArgs, profile: Profile) -> anyhow::Result<Self> {
        let KernelArgs { bind, workgroups, entry_point, overrides } = &args.kernel;
        let kernel = judged(prepare(source, profile))?;
        let entry_point = entry_point_of(&kernel, entry_point.as_deref(), overrides, args.class, profile)?;
        let mut slots = BTreeMap::new();
        for Bind { slot, contents } in bind {
            if slots.insert(*slot, contents.clone()).is_some() {
                return Err(Failure::new(format!("the binding {slot} is given twice")).into());
            }
        }
        let mut outputs = BTreeMap::new();
        for output in &args.output {
            let slot: Slot = output.name.as_str().parse().map_err(|_| {
                Failure::new(format!("`{}` is no binding", output.name))
                    .hint("a kernel alone writes bindings: -o [GROUP.]N=PATH, such as -o 1=out.bin")
            })?;
            if outputs.insert(slot, output.value.clone()).is_some() {
                return Err(Failure::new(format!("the output {slot} is given twice")).into());
            }
        }
        let [x, y, z] = entry_point.workgroup_size;
        let workgroups = workgroups.ok_or_else(|| {
            Failure::new("how many workgroups are to run?")
                .hint(format!("add --workgroups X[,Y[,Z]]; one of this kernel has {x}x{y}x{z} invocations"))
        })?;
        let alone = Self { entry_point, slots, outputs, workgroups };
        alone.check(args.class)?;
        Ok(alone)
    }

    /// Checks that every binding of the kernel has contents that fit, that nothing else has, and that outputs are written.
    fn check(&self, class: DeviceClass) -> Result<(), Failure> {
        for binding in &self.entry_point.bindings {
            let slot = Slot::of(binding);
            let Some(contents) = self.slots.get(&slot) else {
                let (what, least) = (kind(binding), Bytes::saturating_from(binding.min_size));
                return Err(Failure::new(format!(
                    "the kernel's binding {slot} is given nothing: {what}, at least {least}"
                ))
                .hint(format!("add --bind {slot}=FILE, or --bind {slot}=zeros:BYTES")));
            };
            fits(binding, contents, class)?;
        }
        let uses = |slot: &Slot| self.entry_point.bindings.iter().find(|binding| Slot::of(binding) == *slot);
        if let Some(slot) = self.slots.keys().chain(self.outputs.keys()).find(|slot| uses(slot).is_none()) {
            return Err(
                Failure::new(format!("`{}` has no binding {slot}", self.entry_point.name)).hint(self.bindings())
            );
        }
        match self.outputs.keys().find_map(|slot| uses(slot).filter(|it| it.ty != BufferBindingType::Storage)) {
            Some(binding) => {
                let (slot, what) = (Slot::of(binding), kind(binding));
                Err(Failure::new(format!("the binding {slot} is {what}, so the kernel writes nothing to it"))
                    .hint(self.bindings()))
            }
            None => Ok(()),
        }
    }

    /// What the kernel binds.
    fn bindings(&self) -> String {
        let bindings = self.entry_point.bindings.iter();
        let all: Vec<_> = bindings.map(|binding| format!("{} ({})", Slot::of(binding), kind(binding))).collect();
        if all.is_empty() { "it binds nothing".to_owned() } else { format!("it binds {}", all.join(", ")) }
    }

    fn files(self, args: &mut JobArgs) -> anyhow::Result<JobFiles> {
        let workload = workload()?;
        let (folder, path) = in_a_folder(&workload)?;
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).map(|()| path)
        };
        let mut inputs = BTreeMap::from([(KERNEL.parse::<Name>()?, args.workload.clone())]);
        let mut zeros = Vec::new();
        for (slot, contents) in &self.slots {
            match contents {
                Contents::File(path) => drop(inputs.insert(slot.name()?, path.clone())),
                Contents::Words(bytes) => drop(inputs.insert(slot.name()?, write(&slot.to_string(), bytes)?)),
                Contents::Zeros(bytes) => zeros.push(format!("{slot}={bytes}")),
            }
        }
        let outputs = self.outputs.keys().map(ToString::to_string).collect::<Vec<_>>();
        let overrides: Vec<_> = args.kernel.overrides.iter().map(written).collect::<Result<_, _>>()?;
        let params = [
            ("workgroups", self.workgroups.map(|count| count.to_string()).join(",")),
            ("entry-point", args.kernel.entry_point.clone().unwrap_or_default()),
            ("overrides", overrides.join(" ")),
            ("zeros", zeros.join(" ")),
            ("outputs", outputs.join(" ")),
        ];
        let params = params.into_iter().filter(|(_, value)| !value.is_empty());
        let names = JobNames {
            inputs,
            params: params.map(|(name, value)| Ok((name.parse::<Name>()?, value))).collect::<anyhow::Result<_>>()?,
            outputs: self
                .outputs
                .into_iter()
                .map(|(slot, place)| Ok((slot.name()?, place)))
                .collect::<anyhow::Result<_>>()?,
        };
        Ok(JobFiles { workload, path, names, folder: Some(folder) })
    }
}

/// The entry point with its overrides, checked as the job would.
fn entry_point_of(
    kernel: &Kernel,
    name: Option<&str>,
    overrides: &[(String, f64)],
    class: DeviceClass,
    profile: Profile,
) -> anyhow::Result<EntryPoint> {
    let names: Vec<_> = kernel.entry_point_names().map(|name| escape::line(name).into_owned()).collect();
    if name.is_none() && names.len() > 1 {
        return Err(Failure::new(format!("the kernel has several entry points: {}", names.join(", ")))
            .hint("choose one with --entry-point NAME")
            .into());
    }
    let entry_point = judged(kernel.entry_point(name))?;
    judged(kernel.check_overrides(entry_point, overrides))?;
    let resolved = judged(kernel.resolve(name, overrides))?;
    check_entry_point(resolved.entry_point(), class)?;
    if profile == Profile::Dp32 {
        judged(resolved.lower())?;
    }
    Ok(resolved.entry_point().clone())
}

/// Checks that contents have a size that can be bound.
fn fits(binding: &Binding, contents: &Contents, class: DeviceClass) -> Result<(), Failure> {
    let (slot, what) = (Slot::of(binding), contents.to_string());
    let size = contents.size()?;
    let (found, needed) = (Bytes::saturating_from(size), Bytes::saturating_from(binding.min_size));
    if size == 0 {
        return Err(Failure::new(format!("the binding {slot} is given no bytes: {what}")));
    }
    // What a file lacks to a word is filled up with zeros.
    if size.next_multiple_of(4) < binding.min_size {
        return Err(Failure::new(format!("the binding {slot} needs {needed} in the kernel, and {what} has {found}"))
            .hint("give it more, or declare less in the kernel"));
    }
    let most = |class| match binding.ty {
        BufferBindingType::Uniform => DeviceLimits::of(class).max_uniform_buffer_binding_size,
        _ => DeviceLimits::of(class).max_storage_buffer_binding_size,
    };
    if size <= most(class) {
        return Ok(());
    }
    let limit = Bytes::saturating_from(most(class));
    let refused = Failure::new(format!(
        "the binding {slot} is given {found}: {what}; in device class {class} a {} binding has at most {limit}",
        kind(binding)
    ));
    Err(if size <= most(DeviceClass::Large) { refused.hint("add --class large") } else { refused })
}

/// How a kernel uses a binding, in words.
fn kind(binding: &Binding) -> &'static str {
    match binding.ty {
        BufferBindingType::Uniform => "uniform",
        BufferBindingType::Storage => "read-write storage",
        BufferBindingType::ReadOnlyStorage => "read-only storage",
    }
}

/// An override as the workload reads it: it takes a whole number up to 2^53, times or divided by a power of ten up to 10^22, which it rounds
/// correctly.
fn written((name, value): &(String, f64)) -> Result<String, Failure> {
    let fits = |text: &String| {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let exponent = exponent.parse::<i64>().ok().zip(i64::try_from(decimals).ok());
        digits.parse::<u64>().is_ok_and(|digits| digits <= 1 << 53)
            && exponent.is_some_and(|(exponent, decimals)| (exponent - decimals).abs() <= 22)
    };
    let found = [format!("{value}"), format!("{value:e}")].into_iter().find(fits);
    found.map(|text| format!("{name}={text}")).ok_or_else(|| {
        Failure::new(format!(
            "the value {value} of the override `{name}` has more digits than can be given to a kernel alone"
        ))
        .hint("give it at most 15 digits and an exponent within 22, or write the value into the kernel")
    })
}

/// The files of a job that was a kernel alone, to be run again: its workload in a folder, and the kernel among the inputs.
///
/// # Errors
/// The folder cannot be made.
pub fn again(kernel: &Path, inputs: &mut BTreeMap<Name, PathBuf>) -> anyhow::Result<(TempDir, PathBuf)> {
    inputs.insert(KERNEL.parse::<Name>()?, kernel.to_owned());
    Ok(in_a_folder(&workload()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_written_as_the_workload_reads_them() {
        let text = |value: f64| written(&("a".to_owned(), value)).ok();
        for (value, expected) in [
            (3.0, "a=3"),
            (-0.5, "a=-0.5"),
            (1.5e-3, "a=0.0015"),
            (1e22, "a=1e22"),
            (1.5e21, "a=1.5e21"),
            (0.1, "a=0.1"),
        ] {
            assert_eq!(text(value).as_deref(), Some(expected));
        }
        for value in [f64::NAN, f64::INFINITY, 1e40, 1e-40, 0.1 + 0.2] {
            assert_eq!(text(value), None, "{value}");
        }
    }
}
