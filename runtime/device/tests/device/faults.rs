//! The provider's own trouble, and which devices can be opened.

use std::time::{Duration, Instant};

use bytes::Bytes;
use isobit_device::{Adapter, BufferUsage, DeviceKind, DeviceSelector, OpenError, Policy, Source, list_devices, open};
use isobit_job::FaultKind;

use crate::{Setting, dispatch, fault_kind, on_every_device, storage, whole};

/// Devices that are waited for so long.
fn patient(patience: Duration) -> Setting {
    Setting { policy: Policy { patience, ..Policy::default() }, ..Setting::default() }
}

#[test]
fn a_device_that_takes_too_long_is_a_fault_and_not_the_jobs_mistake() {
    patient(Duration::from_millis(1)).on_every_device(|device| {
        let wgsl = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
                var x = id.x;
                for (var i = 0u; i < 30000u; i++) { x = x * 1664525u + 1013904223u; }
                a[id.x] = x; }";
        let kernel = crate::kernel(wgsl);
        // So may a compiler.
        let compiled = device.create_compute_pipeline(&kernel, None, None, &[]);
        let Ok(pipeline) = compiled else { return assert_eq!(fault_kind(compiled), FaultKind::DeviceTimeout) };
        let buffer = device.create_buffer(4 << 20, BufferUsage::STORAGE).unwrap();
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(0, &buffer)]).unwrap();
        let start = Instant::now();
        let result = dispatch(device, &pipeline, &group, 16_384).and_then(|()| device.wait());
        assert_eq!(fault_kind(result), FaultKind::DeviceTimeout);
        assert!(start.elapsed() < Duration::from_secs(60));
    });
}

#[test]
fn a_readback_that_is_kept_times_out_instead_of_hanging() {
    patient(Duration::from_millis(200)).on_every_device(|device| {
        let buffer = storage(device, &[1, 2]);
        let readback = device.read(&buffer, 0, 8).unwrap();
        let result = device.write(&buffer, 0, Source::Slice(&[0; 8]));
        // Where the readback is the buffer's own memory. Staged ones hold nothing up.
        if result.is_err() {
            assert_eq!(fault_kind(result), FaultKind::DeviceTimeout);
        }
        assert_eq!(crate::values(&readback), [1, 2]);
        drop(readback);
        device.write(&buffer, 0, Source::Slice(&[7; 8])).unwrap();
        assert_eq!(*device.read(&buffer, 0, 8).unwrap(), [7; 8]);
    });
}

#[test]
fn a_readback_can_be_handed_on_as_bytes() {
    on_every_device(|device| {
        let buffer = storage(device, &[0x0403_0201]);
        let bytes = Bytes::from_owner(device.read(&buffer, 0, 3).unwrap());
        let handed_on = std::thread::spawn(move || bytes.to_vec()).join().unwrap();
        assert_eq!(handed_on, [1, 2, 3]);
    });
}

#[test]
fn an_unknown_device_is_named_with_those_there_are() {
    let error = open(&DeviceSelector::Name("abacus".to_owned())).err().unwrap();
    assert!(matches!(error, OpenError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("abacus"));
    let names = list_devices();
    assert!(names.iter().all(|adapter| error.hint().contains(&adapter.info.name)));
    assert!(open(&DeviceSelector::Index(99)).is_err());
}

#[test]
fn every_device_is_opened_by_its_name() {
    let mut seen = 0;
    for adapter in list_devices().iter().filter(|adapter| adapter.missing.is_empty()) {
        let name = adapter.info.name.to_uppercase();
        let device = open(&DeviceSelector::Name(name)).unwrap();
        assert_eq!(device.info().name, adapter.info.name);
        seen += 1;
    }
    assert!(seen > 0, "run `cargo xtask setup`");
    open(&DeviceSelector::Best).unwrap();
}

#[test]
fn the_cpu_device_is_there_and_listed_last() {
    let devices = list_devices();
    let last = devices.last().unwrap();
    assert_eq!(last.info.kind, DeviceKind::Interpreter);
    assert!(last.missing.is_empty());
    for selector in [DeviceSelector::Cpu, DeviceSelector::Index(devices.len() - 1)] {
        assert_eq!(open(&selector).unwrap().info(), &last.info);
    }
    assert!(Adapter::select(&DeviceSelector::Cpu).is_err());
}
