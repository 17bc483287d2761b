//! What the examples compute, computed again in plain Rust: slowly, and from their descriptions.

use std::fs::File;
use std::io::BufReader;
use std::ops::{Add, AddAssign, Mul, Sub};
use std::path::Path;

/// A picture in RGBA.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 4]>,
}

impl Picture {
    /// Reads a PNG with 8 bits per channel in RGB or RGBA.
    pub fn read(path: &Path) -> Picture {
        let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let pixels = match info.color_type {
            png::ColorType::Rgb => bytes.chunks(3).map(|p| [p[0], p[1], p[2], 255]).collect(),
            png::ColorType::Rgba => bytes.chunks(4).map(|p| [p[0], p[1], p[2], p[3]]).collect(),
            other => panic!("{other:?} in {}", path.display()),
        };
        Picture { width: info.width as usize, height: info.height as usize, pixels }
    }

    /// A pixel.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 4] {
        self.pixels[y * self.width + x]
    }

    /// A pixel; beyond the border, the nearest one there is.
    fn nearest(&self, x: i64, y: i64) -> [f64; 4] {
        let inside = |position: i64, size: usize| position.clamp(0, size as i64 - 1) as usize;
        self.pixel(inside(x, self.width), inside(y, self.height)).map(f64::from)
    }

    /// The picture whose pixels `make` makes out of their position.
    fn map(&self, make: impl Fn(i64, i64) -> [f64; 4]) -> Picture {
        let positions = (0..self.height as i64).flat_map(|y| (0..self.width as i64).map(move |x| (x, y)));
        let round = |value: f64| (value + 0.5).floor().clamp(0.0, 255.0) as u8;
        let pixels = positions.map(|(x, y)| make(x, y).map(round)).collect();
        Picture { width: self.width, height: self.height, pixels }
    }

    /// A Gaussian blur along rows, then along columns, with a standard deviation of half the radius.
    pub fn blur(&self, radius: i64) -> Picture {
        let sigma = (radius as f64 / 2.0).max(0.5);
        let bell = |distance: i64| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
        let total: f64 = (-radius..=radius).map(bell).sum();
        let along = |picture: &Picture, dx: i64, dy: i64| {
            picture.map(|x, y| {
                let mut sum = [0.0; 4];
                for d in -radius..=radius {
                    let pixel = picture.nearest(x + d * dx, y + d * dy);
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += bell(d) / total * value;
                    }
                }
                sum
            })
        };
        along(&along(self, 1, 0), 0, 1)
    }

    /// Sobel edges, drawn in dark ink over the picture.
    pub fn ink_edges(&self, strength: f64) -> Picture {
        const ACROSS: [(i64, i64, f64); 6] =
            [(1, -1, 1.0), (1, 0, 2.0), (1, 1, 1.0), (-1, -1, -1.0), (-1, 0, -2.0), (-1, 1, -1.0)];
        const DARK: [f64; 3] = [0.06, 0.05, 0.10];
        self.map(|x, y| {
            let luminance = |x, y| {
                let [r, g, b, _] = self.nearest(x, y);
                (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255.0
            };
            let across: f64 = ACROSS.iter().map(|(dx, dy, weight)| weight * luminance(x + dx, y + dy)).sum();
            // The other gradient is the same with the axes exchanged.
            let down: f64 = ACROSS.iter().map(|(dx, dy, weight)| weight * luminance(x + dy, y + dx)).sum();
            let t = ((across.hypot(down) - 0.15) / (0.9 - 0.15)).clamp(0.0, 1.0);
            let ink = (strength * t * t * (3.0 - 2.0 * t)).clamp(0.0, 1.0);
            let mut pixel = self.nearest(x, y);
            for (value, dark) in pixel.iter_mut().zip(DARK) {
                *value = *value * (1.0 - ink) + 255.0 * dark * ink;
            }
            pixel
        })
    }

    /// Asserts that no channel of any pixel is further off than this, and that few are off at all.
    pub fn assert_close(&self, other: &Picture, tolerance: u8, what: &str) {
        assert_eq!((self.width, self.height), (other.width, other.height));
        let channels = || self.pixels.iter().flatten().zip(other.pixels.iter().flatten());
        let worst = channels().map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= tolerance, "{what}: off by {worst}");
        let sum: u64 = channels().map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = sum as f64 / (4.0 * self.pixels.len() as f64);
        assert!(mean < 0.1, "{what}: off by {mean} on average");
    }
}

