//! Weights in device memory, as many bits each as the file has, in an order that suits the products.

use std::io::{Seek as _, SeekFrom};

use isobit::{Buffer, Input, Pod, Result, Zeroable};

use crate::Network;
use crate::network::{Call, length};

/// Bytes of the file that are on the device at a time in the file's order: 8 MiB.
const PIECE: usize = 8 << 20;

/// Rows that lie together on the device.
const TILE: usize = 32;

/// Invocations for the blocks of a row, as `repack.wgsl` has it.
const BLOCK_LANES: u32 = 64;

/// How weights are written down. The quantized ones are llama.cpp's: blocks of 32 weights that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// A scale in half precision, 32 signed bytes.
    Q8_0,
    /// A scale in half precision, 32 times 4 bits, of which 8 stands for zero.
    Q4_0,
    /// A scale and the least weight in half precision, 32 times 4 bits.
    Q4_1,
}

impl Format {
    /// Weights in a block.
    pub const fn block(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::F16 => 2,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 => 32,
        }
    }

    /// Bytes of a block in a file.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 4,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
        }
    }

    /// Bytes of a row in a file, if so many columns are whole blocks.
    pub const fn row_bytes(self, columns: usize) -> Option<usize> {
        if columns == 0 || columns % self.block() != 0 {
            return None;
        }
        (columns / self.block()).checked_mul(self.block_bytes())
    }

    /// Words of a block on the device.
    const fn words(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Q8_0 => 9,
            Self::Q4_0 | Self::Q4_1 => 5,
        }
    }

    /// Bytes of a block before its whole words.
    const fn header(self) -> u32 {
        match self {
            Self::F32 | Self::F16 => 0,
            Self::Q8_0 | Self::Q4_0 => 2,
            Self::Q4_1 => 4,
        }
    }

    /// Bits of a weight, without the scale.
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F16 => 16,
            Self::Q8_0 => 8,
            Self::Q4_0 | Self::Q4_1 => 4,
        }
    }
}

/// Rows that follow one another in an input.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Where they start, in bytes.
    pub offset: u64,
    /// How many there are.
    pub rows: usize,
}

/// A matrix of weights on the device.
#[derive(Debug)]
pub struct Weights {
    pub(crate) format: Format,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) words: Buffer<u32>,
}

/// Field by field as in `repack.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Shape {
    rows: u32,
    first: u32,
    blocks: u32,
}

impl Weights {
    /// Brings a matrix to the device, without its bytes passing through the guest's memory. Several parts, such as the matrices of
    /// queries, keys and values, become one below another.
    ///
    /// # Errors
    /// A message if a row is not made of whole blocks or the input ends before the last one;
    /// [`Error::OutOfMemory`](isobit::Error::OutOfMemory) and [`Error::LimitExceeded`](isobit::Error::LimitExceeded) if the device
    /// cannot hold it.
    pub fn load(nn: &Network, input: &mut Input, format: Format, columns: usize, parts: &[Part]) -> Result<Self> {
        let row_bytes = format.row_bytes(columns);
        let row_bytes = row_bytes.ok_or_else(|| format!("{columns} columns are no whole blocks of {format:?}"))?;
        let rows = parts.iter().fold(0_usize, |rows, part| rows.saturating_add(part.rows));
        let whole_tiles = rows.checked_next_multiple_of(TILE).unwrap_or(usize::MAX);
        let words = (columns / format.block()).saturating_mul(format.words()).saturating_mul(whole_tiles);
        let weights = Self { format, rows, columns, words: nn.gpu().buffer(words)? };
        let mut first = 0;
        for part in parts {
            weights.load_part(nn, input, *part, first, row_bytes)?;
            first += part.rows;
        }
        Ok(weights)
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows, rounded up to a multiple of 4: so long are the rows of a product with these weights.
    pub fn pitch(&self) -> usize {
        self.rows.next_multiple_of(4)
    }

    fn load_part(&self, nn: &Network, input: &mut Input, part: Part, first: usize, row_bytes: usize) -> Result<()> {
        let piece = (PIECE / row_bytes).clamp(1, part.rows.max(1));
        // Inputs are brought in whole words.
        let raw = nn.gpu().buffer::<u8>(piece.saturating_mul(row_bytes).next_multiple_of(4))?;
        let overrides =
            [("HEADER", f64::from(self.format.header())), ("WORDS", f64::from(length(self.format.words())))];
        let kernel = nn.kernel(include_str!("repack.wgsl"), "repack", &overrides)?;
        let blocks = length(self.columns / self.format.block());
        for start in (0..part.rows).step_by(piece) {
            let rows = piece.min(part.rows - start);
            let bytes = rows.saturating_mul(row_bytes);
            let skipped = u64::try_from(start.saturating_mul(row_bytes)).unwrap_or(u64::MAX);
            input.seek(SeekFrom::Start(part.offset.saturating_add(skipped)))?;
            if input.remaining() < u64::try_from(bytes).unwrap_or(u64::MAX) {
                return Err(format!("the input ends within the {} rows from byte {} on", part.rows, part.offset).into());
            }
            raw.slice(..bytes.next_multiple_of(4)).load_from(input)?;
            let shape = Shape { rows: length(rows), first: length(first + start), blocks };
            let call = Call::new(&kernel, |group| group.bind(0, &raw).bind(1, &self.words).uniform(2, &shape))?;
            let mut batch = nn.gpu().batch();
            call.record(&mut batch, shape.rows, blocks.min(BLOCK_LANES))?;
            batch.submit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_whole_blocks() {
        assert_eq!(Format::Q8_0.row_bytes(576), Some(612));
        assert_eq!(Format::Q4_1.row_bytes(576), Some(360));
        assert_eq!(Format::F16.row_bytes(6), Some(12));
        assert_eq!(Format::F16.row_bytes(7), None);
        assert_eq!(Format::Q4_0.row_bytes(33), None);
        assert_eq!(Format::F32.row_bytes(0), None);
        assert_eq!(Format::Q8_0.row_bytes(usize::MAX - 31), None);
    }
}
