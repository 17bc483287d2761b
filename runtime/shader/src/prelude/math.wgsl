// The elementary functions of profile dp32, each as one fixed sequence of primitives.
//
// Written in the primitives of dp32/mod.rs: f32 sums, products, quotients and roots that are correctly rounded and
// flushed, and integers. docs/builtins.md states domain, accuracy and special values of each function;
// tests/accuracy measures them.
//
// Rules that the text keeps:
// - no fused multiply-add, no loop, no array, no global variable; at most one division or root where one is enough;
// - numbers are taken apart and scaled by powers of two as integers, which costs less than a rounded operation;
// - bits are compared as integers wherever the result is the same: a comparison of f32 costs several operations on a device.
//   As i32, the bits of positive numbers are ordered like the numbers and above those of negative ones; as u32, those of
//   negative numbers are ordered by magnitude and above those of positive ones, and those below zero are more than 0x80000000;
// - the sign of a zero affects at most the sign of another zero; the payload of a NaN affects nothing;
// - an f32 that could become a subnormal, an infinity or a NaN by integer arithmetic stays a u32 until the last `select`.
//
// The coefficients are minimax polynomials (weighted for relative error of the function, each coefficient rounded to f32 and
// the rest fitted again). "Error" below is that of the polynomial; what the roundings add is in docs/builtins.md.

fn dp_is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// ---- Exponentials ----

// 2^f for abs(f) ≤ 0.5, which lies in [0.70, 1.42]: 1 + f Q(f), error 2^-28.3.
fn dp_exp2_reduced(f: f32) -> f32 {
    let q = 0x1.62e43p-1f + f * (0x1.ebfbdcp-3f + f * (0x1.c6af7ap-5f + f * (0x1.3b2dd6p-7f
        + f * (0x1.5f0964p-10f + f * 0x1.417690p-13f))));
    return 1.0f + f * q;
}

// Adding 1.5 * 2^23 rounds to the nearest integer n, ties to even, and leaves n in the low bits of the sum.
fn dp_exp2(x: f32) -> f32 {
    let shifted = x + 12582912.0f;
    let f = x - (shifted - 12582912.0f);
    var bits = bitcast<u32>(dp_exp2_reduced(f)) + (bitcast<u32>(shifted) << 23u);
    bits = select(bits, 0x7f800000u, bitcast<i32>(x) >= 0x43000000i); // x ≥ 128
    bits = select(bits, 0u, bitcast<u32>(x) > 0xc2fc0000u); // x < -126
    return bitcast<f32>(select(bits, 0x7fc00000u, dp_is_nan(x)));
}

// exp(r) - 1 for abs(r) ≤ 0.35: r + r²/2 + ..., error 2^-28.2.
fn dp_expm1_reduced(r: f32) -> f32 {
    let q = 0x1.fffffcp-2f + r * (0x1.555490p-3f + r * (0x1.5558a4p-5f + r * (0x1.123aeap-7f + r * 0x1.6a5c3cp-10f)));
    return r + (r * r) * q;
}

// x - n ln 2, with ln 2 in two parts: n times the first is exact for abs(n) < 2^8.
fn dp_minus_ln2(x: f32, n: f32) -> f32 {
    return (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
}

fn dp_exp(x: f32) -> f32 {
    let shifted = x * 0x1.715476p+0f + 12582912.0f;
    let r = dp_minus_ln2(x, shifted - 12582912.0f);
    var bits = bitcast<u32>(1.0f + dp_expm1_reduced(r)) + (bitcast<u32>(shifted) << 23u);
    bits = select(bits, 0x7f800000u, bitcast<i32>(x) > 0x42b17217i); // x > 88.722...
    bits = select(bits, 0u, bitcast<u32>(x) > 0xc2aeac4fu); // x < -87.336...
    return bitcast<f32>(select(bits, 0x7fc00000u, dp_is_nan(x)));
}

// ---- Logarithms ----

// n such that x 2^-n lies in [√½, √2), for a positive x. For any other x, some integer.
fn dp_log_exponent(x: f32) -> i32 {
    return bitcast<i32>(bitcast<u32>(x) - 0x3f3504f3u) >> 23u;
}

// x 2^-n with that n.
fn dp_log_mantissa(x: f32, n: i32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) - (bitcast<u32>(n) << 23u));
}