/// What the example matmul makes up as a matrix: [`made_up`] numbers, seeded with the name.
pub fn made_up_matrix(name: &str, n: usize) -> Vec<f32> {
    let seed = name.bytes().fold(1_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    made_up(seed).take(n * n).collect()
}

/// What examples make up: numbers in [-1, 1) from a linear congruential generator.
pub fn made_up(seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state >> 16) / 32_768.0 - 1.0) as f32
    })
}

/// a * b, and |a| * |b| for the bound of errors, by the definition.
fn products(a: &[f32], b: &[f32], n: usize) -> Vec<(f64, f64)> {
    let element = |row: usize, column: usize| {
        (0..n).fold((0.0, 0.0), |(sum, magnitude), k| {
            let product = f64::from(a[row * n + k]) * f64::from(b[k * n + column]);
            (sum + product, magnitude + product.abs())
        })
    };
    (0..n * n).map(|i| element(i / n, i % n)).collect()
}

/// a * b.
pub fn product(a: &[f32], b: &[f32], n: usize) -> Vec<f64> {
    products(a, b, n).into_iter().map(|(sum, _)| sum).collect()
}

/// Asserts that the f32 in `c` are a * b as far as sums in f32 can tell.
pub fn assert_is_product(c: &[u8], a: &[f32], b: &[f32], n: usize) {
    assert_eq!(c.len(), 4 * n * n);
    for (i, (found, (sum, magnitude))) in c.chunks(4).zip(products(a, b, n)).enumerate() {
        let found = f32::from_le_bytes(found.try_into().unwrap());
        let off = (f64::from(found) - sum).abs();
        assert!(off <= n as f64 * f64::from(f32::EPSILON) * magnitude, "element {i} is {found}, the reference {sum}");
    }
}

/// The Mandelbrot set in fixed point with 28 bits behind the point, in i64.
pub struct Mandelbrot {
    left: i64,
    top: i64,
    step: i64,
    iterations: u32,
}

impl Mandelbrot {
    pub fn new(width: i64, height: i64, iterations: u32, x: &str, y: &str, zoom: i64) -> Mandelbrot {
        let fixed = |text: &str| (text.parse::<f64>().unwrap() * f64::from(1 << 28)).trunc() as i64;
        let step = (4_i64 << 28) / (2 * width) / zoom;
        Mandelbrot { left: fixed(x) - step * width, top: fixed(y) - step * height, step, iterations }
    }

    /// The mean of four samples, each a colour of its own.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 4] {
        let mut sum = [2_u32; 4];
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let re = self.left + (2 * x as i64 + dx) * self.step;
            let im = self.top + (2 * y as i64 + dy) * self.step;
            for (sum, value) in sum.iter_mut().zip(self.colour(self.escape(re, im))) {
                *sum += value;
            }
        }
        sum.map(|sum| (sum / 4) as u8)
    }

    fn escape(&self, c_re: i64, c_im: i64) -> u32 {
        let (mut re, mut im) = (c_re, c_im);
        for count in 0..self.iterations {
            let (re_squared, im_squared) = ((re * re) >> 28, (im * im) >> 28);
            if re.abs() > 2 << 28 || im.abs() > 2 << 28 || re_squared + im_squared > 4 << 28 {
                return count;
            }
            // Rounded towards zero, unlike a shift of a negative number.
            let twice = 2 * ((re.abs() * im.abs()) >> 28) * (re * im).signum();
            (re, im) = (re_squared - im_squared + c_re, twice + c_im);
        }
        self.iterations
    }

    fn colour(&self, count: u32) -> [u32; 4] {
        const STOPS: [(u32, [u32; 3]); 6] = [
            (0, [0, 7, 100]),
            (41, [32, 107, 203]),
            (108, [237, 255, 255]),
            (164, [255, 170, 0]),
            (219, [60, 16, 12]),
            (256, [0, 7, 100]),
        ];
        if count == self.iterations {
            return [0, 0, 0, 255];
        }
        let place = count * 8 % 256;
        let after = STOPS.iter().position(|(stop, _)| *stop > place).unwrap();
        let ((from, low), (to, high)) = (STOPS[after - 1], STOPS[after]);
        let mix = |i: usize| (low[i] * (to - place) + high[i] * (place - from)) / (to - from);
        [mix(0), mix(1), mix(2), 255]
    }
}

