// Tier A: the primitives that take more than native `+ - *` behind a barrier.
//
// Native floating point only gives estimates. Integer arithmetic decides the result, so a device may contract,
// reassociate or round the estimates as it likes.

// The quotient of the two 24-bit significands has 24 bits when the divisor's is shifted by 23, or by 24 if it is the
// greater one. An estimate within some tens of units in the last place makes the remainder small enough for wrapping
// 32-bit arithmetic to hold it. Its quotient by the divisor, rounded down or nearly so, leaves at most one unit to add.
// There are no ties: half a unit more than 24 bits would need 25 bits in the divisor.
fn dp32_divide(a: F, b: F) -> F {
    let ua = bitcast<U>(a);
    let ub = bitcast<U>(b);
    let xa = ua & MAGNITUDE;
    let xb = ub & MAGNITUDE;
    let fa = ua & FRACTION;
    let fb = ub & FRACTION;
    let divisor = fb | HIDDEN;
    let shift = select(U(23u), U(24u), fa < fb);
    // The significands as numbers from 2^23 to 2^24.
    let reciprocal = F(1.0) / bitcast<F>(fb | U(0x4b000000u));
    let estimate = bitcast<U>(bitcast<F>(fa | U(0x4b000000u)) * reciprocal);
    let first = estimate - ((U(149u) - shift) << U(23u));
    let rest = ((fa | HIDDEN) << shift) - first * divisor;
    // Adding 1.5 * 2^21 leaves two bits behind the point.
    let quarters = bitcast<I>(F(bitcast<I>(rest)) * reciprocal + F(3145728.0)) - I(0x4a400000);
    let step = bitcast<U>(quarters >> U(2u));
    let twice = bitcast<I>((rest - step * divisor) << U(1u));
    let quotient = first + step + select(U(0u), U(1u), twice > bitcast<I>(divisor));
    // From here on `quotient` has its leading one at bit 23, or is 2^24 and carries into the exponent.
    let exponent = bitcast<I>((xa >> U(23u)) - (xb >> U(23u)) + U(150u) - shift);
    let bounded = bitcast<U>(clamp(exponent, I(0), I(255)));
    let packed = min((bounded << U(23u)) + (quotient - HIDDEN), INFINITY);
    let finite = select(U(0u), packed, packed > HIDDEN);
    // Zeros wrap around and are special, like infinities and NaNs.
    let special = max(xa - HIDDEN, xb - HIDDEN) >= U(0x7f000000u);
    let invalid = (max(xa, xb) > INFINITY) | (xa == xb);
    let limit = select(select(U(0u), INFINITY, xa > xb), NAN, invalid);
    // The sign of a zero divisor is ignored.
    let sign = (ua ^ select(ub, U(0u), xb == U(0u))) & SIGN;
    return bitcast<F>(select(finite, limit, special) | sign);
}

// The quotient of 2^47 and a divisor of 24 bits, rounded, from an estimate of the divisor's reciprocal. As above, but no
// divisor is less than the dividend's significand, and the dividend's lower 32 bits are zeros.
fn dp32_inverse(divisor: U, reciprocal: F) -> U {
    let first = bitcast<U>(reciprocal) - U(0x33000000u);
    let rest = U(0u) - first * divisor;
    let quarters = bitcast<I>(F(bitcast<I>(rest)) * reciprocal + F(3145728.0)) - I(0x4a400000);
    let step = bitcast<U>(quarters >> U(2u));
    let twice = bitcast<I>((rest - step * divisor) << U(1u));
    return first + step + select(U(0u), U(1u), twice > bitcast<I>(divisor));
}

// 1 / x
fn dp32_reciprocal(x: F) -> F {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    let fraction = u & FRACTION;
    let quotient = dp32_inverse(fraction | HIDDEN, F(1.0) / bitcast<F>(fraction | U(0x4b000000u)));
    let packed = ((U(252u) - (magnitude >> U(23u))) << U(23u)) + quotient;
    let finite = select(packed, U(0u), magnitude >= U(0x7e800000u)) | (u & SIGN);
    // The sign of a zero divisor is ignored.
    return bitcast<F>(select(select(finite, INFINITY, magnitude == U(0u)), NAN, magnitude > INFINITY));
}

struct Root {
    root: U,
    reciprocal: F,
}

// The root has 24 bits when the significand is shifted by 23, or by 24 if the exponent is odd. As in the division: an
// estimate, its exact remainder, a step, and at most one unit more.
fn dp32_root(u: U) -> Root {
    let fraction = u & FRACTION;
    let odd = ((u >> U(23u)) & U(1u)) ^ U(1u);
    // A number from 2^46 to 2^48 whose root has 24 bits before the point.
    let radicand = bitcast<F>(fraction | ((odd + U(173u)) << U(23u)));
    let reciprocal = inverseSqrt(radicand);
    let first = bitcast<U>(radicand * reciprocal) - U(0x4a800000u);
    let rest = ((fraction | HIDDEN) << (odd + U(23u))) - first * first;
    // The step is rest / (2 * root), so one bit behind the point makes it quarters.
    let quarters = bitcast<I>(F(bitcast<I>(rest)) * reciprocal + F(6291456.0)) - I(0x4ac00000);
    let step = bitcast<U>(quarters >> U(2u));
    let second = first + step;
    let left = bitcast<I>(rest - step * (first + second));
    return Root(second + select(U(0u), U(1u), left > bitcast<I>(second)), reciprocal);
}

fn dp32_sqrt(x: F) -> F {
    let u = bitcast<U>(x);
    let exponent = (u >> U(23u)) + U(127u);
    let packed = (((exponent >> U(1u)) - U(1u)) << U(23u)) + dp32_root(u).root;
    // Zeros and negative numbers wrap around and are special, like infinities and NaNs.
    let special = (u - HIDDEN) >= U(0x7f000000u);
    let limit = select(NAN, u, ((u & MAGNITUDE) == U(0u)) | (u == INFINITY));
    return bitcast<F>(select(packed, limit, special));
}

// 1 / sqrt(x), two roundings. It neither overflows nor underflows.
fn dp32_inverse_sqrt(x: F) -> F {
    let u = bitcast<U>(x);
    let exponent = (u >> U(23u)) + U(127u);
    let it = dp32_root(u);
    let packed = ((U(252u) - (exponent >> U(1u))) << U(23u)) + dp32_inverse(it.root, it.reciprocal);
    let special = (u - HIDDEN) >= U(0x7f000000u);
    let limit = select(select(NAN, U(0u), u == INFINITY), INFINITY, (u & MAGNITUDE) == U(0u));
    return bitcast<F>(select(packed, limit, special));
}

// Both halves and the shift are exact; the sum rounds.
fn dp32_from_i32(x: I) -> F {
    return F(x >> U(16u)) * F(65536.0) + F(bitcast<U>(x) & U(0xffffu));
}

fn dp32_from_u32(x: U) -> F {
    return F(x >> U(16u)) * F(65536.0) + F(x & U(0xffffu));
}
