//! `cargo xtask acceptance`: checks public kernels, and writes which of them profile dp32 accepts to docs/acceptance.md.
//!
//! The kernels come from packages of crates.io, which are fetched and not kept here. naga's own test inputs are in
//! no package.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::{cargo, check};
use crate::{Failure, document};

/// Where kernels are, and what they are written in besides WGSL.
const PACKAGES: [(&str, &str, Dialect); 6] = [
    ("burn-wgpu", "0.12.0", Dialect::Names),
    ("vello_shaders", "0.5.1", Dialect::Imports),
    ("wgpu", "0.13.1", Dialect::Plain),
    ("wgpu-core", "30.0.1", Dialect::Plain),
    ("wgpu_sort", "0.1.0", Dialect::Plain),
    ("bevy_pbr", "0.16.1", Dialect::Plain),
];

#[derive(Clone, Copy)]
enum Dialect {
    Plain,
    /// `{{ name }}` stands for what the package's program puts there.
    Names,
    /// `#import`, `#ifdef`, `#ifndef`, `#else` and `#endif`, one in a line; nothing is defined.
    Imports,
}

/// What `burn-wgpu` puts in place of names.
const NAMES: [(&str, &str); 18] = [
    ("elem", "f32"),
    ("input_elem", "f32"),
    ("output_elem", "f32"),
    ("int", "i32"),
    ("workgroup_size", "256"),
    ("workgroup_size_x", "16"),
    ("workgroup_size_y", "16"),
    ("workgroup_size_z", "1"),
    ("shared_size", "256"),
    ("count_include_pad", "true"),
    ("b_m", "64"),
    ("b_n", "64"),
    ("b_k", "32"),
    ("bm_x_bk_4", "512"),
    ("bk_x_bn_4", "512"),
    ("bm_x_bk", "2048"),
    ("bk_x_bn", "2048"),
    ("cmp", ">"),
];

/// Files with a compute entry point that are no WGSL by themselves, or none that naga reads any more, and why.
const INCOMPLETE: [(&str, &str, &str); 3] = [
    ("wgpu-core", "src/timestamp_normalization/timestamp_normalization.wgsl", "wgpu-core puts another file before it"),
    ("wgpu_sort", "src/radix_sort.wgsl", "it is a template: its program puts constants before it and into it"),
    (
        "bevy_pbr",
        "src/meshlet/remap_1d_to_2d_dispatch.wgsl",
        "it has `var<push_constant>`, which naga now calls `var<immediate>`",
    ),
];

/// Fetches, checks, and rewrites the tables.
pub fn run() -> Result<(), Failure> {
    check(&mut cargo(&["build", "--workspace", "--bin", "isobit"]))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let binary = target.join("debug").join("isobit");
    let mut totals = String::from("| package | kernels | accepted |\n|---|---:|---:|\n");
    let mut refused = String::from("| kernel | refused because |\n|---|---|\n");
    let mut incomplete = String::from("| file | no kernel by itself, as |\n|---|---|\n");
    let (mut all, mut all_accepted) = (0_usize, 0_usize);
    for (package, version, dialect) in PACKAGES {
        let found = check_package(&binary, &fetch(&target.join("acceptance"), package, version)?, package, dialect)?;
        let (kernels, accepted) = (found.accepted + found.refused.len(), found.accepted);
        let _ = writeln!(totals, "| {package} {version} | {kernels} | {accepted} |");
        all += kernels;
        all_accepted += accepted;
        for (rows, table) in [(found.refused, &mut refused), (found.incomplete, &mut incomplete)] {
            for (name, reason) in rows {
                let _ = writeln!(table, "| {package}: {name} | {} |", reason.replace('|', "\\|"));
            }
        }
    }
    let _ = writeln!(totals, "| all | {all} | {all_accepted} |");
    document::write_table("docs/acceptance.md", "acceptance", &format!("{totals}\n{refused}\n{incomplete}"))
}

/// What was found in a package: how many kernels are accepted; the others, and why.
#[derive(Default)]
struct Found {
    accepted: usize,
    refused: Vec<(String, String)>,
    incomplete: Vec<(String, String)>,
}

fn check_package(binary: &Path, folder: &Path, package: &str, dialect: Dialect) -> Result<Found, Failure> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    files.sort();
    let mut found = Found::default();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let imports = file.parent().unwrap_or(folder).join("shared");
        let Some(kernel) = dialect.expand(&text, &imports).filter(|kernel| kernel.contains("@compute")) else {
            continue;
        };
        let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
        let known = INCOMPLETE.iter().find(|(of, file, _)| *of == package && *file == name);
        match (verdict(binary, &kernel)?, known) {
            (None, None) => found.accepted += 1,
            (Some(reason), None) => found.refused.push((name, reason)),
            (Some(_), Some((_, _, why))) => found.incomplete.push((name, (*why).to_owned())),
            (None, Some(_)) => return Err(format!("{package}: {name} is accepted, and listed as incomplete")),
        }
    }
    Ok(found)
}

