//! What `isobit check --emit` prints is WGSL: isobit takes it again, and so does a parser that is not naga's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use isobit_shader::{Profile, Tier, prepare};

/// The text of a kernel in each form, checked by both parsers.
fn emitted(wgsl: &str) -> Vec<String> {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}\n{wgsl}"));
    let mut texts = Vec::new();
    for name in kernel.entry_point_names() {
        let Ok(lowered) = kernel.resolve(Some(name), &[]).and_then(|kernel| kernel.lower()) else { continue };
        for tier in [None, Some(Tier::A), Some(Tier::B)] {
            let text = lowered.emit(tier).unwrap();
            wgsl_parse::parse_str(&text).map(drop).unwrap_or_else(|error| panic!("{error}\n{text}"));
            match prepare(&text, Profile::Native) {
                Ok(_) => {}
                // The system's own group is no guest's, and what is too long stays too long.
                Err(error) if ["@group(3)", "too long"].iter().any(|text| error.to_string().contains(text)) => {}
                Err(error) => panic!("{error}\n{text}"),
            }
            texts.push(text);
        }
    }
    texts
}

#[test]
fn kernels_are_taken_again_as_they_are_emitted() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = 0;
    for folder in ["fuzz/seeds", "benches/kernels", "guest-examples", "sdk/templates"] {
        let mut open = vec![root.join(folder)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                let wgsl = std::fs::read_to_string(&path).unwrap();
                if prepare(&wgsl, Profile::Dp32).is_ok() {
                    texts += emitted(&wgsl).len();
                }
            }
        }
    }
    assert!(texts > 60, "{texts}");
}

#[test]
fn numbers_keep_their_bits() {
    let numbers = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-40, f32::from_bits(1), 1e16, 1e-5, 123_456.79, 3e-30];
    let stores: String = numbers.iter().enumerate().map(|(at, number)| format!("out[{at}] = {number:?}f;\n")).collect();
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(1) fn main() {{ {stores} }}"
    );
    for text in emitted(&wgsl) {
        assert!(text.contains("3.4028234663852886e38f"), "{text}");
        assert!(!text.contains("00000000000000000"), "{text}");
        let Ok(read) = prepare(&text, Profile::Native) else { continue };
        let resolved = read.resolve(Some("main"), &[]).unwrap();
        let module = resolved.module();
        for number in numbers.map(f32::abs).into_iter().filter(|number| number.is_normal()) {
            let is_number = |expression: &naga::Expression| {
                matches!(expression, naga::Expression::Literal(naga::Literal::F32(found))
                    if found.abs().to_bits() == number.to_bits())
            };
            let functions = module.functions.iter().map(|(_, function)| &function.expressions);
            let mut arenas = functions.chain(module.entry_points.iter().map(|entry| &entry.function.expressions));
            assert!(arenas.any(|arena| arena.iter().any(|(_, found)| is_number(found))), "{number} in {text}");
        }
    }
}

#[test]
fn deep_expressions_come_in_parts() {
    let sum = "+ x * 3u".repeat(900);
    let nested = format!("{}x{}", "(1u + ".repeat(150), ")".repeat(150));
    let called = format!("{}f32(x){}", "sin(".repeat(150), ")".repeat(150));
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(8) fn main(@builtin(local_invocation_index) x: u32) {{
            out[{nested} & 7u] = x {sum};
            if {nested} > 7u {{ out[1] = {nested}; }}
            switch {nested} {{ case 1u: {{ out[2] = u32({called}); }} default: {{ }} }}
            loop {{ out[3] += 1u; continuing {{ break if out[3] > {nested}; }} }}
        }}"
    );
    for text in emitted(&wgsl) {
        assert!(text.contains("let part_1 = "), "{text}");
    }
}
