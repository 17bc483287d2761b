//! From text to a module for a device, and a run on the CPU: whatever the text is, there must be an answer; what is accepted
//! must validate in every form, run to its end, and give the same bits when it is run in integers only. Holds for the fuzzer's texts and for the seeds, see `README.md`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use isobit_shader::dp32::{Status, SystemParams};
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers};
use isobit_shader::{KernelError, Lowered, Profile, Tier, prepare};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Whether the text is a kernel under profile dp32, with an entry point that runs without values for overrides. Panics where the
/// compiler breaks a promise.
pub fn check(text: &str) -> bool {
    let Ok(kernel) = prepare(text, Profile::Dp32) else {
        return false;
    };
    let mut accepted = false;
    for name in kernel.entry_point_names() {
        let lowered = kernel.entry_point(Some(name)).and_then(|_| kernel.resolve(Some(name), &[])?.lower());
        let lowered = match lowered {
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
        accepted = true;
    }
    accepted
}

/// A panic in the compiler aborts by itself; a module that does not validate is a fault.
fn assert_refusal(error: &KernelError) {
    assert!(matches!(error, KernelError::Refused(_)), "{error}");
}

/// Runs a workgroup as it is defined and in integers only, which must agree. Runs stay short by the budget.
fn run(lowered: &Lowered) {
    let entry_point = lowered.entry_point();
    let invocations: u64 = entry_point.workgroup_size.iter().map(|&side| u64::from(side)).product();
    let sizes = entry_point.bindings.iter().map(|binding| binding.min_size);
    if invocations > 256 || entry_point.workgroup_bytes > 16 << 10 || sizes.sum::<u64>() > 1 << 20 {
        return;
    }
    let defined = match Program::compile(lowered.module(), lowered.info()) {
        Ok(program) => outcome(&program, lowered),
        Err(error) => return assert_refusal(&error),
    };
    let finished = u32::from(lowered.reports());
    assert_eq!((defined.1.finished, defined.1.left_loop), (finished, false));

    let Ok(module) = lowered.realize(Tier::B) else { return };
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
    let in_integers = info.map(|info| Program::compile(&module, &info));
    match in_integers {
        Ok(Ok(program)) => assert_eq!(outcome(&program, lowered), defined),
        Ok(Err(error)) => panic!("{error}"),
        Err(error) => panic!("{error}"),
    }
}

/// What a workgroup leaves in the buffers, and reports.
fn outcome(program: &Program, lowered: &Lowered) -> (Vec<Vec<u32>>, Status) {
    let entry_point = lowered.entry_point();
    let words = |bytes: u64| -> Vec<AtomicU32> {
        let words = 0..u32::try_from(bytes.div_ceil(4)).unwrap_or(0);
        words.map(|word| AtomicU32::new(word.wrapping_mul(0x9e37_79b9))).collect()
    };
    let params = SystemParams { workgroup_offset: [1, 0, 0], num_workgroups: [3, 1, 1], budget: 2000 };
    let system = SystemBuffers::new(params);
    let guest: Vec<_> = entry_point.bindings.iter().map(|binding| words(binding.min_size)).collect();
    let mut buffers = Buffers::new();
    buffers.bind_system(&system);
    for (binding, words) in entry_point.bindings.iter().zip(&guest) {
        buffers.bind(binding.group, binding.binding, words);
    }
    assert!(program.run(&buffers, [1, 1, 1], &AtomicBool::new(false)).is_ok());
    let invocations = entry_point.workgroup_size.iter().map(|&side| u64::from(side)).product();
    let left = guest.iter().map(|words| words.iter().map(|word| word.load(Ordering::Relaxed)).collect()).collect();
    (left, system.status(invocations))
}
