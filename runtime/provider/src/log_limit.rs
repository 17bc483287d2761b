//! Bounds the log lines that strangers can cause: a burst, and then one a second.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines at once.
pub const BURST: f64 = 60.0;

/// Lines per second.
pub const RATE: f64 = 1.0;

/// A bucket of log lines.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Option<State>>);

#[derive(Debug)]
struct State {
    left: f64,
    since: Instant,
    suppressed: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether a line may be written now; if so, how many were left out before it.
    pub(crate) fn allows(&self) -> Option<u64> {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.get_or_insert(State { left: BURST, since: now, suppressed: 0 });
        state.left = (state.left + now.saturating_duration_since(state.since).as_secs_f64() * RATE).min(BURST);
        state.since = now;
        if state.left < 1.0 {
            state.suppressed += 1;
            return None;
        }
        state.left -= 1.0;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_of_lines_becomes_a_trickle_that_says_so() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        assert_eq!((0..1000).filter(|_| limit.allows_at(start).is_some()).count(), 60);
        assert_eq!(limit.allows_at(start + Duration::from_secs(1)), Some(940));
        assert_eq!(limit.allows_at(start + Duration::from_secs(1)), None);
        let later = start + Duration::from_secs(10_000);
        assert_eq!((0..1000).filter(|_| limit.allows_at(later).is_some()).count(), 60);
    }
}
