//! What the fuzzers do, with the compiler that builds everything else: their seeds, what they have found, and some thousand changes of both.
//! See `fuzz/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::cast_possible_truncation, reason = "bytes are cut from numbers on purpose")]

#[path = "../fuzz/checks/gpu.rs"]
mod gpu;
#[path = "../fuzz/checks/receipt.rs"]
mod receipt;
#[path = "../fuzz/checks/spec.rs"]
mod spec;
#[path = "../fuzz/checks/store.rs"]
mod store;
#[path = "../fuzz/checks/wire.rs"]
mod wire;
#[path = "../fuzz/checks/workload.rs"]
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use isobit_job::{
    Blob, Claim, Cost, DeviceClass, FaultKind, Fuel, Hash, Instead, JobSpec, Limits, LogLevel, Millis, Observed,
    Outcome, Profile, Receipt, Rules, SecretKey, Unread,
};
use isobit_wire::{BlobHeader, OutputHeader, PROTOCOL, Rejection, ToProvider, ToRenter, encode};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What was found, one file each.
fn cases(target: &str) -> Vec<Vec<u8>> {
    let folder = repository().join("fuzz/cases").join(target);
    let files = std::fs::read_dir(folder).into_iter().flatten();
    files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

/// Numbers that look random.
struct Numbers(u64);

/// A start of [`Numbers`] that is the same in every run.
const ALWAYS: u64 = 0x9e37_79b9_7f4a_7c15;

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A seed with some changes: bits flipped, bytes set to values at edges, added, taken away or repeated, ends cut off, parts of another.
fn changed(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let length = numbers.below(16).min(bytes.len() - at);
        match numbers.below(8) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            3 => bytes.insert(at, numbers.next() as u8),
            4 => drop(bytes.drain(at..at + length)),
            5 => bytes.extend_from_within(at..at + length),
            6 => bytes.truncate(bytes.len() - numbers.below(8).min(bytes.len())),
            _ => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
    bytes
}

/// Checks the seeds of a target, what was found, and this many changes of them. Bytes that break a promise are written out.
fn try_all(target: &str, seeds: Vec<Vec<u8>>, (start, changes): (u64, usize), check: impl Fn(&[u8])) {
    let seeds: Vec<Vec<u8>> = seeds.into_iter().chain(cases(target)).collect();
    let mut numbers = Numbers(start);
    let changed = (0..changes).map(|_| changed(&seeds, &mut numbers));
    for bytes in [Vec::new()].into_iter().chain(seeds.iter().cloned()).chain(changed) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
            eprintln!("{target}: these bytes break a promise; keep them in fuzz/cases/{target}: {bytes:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn a_spec() -> JobSpec {
    JobSpec {
        workload: Blob::of(b"workload"),
        inputs: [("in".parse().unwrap(), Blob::of(b"input"))].into(),
        params: [("do".parse().unwrap(), "what \u{1f600} is said\n".to_owned())].into(),
        limits: Limits::default(),
        profile: Profile::Dp32,
        class: DeviceClass::Base,
    }
}

fn a_receipt() -> Receipt {
    let (spec, text) = (a_spec(), || "text".to_owned());
    let output = Blob::of(b"output");
    let cost = Cost {
        guest_fuel: Fuel::saturating_from(1000),
        input_bytes: spec.inputs.values().next().unwrap().size,
        output_bytes: output.size,
        ..Cost::default()
    };
    let outputs = [("out".parse().unwrap(), output)].into();
    let rules = Rules::of(Profile::Dp32, 2, 1);
    let claim = Claim { job: spec.id(), rules, outcome: Outcome::Completed, outputs, cost, trace: None };
    let observed = Observed {
        device: text(),
        driver: text(),
        backend: text(),
        software: text(),
        started_unix_ms: Millis::ZERO,
        queue_ms: Millis::ZERO,
        prepare_ms: Millis::ZERO,
        run_ms: Millis::ZERO,
        instead_of: Some(Instead { device: text(), driver: text(), reason: text() }),
    };
    Receipt { spec, claim, observed, bill: None, provider: SecretKey::from_bytes(receipt::KEY).public() }
}

fn wire_seeds() -> Vec<Vec<u8>> {
    let hello = ToProvider::Hello { protocol: PROTOCOL, software: "fuzzer".into() };
    let submit = ToProvider::Submit { spec_json: a_spec().canonical(), deadline_ms: 1000 };
    let said = [&hello, &submit, &ToProvider::Cancel].map(|message| encode(message).unwrap()).concat();
    let text = || "text".to_owned();
    let name = || "out".parse().unwrap();
    let before = [
        ToRenter::Welcome { protocol: PROTOCOL, software: text() },
        ToRenter::Missing { blobs: vec![Hash::of(b"one"), Hash::of(b"another")] },
        ToRenter::Queued { position: 1, reason: text() },
        ToRenter::Accepted { deadline_ms: 1000 },
        ToRenter::Running { device: text() },
    ];
    let runs = [
        ToRenter::log(LogLevel::Warn, "line"),
        ToRenter::progress(0.5, "half"),
        ToRenter::Output { index: 0, name: name() },
        ToRenter::restarted("device", "reason"),
        ToRenter::Output { index: 1, name: name() },
        ToRenter::Unread(Unread { params: [name()].into(), inputs: [name()].into() }),
        ToRenter::Finished { envelope_json: b"{}".to_vec(), outputs: 1 },
    ];
    let rejected = [
        ToRenter::Rejected(Rejection::Full { running: 1, queued: 2 }),
        ToRenter::Rejected(Rejection::LimitTooHigh { limit: text(), maximum: 1, requested: 2 }),
        ToRenter::Faulted(FaultKind::Deadline.into()),
    ];
    let frames = |messages: &[&[ToRenter]]| messages.concat().iter().flat_map(|it| encode(it).unwrap()).collect();
    let answered: Vec<u8> = frames(&[&before, &runs]);
    let mut seeds: Vec<Vec<u8>> = vec![
        [&[0, 3], &said[..]].concat(),
        [&[4, 100], &said[..]].concat(),
        [&[1, 7], &answered[..]].concat(),
        [&[5 + 6 * 2, 50], &answered[..]].concat(),
        [&[2, 9], &encode(&BlobHeader { job: 3, blob: Blob::of(b"blob") }).unwrap()[..]].concat(),
        [&[3, 1], &encode(&OutputHeader { job: 300, index: 7 }).unwrap()[..]].concat(),
    ];
    for last in rejected {
        let frames: Vec<u8> = frames(&[&before[..1], &[last]]);
        seeds.push([&[5 + 6 * 3, 20], &frames[..]].concat());
    }
    seeds
}

fn receipt_seeds() -> Vec<Vec<u8>> {
    let envelope = a_receipt().sign(&SecretKey::from_bytes(receipt::KEY));
    vec![envelope.to_json().into_bytes(), envelope.payload().to_vec()]
}

fn store_seeds() -> Vec<Vec<u8>> {
    let blob = |length: u16, split: u8, changes: &[u8]| [&length.to_le_bytes()[..], &[65, split], changes].concat();
    vec![
        blob(0, 0, &[]),
        blob(100, 2, &[]),
        blob(8192, 40, &[0, 0, 0, 3]),
        blob(20_000, 200, &[1, 2, 0, 1, 9, 9, 0, 2]),
        blob(40_000, 254, &[10, 100, 0, 0]),
        blob(16, 1, &[65; 32]),
        blob(30_000, 3, &[65; 100]),
    ]
}

/// A sequence without a mistake: a buffer, a pipeline, its layout, a group, and a dispatch of it.
fn gpu_seeds() -> Vec<Vec<u8>> {
    // Small numbers are themselves; 1 before a number multiplies it by 4.
    let sequence: [&[u8]; 14] = [
        &[0, 1, 16, 1, 1],
        &[17, 0, 0, 0, 32],
        &[6, 0, 0, 0, 1, 3],
        &[3, 0, 0],
        &[4, 0, 1, 0, 0, 0, 0, 0],
        &[7],
        &[8, 0, 0],
        &[8, 2, 0, 0],
        &[8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[8, 4, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1],
        &[8, 1, 0],
        &[15],
        &[16],
        &[18, 0, 0, 0, 1, 4],
    ];
    let padded = sequence.map(|request| [request, &[0; 12][..12 - request.len().min(12)]].concat()).concat();
    vec![sequence.concat(), padded, vec![0; 200], (0..=255).collect(), (0..=255).rev().collect()]
}

fn workload_seeds() -> Vec<Vec<u8>> {
    let text = [
        r#"(module (func $f (param i32) (result i32 i64) local.get 0 (if (then i32.const 1 i64.const 2 return))
            local.get 0 call $f) (func (export "run") i32.const 1 call $f drop drop))"#,
        r#"(module (import "a" "b" (func $i)) (global (mut i32) (i32.const 3)) (table 2 funcref) (elem (i32.const 0) $i)
            (type $t (func)) (func $r (return_call $r)) (func (block (br_table 0 0 (i32.const 1)))
            (loop (br_if 0 (i32.const 0)) (call_indirect (type $t) (i32.const 0)) (return)) unreachable)
            (@custom "name" "\00\02\01a"))"#,
        r#"(component (core module $m (memory 1) (func (export "run") call 0)) (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#,
        r#"(component (component $c (core module (func call 0)) (instance (export "i"))) (instance $d (instantiate $c))
            (export "run" (instance $d)) (@custom "isobit:takes" "param a\ninput b\noutput c"))"#,
        r#"(component (import "wasi:io/poll@0.2.0" (instance)) (instance (export "run")))"#,
    ];
    text.iter().map(|text| wat::parse_str(text).unwrap()).collect()
}

