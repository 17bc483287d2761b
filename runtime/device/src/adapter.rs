//! Lists adapters, checks whether they can offer the fixed limits, and selects one to open.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::info::machine_memory;
use crate::on_cpu::{self, CpuBackend};
use crate::on_wgpu::WgpuBackend;
use crate::verdicts::Suspicions;
use crate::{AdapterOptions, Device, DeviceClass, DeviceInfo, DeviceKind, OpenError, limits};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterReport {
    /// Its number, as [`DeviceSelector::Index`] takes it.
    pub index: usize,
    /// Its name, kind and driver.
    #[serde(flatten)]
    pub info: DeviceInfo,
    /// The limits of class base, and the features, that it cannot offer. If empty, it can run kernels.
    pub missing: Vec<String>,
}

/// Which device to open. Written as `best`, `cpu`, a number or part of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceSelector {
    /// The best kind that has the class asked for: discrete, integrated, virtual, CPU, other; without any driver the CPU device.
    #[default]
    Best,
    /// The CPU device, which needs no driver.
    Cpu,
    /// By its number in [`list_devices`].
    Index(usize),
    /// The first one that has the class asked for and whose name, driver or driver information contains this, ignoring case.
    Name(String),
}

impl DeviceSelector {
    /// The selected one of these devices, as [`list_devices`] lists them.
    pub fn among<'a>(&self, reports: &'a [AdapterReport]) -> Option<&'a AdapterReport> {
        choose(self, DeviceClass::Base, reports).map(|(_, report)| report)
    }
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

/// Lists all adapters, including those that cannot run kernels and those that compute on the CPU.
pub fn list_adapters() -> Vec<AdapterReport> {
    adapters(&instance()).into_iter().map(|(report, _)| report).collect()
}

/// Lists all devices: the adapters, then the CPU device.
pub fn list_devices() -> Vec<AdapterReport> {
    let mut reports = list_adapters();
    reports.push(cpu_report(&reports));
    reports
}

/// Finds the selected device without opening it.
///
/// # Errors
/// No device matches, or it cannot run kernels.
pub fn select(selector: &DeviceSelector) -> Result<AdapterReport, OpenError> {
    if *selector == DeviceSelector::Cpu {
        return Ok(cpu_report(&list_adapters()));
    }
    find(selector, DeviceClass::Base).map(|found| match found {
        Found::Adapter(Adapter { report, .. }) | Found::Cpu(report) => report,
    })
}

/// Opens the selected device without a probe: on an adapter, kernels under profile dp32 run in tier A.
///
/// # Errors
/// No device matches, it cannot run kernels, or it could not be opened.
pub fn open(selector: &DeviceSelector) -> Result<Device, OpenError> {
    match find(selector, DeviceClass::Base)? {
        Found::Adapter(adapter) => adapter.open(AdapterOptions::default()),
        Found::Cpu(_) => open_cpu(),
    }
}

/// Opens the CPU device, which needs no driver.
///
/// # Errors
/// The device's thread could not be started.
pub fn open_cpu() -> Result<Device, OpenError> {
    Ok(Device::new(Box::new(CpuBackend::open()?), Suspicions::default()))
}

/// An adapter that can run kernels.
#[derive(Debug)]
pub struct Adapter {
    raw: wgpu::Adapter,
    report: AdapterReport,
    /// In this tier the driver gets kernels as the guest wrote them, to simulate a device that miscomputes.
    #[cfg(test)]
    pub(crate) careless: Option<isobit_shader::Tier>,
}

impl Adapter {
    /// Finds the selected adapter; never the CPU device.
    ///
    /// # Errors
    /// No adapter matches, or it cannot run kernels.
    pub fn select(selector: &DeviceSelector) -> Result<Self, OpenError> {
        match find(selector, DeviceClass::Base)? {
            Found::Adapter(adapter) => Ok(adapter),
            Found::Cpu(_) => Err(OpenError::NoDriver),
        }
    }

    /// Its number, as [`DeviceSelector::Index`] takes it.
    pub fn index(&self) -> usize {
        self.report.index
    }

    /// Its name, kind and driver.
    pub fn info(&self) -> &DeviceInfo {
        &self.report.info
    }

