// Tier B: every primitive in integers only.
//
// Values of type F are only carried and reinterpreted here.

// Rounds a significand of 32 bits, whose leading bit is set, to nearest even. Its last bit stands for all bits below
// it. Returns the bits of the magnitude; a magnitude below `least` becomes zero.
fn dp32_pack(exponent: I, significand: U, least: U) -> U {
    let kept = significand >> U(8u);
    let rounded = kept + select(U(0u), U(1u), (significand & U(0xffu)) + (kept & U(1u)) > U(0x80u));
    let bounded = bitcast<U>(clamp(exponent, I(0), I(255)));
    let packed = min((bounded << U(23u)) + (rounded - HIDDEN), INFINITY);
    return select(packed, U(0u), packed < least);
}

fn dp32_add(a: F, b: F) -> F {
    let ua = bitcast<U>(a);
    let ub = bitcast<U>(b);
    let swap = (ua & MAGNITUDE) < (ub & MAGNITUDE);
    let large = select(ua, ub, swap);
    let small = select(ub, ua, swap);
    let xl = large & MAGNITUDE;
    let xs = small & MAGNITUDE;
    let el = xl >> U(23u);
    // Three bits below the significands: two are exact, the last stands for the rest.
    let sl = select(((large & FRACTION) | HIDDEN) << U(3u), U(0u), xl == U(0u));
    let ss = select(((small & FRACTION) | HIDDEN) << U(3u), U(0u), xs == U(0u));
    let distance = min(el - (xs >> U(23u)), U(31u));
    let aligned = ss >> distance;
    let lost = select(U(0u), U(1u), (aligned << distance) != ss);
    let addend = aligned | lost;
    let differ = ((large ^ small) & SIGN) != U(0u);
    let sum = select(sl + addend, sl - addend, differ);
    let zeros = countLeadingZeros(sum);
    let packed = dp32_pack(bitcast<I>(el + U(5u) - zeros), sum << (zeros & U(31u)), HIDDEN);
    let finite = select(packed, U(0u), sum == U(0u));
    let invalid = (xl > INFINITY) | ((xs == INFINITY) & differ);
    let limit = select(INFINITY, NAN, invalid);
    let magnitude = select(finite, limit, xl >= INFINITY);
    return bitcast<F>(select(magnitude | (large & SIGN), U(0u), magnitude == U(0u)));
}

fn dp32_subtract(a: F, b: F) -> F {
    return dp32_add(a, bitcast<F>(bitcast<U>(b) ^ SIGN));
}

fn dp32_multiply(a: F, b: F) -> F {
    let ua = bitcast<U>(a);
    let ub = bitcast<U>(b);
    let xa = ua & MAGNITUDE;
    let xb = ub & MAGNITUDE;
    let sa = (ua & FRACTION) | HIDDEN;
    let sb = (ub & FRACTION) | HIDDEN;
    // 24 by 24 bits in halves of 12.
    let ah = sa >> U(12u);
    let al = sa & U(0xfffu);
    let bh = sb >> U(12u);
    let bl = sb & U(0xfffu);
    let middle = ah * bl + al * bh;
    let low = al * bl + ((middle & U(0xfffu)) << U(12u));
    let high = ah * bh + (middle >> U(12u)) + (low >> U(24u));
    let lost = select(U(0u), U(1u), (low & U(0xffffu)) != U(0u));
    let product = (high << U(8u)) | ((low >> U(16u)) & U(0xffu)) | lost;
    let shift = (product >> U(31u)) ^ U(1u);
    let exponent = bitcast<I>((xa >> U(23u)) + (xb >> U(23u)) - U(126u) - shift);
    let finite = dp32_pack(exponent, product << shift, HIDDEN + U(1u));
    let most = max(xa, xb);
    let zero = min(xa, xb) == U(0u);
    let invalid = (most > INFINITY) | ((most == INFINITY) & zero);
    let limit = select(select(U(0u), INFINITY, most == INFINITY), NAN, invalid);
    let magnitude = select(finite, limit, zero | (most >= INFINITY));
    return bitcast<F>(select(magnitude | ((ua ^ ub) & SIGN), U(0u), magnitude == U(0u)));
}

fn dp32_divide(a: F, b: F) -> F {
    let ua = bitcast<U>(a);
    let ub = bitcast<U>(b);
    let xa = ua & MAGNITUDE;
    let xb = ub & MAGNITUDE;
    let fa = ua & FRACTION;
    let fb = ub & FRACTION;
    let shift = select(U(0u), U(1u), fa < fb);
    let divisor = fb | HIDDEN;
    var rest = (fa | HIDDEN) << shift;
    var quotient = U(0u);
    for (var i = 0; i < 25; i++) {
        let fits = rest >= divisor;
        rest = select(rest, rest - divisor, fits) << U(1u);
        quotient = (quotient << U(1u)) | select(U(0u), U(1u), fits);
    }
    let lost = select(U(0u), U(1u), rest != U(0u));
    let exponent = bitcast<I>((xa >> U(23u)) - (xb >> U(23u)) + U(127u) - shift);
    let finite = dp32_pack(exponent, (quotient << U(7u)) | lost, HIDDEN + U(1u));
    let special = (min(xa, xb) == U(0u)) | (max(xa, xb) >= INFINITY);
    let invalid = (max(xa, xb) > INFINITY) | (xa == xb);
    let limit = select(select(U(0u), INFINITY, xa > xb), NAN, invalid);
    // The sign of a zero divisor is ignored.
    let sign = (ua ^ select(ub, U(0u), xb == U(0u))) & SIGN;
    return bitcast<F>(select(finite, limit, special) | sign);
}

