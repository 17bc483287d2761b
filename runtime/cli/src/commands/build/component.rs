//! From a core module to a component of the world.

use isobit_sandbox::Workload;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::Target;
use crate::failure::Failure;

/// Wraps a module in a component, and refuses one that no provider would run.
pub(super) fn from_module(module: &[u8], target: Target) -> anyhow::Result<Workload> {
    let adapter = (target == Target::Wasip1).then_some(WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    let component = encode(module, adapter).map_err(|error| {
        Failure::new(format!("the module cannot be made a component: {error:#}"))
            .hint("the crate has to use the SDK's `#[isobit::main]`; `isobit new DIR` shows how")
    })?;
    Ok(Workload::parse(component).map_err(|error| {
        Failure::new(format!("what was built is not a workload: {error}"))
            .hint("mark the crate's entry with `#[isobit::main]`; `isobit new DIR` shows how")
    })?)
}

/// Wraps a program for WASI preview 1, with `_start`, in a component that is a command.
pub fn from_command(module: &[u8]) -> anyhow::Result<Workload> {
    let component = encode(module, Some(WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)).map_err(|error| {
        Failure::new(format!("the core module is no program for WASI: {error:#}"))
            .hint("a program has `_start` and imports nothing but wasi_snapshot_preview1; `isobit build DIR` builds a workload from a crate")
    })?;
    Ok(Workload::parse(component).map_err(|error| Failure::new(format!("the core module is no workload: {error}")))?)
}

/// The component of a module, whose calls of WASI preview 1 the adapter takes.
fn encode(module: &[u8], adapter: Option<&[u8]>) -> anyhow::Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default().validate(true).module(module)?;
    if let Some(adapter) = adapter {
        encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?;
    }
    encoder.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_the_sdk_is_refused_with_advice() {
        // The smallest module: magic and version.
        let error = from_module(b"\0asm\x01\0\0\0", Target::Unknown).err().unwrap();
        assert!(error.to_string().contains("not a workload: the component does not export `run`"), "{error}");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        let error = from_module(b"not wasm", Target::Wasip1).err().unwrap();
        assert!(error.to_string().contains("cannot be made a component"), "{error}");
    }
}
