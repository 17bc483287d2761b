//! What can go wrong: the guest's mistakes, and why no device could be opened. The provider's own trouble is a [`Fault`].

use isobit_job::Fault;
use isobit_shader::{Diagnostic, KernelError};

/// Why a call on a device failed. All but [`DeviceError::Fault`] are the guest's mistakes: functions of the job alone,
/// which it may be shown.
#[derive(Debug, thiserror::Error)]
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
    Fault(#[from] Fault),
}

impl DeviceError {
    /// A broken rule that is not about one place in a shader.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Validation(Diagnostic::new(message))
    }
}

impl From<KernelError> for DeviceError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Refused(diagnostic) => Self::Validation(diagnostic),
            KernelError::Fault(fault) => Self::Fault(fault),
        }
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
