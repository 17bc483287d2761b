//! Kernels that compute one expression for each triple of operands.

/// Invocations per workgroup.
pub(crate) const WORKGROUP: usize = 64;

/// Names and expressions of type U that use `x`, `y`, `z` (f32), or `i` and `u` (the bits of `x` as integers).
///
/// F, I, U and B are the scalar or vector types of f32, i32, u32 and bool.
pub(crate) const PRIMITIVES: &[(&str, &str)] = &[
    ("a sum", "bitcast<U>(x + y)"),
    ("a difference", "bitcast<U>(x - y)"),
    ("a product", "bitcast<U>(x * y)"),
    ("a quotient", "bitcast<U>(x / y)"),
    ("a reciprocal", "bitcast<U>(1.0 / x)"),
    ("a square root", "bitcast<U>(sqrt(x))"),
    ("an inverse square root", "bitcast<U>(inverseSqrt(x))"),
    ("a negation", "bitcast<U>(-x)"),
    ("an absolute value", "bitcast<U>(abs(x))"),
    ("floor", "bitcast<U>(floor(x))"),
    ("ceil", "bitcast<U>(ceil(x))"),
    ("trunc", "bitcast<U>(trunc(x))"),
    ("round", "bitcast<U>(round(x))"),
    ("equality", "select(U(0u), U(1u), x == y)"),
    ("inequality", "select(U(0u), U(1u), x != y)"),
    ("less", "select(U(0u), U(1u), x < y)"),
    ("less or equal", "select(U(0u), U(1u), x <= y)"),
    ("greater", "select(U(0u), U(1u), x > y)"),
    ("greater or equal", "select(U(0u), U(1u), x >= y)"),
    ("not less", "select(U(0u), U(1u), !(x < y))"),
    ("not greater or equal", "select(U(0u), U(1u), !(x >= y))"),
    ("the lesser", "bitcast<U>(select(y, x, x < y))"),
    ("f32 to i32", "bitcast<U>(I(x))"),
    ("f32 to u32", "U(x)"),
    ("i32 to f32", "bitcast<U>(F(i))"),
    ("u32 to f32", "bitcast<U>(F(u))"),
    ("a number less itself", "bitcast<U>(x - x)"),
    ("a number and its negative", "bitcast<U>(x + -x)"),
    ("a product with zero", "bitcast<U>(x * 0.0)"),
    ("a product with 0 or 1", "bitcast<U>(x * F(u & U(1u)))"),
    ("a product with itself", "bitcast<U>(x * x)"),
];

/// Builtins that are sequences of primitives, in the same form as [`PRIMITIVES`].
pub(crate) const BUILTINS: &[(&str, &str)] = &[
    ("exp", "bitcast<U>(exp(x))"),
    ("exp2", "bitcast<U>(exp2(x))"),
    ("log", "bitcast<U>(log(x))"),
    ("log2", "bitcast<U>(log2(x))"),
    ("pow", "bitcast<U>(pow(x, y))"),
    ("sin", "bitcast<U>(sin(x))"),
    ("cos", "bitcast<U>(cos(x))"),
    ("tan", "bitcast<U>(tan(x))"),
    ("asin", "bitcast<U>(asin(x))"),
    ("acos", "bitcast<U>(acos(x))"),
    ("atan", "bitcast<U>(atan(x))"),
    ("atan2", "bitcast<U>(atan2(x, y))"),
    ("sinh", "bitcast<U>(sinh(x))"),
    ("cosh", "bitcast<U>(cosh(x))"),
    ("tanh", "bitcast<U>(tanh(x))"),
    ("asinh", "bitcast<U>(asinh(x))"),
    ("acosh", "bitcast<U>(acosh(x))"),
    ("atanh", "bitcast<U>(atanh(x))"),
    ("sign", "bitcast<U>(sign(x))"),
    ("fract", "bitcast<U>(fract(x))"),
    ("modf", "bitcast<U>(modf(x).fract) ^ bitcast<U>(modf(x).whole)"),
    ("frexp", "bitcast<U>(frexp(x).fract) ^ bitcast<U>(frexp(x).exp)"),
    ("ldexp", "bitcast<U>(ldexp(x, i % I(200)))"),
    ("min", "bitcast<U>(min(x, y))"),
    ("max", "bitcast<U>(max(x, y))"),
    ("clamp", "bitcast<U>(clamp(x, y, z))"),
    ("saturate", "bitcast<U>(saturate(x))"),
    ("step", "bitcast<U>(step(x, y))"),
    ("remainder", "bitcast<U>(x % y)"),
    ("fma", "bitcast<U>(fma(x, y, z))"),
    ("mix", "bitcast<U>(mix(x, y, z))"),
    ("smoothstep", "bitcast<U>(smoothstep(x, y, z))"),
    ("degrees", "bitcast<U>(degrees(x))"),
    ("radians", "bitcast<U>(radians(x))"),
];

