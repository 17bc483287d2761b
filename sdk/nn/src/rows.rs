//! Rows of weights, by number.

use isobit::{Batch, Buffer, Pod, Result, Zeroable};

use crate::network::{Call, length};
use crate::{Format, Network, Weights};

/// Looks up the rows of a matrix with the numbers in a buffer: the embeddings of tokens. A number beyond the last row gives zeros or
/// padding.
#[derive(Debug)]
pub struct Rows {
    call: Call,
    columns: u32,
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Shape {
    columns: u32,
}

impl Rows {
    /// Sets it up: row `wanted[i]` of the weights becomes row `i` of `out`.
    ///
    /// # Errors
    /// As [`isobit::BindGroupBuilder::create`].
    pub fn new(nn: &Network, weights: &Weights, wanted: &Buffer<u32>, out: &Buffer<f32>) -> Result<Self> {
        let has_least = f64::from(u8::from(weights.format == Format::Q4_1));
        let overrides = [("BITS", f64::from(weights.format.bits())), ("HAS_LEAST", has_least)];
        let kernel = nn.kernel(include_str!("rows.wgsl"), "look_up", &overrides)?;
        let shape = Shape { columns: length(weights.columns) };
        let call = Call::new(&kernel, |group| {
            let group = group.bind(0, &weights.words).bind(1, wanted).bind(2, out);
            group.uniform(3, &shape).bind(4, nn.step())
        })?;
        Ok(Self { call, columns: shape.columns })
    }

    /// Records it for the step's tokens.
    ///
    /// # Errors
    /// As [`isobit::Dispatch::record`].
    pub fn record(&self, batch: &mut Batch, tokens: u32) -> Result<()> {
        self.call.record(batch, self.columns, tokens)
    }
}
