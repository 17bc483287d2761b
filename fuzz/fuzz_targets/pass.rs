//! From text to a module for a device: whatever the text is, there must be an answer, and what is accepted must
//! validate in every form.
#![no_main]

use isobit_shader::{Diagnostic, Profile, Tier, prepare};
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
    }
});

/// A panic in the compiler aborts by itself; a module that does not validate is reported as a defect.
fn assert_refusal(error: &Diagnostic) {
    assert!(!error.message.contains("a defect of profile dp32"), "{error}");
}
