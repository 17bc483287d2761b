//! Hostile guests and hostile kernels: each names what it tries, and has to end exactly as stated, on every device. An honest tenant's jobs go on meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod corpus;
mod here;
mod kernels;
mod there;
mod wasm;

use std::time::Instant;

use isobit_job::{Blob, Bytes, Outcome, Trap};

use corpus::{Ends, Entry, Guest};
use here::{Came, Place, Ready};

fn guests() -> Vec<Entry> {
    wasm::guests().into_iter().chain(calls::guests()).collect()
}

fn everything() -> Vec<Entry> {
    guests().into_iter().chain(kernels::kernels()).collect()
}

/// What is wrong with how an entry came out, if anything.
fn wrong(entry: &Entry, came: &Came, has_driver: bool) -> Option<String> {
    let is_right = match (&entry.ends, came) {
        (Ends::NotTaken(part), Came::NotTaken(message)) => message.contains(part) && !part.is_empty(),
        (Ends::Faults(kind), Came::Faulted(fault)) => fault.kind == *kind,
        (Ends::FaultsOnDrivers(kind), Came::Faulted(fault)) => has_driver && fault.kind == *kind,
        (Ends::FaultsOnDrivers(_), Came::Ended(claim, _)) => !has_driver && claim.outcome == Outcome::Completed,
        (Ends::Completes, Came::Ended(claim, _)) => {
            claim.outcome == Outcome::Completed && claim.outputs.values().all(|blob| blob.size == Bytes::ZERO)
        }
        (Ends::Gives(bytes), Came::Ended(claim, _)) => {
            claim.outcome == Outcome::Completed && claim.outputs.get("out") == Some(&Blob::of(bytes))
        }
        (Ends::Traps(trap), Came::Ended(claim, _)) => claim.outcome == Outcome::Trapped(trap.clone()),
        (Ends::Says(first), Came::Ended(claim, _)) => match &claim.outcome {
            Outcome::Trapped(Trap::GuestError { message }) => match first.strip_suffix('…') {
                Some(start) => message.starts_with(start),
                None => message.lines().next() == Some(first) || message == first,
            },
            _ => false,
        },
        _ => false,
    };
    if is_right {
        return None;
    }
    let found = match came {
        Came::Ended(claim, out) if claim.outcome == Outcome::Completed => {
            format!(
                "completed with {:?}",
                out.chunks(4)
                    .take(32)
                    .map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()))
                    .collect::<Vec<_>>()
            )
        }
        Came::Ended(claim, _) => claim.outcome.to_string().chars().take(400).collect(),
        other => format!("{other:?}").chars().take(400).collect(),
    };
    let expected: String = format!("{:?}", entry.ends).chars().take(200).collect();
    Some(format!("expected {expected}\n    found {found}"))
}

/// Runs entries on all devices, and asserts how they end: as stated, with one claim. Components by hand, of which few use the device, run on the CPU device and on one other
/// each, unless `everywhere`.
fn run_all(entries: &[Entry], everywhere: bool) {
    let places = Place::all();
    let turn = |at: usize| {
        let others = places.len() - 1;
        places.iter().enumerate().filter(move |(place, _)| *place == 0 || *place == 1 + at % others)
    };
    let mut failures = Vec::new();
    let only = std::env::var("HOSTILE").unwrap_or_default();
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.name.contains(&only)) {
        let start = Instant::now();
        let ready = Ready::new(entry);
        let mut first: Option<Came> = None;
        let is_by_hand = matches!(entry.guest, Guest::Component(_)) && !everywhere;
        let chosen: Vec<&Place> = match is_by_hand {
            true => turn(at).map(|(_, place)| place).collect(),
            false => places.iter().collect(),
        };
        for place in chosen {
            let began = Instant::now();
            let came = ready.run(entry, place);
            if began.elapsed().as_secs() > 1 {
                println!("{:>6} ms  {} on {}", began.elapsed().as_millis(), entry.name, place.name);
            }
            if let Some(wrong) = wrong(entry, &came, place.has_driver()) {
                failures.push(format!("{:?} on {}: {wrong}", entry.name, place.name));
            }
            match &first {
                None => first = Some(came),
                Some(first) if came.outcome().is_some() && first.outcome().is_some() && came != *first => {
                    failures.push(format!("{:?} on {}: {came:?}\n    elsewhere {first:?}", entry.name, place.name));
                }
                Some(_) => {}
            }
        }
        println!("{:>6} ms  {}", start.elapsed().as_millis(), entry.name);
    }
    assert!(failures.is_empty(), "{} of {} entries:\n{}", failures.len(), entries.len(), failures.join("\n"));
}

#[test]
fn the_corpus_is_large_and_each_name_is_used_once() {
    let (guests, kernels) = (guests(), kernels::kernels());
    assert!(guests.len() >= 60 && kernels.len() >= 60, "{} guests, {} kernels", guests.len(), kernels.len());
    let mut names: Vec<_> = guests.iter().chain(&kernels).map(|entry| entry.name).collect();
    names.sort_unstable();
    let again = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(again, None);
}

#[test]
fn hostile_guests_end_as_stated_on_every_device() {
    let quick: Vec<_> = guests().into_iter().filter(|entry| !entry.is_long && !entry.is_messy).collect();
    run_all(&quick, false);
}

#[test]
fn hostile_kernels_end_as_stated_on_every_device() {
    let quick: Vec<_> = kernels::kernels().into_iter().filter(|entry| !entry.is_long && !entry.is_messy).collect();
    run_all(&quick, false);
}

#[test]
#[ignore = "long: compilers and drivers are kept busy for a minute"]
fn hostile_guests_and_kernels_that_take_long_end_as_stated_on_every_device() {
    let is_by_hand = |entry: &Entry| matches!(entry.guest, Guest::Component(_));
    let long: Vec<_> =
        everything().into_iter().filter(|entry| (entry.is_long || is_by_hand(entry)) && !entry.is_messy).collect();
    run_all(&long, true);
}
