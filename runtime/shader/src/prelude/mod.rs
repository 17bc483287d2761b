//! Helper functions in WGSL that the pass calls: one definition for each builtin of WGSL.
//!
//! They are linked into a kernel at the level of naga's IR, so names of the guest cannot affect them. Their operations are the
//! primitives of [`crate::dp32`]: sums, products, quotients and roots have the meaning given there, and `bitcast` moves bits.

use std::collections::HashMap;
use std::sync::LazyLock;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Function, Handle, Module};

use crate::Refusal;

const TEXT: &str = concat!(include_str!("math.wgsl"), include_str!("geometry.wgsl"), include_str!("pack.wgsl"));

static LIBRARY: LazyLock<Result<Library, String>> = LazyLock::new(|| Library::parse(TEXT));

/// Parsed and validated helper functions by name.
pub(crate) struct Library {
    pub(crate) module: Module,
    pub(crate) info: ModuleInfo,
    functions: HashMap<String, Handle<Function>>,
}

impl Library {
    /// The library with the definitions of the builtins.
    pub(crate) fn get() -> Result<&'static Self, Refusal> {
        LIBRARY.as_ref().map_err(|message| Refusal::new(format!("the prelude is broken: {message}")))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .map_err(|error| error.emit_to_string(text))?;
        let named = module.functions.iter().filter_map(|(handle, function)| Some((function.name.clone()?, handle)));
        let functions = named.collect();
        Ok(Self { module, info, functions })
    }

    pub(crate) fn function(&self, name: &str) -> Result<Handle<Function>, Refusal> {
        let found = self.functions.get(name).copied();
        found.ok_or_else(|| Refusal::new(format!("the prelude has no function `{name}`")))
    }
}
