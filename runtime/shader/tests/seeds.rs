//! The fuzzer's seeds, each through what the fuzzer does with a text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

#[path = "../../../fuzz/check.rs"]
mod check;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_is_accepted_or_refused_as_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut seeds = 0;
    for seed in fs::read_dir(folder).unwrap() {
        let path = seed.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let accepted = check::check(&fs::read_to_string(&path).unwrap());
        assert_eq!(accepted, !name.starts_with("refused_"), "{name}");
        seeds += 1;
    }
    assert!(seeds >= 16, "{seeds} seeds");
}