/// A check of the store, in a folder of its own.
fn check_store() -> impl Fn(&[u8]) {
    let folder = tempfile::tempdir().unwrap();
    move |bytes| store::check(bytes, folder.path())
}

#[test]
fn frames_and_conversations() {
    try_all("wire", wire_seeds(), (ALWAYS, 10_000), wire::check);
}

#[test]
fn job_specs() {
    try_all("spec", vec![a_spec().canonical()], (ALWAYS, 5_000), spec::check);
}

#[test]
fn receipts() {
    let seeds = receipt_seeds();
    let key = SecretKey::from_bytes(receipt::KEY);
    let verified = isobit_job::Envelope::from_json(&seeds[0]).unwrap().verify().unwrap();
    assert_eq!(verified.sign(&key).payload(), seeds[1], "the seeds are good");
    try_all("receipt", seeds, (ALWAYS, 500), receipt::check);
}

#[test]
fn blobs_that_arrive() {
    try_all("store", store_seeds(), (ALWAYS, 200), check_store());
}

#[test]
fn requests_to_a_device() {
    try_all("gpu", gpu_seeds(), (ALWAYS, 300), gpu::check);
}

#[test]
fn workloads() {
    let seeds = workload_seeds();
    let parsed = seeds.iter().filter(|bytes| isobit_sandbox::Workload::parse(bytes.to_vec()).is_ok());
    assert_eq!(parsed.count(), 3, "the seeds are good");
    try_all("workload", seeds, (ALWAYS, 5_000), workload::check);
}

#[test]
#[ignore = "long: a hundred times as many, others in each run"]
fn much_of_everything() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = now.as_nanos() as u64 | 1;
    println!("changes begin with {start}");
    try_all("wire", wire_seeds(), (start, 1_000_000), wire::check);
    try_all("spec", vec![a_spec().canonical()], (start, 500_000), spec::check);
    try_all("receipt", receipt_seeds(), (start, 50_000), receipt::check);
    try_all("store", store_seeds(), (start, 20_000), check_store());
    try_all("gpu", gpu_seeds(), (start, 30_000), gpu::check);
    try_all("workload", workload_seeds(), (start, 500_000), workload::check);
}

/// The fuzzers begin with them.
#[test]
#[ignore = "long: writes the seeds to target/fuzz-seeds"]
fn seeds_are_written() {
    for (target, seeds) in [
        ("wire", wire_seeds()),
        ("spec", vec![a_spec().canonical()]),
        ("receipt", receipt_seeds()),
        ("store", store_seeds()),
        ("gpu", gpu_seeds()),
        ("workload", workload_seeds()),
    ] {
        let folder = repository().join("target/fuzz-seeds").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(number.to_string()), seed).unwrap();
        }
    }
}
