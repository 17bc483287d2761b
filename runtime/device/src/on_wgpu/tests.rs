//! Devices that are lost, panic, or never finish.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use isobit_job::{Fault, FaultKind};
use isobit_shader::{Profile, prepare};

use super::guard::Guard;
use crate::core::backend::Waits;
use crate::seen::adapters;
use crate::verdicts::Suspicions;
use crate::{
    Adapter, AdapterOptions, BufferUsage, Device, DeviceClass, DeviceError, Gpu, JobLimits, Policy, Source, Stop,
};

fn lost<T: std::fmt::Debug>(result: Result<T, impl Into<DeviceError>>) {
    match result.map_err(Into::into) {
        Err(DeviceError::Fault(Fault { kind: FaultKind::DeviceLost, .. })) => {}
        other => panic!("{other:?}"),
    }
}

/// Before the loss is noticed a call may seem to work, but it must not fail with a mistake of the guest's.
fn not_the_guests<T: std::fmt::Debug>(result: Result<T, DeviceError>) {
    assert!(matches!(result, Ok(_) | Err(DeviceError::Fault(_))), "{result:?}");
}

/// A job's device, and its backend's guard.
fn open(adapter: &Adapter) -> (Gpu, Guard) {
    let backend = adapter.backend(AdapterOptions::default()).unwrap();
    let guard = backend.guard.clone();
    let device = Device::new(Box::new(backend), Suspicions::default());
    let policy = Policy { patience: Duration::from_secs(2), ..Policy::default() };
    let limits = JobLimits { memory: 1 << 20, kernel_fuel: u64::MAX, class: DeviceClass::Base };
    (device.with(policy).start(limits, Stop::default()), guard)
}

#[test]
fn a_lost_device_answers_every_call_with_a_fault() {
    for adapter in adapters() {
        println!("running on {}", adapter.info().name);
        let (mut gpu, guard) = open(&adapter);
        let kernel = prepare(
            "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(1) fn main() { a[0] = 1u; }",
            Profile::Native,
        )
        .unwrap();
        let buffer = gpu.create_buffer(1 << 17, BufferUsage::STORAGE).unwrap();
        let other = gpu.create_buffer(4, BufferUsage::STORAGE).unwrap();
        gpu.write(&buffer, 0, Source::Slice(&[1; 8])).unwrap();
        let readback = gpu.read(&buffer, 0, 8).unwrap();
        let mut encoder = gpu.create_command_encoder();
        encoder.clear_buffer(&other, 0, 4);
        let clear = encoder.finish().unwrap();
        guard.device.destroy();
        not_the_guests(gpu.create_buffer(4, BufferUsage::STORAGE));
        not_the_guests(gpu.create_compute_pipeline(&kernel, None, None, &[]));
        not_the_guests(gpu.submit(&clear));
        lost(gpu.wait());
        assert_eq!(readback[..], [1; 8]);
        drop(readback);
        lost(gpu.write(&buffer, 0, Source::Slice(&[1; 8])));
        lost(gpu.write(&buffer, 0, Source::Slice(&[1; 1 << 17])));
        lost(gpu.read(&buffer, 0, 4));
        lost(gpu.submit(&clear));
        lost(gpu.create_buffer(4, BufferUsage::STORAGE));
    }
}

#[test]
fn a_panic_below_loses_the_device_and_nothing_else() {
    for adapter in adapters() {
        let (mut gpu, guard) = open(&adapter);
        lost(guard.run(|_| panic!("from below")));
        lost(gpu.create_buffer(4, BufferUsage::STORAGE));
    }
}

#[test]
fn a_compiler_that_takes_too_long_is_left_behind() {
    let waits = |patience, stop| Waits { patience, stop };
    for adapter in adapters() {
        let (_gpu, guard) = open(&adapter);
        let long = Duration::from_secs(600);
        let (end, ended) = mpsc::channel::<()>();
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let compile = move |_: &wgpu::Device| {
            begun.store(true, Relaxed);
            // Blocks until the test ends.
            ended.recv().unwrap_err();
        };
        let stop = Stop::when(move || seen.load(Relaxed).then_some(FaultKind::Cancelled));
        let given_up = guard.compile(&waits(long, stop), compile).unwrap_err();
        assert_eq!(given_up.kind, FaultKind::Cancelled);
        let (end_too, ended) = mpsc::channel::<()>();
        let compile = move |_: &wgpu::Device| ended.recv().unwrap_err();
        let given_up = guard.compile(&waits(Duration::from_millis(1), Stop::default()), compile).unwrap_err();
        assert_eq!(given_up.kind, FaultKind::DeviceTimeout);
        lost(guard.compile(&waits(long, Stop::default()), |_| -> () { panic!("from below") }));
        drop((end, end_too));
    }
}
