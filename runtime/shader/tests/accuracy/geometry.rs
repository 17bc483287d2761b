//! Vectors and matrices, against `f64`, in which products of `f32` are exact.

use crate::kernel::Kernel;
use crate::random::Random;

/// Half a unit in the last place of 1: what one rounding costs at most, relative to its result.
const HALF_ULP: f64 = 1.0 / 16_777_216.0;

/// The true value and, for the components that have errors of different size, how many roundings of which magnitude are stated.
type Truth = fn(&[f64]) -> Vec<(f64, f64)>;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn magnitude(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn length(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The determinant of a matrix by columns, and the sum of its terms' magnitudes.
fn determinant(size: usize, columns: &[f64]) -> (f64, f64) {
    if size == 1 {
        return (columns[0], columns[0].abs());
    }
    let (mut sum, mut terms, mut sign) = (0.0, 0.0, 1.0);
    for row in 0..size {
        let rest: Vec<f64> = (1..size)
            .flat_map(|column| (0..size).filter(move |&other| other != row).map(move |other| column * size + other))
            .map(|index| columns[index])
            .collect();
        let (minor, minor_terms) = determinant(size - 1, &rest);
        sum += sign * columns[row] * minor;
        terms += columns[row].abs() * minor_terms;
        sign = -sign;
    }
    (sum, terms)
}

/// In terms of vectors a, b, c of so many components and the matrix m whose columns start at f[i].
struct Builtin {
    call: &'static str,
    size: usize,
    inputs: usize,
    outputs: usize,
    truth: Truth,
}

/// `roundings` halves of a unit in the last place of `scale`.
fn within(value: f64, roundings: f64, scale: f64) -> (f64, f64) {
    (value, roundings * HALF_ULP * scale)
}

fn lengths<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let value = length(&v[..N]);
    vec![within(value, N as f64 / 2.0 + 1.0, value)]
}

fn dots<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let (a, b) = (&v[..N], &v[N..2 * N]);
    vec![within(dot(a, b), N as f64, magnitude(a, b))]
}

fn distances<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let value = length(&minus(&v[..N], &v[N..2 * N]));
    vec![within(value, N as f64 / 2.0 + 2.0, value)]
}

fn normals<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let all = length(&v[..N]);
    v[..N].iter().map(|part| within(part / all, N as f64 / 2.0 + 3.0, (part / all).abs())).collect()
}

fn determinants<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let (value, terms) = determinant(N, &v[..N * N]);
    vec![within(value, [0.0, 0.0, 2.0, 5.0, 10.0][N], terms)]
}

fn reflections<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let (i, n) = (&v[..N], &v[N..2 * N]);
    let (product, scale) = (dot(n, i), magnitude(n, i));
    let part = |(i, n): (&f64, &f64)| within(i - 2.0 * product * n, N as f64 + 3.0, i.abs() + 2.0 * scale * n.abs());
    i.iter().zip(n).map(part).collect()
}

fn facing<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let (n, i, g) = (&v[..N], &v[N..2 * N], &v[2 * N..3 * N]);
    let product = dot(i, g);
    // Too close to call.
    let unsure = product.abs() <= N as f64 * HALF_ULP * magnitude(i, g);
    n.iter().map(|n| (if product < 0.0 { *n } else { -n }, if unsure { 2.0 * n.abs() } else { 0.0 })).collect()
}

fn crosses(v: &[f64]) -> Vec<(f64, f64)> {
    let (a, b) = (&v[..3], &v[3..6]);
    let part = |(p, q): (usize, usize)| {
        let (first, second) = (a[p] * b[q], a[q] * b[p]);
        within(first - second, 2.0, first.abs() + second.abs())
    };
    [(1, 2), (2, 0), (0, 1)].into_iter().map(part).collect()
}

/// With eta = 0.75: light that is never reflected as a whole.
fn refractions<const N: usize>(v: &[f64]) -> Vec<(f64, f64)> {
    let (i, n) = (&v[..N], &v[N..2 * N]);
    let (i_length, n_length) = (length(i), length(n));
    let (i, n): (Vec<f64>, Vec<f64>) =
        (i.iter().map(|i| i / i_length).collect(), n.iter().map(|n| n / n_length).collect());
    let cosine = dot(&n, &i);
    let k = 1.0 - 0.75 * 0.75 * (1.0 - cosine * cosine);
    i.iter().zip(&n).map(|(i, n)| within(0.75 * i - (0.75 * cosine + k.sqrt()) * n, 24.0, 1.0)).collect()
}

