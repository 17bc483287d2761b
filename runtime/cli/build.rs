//! Embeds what `isobit new` writes: the template, the SDK's sources and the WIT contract. And lists the guest
//! examples, so that the tests do not compile when one of them has no test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Folders and files of the repository, and where `isobit new` puts them. First what the templates are.
const TEMPLATES: [(&str, &str); 2] = [("sdk/templates/compute", "compute"), ("sdk/templates/command", "command")];
const SDK: [(&str, &str); 4] = [
    ("sdk/Cargo.toml", "vendor/isobit/sdk/Cargo.toml"),
    ("sdk/src", "vendor/isobit/sdk/src"),
    ("sdk/macros", "vendor/isobit/sdk/macros"),
    ("wit", "vendor/isobit/wit"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Relative to this package, where cargo runs this and looks for changes: a target folder that was copied to another
    // checkout would go on embedding the first one's files otherwise.
    let repository = Path::new("../..");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("templates.rs"), embedded(repository, &TEMPLATES)?)?;
    std::fs::write(out.join("sdk.rs"), embedded(repository, &SDK)?)?;
    std::fs::write(out.join("examples.rs"), examples(&repository.join("guest-examples"))?)?;
    Ok(())
}

/// A table of files by their places.
fn embedded(repository: &Path, parts: &[(&str, &str)]) -> Result<String, Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    for (from, to) in parts {
        collect(&repository.join(from), to, &mut files)?;
    }
    files.sort();
    let mut table = String::from("[\n");
    for (to, from) in &files {
        let from = Path::new("/").join(from);
        writeln!(table, "    ({to:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {from:?}))),")?;
    }
    table.push_str("]\n");
    Ok(table)
}

/// A macro that calls another one with the name of every guest example.
fn examples(folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().replace('-', "_"));
        }
    }
    names.sort();
    let calls: String = names.iter().map(|name| format!(" $call!({name});")).collect();
    Ok(format!("macro_rules! for_each_example {{ ($call:ident) => {{{calls} }} }}\n"))
}

/// Lists every file at or below `from` with its place below the new crate.
fn collect(from: &Path, to: &str, files: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={}", from.display());
    if !from.is_dir() {
        files.push((to.to_owned(), from.to_owned()));
        return Ok(());
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name != "target" {
            // A file called Cargo.toml would make cargo take the template for a package.
            let name = name.strip_suffix(".tmpl").unwrap_or(&name);
            collect(&entry.path(), &format!("{to}/{name}"), files)?;
        }
    }
    Ok(())
}
