//! The start-up probe: whether a device may compute in tier A.
//!
//! Tier A relies on a device's native sums, products and comparisons, see [`isobit_shader::dp32`]. The probe runs each primitive
//! and each builtin over operands where arithmetic often goes wrong, shapes of code that drivers tend to fuse or rearrange,
//! kernels with as many parts as the pass accepts, and random programs. It compares every bit with the CPU's interpreter. If one
//! bit is wrong, the probe tries tier B, which computes with integers only, with fewer operands. A device that fails there too gets
//! no tier.

mod bench;
mod checks;
mod kernels;
mod programs;
mod structure;
mod vectors;

use std::io;
use std::path::Path;
use std::time::Duration;

use isobit_job::{Fault, FaultKind};
use isobit_shader::{Profile, Tier, prepare};

use self::bench::Bench;
use self::checks::{Check, checks, short_checks};
use self::kernels::WORKGROUP;
use self::vectors::Vectors;
use crate::adapter::{Found, find};
use crate::verdicts::{self, Suspicions};
pub use crate::verdicts::{Failure, Suspicion, Verdict, recall, record, suspicion};
use crate::{
    Adapter, AdapterOptions, Device, DeviceClass, DeviceError, DeviceSelector, Gpu, JobLimits, OpenError, Policy, Stop,
    open_cpu,
};

/// How many operands primitives and builtins get: about 2²⁰, a multiple of the components of every vector.
const OPERANDS: usize = (1 << 20) / 12 * 12;

/// The most device memory that the probe needs, in bytes.
const MEMORY: u64 = 64 << 20;

/// A device that takes longer than this for one kernel fails the probe.
const PATIENCE: Duration = Duration::from_secs(60);

/// The progress of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// How many checks are done.
    pub done: usize,
    /// How many checks there are.
    pub of: usize,
    /// The name of the current check.
    pub check: &'a str,
}

