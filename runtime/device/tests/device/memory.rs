//! The ledger: what counts, until when, and that nothing leaks.

use isobit_device::{BufferUsage, DeviceError, Source};

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
        let mut kept: Vec<_> = (0..16).map(|_| record(most).unwrap()).collect();
        assert_eq!(crate::exceeded(record(1)), ("recorded-commands", MIB, MIB + 1));
        kept.pop();
        record(most).unwrap();
    });
}
