//! Multiplies two square matrices of f32 on the device and writes the product to output `c`.
//!
//! Inputs `a` and `b` are raw little-endian f32, row by row. Without them the matrices are made up, the
//! same on every run.
//!
//! Parameters: `n`, rows and columns (default 256); `check=1` computes the product once more in the
//! guest and fails if an element is further off than rounding can explain.

use isobit::{Buffer, Gpu, Input, Output};

isobit::takes! {
    param "n": "rows and columns; 256 if it is not set, at most 5792",
    param "check": "1: compute the product in the guest too, and compare",
    input "a": "the left matrix, n * n f32; made up if it is not given",
    input "b": "the right matrix, n * n f32; made up if it is not given",
    output "c": "the product, n * n f32",
}

const TILE: u32 = 16;

#[isobit::main]
fn main() -> isobit::Result<()> {
    let n: u32 = isobit::param("n")?.unwrap_or(256);
    // 128 MiB, the largest binding of device class base, hold 5792 * 5792 elements.
    if !(1..=5792).contains(&n) {
        return Err(format!("n is {n}, but has to be from 1 to 5792").into());
    }

    let gpu = Gpu::new();
    let multiply = gpu.kernel(include_str!("multiply.wgsl"))?;
    let a = matrix(gpu, "a", n)?;
    let b = matrix(gpu, "b", n)?;
    let c = gpu.buffer::<f32>(elements(n))?;
    let tiles = n.div_ceil(TILE);
    multiply.dispatch().bind(0, &a).bind(1, &b).bind(2, &c).uniform(3, &n).workgroups(tiles, tiles, 1).run()?;

    if isobit::param("check")?.unwrap_or(0_u8) != 0 {
        check(&a.read()?, &b.read()?, &c.read()?, n)?;
        isobit::info!("all {} elements are within rounding of the reference", c.len());
    }
    Output::create("c")?.append_from(&c)
}

/// The matrix in the input of this name, or a made-up one if the job has no such input.
fn matrix(gpu: Gpu, name: &str, n: u32) -> isobit::Result<Buffer<f32>> {
    if !Input::names().iter().any(|input| input == name) {
        return gpu.buffer_from(&made_up(name, n));
    }
    let mut input = Input::open(name)?;
    let buffer = gpu.buffer(elements(n))?;
    let (found, wanted) = (input.size(), 4 * u64::from(n) * u64::from(n));
    if found != wanted {
        return Err(format!("input {name} has {found} bytes, but {n} x {n} f32 are {wanted}").into());
    }
    buffer.load_from(&mut input)?;
    Ok(buffer)
}

/// Numbers in [-1, 1) from a linear congruential generator, seeded with the matrix's name.
fn made_up(name: &str, n: u32) -> Vec<f32> {
    let mut state = name.bytes().fold(1, |seed: u32, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The upper half: the lower bits of such a generator repeat soon.
        let upper = u16::try_from(state >> 16).unwrap_or_default();
        f32::from(upper) / 32_768.0 - 1.0
    };
    (0..elements(n)).map(|_| next()).collect()
}

/// Compares `c` with a product in f64. A sum of n products in f32, in any order and with or without
/// fusion, is at most n * epsilon * sum(|a * b|) off.
fn check(a: &[f32], b: &[f32], c: &[f32], n: u32) -> isobit::Result<()> {
    let width = n as usize;
    let mut sums = vec![(0.0_f64, 0.0_f64); width];
    for (row, (a_row, c_row)) in a.chunks(width).zip(c.chunks(width)).enumerate() {
        sums.fill((0.0, 0.0));
        for (&a, b_row) in a_row.iter().zip(b.chunks(width)) {
            for ((sum, magnitude), &b) in sums.iter_mut().zip(b_row) {
                let product = f64::from(a) * f64::from(b);
                *sum += product;
                *magnitude += product.abs();
            }
        }
        for (column, (&(sum, magnitude), &c)) in sums.iter().zip(c_row).enumerate() {
            let allowed = f64::from(n) * f64::from(f32::EPSILON) * magnitude;
            let off = (f64::from(c) - sum).abs();
            // Not `off > allowed`: a NaN has to fail.
            let within = off <= allowed;
            if !within {
                return Err(format!("c[{row}][{column}] is {c}, the reference {sum}").into());
            }
        }
    }
    Ok(())
}

fn elements(n: u32) -> usize {
    n as usize * n as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_valid_wgsl() {
        let module = naga::front::wgsl::parse_str(include_str!("multiply.wgsl")).unwrap();
        naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
    }

    #[test]
    fn the_check_finds_one_wrong_element() {
        let (a, b) = (made_up("a", 2), made_up("b", 2));
        let mut c: Vec<f32> = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(|(row, column)| a[row * 2] * b[column] + a[row * 2 + 1] * b[2 + column])
            .to_vec();
        check(&a, &b, &c, 2).unwrap();
        c[2] += 0.001;
        let error = check(&a, &b, &c, 2).unwrap_err().to_string();
        assert!(error.starts_with("c[1][0] is "), "{error}");
    }
}
