#![no_main]

#[path = "../checks/store.rs"]
mod check;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A folder for each process, in memory where the system has one.
    let base = std::path::Path::new("/dev/shm");
    let base = if base.is_dir() { base.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("isobit-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    check::check(bytes, &folder);
});
