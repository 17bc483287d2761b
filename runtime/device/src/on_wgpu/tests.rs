//! A device that is lost under way: every call says so, none panics.

use isobit_shader::prepare;

use super::*;
use crate::{DeviceSelector, list_adapters, open};

fn lost<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(
        matches!(result, Err(DeviceError::Fault(DeviceFault::Lost { .. }))),
        "{result:?}"
    );
}

#[test]
fn a_lost_device_answers_every_call_with_a_fault() {
    let adapters = list_adapters(false);
    assert!(!adapters.is_empty(), "no adapter here: run `cargo xtask setup`");
    for adapter in adapters.iter().filter(|adapter| adapter.missing.is_empty()) {
        println!("running on {}", adapter.info.name);
        let mut device = open(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(1 << 20);
        let kernel = prepare(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(1) fn main() { a[0] = 1u; }",
        )
        .unwrap();
        let module = device.create_shader_module(&kernel).unwrap();
        let buffer = device.create_buffer(1 << 17, BufferUsage::STORAGE).unwrap();
        device.write(buffer, 0, Source::Slice(&[1; 8])).unwrap();
        let readback = device.read(buffer, 0, 8).unwrap();
        device.guard.device.destroy();
        lost(device.wait());
        lost(device.create_buffer(4, BufferUsage::STORAGE));
        lost(device.create_shader_module(&kernel));
        lost(device.create_compute_pipeline(module, None, None, &[]));
        lost(device.create_bind_group_layout(&[]));
        assert_eq!(readback[..], [1; 8]);
        drop(readback);
        lost(device.write(buffer, 0, Source::Slice(&[1; 8])));
        lost(device.write(buffer, 0, Source::Slice(&[1; 1 << 17])));
        lost(device.read(buffer, 0, 4));
        let clear = Command::ClearBuffer { buffer, offset: 0, size: 4 };
        lost(device.submit(&[clear]));
        device.release(buffer.into());
        assert_eq!(device.memory().in_use, 0);
    }
}

#[test]
fn a_panic_below_loses_the_device_and_nothing_else() {
    for adapter in list_adapters(false).iter().filter(|adapter| adapter.missing.is_empty()) {
        let mut device = open(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(64);
        lost(device.guard.run(|_| panic!("from below")));
        lost(device.create_buffer(4, BufferUsage::STORAGE));
    }
}
