//! The ledger: what counts, until when, and that nothing leaks.

use isobit_device::{BufferUsage, DeviceError, Gpu, GroupEntry, MAX_HOST_MEMORY, Source};

use crate::{MIB, SCALE, Setting, dispatch, kernel, on_every_device, storage, whole};

#[test]
fn a_job_gets_no_more_memory_than_its_limit() {
    Setting::memory(10 * MIB).on_every_device(|device| {
        let first = device.create_buffer(6 * MIB, BufferUsage::STORAGE).unwrap();
        let refused = device.create_buffer(5 * MIB, BufferUsage::STORAGE).unwrap_err();
        assert!(
            matches!(refused, DeviceError::OutOfMemory { requested, in_use, maximum }
                if (requested, in_use, maximum) == (5 * MIB, 6 * MIB, 10 * MIB)),
            "{refused:?}"
        );
        let _second = device.create_buffer(4 * MIB, BufferUsage::STORAGE).unwrap();
        drop(first);
        let _third = device.create_buffer(6 * MIB, BufferUsage::STORAGE).unwrap();
        assert_eq!(device.memory().in_use, 10 * MIB);
        assert!(device.create_buffer(4, BufferUsage::STORAGE).is_err());
    });
    Setting::memory(0).on_every_device(|device| {
        assert!(device.create_buffer(4, BufferUsage::STORAGE).is_err());
    });
}

#[test]
fn a_buffer_without_a_handle_counts_while_a_bind_group_holds_it() {
    on_every_device(|device| {
        let kernel = kernel(SCALE);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let (a, b) = (storage(device, &[1]), storage(device, &[2]));
        let group = device.create_bind_group(&layout, &[whole(0, &a), whole(1, &b)]).unwrap();
        drop((a, b));
        assert_eq!(device.memory().in_use, 8);
        dispatch(device, &pipeline, &group, 1).unwrap();
        drop(group);
        assert_eq!(device.memory().in_use, 0);
        assert_eq!(device.memory().peak, 8);
    });
}

#[test]
fn a_job_that_releases_what_it_makes_leaks_nothing() {
    Setting::memory(64 * MIB).on_every_device(|device| {
        let kernel = kernel(SCALE);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        let bytes = vec![1; 8 << 20];
        // 16 times the limit in all, with work under way throughout.
        for _ in 0..32 {
            let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
            let a = device.create_buffer(16 * MIB, BufferUsage::STORAGE).unwrap();
            let b = device.create_buffer(16 * MIB, BufferUsage::STORAGE).unwrap();
            device.write(&a, 0, Source::Slice(&bytes)).unwrap();
            let group = device.create_bind_group(&layout, &[whole(0, &a), whole(1, &b)]).unwrap();
            dispatch(device, &pipeline, &group, 64).unwrap();
            drop((layout, a, b, group));
            assert_eq!(device.memory().in_use, 0);
        }
        device.wait().unwrap();
        assert_eq!(device.memory().peak, 32 * MIB);
    });
}

#[test]
fn a_refused_request_costs_nothing() {
    Setting::memory(MIB).on_every_device(|device| {
        for _ in 0..100 {
            assert!(device.create_buffer(2 * MIB, BufferUsage::STORAGE).is_err());
            assert!(device.create_buffer(3, BufferUsage::STORAGE).is_err());
        }
        assert_eq!(device.memory().in_use, 0);
        device.create_buffer(MIB, BufferUsage::STORAGE).unwrap();
    });
}

#[test]
fn recorded_commands_hold_what_they_touch() {
    on_every_device(|device| {
        let buffer = storage(device, &[1, 2]);
        let mut encoder = device.create_command_encoder();
        encoder.clear_buffer(&buffer, 0, 4);
        let commands = encoder.finish().unwrap();
        drop(buffer);
        assert_eq!(device.memory().in_use, 8);
        device.submit(&commands).unwrap();
        device.submit(&commands).unwrap();
        drop(commands);
        assert_eq!(device.memory().in_use, 0);
        device.wait().unwrap();
    });
}

#[test]
fn all_recorded_commands_together_are_bounded() {
    on_every_device(|device| {
        let buffer = storage(device, &[1]);
        let record = |commands: u32| {
            let mut encoder = device.create_command_encoder();
            (0..commands).for_each(|_| encoder.clear_buffer(&buffer, 0, 4));
            encoder.finish()
        };
        let most = 64 << 10;
        assert_eq!(crate::exceeded(record(most + 1)), ("commands", u64::from(most), u64::from(most) + 1));
        // 512 bytes each, and the buffer has some, too.
        let mut kept: Vec<_> = (0..15).map(|_| record(most).unwrap()).collect();
        let (limit, maximum, _) = crate::exceeded(record(most));
        assert_eq!((limit, maximum), ("host-memory", MAX_HOST_MEMORY));
        kept.pop();
        record(most).unwrap();
    });
}

/// Whatever a guest has the host remember counts together, so that none of it is a way around the others.
#[test]
fn all_that_a_guest_has_the_host_remember_is_bounded_together() {
    on_every_device(|device| {
        let kernel = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(64) fn main() { a[0] = 1u; }";
        let kernel = isobit_shader::prepare(kernel, isobit_shader::Profile::Dp32).unwrap();
        let buffer = storage(device, &[1]);
        let record = |commands: u32| {
            let mut encoder = device.create_command_encoder();
            (0..commands).for_each(|_| encoder.clear_buffer(&buffer, 0, 4));
            encoder.finish().unwrap()
        };
        let mut kept: Vec<_> = (0..15).map(|_| record(64 << 10)).collect();
        kept.push(record(65_400));
        let full = |refused: Result<(), DeviceError>| {
            let (limit, maximum, requested) = crate::exceeded(refused);
            assert_eq!((limit, maximum), ("host-memory", MAX_HOST_MEMORY));
            assert!(requested > maximum);
        };
        let pipeline = |device: &mut Gpu| device.create_compute_pipeline(&kernel, None, None, &[]);
        full(pipeline(device).map(drop));
        full(device.charge_kernel(&kernel).map(drop));
        let buffers: Vec<_> = std::iter::from_fn(|| device.create_buffer(4, BufferUsage::STORAGE).ok()).collect();
        assert!(buffers.len() < 64, "{}", buffers.len());
        full(device.create_buffer(4, BufferUsage::STORAGE).map(drop));
        drop((kept, buffers));

        // What goes is given back, as often as one likes.
        let pipeline = pipeline(device).unwrap();
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let entry = || GroupEntry { binding: 0, buffer: buffer.clone(), offset: 0, size: None };
        let mut groups = Vec::new();
        let refused = loop {
            match device.create_bind_group(&layout, &[entry()]) {
                Ok(group) => groups.push(group),
                Err(error) => break error,
            }
        };
        full(Err(refused));
        assert!(groups.len() < 512 << 10, "{}", groups.len());
        drop(groups);
        for _ in 0..100 {
            let charges: Vec<_> = (0..64).map(|_| device.charge_kernel(&kernel).unwrap()).collect();
            drop(charges);
        }
    });
}
