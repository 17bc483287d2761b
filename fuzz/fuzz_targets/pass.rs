//! From text to a module for a device, and a run on the CPU: whatever the text is, there must be an answer; what is accepted
//! must validate in every form, and run to its end.
#![no_main]

use std::sync::atomic::{AtomicBool, AtomicU32};

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{Diagnostic, Lowered, Profile, Tier, prepare};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(kernel) = prepare(text, Profile::Dp32) else {
        return;
    };
    for entry_point in kernel.entry_points() {
        let lowered = match kernel.lower(entry_point, &[]) {
            Ok(lowered) => lowered,
            // An override has no value, or its value brings something to light.
            Err(error) => {
                assert_refusal(&error);
                continue;
            }
        };
        for tier in [None, Some(Tier::A), Some(Tier::B)] {
            if let Err(error) = lowered.emit(tier) {
                assert_refusal(&error);
            }
        }
        run(&lowered);
    }
});

/// A panic in the compiler aborts by itself; a module that does not validate is reported as a defect.
fn assert_refusal(error: &Diagnostic) {
    assert!(!error.message.contains("a defect of profile dp32"), "{error}");
}

/// Workgroups and buffers that devices take; runs stay short by the budget.
fn run(lowered: &Lowered) {
    let entry_point = lowered.entry_point();
    let invocations: u64 = entry_point.workgroup_size.iter().map(|&side| u64::from(side)).product();
    let sizes = entry_point.bindings.iter().map(|binding| binding.min_size);
    if invocations > 256 || entry_point.workgroup_bytes > 16 << 10 || sizes.sum::<u64>() > 1 << 20 {
        return;
    }
    let program = match Program::compile(lowered.module(), lowered.info()) {
        Ok(program) => program,
        Err(error) => return assert_refusal(&error),
    };
    let words = |bytes: u64| -> Vec<AtomicU32> {
        (0..bytes.div_ceil(4)).map(|word| AtomicU32::new((word as u32).wrapping_mul(0x9e37_79b9))).collect()
    };
    let params = SystemParams { workgroup_offset: [1, 0, 0], num_workgroups: [3, 1, 1], budget: 2000 };
    let system = SystemBuffers::new(params);
    let guest: Vec<_> = entry_point.bindings.iter().map(|binding| words(binding.min_size)).collect();
    let mut buffers = Buffers::new();
    buffers.bind_system(&system);
    for (binding, words) in entry_point.bindings.iter().zip(&guest) {
        buffers.bind(binding.group, binding.binding, words);
    }
    assert!(program.run(&buffers, [2, 1, 1], &AtomicBool::new(false)).is_ok());
    let status = system.status(invocations);
    let finished = if lowered.reports() { 2 } else { 0 };
    assert_eq!((status.finished, status.left_loop), (finished, false));
}
