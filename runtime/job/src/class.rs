//! The class of device that a job needs.

/// What a job needs of its device. Every device of a class shows a guest the same limits, so a job's class is part of its spec.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DeviceClass {
    /// WebGPU's default limits, which every device has: buffers of 256 MiB, storage bindings of 128 MiB.
    #[default]
    Base,
    /// As base, but buffers and storage bindings of 1 GiB.
    Large,
}

/// No device class has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no device class is called {found:?}; the classes of this version are: base, large")]
pub struct UnknownClass {
    /// The name found.
    pub found: String,
}

impl DeviceClass {
    /// All of them, the least demanding first.
    pub const ALL: [DeviceClass; 2] = [DeviceClass::Base, DeviceClass::Large];

    /// The class's name in job specs and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeviceClass::Base => "base",
            DeviceClass::Large => "large",
        }
    }
}

impl std::fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for DeviceClass {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<DeviceClass, UnknownClass> {
        let found = DeviceClass::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| UnknownClass { found: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_one_name_everywhere() {
        for class in DeviceClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.to_string());
            assert_eq!(class.to_string().parse(), Ok(class));
        }
        assert_eq!(
            "huge".parse::<DeviceClass>().unwrap_err().to_string(),
            "no device class is called \"huge\"; the classes of this version are: base, large"
        );
    }
}
