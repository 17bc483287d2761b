//! `cargo xtask divergence`: counts what drivers compute differently, and writes the table to the README.

use std::process::Stdio;

use crate::steps::{cargo, shown};
use crate::{Failure, Options, document, setup};

/// Sets up, runs the test that counts, and rewrites the table.
pub fn run(options: &Options) -> Result<(), Failure> {
    setup::run(options)?;
    let test = "divergence::drivers_differ_as_written_and_agree_under_dp32";
    let mut count = cargo(&["test", "--workspace", "--test", "dp32", "--", "--exact", test, "--nocapture"]);
    let output = count.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", shown(&count)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{text}{}: {}", shown(&count), output.status));
    }
    let table: String = text.lines().filter(|line| line.starts_with('|')).map(|line| format!("{line}\n")).collect();
    print!("{table}");
    document::write_table("README.md", "divergence", &table)
}
