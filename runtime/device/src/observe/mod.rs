//! The observers of dispatches: spot checks and the race detector. A dispatch that is watched shares no submission with others.

mod blame;
mod races;
mod sampler;
mod spot;
mod spot_checks;
#[cfg(test)]
mod tests;

pub(crate) use self::races::RaceDetector;
pub use self::races::RaceLog;
pub(crate) use self::spot::SpotCheck;
pub use self::spot_checks::{ParseSpotChecksError, SpotChecks};