fn builtins() -> Vec<Builtin> {
    let builtin = |call, size, inputs, outputs, truth| Builtin { call, size, inputs, outputs, truth };
    vec![
        builtin("dot(a, b)", 2, 4, 1, dots::<2> as Truth),
        builtin("dot(a, b)", 3, 6, 1, dots::<3>),
        builtin("dot(a, b)", 4, 8, 1, dots::<4>),
        builtin("length(a)", 2, 2, 1, lengths::<2>),
        builtin("length(a)", 3, 3, 1, lengths::<3>),
        builtin("length(a)", 4, 4, 1, lengths::<4>),
        builtin("distance(a, b)", 2, 4, 1, distances::<2>),
        builtin("distance(a, b)", 3, 6, 1, distances::<3>),
        builtin("distance(a, b)", 4, 8, 1, distances::<4>),
        builtin("normalize(a)", 2, 2, 2, normals::<2>),
        builtin("normalize(a)", 3, 3, 3, normals::<3>),
        builtin("normalize(a)", 4, 4, 4, normals::<4>),
        builtin("cross(a, b)", 3, 6, 3, crosses),
        builtin("reflect(a, b)", 2, 4, 2, reflections::<2>),
        builtin("reflect(a, b)", 3, 6, 3, reflections::<3>),
        builtin("reflect(a, b)", 4, 8, 4, reflections::<4>),
        builtin("refract(normalize(a), normalize(b), 0.75)", 2, 4, 2, refractions::<2>),
        builtin("refract(normalize(a), normalize(b), 0.75)", 3, 6, 3, refractions::<3>),
        builtin("refract(normalize(a), normalize(b), 0.75)", 4, 8, 4, refractions::<4>),
        builtin("faceForward(a, b, c)", 2, 6, 2, facing::<2>),
        builtin("faceForward(a, b, c)", 3, 9, 3, facing::<3>),
        builtin("faceForward(a, b, c)", 4, 12, 4, facing::<4>),
        builtin("determinant(m)", 2, 4, 1, determinants::<2>),
        builtin("determinant(m)", 3, 9, 1, determinants::<3>),
        builtin("determinant(m)", 4, 16, 1, determinants::<4>),
    ]
}

/// Compares so many times 10⁵ operands of each builtin.
fn measure(rounds: usize) {
    for Builtin { call, size, inputs, outputs, truth } in builtins() {
        let vector = |first: usize| -> String {
            let parts: Vec<String> = (first..first + size).map(|index| format!("f[i + {index}u]")).collect();
            format!("vec{size}f({})", parts.join(", "))
        };
        let mut text = call.to_owned();
        if call.contains("(m)") {
            let columns: Vec<String> = (0..size).map(|column| vector(column * size)).collect();
            text = text.replace("(m)", &format!("(mat{size}x{size}f({}))", columns.join(", ")));
        }
        let writes: String = (0..outputs)
            .map(|part| {
                if outputs == 1 {
                    "f_out[o] = value;".to_owned()
                } else {
                    format!("f_out[o + {part}u] = value[{part}];")
                }
            })
            .collect();
        let names: String = ["a", "b", "c"]
            .iter()
            .enumerate()
            .take(inputs / size)
            .map(|(index, name)| format!("let {name} = {};", vector(index * size)))
            .collect();
        let kernel = Kernel::new(&format!("{names} let value = {text}; {writes}"), inputs, outputs);
        let mut random = Random::new(call);
        let mut worst = 0.0_f64;
        for _ in 0..rounds {
            // Small integers cancel exactly; the others lie far from where squares leave the range.
            let operands: Vec<f32> = (0..100_000 * inputs)
                .map(|index| if index / inputs % 4 == 0 { random.below(9) as f32 + 1.0 } else { random.scaled(-6, 6) })
                .collect();
            let results = kernel.values(&operands);
            for (operands, results) in operands.chunks_exact(inputs).zip(results.chunks_exact(outputs)) {
                let wide: Vec<f64> = operands.iter().map(|&value| value.into()).collect();
                for ((value, allowed), got) in truth(&wide).into_iter().zip(results) {
                    let error = (f64::from(*got) - value).abs();
                    // What the reference itself may be off.
                    let slack = 1e-14 * (allowed / HALF_ULP);
                    assert!(error <= allowed + slack, "{call} of {operands:?} gives {got:e}, not {value:e}");
                    if allowed > 0.0 {
                        worst = worst.max(error / allowed);
                    }
                }
            }
        }
        println!("{call:<42} size {size}: {:.0} % of the stated error", worst * 100.0);
    }
}

#[test]
fn vectors_and_matrices_are_as_accurate_as_stated() {
    measure(1);
}

#[test]
#[ignore = "minutes: 10^7 operands for each function"]
fn vectors_and_matrices_are_as_accurate_as_stated_at_many_operands() {
    measure(100);
}

#[test]
fn lengths_overflow_with_their_squares_and_zero_has_no_direction() {
    let kernel = Kernel::new(
        "let v = vec3f(f[i], f[i + 1u], f[i + 2u]); f_out[o] = length(v); f_out[o + 1u] = normalize(v).x; f_out[o + 2u] = length(f[i]);
        f_out[o + 3u] = refract(v, vec3f(0.0, 1.0, 0.0), 2.0).x;",
        3,
        4,
    );
    let results = kernel.values(&[2e19, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-25, 0.0, 0.0, 0.8, -0.6, 0.0]);
    let bits = |values: [f32; 4]| values.map(crate::stored);
    assert_eq!(results[..3], [f32::INFINITY, 0.0, 2e19]);
    assert_eq!([results[4], results[6]].map(f32::to_bits), [0, 0]);
    assert_eq!(results[5].to_bits(), crate::stored(f32::NAN));
    assert_eq!(
        results[8..11].iter().map(|it| it.to_bits()).collect::<Vec<_>>(),
        bits([0.0, f32::INFINITY, 1e-25, 0.0])[..3]
    );
    // Total reflection.
    assert_eq!(results[15].to_bits(), 0);
}
