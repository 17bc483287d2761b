//! Each primitive of profile dp32 on every adapter in tier A and tier B, on the CPU device, and as Rust computes it; and each builtin
//! on all devices.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::eq_op,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a test's helpers panic like the test"
)]

#[path = "../../src/probe/kernels.rs"]
mod kernels;
#[path = "../../../../tests/support/seen.rs"]
mod seen;
#[path = "../../src/probe/vectors.rs"]
mod vectors;

use isobit_device::{
    Adapter, AdapterOptions, Buffer, BufferUsage, Device, DeviceClass, DeviceSelector, Gpu, GroupEntry, JobLimits,
    Source, Stop, list_adapters, open_cpu,
};
use isobit_shader::{Kernel, Profile, Tier, prepare};
use kernels::{BUILTINS, PRIMITIVES, VECTOR_BUILTINS, WORKGROUP, kernel};
use vectors::Vectors;

/// A multiple of the number of components of every vector.
const SOME: usize = 100_800;
/// As many as one dispatch of scalars can have.
const MANY: usize = 65_535 * WORKGROUP / 12 * 12;

fn flushed(bits: u32) -> f32 {
    f32::from_bits(if bits & 0x7f80_0000 == 0 { 0 } else { bits })
}

fn canonical(value: f32) -> u32 {
    if value.is_nan() {
        0x7fc0_0000
    } else if value.abs() < f32::MIN_POSITIVE {
        0
    } else {
        value.to_bits()
    }
}

fn product(value: f32) -> u32 {
    if value.abs() <= f32::MIN_POSITIVE { 0 } else { canonical(value) }
}

fn quotient(x: f32, y: f32) -> u32 {
    // A zero has no sign.
    if y == 0.0 && x != 0.0 && !x.is_nan() { canonical(f32::INFINITY.copysign(x)) } else { product(x / y) }
}

/// What Rust computes.
fn expected(name: &str, first: u32, second: u32) -> u32 {
    let (x, y) = (flushed(first), flushed(second));
    match name {
        "a sum" => canonical(x + y),
        "a difference" => canonical(x - y),
        "a product" => product(x * y),
        "a quotient" => quotient(x, y),
        "a reciprocal" => quotient(1.0, x),
        "a square root" => canonical(x.sqrt()),
        "an inverse square root" => quotient(1.0, x.sqrt()),
        "a negation" => canonical(-x),
        "an absolute value" => canonical(x.abs()),
        "floor" => canonical(x.floor()),
        "ceil" => canonical(x.ceil()),
        "trunc" => canonical(x.trunc()),
        "round" => canonical(x.round_ties_even()),
        "equality" => u32::from(x == y),
        "inequality" => u32::from(x != y),
        "less" => u32::from(x < y),
        "less or equal" => u32::from(x <= y),
        "greater" => u32::from(x > y),
        "greater or equal" => u32::from(x >= y),
        "not less" => u32::from(x >= y || x.is_nan() || y.is_nan()),
        "not greater or equal" => u32::from(x < y || x.is_nan() || y.is_nan()),
        // A choice moves the bits.
        "the lesser" => {
            if x < y {
                first
            } else {
                second
            }
        }
        // The nearest number that both types have.
        "f32 to i32" => (x as i32).min(2_147_483_520) as u32,
        "f32 to u32" => (x as u32).min(4_294_967_040),
        "i32 to f32" => canonical(first as i32 as f32),
        "u32 to f32" => canonical(first as f32),
        "a number less itself" | "a number and its negative" => canonical(x + -x),
        "a product with zero" => product(x * 0.0),
        "a product with 0 or 1" => product(x * (first & 1) as f32),
        "a product with itself" => product(x * x),
        other => panic!("no model of {other}"),
    }
}

fn prepared(wgsl: &str, profile: Profile) -> Kernel {
    prepare(wgsl, profile).unwrap_or_else(|error| panic!("{error}\n{wgsl}"))
}

