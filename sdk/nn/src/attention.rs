//! Causal attention with a cache of keys and values.

use isobit::{Batch, Buffer, Pod, Result, Zeroable};

use crate::Network;
use crate::network::{Call, length};

/// The heads of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Heads that ask.
    pub heads: usize,
    /// Heads that answer; as many of the others share each.
    pub key_heads: usize,
    /// Elements of a head: 4 to 256, a multiple of 4.
    pub dimension: usize,
    /// Elements of a head that are turned by their position, a multiple of 4.
    pub turned: usize,
    /// Tokens that the cache has room for.
    pub capacity: usize,
}

/// Keys and values of all tokens so far, of one layer.
#[derive(Debug)]
pub struct Cache {
    keys: Buffer<f32>,
    values: Buffer<f32>,
}

impl Cache {
    /// An empty cache.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](isobit::Error::OutOfMemory) over the job's device memory.
    pub fn new(nn: &Network, shape: &AttentionShape) -> Result<Self> {
        let len = shape.capacity.saturating_mul(shape.key_heads).saturating_mul(shape.dimension);
        Ok(Self { keys: nn.gpu().buffer(len)?, values: nn.gpu().buffer(len)? })
    }
}

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Shape {
    heads: u32,
    key_heads: u32,
    turned: u32,
    scale: f32,
}

/// `softmax(q * transpose(k) / sqrt(dimension)) * v` over all tokens so far and the step's, where queries and keys are first turned by
/// their positions (rotary embeddings: Su and others, 2021, on neighbouring pairs).
#[derive(Debug)]
pub struct Attention {
    place: Call,
    attend: Call,
    /// For each token.
    workgroups: u32,
    row: u32,
}

impl Attention {
    /// The table of `turns` that [`Attention::new`] takes: for each position the cosine and sine of the angle of each pair, which is the
    /// position times `base^(-2 * pair / turned)`.
    pub fn turns(positions: usize, turned: usize, base: f64) -> Vec<f32> {
        let pairs = turned / 2;
        let angle = |position: usize, pair: usize| position as f64 * base.powf(-2.0 * pair as f64 / turned as f64);
        let all = (0..positions).flat_map(|position| (0..pairs).map(move |pair| angle(position, pair)));
        #[expect(clippy::cast_possible_truncation, reason = "the table has the precision of the device")]
        all.flat_map(|angle| [angle.cos() as f32, angle.sin() as f32]).collect()
    }

    /// Sets it up. A row of `projected` has the queries of all heads, the keys, the values; they are changed. A row of `out` has the
    /// results of all heads.
    ///
    /// # Errors
    /// A message if the shape is none that the kernel can have.
    pub fn new(
        nn: &Network,
        shape: &AttentionShape,
        projected: &Buffer<f32>,
        cache: &Cache,
        turns: &Buffer<f32>,
        out: &Buffer<f32>,
    ) -> Result<Self> {
        shape.check()?;
        let AttentionShape { heads, key_heads, dimension, turned, .. } = *shape;
        // The sizes of arrays have to stand in the text.
        let wgsl = include_str!("attention.wgsl");
        let shared = shape.shared();
        let wgsl = wgsl.replace("const DIMENSION = 64u;", &format!("const DIMENSION = {dimension}u;"));
        let wgsl = wgsl.replace("const SHARED = 3u;", &format!("const SHARED = {shared}u;"));
        let uniform = Shape {
            heads: length(heads),
            key_heads: length(key_heads),
            turned: length(turned),
            scale: 1.0 / (dimension as f32).sqrt(),
        };
        let (place, attend) = (nn.kernel(&wgsl, "place", &[])?, nn.kernel(&wgsl, "attend", &[])?);
        let place = Call::new(&place, |group| {
            let group = group.bind(0, projected).bind(1, &cache.keys).bind(2, &cache.values);
            group.bind(4, turns).uniform(5, &uniform).bind(6, nn.step())
        })?;
        let attend = Call::new(&attend, |group| {
            let group = group.bind(0, projected).bind(1, &cache.keys).bind(2, &cache.values);
            group.bind(3, out).uniform(5, &uniform).bind(6, nn.step())
        })?;
        let row = length((heads + 2 * key_heads) * dimension / 4);
        Ok(Self { place, attend, workgroups: length(heads / shared), row })
    }

    /// Records it for the step's tokens, which have to fit the cache together with those before.
    ///
    /// # Errors
    /// As [`isobit::Dispatch::record`].
    pub fn record(&self, batch: &mut Batch, tokens: u32) -> Result<()> {
        self.place.record(batch, self.row, tokens)?;
        self.attend.record_workgroups(batch, self.workgroups, tokens)
    }
}

impl AttentionShape {
    /// How many heads a workgroup computes: as many of those that share keys and values as have room in it.
    fn shared(&self) -> usize {
        let group = self.heads / self.key_heads.max(1);
        (1..=4).rev().find(|shared| group % shared == 0).unwrap_or(1)
    }

    fn check(&self) -> Result<()> {
        let Self { heads, key_heads, dimension, turned, .. } = *self;
        if dimension % 4 != 0 || !(4..=256).contains(&dimension) {
            return Err(format!("heads of {dimension} elements: there have to be 4 to 256, a multiple of 4").into());
        }
        if turned % 4 != 0 || turned > dimension {
            return Err(format!("{turned} of {dimension} elements turned: it has to be a multiple of 4").into());
        }
        if key_heads == 0 || heads == 0 || heads % key_heads != 0 || heads > 1 << 16 {
            return Err(format!("{heads} heads cannot share {key_heads}").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_turn_pairs_by_less_and_less() {
        let turns = Attention::turns(3, 4, 100.0);
        let expected = [[1.0, 0.0], [1.0, 0.0], [1_f32.cos(), 1_f32.sin()], [0.1_f32.cos(), 0.1_f32.sin()]];
        assert_eq!(turns.len(), 12);
        for (found, expected) in turns.chunks(2).zip(expected) {
            assert!((found[0] - expected[0]).abs() < 1e-6 && (found[1] - expected[1]).abs() < 1e-6, "{turns:?}");
        }
    }

    #[test]
    fn shapes_that_the_kernel_cannot_have_are_refused() {
        let good = AttentionShape { heads: 9, key_heads: 3, dimension: 64, turned: 64, capacity: 16 };
        good.check().unwrap();
        for bad in [
            AttentionShape { key_heads: 0, ..good },
            AttentionShape { key_heads: 2, ..good },
            AttentionShape { dimension: 66, ..good },
            AttentionShape { dimension: 260, ..good },
            AttentionShape { turned: 68, ..good },
        ] {
            bad.check().unwrap_err();
        }
    }
}
