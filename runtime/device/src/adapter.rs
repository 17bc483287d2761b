//! Which adapters there are, whether they can offer the fixed limits, and which one to open.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::info::machine_memory;
use crate::on_cpu::{self, CpuBackend};
use crate::on_wgpu::WgpuBackend;
use crate::verdicts::Suspicions;
use crate::{AdapterOptions, Device, DeviceInfo, DeviceKind, OpenError, limits};

impl From<wgpu::DeviceType> for DeviceKind {
    fn from(ty: wgpu::DeviceType) -> Self {
        match ty {
            wgpu::DeviceType::DiscreteGpu => Self::Discrete,
            wgpu::DeviceType::IntegratedGpu => Self::Integrated,
            wgpu::DeviceType::VirtualGpu => Self::Virtual,
            wgpu::DeviceType::Cpu => Self::Cpu,
            wgpu::DeviceType::Other => Self::Other,
        }
    }
}

/// A device and whether it can run kernels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterReport {
    /// Its number, as [`DeviceSelector::Index`] takes it.
    pub index: usize,
    /// Who it is.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// Which of the fixed limits and features it cannot offer. Empty: it can run kernels.
    pub missing: Vec<String>,
}

/// Which device to open. Written as `best`, `cpu`, a number or part of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceSelector {
    /// The best kind that can run kernels: discrete, integrated, virtual, CPU; without any driver the CPU device.
    #[default]
    Best,
    /// The the CPU device, which needs no driver.
    Cpu,
    /// By its number in [`list_devices`].
    Index(usize),
    /// The first that can run kernels whose name, driver or driver information contains this, in any case.
    Name(String),
}

impl FromStr for DeviceSelector {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        Ok(match text {
            "" | "best" => Self::Best,
            "cpu" => Self::Cpu,
            _ => text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Index),
        })
    }
}

impl fmt::Display for DeviceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("best"),
            Self::Cpu => f.write_str("cpu"),
            Self::Index(index) => index.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// All adapters, those that cannot run kernels and those that compute on the CPU included.
pub fn list_adapters() -> Vec<AdapterReport> {
    adapters(&instance()).into_iter().map(|(report, _)| report).collect()
}

/// All that [`open`] can open: the adapters, and at last the the CPU device.
pub fn list_devices() -> Vec<AdapterReport> {
    let mut reports = list_adapters();
    reports.push(cpu_report(&reports));
    reports
}

/// The device that is selected, which is not opened.
///
/// # Errors
/// As [`open`], except that the driver may still refuse.
pub fn select(selector: &DeviceSelector) -> Result<AdapterReport, OpenError> {
    if *selector == DeviceSelector::Cpu {
        return Ok(cpu_report(&list_adapters()));
    }
    find(selector).map(|found| match found {
        Found::Adapter(Adapter { report, .. }) | Found::Cpu(report) => report,
    })
}

/// Opens the selected device. An adapter is taken at its word: kernels under profile dp32 run in tier A.
pub fn open(selector: &DeviceSelector) -> Result<Device, OpenError> {
    match find(selector)? {
        Found::Adapter(adapter) => adapter.open(AdapterOptions::default()),
        Found::Cpu(_) => open_cpu(),
    }
}

/// Opens the CPU device, which needs no driver.
///
/// # Errors
/// The system has no thread to spare.
pub fn open_cpu() -> Result<Device, OpenError> {
    Ok(Device::new(Box::new(CpuBackend::open()?), Suspicions::default()))
}

/// An adapter that can run kernels.
#[derive(Debug)]
pub struct Adapter {
    raw: wgpu::Adapter,
    report: AdapterReport,
    /// The driver is given kernels as the guest wrote them in this tier: a device that miscomputes.
    #[cfg(test)]
    pub(crate) careless: Option<isobit_shader::Tier>,
}

impl Adapter {
    /// The selected adapter, and not the CPU device.
    ///
    /// # Errors
    /// There is none, or it cannot run kernels.
    pub fn select(selector: &DeviceSelector) -> Result<Self, OpenError> {
        match find(selector)? {
            Found::Adapter(adapter) => Ok(adapter),
            Found::Cpu(_) => Err(OpenError::NoDriver),
        }
    }

    /// Who it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.report.info
    }

    /// Opens it as the options say, whatever the probe thinks of it.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn open(&self, options: AdapterOptions) -> Result<Device, OpenError> {
        Ok(Device::new(Box::new(self.backend(options)?), Suspicions::default()))
    }

    pub(crate) fn backend(&self, options: AdapterOptions) -> Result<WgpuBackend, OpenError> {
        let backend = WgpuBackend::open(&self.raw, self.info().clone(), options)?;
        #[cfg(test)]
        let backend = backend.careless(self.careless);
        Ok(backend)
    }
}

/// What a selector selects.
pub(crate) enum Found {
    Adapter(Adapter),
    Cpu(AdapterReport),
}

