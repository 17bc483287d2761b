//! Chooses the next token from the logits of all.

use std::cmp::Ordering;

/// How to choose.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// 0 always takes the most likely token; 1 takes each with the probability that the model gives it.
    pub temperature: f32,
    /// Only so many of the most likely ones; 0 for all.
    pub top_k: usize,
    /// Of these, only the most likely ones that together have this probability.
    pub top_p: f32,
    /// The state of the numbers drawn.
    pub seed: u64,
}

impl Sampler {
    /// The next token; the first of those with the same logit where it is a draw.
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        let mut order: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        if self.temperature <= 0.0 {
            return order.iter().min_by(|a, b| likelier(a, b)).map_or(0, |(token, _)| *token);
        }
        let kept = if self.top_k == 0 { order.len() } else { self.top_k.min(order.len()) };
        if kept < order.len() {
            order.select_nth_unstable_by(kept, likelier);
            order.truncate(kept);
        }
        order.sort_unstable_by(likelier);
        let weights = self.weights(&order);
        let wanted = self.draw() * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let reached = weights.iter().position(|weight| {
            sum += weight;
            sum > wanted
        });
        // The sum may stay just below what was drawn, by rounding.
        let chosen = reached.unwrap_or(weights.len().saturating_sub(1));
        order.get(chosen).map_or(0, |(token, _)| *token)
    }

    /// The probabilities of the tokens, up to a factor, of as many as `top_p` lets in.
    fn weights(&self, order: &[(u32, f32)]) -> Vec<f64> {
        let most = order.first().map_or(0.0, |(_, logit)| f64::from(*logit));
        let temperature = f64::from(self.temperature);
        let mut weights: Vec<f64> =
            order.iter().map(|(_, logit)| ((f64::from(*logit) - most) / temperature).exp()).collect();
        let wanted = f64::from(self.top_p) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let kept = weights.iter().take_while(|weight| {
            let is_short = sum < wanted;
            sum += **weight;
            is_short
        });
        let kept = kept.count().max(1);
        weights.truncate(kept);
        weights
    }

    /// A number from 0 to 1, by SplitMix64 (Steele and others, 2014).
    fn draw(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Orders the likelier token first. A logit that is no number is the least likely of all.
fn likelier(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    let key = |logit: f32| if logit.is_nan() { f32::NEG_INFINITY } else { logit };
    key(b.1).total_cmp(&key(a.1)).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f32, top_k: usize, top_p: f32) -> Sampler {
        Sampler { temperature, top_k, top_p, seed: 3 }
    }

    /// How often each token was drawn.
    fn count(mut sampler: Sampler, logits: &[f32]) -> Vec<u32> {
        let mut counts = vec![0; logits.len()];
        for _ in 0..10_000 {
            counts[usize::try_from(sampler.next(logits)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn without_temperature_the_most_likely_token_is_taken() {
        let mut greedy = sampler(0.0, 0, 1.0);
        assert_eq!(greedy.next(&[0.5, 2.0, 2.0, f32::NAN]), 1);
        assert_eq!(greedy.next(&[f32::NAN, f32::NEG_INFINITY]), 0);
        assert_eq!(greedy.next(&[]), 0);
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        // 1/2, 1/4, 1/8, 1/8
        let logits = [4_f32, 2.0, 1.0, 1.0].map(f32::ln);
        let counts = count(sampler(1.0, 0, 1.0), &logits);
        for (count, expected) in counts.iter().zip([5000_u32, 2500, 1250, 1250]) {
            assert!(count.abs_diff(expected) < 150, "{counts:?}");
        }
        // The squares, for half the temperature: 16/22, 4/22, 1/22, 1/22.
        let counts = count(sampler(0.5, 0, 1.0), &logits);
        assert!(counts[0].abs_diff(7273) < 150 && counts[1].abs_diff(1818) < 150, "{counts:?}");
    }

    #[test]
    fn unlikely_tokens_are_left_out() {
        let logits = [1_f32, 2.0, 4.0, 1.0].map(f32::ln);
        let counts = count(sampler(1.0, 2, 1.0), &logits);
        assert!(counts[0] == 0 && counts[3] == 0 && counts[1].abs_diff(3333) < 150, "{counts:?}");
        // The first has half, so two are needed for 0.6.
        let counts = count(sampler(1.0, 0, 0.6), &logits);
        assert!(counts[0] == 0 && counts[3] == 0 && counts[1].abs_diff(3333) < 150, "{counts:?}");
        assert_eq!(count(sampler(1.0, 0, 0.0), &logits)[2], 10_000);
    }

    #[test]
    fn the_same_seed_draws_the_same_tokens() {
        let logits = [0.0; 50];
        let draw = |seed| -> Vec<u32> {
            let mut sampler = Sampler { seed, ..sampler(1.0, 0, 1.0) };
            (0..20).map(|_| sampler.next(&logits)).collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
