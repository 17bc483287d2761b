//! The rules of a run, as its claim states them.

use crate::Profile;

/// Everything besides the job that a run's outputs and cost depend on. Claims under different rules are not comparable.
///
/// Written as `dp32/2 sandbox/1` or `native sandbox/1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rules {
    /// The rules for kernels.
    pub kernels: KernelRules,
    /// The version of the sandbox's semantics: what a guest sees of its host, and how its fuel is counted.
    pub sandbox: u32,
}

/// The rules for kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelRules {
    /// Profile dp32.
    Dp32 {
        /// The version of the pass that rewrites kernels.
        pass_version: u32,
    },
    /// Profile native.
    Native,
}

impl Rules {
    /// The rules of a run under this profile, with these versions of the pass and of the sandbox. `native` has no pass version.
    pub const fn of(profile: Profile, pass_version: u32, sandbox: u32) -> Rules {
        let kernels = match profile {
            Profile::Dp32 => KernelRules::Dp32 { pass_version },
            Profile::Native => KernelRules::Native,
        };
        Rules { kernels, sandbox }
    }

    /// The profile that these rules belong to.
    pub const fn profile(self) -> Profile {
        match self.kernels {
            KernelRules::Dp32 { .. } => Profile::Dp32,
            KernelRules::Native => Profile::Native,
        }
    }
}

impl std::fmt::Display for KernelRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KernelRules::Dp32 { pass_version } => write!(f, "dp32/{pass_version}"),
            KernelRules::Native => f.write_str("native"),
        }
    }
}

impl serde::Serialize for KernelRules {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} sandbox/{}", self.kernels, self.sandbox)
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
        let (kernels, sandbox) = text.split_once(" sandbox/").ok_or_else(unknown)?;
        let kernels = match kernels.strip_prefix("dp32/") {
            Some(version) => KernelRules::Dp32 { pass_version: version.parse().map_err(|_| unknown())? },
            None if kernels == "native" => KernelRules::Native,
            None => return Err(unknown()),
        };
        let rules = Rules { kernels, sandbox: sandbox.parse().map_err(|_| unknown())? };
        // Only one spelling is accepted: not `dp32/01`, not `dp32/+1`.
        if rules.to_string() == text { Ok(rules) } else { Err(unknown()) }
    }
}

/// The text is not the name of any rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no rules are called {found:?}; they are written as in `dp32/2 sandbox/1` or `native sandbox/1`")]
pub struct UnknownRules {
    /// The text found.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_one_spelling() {
        for kernels in
            [KernelRules::Native, KernelRules::Dp32 { pass_version: 0 }, KernelRules::Dp32 { pass_version: u32::MAX }]
        {
            for sandbox in [0, 1, u32::MAX] {
                let rules = Rules { kernels, sandbox };
                assert_eq!(rules.to_string().parse(), Ok(rules));
            }
        }
        assert_eq!(Rules::of(Profile::Dp32, 12, 3).to_string(), "dp32/12 sandbox/3");
        let strange = [
            "",
            "dp32",
            "dp32/1",
            "native",
            "dp32/ sandbox/1",
            "dp32/01 sandbox/1",
            "dp32/+1 sandbox/1",
            "dp32/1 sandbox/01",
            "dp32/1 sandbox/",
            "dp32/1  sandbox/1",
            "dp32/4294967296 sandbox/1",
            "native/1 sandbox/1",
            "dp32/1 sandbox/-1",
        ];
        for text in strange {
            assert_eq!(text.parse::<Rules>().unwrap_err().found, text);
        }
    }
}
