//! The compiler for WebAssembly that `isobit build` will use: whether it is here, which packages bring it, and whether what they
//! brought will do. See runtime/cli/src/commands/build/toolchain.rs, which chooses in the same order.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{self, output};

/// The targets that workloads are compiled for.
pub const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip1"];

/// Where Debian's packages put the compiler.
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";

/// The manifest that states what the SDK needs.
const SDK: &str = include_str!("../../sdk/Cargo.toml");

/// A compiler's version, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Reads `1.85`, `1.85.1`, `1.85.1+dfsg1-1`, `1.97.0-nightly`.
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }

    /// Reads what `rustc --version` and `cargo --version` print: `rustc 1.85.1 (...)`.
    fn parse_line(text: &str) -> Option<Self> {
        Self::parse(text.split_whitespace().nth(1)?)
    }
}

/// The oldest compiler that builds the SDK, as its manifest says.
pub fn oldest() -> Version {
    let stated = SDK.lines().find_map(|line| line.strip_prefix("rust-version = \""));
    // A test sees to it that one is stated.
    stated.and_then(|version| Version::parse(version.trim_end_matches('"'))).unwrap_or(Version(1, 85, 0))
}

/// Looks for a compiler that will do; or says what is wrong, in a few words.
pub fn look() -> Result<(), String> {
    if has_target(TARGETS[0]) {
        return Ok(());
    }
    let Some(version) = version_of(RUSTC) else { return Err("there is none".to_owned()) };
    if version < oldest() {
        return Err(format!("{RUSTC} is version {version}, and {} is needed", oldest()));
    }
    match version_of(CARGO) {
        None => return Err(format!("there is {RUSTC}, but no {CARGO}")),
        Some(cargo) if cargo < oldest() => {
            return Err(format!("{CARGO} is version {cargo}, and {} is needed", oldest()));
        }
        Some(_) => {}
    }
    if !has_ready_library() {
        match source_version() {
            None => return Err(format!("{RUSTC} has no standard library for {}, and no source of it", TARGETS[0])),
            Some(source) if source != version => {
                return Err(format!("{RUSTC} is version {version}, and the source of its standard library {source}"));
            }
            Some(_) => {}
        }
    }
    match linkers().iter().any(|linker| output(Command::new(linker).arg("--version")).is_some()) {
        true => Ok(()),
        false => Err("there is no linker wasm-ld".to_owned()),
    }
}

/// Looks for the C library of wasm32-wasip1.
pub fn look_for_wasi() -> Result<(), String> {
    match has_target(TARGETS[1]) || Path::new("/usr/lib/wasm32-wasi/libc.a").is_file() {
        true => Ok(()),
        false => Err("there is none".to_owned()),
    }
}

/// Whether rustup is here and may install targets.
pub fn rustup_may_install() -> bool {
    let may_install = std::env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0");
    may_install && output(Command::new("rustup").arg("--version")).is_some()
}

/// Has rustup install the targets. Whether that helped is for [`look`] to say.
pub fn add_targets() {
    let mut rustup = Command::new("rustup");
    let _ = rustup.args(["target", "add"]).args(TARGETS).stdout(std::io::stderr()).status();
}

/// The packages with the standard library ready-made, and those that have its source. The archive's newest compiler is of no
/// use where only an older one's library is ready.
const READY: [&str; 4] = ["libstd-rust-dev-wasm32", "rustc", "cargo", "lld-19"];
pub const SOURCE: [&str; 4] = ["rustc-web", "rust-web-src", "cargo-web", "lld-19"];

/// Which packages bring a compiler that will do, by what apt would install now; or what it has instead.
pub fn packages() -> Result<Vec<&'static str>, String> {
    choose(&apt::candidates(&[READY, SOURCE].concat()), &|package| apt::is_installed(package))
}

fn choose(
    candidates: &BTreeMap<String, String>,
    is_installed: &dyn Fn(&str) -> bool,
) -> Result<Vec<&'static str>, String> {
    let version = |package: &str| candidates.get(package).and_then(|version| Version::parse(version));
    let serves = |packages: [&str; 4]| {
        let [library, compiler, cargo, linker] = packages;
        let is_new = |package: &str| version(package).is_some_and(|version| version >= oldest());
        // The linker has version numbers of its own.
        [library, compiler, cargo].into_iter().all(is_new) && candidates.contains_key(linker)
    };
    // The two compilers exclude each other, so the one that is here stays.
    let has_other = is_installed(SOURCE[0]) || is_installed("rustup");
    if serves(READY) && !has_other {
        return Ok(READY.to_vec());
    }
    if serves(SOURCE) {
        return Ok(SOURCE.to_vec());
    }
    let offered = |package: &str| match candidates.get(package) {
        Some(version) => format!("{package} {version}"),
        None => format!("no {package}"),
    };
    Err(format!(
        "a compiler for WebAssembly of version {} or later is needed, and the archives here have {}, {} and {}",
        oldest(),
        offered(SOURCE[0]),
        offered(READY[0]),
        offered("lld-19"),
    ))
}

fn version_of(program: &str) -> Option<Version> {
    Version::parse_line(&output(Command::new(program).arg("--version"))?)
}

