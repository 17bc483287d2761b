//! What a workload declares: the parameters and inputs that it takes, and the outputs that it makes.
//!
//! The SDK's `isobit::takes!` writes it as lines of text into a custom section of the module, which a renter can read without
//! running anything: `param radius of the blur in pixels`. Malformed lines are skipped, because the section is only a help.

use isobit_job::{MAX_INPUTS, MAX_PARAMS, Name};
use std::collections::BTreeMap;

/// The custom section's name.
pub(crate) const SECTION: &str = "isobit:takes";

/// The most bytes of a section that are read: 768 names * 85 B, roughly.
const MAX_BYTES: usize = 64 << 10;

/// The most bytes of one description.
const MAX_DESCRIPTION: usize = 256;

/// Names with a description each. An empty map declares nothing: the workload may then take any name of that kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// The parameters that the workload looks at.
    pub params: BTreeMap<Name, String>,
    /// The inputs that it opens.
    pub inputs: BTreeMap<Name, String>,
    /// The outputs that it creates.
    pub outputs: BTreeMap<Name, String>,
}

impl Takes {
    /// Whether the workload declares nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.params.is_empty() && self.inputs.is_empty() && self.outputs.is_empty()
    }

    /// Adds the names of a section.
    pub(crate) fn read(&mut self, section: &[u8]) {
        let section = section.get(..MAX_BYTES).unwrap_or(section);
        for line in String::from_utf8_lossy(section).lines() {
            self.read_line(line);
        }
    }

    fn read_line(&mut self, line: &str) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, description) = rest.split_once(' ').unwrap_or((rest, ""));
        let Ok(name) = name.parse::<Name>() else { return };
        let (names, most) = match kind {
            "param" => (&mut self.params, MAX_PARAMS),
            "input" => (&mut self.inputs, MAX_INPUTS),
            "output" => (&mut self.outputs, MAX_INPUTS),
            _ => return,
        };
        if names.len() < most || names.contains_key(&name) {
            names.insert(name, crate::job::cut(description.trim(), MAX_DESCRIPTION).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Takes {
        let mut takes = Takes::default();
        takes.read(text);
        takes
    }

    #[test]
    fn each_line_names_one_thing() {
        let takes = read(b"param radius of the blur, in pixels\ninput photo a PNG\noutput out\n");
        assert_eq!(takes.params, [("radius".parse().unwrap(), "of the blur, in pixels".to_owned())].into());
        assert_eq!(takes.inputs, [("photo".parse().unwrap(), "a PNG".to_owned())].into());
        assert_eq!(takes.outputs, [("out".parse().unwrap(), String::new())].into());
    }

    #[test]
    fn what_is_malformed_or_too_much_is_passed_over() {
        assert!(read(b"").is_empty());
        assert!(read(b"param\nparam \nparam ../x y\nmagic wand\n\xff\xfe\n").is_empty());
        let many: String = (0..10_000).map(|i| format!("param p{i}\n")).collect();
        assert_eq!(read(many.as_bytes()).params.len(), MAX_PARAMS);
        let long = format!("input a {}\n", "\u{20ac}".repeat(1000));
        assert!(read(long.as_bytes()).inputs.values().all(|text| text.len() <= MAX_DESCRIPTION));
    }
}
