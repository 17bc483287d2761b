//! Reads the head of a GGUF file: its metadata, and where its tensors are. After the specification of the format
//! (ggml/docs/gguf.md), versions 2 and 3, little-endian.
//!
//! The file is a stranger's: all sizes are checked against what the file can hold before anything is allocated, and an error says at
//! which byte it was found.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

/// The most keys, tensors, and elements of an array of the metadata.
const MOST_ENTRIES: u64 = 1 << 20;

/// The longest name of a key or a tensor.
const MOST_NAME: u64 = 1 << 10;

/// The most bytes before the tensors' data: what is kept of them has to fit the guest's memory.
const MOST_HEAD: u64 = 128 << 20;

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The byte.
    at: u64,
    what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model is no GGUF file that can be read: byte {}: {}", self.at, self.what)
    }
}

/// A value of the metadata.
#[derive(Debug, PartialEq)]
pub enum Value {
    /// Any integer.
    Integer(i128),
    /// Any float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// An array of integers.
    Integers(Vec<i64>),
    /// An array of a kind that is not kept.
    Other,
}

/// A tensor's place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The number of its type in ggml.
    pub kind: u32,
    /// Its sides, the one along which it is contiguous first.
    pub shape: Vec<u64>,
    /// Where it starts, in bytes from the beginning of the file.
    pub offset: u64,
}

/// The head of a file.
#[derive(Debug, PartialEq)]
pub struct Gguf {
    /// The metadata.
    pub values: BTreeMap<String, Value>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// A file that is read from its start, and how far.
struct Reader<R> {
    source: R,
    at: u64,
    size: u64,
}

impl<R: Read> Reader<R> {
    fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong { at: self.at, what: what.into() }
    }

    /// Makes sure that so many bytes are left, before room is made for them.
    fn expect(&self, bytes: u64, what: &str) -> Result<usize, Wrong> {
        let left = self.size.min(MOST_HEAD).saturating_sub(self.at);
        let fits = usize::try_from(bytes).ok().filter(|_| bytes <= left);
        fits.ok_or_else(|| match self.size > MOST_HEAD {
            true => {
                self.wrong(format!("{what} of {bytes} bytes: at most {MOST_HEAD} bytes may come before the tensors"))
            }
            false => self.wrong(format!("the file ends within {what} of {bytes} bytes; it has {left} more")),
        })
    }

    fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>, Wrong> {
        let mut bytes = vec![0; self.expect(count, what)?];
        self.source.read_exact(&mut bytes).map_err(|error| self.failed(&error, what))?;
        self.at += count;
        Ok(bytes)
    }

