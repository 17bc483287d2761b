//! The first stage: what WGSL leaves open becomes primitives with one meaning.

use naga::Module;
use naga::valid::ModuleInfo;

use super::uniformity::Uniformity;
use crate::Diagnostic;

/// What the first stage makes.
pub(super) struct Defined {
    pub(super) module: Module,
    pub(super) invocation_cost: u32,
}

pub(super) fn define(
    module: &Module,
    _info: &ModuleInfo,
    _entry_point: usize,
    _uniformity: &Uniformity,
) -> Result<Defined, Diagnostic> {
    Ok(Defined { module: module.clone(), invocation_cost: 0 })
}
