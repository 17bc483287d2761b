// Packing and unpacking, and rounding to f16: f16 is IEEE binary16 with subnormals. Packing gives canonical bits: a zero has
// no sign, a NaN is 0x7e00.

// The bits of x as f16, to nearest even. Below 2^-14, adding 0.5 rounds to a multiple of 2^-24.
fn dp_f16_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    let normal = min((magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13u) & 1u)) >> 13u, 0x7c00u);
    let tiny = bitcast<u32>(abs(x) + 0.5f) - 0x3f000000u;
    let half = select(normal, tiny, magnitude < 0x38800000u);
    let signed_half = select(half | ((bits >> 16u) & 0x8000u), 0u, half == 0u);
    return select(signed_half, 0x7e00u, magnitude > 0x7f800000u);
}

// The f32 whose f16 bits are the lower half of h.
fn dp_f16_value(h: u32) -> f32 {
    let magnitude = h & 0x7fffu;
    let normal = (magnitude << 13u) + select(0x38000000u, 0x70000000u, magnitude >= 0x7c00u);
    let tiny = bitcast<u32>(bitcast<f32>((magnitude & 0x03ffu) | 0x3f000000u) - 0.5f);
    return bitcast<f32>(select(normal, tiny, magnitude < 0x0400u) | ((h & 0x8000u) << 16u));
}

fn dp_quantize_to_f16(x: f32) -> f32 {
    return dp_f16_value(dp_f16_bits(x));
}

fn dp_pack2x16float(v: vec2f) -> u32 {
    return dp_f16_bits(v.x) | (dp_f16_bits(v.y) << 16u);
}

fn dp_unpack2x16float(p: u32) -> vec2f {
    return vec2f(dp_f16_value(p), dp_f16_value(p >> 16u));
}

// floor(0.5 + 127 clamp(x, -1, 1)) in the lower 8 bits; NaN gives 0.
fn dp_snorm8_bits(x: f32) -> u32 {
    return bitcast<u32>(i32(floor(0.5f + 127.0f * min(max(x, -1.0f), 1.0f)))) & 0xffu;
}

// floor(0.5 + 255 clamp(x, 0, 1)); NaN gives 0.
fn dp_unorm8_bits(x: f32) -> u32 {
    return u32(0.5f + 255.0f * min(max(x, 0.0f), 1.0f));
}

fn dp_snorm16_bits(x: f32) -> u32 {
    return bitcast<u32>(i32(floor(0.5f + 32767.0f * min(max(x, -1.0f), 1.0f)))) & 0xffffu;
}

fn dp_unorm16_bits(x: f32) -> u32 {
    return u32(0.5f + 65535.0f * min(max(x, 0.0f), 1.0f));
}

fn dp_pack4x8snorm(v: vec4f) -> u32 {
    return dp_snorm8_bits(v.x) | (dp_snorm8_bits(v.y) << 8u) | (dp_snorm8_bits(v.z) << 16u) | (dp_snorm8_bits(v.w) << 24u);
}

fn dp_pack4x8unorm(v: vec4f) -> u32 {
    return dp_unorm8_bits(v.x) | (dp_unorm8_bits(v.y) << 8u) | (dp_unorm8_bits(v.z) << 16u) | (dp_unorm8_bits(v.w) << 24u);
}

fn dp_pack2x16snorm(v: vec2f) -> u32 {
    return dp_snorm16_bits(v.x) | (dp_snorm16_bits(v.y) << 16u);
}

fn dp_pack2x16unorm(v: vec2f) -> u32 {
    return dp_unorm16_bits(v.x) | (dp_unorm16_bits(v.y) << 16u);
}

// Quotients without a division: the reciprocal in two parts, of which the first has an exact product. The sum is the correctly
// rounded quotient in every case (all of them are tested).

// max(i / 127, -1) for the signed byte in the upper 8 bits.
fn dp_snorm8_value(p: u32) -> f32 {
    let i = f32(max(bitcast<i32>(p) >> 24u, -127i));
    return i * 0x1.0204p-7f + i * 0x1.020408p-28f;
}

// b / 255 for the lower 8 bits.
fn dp_unorm8_value(p: u32) -> f32 {
    let b = f32(p & 0xffu);
    return b * 0x1.01p-8f + b * 0x1.010102p-24f;
}

// max(i / 32767, -1) for the signed half word in the upper 16 bits.
fn dp_snorm16_value(p: u32) -> f32 {
    let i = f32(max(bitcast<i32>(p) >> 16u, -32767i));
    return i * 0x1p-15f + i * 0x1.0002p-30f;
}

// b / 65535 for the lower 16 bits.
fn dp_unorm16_value(p: u32) -> f32 {
    let b = f32(p & 0xffffu);
    return b * 0x1p-16f + b * 0x1.0001p-32f;
}

fn dp_unpack4x8snorm(p: u32) -> vec4f {
    return vec4f(dp_snorm8_value(p << 24u), dp_snorm8_value(p << 16u), dp_snorm8_value(p << 8u), dp_snorm8_value(p));
}

fn dp_unpack4x8unorm(p: u32) -> vec4f {
    return vec4f(dp_unorm8_value(p), dp_unorm8_value(p >> 8u), dp_unorm8_value(p >> 16u), dp_unorm8_value(p >> 24u));
}

fn dp_unpack2x16snorm(p: u32) -> vec2f {
    return vec2f(dp_snorm16_value(p << 16u), dp_snorm16_value(p));
}

fn dp_unpack2x16unorm(p: u32) -> vec2f {
    return vec2f(dp_unorm16_value(p), dp_unorm16_value(p >> 16u));
}
