//! A device that is lost under way: every call says so, none panics.

use std::time::Duration;

use isobit_shader::{Profile, prepare};

use super::*;
use crate::{DeviceSelector, list_adapters, open_adapter};

fn lost<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(matches!(result, Err(DeviceError::Fault(DeviceFault::Lost { .. }))), "{result:?}");
}

/// A call before the loss is noticed may seem to work, but it must not blame the guest.
fn not_the_guests<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(matches!(result, Ok(_) | Err(DeviceError::Fault(_))), "{result:?}");
}

#[test]
fn a_lost_device_answers_every_call_with_a_fault() {
    let adapters = list_adapters(false);
    assert!(!adapters.is_empty(), "no adapter here: run `cargo xtask setup`");
    for adapter in adapters.iter().filter(|adapter| adapter.missing.is_empty()) {
        println!("running on {}", adapter.info.name);
        let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(1 << 20);
        device.set_patience(Duration::from_secs(2));
        let kernel = prepare(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(1) fn main() { a[0] = 1u; }",
            Profile::Native,
        )
        .unwrap();
        let module = device.create_shader_module(&kernel).unwrap();
        let buffer = device.create_buffer(1 << 17, BufferUsage::STORAGE).unwrap();
        let other = device.create_buffer(4, BufferUsage::STORAGE).unwrap();
        device.write(buffer, 0, Source::Slice(&[1; 8])).unwrap();
        let readback = device.read(buffer, 0, 8).unwrap();
        device.guard.device.destroy();
        not_the_guests(device.create_buffer(4, BufferUsage::STORAGE));
        not_the_guests(device.create_shader_module(&kernel));
        not_the_guests(device.create_compute_pipeline(module, None, None, &[]));
        not_the_guests(device.create_bind_group_layout(&[]));
        let clear = Command::ClearBuffer { buffer: other, offset: 0, size: 4 };
        not_the_guests(device.submit(std::slice::from_ref(&clear)));
        lost(device.wait());
        assert_eq!(readback[..], [1; 8]);
        drop(readback);
        lost(device.write(buffer, 0, Source::Slice(&[1; 8])));
        lost(device.write(buffer, 0, Source::Slice(&[1; 1 << 17])));
        lost(device.read(buffer, 0, 4));
        lost(device.submit(&[clear]));
        lost(device.create_buffer(4, BufferUsage::STORAGE));
        device.release(buffer.into());
    }
}

#[test]
fn a_panic_below_loses_the_device_and_nothing_else() {
    for adapter in list_adapters(false).iter().filter(|adapter| adapter.missing.is_empty()) {
        let mut device = open_adapter(&DeviceSelector::Index(adapter.index)).unwrap();
        device.set_memory_limit(64);
        lost(device.guard.run(|_| panic!("from below")));
        lost(device.create_buffer(4, BufferUsage::STORAGE));
    }
}
