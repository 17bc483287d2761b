//! The layers of isobit-nn, on every device, compared with f64.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::cast_possible_truncation, reason = "references compute in f64")]

mod support;

use std::fs;

use support::{Ended, devices, isobit, test_guest};

/// Numbers from -1 to 1 that repeat late.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn number(&mut self) -> f32 {
        f64::from(self.bits()).mul_add(2.0 / f64::from(u32::MAX), -1.0) as f32
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }
}

/// Runs a layer on every device, which all make the same bits.
fn run(params: &[(&str, String)], inputs: &[(&str, Vec<u8>)]) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let mut results: Vec<Vec<u8>> = Vec::new();
    for device in devices() {
        let out = folder.path().join("out");
        let mut run = isobit();
        run.arg("run").arg(test_guest("nn")).args(["--device", &device.index, "--json"]);
        run.arg("-o").arg(format!("out={}", out.display()));
        for (name, value) in params {
            run.arg("-p").arg(format!("{name}={value}"));
        }
        for (name, content) in inputs {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            run.arg("-i").arg(format!("{name}={}", path.display()));
        }
        Ended::from(run.output().unwrap()).done();
        results.push(fs::read(out).unwrap());
        assert!(results[0] == results[results.len() - 1], "{params:?} on {}", device.name);
    }
    results[0].as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn params<const N: usize>(layer: &str, numbers: [(&'static str, usize); N]) -> Vec<(&'static str, String)> {
    let numbers = numbers.into_iter().map(|(name, number)| (name, number.to_string()));
    [("layer", layer.to_owned())].into_iter().chain(numbers).collect()
}

fn assert_close(found: &[f64], expected: &[f64], most: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= most, "{what}: {found} instead of {expected} at {at}");
    }
}

/// The value of a number in half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    let magnitude =
        if exponent == 0 { fraction * 2_f64.powi(-14) } else { (1.0 + fraction) * 2_f64.powi(exponent - 15) };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A matrix in a format: its bytes, and its values.
fn matrix(format: &str, rows: usize, columns: usize, random: &mut Random) -> (Vec<u8>, Vec<f64>) {
    let (mut file, mut values) = (vec![7, 7], Vec::new());
    // Positive, below a sixteenth; sometimes subnormal.
    let scale = |random: &mut Random, file: &mut Vec<u8>| {
        let bits = (random.bits() % (11 << 10)) as u16;
        file.extend(bits.to_le_bytes());
        half(bits)
    };
    while values.len() < rows * columns {
        match format {
            "F32" => {
                let number = random.number();
                file.extend(number.to_le_bytes());
                values.push(f64::from(number));
            }
            "F16" => {
                let bits = (random.bits() % (15 << 10)) as u16 | (random.bits() as u16 & 0x8000);
                file.extend(bits.to_le_bytes());
                values.push(half(bits));
            }
            "Q8_0" => {
                let scale = scale(random, &mut file);
                for _ in 0..32 {
                    let quant = random.bits() as i8;
                    file.extend(quant.to_le_bytes());
                    values.push(scale * f64::from(quant));
                }
            }
            _ => {
                let scale_of_block = scale(random, &mut file);
                let least = if format == "Q4_1" { scale(random, &mut file) } else { -8.0 * scale_of_block };
                let packed: Vec<u8> = (0..16).map(|_| random.bits() as u8).collect();
                let quants = packed.iter().map(|byte| byte & 15).chain(packed.iter().map(|byte| byte >> 4));
                values.extend(quants.map(|quant| scale_of_block * f64::from(quant) + least));
                file.extend(packed);
            }
        }
    }
    (file, values)
}

const FORMATS: [&str; 5] = ["F32", "F16", "Q8_0", "Q4_0", "Q4_1"];

#[test]
fn products_are_those_of_f64_in_every_format() {
    // Many tokens and few; rows that are no multiple of a tile, and ones that are no multiple of 4.
    for (tokens, rows, columns, formats) in [(6, 37, 320, &FORMATS[..]), (1, 70, 96, &["F16", "Q4_1"][..])] {
        for &format in formats {
            let mut random = Random(tokens as u64);
            let (file, w) = matrix(format, rows, columns, &mut random);
            let x = random.numbers(tokens * columns);
            let mut params = params("linear", [("tokens", tokens), ("rows", rows), ("columns", columns)]);
            params.push(("format", format.to_owned()));
            let found = run(&params, &[("x", bytes(&x)), ("weights", file)]);
            let pitch = rows.next_multiple_of(4) + 8;
            let mut expected = vec![1.0; tokens * pitch];
            let mut most = 0_f64;
            for (token, x) in x.chunks(columns).enumerate() {
                for (row, w) in w.chunks(columns).enumerate() {
                    let products = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * w);
                    expected[token * pitch + 4 + row] += products().sum::<f64>();
                    // What rounding activations to 16 bits and sums to 24 can come to.
                    let weights: f64 = w.iter().map(|w| w.abs()).sum();
                    most = most.max(weights * (1.0 / 65024.0 + 64.0 * f64::from(f32::EPSILON)));
                }
            }
            assert_close(&found, &expected, most, &format!("{format}, {tokens} tokens"));
        }
    }
}

