//! The race detector.

use std::sync::Arc;

use isobit_shader::dp32::SystemParams;
use isobit_shader::interpreter::{Race, RaceMemory, RaceReport, Races, SystemBuffers};

use super::*;

/// Races of a kernel in its dp32 form, each as its memory, word, and for both accesses who, how and what the source says there.
fn races(wgsl: &str, length: usize, workgroups: u32) -> Vec<Race> {
    let report = report_of_races(wgsl, length, workgroups, 10);
    assert!(!report.more && !report.unfollowed);
    report.races
}

fn report_of_races(wgsl: &str, length: usize, workgroups: u32, most: usize) -> RaceReport {
    let kernel = isobit_shader::prepare(wgsl, Profile::Dp32).unwrap();
    let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap();
    let program = Program::compile(lowered.module(), lowered.info()).unwrap();
    let (input, output) = (words(&vec![1; length]), words(&vec![0; length]));
    let system = SystemBuffers::new(SystemParams::whole([workgroups, 1, 1]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &input).bind(0, 1, &output).bind_system(&system);
    let mut races = Races::new(Arc::clone(kernel.source()), most);
    let part = 0..u64::from(workgroups);
    program.run_part_watched(&buffers, [workgroups, 1, 1], part, &AtomicBool::new(false), &mut races).unwrap();
    assert_eq!(system.status(1).finished, if lowered.reports() { workgroups } else { 0 }, "it ran to its end");
    races.into_report()
}

const TILE: &str = "
var<workgroup> first: u32;
var<workgroup> tile: array<u32, 8>;
@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32, @builtin(global_invocation_id) id: vec3u) {
    BODY
}";

#[test]
fn kernels_without_races_are_clear() {
    for body in [
        "tile[i] = source[id.x]; workgroupBarrier(); target_[id.x] = tile[7u - i];",
        "for (var k = 0u; k < 3u; k++) { tile[i] += 1u; workgroupBarrier(); target_[id.x] += tile[(i + k) % 8u]; workgroupBarrier(); }",
        "target_[id.x] = 1u; storageBarrier(); target_[(id.x & ~7u) + 7u - i] += source[0];",
        "if i == 0u { tile[3] = 1u; } let x = workgroupUniformLoad(&tile[3]); tile[i] = x;",
        "tile[i] = tile[i] + 1u; target_[id.x] = tile[i] * target_[id.x];",
    ] {
        assert_eq!(races(&format!("{HEAD}{}", TILE.replace("BODY", body)), 32, 4), [], "{body}");
    }
    for (here, sum) in [
        ("atomicMax(&here, id.x);", "atomicAdd(&sum, 1u); atomicSub(&sum, id.x); atomicAdd(&sum, atomicLoad(&here));"),
        ("atomicAnd(&here, id.x);", "atomicXor(&sum, atomicLoad(&here));"),
        ("atomicStore(&here, id.x);", "atomicMin(&sum, atomicLoad(&here));"),
    ] {
        let guard = if here.contains("Store") { "if i == 0u" } else { "" };
        assert_eq!(
            races(&atomics(&format!("{guard} {{ {here} }} workgroupBarrier(); {sum}")), 4, 4),
            [],
            "{here} {sum}"
        );
    }
}

fn atomics(body: &str) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read_write> sum: atomic<u32>;
        var<workgroup> here: atomic<u32>;
        @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) i: u32) {{
            {body}
        }}"
    )
}

#[test]
fn atomics_that_do_not_commute_race() {
    for body in [
        "if i == 0u { atomicAdd(&sum, 1u); } else { atomicMax(&sum, 7u); }",
        "if id.x < 8u { atomicAnd(&sum, 1u); } else { atomicOr(&sum, 7u); }",
        "atomicXor(&here, i); if i == 3u { atomicMin(&here, 2u); }",
        "atomicAdd(&here, i); atomicAdd(&sum, atomicLoad(&here));",
        "atomicStore(&here, i);",
        "if i == 0u { atomicStore(&sum, 0u); } atomicAdd(&sum, 1u);",
    ] {
        let found = races(&atomics(body), 4, 4);
        let race = found.first().unwrap_or_else(|| panic!("no race in {body}"));
        assert!(race.accesses.iter().all(|access| access.atomic), "{body}: {race}");
    }
}

