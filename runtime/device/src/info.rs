//! Describes a device.

use std::fmt;

use isobit_job::DeviceClass;
use serde::{Deserialize, Serialize};

/// The kind of a device, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU lent to a virtual machine.
    Virtual,
    /// A driver that computes on the CPU.
    Cpu,
    /// The driver does not say.
    Other,
    /// No driver at all: the interpreter that is part of isobit.
    Interpreter,
}

impl DeviceKind {
    /// Whether the CPU and the device share memory, which saves staging copies.
    pub(crate) fn shares_memory(self) -> bool {
        matches!(self, Self::Integrated | Self::Cpu)
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Cpu => "CPU",
            Self::Other => "other",
            Self::Interpreter => "interpreter",
        })
    }
}

/// The name, kind and driver of a device. Part of what a provider observes; never shown to a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// The device's name, such as `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// The API it is driven through: `Vulkan`, `Metal` or `DX12`; `none` for the CPU device.
    pub backend: String,
    /// The driver's name.
    pub driver: String,
    /// The driver's version and other information. Empty for some drivers.
    pub driver_info: String,
    /// The vendor's number, as on the PCI bus; 0 if there is none.
    pub vendor_id: u32,
    /// The vendor's number for the model; 0 if there is none.
    pub device_id: u32,
    /// Its kind.
    pub kind: DeviceKind,
    /// Its memory in bytes, if known; the machine's memory if it shares that.
    pub memory: Option<u64>,
    /// The classes that it has, the least demanding first. Empty for an adapter that cannot run kernels.
    pub classes: Vec<DeviceClass>,
}

/// The machine's memory in bytes. Linux reports it; wgpu does not.
pub(crate) fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