fn dp32_sqrt(x: F) -> F {
    let u = bitcast<U>(x);
    let odd = ((u >> U(23u)) & U(1u)) ^ U(1u);
    // Two bits of the radicand for each bit of the root, from bits 25 and 24 down.
    var radicand = ((u & FRACTION) | HIDDEN) << (odd + U(1u));
    var rest = U(0u);
    var root = U(0u);
    for (var i = 0; i < 25; i++) {
        rest = (rest << U(2u)) | ((radicand >> U(24u)) & U(3u));
        radicand = radicand << U(2u);
        let trial = (root << U(2u)) | U(1u);
        let fits = rest >= trial;
        rest = select(rest, rest - trial, fits);
        root = (root << U(1u)) | select(U(0u), U(1u), fits);
    }
    let lost = select(U(0u), U(1u), rest != U(0u));
    let exponent = bitcast<I>(((u >> U(23u)) + U(127u)) >> U(1u));
    let finite = dp32_pack(exponent, (root << U(7u)) | lost, HIDDEN);
    let zero = (u & MAGNITUDE) == U(0u);
    let limit = select(NAN, u, zero | (u == INFINITY));
    return bitcast<F>(select(finite, limit, zero | (u >= INFINITY)));
}

fn dp32_negate(x: F) -> F {
    return bitcast<F>(bitcast<U>(x) ^ SIGN);
}

fn dp32_abs(x: F) -> F {
    return bitcast<F>(bitcast<U>(x) & MAGNITUDE);
}

// The bits of the fraction that are behind the point. None of a number of 2^23 or more, of an infinity or a NaN.
fn dp32_behind_point(magnitude: U) -> U {
    let exponent = magnitude >> U(23u);
    return select(FRACTION >> ((exponent - U(127u)) & U(31u)), U(0u), exponent >= U(150u));
}

fn dp32_trunc(x: F) -> F {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    return bitcast<F>(select(u & ~dp32_behind_point(magnitude), U(0u), magnitude < ONE));
}

fn dp32_floor(x: F) -> F {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    let behind = dp32_behind_point(magnitude);
    // Adding all the bits behind the point carries into those before it if any of them is set.
    let up = select(u, u + behind, u != magnitude) & ~behind;
    let small = select(U(0u), ONE | SIGN, u > SIGN);
    return bitcast<F>(select(up, small, magnitude < ONE));
}

fn dp32_ceil(x: F) -> F {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    let behind = dp32_behind_point(magnitude);
    let up = select(u + behind, u, u != magnitude) & ~behind;
    let small = select(U(0u), ONE, (u == magnitude) & (u != U(0u)));
    return bitcast<F>(select(up, small, magnitude < ONE));
}

fn dp32_round(x: F) -> F {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    let behind = dp32_behind_point(magnitude);
    // The last bit before the point; in a number from 1 to 2 it is the exponent's last bit, which is set too.
    let unit = behind + U(1u);
    let even = select(U(0u), U(1u), (u & unit) != U(0u));
    let up = select((u + (behind >> U(1u)) + even) & ~behind, u, behind == U(0u));
    let small = select(U(0u), ONE | (u & SIGN), magnitude > HALF);
    return bitcast<F>(select(up, small, magnitude < ONE));
}

// Orders all numbers, with both zeros at 0.
fn dp32_key(x: F) -> I {
    let u = bitcast<U>(x);
    let magnitude = u & MAGNITUDE;
    return bitcast<I>(select(magnitude, U(0u) - magnitude, u != magnitude));
}

fn dp32_ordered(a: F, b: F) -> B {
    return max(bitcast<U>(a) & MAGNITUDE, bitcast<U>(b) & MAGNITUDE) <= INFINITY;
}

fn dp32_equal(a: F, b: F) -> B {
    return (dp32_key(a) == dp32_key(b)) & dp32_ordered(a, b);
}

fn dp32_less(a: F, b: F) -> B {
    return (dp32_key(a) < dp32_key(b)) & dp32_ordered(a, b);
}

fn dp32_less_equal(a: F, b: F) -> B {
    return (dp32_key(a) <= dp32_key(b)) & dp32_ordered(a, b);
}

fn dp32_from_u32(x: U) -> F {
    let zeros = countLeadingZeros(x);
    let shifted = x << (zeros & U(31u));
    let packed = dp32_pack(bitcast<I>(U(158u) - zeros), shifted, HIDDEN);
    return bitcast<F>(select(packed, U(0u), x == U(0u)));
}

fn dp32_from_i32(x: I) -> F {
    let u = bitcast<U>(x);
    let negative = x < I(0);
    let magnitude = bitcast<U>(dp32_from_u32(select(u, U(0u) - u, negative)));
    return bitcast<F>(magnitude | (u & select(U(0u), SIGN, negative)));
}
