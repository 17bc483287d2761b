//! The shape of a network, and where its parameters lie in the one buffer that holds them all.

/// The most layers with parameters.
pub const LAYERS: usize = 8;

/// The widest layer.
pub const WIDEST: usize = 4096;

/// The most parameters.
const PARAMETERS: usize = 16 * 1024 * 1024;

/// A layer's numbers of inputs and outputs, and where its parameters begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    pub offset: usize,
}

impl Layer {
    /// Its weights, a row for each input, and then its biases.
    pub fn parameters(&self) -> usize {
        (self.inputs + 1) * self.outputs
    }
}

/// The layers of a network of these widths, its inputs first.
///
/// # Errors
/// A network that is too large, or has a layer of nothing.
pub fn layers(widths: &[usize]) -> Result<Vec<Layer>, String> {
    if let Some(width) = widths.iter().find(|width| !(1..=WIDEST).contains(*width)) {
        return Err(format!("a layer of {width}: each has from 1 to {WIDEST}"));
    }
    let mut layers = Vec::new();
    let mut offset = 0;
    for (inputs, outputs) in widths.iter().zip(widths.iter().skip(1)) {
        let layer = Layer { inputs: *inputs, outputs: *outputs, offset };
        offset += layer.parameters();
        layers.push(layer);
    }
    if layers.is_empty() || layers.len() > LAYERS {
        return Err(format!("{} layers: from 1 to {LAYERS}", layers.len()));
    }
    if offset > PARAMETERS {
        return Err(format!("{offset} parameters: at most {PARAMETERS}"));
    }
    Ok(layers)
}

/// The parameters of a network before its first step: biases of zero, and weights even between plus and minus the square root of six divided by the
/// number of inputs, which keeps the variance from layer to layer (He et al. 2015).
pub fn first_parameters(layers: &[Layer], seed: u32) -> Vec<f32> {
    let mut parameters = Vec::new();
    for (layer, index) in layers.iter().zip(0..) {
        let most = (6.0 / layer.inputs as f32).sqrt();
        let weights = (0..).take(layer.inputs * layer.outputs).map(|weight| {
            // 24 bits are what an f32 has.
            let unit = (hash([seed, index, weight]) >> 8) as f32 / 8_388_608.0 - 1.0;
            most * unit
        });
        parameters.extend(weights);
        parameters.extend(std::iter::repeat_n(0.0, layer.outputs));
    }
    parameters
}

/// The order in which an epoch takes the samples: Fisher and Yates' shuffle.
pub fn order(samples: u32, seed: u32, epoch: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..samples).collect();
    // Weights have small second words; epochs have large ones.
    let epoch = u32::MAX - epoch;
    for last in (1..samples).rev() {
        let chosen = (u64::from(hash([seed, epoch, last])) * (u64::from(last) + 1)) >> 32;
        order.swap(last as usize, usize::try_from(chosen).unwrap_or(0));
    }
    order
}

/// A number that looks random, from three others: Wellons' mixing function "lowbias32", once for each.
fn hash(words: [u32; 3]) -> u32 {
    words.into_iter().fold(0x9e37_79b9, |state, word| {
        let mut x = state ^ word;
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_lie_layer_after_layer() {
        let layers = layers(&[3, 2, 1]).unwrap();
        let layer = |inputs, outputs, offset| Layer { inputs, outputs, offset };
        assert_eq!(layers, [layer(3, 2, 0), layer(2, 1, 8)]);
        let parameters = first_parameters(&layers, 1);
        assert_eq!(parameters.len(), 11);
        assert_eq!((&parameters[6..8], parameters[10]), (&[0.0, 0.0][..], 0.0));
        assert!(parameters[..6].iter().all(|weight| weight.abs() < 2.0_f32.sqrt() && *weight != 0.0));
        assert_ne!(parameters[..6], first_parameters(&layers, 2)[..6]);
    }

    #[test]
    fn networks_without_end_are_refused() {
        let refused = |widths: &[usize]| layers(widths).unwrap_err();
        assert_eq!(refused(&[3, 0, 1]), "a layer of 0: each has from 1 to 4096");
        assert_eq!(refused(&[3, 4097, 1]), "a layer of 4097: each has from 1 to 4096");
        assert_eq!(refused(&[3]), "0 layers: from 1 to 8");
        assert_eq!(refused(&[1; 10]), "9 layers: from 1 to 8");
        assert_eq!(refused(&[4096; 3]), "33562624 parameters: at most 16777216");
    }

    #[test]
    fn an_epoch_takes_each_sample_once_in_an_order_of_its_own() {
        let mut epochs: Vec<Vec<u32>> = (0..3).map(|epoch| order(50, 7, epoch)).collect();
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2] && epochs[0] != order(50, 8, 0));
        for epoch in &mut epochs {
            epoch.sort_unstable();
            assert!(epoch.iter().copied().eq(0..50));
        }
        assert_eq!(order(1, 7, 0), [0]);
    }
}
