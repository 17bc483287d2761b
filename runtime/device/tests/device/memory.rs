//! The ledger: what counts, until when, and that nothing leaks.

use isobit_device::{BufferUsage, DeviceError, Source};

use crate::{MIB, SCALE, kernel, on_every_device, one_dispatch, storage, whole};

#[test]
fn a_job_gets_no_more_memory_than_its_limit() {
    on_every_device(|device| {
        device.set_memory_limit(10 * MIB);
        let first = device.create_buffer(6 * MIB, BufferUsage::STORAGE).unwrap();
        let refused = device.create_buffer(5 * MIB, BufferUsage::STORAGE).unwrap_err();
        assert!(
            matches!(refused, DeviceError::OutOfMemory { requested, in_use, maximum }
                if (requested, in_use, maximum) == (5 * MIB, 6 * MIB, 10 * MIB)),
            "{refused:?}"
        );
        device.create_buffer(4 * MIB, BufferUsage::STORAGE).unwrap();
        device.release(first.into());
        device.create_buffer(6 * MIB, BufferUsage::STORAGE).unwrap();
        assert_eq!(device.memory().in_use, 10 * MIB);
        device.set_memory_limit(0);
        assert!(device.create_buffer(4, BufferUsage::STORAGE).is_err());
    });
}

#[test]
fn a_released_buffer_counts_while_a_bind_group_holds_it() {
    on_every_device(|device| {
        let module = device.create_shader_module(&kernel(SCALE)).unwrap();
        let pipeline = device.create_compute_pipeline(module, None, None, &[]).unwrap();
        let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
        let (a, b) = (storage(device, &[1]), storage(device, &[2]));
        let group = device.create_bind_group(layout, &[whole(0, a), whole(1, b)]).unwrap();
        device.release(a.into());
        device.release(b.into());
        assert_eq!(device.memory().in_use, 8);
        device.submit(&one_dispatch(pipeline, group, 1)).unwrap();
        device.release(group.into());
        assert_eq!(device.memory().in_use, 0);
        assert_eq!(device.memory().peak, 8);
    });
}

#[test]
fn a_job_that_releases_what_it_makes_leaks_nothing() {
    on_every_device(|device| {
        device.set_memory_limit(64 * MIB);
        let module = device.create_shader_module(&kernel(SCALE)).unwrap();
        let pipeline = device.create_compute_pipeline(module, None, None, &[]).unwrap();
        let bytes = vec![1; 8 << 20];
        // 16 times the limit in all, with work under way throughout.
        for _ in 0..32 {
            let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
            let a = device.create_buffer(16 * MIB, BufferUsage::STORAGE).unwrap();
            let b = device.create_buffer(16 * MIB, BufferUsage::STORAGE).unwrap();
            device.write(a, 0, Source::Slice(&bytes)).unwrap();
            let group = device.create_bind_group(layout, &[whole(0, a), whole(1, b)]).unwrap();
            device.submit(&one_dispatch(pipeline, group, 64)).unwrap();
            for id in [layout.into(), a.into(), b.into(), group.into()] {
                device.release(id);
            }
            assert_eq!(device.memory().in_use, 0);
        }
        device.wait().unwrap();
        assert_eq!(device.memory().peak, 32 * MIB);
    });
}

#[test]
fn a_refused_request_costs_nothing() {
    on_every_device(|device| {
        device.set_memory_limit(MIB);
        for _ in 0..100 {
            assert!(device.create_buffer(2 * MIB, BufferUsage::STORAGE).is_err());
            assert!(device.create_buffer(3, BufferUsage::STORAGE).is_err());
        }
        assert_eq!(device.memory().in_use, 0);
        device.create_buffer(MIB, BufferUsage::STORAGE).unwrap();
    });
}
