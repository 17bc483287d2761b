//! Errors: the guest's mistakes, and why no device could be opened. The provider's own trouble is a [`Fault`].

use isobit_job::{DeviceClass, Fault};
use isobit_shader::{Diagnostic, KernelError};

/// Why a call on a device failed. All but [`DeviceError::Fault`] are the guest's mistakes: they depend on the job alone, and
/// the guest may see them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
pub enum DeviceError {
    /// A rule of WebGPU or WGSL is broken.
    #[error("{0}")]
    Validation(Diagnostic),
    #[error("out of device memory: {requested} bytes requested with {in_use} of {maximum} in use")]
    OutOfMemory { requested: u64, in_use: u64, maximum: u64 },
    #[error("{limit} is {maximum}, but {requested} was requested")]
    LimitExceeded {
        /// WebGPU's name for the limit in kebab case, such as `max-buffer-size`.
        limit: &'static str,
        maximum: u64,
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
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum OpenError {
    #[error("no device found: there is no Vulkan driver on this machine")]
    NoDriver,
    #[error("no device matches `{selector}`")]
    NotFound {
        selector: String,
        /// The names of all devices.
        available: Vec<String>,
    },
    /// The adapter cannot offer the fixed limits.
    #[error("{name} cannot run kernels: it lacks {}", missing.join(", "))]
    Incapable { name: String, missing: Vec<String> },
    /// The adapter can run kernels, but has not the class asked for.
    #[error("{name} has no device class {class}: it lacks {}", missing.join(", "))]
    NotOfClass { name: String, class: DeviceClass, missing: Vec<String> },
    #[error("{name} could not be opened: {reason}")]
    Refused { name: String, reason: String },
    /// The probe has found wrong results in every tier.
    #[error("{name} computes wrongly, even with integers only: {failure}")]
    Unsound { name: String, failure: String },
}

impl OpenError {
    /// Advice for the user: what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoDriver => install_hint(),
            Self::NotFound { available, .. } if available.is_empty() => install_hint(),
            Self::NotFound { available, .. } => format!("choose one of: {}", available.join("; ")),
            Self::Incapable { .. } | Self::Refused { .. } => {
                "choose another device (`isobit devices` lists them), or update its driver".to_owned()
            }
            Self::NotOfClass { .. } => {
                "choose a device that has the class (`isobit devices` shows them); `--device cpu` has every class"
                    .to_owned()
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