/// Whether the ordinary compiler, if it is new enough and brings its own linker, has a target.
pub fn has_target(triple: &str) -> bool {
    let ask = |args: &[&str]| output(Command::new("rustc").args(args));
    let is_own = ask(&["--print", "sysroot"]).is_some_and(|root| root != "/usr");
    let is_new = ask(&["--version"]).and_then(|text| Version::parse_line(&text)).is_some_and(|it| it >= oldest());
    let libdir = ask(&["--print", "target-libdir", "--target", triple]);
    is_own && is_new && libdir.is_some_and(|libdir| Path::new(&libdir).is_dir())
}

fn has_ready_library() -> bool {
    let libdir = output(Command::new(RUSTC).args(["--print", "target-libdir", "--target", TARGETS[0]]));
    libdir.is_some_and(|libdir| Path::new(&libdir).is_dir())
}

/// The version of the library's source that is beside Debian's compiler: it lies in a folder `rustc-VERSION`.
fn source_version() -> Option<Version> {
    let sysroot = output(Command::new(RUSTC).args(["--print", "sysroot"]))?;
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust");
    if !source.join("library/Cargo.lock").is_file() {
        return None;
    }
    let source = source.canonicalize().ok()?;
    let folder = source.components().rev().find_map(|part| part.as_os_str().to_str()?.strip_prefix("rustc-"));
    folder.and_then(Version::parse)
}

/// `wasm-ld` and all its `wasm-ld-NN`.
fn linkers() -> Vec<PathBuf> {
    let bin = fs::read_dir("/usr/bin").into_iter().flatten().filter_map(Result::ok);
    bin.filter(|entry| entry.file_name().to_string_lossy().starts_with("wasm-ld")).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_compilers_and_packages() {
        for (text, version) in [
            ("1.85", Version(1, 85, 0)),
            ("1.85.1+dfsg1-1+deb13u1", Version(1, 85, 1)),
            ("1.97.0-nightly", Version(1, 97, 0)),
            ("1.96.0+dfsg1-1~deb12u2", Version(1, 96, 0)),
        ] {
            assert_eq!(Version::parse(text), Some(version), "{text}");
        }
        assert_eq!(
            Version::parse_line("rustc 1.63.0 (abc 2022-08-08) (built from a source tarball)"),
            Some(Version(1, 63, 0))
        );
        for broken in ["", "x", "1", "1.", "one.two", ".5"] {
            assert_eq!(Version::parse(broken), None, "{broken:?}");
        }
        assert!(Version(1, 100, 0) > Version(1, 85, 0) && Version(1, 9, 9) < Version(1, 85, 0));
    }

    #[test]
    fn the_sdk_states_the_oldest_compiler_and_everything_built_with_it_the_same() {
        let stated = SDK.lines().find(|line| line.starts_with("rust-version = ")).expect("sdk/Cargo.toml states none");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut manifests =
            vec![root.join("sdk/macros/Cargo.toml"), root.join("sdk/templates/compute/Cargo.toml.tmpl")];
        for folder in ["guest-examples", "tests/guests", "benches/guests"] {
            let found = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path().join("Cargo.toml"));
            manifests.extend(found.filter(|manifest| manifest.is_file()));
        }
        assert!(manifests.len() > 8);
        for manifest in manifests {
            let text = fs::read_to_string(&manifest).unwrap();
            assert!(text.lines().any(|line| line == stated), "{} does not say {stated}", manifest.display());
        }
    }

    fn chosen(archive: &[(&str, &str)], installed: &[&str]) -> Result<Vec<&'static str>, String> {
        let candidates = archive.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        choose(&candidates, &|package| installed.contains(&package))
    }

    #[test]
    fn the_ready_made_library_is_taken_where_it_is_new_enough() {
        let new = [
            ("rustc-web", "1.96.0+dfsg1-1"),
            ("rust-web-src", "1.96.0+dfsg1-1"),
            ("cargo-web", "1.96.0+dfsg1-1"),
            ("libstd-rust-dev-wasm32", "1.85.1+dfsg1-1"),
            ("rustc", "1.85.1+dfsg1-1"),
            ("cargo", "1.85.1+dfsg1-1"),
            ("lld-19", "1:19.1.7-3"),
        ];
        assert_eq!(chosen(&new, &[]).unwrap(), READY);
        // Nothing that is here is replaced.
        assert_eq!(chosen(&new, &["rustc-web"]).unwrap(), SOURCE);
        let old = new.map(|(name, version)| (name, version.replace("1.85.1", "1.63.0")));
        let old: Vec<(&str, &str)> = old.iter().map(|(name, version)| (*name, version.as_str())).collect();
        assert_eq!(chosen(&old, &[]).unwrap(), SOURCE);
    }

    #[test]
    fn archives_without_a_compiler_that_will_do_are_told_so() {
        let refused =
            chosen(&[("rustc-web", "1.84.0+dfsg1-1"), ("libstd-rust-dev-wasm32", "1.63.0")], &[]).unwrap_err();
        for part in ["1.85.0 or later", "rustc-web 1.84.0+dfsg1-1", "libstd-rust-dev-wasm32 1.63.0", "no lld-19"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