/// Builtins on vectors of three components that combine all components.
pub(crate) const VECTOR_BUILTINS: &[(&str, &str)] = &[
    ("dot", "bitcast<U>(F(dot(x, y)))"),
    ("cross", "bitcast<U>(cross(x, y))"),
    ("length", "bitcast<U>(F(length(x)))"),
    ("distance", "bitcast<U>(F(distance(x, y)))"),
    ("normalize", "bitcast<U>(normalize(x))"),
    ("reflect", "bitcast<U>(reflect(x, y))"),
    ("refract", "bitcast<U>(refract(x, y, z.x))"),
    ("faceForward", "bitcast<U>(faceForward(x, y, z))"),
    ("determinant", "bitcast<U>(F(determinant(mat3x3<f32>(x, y, z))))"),
    ("a product of matrices", "bitcast<U>((mat3x3<f32>(x, y, z) * mat3x3<f32>(z, x, y))[1])"),
    ("a product of matrix and vector", "bitcast<U>(mat3x3<f32>(x, y, z) * z)"),
];

/// A kernel that computes an expression for vectors of `width` components, or for scalars. It writes as many words to binding 3
/// as binding 0 has, a multiple of `width`.
pub(crate) fn kernel(width: usize, expression: &str) -> String {
    kernel_with(width, "", &format!("return {expression};"))
}

/// A kernel that computes a function body, with declarations before it.
pub(crate) fn kernel_with(width: usize, declarations: &str, body: &str) -> String {
    let ty = |scalar: &str| if width == 1 { scalar.to_owned() } else { format!("vec{width}<{scalar}>") };
    let [f, i, u, b] = ["f32", "i32", "u32", "bool"].map(ty);
    let load = |from: &str| {
        let parts: Vec<_> = (0..width).map(|part| format!("{from}[at + {part}u]")).collect();
        format!("U({})", parts.join(", "))
    };
    let [first, second, third] = ["first", "second", "third"].map(load);
    let stores: String = if width == 1 {
        "result[at] = v;".to_owned()
    } else {
        (0..width).map(|part| format!("result[at + {part}u] = v[{part}];\n    ")).collect()
    };
    format!(
        "alias F = {f};
alias I = {i};
alias U = {u};
alias B = {b};
@group(0) @binding(0) var<storage, read> first: array<u32>;
@group(0) @binding(1) var<storage, read> second: array<u32>;
@group(0) @binding(2) var<storage, read> third: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<u32>;
{declarations}
fn compute(x: F, y: F, z: F, i: I, u: U) -> U {{
    {body}
}}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let at = id.x * {width}u;
    if at >= arrayLength(&result) {{
        return;
    }}
    let u = {first};
    let v = compute(bitcast<F>(u), bitcast<F>({second}), bitcast<F>({third}), bitcast<I>(u), u);
    {stores}
}}
"
    )
}
