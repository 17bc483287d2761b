//! What the first stage makes of kernels: always a module that validates.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers panic like the test")]

use isobit_shader::dp32::{Order, Unproved};
use isobit_shader::{Lowered, Profile, Tier, prepare};

fn lower(wgsl: &str) -> Lowered {
    let kernel = prepare(wgsl, Profile::Dp32).unwrap_or_else(|error| panic!("{error}"));
    let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower());
    lowered.unwrap_or_else(|error| panic!("{error}"))
}

const EVERYTHING: &str = "
struct Particle { position: vec3f, mass: f32, turn: mat3x3f, kind: u32, parts: array<vec2f, 3> }
@group(0) @binding(0) var<storage, read> input: array<Particle>;
@group(0) @binding(1) var<storage, read_write> output: array<Particle>;
@group(1) @binding(0) var<uniform> scale: vec4f;
@group(2) @binding(0) var<storage, read_write> counts: array<atomic<u32>>;
override STEPS: u32 = 4u;
const TABLE = array<f32, 4>(1.0, 1e-40, -0.0, 2.5);
var<workgroup> tile: array<f32, 64>;
var<private> state: u32 = 7u;
fn helper(x: ptr<function, f32>, m: mat3x3f, n: i32) -> vec3f {
    *x = *x * 2.0;
    if (n > 3) { return m * vec3f(*x); }
    return vec3f(f32(n), *x, 0.5) * m;
}
fn pick(n: i32) -> f32 { switch n { case 1, 2: { return 1.0; } case 3: { break; } default: { return 0.25; } } return -1.0; }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32,
        @builtin(num_workgroups) groups: vec3u) {
    var p = input[id.x];
    var x = p.mass / scale.y + TABLE[lane % 4u];
    var q = array<f32, 2>(1.0, 2.0);
    tile[lane] = x % 3.0;
    workgroupBarrier();
    for (var i = 0u; i < STEPS; i++) {
        x += tile[(lane + i) & 63u] * fma(x, 2.0, 1.0);
        if (x > 100.0) { continue; }
        q[i % 2u] -= x;
    }
    var k = 0;
    loop { k++; if (k > 5) { break; } continuing { x = x * 0.5; break if x < 0.001; } }
    while (k < 10) { k += i32(x) + 1; }
    p.position = helper(&x, p.turn * transpose(p.turn) - p.turn * 2.0, k) + clamp(p.position, vec3f(0), vec3f(1));
    p.mass = select(pick(k), sqrt(x), x != 0.0) + bitcast<f32>(bitcast<u32>(x) << (lane + 1u)) + q[k];
    p.kind = u32(x) + bitcast<u32>(p.mass) + groups.x + state;
    p.parts[k] = round(p.parts[1].yx) + vec2f(p.parts[0] != vec2f(1.0));
    atomicAdd(&counts[lane], u32(max(x, 0.0)));
    output[id.x] = p;
}";

#[test]
fn a_kernel_of_everything_lowers_to_a_module_that_validates() {
    let lowered = lower(EVERYTHING);
    assert_eq!(lowered.entry_point().name, "main");
    assert_eq!(lowered.entry_point().bindings.len(), 4);
    assert!(lowered.invocation_cost() > 50, "{}", lowered.invocation_cost());
    let text = lowered.emit(None).unwrap();
    // Every loop pays, and what goes out is canonical. Indices are the second stage's.
    for wanted in ["varying_fuel", "exited", "2143289344u", "system_status.finished"] {
        assert!(text.contains(wanted), "no {wanted} in:\n{text}");
    }
    assert!(!text.contains("arrayLength"), "{text}");
    assert!(lowered.emit(Some(Tier::A)).unwrap().contains("arrayLength((&input))"));
    // The constant 1e-40 keeps its bits, which are 71362.
    assert!(text.contains("bitcast<f32>(71362u)"), "{text}");
}

#[test]
fn only_workgroups_with_loops_report_their_end() {
    let (straight, looping) = (kernel("sum = data[1] * 3u;"), kernel("while (sum < data[1]) { sum += 3u; }"));
    assert!(!straight.reports() && !straight.emit(None).unwrap().contains("system_status"));
    assert!(looping.reports() && looping.emit(None).unwrap().contains("system_status.finished"));
}

