// Shared by both tiers. This text and a tier's are parsed as one, once per width, with F, I, U and B as the scalar or
// vector types of f32, i32, u32 and bool.

const SIGN = U(0x80000000u);
const MAGNITUDE = U(0x7fffffffu);
const FRACTION = U(0x007fffffu);
// The bit above the fraction; also the bits of 2^-126.
const HIDDEN = U(0x00800000u);
const HALF = U(0x3f000000u);
const ONE = U(0x3f800000u);
const INFINITY = U(0x7f800000u);
const NAN = U(0x7fc00000u);

// Truncates, and saturates at the greatest number that both types have.
fn dp32_to_i32(x: F) -> I {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    let negative = u != magnitude;
    let significand = (u | HIDDEN) << U(8u);
    let shifted = significand >> ((U(158u) - (magnitude >> U(23u))) & U(31u));
    let small = select(shifted, U(0u), magnitude < ONE);
    let bounded = select(small, select(U(0x7fffff80u), U(0x80000000u), negative), magnitude >= U(0x4f000000u));
    let value = select(bounded, U(0u), magnitude > INFINITY);
    return bitcast<I>(select(value, U(0u) - value, negative));
}

// Truncates, and saturates at the greatest number that both types have.
fn dp32_to_u32(x: F) -> U {
    let u = bitcast<U>(x);
    let significand = (u | HIDDEN) << U(8u);
    let shifted = significand >> ((U(158u) - (u >> U(23u))) & U(31u));
    let bounded = select(shifted, U(0xffffff00u), u >= U(0x4f800000u));
    // Less than one, negative, or not a number.
    return select(bounded, U(0u), (u < ONE) | (u > INFINITY));
}
