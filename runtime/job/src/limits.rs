//! What a job may use, and the profile it runs under.

use crate::{Bytes, Fuel, MAX_OUTPUTS, SpecError};

/// The arithmetic rules that a job runs under.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Profile {
    /// Every floating-point result is defined bit by bit: a job has the same outputs on every device.
    #[default]
    Dp32,
    /// Kernels run as written: fast, and floating-point results may differ between devices.
    Native,
}

/// No profile has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no profile is called {found:?}; the profiles of this version are: dp32, native")]
pub struct UnknownProfile {
    /// The name found.
    pub found: String,
}

impl Profile {
    /// The profile's name in job specs and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Profile::Dp32 => "dp32",
            Profile::Native => "native",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Profile, UnknownProfile> {
        match text {
            "dp32" => Ok(Profile::Dp32),
            "native" => Ok(Profile::Native),
            _ => Err(UnknownProfile { found: text.to_owned() }),
        }
    }
}

/// What a job may use. The limits are part of the job spec, and so the same on every provider.
///
/// Guests and users see the names of the fields with `-` for `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of the guest; at most 4 GiB. Default 1 GiB.
    pub guest_memory: Bytes,
    /// Device memory in buffers. Default 1 GiB.
    pub device_memory: Bytes,
    /// Fuel for the guest's own instructions. Default 10^12.
    pub fuel: Fuel,
    /// Fuel for dispatches. Default 10^15.
    pub kernel_fuel: Fuel,
    /// Bytes of all outputs together. Default 4 GiB.
    pub output_bytes: Bytes,
    /// Number of outputs; at most [`MAX_OUTPUTS`]. Default 64.
    pub outputs: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            guest_memory: Bytes::mib(1024),
            device_memory: Bytes::mib(1024),
            fuel: Fuel::saturating_from(1_000_000_000_000),
            kernel_fuel: Fuel::saturating_from(1_000_000_000_000_000),
            output_bytes: Bytes::mib(4 * 1024),
            outputs: 64,
        }
    }
}

impl Limits {
    /// The most linear memory a guest can have: 65 536 pages of 64 KiB, what 32-bit WebAssembly can address.
    pub const MAX_GUEST_MEMORY: Bytes = Bytes::mib(4 * 1024);

    /// Refuses limits that no provider could grant.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let bounds = [
            ("guest-memory", self.guest_memory.get(), Limits::MAX_GUEST_MEMORY.get()),
            ("outputs", u64::from(self.outputs), MAX_OUTPUTS),
        ];
        match bounds.into_iter().find(|(_, found, maximum)| found > maximum) {
            Some((limit, found, maximum)) => Err(SpecError::Limit { limit, found, maximum }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_with_the_names_that_guests_see() {
        assert_eq!(
            serde_json::to_value(Limits::default()).unwrap(),
            serde_json::json!({
                "guest-memory": 1_073_741_824, "device-memory": 1_073_741_824,
                "fuel": 1_000_000_000_000u64, "kernel-fuel": 1_000_000_000_000_000u64,
                "output-bytes": 4_294_967_296u64, "outputs": 64,
            })
        );
    }

    #[test]
    fn a_profile_has_one_name_everywhere() {
        for profile in [Profile::Dp32, Profile::Native] {
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.to_string());
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert_eq!(
            "dp64".parse::<Profile>().unwrap_err().to_string(),
            "no profile is called \"dp64\"; the profiles of this version are: dp32, native"
        );
    }
}