pub(crate) fn find(selector: &DeviceSelector) -> Result<Found, OpenError> {
    if *selector == DeviceSelector::Cpu {
        // Without a look at any driver; so nobody knows how many there are.
        return Ok(Found::Cpu(cpu_report(&[])));
    }
    let instance = instance();
    let mut adapters = adapters(&instance);
    let mut reports: Vec<_> = adapters.iter().map(|(report, _)| report.clone()).collect();
    reports.push(cpu_report(&reports));
    let chosen = choose(selector, &reports);
    let Some((number, report)) = chosen.map(|(number, report)| (number, report.clone())) else {
        let available = reports.into_iter().map(|report| report.info.name).collect();
        return Err(OpenError::NotFound { selector: selector.to_string(), available });
    };
    if !report.missing.is_empty() {
        return Err(OpenError::Incapable { name: report.info.name, missing: report.missing });
    }
    if number >= adapters.len() {
        return Ok(Found::Cpu(report));
    }
    let (report, raw) = adapters.swap_remove(number);
    Ok(Found::Adapter(Adapter {
        raw,
        report,
        #[cfg(test)]
        careless: None,
    }))
}

/// The CPU device, behind the others.
fn cpu_report(adapters: &[AdapterReport]) -> AdapterReport {
    AdapterReport { index: adapters.len(), info: on_cpu::describe(), missing: Vec::new() }
}

/// The selected report, and how many are before it.
fn choose<'a>(selector: &DeviceSelector, reports: &'a [AdapterReport]) -> Option<(usize, &'a AdapterReport)> {
    let incapable = |(_, report): &(usize, &AdapterReport)| !report.missing.is_empty();
    let mut reports = reports.iter().enumerate();
    match selector {
        DeviceSelector::Index(index) => reports.find(|(_, report)| report.index == *index),
        DeviceSelector::Best => reports.min_by_key(|it| (incapable(it), it.1.info.kind)),
        DeviceSelector::Cpu => reports.find(|(_, report)| report.info.kind == DeviceKind::Interpreter),
        DeviceSelector::Name(name) => reports.filter(|(_, report)| matches(&report.info, name)).min_by_key(incapable),
    }
}

/// What kernels may run on. Not OpenGL: its drivers go wrong in silence, with `matCx2` in uniforms, `@size` and `@align` of members, and
/// loops of more than 65 535 turns, where the flag that tells of that on Vulkan is optimized away.
const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN.union(wgpu::Backends::METAL).union(wgpu::Backends::DX12);

fn matches(info: &DeviceInfo, name: &str) -> bool {
    let name = name.to_lowercase();
    let texts = [&info.name, &info.driver, &info.driver_info];
    texts.iter().any(|text| text.to_lowercase().contains(&name))
}

/// An instance without validation layers: they are for developing drivers, and noisy.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = BACKENDS;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

fn adapters(instance: &wgpu::Instance) -> Vec<(AdapterReport, wgpu::Adapter)> {
    let adapters = pollster::block_on(instance.enumerate_adapters(BACKENDS));
    let report = |(index, adapter): (usize, wgpu::Adapter)| {
        let info = describe(&adapter.get_info());
        (AdapterReport { index, info, missing: missing(&adapter) }, adapter)
    };
    adapters.into_iter().enumerate().map(report).collect()
}

fn missing(adapter: &wgpu::Adapter) -> Vec<String> {
    let mut missing = Vec::new();
    let flags = adapter.get_downlevel_capabilities().flags;
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        missing.push("compute shaders".to_owned());
    }
    limits::required().check_limits_with_fail_fn(&adapter.limits(), false, |limit, required, offered| {
        let limit = limit.replace('_', "-");
        missing.push(format!("{limit} {required} (it offers {offered})"));
    });
    missing
}

fn describe(info: &wgpu::AdapterInfo) -> DeviceInfo {
    let kind = DeviceKind::from(info.device_type);
    DeviceInfo {
        name: info.name.clone(),
        backend: match info.backend {
            wgpu::Backend::Vulkan => "Vulkan".to_owned(),
            wgpu::Backend::Metal => "Metal".to_owned(),
            wgpu::Backend::Dx12 => "DX12".to_owned(),
            other => other.to_string(),
        },
        driver: info.driver.clone(),
        driver_info: info.driver_info.clone(),
        vendor_id: info.vendor,
        device_id: info.device,
        kind,
        memory: if kind.shares_memory() { machine_memory() } else { own_memory(&info.device_pci_bus_id) },
    }
}

/// Of the kernel drivers, amdgpu tells.
fn own_memory(pci_bus_id: &str) -> Option<u64> {
    let path = format!("/sys/bus/pci/devices/{pci_bus_id}/mem_info_vram_total");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_read_as_it_is_written() {
        for (text, selector) in [
            ("best", DeviceSelector::Best),
            ("cpu", DeviceSelector::Cpu),
            ("2", DeviceSelector::Index(2)),
            ("llvmpipe", DeviceSelector::Name("llvmpipe".to_owned())),
            ("gl", DeviceSelector::Name("gl".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(selector.clone()));
            assert_eq!(selector.to_string(), text);
        }
        assert_eq!("".parse(), Ok(DeviceSelector::Best));
    }

    #[test]
    fn a_missing_driver_comes_with_what_to_install() {
        assert!(OpenError::NoDriver.hint().contains("install"));
    }
}
