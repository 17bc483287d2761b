//! Arithmetic of integers and floats.

use super::*;

#[test]
fn integers_are_as_wgsl_says() {
    let i = |x: u32| x as i32;
    let words = &some_words();
    type Case = (&'static str, fn(u32) -> u32);
    let cases: &[Case] = &[
        ("r = x * 3u + 5u - (x ^ 7u);", |x| x.wrapping_mul(3).wrapping_add(5).wrapping_sub(x ^ 7)),
        ("r = x / (x % 3u);", |x| x.checked_div(x % 3).unwrap_or(x)),
        ("r = (x | 1u) % (x & 3u);", |x| (x | 1).checked_rem(x & 3).unwrap_or(0)),
        ("r = u32(i32(x) / (i32(x & 3u) - 1));", |x| {
            (x as i32).checked_div((x & 3) as i32 - 1).unwrap_or(x as i32) as u32
        }),
        ("r = u32(i32(x) % (i32(x & 3u) - 1));", |x| (x as i32).checked_rem((x & 3) as i32 - 1).unwrap_or(0) as u32),
        ("r = x << (x & 63u);", |x| x.wrapping_shl(x & 63)),
        ("r = u32(i32(x) >> (x >> 3u));", |x| (x as i32).wrapping_shr(x >> 3) as u32),
        ("r = ~x & 0xffu | u32(-i32(x)) ;", |x| (!x & 0xff) | x.wrapping_neg()),
        ("r = u32(abs(i32(x))) + u32(sign(i32(x)));", |x| {
            (x as i32).unsigned_abs().wrapping_add((x as i32).signum() as u32)
        }),
        ("r = min(x, 77u) + max(x, 99u) + clamp(x, 5u, 9u);", |x| {
            x.min(77).wrapping_add(x.max(99)).wrapping_add(x.clamp(5, 9))
        }),
        ("r = u32(min(i32(x), -7) + max(i32(x), -9) + clamp(i32(x), -5, 9));", |x| {
            let x = x as i32;
            x.min(-7).wrapping_add(x.max(-9)).wrapping_add(x.clamp(-5, 9)) as u32
        }),
        ("r = countOneBits(x) + 100u * countLeadingZeros(x) + 10000u * countTrailingZeros(x);", |x| {
            x.count_ones() + 100 * x.leading_zeros() + 10000 * x.trailing_zeros()
        }),
        ("r = reverseBits(x);", u32::reverse_bits),
        ("r = firstLeadingBit(x) + 100u * firstTrailingBit(x);", |x| {
            if x == 0 { u32::MAX.wrapping_mul(101) } else { 31 - x.leading_zeros() + 100 * x.trailing_zeros() }
        }),
        ("r = u32(firstLeadingBit(i32(x)));", |x| {
            let y = if (x as i32) < 0 { !x } else { x };
            if y == 0 { u32::MAX } else { 31 - y.leading_zeros() }
        }),
        ("r = dot(vec3u(x, 2u, 3u), vec3u(5u, x, 7u));", |x| x.wrapping_mul(7).wrapping_add(21)),
        ("r = select(1u, 2u, i32(x) < 5) + select(10u, 20u, x >= 5u);", |x| {
            (if (x as i32) < 5 { 2 } else { 1 }) + (if x >= 5 { 20 } else { 10 })
        }),
        ("r = u32(x != 3u) + u32(x == 3u) * 2u + u32(i32(x) >= -1) * 4u + u32(i32(x) > 0) * 8u;", |x| {
            let y = x as i32;
            u32::from(x != 3) + u32::from(x == 3) * 2 + u32::from(y >= -1) * 4 + u32::from(y > 0) * 8
        }),
        ("r = u32(bool(x)) + u32(i32(!bool(x))) * 2u;", |x| if x == 0 { 2 } else { 1 }),
    ];
    for (body, model) in cases {
        map_all(body, words, model);
    }
    for (offset, count) in [(0, 32), (3, 7), (31, 5), (32, 1), (40, 40), (4, 0)] {
        let (o, c) = (offset.min(32), 0);
        let c = c + u32::min(count, 32 - o);
        let mask = if c == 0 { 0 } else { u32::MAX >> (32 - c) };
        map_all(
            &format!("r = extractBits(x, {offset}u, {count}u);"),
            words,
            |x| {
                if c == 0 { 0 } else { x >> o & mask }
            },
        );
        map_all(&format!("r = u32(extractBits(i32(x), {offset}u, {count}u));"), words, |x| {
            if c == 0 { 0 } else { (i(x << (32 - o - c)) >> (32 - c)) as u32 }
        });
        map_all(&format!("r = insertBits(x, 0x5a5a5a5au, {offset}u, {count}u);"), words, |x| {
            if c == 0 { x } else { x & !(mask << o) | (0x5a5a_5a5a & mask) << o }
        });
    }
}

#[test]
fn bytes_in_words() {
    let i8s = |x: u32| x.to_le_bytes().map(|b| i32::from(b as i8));
    let words = &some_words();
    map_all("r = u32(dot4I8Packed(x, 0x80ff7f01u));", words, |x| {
        i8s(x).iter().zip(i8s(0x80ff_7f01)).map(|(a, b)| a * b).sum::<i32>() as u32
    });
    map_all("r = dot4U8Packed(x, 0x80ff7f01u);", words, |x| {
        let products = x.to_le_bytes().into_iter().zip(0x80ff_7f01_u32.to_le_bytes());
        products.map(|(a, b)| u32::from(a) * u32::from(b)).sum()
    });
    map_all("r = pack4xI8(unpack4xI8(x)) ^ pack4xU8(unpack4xU8(x));", words, |_| 0);
    map_all("let v = unpack4xI8(x); r = u32(v.x + v.y * 3 + v.z * 5 + v.w * 7);", words, |x| {
        let [a, b, c, d] = i8s(x);
        (a + b * 3 + c * 5 + d * 7) as u32
    });
    map_all("r = pack4xI8Clamp(vec4i(i32(x), 1, -1000, 1000));", words, |x| {
        u32::from((x as i32).clamp(-128, 127) as u8) | 0x7f80_0100
    });
    map_all("r = pack4xU8Clamp(vec4u(x, 1u, 0u, 1000u));", words, |x| x.min(255) | 0xff00_0100);
}

#[test]
fn floats_are_the_hosts_with_a_flush() {
    let flush = |value: f32, limit: f32| if value.abs() < limit { 0.0 } else { value };
    let tiny = f32::MIN_POSITIVE;
    // Normal numbers, zeros, infinities and NaNs, as the first stage loads them.
    let mut inputs: Vec<u32> = some_words();
    for exponent in [1, 2, 30, 63, 64, 65, 126, 127, 150, 253, 254, 255] {
        for fraction in [0, 1, 0x40_0000, 0x7f_fffe, 0x7f_ffff] {
            inputs.extend([exponent << 23 | fraction, 1 << 31 | exponent << 23 | fraction]);
        }
    }
    let inputs: Vec<u32> = inputs.into_iter().filter(|x| !f32::from_bits(*x).is_subnormal()).collect();
    let canonical = |value: f32| {
        if value == 0.0 {
            0
        } else if value.is_nan() {
            0x7fc0_0000
        } else {
            value.to_bits()
        }
    };
    // What the kernel says about the sign of a zero and the bits of a NaN is nobody's business.
    let check = |expression: &str, model: &dyn Fn(f32, f32) -> f32| {
        for other in [0x3f80_0001_u32, 0x0080_0000, 0x8080_0001, 0x1fff_ffff, 0x7f7f_ffff, 0, 0x7f80_0000, 0xc000_0000]
        {
            let y = f32::from_bits(other);
            let body = format!(
                "let a = bitcast<f32>(x); let b = bitcast<f32>(source[0] * 0u + {other}u); let v = {expression};
                 let n = bitcast<u32>(v); let m = n & 0x7fffffffu; r = select(select(n, 0u, m == 0u), 0x7fc00000u, m > 0x7f800000u);"
            );
            map(64, &body, &inputs, |x| canonical(model(f32::from_bits(x), y)));
        }
    };
    check("a + b", &|a, b| flush(a + b, tiny));
    check("a - b", &|a, b| flush(a - b, tiny));
    check("a * b", &|a, b| flush(a * b, tiny.next_up()));
    check("a / b", &|a, b| if b == 0.0 { a / 0.0 } else { flush(a / b, tiny.next_up()) });
    check("sqrt(a)", &|a, _| a.sqrt());
    check("-a", &|a, _| -a);
    check("abs(a)", &|a, _| a.abs());
    check("floor(a)", &|a, _| a.floor());
    check("ceil(a)", &|a, _| a.ceil());
    check("trunc(a)", &|a, _| a.trunc());
    check("round(a)", &|a, _| a.round_ties_even());
    check("f32(i32(a))", &|a, _| to_i32(a) as f32);
    check("f32(u32(a))", &|a, _| to_u32(a) as f32);
    check("f32(a < b) + 2.0 * f32(a <= b) + 4.0 * f32(a > b) + 8.0 * f32(a >= b) + 16.0 * f32(a == b)", &|a, b| {
        let bits = [a < b, a <= b, a > b, a >= b, a == b];
        bits.iter().enumerate().map(|(at, &bit)| f32::from(u8::from(bit)) * (1 << at) as f32).sum()
    });
    map_all("r = bitcast<u32>(f32(x));", &some_words(), |x| (x as f32).to_bits());
    map_all("r = bitcast<u32>(f32(i32(x)));", &some_words(), |x| (x as i32 as f32).to_bits());
    map_all("r = u32(bitcast<f32>(x)) ^ u32(i32(bitcast<f32>(x)));", &some_words(), |x| {
        to_u32(f32::from_bits(x)) ^ to_i32(f32::from_bits(x)) as u32
    });
}

/// The nearest number that both types have.
fn to_i32(value: f32) -> i32 {
    (value as i32).min(2_147_483_520)
}

fn to_u32(value: f32) -> u32 {
    (value as u32).min(4_294_967_040)
}