/// Probes an adapter. This takes some seconds.
///
/// # Errors
/// The adapter could not be opened, or failed so that there is no verdict.
pub fn probe(adapter: &Adapter, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Verdict, OpenError> {
    let mut failure = |tier, checks: &[Check]| {
        let mut gpu = open(adapter, tier)?;
        let failed = first_failure(&mut gpu, checks, progress);
        let name = || adapter.info().name.clone();
        failed.map_err(|error| OpenError::Refused { name: name(), reason: error.to_string() })
    };
    let Some(wrong) = failure(Tier::A, &checks())? else {
        return Ok(Verdict { tier: Some(Tier::A), failure: None });
    };
    Ok(match failure(Tier::B, &short_checks())? {
        None => Verdict { tier: Some(Tier::B), failure: Some(wrong) },
        found => Verdict { tier: None, failure: found },
    })
}

/// Opens an adapter in a tier, with the limits of the probe.
fn open(adapter: &Adapter, tier: Tier) -> Result<Gpu, OpenError> {
    let device = adapter.open(AdapterOptions { tier, ..AdapterOptions::default() })?;
    let limits = JobLimits { memory: MEMORY, kernel_fuel: u64::MAX, class: DeviceClass::Base };
    Ok(device.with(Policy { patience: PATIENCE, ..Policy::default() }).start(limits, Stop::default()))
}

/// Probes adapters for which no verdict is known.
pub trait Prober {
    /// Probes an adapter.
    ///
    /// # Errors
    /// The adapter could not be opened, or failed so that there is no verdict. Nothing is kept then.
    fn probe(&mut self, adapter: &Adapter) -> Result<Verdict, OpenError>;

    /// Called at most once, before waiting for another process that is probing.
    fn waits(&mut self) {}

    /// Called at most once, if the verdict could not be kept. The device will then be probed again.
    fn not_kept(&mut self, cache: &Path, error: &io::Error) {
        tracing::warn!(target: "isobit::device", cache = %cache.display(), %error, "the probe's verdict is not kept");
    }
}

/// Probes in this process and reports progress to the function. A driver that crashes also ends this process.
pub struct InProcess<F>(pub F);

impl<F: FnMut(Progress<'_>)> Prober for InProcess<F> {
    fn probe(&mut self, adapter: &Adapter) -> Result<Verdict, OpenError> {
        probe(adapter, &mut self.0)
    }
}

/// The verdict on a device from `cache`, or else from `prober`; a new one is kept in `cache`.
///
/// # Errors
/// As [`Prober::probe`].
pub(crate) fn verdict(adapter: &Adapter, cache: Option<&Path>, prober: &mut dyn Prober) -> Result<Verdict, OpenError> {
    let info = adapter.info();
    let known = || cache.and_then(|cache| recall(cache, info));
    if let Some(known) = known() {
        return Ok(known);
    }
    // If several processes get here, one probes, and the others wait for its verdict.
    let _turn = cache.and_then(|cache| verdicts::lock(cache, || prober.waits()).ok());
    if let Some(known) = known() {
        return Ok(known);
    }
    let verdict = prober.probe(adapter)?;
    if let Some(failure) = &verdict.failure {
        let then = if verdict.tier.is_some() { "using integers" } else { "it is not used" };
        tracing::warn!(target: "isobit::device", device = info.name, %failure, "wrong results: {then}");
    }
    if let Some(cache) = cache
        && let Err(error) = record(cache, info, &verdict)
    {
        prober.not_kept(cache, &error);
    }
    Ok(verdict)
}

/// Opens the selected device of a class; an adapter in the tier that the probe grants it. The verdict is read from the folder `cache`. If
/// there is none, `prober` probes the adapter, which takes some seconds, and the verdict is kept there. The CPU device needs no
/// verdict.
///
/// # Errors
/// As [`open`](crate::open); or the probe of the adapter gives no verdict, or finds wrong results in every tier.
pub fn open_probed(
    selector: &DeviceSelector,
    class: DeviceClass,
    cache: Option<&Path>,
    prober: &mut dyn Prober,
) -> Result<(Device, Option<Verdict>), OpenError> {
    let adapter = match find(selector, class)? {
        Found::Adapter(adapter) => adapter,
        Found::Cpu(_) => return Ok((open_cpu()?, None)),
    };
    let verdict = verdict(&adapter, cache, prober)?;
    let Some(tier) = verdict.tier else {
        let failure = verdict.failure.map_or_else(String::new, |failure| failure.to_string());
        return Err(OpenError::Unsound { name: adapter.info().name.clone(), failure });
    };
    let backend = adapter.backend(AdapterOptions { tier, ..AdapterOptions::default() })?;
    Ok((Device::new(Box::new(backend), Suspicions::kept_in(cache, tier)), Some(verdict)))
}

/// Opens a device of [`open_probed`] again if `cache` has a verdict with another tier by now: the probe in another process may
/// have shown that it miscomputes. Call this when a device that was opened in advance gets its job.
///
/// # Errors
/// As [`open_probed`].
pub fn reopen_if_demoted(
    opened: (Device, Option<Verdict>),
    selector: &DeviceSelector,
    class: DeviceClass,
    cache: Option<&Path>,
) -> Result<(Device, Option<Verdict>), OpenError> {
    let (device, verdict) = &opened;
    // If there is no verdict any more, the old one holds: it is about the driver in this process, and a suspicion has no effect
    // before the probe has confirmed it.
    let now = cache.and_then(|cache| recall(cache, device.info()));
    match (verdict, now) {
        (Some(then), Some(now)) if then.tier != now.tier => {
            open_probed(selector, class, cache, &mut InProcess(|_: Progress<'_>| ()))
        }
        _ => Ok(opened),
    }
}

fn first_failure(
    gpu: &mut Gpu,
    checks: &[Check],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Option<Failure>, DeviceError> {
    let operands = Vectors::new(1).triples(OPERANDS);
    let mut bench = Bench::new(gpu, &operands)?;
    for (done, check) in checks.iter().enumerate() {
        progress(Progress { done, of: checks.len(), check: &check.name });
        if let Some(detail) = wrong(&mut bench, check, &operands)? {
            return Ok(Some(Failure { check: check.name.clone(), detail }));
        }
    }
    progress(Progress { done: checks.len(), of: checks.len(), check: "" });
    Ok(None)
}

/// The first wrong result of a check.
fn wrong(bench: &mut Bench<'_>, check: &Check, operands: &[Vec<u32>; 3]) -> Result<Option<String>, DeviceError> {
    let Check { wgsl, width, count, .. } = check;
    let kernel = prepare(wgsl, Profile::Dp32)?;
    let results = match bench.run(&kernel, *count, *width) {
        Ok(results) => results,
        // A driver that cannot compile a kernel in tier A may be able to compile it in tier B.
        Err(DeviceError::Fault(Fault { kind: FaultKind::DriverFailed | FaultKind::Miscomputed, detail })) => {
            return Ok(Some(detail));
        }
        Err(DeviceError::Fault(fault)) if fault.kind == FaultKind::LeftLoop => return Ok(Some(fault.to_string())),
        Err(other) => return Err(other),
    };
    let expected = bench.expected(&kernel, *count, *width)?;
    let differs = results.iter().zip(&expected).position(|(result, expected)| result != expected);
    Ok(differs.map(|at| {
        let of = |words: &[u32]| words.get(at).copied().unwrap_or(0);
        let [x, y, z] = operands.each_ref().map(|words| of(words));
        let (result, expected) = (of(&results), of(&expected));
        format!("of {x:#010x}, {y:#010x}, {z:#010x} it makes {result:#010x}, not {expected:#010x}")
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::time::{Duration, Instant};

    use isobit_shader::{Profile, Tier, prepare};

    use super::bench::Bench;
    use super::checks::{checks, short_checks};
    use super::vectors::Vectors;
    use super::{Failure, InProcess, OPERANDS, Progress, Verdict, first_failure, record};
    use crate::{Adapter, DeviceClass, DeviceSelector, OpenError, list_adapters, open_probed, reopen_if_demoted, seen};

    /// How long checks take. Shown for developers who add a check, since users wait for the probe.
    #[derive(Default)]
    struct Times {
        now: Option<(String, Instant)>,
        took: Vec<(Duration, String)>,
    }

    impl Times {
        fn note(&mut self, check: &str) {
            self.took.extend(self.now.take().map(|(check, since)| (since.elapsed(), check)));
            self.now = Some((check.to_owned(), Instant::now()));
        }
    }

    impl std::fmt::Display for Times {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let mut took: Vec<_> = self.took.iter().collect();
            took.sort_by(|a, b| b.cmp(a));
            write!(f, "longest: {:.1?}", &took[..took.len().min(12)])
        }
    }

    fn capable() -> Vec<usize> {
        let adapters = list_adapters();
        let capable: Vec<_> = adapters.iter().filter(|it| it.missing.is_empty()).collect();
        assert!(!capable.is_empty(), "no adapter can run kernels here ({adapters:?}): run `cargo xtask setup`");
        seen::expect_drivers(capable.iter().map(|adapter| adapter.info.name.as_str()));
        capable.iter().map(|adapter| adapter.index).collect()
    }

    #[test]
    fn each_adapter_is_granted_tier_a_and_probed_once() {
        let cache = tempfile::tempdir().unwrap();
        for index in capable() {
            let selector = DeviceSelector::Index(index);
            let started = Instant::now();
            let (mut last, mut times) = ((0, 0), Times::default());
            let mut watch = |progress: Progress<'_>| {
                assert!(progress.done >= last.0 && progress.done <= progress.of);
                last = (progress.done, progress.of);
                times.note(progress.check);
            };
            let (device, verdict) =
                open_probed(&selector, DeviceClass::Base, Some(cache.path()), &mut InProcess(&mut watch)).unwrap();
            println!("{}: {} checks in {:.1?}, {times}", device.info().name, last.1, started.elapsed());
            assert_eq!(verdict, Some(Verdict { tier: Some(Tier::A), failure: None }));
            assert_eq!(last.0, last.1);
            let watch = |_: Progress<'_>| panic!("probed again");
            let (_, again) =
                open_probed(&selector, DeviceClass::Base, Some(cache.path()), &mut InProcess(watch)).unwrap();
            assert_eq!(again, verdict);
        }
    }

    /// A verdict with this tier.
    fn verdict(tier: Option<Tier>) -> Verdict {
        let failure = Failure { check: "a sum".to_owned(), detail: "wrong".to_owned() };
        Verdict { tier, failure: Some(failure).filter(|_| tier != Some(Tier::A)) }
    }

    #[test]
    fn a_device_that_waits_for_a_job_learns_that_another_has_demoted_it() {
        for index in capable() {
            let cache = tempfile::tempdir().unwrap();
            let cache = cache.path();
            let selector = DeviceSelector::Index(index);
            let info = &list_adapters()[index].info;
            record(cache, info, &verdict(Some(Tier::A))).unwrap();
            let opened =
                open_probed(&selector, DeviceClass::Base, Some(cache), &mut InProcess(|_: Progress<'_>| ())).unwrap();
            let opened = reopen_if_demoted(opened, &selector, DeviceClass::Base, Some(cache)).unwrap();
            assert_eq!(opened.1, Some(verdict(Some(Tier::A))));
            record(cache, info, &verdict(Some(Tier::B))).unwrap();
            let opened = reopen_if_demoted(opened, &selector, DeviceClass::Base, Some(cache)).unwrap();
            assert_eq!(opened.1, Some(verdict(Some(Tier::B))));
            record(cache, info, &verdict(None)).unwrap();
            let refused = reopen_if_demoted(opened, &selector, DeviceClass::Base, Some(cache)).err();
            assert!(matches!(refused, Some(OpenError::Unsound { .. })), "{refused:?}");
        }
    }

    #[test]
    fn what_is_left_to_a_device_without_native_arithmetic_is_right_on_every_adapter() {
        for index in capable() {
            let adapter = Adapter::select(&DeviceSelector::Index(index)).unwrap();
            let mut gpu = super::open(&adapter, Tier::B).unwrap();
            let (started, mut times) = (Instant::now(), Times::default());
            assert_eq!(first_failure(&mut gpu, &short_checks(), &mut |at| times.note(at.check)).unwrap(), None);
            println!("{}: {} checks in {:.1?}, {times}", gpu.info().name, short_checks().len(), started.elapsed());
        }
    }

    #[test]
    fn arithmetic_that_is_left_to_the_driver_fails_the_probe() {
        let operands = Vectors::new(1).triples(OPERANDS);
        for index in capable() {
            let adapter = Adapter::select(&DeviceSelector::Index(index)).unwrap();
            let mut gpu = super::open(&adapter, Tier::A).unwrap();
            let mut bench = Bench::new(&mut gpu, &operands).unwrap();
            let mut failed = Vec::new();
            for check in checks().iter().filter(|check| check.count < OPERANDS) {
                let native = prepare(&check.wgsl, Profile::Native).unwrap();
                let kernel = prepare(&check.wgsl, Profile::Dp32).unwrap();
                let results = bench.run(&native, check.count, check.width).unwrap();
                if results != bench.expected(&kernel, check.count, check.width).unwrap() {
                    failed.push(check.name.clone());
                }
            }
            println!("{index}: {failed:?}");
            for name in ["a product, 4 at a time", "a product in a sum", "constants", "what a product loses"] {
                assert!(failed.iter().any(|it| it == name), "{name} gives the right bits natively: {failed:?}");
            }
        }
    }
}
