//! The adapters that unit tests run on.

use crate::{Adapter, DeviceSelector, list_adapters};

#[path = "../../../tests/support/seen.rs"]
mod drivers;

pub(crate) use drivers::expect_drivers;

/// Every adapter that can run kernels. Panics if there is none: the machine is not set up.
pub(crate) fn adapters() -> Vec<Adapter> {
    let capable: Vec<_> = list_adapters().into_iter().filter(|adapter| adapter.missing.is_empty()).collect();
    expect_drivers(capable.iter().map(|adapter| adapter.info.name.as_str()));
    assert!(!capable.is_empty(), "no adapter can run kernels here: run `cargo xtask setup`");
    capable.iter().map(|adapter| Adapter::select(&DeviceSelector::Index(adapter.index)).unwrap()).collect()
}