    fn failed(&self, error: &io::Error, what: &str) -> Wrong {
        self.wrong(format!("cannot read {what}: {error}"))
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Wrong> {
        let mut bytes = [0; N];
        let count = u64::try_from(N).unwrap_or(u64::MAX);
        self.expect(count, what)?;
        self.source.read_exact(&mut bytes).map_err(|error| self.failed(&error, what))?;
        self.at += count;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, Wrong> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, Wrong> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn count(&mut self, most: u64, what: &str) -> Result<u64, Wrong> {
        let start = self.at;
        let count = self.u64(what)?;
        match count <= most {
            true => Ok(count),
            false => Err(Wrong { at: start, what: format!("{what} is {count}, at most {most} are read") }),
        }
    }

    fn text(&mut self, most: u64, what: &str) -> Result<String, Wrong> {
        let length = self.count(most, &format!("the length of {what}"))?;
        let start = self.at;
        String::from_utf8(self.bytes(length, what)?)
            .map_err(|error| Wrong { at: start, what: format!("{what} is no UTF-8: {error}") })
    }

    /// A value of a type that has a fixed size.
    fn scalar(&mut self, kind: u32, what: &str) -> Result<Value, Wrong> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array(what)?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array(what)?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array(what)?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array(what)?).into()),
            4 => Value::Integer(self.u32(what)?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array(what)?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array(what)?).into()),
            7 => Value::Bool(self.array::<1>(what)? != [0]),
            10 => Value::Integer(self.u64(what)?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array(what)?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array(what)?)),
            _ => return Err(self.wrong(format!("{what} has the unknown type {kind}"))),
        })
    }

    fn value(&mut self, what: &str) -> Result<Value, Wrong> {
        match self.u32(what)? {
            8 => Ok(Value::Text(self.text(MOST_HEAD, what)?)),
            9 => self.values(what),
            kind => self.scalar(kind, what),
        }
    }

    fn values(&mut self, what: &str) -> Result<Value, Wrong> {
        let kind = self.u32(what)?;
        let count = self.count(MOST_ENTRIES, &format!("the number of elements of {what}"))?;
        // A text has at least its length, and any other element a byte.
        let room = self.expect(count.saturating_mul(if kind == 8 { 8 } else { 1 }), what)?;
        match kind {
            8 => {
                let mut texts = Vec::with_capacity(room / 8);
                for _ in 0..count {
                    texts.push(self.text(MOST_HEAD, what)?);
                }
                Ok(Value::Texts(texts))
            }
            9 => Err(self.wrong(format!("{what} is an array of arrays"))),
            kind => {
                let mut numbers = Vec::new();
                for _ in 0..count {
                    if let Value::Integer(number) = self.scalar(kind, what)? {
                        numbers.extend(i64::try_from(number));
                    }
                }
                let is_whole = u64::try_from(numbers.len()) == Ok(count);
                Ok(if is_whole { Value::Integers(numbers) } else { Value::Other })
            }
        }
    }

    /// A tensor's name and what is said of it; its offset is still relative to the first tensor.
    fn tensor(&mut self) -> Result<(String, Tensor), Wrong> {
        let name = self.text(MOST_NAME, "a tensor's name")?;
        let what = format!("tensor `{name}`");
        let sides = self.u32(&what)?;
        if !(1..=4).contains(&sides) {
            return Err(self.wrong(format!("{what} has {sides} dimensions; there may be 1 to 4")));
        }
        let mut shape = Vec::new();
        for _ in 0..sides {
            shape.push(self.u64(&what)?);
        }
        let kind = self.u32(&what)?;
        let offset = self.u64(&what)?;
        Ok((name, Tensor { kind, shape, offset }))
    }
}

/// Reads the head of a file of `size` bytes.
pub fn read(source: impl Read, size: u64) -> Result<Gguf, Wrong> {
    let mut reader = Reader { source, at: 0, size };
    let magic: [u8; 4] = reader.array("the magic number")?;
    if &magic != b"GGUF" {
        return Err(Wrong { at: 0, what: format!("it starts with \"{}\" instead of \"GGUF\"", magic.escape_ascii()) });
    }
    let version = reader.u32("the version")?;
    if !(2..=3).contains(&version) {
        return Err(Wrong { at: 4, what: format!("version {version:#x}; versions 2 and 3 are read, little-endian") });
    }
    let tensor_count = reader.count(MOST_ENTRIES, "the number of tensors")?;
    let value_count = reader.count(MOST_ENTRIES, "the number of keys")?;
    let mut values = BTreeMap::new();
    for _ in 0..value_count {
        let start = reader.at;
        let key = reader.text(MOST_NAME, "a key")?;
        let value = reader.value(&format!("`{key}`"))?;
        if values.insert(key.clone(), value).is_some() {
            return Err(Wrong { at: start, what: format!("`{key}` is there twice") });
        }
    }
    let mut tensors = BTreeMap::new();
    for _ in 0..tensor_count {
        let start = reader.at;
        let (name, tensor) = reader.tensor()?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(Wrong { at: start, what: format!("tensor `{name}` is there twice") });
        }
    }
    place(&mut tensors, &values, reader.at)?;
    Ok(Gguf { values, tensors })
}

