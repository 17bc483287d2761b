//! What a model looks like, from the metadata of its file, and which of its tensors are which.

use std::collections::BTreeSet;

use isobit_nn::{Format, Part};

use crate::gguf::{Gguf, Tensor, Value};

/// The shape of a model of the architecture `llama`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Layers.
    pub layers: usize,
    /// Elements of the vector that stands for a token, from layer to layer.
    pub width: usize,
    /// Elements within the feed-forward part of a layer.
    pub inner: usize,
    /// Heads that ask.
    pub heads: usize,
    /// Heads that answer.
    pub key_heads: usize,
    /// Elements of a head.
    pub dimension: usize,
    /// Elements of a head that are turned by their position.
    pub turned: usize,
    /// By what positions turn: see [`isobit_nn::Attention::turns`].
    pub base: f64,
    /// What norms add to the mean of the squares.
    pub epsilon: f32,
    /// Tokens that the model has learned to look at.
    pub context: usize,
}

/// The most layers, and the most elements of a vector: far beyond what a job's limits let in, and nothing overflows.
const MOST_LAYERS: i128 = 1 << 10;
const MOST_ELEMENTS: i128 = 1 << 17;

impl Config {
    /// Takes it from the metadata.
    pub fn new(gguf: &Gguf) -> Result<Self, String> {
        match gguf.text("general.architecture")? {
            "llama" => {}
            other => return Err(format!("the model's architecture is `{other}`; this workload runs `llama`")),
        }
        if let Some(Value::Text(kind)) = gguf.values.get("llama.rope.scaling.type") {
            if kind != "none" {
                return Err(format!("`llama.rope.scaling.type` is `{kind}`; only `none` is known"));
            }
        }
        let size = |key: &str| gguf.size(key, MOST_ELEMENTS);
        let or = |key: &str, other: usize| if gguf.values.contains_key(key) { size(key) } else { Ok(other) };
        let (width, heads) = (size("llama.embedding_length")?, size("llama.attention.head_count")?);
        let dimension = or("llama.attention.key_length", width / heads)?;
        let config = Self {
            layers: gguf.size("llama.block_count", MOST_LAYERS)?,
            width,
            inner: size("llama.feed_forward_length")?,
            heads,
            key_heads: or("llama.attention.head_count_kv", heads)?,
            dimension,
            turned: or("llama.rope.dimension_count", dimension)?,
            base: gguf.float("llama.rope.freq_base").unwrap_or(Ok(10_000.0))?,
            #[expect(clippy::cast_possible_truncation, reason = "files have it in single precision")]
            epsilon: gguf.float("llama.attention.layer_norm_rms_epsilon").ok_or("the norms' epsilon is missing")??
                as f32,
            context: size("llama.context_length")?,
        };
        if or("llama.attention.value_length", dimension)? != dimension {
            return Err("keys and values of different length are not known".to_owned());
        }
        for (what, size) in [("embedding_length", width), ("feed_forward_length", config.inner)] {
            if size % 32 != 0 {
                return Err(format!("`llama.{what}` is {size}; it has to be a multiple of 32"));
            }
        }
        if heads.saturating_mul(dimension) % 32 != 0 {
            return Err(format!("{heads} heads of {dimension} elements: together they have to be a multiple of 32"));
        }
        Ok(config)
    }
}

/// The tensors of a file, each to be taken once.
pub struct Tensors<'a> {
    gguf: &'a Gguf,
    size: u64,
    taken: BTreeSet<&'a str>,
}

/// Where a matrix is in the file.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// How its weights are written down.
    pub format: Format,
    /// Elements in a row.
    pub columns: usize,
    /// Where its rows are.
    pub part: Part,
}

impl<'a> Tensors<'a> {
    /// Those of a file of `size` bytes.
    pub fn new(gguf: &'a Gguf, size: u64) -> Self {
        Self { gguf, size, taken: BTreeSet::new() }
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.gguf.tensors.contains_key(name)
    }

    /// Rows of a matrix that has this many columns.
    pub fn rows(&self, name: &str, columns: usize) -> Result<usize, String> {
        let tensor = self.gguf.tensors.get(name).ok_or_else(|| format!("the model has no tensor `{name}`"))?;
        match tensor.shape.as_slice() {
            [along, rows] if u64::try_from(columns) == Ok(*along) => {
                let most = usize::try_from(MOST_ELEMENTS).unwrap_or(usize::MAX).saturating_mul(8);
                let rows = usize::try_from(*rows).ok().filter(|rows| (1..=most).contains(rows));
                rows.ok_or_else(|| format!("tensor `{name}` has {:?} elements", tensor.shape))
            }
            shape => Err(format!("tensor `{name}` has {shape:?} elements; {columns} in a row were expected")),
        }
    }

    /// A matrix of this shape.
    pub fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, String> {
        let found = self.rows(name, columns)?;
        if found != rows {
            return Err(format!("tensor `{name}` has {found} rows; {rows} were expected"));
        }
        let (tensor, format) = self.take(name)?;
        let row = format.row_bytes(columns);
        let row = row
            .ok_or_else(|| format!("tensor `{name}`: {columns} elements in a row are no whole blocks of {format:?}"))?;
        self.within(name, tensor.offset, rows.checked_mul(row))?;
        Ok(Matrix { format, columns, part: Part { offset: tensor.offset, rows } })
    }

    /// Where a vector of so many f32 is.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<u64, String> {
        let (tensor, format) = self.take(name)?;
        if format != Format::F32 || tensor.shape != [u64::try_from(len).unwrap_or(u64::MAX)] {
            return Err(format!(
                "tensor `{name}` is {format:?} of {:?} elements; {len} F32 were expected",
                tensor.shape
            ));
        }
        self.within(name, tensor.offset, len.checked_mul(4))?;
        Ok(tensor.offset)
    }

    /// Refuses a file with tensors that nobody took: without them the model would say something else.
    pub fn finish(&self) -> Result<(), String> {
        match self.gguf.tensors.keys().find(|name| !self.taken.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(format!("the model has a tensor `{name}`, which this workload does not know")),
        }
    }

    fn take(&mut self, name: &str) -> Result<(&'a Tensor, Format), String> {
        let found = self.gguf.tensors.get_key_value(name);
        let (name, tensor) = found.ok_or_else(|| format!("the model has no tensor `{name}`"))?;
        self.taken.insert(name);
        let format = match tensor.kind {
            0 => Format::F32,
            1 => Format::F16,
            2 => Format::Q4_0,
            3 => Format::Q4_1,
            8 => Format::Q8_0,
            other => {
                return Err(format!(
                    "tensor `{name}` is of type {}; F32, F16, Q8_0, Q4_0 and Q4_1 can be computed with",
                    type_name(other)
                ));
            }
        };
        Ok((tensor, format))
    }

    fn within(&self, name: &str, offset: u64, bytes: Option<usize>) -> Result<(), String> {
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
        let end = bytes.and_then(|bytes| offset.checked_add(bytes));
        match end {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(format!(
                "tensor `{name}` starts at byte {offset} and does not end within the file's {} bytes",
                self.size
            )),
        }
    }
}

/// How ggml calls a type.
fn type_name(kind: u32) -> String {
    const NAMES: [(u32, &str); 10] = [
        (6, "Q5_0"),
        (7, "Q5_1"),
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (12, "Q4_K"),
        (13, "Q5_K"),
        (14, "Q6_K"),
        (15, "Q8_K"),
        (30, "BF16"),
    ];
    NAMES.iter().find(|(number, _)| *number == kind).map_or_else(|| format!("{kind}"), |(_, name)| (*name).to_owned())
}