/// A device that runs kernels over operands which it keeps.
struct Bench {
    gpu: Gpu,
    inputs: Vec<Buffer>,
    result: Buffer,
    count: usize,
}

impl Bench {
    fn new(device: Device, operands: &[Vec<u32>; 3]) -> Self {
        let mut gpu = device
            .start(JobLimits { memory: 1 << 30, kernel_fuel: u64::MAX, class: DeviceClass::Base }, Stop::default());
        let mut buffer = |words: &[u32]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let buffer = gpu.create_buffer(bytes.len() as u64, BufferUsage::STORAGE).unwrap();
            gpu.write(&buffer, 0, Source::Slice(&bytes)).unwrap();
            buffer
        };
        let inputs = operands.iter().map(|words| buffer(words)).collect();
        let count = operands[0].len();
        let result = buffer(&vec![0xdead_beef; count]);
        Self { gpu, inputs, result, count }
    }

    fn run(&mut self, kernel: &Kernel, width: usize) -> Vec<u32> {
        let gpu = &mut self.gpu;
        let pipeline = gpu.create_compute_pipeline(kernel, None, None, &[]).unwrap();
        let layout = gpu.bind_group_layout_of(&pipeline, 0).unwrap();
        let bound = self.inputs.iter().chain([&self.result]).cloned().zip(0..);
        let entries: Vec<_> =
            bound.map(|(buffer, binding)| GroupEntry { binding, buffer, offset: 0, size: None }).collect();
        let group = gpu.create_bind_group(&layout, &entries).unwrap();
        let x = (self.count / width).div_ceil(WORKGROUP) as u32;
        let mut encoder = gpu.create_command_encoder();
        encoder.begin_pass();
        encoder.set_pipeline(&pipeline);
        encoder.set_bind_group(0, &group, &[]);
        encoder.dispatch([x, 1, 1]);
        encoder.end_pass();
        gpu.submit(&encoder.finish().unwrap()).unwrap();
        let bytes = gpu.read(&self.result, 0, 4 * self.count as u64).unwrap();
        let (words, _) = bytes.as_chunks::<4>();
        words.iter().map(|word| u32::from_le_bytes(*word)).collect()
    }
}

/// Every adapter that can run kernels.
fn capable() -> Vec<Adapter> {
    let adapters = list_adapters();
    let capable: Vec<_> = adapters.iter().filter(|adapter| adapter.missing.is_empty()).collect();
    assert!(!capable.is_empty(), "no adapter can run kernels here ({adapters:?}): run `cargo xtask setup`");
    seen::expect_drivers(capable.iter().map(|adapter| adapter.info.name.as_str()));
    capable.iter().map(|adapter| Adapter::select(&DeviceSelector::Index(adapter.index)).unwrap()).collect()
}

fn on_adapter(adapter: &Adapter, tier: Tier, operands: &[Vec<u32>; 3]) -> Bench {
    Bench::new(adapter.open(AdapterOptions { tier, staging_only: false }).unwrap(), operands)
}

/// Every way to run a kernel: the CPU device, which interprets it, and each adapter in both tiers.
fn everywhere(operands: &[Vec<u32>; 3], mut check: impl FnMut(&str, &mut dyn FnMut(&Kernel, usize) -> Vec<u32>)) {
    let mut bench = Bench::new(open_cpu().unwrap(), operands);
    check("the CPU device", &mut |kernel, width| bench.run(kernel, width));
    for adapter in capable() {
        for tier in [Tier::A, Tier::B] {
            let mut bench = on_adapter(&adapter, tier, operands);
            let place = format!("{} in tier {tier:?}", adapter.info().name);
            check(&place, &mut |kernel, width| bench.run(kernel, width));
        }
    }
}

