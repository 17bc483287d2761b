//! Workers as the provider has them.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]
mod breach_tests;
mod spares;

pub(crate) use spares::Workers;