    /// Opens it with these options, whatever the probe's verdict is.
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

/// A selected device.
pub(crate) enum Found {
    Adapter(Adapter),
    Cpu(AdapterReport),
}

/// Finds the selected device, which has the class.
pub(crate) fn find(selector: &DeviceSelector, class: DeviceClass) -> Result<Found, OpenError> {
    if *selector == DeviceSelector::Cpu {
        // No driver is loaded for this, so the number of adapters is not known.
        return Ok(Found::Cpu(cpu_report(&[])));
    }
    let instance = instance();
    let mut adapters = adapters(&instance);
    let mut reports: Vec<_> = adapters.iter().map(|(report, _)| report.clone()).collect();
    reports.push(cpu_report(&reports));
    let chosen = choose(selector, class, &reports);
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
    if !report.info.classes.contains(&class) {
        return Err(OpenError::NotOfClass { name: report.info.name, class, missing: missing(&raw, class) });
    }
    Ok(Found::Adapter(Adapter {
        raw,
        report,
        #[cfg(test)]
        careless: None,
    }))
}

/// The report of the CPU device, which comes after the adapters.
fn cpu_report(adapters: &[AdapterReport]) -> AdapterReport {
    AdapterReport { index: adapters.len(), info: on_cpu::describe(), missing: Vec::new() }
}

/// The selected report and its index.
fn choose<'a>(
    selector: &DeviceSelector,
    class: DeviceClass,
    reports: &'a [AdapterReport],
) -> Option<(usize, &'a AdapterReport)> {
    let incapable =
        |(_, report): &(usize, &AdapterReport)| (!report.missing.is_empty(), !report.info.classes.contains(&class));
    let mut reports = reports.iter().enumerate();
    match selector {
        DeviceSelector::Index(index) => reports.find(|(_, report)| report.index == *index),
        DeviceSelector::Best => reports.min_by_key(|it| (incapable(it), it.1.info.kind)),
        DeviceSelector::Cpu => reports.find(|(_, report)| report.info.kind == DeviceKind::Interpreter),
        DeviceSelector::Name(name) => reports.filter(|(_, report)| matches(&report.info, name)).min_by_key(incapable),
    }
}

/// The APIs that kernels may run on. Not OpenGL: its drivers silently go wrong with `matCx2` in uniforms, with `@size` and
/// `@align` of members, and with loops of more than 65 535 iterations, where they optimize away the flag that reveals this on
/// Vulkan.
const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN.union(wgpu::Backends::METAL).union(wgpu::Backends::DX12);

fn matches(info: &DeviceInfo, name: &str) -> bool {
    let name = name.to_lowercase();
    let texts = [&info.name, &info.driver, &info.driver_info];
    texts.iter().any(|text| text.to_lowercase().contains(&name))
}

/// An instance without validation layers, which are noisy and meant for developing drivers.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = BACKENDS;
    descriptor.flags = wgpu::InstanceFlags::empty();
    wgpu::Instance::new(descriptor)
}

fn adapters(instance: &wgpu::Instance) -> Vec<(AdapterReport, wgpu::Adapter)> {
    let adapters = pollster::block_on(instance.enumerate_adapters(BACKENDS));
    let report = |(index, adapter): (usize, wgpu::Adapter)| {
        let classes = DeviceClass::ALL.into_iter().filter(|class| missing(&adapter, *class).is_empty()).collect();
        let info = describe(&adapter.get_info(), classes);
        (AdapterReport { index, info, missing: missing(&adapter, DeviceClass::Base) }, adapter)
    };
    adapters.into_iter().enumerate().map(report).collect()
}

/// What an adapter lacks for a class.
fn missing(adapter: &wgpu::Adapter, class: DeviceClass) -> Vec<String> {
    let mut missing = Vec::new();
    let flags = adapter.get_downlevel_capabilities().flags;
    if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        missing.push("compute shaders".to_owned());
    }
    limits::required(class).check_limits_with_fail_fn(&adapter.limits(), false, |limit, required, offered| {
        let limit = limit.replace('_', "-");
        missing.push(format!("{limit} {required} (it offers {offered})"));
    });
    missing
}

fn describe(info: &wgpu::AdapterInfo, classes: Vec<DeviceClass>) -> DeviceInfo {
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
        classes,
    }
}

/// The GPU's own memory in bytes, if the kernel driver reports it: amdgpu does.
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