fn check_primitives(seed: u64, count: usize, widths: impl Fn(usize) -> Vec<usize>) {
    let operands = Vectors::new(seed).triples(count);
    everywhere(&operands, |place, run| {
        for (index, (name, expression)) in PRIMITIVES.iter().enumerate() {
            for width in widths(index) {
                let results = run(&prepared(&kernel(width, expression), Profile::Dp32), width);
                let [first, second, _] = &operands;
                for ((x, y), result) in first.iter().zip(second).zip(results) {
                    let wanted = expected(name, *x, *y);
                    assert!(
                        result == wanted,
                        "{name} of {x:#010x} and {y:#010x}, {width} at a time on {place}: {result:#010x}, not {wanted:#010x}"
                    );
                }
            }
        }
    });
}

#[test]
fn primitives_give_the_same_bits_everywhere() {
    // As scalars, and as vectors of two, three or four.
    check_primitives(1, SOME, |index| vec![1, 2 + index % 3]);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test --long` runs it"]
fn primitives_give_the_same_bits_everywhere_at_length() {
    for seed in 2..5 {
        check_primitives(seed, MANY, |index| vec![1, 2 + (index + seed as usize) % 3]);
    }
}

/// Builtins that the probe leaves out, and parts of those that it checks together. As for [`PRIMITIVES`], with scalars.
const PARTS: &[(&str, &str)] = &[
    ("the fraction of modf", "bitcast<U>(modf(x).fract)"),
    ("the whole of modf", "bitcast<U>(modf(x).whole)"),
    ("the fraction of frexp", "bitcast<U>(frexp(x).fract)"),
    ("the exponent of frexp", "bitcast<U>(frexp(x).exp)"),
    ("ldexp by anything", "bitcast<U>(ldexp(x, bitcast<I>(y)))"),
    ("ldexp by little", "bitcast<U>(ldexp(x, bitcast<I>(y) % 300))"),
    ("quantizeToF16", "bitcast<U>(quantizeToF16(x))"),
    ("pack2x16float", "pack2x16float(vec2f(x, y))"),
    ("pack2x16snorm", "pack2x16snorm(vec2f(x, y))"),
    ("pack2x16unorm", "pack2x16unorm(vec2f(x, y))"),
    ("pack4x8snorm", "pack4x8snorm(vec4f(x, y, z, x * y))"),
    ("pack4x8unorm", "pack4x8unorm(vec4f(x, y, z, x * y))"),
    ("unpack2x16float", "bitcast<U>(unpack2x16float(u).x) ^ (bitcast<U>(unpack2x16float(u).y) << U(1u))"),
    ("unpack2x16snorm", "bitcast<U>(unpack2x16snorm(u).x) ^ (bitcast<U>(unpack2x16snorm(u).y) << U(1u))"),
    ("unpack2x16unorm", "bitcast<U>(unpack2x16unorm(u).x) ^ (bitcast<U>(unpack2x16unorm(u).y) << U(1u))"),
    ("unpack4x8snorm", "bitcast<U>(dot(unpack4x8snorm(u), vec4f(1.0, 0.1, 0.01, 0.001)))"),
    ("unpack4x8unorm", "bitcast<U>(dot(unpack4x8unorm(u), vec4f(1.0, 0.1, 0.01, 0.001)))"),
    ("dot4I8Packed", "bitcast<U>(dot4I8Packed(u, bitcast<U>(y)))"),
    ("dot4U8Packed", "dot4U8Packed(u, bitcast<U>(y))"),
];

/// All that the CPU device makes of operands, compared with what every adapter makes of them in both tiers.
fn check_builtins(seed: u64, count: usize) {
    let operands = Vectors::new(seed).triples(count);
    let scalars = BUILTINS.iter().chain(PARTS).map(|builtin| (1, builtin));
    let vectors = VECTOR_BUILTINS.iter().map(|builtin| (3, builtin));
    let kernels: Vec<_> = scalars
        .chain(vectors)
        .map(|(width, (name, expression))| (*name, width, prepared(&kernel(width, expression), Profile::Dp32)))
        .collect();
    let mut expected: Vec<Vec<u32>> = Vec::new();
    everywhere(&operands, |place, run| {
        for (index, (name, width, kernel)) in kernels.iter().enumerate() {
            let results = run(kernel, *width);
            let Some(expected) = expected.get(index) else {
                expected.push(results);
                continue;
            };
            let differs = expected.iter().zip(&results).position(|(expected, result)| expected != result);
            if let Some(at) = differs {
                let [x, y, z] = operands.each_ref().map(|words| words[at]);
                let (result, expected) = (results[at], expected[at]);
                panic!("{name} of {x:#010x}, {y:#010x}, {z:#010x} on {place}: {result:#010x}, not {expected:#010x}");
            }
        }
    });
}

#[test]
fn builtins_give_the_same_bits_everywhere() {
    check_builtins(1, SOME);
}

#[test]
#[ignore = "takes minutes: 10^7 operands; `cargo xtask test --long` runs it"]
fn builtins_give_the_same_bits_everywhere_at_length() {
    for seed in 2..5 {
        check_builtins(seed, MANY);
    }
}

#[test]
#[ignore = "takes minutes; `cargo xtask test --long` runs it"]
fn roots_and_reciprocals_are_right_for_every_significand() {
    for exponent in [127_u32, 128] {
        let first: Vec<u32> = (0..1 << 23).map(|fraction| exponent << 23 | fraction).collect();
        let operands = [first.clone(), vec![0; first.len()], vec![0; first.len()]];
        everywhere(&operands, |place, run| {
            for (name, expression) in PRIMITIVES {
                if !["a reciprocal", "a square root", "an inverse square root"].contains(name) {
                    continue;
                }
                let results = run(&prepared(&kernel(4, expression), Profile::Dp32), 4);
                for (x, result) in first.iter().zip(results) {
                    assert_eq!(result, expected(name, *x, 0), "{name} of {x:#010x} on {place}");
                }
            }
        });
    }
}

/// Tier A's helper functions as they stand, but with estimates that are `units` in the last place off.
fn with_estimates_off(by: i32) -> String {
    let mut text = include_str!("../../../shader/src/prelude/tier_common.wgsl").to_owned();
    text += include_str!("../../../shader/src/prelude/tier_a.wgsl");
    for estimate in [
        "F(1.0) / bitcast<F>(fb | U(0x4b000000u))",
        "F(1.0) / bitcast<F>(fraction | U(0x4b000000u))",
        "bitcast<F>(fa | U(0x4b000000u)) * reciprocal",
        "inverseSqrt(radicand)",
        "radicand * reciprocal",
    ] {
        assert!(text.contains(estimate), "tier A has no {estimate}");
        text = text.replace(estimate, &format!("bitcast<F>(bitcast<U>({estimate}) + U({}u))", by as u32));
    }
    text
}

#[test]
fn divisions_and_roots_do_not_depend_on_their_estimates() {
    let operands =
        Vectors::new(9).triples(SOME).map(|words| words.into_iter().map(|bits| flushed(bits).to_bits()).collect());
    let functions = [
        ("a quotient", "dp32_divide(x, y)"),
        ("a reciprocal", "dp32_reciprocal(x)"),
        ("a square root", "dp32_sqrt(x)"),
        ("an inverse square root", "dp32_inverse_sqrt(x)"),
    ];
    for adapter in capable() {
        let mut bench = on_adapter(&adapter, Tier::A, &operands);
        for (by, (name, call)) in (-4..=4).flat_map(|by| functions.map(|function| (by, function))) {
            let body = format!("return bitcast<U>({call});");
            let wgsl = kernels::kernel_with(4, &with_estimates_off(by), &body);
            let results = bench.run(&prepared(&wgsl, Profile::Native), 4);
            for ((x, y), result) in operands[0].iter().zip(&operands[1]).zip(results) {
                let result = canonical(f32::from_bits(result));
                let place = &adapter.info().name;
                assert_eq!(result, expected(name, *x, *y), "{name} of {x:#010x} and {y:#010x} {by} off on {place}");
            }
        }
    }
}
