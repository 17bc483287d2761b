//! The colours of the escape counts, mixed from five in integers.

/// (position in the circle of 256, red, green, blue): night, blue, white, amber, brown, and back to night.
const STOPS: [(u32, [u32; 3]); 6] = [
    (0, [0, 7, 100]),
    (41, [32, 107, 203]),
    (108, [237, 255, 255]),
    (164, [255, 170, 0]),
    (219, [60, 16, 12]),
    (256, [0, 7, 100]),
];

/// 256 colours as 0xAABBGGRR.
pub fn colours() -> Vec<u32> {
    (0..256).map(colour).collect()
}

fn colour(position: u32) -> u32 {
    let pairs = STOPS.iter().zip(STOPS.iter().skip(1));
    let mut colour = 0;
    for (&(from, [r0, g0, b0]), &(to, [r1, g1, b1])) in pairs {
        if (from..to).contains(&position) {
            let mix = |a, b| (a * (to - position) + b * (position - from)) / (to - from);
            colour = mix(r0, r1) | mix(g0, g1) << 8 | mix(b0, b1) << 16 | 0xff00_0000;
        }
    }
    colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_is_opaque_and_the_circle_closes() {
        let colours = colours();
        assert_eq!(colours.len(), 256);
        assert!(colours.iter().all(|colour| colour >> 24 == 255));
        let [first, .., last] = colours.as_slice() else { panic!() };
        for shift in [0, 8, 16] {
            assert!((first >> shift & 255).abs_diff(last >> shift & 255) < 8);
        }
    }
}