/// Makes offsets count from the beginning of the file: the tensors' data starts after the head, aligned.
fn place(tensors: &mut BTreeMap<String, Tensor>, values: &BTreeMap<String, Value>, head: u64) -> Result<(), Wrong> {
    let wrong = |what: String| Wrong { at: head, what };
    let alignment = match values.get("general.alignment") {
        None => 32,
        Some(Value::Integer(alignment)) => u64::try_from(*alignment).unwrap_or(0),
        Some(_) => 0,
    };
    if !alignment.is_power_of_two() || !(8..=1 << 16).contains(&alignment) {
        return Err(wrong(format!("`general.alignment` is {alignment}; it has to be a power of two from 8 to 65536")));
    }
    let data = head.next_multiple_of(alignment);
    for (name, tensor) in tensors {
        if tensor.offset % alignment != 0 {
            return Err(wrong(format!(
                "tensor `{name}` starts at {}, which is not aligned to {alignment}",
                tensor.offset
            )));
        }
        let offset = data.checked_add(tensor.offset);
        tensor.offset = offset.ok_or_else(|| wrong(format!("tensor `{name}` starts at {}", tensor.offset)))?;
    }
    Ok(())
}

impl Gguf {
    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Result<&str, String> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(format!("the model's `{key}` is no text")),
            None => Err(format!("the model has no `{key}`")),
        }
    }

    /// A number of the metadata from 1 to `most`.
    pub fn size(&self, key: &str, most: i128) -> Result<usize, String> {
        match self.values.get(key) {
            Some(Value::Integer(number)) if (1..=most).contains(number) => {
                usize::try_from(*number).map_err(|error| format!("the model's `{key}`: {error}"))
            }
            Some(Value::Integer(number)) => {
                Err(format!("the model's `{key}` is {number}; 1 to {most} can be computed with"))
            }
            Some(_) => Err(format!("the model's `{key}` is no whole number")),
            None => Err(format!("the model has no `{key}`")),
        }
    }

    /// A float of the metadata that is positive and finite, if it is there.
    pub fn float(&self, key: &str) -> Option<Result<f64, String>> {
        Some(match self.values.get(key)? {
            Value::Float(number) if number.is_finite() && *number > 0.0 => Ok(*number),
            _ => Err(format!("the model's `{key}` is no positive number")),
        })
    }

    /// The number of a token in the metadata, if it is there and there is such a token.
    pub fn token(&self, key: &str, count: usize) -> Option<u32> {
        let Some(Value::Integer(number)) = self.values.get(key) else { return None };
        u32::try_from(*number).ok().filter(|token| usize::try_from(*token).is_ok_and(|token| token < count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&text(key)[..], &kind.to_le_bytes(), value].concat()
    }

    fn array(kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat()
    }

    fn tensor(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
        let shape_bytes: Vec<u8> = shape.iter().flat_map(|side| side.to_le_bytes()).collect();
        let sides = u32::try_from(shape.len()).unwrap().to_le_bytes();
        [&text(name)[..], &sides, &shape_bytes, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
    }

    /// A file of one of each: keys, tensors.
    fn file(entries: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
        let counts = [(tensors.len() as u64).to_le_bytes(), (entries.len() as u64).to_le_bytes()].concat();
        [b"GGUF\x03\0\0\0".as_slice(), &counts, &entries.concat(), &tensors.concat()].concat()
    }

    fn small() -> Vec<u8> {
        let entries = [
            entry("general.architecture", 8, &text("llama")),
            entry("general.alignment", 4, &64_u32.to_le_bytes()),
            entry("a.float", 6, &1.5_f32.to_le_bytes()),
            entry("a.truth", 7, &[1]),
            entry("texts", 9, &array(8, 2, &[text("ab"), text("")].concat())),
            entry("numbers", 9, &array(5, 2, &[(-1_i32).to_le_bytes(), 7_i32.to_le_bytes()].concat())),
            entry("floats", 9, &array(6, 1, &2_f32.to_le_bytes())),
        ];
        file(&entries, &[tensor("a", &[32, 2], 8, 0), tensor("b", &[4], 0, 128)])
    }

    fn parse(bytes: &[u8]) -> Result<Gguf, Wrong> {
        read(bytes, bytes.len() as u64)
    }

    #[test]
    fn a_head_is_read() {
        let bytes = small();
        let gguf = parse(&bytes).unwrap();
        assert_eq!(gguf.text("general.architecture"), Ok("llama"));
        assert_eq!(gguf.float("a.float"), Some(Ok(1.5)));
        assert_eq!(gguf.values["a.truth"], Value::Bool(true));
        assert_eq!(gguf.values["texts"], Value::Texts(vec!["ab".to_owned(), String::new()]));
        assert_eq!(gguf.values["numbers"], Value::Integers(vec![-1, 7]));
        assert_eq!(gguf.values["floats"], Value::Other);
        let data = (bytes.len() as u64).next_multiple_of(64);
        assert_eq!(gguf.tensors["a"], Tensor { kind: 8, shape: vec![32, 2], offset: data });
        assert_eq!(gguf.tensors["b"].offset, data + 128);
    }

    #[test]
    fn a_file_that_ends_too_soon_is_refused_with_the_byte() {
        let bytes = small();
        for end in 0..bytes.len() {
            let error = parse(&bytes[..end]).unwrap_err();
            assert!(error.at <= end as u64 && error.to_string().contains(&format!("byte {}", error.at)), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
        assert!(error(b"PK\x03\x04").contains("it starts with \"PK\\x03\\x04\""));
        assert!(error(b"GGUF\0\0\0\x03").contains("byte 4: version 0x3000000"));
        let huge = u64::MAX.to_le_bytes();
        let with = |entries: &[Vec<u8>]| error(&file(entries, &[]));
        assert!(with(&[entry("k", 8, &huge)]).contains("byte 37: the length of `k` is 18446744073709551615"));
        assert!(with(&[entry("k", 9, &array(4, u64::MAX, &[]))]).contains("the number of elements of `k`"));
        assert!(with(&[entry("k", 9, &array(8, 1 << 20, &[]))]).contains("the file ends within `k`"));
        assert!(with(&[entry("k", 9, &array(9, 1, &[0; 16]))]).contains("`k` is an array of arrays"));
        assert!(with(&[entry("k", 13, &[])]).contains("`k` has the unknown type 13"));
        assert!(with(&[entry("k", 8, &[&1_u64.to_le_bytes()[..], b"\xff"].concat())]).contains("`k` is no UTF-8"));
        let twice = entry("k", 7, &[1]);
        assert!(with(&[twice.clone(), twice]).contains("`k` is there twice"));
        let odd = entry("general.alignment", 4, &33_u32.to_le_bytes());
        assert!(with(&[odd]).contains("`general.alignment` is 33"));
        let tensors = |tensors: &[Vec<u8>]| error(&file(&[], tensors));
        assert!(tensors(&[tensor("t", &[], 0, 0)]).contains("tensor `t` has 0 dimensions"));
        assert!(tensors(&[tensor("t", &[1], 0, 1)]).contains("tensor `t` starts at 1"));
        assert!(tensors(&[tensor("t", &[1], 0, u64::MAX - 31)]).contains("tensor `t` starts at"));
        assert!(tensors(&[tensor("t", &[1], 0, 0), tensor("t", &[1], 0, 0)]).contains("tensor `t` is there twice"));
    }

    #[test]
    fn no_change_of_a_byte_does_harm() {
        let bytes = small();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 4] {
                let mut changed = bytes.clone();
                changed[at] = value;
                // What is read is bounded by what there is.
                if let Ok(gguf) = parse(&changed) {
                    assert!(gguf.values.len() <= 7 && gguf.tensors.len() <= 2);
                }
            }
        }
    }
}