#[test]
fn races_are_found_with_both_places() {
    // Memory, word, then for both accesses: invocation, whether it writes, what stands there.
    type Found = (Option<&'static str>, u32, [(u32, bool, &'static str); 2]);
    let cases: &[(&str, Found)] = &[
        (
            "tile[i] = 5u; target_[id.x] = tile[i ^ 1u];",
            (Some("tile"), 1, [(1, true, "tile[i] = 5u"), (0, false, "tile[i ^ 1u]")]),
        ),
        (
            "target_[id.x / 2u] = 5u;",
            (None, 0, [(0, true, "target_[id.x / 2u] = 5u"), (1, true, "target_[id.x / 2u] = 5u")]),
        ),
        (
            "target_[i + 3u] = id.x;",
            (None, 3, [(0, true, "target_[i + 3u] = id.x"), (8, true, "target_[i + 3u] = id.x")]),
        ),
        ("first = i;", (Some("first"), 0, [(0, true, "first = i"), (1, true, "first = i")])),
        (
            "if i == 5u { tile[2] = 1u; } let x = tile[2]; workgroupBarrier(); target_[id.x] = x;",
            (Some("tile"), 2, [(5, true, "tile[2] = 1u"), (0, false, "tile[2]")]),
        ),
        // This barrier is not for buffers.
        (
            "target_[id.x] = 1u; workgroupBarrier(); if i == 0u { target_[id.x + 1u] = 2u; }",
            (None, 1, [(1, true, "target_[id.x] = 1u"), (0, true, "target_[id.x + 1u] = 2u")]),
        ),
    ];
    for (body, (memory, word, accesses)) in cases {
        let wgsl = format!("{HEAD}{}", TILE.replace("BODY", body));
        let found = races(&wgsl, 32, 4);
        let race = found.first().unwrap_or_else(|| panic!("no race in {body}"));
        let expected = match memory {
            Some(name) => RaceMemory::Workgroup((*name).to_owned()),
            None => RaceMemory::Buffer { group: 0, binding: 1 },
        };
        assert_eq!((&race.memory, race.word), (&expected, *word), "{body}: {race}");
        for (access, (invocation, writes, text)) in race.accesses.iter().zip(accesses) {
            assert_eq!((access.invocation, access.writes), ([*invocation, 0, 0], *writes), "{body}: {race}");
            assert_eq!((access.workgroup[0], access.local[0]), (invocation / 8, invocation % 8), "{body}: {race}");
            let location = access.location.unwrap_or_else(|| panic!("{body}: no location in {race}"));
            let at = &wgsl[location.offset as usize..][..location.length as usize];
            assert!(at.contains(text) || text.contains(at.trim_end_matches(';')), "{body}: {at:?} for {text:?}");
        }
    }
}

#[test]
fn more_races_than_are_listed_are_told_of() {
    let body = "tile[i / 2u] = 1u; first = i; target_[id.x / 2u] = 1u;";
    let wgsl = format!("{HEAD}{}", TILE.replace("BODY", body));
    for (most, listed, more) in [(0, 0, true), (2, 2, true), (3, 3, false)] {
        let report = report_of_races(&wgsl, 32, 4, most);
        assert_eq!((report.races.len(), report.more), (listed, more), "{report:?}");
    }
}

#[test]
fn a_race_is_told_in_words() {
    let wgsl = "
        @group(0) @binding(0) var<storage, read_write> a: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> c: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3u) {
            atomicAdd(&a[0], 1u);
            c[id.x / 2u] = 1u;
        }";
    let found = races(wgsl, 8, 4);
    let [race] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        race.to_string(),
        "`main`: word 0 of @group(0) @binding(1): invocation (0, 0, 0) writes at 6:13, invocation (1, 0, 0) writes at 6:13, and no barrier is between"
    );
}
