//! Workloads: what is parsed is within the bounds, and still valid when its calls are counted.

use isobit_sandbox::{Workload, instrumented};
use wasmparser::{Validator, WasmFeatures};

/// Bytes of a component; if they are a core module, of one in a component that exports the world.
pub fn check(data: &[u8]) {
    component(data);
    if data.get(..8) == Some(b"\0asm\x01\0\0\0") {
        component(&around(data));
    }
}

fn component(bytes: &[u8]) {
    let Ok(workload) = Workload::parse(bytes.to_vec()) else { return };
    assert_eq!(workload.bytes(), bytes);
    let validate = |bytes: &[u8]| Validator::new_with_features(WasmFeatures::all()).validate_all(bytes);
    // Modules that are not valid are refused here or when they are compiled.
    let Ok(counted) = instrumented(&workload) else { return };
    if validate(bytes).is_ok() {
        assert!(validate(&counted).is_ok(), "counting calls breaks it: {:?}", validate(&counted).map(drop));
    }
}

/// A component with this module, and an empty instance as `run`.
fn around(module: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let mut section = |id: u8, content: &[u8]| {
        bytes.push(id);
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(content);
    };
    section(1, module);
    // An instance of no exports, and its export under the name `run`.
    section(5, &[1, 1, 0]);
    section(11, &[1, 0, 3, b'r', b'u', b'n', 5, 0, 0]);
    bytes
}
