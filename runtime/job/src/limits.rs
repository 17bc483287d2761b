//! What a job may use, and the arithmetic rules it runs under.

use crate::{Bytes, Fuel, MAX_OUTPUTS, SpecError};

/// The arithmetic rules that a job runs under.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Profile {
    /// Every floating-point result is defined bit by bit, so that a job has the same outputs on every device.
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

/// The arithmetic rules that a run went by, as its claim states them: the profile, and of dp32 the version of the pass that
/// rewrote the kernels. Another version may give other bits or another cost.
///
/// Written as `native` or, for version 1 of the pass, `dp32/1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rules {
    /// Profile dp32.
    Dp32 {
        /// The version of the pass.
        pass_version: u32,
    },
    /// Profile native.
    Native,
}

impl Rules {
    /// The rules of runs in this profile, where kernels are rewritten by this version of the pass.
    pub const fn of(profile: Profile, pass_version: u32) -> Rules {
        match profile {
            Profile::Dp32 => Rules::Dp32 { pass_version },
            Profile::Native => Rules::Native,
        }
    }

    /// The profile that a job spec asks for to have these rules.
    pub const fn profile(self) -> Profile {
        match self {
            Rules::Dp32 { .. } => Profile::Dp32,
            Rules::Native => Profile::Native,
        }
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rules::Dp32 { pass_version } => write!(f, "dp32/{pass_version}"),
            Rules::Native => f.write_str("native"),
        }
    }
}

impl From<Rules> for String {
    fn from(rules: Rules) -> String {
        rules.to_string()
    }
}

impl TryFrom<String> for Rules {
    type Error = UnknownRules;

    fn try_from(text: String) -> Result<Rules, UnknownRules> {
        text.parse()
    }
}

impl std::str::FromStr for Rules {
    type Err = UnknownRules;

    fn from_str(text: &str) -> Result<Rules, UnknownRules> {
        let unknown = || UnknownRules { found: text.to_owned() };
        let rules = match text.strip_prefix("dp32/") {
            Some(version) => Rules::Dp32 { pass_version: version.parse().map_err(|_| unknown())? },
            None if text == "native" => Rules::Native,
            None => return Err(unknown()),
        };
        // One spelling each: neither `dp32/01` nor `dp32/+1`.
        if rules.to_string() == text { Ok(rules) } else { Err(unknown()) }
    }
}

/// No arithmetic rules are written like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no arithmetic rules are called {found:?}; this version knows native, and dp32 with the pass's version, as in dp32/1"
)]
pub struct UnknownRules {
    /// The text found.
    pub found: String,
}

/// What a job may use. Part of the job spec, so that a job meets the same limits on every provider.
///
/// The names that guests and users see are those of the fields with `-` for `_`.
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

    #[test]
    fn rules_have_one_spelling() {
        for rules in [Rules::Native, Rules::Dp32 { pass_version: 0 }, Rules::Dp32 { pass_version: u32::MAX }] {
            assert_eq!(rules.to_string().parse(), Ok(rules));
        }
        assert_eq!(Rules::Dp32 { pass_version: 12 }.to_string(), "dp32/12");
        let strange = ["", "dp32", "dp32/", "dp32/01", "dp32/+1", "dp32/-1", "dp32/1/2", "dp32/4294967296", "native/1"];
        for text in strange {
            assert_eq!(text.parse::<Rules>().unwrap_err().found, text);
        }
    }
}