// The bits of `value`, unless the logarithm of x is not a finite number.
fn dp_log_special(x: f32, value: f32) -> f32 {
    let bits = bitcast<u32>(x);
    var special = select(0x7fc00000u, 0x7f800000u, bits == 0x7f800000u);
    special = select(special, 0xff800000u, (bits << 1u) == 0u);
    return bitcast<f32>(select(bitcast<u32>(value), special, bits - 0x00800000u >= 0x7f000000u));
}

// ln(1 + f) + n ln 2 for 1 + f in [√½, √2): f - f²/2 + f³ Q(f), error 2^-27.3.
fn dp_log_reduced(f: f32, n: f32) -> f32 {
    let q = 0x1.555554p-2f + f * (-0x1.000228p-2f + f * (0x1.99a024p-3f + f * (-0x1.547214p-3f + f * (0x1.22d872p-3f
        + f * (-0x1.0d85e6p-3f + f * (0x1.05638cp-3f + f * -0x1.38bfcep-4f))))));
    let square = f * f;
    let low = square * (f * q) + n * 0x1.7f7d1cp-20f;
    return ((low - 0.5f * square) + f) + n * 0x1.62e4p-1f;
}

fn dp_log(x: f32) -> f32 {
    let n = dp_log_exponent(x);
    return dp_log_special(x, dp_log_reduced(dp_log_mantissa(x, n) - 1.0f, f32(n)));
}

// log₂(1 + f) = f + f Q(f), error 2^-27.
fn dp_log2(x: f32) -> f32 {
    let n = dp_log_exponent(x);
    let f = dp_log_mantissa(x, n) - 1.0f;
    let q = 0x1.c551dap-2f + f * (-0x1.715476p-1f + f * (0x1.ec7032p-2f + f * (-0x1.715730p-2f + f * (0x1.27899ap-2f
        + f * (-0x1.eb515ap-3f + f * (0x1.a23e5ep-3f + f * (-0x1.828060p-3f + f * (0x1.7ea8c4p-3f
        + f * -0x1.d8a85cp-4f))))))));
    return dp_log_special(x, f32(n) + (f + f * q));
}

// The logarithm of high + low, plus n ln 2, where low is less than half a unit in the last place of high ≥ 1.
fn dp_log_sum(high: f32, low: f32, n: i32) -> f32 {
    let e = dp_log_exponent(high);
    let scale = bitcast<f32>(u32(max(127i - e, 0i)) << 23u);
    let f = (dp_log_mantissa(high, e) - 1.0f) + low * scale;
    return dp_log_reduced(f, f32(e + n));
}

// The rounding error of the addition 1 + u, for u ≥ 0.
fn dp_one_plus_low(u: f32, sum: f32) -> f32 {
    let greater = bitcast<i32>(u) > 0x3f800000i;
    return select(u, 1.0f, greater) - (sum - select(1.0f, u, greater));
}

// ---- Power ----

