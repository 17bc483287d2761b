//! Fourier transforms of complex f32, there and back: the transform goes to output `spectrum`, its inverse to
//! output `signal`, which differs from what came in by no more than rounding.
//!
//! Input `signal` is raw little-endian f32, real and imaginary parts in turn. Without it a signal is made up, the same on
//! every run.
//!
//! Parameters: `n`, points of a transform, a power of two up to 2^20 (default 4096); `batch`, how many signals lie one
//! after the other (default 1; at most 2^24 points together).

use isobit::{Buffer, Gpu, Input, Kernel, Output, Pod, Zeroable};

isobit::takes! {
    param "n": "points of a transform, a power of two up to 1048576; 4096 if it is not set",
    param "batch": "signals that lie one after the other; 1 if it is not set",
    input "signal": "complex f32; made up if it is not given",
    output "spectrum": "the transform, complex f32",
    output "signal": "its inverse, complex f32",
}

/// The largest transform.
const MOST: u32 = 1 << 20;

/// 128 MiB, the largest binding of device class base, hold so many points.
const MOST_TOGETHER: u32 = 1 << 24;

/// A complex number.
type Complex = [f32; 2];

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Params {
    points: u32,
    done: u32,
    count: u32,
    direction: f32,
    scale: f32,
}

/// The kernels and the table for transforms of one size.
struct Transform {
    pass2: Kernel,
    pass4: Kernel,
    roots: Buffer<Complex>,
    n: u32,
    batch: u32,
}

#[isobit::main]
fn main() -> isobit::Result<()> {
    let n: u32 = isobit::param("n")?.unwrap_or(4096);
    let batch: u32 = isobit::param("batch")?.unwrap_or(1);
    if !n.is_power_of_two() || n > MOST {
        return Err(format!("n is {n}, but has to be a power of two up to {MOST}").into());
    }
    let points = n.checked_mul(batch).filter(|points| (1..=MOST_TOGETHER).contains(points));
    let points = points.ok_or_else(|| format!("{batch} signals of {n} points: at most {MOST_TOGETHER} together"))?;

    let gpu = Gpu::new();
    let transform = Transform::new(gpu, n, batch)?;
    let signal = signal(gpu, points)?;
    let spectrum = transform.run(gpu, signal, 1.0)?;
    isobit::progress(0.5, "there");
    Output::create("spectrum")?.append_from(&spectrum)?;
    let signal = transform.run(gpu, spectrum, -1.0)?;
    Output::create("signal")?.append_from(&signal)?;
    isobit::progress(1.0, "and back");
    Ok(())
}

/// The points of the input, or made-up ones if the job has none.
fn signal(gpu: Gpu, points: u32) -> isobit::Result<Buffer<Complex>> {
    if !Input::names().iter().any(|input| input == "signal") {
        return gpu.buffer_from(&made_up(points));
    }
    let mut input = Input::open("signal")?;
    let (found, wanted) = (input.size(), 8 * u64::from(points));
    if found != wanted {
        return Err(format!("the signal has {found} bytes, but {points} points are {wanted}").into());
    }
    let buffer = gpu.buffer(points as usize)?;
    buffer.load_from(&mut input)?;
    Ok(buffer)
}

/// Noise: real and imaginary parts in [-1, 1) from a linear congruential generator.
fn made_up(points: u32) -> Vec<Complex> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The upper half: the lower bits of such a generator repeat soon.
        let upper = u16::try_from(state >> 16).unwrap_or_default();
        f32::from(upper) / 32_768.0 - 1.0
    };
    (0..points).map(|_| [next(), next()]).collect()
}

/// The radices of the passes: fours, with a two in front if there has to be one.
fn radices(n: u32) -> Vec<u32> {
    let twos = n.trailing_zeros();
    let mut radices = vec![2; (twos % 2) as usize];
    radices.resize((twos % 2 + twos / 2) as usize, 4);
    radices
}

impl Transform {
    fn new(gpu: Gpu, n: u32, batch: u32) -> isobit::Result<Self> {
        let module = gpu.module(include_str!("fft.wgsl"))?;
        let roots = gpu.buffer(n as usize)?;
        module
            .kernel("make_roots")?
            .dispatch()
            .uniform(0, &Params { points: n, done: 0, count: n, direction: 0.0, scale: 0.0 })
            .bind(2, &roots)
            .threads(n as usize)
            .run()?;
        Ok(Self { pass2: module.kernel("pass2")?, pass4: module.kernel("pass4")?, roots, n, batch })
    }

    /// Transforms all signals in the buffer, there (1) or back (-1), where they are divided by `n`.
    fn run(&self, gpu: Gpu, signals: Buffer<Complex>, direction: f32) -> isobit::Result<Buffer<Complex>> {
        let (mut from, mut to) = (signals, gpu.buffer(self.n as usize * self.batch as usize)?);
        let mut commands = gpu.batch();
        let mut done = 1;
        for radix in radices(self.n) {
            let kernel = if radix == 2 { &self.pass2 } else { &self.pass4 };
            let count = self.n / radix * self.batch;
            let is_last = done * radix == self.n;
            let scale = if is_last && direction < 0.0 { 1.0 / self.n as f32 } else { 1.0 };
            kernel
                .dispatch()
                .uniform(0, &Params { points: self.n, done, count, direction, scale })
                .bind(1, &from)
                .bind(2, &to)
                .bind(3, &self.roots)
                .threads(count as usize)
                .record(&mut commands)?;
            std::mem::swap(&mut from, &mut to);
            done *= radix;
        }
        commands.submit()?;
        Ok(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_valid_wgsl() {
        let module = naga::front::wgsl::parse_str(include_str!("fft.wgsl")).unwrap();
        naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
    }

    #[test]
    fn the_radices_make_up_the_size() {
        for n in (0..=20).map(|twos| 1_u32 << twos) {
            assert_eq!(radices(n).iter().product::<u32>(), n);
        }
        assert_eq!(radices(32), [2, 4, 4]);
    }
}
