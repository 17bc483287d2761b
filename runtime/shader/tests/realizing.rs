//! What the second stage makes of lowered kernels: always a module that validates, and what must be in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use isobit_shader::{Profile, Tier, prepare};

fn realize(wgsl: &str, tier: Tier) -> String {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}"));
    let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_or_else(|error| panic!("{error}"));
    lowered.emit(Some(tier)).unwrap_or_else(|error| panic!("{error}"))
}

const KERNEL: &str = "
struct Particle { position: vec3f, mass: f32, turn: mat3x3f, parts: array<vec2f, 3> }
@group(0) @binding(0) var<storage, read> input: array<Particle>;
@group(0) @binding(1) var<storage, read_write> output: array<Particle>;
@group(0) @binding(2) var<storage, read_write> counts: array<atomic<u32>>;
const TABLE = array<f32, 4>(1.0, 0.5, 0.0, 2.5);
const LARGE = array<f32, 70>();
var<workgroup> tile: array<f32, 64>;
var<private> state: vec2f;
var<private> scaled = mat2x3f(1.0, 0.0, 0.0, 0.0, 1.0, 0.0);
fn helper(x: ptr<function, f32>, m: mat3x3f, n: i32) -> vec3f {
    *x = -*x * 2.0;
    if n > 3 { return m * vec3f(*x); }
    return vec3f(f32(n), *x, 0.5) * m;
}
fn integers(n: i32) -> i32 { switch n { case 1, 2: { return 1; } case 3: { break; } default: { return n * 2; } } return -1; }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    var p = input[id.x];
    var local: array<vec2f, 4>;
    var many: array<f32, 100>;
    var known = array<f32, 2>(1.0, 0.0);
    var x = p.mass / 3.0 + TABLE[lane % 4u] + LARGE[lane] + 1.0 / p.mass;
    tile[lane] = floor(x) - x;
    workgroupBarrier();
    let same = workgroupUniformLoad(&tile[0]);
    for (var i = 0u; i < 20u; i++) {
        x += tile[(lane + i) & 63u] * fma(x, 2.0, same);
        if x > 100.0 || x != x { continue; }
        local[i % 4u] -= x;
        known[i % 2u] *= x;
        many[i] = x;
        state = state * x + vec2f(vec2i(vec2f(x)));
    }
    var k = 0;
    loop { k++; if k > 5 { break; } continuing { x = x * 0.5; break if x < 0.001; } }
    p.position = helper(&x, p.turn, integers(k)) + inverseSqrt(p.position) + abs(trunc(p.position));
    p.mass = select(0.0, sqrt(x), x <= 1.0) + local[1].x + known[1] + many[3] + state.y + (scaled * state).z;
    p.parts[1] = round(p.parts[1].yx) + ceil(p.parts[2]);
    atomicAdd(&counts[lane], u32(max(x, 0.0)));
    output[id.x] = p;
}";

#[test]
fn a_kernel_of_everything_is_realized_in_both_tiers() {
    let native = realize(KERNEL, Tier::A);
    for wanted in ["let _e2 = system_params.zero", "dp32_zero", "dp32_divide", "dp32_reciprocal", "dp32_inverse_sqrt"] {
        assert!(native.contains(wanted), "no {wanted} in:\n{native}");
    }
    // No constant zero is left in values that a driver could follow.
    let body = native.split_once("fn main_body").unwrap().1;
    for unwanted in ["TABLE", " 0f", "(0f", "vec2<f32>()"] {
        assert!(!body.contains(unwanted), "{unwanted} in:\n{native}");
    }
    assert!(body.contains("LARGE"), "{native}");
    let integer = realize(KERNEL, Tier::B);
    assert!(!integer.contains("dp32_zero"), "{integer}");
    for wanted in ["dp32_multiply", "dp32_add", "dp32_less", "dp32_sqrt", "dp32_from_i32", "dp32_to_u32"] {
        assert!(integer.contains(wanted), "no {wanted} in:\n{integer}");
    }
}

/// The text of the kernel itself.
fn entry(text: &str) -> &str {
    text.split_once("fn main").unwrap().1
}

#[test]
fn each_result_passes_the_barrier() {
    let kernel = |expression: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read_write> data: array<f32>;
            @compute @workgroup_size(1) fn main() {{ let a = data[0]; let b = data[1]; let c = data[2];
                data[3] = {expression}; }}"
        )
    };
    let count = |expression: &str, part: &str| {
        let barriers = |text: &str| entry(&realize(text, Tier::A)).matches(part).count();
        barriers(&kernel(expression)) - barriers(&kernel("a"))
    };
    assert_eq!(count("a + b", ") | "), 1);
    assert_eq!(count("a * b + c", ") | "), 2);
    // One for the result, one so that a - a is not taken for zero.
    assert_eq!((count("a - b", ") | "), count("a - b", ") ^ ")), (1, 1));
    assert_eq!(count("a - 2.0", ") | "), 1);
    assert_eq!(count("floor(a)", ") | "), 1);
    assert_eq!(count("abs(a)", ") | "), 0);
    assert_eq!(count("a * b", "> 8388608i"), 1);
    assert_eq!(count("a + b", "> 8388607i"), 1);
    assert_eq!(count("select(a, b, a < b)", "<= 2139095040i"), 1);
}

#[test]
fn tier_b_computes_with_no_float() {
    let text = realize(KERNEL, Tier::B);
    let (module, info) = {
        let kernel = prepare(KERNEL, Profile::Dp32).unwrap();
        let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap();
        let module = lowered.realize(Tier::B).unwrap();
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
            .validate(&module)
            .unwrap();
        (module, info)
    };
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entry = &module.entry_points.first().unwrap().function;
    for (function, info) in functions.chain([(entry, info.get_entry_point(0))]) {
        let is_float = |handle: naga::Handle<naga::Expression>| {
            let scalar = info[handle].ty.inner_with(&module.types).scalar();
            scalar.is_some_and(|scalar| scalar.kind == naga::ScalarKind::Float)
        };
        for (_, expression) in function.expressions.iter() {
            let computes = match *expression {
                naga::Expression::Binary { left, .. } => is_float(left),
                naga::Expression::Unary { expr, .. } => is_float(expr),
                naga::Expression::Math { arg, .. } => is_float(arg),
                naga::Expression::As { expr, convert: Some(_), .. } => is_float(expr),
                _ => false,
            };
            assert!(!computes, "{expression:?} in {:?} of:\n{text}", function.name);
        }
    }
}
