//! The validation of modules that this crate has made.

use naga::Module;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use crate::Refusal;
use crate::refusal::defect;

/// Validates with no optional capability. A failure is a defect.
pub(crate) fn validate(module: &Module) -> Result<ModuleInfo, Refusal> {
    let validated = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(module);
    validated.map_err(|error| defect(error.emit_to_string("")))
}