/// What `lower_unmetered` leaves out is what a loop pays, and nothing else.
#[test]
fn without_the_meter_a_loop_pays_nothing_and_is_still_watched() {
    let wgsl = text("while (sum < data[1]) { sum += 3u; }");
    let resolved = prepare(&wgsl, Profile::Dp32).unwrap().resolve(None, &[]).unwrap();
    let (metered, unmetered) = (resolved.lower().unwrap(), resolved.lower_unmetered().unwrap());
    let (metered_text, text) = (metered.emit(None).unwrap(), unmetered.emit(None).unwrap());
    assert!(metered_text.contains("varying_fuel") && !text.contains("varying_fuel"), "{text}");
    assert!(text.contains("exited") && text.contains("system_status.finished"), "{text}");
    assert!(unmetered.reports());
    assert_eq!((unmetered.invocation_cost(), unmetered.loops()), (metered.invocation_cost(), metered.loops()));
}

/// Not every back end of naga writes these as WGSL means them.
#[test]
fn integer_builtins_that_back_ends_get_wrong_are_written_out() {
    for (of, expression) in [
        ("u32", "pack4xU8(vec4(x))"),
        ("u32", "pack4xU8Clamp(vec4(x))"),
        ("i32", "pack4xI8(vec4(x))"),
        ("i32", "pack4xI8Clamp(vec4(x))"),
        ("i32", "abs(x)"),
        ("i32", "abs(vec2(x)).y"),
        ("i32", "sign(vec3(x)).z"),
    ] {
        let text = kernel(&format!("let x = {of}(data[1]); sum = u32({expression});")).emit(None).unwrap();
        for name in ["pack4x", "abs(", "sign("] {
            assert!(!text.contains(name), "{expression} leaves {name}:\n{text}");
        }
    }
}

fn kernel(body: &str) -> Lowered {
    lower(&text(body))
}

fn text(body: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read_write> data: array<u32>;
        fn touch(p: ptr<function, u32>) {{ *p += 1u; }}
        fn hundred(p: ptr<function, u32>) {{ for (var i = 0u; i < 100u; i++) {{ *p += i; }} }}
        @compute @workgroup_size(1) fn main() {{ var sum = 0u; {body} data[0] = sum; }}"
    )
}

#[test]
fn loops_of_known_length_are_paid_for_as_a_whole() {
    let counted = |body: &str| {
        let lowered = kernel(body);
        (!lowered.emit(None).unwrap().contains("_fuel"), lowered.invocation_cost())
    };
    let (ten, cost_of_ten) = counted("for (var i = 0u; i < 10u; i++) { sum += i; }");
    let (twenty, cost_of_twenty) = counted("for (var i = 20; i > 0; i--) { sum += u32(i); }");
    assert!(ten && twenty);
    assert!(cost_of_twenty > cost_of_ten + 50, "{cost_of_ten} {cost_of_twenty}");
    let nested = counted(
        "for (var i = 0u; i <= 9u; i += 3u) { for (var j = 0u; j != 4u; j++) { if j == 2u { continue; } sum += 1u; } }",
    );
    assert!(nested.0);
    let (halved, _) = counted("for (var i = 128u; i > 0u; i >>= 1u) { sum += i; }");
    assert!(halved);
    // A `let` of a constant, and a variable that stays what it is.
    assert!(counted("let n = 10u; for (var i = 0u; i < n; i++) { sum += i; }").0);
    assert!(counted("var n = 10u; for (var i = 0u; i < n; i++) { sum += i; }").0);
    // The number of turns is not known, or too large, or the loop may be left otherwise.
    for body in [
        "for (var i = 0u; i < data[0]; i++) { sum += i; }",
        "for (var i = data[0]; i < 3u; i++) { sum += i; }",
        "var n = 10u; for (var i = 0u; i < n; i++) { sum += i; n = 3u; }",
        "var n = 10u; touch(&n); for (var i = 0u; i < n; i++) { sum += i; }",
        "for (var i = 0u; i < 10000u; i++) { sum += i; }",
        "for (var i = 0u; i < 10u; i++) { if sum > 3u { break; } sum += i; }",
        "for (var i = 0u; i < 10u; i++) { touch(&i); sum += i; }",
        "for (var i = 0u; i < 10u; i++) { i += sum; sum += i; }",
        "var i = 0u; loop { if i >= 10u { break; } i++; sum += i; }",
        // Each by itself is short.
        "for (var i = 0u; i < 100u; i++) { for (var j = 0u; j < 100u; j++) { sum += i; } }",
        "for (var i = 0u; i < 100u; i++) { hundred(&sum); }",
        // Neither the condition nor the step is computed anew.
        "var i = 0u; let on = i < 4u; for (; on; i++) { sum += i; }",
        "var i = 9u; let on = i < 4u; i = 0u; for (; on; i++) { sum += i; }",
        "var i = 0u; let next = i + 1u; for (; i < 4u; i = next) { sum += i; }",
        "var i = 0u; let now = i; for (; now < 4u; i++) { sum += i; }",
        // These never end.
        "for (var i = 0u; i < 10u; i *= 2u) { sum += i; }",
        "for (var i = 10; i != 0; i >>= 1u) { sum += u32(i); }",
    ] {
        assert!(!counted(body).0, "{body}");
    }
}

