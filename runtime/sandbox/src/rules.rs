//! The rules that runs in this build go by.

use isobit_job::{Profile, Rules};

/// The version of the sandbox's semantics: what a guest sees of its host, the calls of `wit/` and their limits, and how
/// wasmtime counts fuel. Raise it whenever a guest could end or cost differently than before. `tests/endings` pins the
/// cost of some guests, so an update of wasmtime that changes it fails a test.
pub const SANDBOX_VERSION: u32 = 4;

/// The rules that runs under this profile go by in this build.
#[must_use]
pub fn rules(profile: Profile) -> Rules {
    Rules::of(profile, isobit_shader::dp32::PASS_VERSION, SANDBOX_VERSION)
}
