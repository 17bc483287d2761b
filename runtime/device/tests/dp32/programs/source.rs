//! Where random programs come from: a sequence of choices. Any sequence makes a valid program, and 0 is always the simplest
//! choice, so a program is made smaller by making its sequence shorter and smaller.

/// Choices, made at random or played back.
pub struct Source {
    given: Vec<u32>,
    /// The state of a generator for what is not given. Without it, that is zeros.
    random: Option<u64>,
    made: Vec<u32>,
    /// Which stretches of the choices made a statement or an expression.
    spans: Vec<(usize, usize)>,
}

impl Source {
    /// Choices at random.
    pub fn random(seed: u64) -> Source {
        Source { given: vec![], random: Some(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)), made: vec![], spans: vec![] }
    }

    /// The given choices, and zeros once they have run out.
    pub fn replay(choices: &[u32]) -> Source {
        Source { given: choices.to_vec(), random: None, made: vec![], spans: vec![] }
    }

    /// A number below `bound`, the simplest first.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound.max(1)).unwrap();
        let choice = match (self.given.get(self.made.len()), &mut self.random) {
            (Some(choice), _) => *choice,
            (None, Some(state)) => {
                // xorshift64*
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
            }
            (None, None) => 0,
        };
        let choice = choice % bound;
        self.made.push(choice);
        choice as usize
    }

    /// True in so many of a hundred cases. False is simpler.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) >= 100 - percent
    }

    /// One of these, the simplest first.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Where the next choice stands, to be handed to [`Source::end`].
    pub fn begin(&self) -> usize {
        self.made.len()
    }

    /// The choices since `begin` belong together.
    pub fn end(&mut self, begin: usize) {
        self.spans.push((begin, self.made.len()));
    }
}

/// Looks for the smallest sequence of choices for which `fails` still holds, with at most so many attempts. `fails` makes
/// its program from the source it is handed.
pub fn shrink(seed: u64, mut attempts: usize, mut fails: impl FnMut(&mut Source) -> bool) -> Vec<u32> {
    let mut source = Source::random(seed);
    assert!(fails(&mut source), "it does not fail a second time");
    let mut best = source;
    loop {
        let before = best.made.clone();
        let mut attempt = |best: &mut Source, candidate: Vec<u32>| {
            if attempts == 0 || candidate == best.made {
                return false;
            }
            attempts -= 1;
            let mut source = Source::replay(&candidate);
            let key = |choices: &Vec<u32>| (choices.len(), choices.clone());
            let smaller = fails(&mut source) && key(&source.made) < key(&best.made);
            if smaller {
                *best = source;
            }
            smaller
        };

        // Whole statements and expressions: left out, or replaced by the simplest one. The longest first.
        let mut longest = usize::MAX;
        loop {
            let mut spans = best.spans.clone();
            spans.retain(|(begin, end)| (1..=longest).contains(&(end - begin)));
            spans.sort_by_key(|(begin, end)| std::cmp::Reverse(end - begin));
            spans.dedup();
            let shorter = spans.into_iter().find(|(begin, end)| {
                let replaced = |filler: &[u32]| [&best.made[..*begin], filler, &best.made[*end..]].concat();
                let candidates = [replaced(&[]), replaced(&[0])];
                candidates.into_iter().any(|candidate| attempt(&mut best, candidate))
            });
            let Some((begin, end)) = shorter else { break };
            longest = end - begin;
        }
        // Single choices.
        let mut at = 0;
        while at < best.made.len() {
            let choice = best.made[at];
            for smaller in [0, choice / 2, choice.saturating_sub(1)] {
                let mut candidate = best.made.clone();
                candidate[at] = smaller;
                if smaller < choice && attempt(&mut best, candidate) {
                    break;
                }
            }
            at += 1;
        }
        if best.made == before {
            return before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of numbers in lists.
    fn list(source: &mut Source, depth: usize, numbers: &mut Vec<usize>) {
        while source.chance(60) {
            let begin = source.begin();
            if depth > 0 && source.chance(50) {
                list(source, depth - 1, numbers);
            } else {
                numbers.push(source.below(1000));
            }
            source.end(begin);
        }
    }

    #[test]
    fn what_is_left_is_what_fails() {
        let fails = |source: &mut Source| {
            let mut numbers = vec![];
            list(source, 3, &mut numbers);
            numbers.iter().any(|number| *number >= 700)
        };
        let seed = (0..).find(|seed| fails(&mut Source::random(*seed))).unwrap();
        let mut numbers = vec![];
        list(&mut Source::replay(&shrink(seed, 10_000, fails)), 3, &mut numbers);
        assert_eq!(numbers, [700]);
    }
}
