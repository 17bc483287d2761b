//! Products of activations with weights.

use isobit::{Batch, Buffer, Pod, Result, Zeroable};

use crate::network::{Call, length};
use crate::{Activations, Format, Network, Weights};

/// From so many tokens on, the kernel that computes 4 of them at a time does better.
const WIDE: u32 = 4;

/// Where a product goes: into these columns of the rows of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The buffer.
    pub buffer: &'a Buffer<f32>,
    /// The first column, a multiple of 4.
    pub first: usize,
    /// How long its rows are, a multiple of 4.
    pub pitch: usize,
}

/// `out = x * transpose(W)`, or `out += x * transpose(W)`.
///
/// `x` has a row of W's columns for each token, `out` has a row of W's rows there, rounded up to a multiple of 4.
#[derive(Debug)]
pub struct Linear {
    narrow: Call,
    wide: Call,
    groups: u32,
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Shape {
    groups: u32,
    /// Blocks of 32, or quads of 4, in a row of W.
    pieces: u32,
    add: u32,
    /// Where in a row of `out` the product starts, and how long a row is, both divided by 4.
    first: u32,
    pitch: u32,
}

impl Linear {
    /// Sets the product up. With `add` it is added to what `out` holds.
    ///
    /// # Errors
    /// A message if the activations have not as many columns as the weights, or the product does not fit a row of `out`.
    pub fn new(nn: &Network, weights: &Weights, x: &Activations, out: Columns<'_>, add: bool) -> Result<Self> {
        let Columns { buffer, first, pitch } = out;
        if first % 4 != 0 || pitch % 4 != 0 || first.saturating_add(weights.pitch()) > pitch {
            return Err(format!("{} columns from {first} on do not fit rows of {pitch}", weights.pitch()).into());
        }
        if x.columns != weights.columns {
            return Err(format!("{} activations meet weights for {}", x.columns, weights.columns).into());
        }
        let groups = length(weights.pitch() / 4);
        let shape = |piece: usize| Shape {
            groups,
            pieces: length(weights.columns / piece),
            add: u32::from(add),
            first: length(first / 4),
            pitch: length(pitch / 4),
        };
        let quantized = |entry_point: &str| {
            let has_least = f64::from(u8::from(weights.format == Format::Q4_1));
            let overrides = [("BITS", f64::from(weights.format.bits())), ("HAS_LEAST", has_least)];
            let kernel = nn.kernel(include_str!("quantized.wgsl"), entry_point, &overrides)?;
            Call::new(&kernel, |group| {
                let group = group.bind(0, &weights.words).bind(1, &x.quants).bind(2, &x.scales).bind(3, buffer);
                group.uniform(4, &shape(32)).bind(5, nn.step())
            })
        };
        let plain = |entry_point: &str| {
            let halves = f64::from(u8::from(weights.format == Format::F16));
            let kernel = nn.kernel(include_str!("plain.wgsl"), entry_point, &[("HALVES", halves)])?;
            Call::new(&kernel, |group| {
                let group = group.bind(0, &weights.words).bind(1, &x.values).bind(2, buffer);
                group.uniform(3, &shape(4)).bind(4, nn.step())
            })
        };
        let [narrow, wide] = match weights.format {
            Format::F32 | Format::F16 => [plain("narrow")?, plain("wide")?],
            Format::Q8_0 | Format::Q4_0 | Format::Q4_1 => [quantized("narrow")?, quantized("wide")?],
        };
        Ok(Self { narrow, wide, groups })
    }

    /// Records the product for the first `tokens` rows, which have to be the step's.
    ///
    /// # Errors
    /// As [`isobit::Dispatch::record`].
    pub fn record(&self, batch: &mut Batch, tokens: u32) -> Result<()> {
        match tokens < WIDE {
            true => self.narrow.record_workgroups(batch, self.groups.div_ceil(8), tokens),
            false => self.wide.record_workgroups(batch, self.groups.div_ceil(8), tokens.div_ceil(4)),
        }
    }
}