/// Has cargo fetch a package; returns its folder.
fn fetch(scratch: &Path, package: &str, version: &str) -> Result<PathBuf, Failure> {
    let folder = scratch.join(package);
    let manifest = format!(
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\n{package} = {{ version = \"={version}\", default-features = false }}\n"
    );
    let cannot = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(cannot)?;
    fs::write(folder.join("Cargo.toml"), manifest).map_err(cannot)?;
    fs::write(folder.join("lib.rs"), "").map_err(cannot)?;
    let path = folder.join("Cargo.toml");
    let mut metadata = cargo(&["metadata", "--format-version", "1", "--manifest-path"]);
    let output = metadata.arg(&path).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start cargo: {error}"))?;
    let found: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo cannot fetch {package}: {error}"))?;
    let packages = found.get("packages").and_then(|packages| packages.as_array()).into_iter().flatten();
    let mut matching =
        packages.filter(|found| text(found, "name") == Some(package) && text(found, "version") == Some(version));
    let manifest = matching.next().and_then(|found| text(found, "manifest_path"));
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    folder.map(Path::to_owned).ok_or_else(|| format!("cargo has not fetched {package}"))
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// All WGSL files in a folder and the folders in it.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "wgsl") {
            files.push(path);
        }
    }
    Ok(())
}

impl Dialect {
    /// The text as plain WGSL, with what it imports from the folder `imports`; None for what only the package's own program
    /// can make that of.
    fn expand(self, text: &str, imports: &Path) -> Option<String> {
        match self {
            Self::Plain => {
                let is_directive = |line: &str| line.trim_start().starts_with('#');
                (!text.lines().any(is_directive)).then(|| text.to_owned())
            }
            Self::Names => {
                let mut text = text.to_owned();
                for (name, value) in NAMES {
                    text = text.replace(&format!("{{{{ {name} }}}}"), value);
                    text = text.replace(&format!("{{{{{name}}}}}"), value);
                }
                (!text.contains("{{")).then_some(text)
            }
            Self::Imports => {
                let mut expanded = String::new();
                let mut skipped = Vec::new();
                for line in text.lines() {
                    let mut words = line.split_whitespace();
                    match words.next() {
                        Some("#import") => {
                            let import = imports.join(words.next()?).with_extension("wgsl");
                            expanded += &self.expand(&fs::read_to_string(import).ok()?, imports)?;
                        }
                        Some("#ifdef") => skipped.push(true),
                        Some("#ifndef") => skipped.push(false),
                        Some("#else") => {
                            let was_skipped = skipped.pop()?;
                            skipped.push(!was_skipped);
                        }
                        Some("#endif") => drop(skipped.pop()?),
                        _ if skipped.contains(&true) => {}
                        _ => {
                            expanded += line;
                            expanded.push('\n');
                        }
                    }
                }
                Some(expanded)
            }
        }
    }
}

/// Why a kernel is refused, with what led to it, if it is.
fn verdict(binary: &Path, kernel: &str) -> Result<Option<String>, Failure> {
    let cannot = |error: std::io::Error| format!("cannot run {}: {error}", binary.display());
    let mut isobit = Command::new(binary);
    isobit.args(["check", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut isobit = isobit.spawn().map_err(cannot)?;
    if let Some(mut stdin) = isobit.stdin.take() {
        stdin.write_all(kernel.as_bytes()).map_err(cannot)?;
    }
    let output = isobit.wait_with_output().map_err(cannot)?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`isobit check` does not answer in JSON: {error}"))?;
    let Some(problem) = answer.get("problem") else {
        let message = answer.pointer("/error/message").and_then(|message| message.as_str());
        return Ok(message.map(str::to_owned));
    };
    let notes = problem.get("notes").and_then(|notes| notes.as_array()).into_iter().flatten();
    let told = text(problem, "reason").into_iter().chain(notes.filter_map(|note| note.as_str()));
    Ok(Some(told.collect::<Vec<_>>().join(": ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_unknown_ones_are_left_to_others() {
        let imports = Path::new("shared");
        let expanded = Dialect::Names.expand("array<{{ elem }}, {{b_m}}>", imports);
        assert_eq!(expanded.as_deref(), Some("array<f32, 64>"));
        assert_eq!(Dialect::Names.expand("{{ body }}", imports), None);
    }

    #[test]
    fn of_what_depends_on_definitions_the_rest_stays() {
        let text = "a\n#ifdef x\nb\n#else\nc\n#endif\n#ifndef x\nd\n#else\ne\n#endif\n";
        assert_eq!(Dialect::Imports.expand(text, Path::new("shared")).as_deref(), Some("a\nc\nd\n"));
        assert_eq!(Dialect::Plain.expand(text, Path::new("shared")), None);
    }

    #[test]
    fn imports_import_from_the_same_folder() {
        let folder = std::env::temp_dir().join(format!("isobit-acceptance-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("outer.wgsl"), "#import inner\nb\n").unwrap();
        fs::write(folder.join("inner.wgsl"), "a\n").unwrap();
        let expanded = Dialect::Imports.expand("#import outer\nc\n#import missing", &folder);
        assert_eq!(expanded, None);
        let expanded = Dialect::Imports.expand("#import outer\nc\n", &folder);
        assert_eq!(expanded.as_deref(), Some("a\nb\nc\n"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
