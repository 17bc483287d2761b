//! Moves bodies under their mutual gravity and writes where they are in the end to output `bodies`.
//!
//! The motion is chaotic: what differs in one bit after the first step is another universe after the last one.
//!
//! The output has eight little-endian f32 for each body: position, mass, velocity, and a zero. The bodies start at random
//! in a ball of radius 1, their masses add up to 1, and so does the constant of gravity.
//!
//! Parameters: `steps` (default 10 000); `bodies` (default 256, at most 16 384); `seed` (default 1); `dt`, the length of a
//! step (default 1/128); `check=1` computes the energy before and after in the guest and fails if more than
//! a hundredth of it is lost or won.

use std::io::{BufWriter, Write};

use isobit::{Buffer, Gpu, Kernel, Output, Pod, Zeroable};

isobit::takes! {
    param "steps": "10000 if it is not set",
    param "bodies": "256 if it is not set, at most 16384",
    param "seed": "of where the bodies start; 1 if it is not set",
    param "dt": "length of a step; 1/128 if it is not set, at most 1",
    param "check": "1: compute the energy before and after, and compare",
    output "bodies": "eight f32 for each body: position, mass, velocity, a zero",
}

/// The most bodies: a dispatch's loop has as many turns.
const MOST: u32 = 16_384;

/// Steps that are submitted together.
const BATCH: u32 = 128;

/// The square of the distance below which gravity weakens.
const SOFTENING: f32 = 1.0 / 256.0;

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Params {
    bodies: u32,
    kick: f32,
    drift: f32,
    softening: f32,
}

/// Positions with masses, and velocities.
struct State {
    positions: Vec<[f32; 4]>,
    velocities: Vec<[f32; 4]>,
}

#[isobit::main]
fn main() -> isobit::Result<()> {
    let steps: u32 = isobit::param("steps")?.unwrap_or(10_000);
    let bodies: u32 = isobit::param("bodies")?.unwrap_or(256);
    let dt: f32 = isobit::param("dt")?.unwrap_or(1.0 / 128.0);
    if !(1..=MOST).contains(&bodies) {
        return Err(format!("bodies is {bodies}, but has to be from 1 to {MOST}").into());
    }
    if !(0.0..=1.0).contains(&dt) {
        return Err(format!("dt is {dt}, but has to be from 0 to 1").into());
    }

    let start = State::random(bodies, isobit::param("seed")?.unwrap_or(1));
    let end = run(&start, steps, dt)?;
    if isobit::param("check")?.unwrap_or(0_u8) != 0 {
        let (before, after) = (start.energy(), end.energy());
        isobit::info!("energy {before:.6} before, {after:.6} after");
        // Not `off > allowed`: a NaN has to fail.
        let within = (after - before).abs() <= 0.01 * before.abs();
        if !within {
            return Err(format!("the energy was {before} and is {after}").into());
        }
    }

    let mut out = BufWriter::new(Output::create("bodies")?);
    for (position, velocity) in end.positions.iter().zip(&end.velocities) {
        for value in position.iter().chain(velocity) {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}

/// Velocity Verlet: half a kick, whole kicks between drifts, half a kick.
fn run(start: &State, steps: u32, dt: f32) -> isobit::Result<State> {
    let gpu = Gpu::new();
    let kernel = gpu.kernel(include_str!("nbody.wgsl"))?;
    let bodies = u32::try_from(start.positions.len()).unwrap_or(u32::MAX);
    let params = |kick, drift| gpu.uniform(&Params { bodies, kick, drift, softening: SOFTENING });
    let (first, middle, last) = (params(dt / 2.0, dt)?, params(dt, dt)?, params(dt / 2.0, 0.0)?);
    let mut from = gpu.buffer_from(&start.positions)?;
    let mut to = gpu.buffer::<[f32; 4]>(start.positions.len())?;
    let velocities = gpu.buffer_from(&start.velocities)?;

    let mut batch = gpu.batch();
    for step in 0..steps {
        let params = if step == 0 { &first } else { &middle };
        dispatch(&kernel, &from, &to, &velocities, params).record(&mut batch)?;
        std::mem::swap(&mut from, &mut to);
        if (step + 1) % BATCH == 0 {
            std::mem::replace(&mut batch, gpu.batch()).submit()?;
            isobit::progress((step + 1) as f32 / steps as f32, "moved");
        }
    }
    if steps > 0 {
        dispatch(&kernel, &from, &to, &velocities, &last).record(&mut batch)?;
        std::mem::swap(&mut from, &mut to);
    }
    batch.submit()?;
    Ok(State { positions: from.read()?, velocities: velocities.read()? })
}

fn dispatch<'a>(
    kernel: &'a Kernel,
    from: &'a Buffer<[f32; 4]>,
    to: &'a Buffer<[f32; 4]>,
    velocities: &'a Buffer<[f32; 4]>,
    params: &'a Buffer<Params>,
) -> isobit::Dispatch<'a> {
    kernel.dispatch().bind(0, from).bind(1, to).bind(2, velocities).bind(3, params).threads(from.len())
}

impl State {
    /// Bodies of equal mass in the unit ball, their velocities in a ball of half its radius.
    fn random(bodies: u32, seed: u32) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The upper half: the lower bits of such a generator repeat soon.
            let upper = u16::try_from(state >> 16).unwrap_or_default();
            f32::from(upper) / 32_768.0 - 1.0
        };
        let mut in_ball = || {
            loop {
                let [x, y, z] = [next(), next(), next()];
                if x * x + y * y + z * z <= 1.0 {
                    return [x, y, z];
                }
            }
        };
        let mass = 1.0 / bodies as f32;
        let (positions, velocities) = (0..bodies)
            .map(|_| {
                let ([x, y, z], [vx, vy, vz]) = (in_ball(), in_ball());
                ([x, y, z, mass], [vx / 2.0, vy / 2.0, vz / 2.0, 0.0])
            })
            .unzip();
        Self { positions, velocities }
    }

    /// Kinetic and potential energy, in f64.
    fn energy(&self) -> f64 {
        let mut energy = 0.0;
        let mut rest = self.positions.iter().zip(&self.velocities);
        while let Some((&[x, y, z, mass], &[vx, vy, vz, _])) = rest.next() {
            energy += f64::from(mass) * squared([vx, vy, vz]) / 2.0;
            for (&[other_x, other_y, other_z, other_mass], _) in rest.clone() {
                let distance = (squared([other_x - x, other_y - y, other_z - z]) + f64::from(SOFTENING)).sqrt();
                energy -= f64::from(mass) * f64::from(other_mass) / distance;
            }
        }
        energy
    }
}

fn squared(vector: [f32; 3]) -> f64 {
    vector.iter().map(|&component| f64::from(component) * f64::from(component)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_valid_wgsl() {
        let module = naga::front::wgsl::parse_str(include_str!("nbody.wgsl")).unwrap();
        naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
    }

    #[test]
    fn the_energy_of_two_bodies_is_known() {
        let two = State {
            positions: vec![[-1.0, 0.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.5]],
            velocities: vec![[0.0, 1.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]],
        };
        let potential = 0.25 / (4.0 + f64::from(SOFTENING)).sqrt();
        assert!((two.energy() - (0.5 - potential)).abs() < 1e-15);
    }

    #[test]
    fn the_start_depends_on_the_seed_alone() {
        let [a, b, c] = [1, 1, 2].map(|seed| State::random(50, seed).positions);
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert!(a.iter().all(|[x, y, z, _]| squared([*x, *y, *z]) <= 1.0));
    }
}
