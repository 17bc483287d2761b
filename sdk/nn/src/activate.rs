//! What comes before a product: activations, as they are, normalized or gated, in both forms that products take.

use isobit::{Batch, Buffer, Pod, Result, Zeroable};

use crate::Network;
use crate::network::{Call, length};

/// Values in a block that share a scale.
const BLOCK: usize = 32;

/// Rows of activations, in f32 and in blocks of 32 integers of 16 bits with a scale each.
#[derive(Debug)]
pub struct Activations {
    pub(crate) columns: usize,
    pub(crate) values: Buffer<f32>,
    pub(crate) quants: Buffer<[u32; 4]>,
    pub(crate) scales: Buffer<[f32; 2]>,
}

impl Activations {
    /// Room for as many rows. There are some rows more in memory, since products take 4 at a time.
    ///
    /// # Errors
    /// A message unless `columns` is a multiple of 32; [`Error::OutOfMemory`](isobit::Error::OutOfMemory) over the job's device
    /// memory.
    pub fn new(nn: &Network, rows: usize, columns: usize) -> Result<Self> {
        if columns == 0 || columns % BLOCK != 0 {
            return Err(format!("rows of {columns} activations are no whole blocks of {BLOCK}").into());
        }
        let blocks = rows.next_multiple_of(4).saturating_mul(columns / BLOCK);
        Ok(Self {
            columns,
            values: nn.gpu().buffer(blocks.saturating_mul(BLOCK))?,
            quants: nn.gpu().buffer(blocks.saturating_mul(4))?,
            scales: nn.gpu().buffer(blocks)?,
        })
    }

    /// The values in f32, row by row.
    pub fn values(&self) -> &Buffer<f32> {
        &self.values
    }

    fn blocks(&self) -> u32 {
        length(self.columns / BLOCK)
    }
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Shape {
    blocks: u32,
    epsilon: f32,
}

fn call(
    nn: &Network,
    entry_point: &str,
    input: &Buffer<f32>,
    gain: Option<&Buffer<f32>>,
    epsilon: f32,
    out: &Activations,
) -> Result<Call> {
    let kernel = nn.kernel(include_str!("activate.wgsl"), entry_point, &[])?;
    let shape = Shape { blocks: out.blocks(), epsilon };
    Call::new(&kernel, |group| {
        let group = group.bind(0, input).bind(2, &out.values).bind(3, &out.quants).bind(4, &out.scales);
        let group = group.uniform(5, &shape);
        // A norm has a workgroup for each token, and need not know how many there are.
        match gain {
            Some(gain) => group.bind(1, gain),
            None => group.bind(6, nn.step()),
        }
    })
}

/// `x / sqrt(mean(x²) + epsilon) * gain`, row by row: RMSNorm (Zhang and Sennrich, 2019).
#[derive(Debug)]
pub struct Norm {
    call: Call,
}

impl Norm {
    /// Sets it up. `input` has rows as long as those of `out`, and `gain` is one.
    ///
    /// # Errors
    /// A message unless `gain` is as long as a row.
    pub fn new(nn: &Network, input: &Buffer<f32>, gain: &Buffer<f32>, epsilon: f32, out: &Activations) -> Result<Self> {
        if gain.len() != out.columns {
            return Err(format!("a gain for {} columns meets rows of {}", gain.len(), out.columns).into());
        }
        Ok(Self { call: call(nn, "norm", input, Some(gain), epsilon, out)? })
    }

    /// Records it for the step's tokens.
    ///
    /// # Errors
    /// As [`isobit::Dispatch::record`].
    pub fn record(&self, batch: &mut Batch, tokens: u32) -> Result<()> {
        self.call.record_workgroups(batch, tokens, 1)
    }
}

/// `silu(gate) * up`: SwiGLU (Shazeer, 2020). A row of the input has all gates, then the others.
#[derive(Debug)]
pub struct Gate {
    call: Call,
    blocks: u32,
}

impl Gate {
    /// Sets it up. A row of `input` is twice as long as one of `out`.
    ///
    /// # Errors
    /// As [`isobit::BindGroupBuilder::create`].
    pub fn new(nn: &Network, input: &Buffer<f32>, out: &Activations) -> Result<Self> {
        Ok(Self { call: call(nn, "gated", input, None, 0.0, out)?, blocks: out.blocks() })
    }

    /// Records it for the step's tokens.
    ///
    /// # Errors
    /// As [`isobit::Dispatch::record`].
    pub fn record(&self, batch: &mut Batch, tokens: u32) -> Result<()> {
        self.call.record(batch, self.blocks.saturating_mul(tokens), 1)
    }
}

/// Takes values as they are.
#[derive(Debug)]
pub struct Quantize {
    call: Call,
    blocks: u32,
}

impl Quantize {
    /// Sets it up. `input` has rows as long as those of `out`.
    ///
    /// # Errors
    /// As [`isobit::BindGroupBuilder::create`].
    pub fn new(nn: &Network, input: &Buffer<f32>, out: &Activations) -> Result<Self> {
        Ok(Self { call: call(nn, "plain", input, None, 0.0, out)?, blocks: out.blocks() })
    }

    /// Records it for the step's tokens.
    ///
    /// # Errors
    /// As [`isobit::Dispatch::record`].
    pub fn record(&self, batch: &mut Batch, tokens: u32) -> Result<()> {
        self.call.record(batch, self.blocks.saturating_mul(tokens), 1)
    }
}