/// Arithmetic in f32 and in f64.
pub trait Float: Copy + From<f32> + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + AddAssign {
    fn inverse_sqrt(self) -> Self;
}

impl Float for f32 {
    fn inverse_sqrt(self) -> f32 {
        1.0 / self.sqrt()
    }
}

impl Float for f64 {
    fn inverse_sqrt(self) -> f64 {
        1.0 / self.sqrt()
    }
}

/// Bodies under their mutual gravity. In f32 it takes each operation in the order of profile dp32, and rounds as often:
/// nothing in it comes near a subnormal number.
pub struct Bodies<T> {
    pub positions: Vec<[T; 3]>,
    pub velocities: Vec<[T; 3]>,
    mass: T,
}

impl<T: Float> Bodies<T> {
    /// Equal masses at random places in the unit ball, with random velocities of at most a half.
    pub fn new(bodies: usize, seed: u32) -> Bodies<T> {
        let mut numbers = made_up(seed);
        let mut in_ball = || loop {
            let point = [(); 3].map(|()| numbers.next().unwrap());
            if point.map(|x| x * x).into_iter().sum::<f32>() <= 1.0 {
                return point;
            }
        };
        let both = || (in_ball().map(T::from), in_ball().map(|v| T::from(v / 2.0)));
        let (positions, velocities) = std::iter::repeat_with(both).take(bodies).unzip();
        Bodies { positions, velocities, mass: T::from(1.0 / bodies as f32) }
    }

    /// Velocity Verlet, with padding by bodies without mass up to a multiple of 64: they add zeros.
    pub fn run(&mut self, steps: usize, dt: f32) {
        for step in 0..steps {
            self.kick(if step == 0 { dt / 2.0 } else { dt });
            for (position, velocity) in self.positions.iter_mut().zip(&self.velocities) {
                for (x, v) in position.iter_mut().zip(velocity) {
                    *x += T::from(dt) * *v;
                }
            }
        }
        self.kick(dt / 2.0);
    }

    fn kick(&mut self, dt: f32) {
        for (body, velocity) in self.positions.iter().zip(&mut self.velocities) {
            let mut acceleration = [T::from(0.0); 3];
            for other in &self.positions {
                let towards: [T; 3] = std::array::from_fn(|axis| other[axis] - body[axis]);
                let [x, y, z] = towards.map(|component| component * component);
                let inverse = (x + y + z + T::from(1.0 / 256.0)).inverse_sqrt();
                let pull = self.mass * inverse * inverse * inverse;
                for (sum, component) in acceleration.iter_mut().zip(towards) {
                    *sum += pull * component;
                }
            }
            for (v, a) in velocity.iter_mut().zip(acceleration) {
                *v += T::from(dt) * a;
            }
        }
    }
}

/// Fourier's sum for one frequency, in f64.
pub fn frequency(signal: &[[f32; 2]], frequency: usize) -> [f64; 2] {
    let n = signal.len();
    let mut sum = [0.0; 2];
    for (k, point) in signal.iter().enumerate() {
        let angle = -std::f64::consts::TAU * (frequency * k % n) as f64 / n as f64;
        let [re, im] = point.map(f64::from);
        sum[0] += re * angle.cos() - im * angle.sin();
        sum[1] += re * angle.sin() + im * angle.cos();
    }
    sum
}

/// The largest distance between two complex numbers at the same place, relative to the root mean square of the second ones.
pub fn distance(found: &[[f32; 2]], expected: &[[f64; 2]]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |[re, im]: [f64; 2]| re * re + im * im;
    let mean = expected.iter().copied().map(square).sum::<f64>() / expected.len() as f64;
    let apart = found.iter().zip(expected).map(|(&[a, b], [c, d])| square([f64::from(a) - c, f64::from(b) - d]));
    (apart.fold(0.0, f64::max) / mean).sqrt()
}

/// Bytes without a pattern, the same every time.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes: Vec<u8> = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
