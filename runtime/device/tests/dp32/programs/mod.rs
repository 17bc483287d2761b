//! Random programs give the same bits everywhere.

mod generate;
mod source;

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use isobit_shader::Tier;

use self::generate::Generator;
use self::source::Source;
use crate::runner::{Form, Gpu, Outcome, Program, interpret, interpret_watched, prepare};

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// It is not accepted, or does not run.
    Refused(String),
    /// Two runs of it differ.
    Differs(String),
}

/// Runs a program everywhere, and compares.
fn fault(program: &Program) -> Option<Fault> {
    let run = || -> Result<Vec<(String, Outcome)>, String> {
        let kernel = prepare(program)?;
        let gpus = Gpu::all().iter();
        let outcome = interpret(&kernel, program).map_err(|error| format!("in the interpreter: {error}"))?;
        let mut outcomes = vec![("the interpreter".to_owned(), outcome)];
        for (gpu, tier) in gpus.flat_map(|gpu| [(gpu, Tier::A), (gpu, Tier::B)]) {
            let place = format!("{} in tier {tier:?}", gpu.name);
            let outcome = gpu.run(&kernel, program, Form::Dp32(tier));
            outcomes.push((place.clone(), outcome.map_err(|error| format!("on {place}: {error}"))?));
        }
        Ok(outcomes)
    };
    let outcomes = match run() {
        Ok(outcomes) => outcomes,
        Err(error) => return Some(Fault::Refused(error)),
    };
    let (first_place, first) = &outcomes[0];
    let other = outcomes.iter().find_map(|(place, outcome)| Some((place, first.difference(outcome)?)));
    other.map(|(place, difference)| Fault::Differs(format!("{first_place} and {place}: {difference}")))
}

/// Tries the programs of these seeds, each of about `size` expressions, on all cores. The first that fails is made small and
/// shown.
fn try_seeds(seeds: Range<u64>, size: usize) {
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(None));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    if let Some(fault) = fault(&Generator::program(&mut Source::random(seed), size)) {
                        next.store(seeds.end, Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((seed, fault));
                    }
                }
            });
        }
    });
    println!("seeds {seeds:?} of size {size}: {:.1?}", began.elapsed());
    let Some((seed, found)) = failed.into_inner().unwrap() else { return };
    let is_like = |other: &Fault| std::mem::discriminant(other) == std::mem::discriminant(&found);
    let choices = source::shrink(seed, 1_000, |source| {
        fault(&Generator::program(source, size)).is_some_and(|fault| is_like(&fault))
    });
    let program = Generator::program(&mut Source::replay(&choices), size);
    let fault = fault(&program);
    panic!(
        "the program of seed {seed} and size {size}, made small:\n{}\n{:?}\n{fault:?}",
        program.wgsl, program.workgroups
    );
}

/// Where the seeds begin: at `ISOBIT_SEED`, or else here.
fn start(usual: u64) -> u64 {
    let given = std::env::var("ISOBIT_SEED").ok().map(|seed| seed.parse().unwrap());
    let start = given.unwrap_or(usual);
    println!("seeds from ISOBIT_SEED={start}");
    start
}

/// The same ones in every run, as drivers take a minute to compile some programs in tier B.
#[test]
fn random_programs_give_the_same_bits_everywhere() {
    let start = start(0);
    try_seeds(start..start + 290, 60);
    // As large as a page.
    try_seeds(start + 300..start + 310, 300);
}

/// New ones in every run.
#[test]
#[ignore = "takes hours"]
fn ten_thousands_of_random_programs_give_the_same_bits_everywhere() {
    let start = start(u64::from(RandomState::new().hash_one(0) as u32));
    try_seeds(start..start + 20_000, 60);
    try_seeds(start + 20_000..start + 22_000, 300);
}

#[test]
fn random_programs_race_only_without_their_barriers() {
    let mut raced = 0;
    for seed in 0..150 {
        let program = Generator::program(&mut Source::random(seed), 60);
        let kernel = prepare(&program).unwrap();
        let (outcome, races) = interpret_watched(&kernel, &program).unwrap();
        assert_eq!(races, [], "in the program of seed {seed}:\n{}", program.wgsl);
        assert_eq!(outcome.difference(&interpret(&kernel, &program).unwrap()), None, "seed {seed}");
        let unguarded = Program { wgsl: program.wgsl.replace("workgroupBarrier();", ""), ..program };
        let (_, races) = interpret_watched(&prepare(&unguarded).unwrap(), &unguarded).unwrap();
        raced += usize::from(!races.is_empty());
    }
    assert!(raced >= 15, "{raced} of 150 programs need their barriers");
}

/// Were the programs' results but zeros and NaNs, no difference would ever show.
#[test]
fn results_of_random_programs_are_telling() {
    let (mut words, mut zeros, mut differing) = (0, 0, 0);
    for seed in 0..25 {
        let program = Generator::program(&mut Source::random(seed), 60);
        let kernel = prepare(&program).unwrap();
        let run = |gpu: &Gpu| gpu.run(&kernel, &program, Form::Native).unwrap();
        let outcomes: Vec<Outcome> = Gpu::all().iter().map(run).collect();
        differing += usize::from(outcomes.iter().any(|outcome| outcome.difference(&outcomes[0]).is_some()));
        for word in outcomes[0].buffers[2..4].iter().flat_map(|buffer| buffer.as_chunks::<4>().0) {
            words += 1;
            zeros += usize::from(*word == [0; 4]);
        }
    }
    // Half of the words are for what a program happens to store.
    assert!(zeros < words * 3 / 4, "{zeros} of {words} words are zero");
    // As written, the same programs do differ.
    assert!(differing >= 3 || Gpu::all().len() == 1, "{differing} of 25 programs differ natively");
}
