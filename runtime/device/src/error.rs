//! What can go wrong: the guest's mistakes, the provider's trouble, and why no device could be opened.

use std::time::Duration;

use isobit_shader::Diagnostic;

/// Why a call on a device failed. All but [`DeviceError::Fault`] are the guest's mistakes, functions of the
/// job alone, and may be shown to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A rule of WebGPU or WGSL is broken.
    #[error("{0}")]
    Validation(Diagnostic),
    /// The job's limit on device memory is reached.
    #[error("out of device memory: {requested} bytes requested with {in_use} of {maximum} in use")]
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Bytes in use by the job.
        in_use: u64,
        /// The job's limit.
        maximum: u64,
    },
    /// A fixed limit is exceeded.
    #[error("{limit} is {maximum}, but {requested} was requested")]
    LimitExceeded {
        /// WebGPU's name for the limit in kebab case, such as `max-buffer-size`.
        limit: &'static str,
        /// The most that is allowed.
        maximum: u64,
        /// What was asked for.
        requested: u64,
    },
    /// The provider's own trouble: the job can be run again elsewhere.
    #[error(transparent)]
    Fault(#[from] DeviceFault),
}

impl DeviceError {
    /// A broken rule that is not about one place in a shader.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Validation(Diagnostic::new(message))
    }
}

/// The provider's own trouble with a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceFault {
    /// The device or its driver is gone or broken. It stays so: open another.
    #[error("the device is lost: {reason}")]
    Lost {
        /// What the driver said.
        reason: String,
    },
    /// The machine, not the job, has run out of memory.
    #[error("the machine has not enough memory for the device")]
    HostOutOfMemory,
    /// The device did not finish in time, or a readback was not dropped in time.
    #[error("the device did not finish within {} s", after.as_secs())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// The embedder no longer waits, see [`Stop`](crate::Stop).
    #[error("the device was no longer waited for")]
    Stopped,
    /// The driver failed at something that is valid, such as compiling a checked kernel.
    #[error("the driver failed: {message}")]
    Driver {
        /// What it said.
        message: String,
    },
    /// The device did not do what a kernel says. What it has computed in this job is worthless.
    #[error("the device computed wrongly: {what}")]
    Miscomputed {
        /// How that was noticed.
        what: String,
    },
    /// The driver left a loop that had not ended, as lavapipe does once an invocation has made 65 535 turns. The device keeps its
    /// tier and the job is not to blame: run it again on a device without that limit. [`CpuDevice`](crate::CpuDevice) has none.
    #[error(
        "the driver left a loop that had not ended, as lavapipe does after 65 535 turns; the CPU device runs it to its end"
    )]
    LeftLoop,
    /// A workgroup wrote something else than on the CPU, and the kernel races or the workgroup alone agrees. What this job has
    /// computed cannot be claimed, but the device is not to blame.
    #[error("a result cannot be reproduced: {what}; {}", why_irreproducible(race.as_deref()))]
    Irreproducible {
        /// The word that differs.
        what: String,
        /// Two accesses to one word, one of them writing, without a barrier between; if such were found.
        race: Option<String>,
    },
    /// The source of a write could not be read.
    #[error("a source of device memory could not be read: {0}")]
    Io(#[from] std::io::Error),
}

fn why_irreproducible(race: Option<&str>) -> String {
    match race {
        Some(race) => format!("the kernel races, so no two devices need agree: {race}"),
        None => "alone the workgroup agrees with the CPU, so the kernel's workgroups race, or the device erred for a moment; \
                 `isobit run --detect-races` tells"
            .to_owned(),
    }
}

/// Why no device could be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The machine has no driver at all.
    #[error("no device found: there is no Vulkan driver on this machine")]
    NoDriver,
    /// None of the adapters is the selected one.
    #[error("no device matches `{selector}`")]
    NotFound {
        /// What was asked for.
        selector: String,
        /// The names of those that are there.
        available: Vec<String>,
    },
    /// The adapter cannot offer the fixed limits.
    #[error("{name} cannot run kernels: it lacks {}", missing.join(", "))]
    Incapable {
        /// The adapter's name.
        name: String,
        /// What it lacks.
        missing: Vec<String>,
    },
    /// The driver refused to open the adapter.
    #[error("{name} could not be opened: {reason}")]
    Refused {
        /// The adapter's name.
        name: String,
        /// What the driver said.
        reason: String,
    },
    /// The probe or a job has found it to compute wrongly in every tier.
    #[error("{name} computes wrongly, even with integers only: {failure}")]
    Unsound {
        /// The adapter's name.
        name: String,
        /// What was found.
        failure: String,
    },
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoDriver => install_hint(),
            Self::NotFound { available, .. } if available.is_empty() => install_hint(),
            Self::NotFound { available, .. } => format!("choose one of: {}", available.join("; ")),
            Self::Incapable { .. } | Self::Refused { .. } => {
                "choose another device (`isobit devices` lists them), or update its driver".to_owned()
            }
            Self::Unsound { .. } => {
                "choose another device (`--device cpu` is always right), or update its driver and run `isobit doctor`"
                    .to_owned()
            }
        }
    }
}

fn install_hint() -> String {
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if system.contains("debian") || system.contains("ubuntu") {
        "install one with `sudo apt-get install -y mesa-vulkan-drivers libvulkan1`; it works without a GPU too"
            .to_owned()
    } else {
        "install your GPU's Vulkan driver, or Mesa's lavapipe, which needs no GPU".to_owned()
    }
}
