//! What dp32 refuses, with the reason and what to write instead.

use naga::Module;
use naga::valid::ModuleInfo;

use crate::Diagnostic;

/// Refuses what cannot be made reproducible.
pub(crate) fn check(_module: &Module, _info: &ModuleInfo, _source: &str) -> Result<(), Diagnostic> {
    Ok(())
}
