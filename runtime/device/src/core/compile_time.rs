//! How long a driver may take to compile a pipeline. The estimate depends on the kernel alone, so a job pays the same for it on every device.

use isobit_shader::{Lowered, Resolved};

/// Nanoseconds for an expression, through checking, rewriting, and the driver's compiler.
const PER_EXPRESSION: u64 = 10_000;

/// Nanoseconds for the square of a byte of a variable. Lavapipe turns each access to an array into a choice among all its items: 27 s for one of 4 KiB. This is an
/// eighth of that, because devices that are no processors take much less.
const PER_SQUARED_BYTE: u64 = 200;

/// An estimate in nanoseconds.
pub(super) fn estimate(kernel: &Resolved, lowered: Option<&Lowered>) -> u64 {
    let expressions = lowered.map_or_else(|| kernel.weight(), Lowered::weight);
    let squares = kernel.variables().fold(0_u64, |sum, bytes| sum.saturating_add(bytes.saturating_mul(bytes)));
    expressions.saturating_mul(PER_EXPRESSION).saturating_add(squares.saturating_mul(PER_SQUARED_BYTE))
}