#[test]
fn arrays_sized_by_overrides_have_their_size() {
    let kernel = prepare(
        "override width: u32 = 8; override also_eight: u32;
        var<workgroup> a: array<f32, width>;
        var<workgroup> b: array<f32, 8>;
        var<workgroup> c: array<f32, also_eight>;
        var<workgroup> d: array<array<vec3f, 8>, width * 2>;
        @group(0) @binding(0) var<storage, read_write> data: array<f32>;
        @compute @workgroup_size(width)
        fn main(@builtin(local_invocation_index) lane: u32) {
            a[lane] = 1.0; b[lane] = a[lane]; c[lane] = b[lane]; d[lane][lane].z = c[lane];
            data[lane] = d[lane][lane].z;
        }",
        Profile::Dp32,
    )
    .unwrap();
    let lowered = kernel.resolve(None, &[("also_eight".to_owned(), 8.0)]).unwrap().lower().unwrap();
    assert!(lowered.module().overrides.is_empty());
    assert_eq!(lowered.entry_point().workgroup_bytes, 3 * 32 + 16 * 8 * 16);
    assert!(lowered.emit(None).unwrap().contains("array<array<vec3<f32>, 8>, 16>"));
}

#[test]
fn what_an_invocation_may_spend_bounds_what_it_calls() {
    let calls = |depth: u32| {
        let mut text = String::from(
            "@group(0) @binding(0) var<storage, read_write> data: array<u32>;\nfn f0() { for (var i = 0u; i < 4096u; i++) { data[i] += i / data[0]; } }\n",
        );
        for level in 1..=depth {
            text += &format!("fn f{level}() {{ f{0}(); f{0}(); f{0}(); f{0}(); }}\n", level - 1);
        }
        text + &format!("@compute @workgroup_size(1) fn main() {{ f{depth}(); }}")
    };
    assert!(lower(&calls(2)).invocation_cost() > 16 * 4096);
    let kernel = prepare(&calls(6), Profile::Dp32).unwrap();
    let refused = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap_err().diagnostic();
    assert!(refused.message.contains("costs more than"), "{refused}");
}

/// What the text proves of memory that invocations share.
#[test]
fn what_may_race_is_named() {
    let unproved = |declared: &str, body: &str| {
        let lowered = lower(&format!(
            "@group(0) @binding(0) var<storage, read> input: array<u32>;
            @group(1) @binding(2) var<storage, read_write> sum: array<atomic<u32>>;
            @group(0) @binding(1) var<storage, read_write> output: array<u32>;
            var<workgroup> tile: array<u32, 4>;
            {declared}
            @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {{ {body} }}"
        ));
        let of = |it: &Unproved| (it.name.clone(), it.binding, it.why);
        lowered.unproved().iter().map(of).collect::<Vec<_>>()
    };
    let output = || ("output".to_owned(), Some((0, 1)), Order::Stores);
    assert_eq!(unproved("", "atomicAdd(&sum[0], input[i]); atomicSub(&sum[i], 1u);"), []);
    assert_eq!(unproved("", "let x = output[i];"), []);
    assert_eq!(unproved("", "output[i] = 1u;"), [output()]);
    let sum = |why| ("sum".to_owned(), Some((1, 2)), why);
    assert_eq!(unproved("", "atomicStore(&sum[0], i);"), [sum(Order::Stores)]);
    assert_eq!(unproved("", "atomicAdd(&sum[0], 1u); atomicMax(&sum[1], 1u);"), [sum(Order::Atomics)]);
    let loads = unproved("", "atomicAdd(&sum[0], 1u); output[0] = atomicLoad(&sum[1]);");
    assert_eq!(loads, [sum(Order::Atomics), output()]);
    // Through a function that is given a pointer.
    let put = "fn put(p: ptr<workgroup, u32>, x: u32) { *p = x; }";
    assert_eq!(unproved(put, "put(&tile[i], 3u);"), [("tile".to_owned(), None, Order::Stores)]);
}