// The upper 12 bits of the significand: products of two such numbers are exact.
fn dp_upper(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// The bits of p 2^n for p in (0.5, 2) and -129 ≤ n ≤ 128, where `shifted` is n << 23; infinite and zero beyond the range.
fn dp_scale_bits(p: f32, shifted: u32) -> u32 {
    let bits = bitcast<i32>(p) + bitcast<i32>(shifted);
    let finite = select(0u, bitcast<u32>(bits), bits >= 0x00800000i);
    return select(finite, 0x7f800000u, bits >= 0x7f800000i);
}

// 2^(y log₂ x), with log₂ x as a sum of two f32 that is good to 2^-34. After e_powf.c of FreeBSD's msun.
//
// With s = (m - 1) / (m + 1) in two parts, ln m = ⅔ s (3 + s² + s⁴ C(s²)); s² is kept exactly.
fn dp_pow(x: f32, y: f32) -> f32 {
    let n = dp_log_exponent(x);
    let m = dp_log_mantissa(x, n);
    let f = m - 1.0f;
    let den = m + 1.0f;
    let inverse = 1.0f / den;
    let s = f * inverse;
    let s_high = dp_upper(s);
    let den_high = dp_upper(den);
    let den_low = m - (den_high - 1.0f);
    let s_low = inverse * ((f - s_high * den_high) - s_high * den_low);

    let square = s_high * s_high;
    let z = s * s;
    let c = (z * z) * (0x1.333332p-1f + z * (0x1.b6dd92p-2f + z * (0x1.54adccp-2f + z * 0x1.2c6ef0p-2f)))
        + s_low * (s_high + s);
    let t_high = dp_upper((3.0f + square) + c);
    let t_low = c - ((t_high - 3.0f) - square);

    let p = s_high * t_high;
    let p_rest = s_low * t_high + t_low * s;
    let p_high = dp_upper(p + p_rest);
    let p_low = p_rest - (p_high - p);

    // times 2 / (3 ln 2)
    let l = 0x1.ec6p-1f * p_high;
    let l_rest = 0x1.09dc3ap-13f * p_high + p_low * 0x1.ec709ep-1f;
    let log_high = dp_upper((l + l_rest) + f32(n));
    let log_low = l_rest - ((log_high - f32(n)) - l);

    // The product with y. Beyond 2^32 every power of a number other than 1 is 0 or infinite, and so is 2^±128.5.
    let sign = bitcast<u32>(y) & 0x80000000u;
    let magnitude = bitcast<u32>(y) & 0x7fffffffu;
    let b = bitcast<f32>(min(magnitude, 0x4f800000u) | sign);
    let b_high = dp_upper(b);
    let high = b_high * log_high;
    let low = (b - b_high) * log_high + b * log_low;
    let sum = high + low;
    let size = bitcast<u32>(sum) & 0x7fffffffu;
    let e = bitcast<f32>(min(size, 0x43008000u) | (bitcast<u32>(sum) & 0x80000000u));
    let e_low = select(low - (sum - high), 0.0f, size > 0x43008000u);
    let shifted = e + 12582912.0f;
    let r = (e - (shifted - 12582912.0f)) + e_low;
    let power = dp_scale_bits(dp_exp2_reduced(r), bitcast<u32>(shifted) << 23u);

    // log₂ x is infinite: 0 or ∞, by the signs.
    let bits = bitcast<u32>(x);
    let zero = (bits << 1u) == 0u;
    let infinite = bits == 0x7f800000u;
    var limit = select(0u, 0x7f800000u, (sign == 0u) == infinite);
    limit = select(limit, 0x3f800000u, magnitude == 0u);
    let result = select(power, limit, zero | infinite);
    let invalid = ((bits > 0x7f800000u) & !zero) | (magnitude > 0x7f800000u);
    return bitcast<f32>(select(result, 0x7fc00000u, invalid));
}

// ---- Circular functions ----

// The upper half of the product of a < 2^24 and b.
fn dp_mul_high_24(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let mid = a0 * b1 + ((a0 * b0) >> 16u);
    let cross = a1 * b0 + (mid & 0xffffu);
    return a1 * b1 + (mid >> 16u) + (cross >> 16u);
}

fn dp_funnel(high: u32, low: u32, shift: u32) -> u32 {
    return (high << shift) | ((low >> 1u) >> (31u - shift));
}

// x = r + q π/2 with abs(r) ≤ π/4: the bits of r, and q modulo 4. For infinite x and NaN, r is NaN.
//
// After Payne and Hanek, in integers: x = m 2^(e-150) times 96 bits of 1/2π, of which those are left out that make whole turns,
// gives the fraction of the turn in 64 bits, with an error below 2 in the last. No f32 comes closer to a multiple
// of π/2 than 2^-30, so that at least 31 significant bits of r are right before it is rounded once.
fn dp_turn(x: f32) -> vec2u {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    let e = magnitude >> 23u;
    let m = (bits & 0x007fffffu) | 0x00800000u;

    // 1/2π = 0.28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f9458ea... in base 16
    var t0 = 0u;
    var t1 = 0x28be60dbu;
    var t2 = 0x9391054au;
    var t3 = 0x7f09d5f4u;
    if (e >= 150u) {
        let at = (e - 118u) >> 5u;
        t0 = select(select(select(0x28be60dbu, 0x9391054au, at == 2u), 0x7f09d5f4u, at == 3u), 0x7d4d3770u, at >= 4u);
        t1 = select(select(select(0x9391054au, 0x7f09d5f4u, at == 2u), 0x7d4d3770u, at == 3u), 0x36d8a566u, at >= 4u);
        t2 = select(select(select(0x7f09d5f4u, 0x7d4d3770u, at == 2u), 0x36d8a566u, at == 3u), 0x4f10e410u, at >= 4u);
        t3 = select(select(select(0x7d4d3770u, 0x36d8a566u, at == 2u), 0x4f10e410u, at == 3u), 0x7f9458eau, at >= 4u);
    }
    let shift = (e - 118u) & 31u;
    let w0 = dp_funnel(t0, t1, shift);
    let w1 = dp_funnel(t1, t2, shift);
    let w2 = dp_funnel(t2, t3, shift);
    let carry = dp_mul_high_24(m, w2);
    let low = m * w1 + carry;
    let high = m * w0 + dp_mul_high_24(m, w1) + select(0u, 1u, low < carry);

    // The nearest quarter, and what is left as 64 bits with a sign, then normalized.
    let quarter = (high + 0x20000000u) >> 30u;
    let rest = high - (quarter << 30u);
    let sign = bitcast<u32>(bitcast<i32>(rest) >> 31u);
    let shift_up = min(countLeadingZeros(rest ^ sign), 31u);
    let n = dp_funnel(rest ^ sign, low ^ sign, shift_up);

    // times π/4 = 0xc90fdaa2 2^-32
    let n0 = n & 0xffffu;
    let n1 = n >> 16u;
    let mid = n1 * 0xdaa2u;
    let product = n1 * 0xc90fu + (mid >> 16u) + ((n0 * 0xc90fu + (mid & 0xffffu)) >> 16u);
    let r = (bitcast<u32>(f32(product)) - ((29u + shift_up) << 23u)) | ((bits ^ sign) & 0x80000000u);

    // x below zero has the opposite turn.
    let q = select(quarter, 0u - quarter, (bits >> 31u) != 0u) & 3u;
    let small = magnitude <= 0x3f490fdbu;
    let reduced = vec2u(select(r, bits, small), select(q, 0u, small));
    return select(reduced, vec2u(0x7fc00000u, 0u), e == 255u);
}

// sin(r + q π/2): sin r, cos r, or one of them negated, as b + b z P(z) with z = r² and b = r or 1.
// Errors: sine 2^-32.5, cosine 2^-33.
fn dp_sin_quarter(r_bits: u32, q: u32) -> f32 {
    let r = bitcast<f32>(r_bits);
    let z = r * r;
    let cosine = (q & 1u) != 0u;
    let base = bitcast<f32>(select(r_bits, 0x3f800000u, cosine));
    let p = select(-0x1.555556p-3f, -0.5f, cosine)
        + z * (select(0x1.111174p-7f, 0x1.55554ap-5f, cosine)
        + z * (select(-0x1.a05966p-13f, -0x1.6c0c2ap-10f, cosine)
        + z * select(0x1.7c36a0p-19f, 0x1.99e90cp-16f, cosine)));
    let value = base + (base * z) * p;
    return bitcast<f32>(bitcast<u32>(value) ^ ((q & 2u) << 30u));
}

fn dp_sin(x: f32) -> f32 {
    let turn = dp_turn(x);
    return dp_sin_quarter(turn.x, turn.y);
}

fn dp_cos(x: f32) -> f32 {
    let turn = dp_turn(x);
    return dp_sin_quarter(turn.x, turn.y + 1u);
}

// tan r, or -1/tan r in odd quarters: r + r³ P(r²), error 2^-29.5.
fn dp_tan(x: f32) -> f32 {
    let turn = dp_turn(x);
    let r = bitcast<f32>(turn.x);
    let z = r * r;
    let p = 0x1.555560p-2f + z * (0x1.110d9ep-3f + z * (0x1.bad9c4p-5f + z * (0x1.5cc0aap-6f + z * (0x1.62cc6ep-7f
        + z * (0x1.9b0c48p-14f + z * 0x1.1e9424p-8f)))));
    let t = r + (r * z) * p;
    return select(t, -1.0f / t, (turn.y & 1u) != 0u);
}

// ---- Inverse circular functions ----

// (asin(s) - s) / s for z = s² ≤ 0.25, error 2^-27.6 of asin.
fn dp_asin_reduced(z: f32) -> f32 {
    return z * (0x1.5555c8p-3f + z * (0x1.330206p-4f + z * (0x1.747b72p-5f + z * (0x1.8c415ap-6f + z * 0x1.5959aap-5f))));
}

// abs(x) > 0.5: asin x = 2 (π/4 - asin √((1 - x) / 2)).
fn dp_asin(x: f32) -> f32 {
    let a = abs(x);
    let large = bitcast<u32>(a) > 0x3f000000u;
    let half = 0.5f - 0.5f * a;
    let z = select(a * a, half, large);
    let s = select(a, sqrt(half), large);
    let tail = s * dp_asin_reduced(z);
    let above = 0x1.921fb6p-1f - (s + (tail + 0x1.777a5cp-26f));
    let value = select(s + tail, above + above, large);
    return bitcast<f32>(bitcast<u32>(value) | (bitcast<u32>(x) & 0x80000000u));
}

// acos x = π/2 - asin x, 2 asin √((1 - x) / 2), or π less that at -x.
fn dp_acos(x: f32) -> f32 {
    let a = abs(x);
    let large = bitcast<u32>(a) > 0x3f000000u;
    let half = 0.5f - 0.5f * a;
    let z = select(x * x, half, large);
    let s = select(x, sqrt(half), large);
    let tail = s * dp_asin_reduced(z);
    let middle = 0x1.921fb6p+0f - (s + (tail + 0x1.777a5cp-25f));
    let right = 2.0f * (s + tail);
    let left = 0x1.921fb6p+1f - (right + 0x1.777a5cp-24f);
    return select(middle, select(right, left, bitcast<u32>(x) > 0x80000000u), large);
}

// atan t for 0 ≤ t ≤ 1: t + t³ P(t²), error 2^-27. The last coefficient is nudged so that atan 1 is the f32 nearest to π/4.
fn dp_atan_reduced(t: f32) -> f32 {
    let z = t * t;
    let p = -0x1.55553ep-2f + z * (0x1.9991e6p-3f + z * (-0x1.2420b4p-3f + z * (0x1.c08f2ep-4f + z * (-0x1.581456p-4f
        + z * (0x1.da59eap-5f + z * (-0x1.fdefc4p-6f + z * (0x1.64b212p-7f + z * -0x1.d477e6p-10f)))))));
    return t + (t * z) * p;
}

fn dp_atan(x: f32) -> f32 {
    let a = abs(x);
    let large = bitcast<u32>(a) > 0x3f800000u;
    let inner = dp_atan_reduced(select(a, 1.0f / a, large));
    let value = select(inner, 0x1.921fb6p+0f - (inner + 0x1.777a5cp-25f), large);
    return bitcast<f32>(bitcast<u32>(value) | (bitcast<u32>(x) & 0x80000000u));
}

// The sign of y counts only where y is not zero, that of x likewise.
fn dp_atan2(y: f32, x: f32) -> f32 {
    let a = bitcast<u32>(y) & 0x7fffffffu;
    let b = bitcast<u32>(x) & 0x7fffffffu;
    let large = max(a, b);
    var t = bitcast<f32>(min(a, b)) / bitcast<f32>(large);
    t = select(t, 1.0f, a == b);
    t = select(t, 0.0f, large == 0u);
    let inner = dp_atan_reduced(t);
    let acute = select(inner, 0x1.921fb6p+0f - (inner + 0x1.777a5cp-25f), a > b);
    let value = select(acute, 0x1.921fb6p+1f - (acute + 0x1.777a5cp-24f), bitcast<u32>(x) > 0x80000000u);
    let sign = select(0u, 0x80000000u, bitcast<u32>(y) > 0x80000000u);
    return bitcast<f32>(select(bitcast<u32>(value) | sign, 0x7fc00000u, large > 0x7f800000u));
}

// ---- Hyperbolic functions ----

// cosh(r + n ln 2) and sinh(r + n ln 2) from cosh and sinh of both, where those of n ln 2 are sums of two powers of two.
// Halved where n is large, so that nothing overflows too early. Returns cosh, sinh, and 2 where they are halved or else 1.
// Errors of the polynomials: sinh 2^-34, cosh 2^-33.
fn dp_cosh_sinh(a: f32) -> vec3f {
    let shifted = bitcast<f32>(min(bitcast<u32>(a), 0x42b40000u)) * 0x1.715476p+0f + 12582912.0f; // a ≤ 90
    let r = dp_minus_ln2(a, shifted - 12582912.0f);
    let z = r * r;
    let s = r + (r * z) * (0x1.555556p-3f + z * (0x1.110fbep-7f + z * 0x1.a2e314p-13f));
    let c = z * (0.5f + z * (0x1.5554e6p-5f + z * 0x1.6d4f0cp-10f));
    let n = bitcast<u32>(shifted) & 0xffu;
    let many = n > 64u;
    let up = bitcast<f32>((n + select(126u, 125u, many)) << 23u);
    let down = bitcast<f32>(select((126u - n) << 23u, 0u, many));
    let cosh_n = up + down;
    let sinh_n = up - down;
    let cosh_x = cosh_n + (cosh_n * c + sinh_n * s);
    let sinh_x = sinh_n + (sinh_n * c + cosh_n * s);
    return vec3f(cosh_x, sinh_x, select(1.0f, 2.0f, many));
}

// `infinite` beyond the range of f32, and NaN for NaN.
fn dp_hyperbolic_special(x: f32, value: u32, infinite: u32) -> u32 {
    let magnitude = bitcast<u32>(x) & 0x7fffffffu;
    let ranged = select(value, infinite, magnitude > 0x42b2d4fcu);
    return select(ranged, 0x7fc00000u, magnitude > 0x7f800000u);
}

fn dp_sinh(x: f32) -> f32 {
    let v = dp_cosh_sinh(abs(x));
    let value = bitcast<u32>(v.y * v.z) | (bitcast<u32>(x) & 0x80000000u);
    return bitcast<f32>(dp_hyperbolic_special(x, value, (bitcast<u32>(x) & 0x80000000u) | 0x7f800000u));
}

fn dp_cosh(x: f32) -> f32 {
    let v = dp_cosh_sinh(abs(x));
    return bitcast<f32>(dp_hyperbolic_special(x, bitcast<u32>(v.x * v.z), 0x7f800000u));
}

// abs(x) ≤ 0.6: x + x³ P(x²), error 2^-28.4. Else 1 - 2 / (exp(2x) + 1). NaN takes the first way.
fn dp_tanh(x: f32) -> f32 {
    let a = abs(x);
    let z = a * a;
    let small = a + (a * z) * (-0x1.55553ep-2f + z * (0x1.1109bep-3f + z * (-0x1.b89abap-5f + z * (0x1.54c3c2p-6f
        + z * -0x1.828776p-8f))));
    let limited = bitcast<f32>(min(bitcast<u32>(a), 0x41400000u)); // a ≤ 12
    let double = limited + limited;
    let shifted = double * 0x1.715476p+0f + 12582912.0f;
    let p = 1.0f + dp_expm1_reduced(dp_minus_ln2(double, shifted - 12582912.0f));
    let power = bitcast<f32>(bitcast<u32>(p) + (bitcast<u32>(shifted) << 23u));
    let value = select(small, 1.0f - 2.0f / (power + 1.0f), bitcast<u32>(a) - 0x3f19999bu <= 0x40666665u);
    return bitcast<f32>(bitcast<u32>(value) | (bitcast<u32>(x) & 0x80000000u));
}

// ---- Inverse hyperbolic functions ----

// asinh a = ln(1 + u) with u = a + a² / (1 + √(a² + 1)); from 2^12 on ln(2a).
fn dp_asinh(x: f32) -> f32 {
    let a = abs(x);
    let square = a * a;
    let u = a + square / (1.0f + sqrt(square + 1.0f));
    let large = bitcast<u32>(a) > 0x45800000u; // a > 4096
    let sum = select(1.0f + u, a, large);
    let low = select(dp_one_plus_low(u, sum), 0.0f, large);
    let value = dp_log_special(sum, dp_log_sum(sum, low, select(0i, 1i, large)));
    return bitcast<f32>(bitcast<u32>(value) | (bitcast<u32>(x) & 0x80000000u));
}

// acosh x = ln(1 + u) with u = t + √(t (t + 2)), t = x - 1; from 2^12 on ln(2x).
fn dp_acosh(x: f32) -> f32 {
    let t = x - 1.0f;
    let u = t + sqrt(t * (t + 2.0f));
    let large = bitcast<i32>(x) > 0x45800000i; // x > 4096
    let sum = select(1.0f + u, x, large);
    let low = select(dp_one_plus_low(u, sum), 0.0f, large);
    let value = dp_log_special(sum, dp_log_sum(sum, low, select(0i, 1i, large)));
    return bitcast<f32>(select(0x7fc00000u, bitcast<u32>(value), bitcast<i32>(x) >= 0x3f800000i));
}

// atanh a = ½ ln(1 + u) with u = 2a / (1 - a).
fn dp_atanh(x: f32) -> f32 {
    let a = abs(x);
    let u = (a + a) / (1.0f - a);
    let sum = 1.0f + u;
    let half = 0.5f * dp_log_special(sum, dp_log_sum(sum, dp_one_plus_low(u, sum), 0i));
    let value = select(half, a, bitcast<u32>(a) < 0x39000000u); // a < 2^-13
    return bitcast<f32>(bitcast<u32>(value) | (bitcast<u32>(x) & 0x80000000u));
}

// ---- Arithmetic ----

fn dp_degrees(x: f32) -> f32 {
    return x * 0x1.ca5dc2p+5f;
}

fn dp_radians(x: f32) -> f32 {
    return x * 0x1.1df46ap-6f;
}

fn dp_fract(x: f32) -> f32 {
    return x - floor(x);
}

fn dp_modf_whole(x: f32) -> f32 {
    return trunc(x);
}

fn dp_modf_fract(x: f32) -> f32 {
    return x - trunc(x);
}

// x = fract 2^exp with 0.5 ≤ abs(fract) < 1; zero, infinity and NaN have exponent 0 and are their own fraction.
fn dp_frexp_exp(x: f32) -> i32 {
    let e = (bitcast<u32>(x) >> 23u) & 0xffu;
    return select(bitcast<i32>(e) - 126i, 0i, (e == 0u) | (e == 255u));
}

fn dp_frexp_fract(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let e = (bits >> 23u) & 0xffu;
    return bitcast<f32>(select((bits & 0x807fffffu) | 0x3f000000u, bits, (e == 0u) | (e == 255u)));
}

// x 2^n, exact, unless it overflows or is less than 2^-126.
fn dp_ldexp(x: f32, n: i32) -> f32 {
    let bits = bitcast<u32>(x);
    let sign = bits & 0x80000000u;
    let e = bitcast<i32>((bits >> 23u) & 0xffu);
    let scaled = e + min(max(n, -512i), 512i);
    var result = (bits & 0x807fffffu) | (bitcast<u32>(scaled) << 23u);
    result = select(result, sign, scaled <= 0i);
    result = select(result, sign | 0x7f800000u, scaled >= 255i);
    return bitcast<f32>(select(result, bits, (e == 0i) | (e == 255i)));
}

fn dp_mix(x: f32, y: f32, t: f32) -> f32 {
    return x * (1.0f - t) + y * t;
}

fn dp_smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = min(max((x - low) / (high - low), 0.0f), 1.0f);
    return (t * t) * (3.0f - 2.0f * t);
}

fn dp_step(edge: f32, x: f32) -> f32 {
    return select(0.0f, 1.0f, edge <= x);
}

// Zero and NaN are their own sign.
fn dp_sign(x: f32) -> f32 {
    return select(select(x, -1.0f, x < 0.0f), 1.0f, x > 0.0f);
}

// The operator %.
fn dp_remainder(x: f32, y: f32) -> f32 {
    return x - y * trunc(x / y);
}