#[test]
fn rows_are_looked_up_exactly_in_every_format() {
    let (rows, columns) = (45, 64);
    for format in FORMATS {
        let mut random = Random(5);
        let (file, w) = matrix(format, rows, columns, &mut random);
        let wanted = [44_u32, 0, 31, 32, 7];
        let numbers: Vec<u8> = wanted.iter().flat_map(|row| row.to_le_bytes()).collect();
        let mut params = params("rows", [("rows", rows), ("columns", columns)]);
        params.push(("format", format.to_owned()));
        let found = run(&params, &[("x", vec![0; 4]), ("wanted", numbers), ("weights", file)]);
        let expected: Vec<f64> =
            wanted.iter().flat_map(|row| w[*row as usize * columns..][..columns].iter().copied()).collect();
        // A product and a sum of f32.
        assert_close(&found, &expected, 2e-6, format);
    }
}

#[test]
fn norms_and_gates_are_those_of_f64() {
    let (tokens, columns) = (5, 2112);
    let mut random = Random(9);
    let x: Vec<f32> = random.numbers(tokens * columns).iter().map(|x| x * 30.0).collect();
    let gain = random.numbers(columns);
    let found = run(&params("norm", [("tokens", tokens)]), &[("x", bytes(&x)), ("gain", bytes(&gain))]);
    let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let normed = wide.chunks(columns).flat_map(|row| {
        let mean = row.iter().map(|x| x * x).sum::<f64>() / columns as f64;
        row.iter().zip(&gain).map(move |(x, gain)| x / (mean + 1e-5).sqrt() * f64::from(*gain))
    });
    assert_close(&found, &normed.collect::<Vec<_>>(), 4e-6, "norm");

    let columns = 64;
    let x = &x[..2 * tokens * columns];
    let found = run(&params("gate", [("tokens", tokens)]), &[("x", bytes(x))]);
    let gated = wide[..x.len()].chunks(2 * columns).flat_map(|row| {
        let (gates, others) = row.split_at(columns);
        gates.iter().zip(others).map(|(gate, other)| gate / (1.0 + (-gate).exp()) * other)
    });
    assert_close(&found, &gated.collect::<Vec<_>>(), 1e-3, "gate");
}

/// Attention in f64: `x` has the queries, keys and values of each token.
fn attend(x: &[f64], heads: usize, key_heads: usize, dimension: usize, turned: usize) -> Vec<f64> {
    let row = (heads + 2 * key_heads) * dimension;
    let part = |token: usize, head: usize| -> Vec<f64> {
        let mut part = x[token * row + head * dimension..][..dimension].to_vec();
        if head < heads + key_heads {
            for (pair, two) in part[..turned].chunks_mut(2).enumerate() {
                let angle = token as f64 * 10_000_f64.powf(-2.0 * pair as f64 / turned as f64);
                let (a, b) = (two[0], two[1]);
                two[0] = a * angle.cos() - b * angle.sin();
                two[1] = a * angle.sin() + b * angle.cos();
            }
        }
        part
    };
    let mut out = Vec::new();
    for token in 0..x.len() / row {
        for head in 0..heads {
            let (query, key_head) = (part(token, head), heads + head / (heads / key_heads));
            let weights: Vec<f64> = (0..=token)
                .map(|other| {
                    let dot: f64 = query.iter().zip(part(other, key_head)).map(|(q, k)| q * k).sum();
                    (dot / (dimension as f64).sqrt()).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            let mut result = vec![0.0; dimension];
            for (other, weight) in weights.iter().enumerate() {
                let value = part(other, key_head + key_heads);
                result.iter_mut().zip(value).for_each(|(result, value)| *result += weight / sum * value);
            }
            out.extend(result);
        }
    }
    out
}

#[test]
fn attention_is_that_of_f64() {
    // Heads that share keys by threes, by twos in two workgroups each, and not at all; few tokens, and more than are taken at a time.
    let shapes = [(9, 3, 64, 64, 20, 19), (10, 1, 32, 16, 9, 4), (2, 2, 48, 48, 150, 147), (1, 1, 4, 4, 70, 1)];
    for (heads, key_heads, dimension, turned, tokens, before) in shapes {
        let mut random = Random(3);
        let x: Vec<f32> =
            random.numbers(tokens * (heads + 2 * key_heads) * dimension).iter().map(|x| x * 3.0).collect();
        let numbers = [
            ("heads", heads),
            ("key-heads", key_heads),
            ("dimension", dimension),
            ("turned", turned),
            ("before", before),
        ];
        let found = run(&params("attention", numbers), &[("x", bytes(&x))]);
        let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let expected = attend(&wide, heads, key_heads, dimension, turned);
        assert_close(&found, &expected, 1e-4, &format!("{heads} heads of {dimension}"));
    }
}
