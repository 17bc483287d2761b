//! Elementary functions of constants, computed as in kernels: a kernel with a call of each runs on the interpreter. So
//! `sin(0.5)` is the same number as a constant and in a kernel, and on every host.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::Profile;
use crate::dp32::SystemParams;
use crate::interpreter::{Buffers, Program, SystemBuffers};

/// Functions of one f32.
pub(crate) const OF_ONE: [&str; 17] = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "log",
    "log2",
    "quantizeToF16",
    "sin",
    "sinh",
    "tan",
    "tanh",
];

/// Functions of two f32.
pub(crate) const OF_TWO: [&str; 2] = ["atan2", "pow"];

/// From two or four f32 to a u32.
pub(crate) const PACKS: [(&str, usize); 5] =
    [("pack2x16float", 2), ("pack2x16snorm", 2), ("pack2x16unorm", 2), ("pack4x8snorm", 4), ("pack4x8unorm", 4)];

/// From a u32 to two or four f32.
pub(crate) const UNPACKS: [(&str, usize); 5] = [
    ("unpack2x16float", 2),
    ("unpack2x16snorm", 2),
    ("unpack2x16unorm", 2),
    ("unpack4x8snorm", 4),
    ("unpack4x8unorm", 4),
];

static CALCULATOR: LazyLock<Option<Mutex<Program>>> = LazyLock::new(|| calculator().map(Mutex::new));

/// The bits of a function's result for operands with these bits; None if there is no such function.
pub(crate) fn compute(function: &str, operands: &[u32]) -> Option<[u32; 4]> {
    let number = names().position(|name| name == function)?;
    let program = CALCULATOR.as_ref()?.lock().ok()?;
    let number = u32::try_from(number).ok()?;
    let inputs = std::iter::once(number).chain(operands.iter().copied()).chain(std::iter::repeat(0)).take(5);
    let data: Vec<AtomicU32> = inputs.chain([0; 4]).map(AtomicU32::new).collect();
    let system = SystemBuffers::new(SystemParams::whole([1; 3]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &data).bind_system(&system);
    program.run(&buffers, [1; 3], &AtomicBool::new(false)).ok()?;
    let mut results = data.iter().skip(5).map(|word| word.load(Ordering::Relaxed));
    Some([results.next()?, results.next()?, results.next()?, results.next()?])
}

/// Whether the interpreter computes a function.
pub(crate) fn is_elementary(function: &str) -> bool {
    names().any(|name| name == function)
}

fn names() -> impl Iterator<Item = &'static str> {
    let shaped = PACKS.into_iter().chain(UNPACKS).map(|(name, _)| name);
    OF_ONE.into_iter().chain(OF_TWO).chain(shaped)
}

fn calculator() -> Option<Program> {
    let kernel = crate::prepare(&text(), Profile::Dp32).ok()?;
    let lowered = kernel.resolve(None, &[]).ok()?.lower().ok()?;
    Program::compile(lowered.module(), lowered.info()).ok()
}

/// The text of the kernel. It reads the number of a function and the bits of its operands, and writes the bits of the result.
fn text() -> String {
    let mut cases = String::new();
    let mut call = |expression: String| {
        let number = cases.matches("case ").count();
        cases.push_str(&format!("case {number}u: {{ r = {expression}; }}\n"));
    };
    OF_ONE.iter().for_each(|name| call(format!("vec4u(bitcast<u32>({name}(v.x)), 0u, 0u, 0u)")));
    OF_TWO.iter().for_each(|name| call(format!("vec4u(bitcast<u32>({name}(v.x, v.y)), 0u, 0u, 0u)")));
    for (name, size) in PACKS {
        let operand = if size == 2 { "v.xy" } else { "v" };
        call(format!("vec4u({name}({operand}), 0u, 0u, 0u)"));
    }
    for (name, size) in UNPACKS {
        call(match size {
            2 => format!("vec4u(bitcast<vec2u>({name}(b.x)), 0u, 0u)"),
            _ => format!("bitcast<vec4u>({name}(b.x))"),
        });
    }
    format!(
        "@group(0) @binding(0) var<storage, read_write> data: array<u32, 9>;
        @compute @workgroup_size(1) fn calculate() {{
            let b = vec4u(data[1], data[2], data[3], data[4]);
            let v = bitcast<vec4f>(b);
            var r: vec4u;
            switch data[0] {{
                {cases}
                default: {{ }}
            }}
            data[5] = r.x; data[6] = r.y; data[7] = r.z; data[8] = r.w;
        }}"
    )
}
