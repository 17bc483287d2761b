//! A binding on the command line, and what it holds at first.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use isobit_job::{Bytes, Name, NameError};
use isobit_shader::Binding;

use crate::failure::Failure;

/// A place for a buffer: group and binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    group: u32,
    binding: u32,
}

impl Slot {
    /// That of a kernel's binding.
    pub fn of(binding: &Binding) -> Self {
        Self { group: binding.group, binding: binding.binding }
    }

    /// The name of the input or output that is bound there.
    pub fn name(self) -> Result<Name, NameError> {
        self.to_string().parse()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.group, self.binding)
    }
}

impl FromStr for Slot {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (group, binding) = text.split_once('.').unwrap_or(("0", text));
        Ok(Self { group: group.parse()?, binding: binding.parse()? })
    }
}

/// What a buffer holds at first.
#[derive(Clone, Debug, PartialEq)]
pub enum Contents {
    /// The bytes of a file.
    File(PathBuf),
    /// So many bytes of zeros.
    Zeros(u64),
    /// Numbers of 4 bytes each.
    Words(Vec<u8>),
}

impl Contents {
    /// How many bytes they are.
    ///
    /// # Errors
    /// The file cannot be looked at, or is none.
    pub fn size(&self) -> Result<u64, Failure> {
        match self {
            Self::File(path) => match std::fs::metadata(path) {
                Ok(found) if found.is_file() => Ok(found.len()),
                Ok(_) => Err(Failure::new(format!("{} is not a regular file", path.display()))
                    .hint("write what it holds to a file, and bind that")),
                Err(error) => Err(Failure::new(format!("cannot read {}: {error}", path.display()))
                    .hint("bind a file, zeros:BYTES, or numbers as in f32:1,0.5")),
            },
            Self::Zeros(bytes) => Ok(*bytes),
            Self::Words(bytes) => Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        }
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Zeros(_) => f.write_str("the zeros"),
            Self::Words(_) => f.write_str("the list of numbers"),
        }
    }
}

/// What is bound to a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    pub slot: Slot,
    pub contents: Contents,
}

/// Reads `[GROUP.]N=WHAT`.
pub fn bind(text: &str) -> Result<Bind, String> {
    let (slot, what) = text.split_once('=').ok_or("expected [GROUP.]N=WHAT, such as 0=in.bin or 1=zeros:4096")?;
    let slot = slot.parse().map_err(|_| format!("`{slot}` is no binding: write its number, or GROUP.NUMBER"))?;
    Ok(Bind { slot, contents: contents(what)? })
}

fn contents(what: &str) -> Result<Contents, String> {
    let (kind, list) = what.split_once(':').unwrap_or(("", what));
    match kind {
        "zeros" => {
            let bytes = list.parse::<Bytes>().map_err(|error| error.to_string())?.get();
            if bytes % 4 != 0 {
                return Err(format!("{bytes} bytes are no whole words: write a multiple of 4"));
            }
            Ok(Contents::Zeros(bytes))
        }
        "f32" => words::<f32>(list, |number| number.to_le_bytes()),
        "i32" => words::<i32>(list, |number| number.to_le_bytes()),
        "u32" => words::<u32>(list, |number| number.to_le_bytes()),
        _ if what.is_empty() => Err("what does it hold? A file, zeros:BYTES, or numbers as in f32:1,0.5".to_owned()),
        _ => Ok(Contents::File(PathBuf::from(what))),
    }
}

fn words<T: FromStr>(list: &str, bytes: impl Fn(T) -> [u8; 4]) -> Result<Contents, String> {
    let number = |text: &str| {
        let parsed = text.trim().parse().map(&bytes);
        parsed.map_err(|_| format!("`{text}` is no number of this type"))
    };
    let words = list.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(Contents::Words(words.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_read_with_what_it_holds() {
        let bound = |text: &str| bind(text).map(|Bind { slot, contents }| (slot.to_string(), contents));
        assert_eq!(bound("0=in.bin"), Ok(("0.0".to_owned(), Contents::File("in.bin".into()))));
        assert_eq!(bound("2.7=./zeros:8"), Ok(("2.7".to_owned(), Contents::File("./zeros:8".into()))));
        assert_eq!(bound("1=zeros:4KiB"), Ok(("0.1".to_owned(), Contents::Zeros(4096))));
        let words = Contents::Words([1.0_f32.to_le_bytes(), (-0.5_f32).to_le_bytes()].concat());
        assert_eq!(bound("1=f32:1, -0.5"), Ok(("0.1".to_owned(), words)));
        assert_eq!(bound("1=i32:-1"), Ok(("0.1".to_owned(), Contents::Words(vec![255; 4]))));
        for text in
            ["0", "=a", "x=a", "0=", "0=zeros:3", "0=zeros:", "0=u32:-1", "0=u32:", "0=f32:1,,2", "-1=a", "1.2.3=a"]
        {
            assert!(bound(text).is_err(), "{text}");
        }
    }
}
