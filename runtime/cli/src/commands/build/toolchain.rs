//! Which compiler makes WebAssembly here. The ordinary one is tried first, then the system's own, whose archive may carry the
//! standard library for WebAssembly ready-made, or else as source, which is compiled once.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isobit_job::Hash;

use super::Target;
use crate::failure::Failure;
use crate::printer::Printer;

/// Where Debian's packages put the compiler.
const SYSTEM_BIN: &str = "/usr/bin";

/// Where Debian's package wasi-libc puts the C library of wasm32-wasip1.
const SYSTEM_WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// The oldest compiler that can build the SDK: its `rust-version`.
const OLDEST: Version = Version { major: 1, minor: 85 };

/// A compiler that can make WebAssembly.
#[derive(Debug)]
pub struct Toolchain {
    kind: Kind,
    compiler: Compiler,
}

#[derive(Debug)]
enum Kind {
    /// `cargo` from the PATH, whose compiler has the target.
    Installed,
    /// The system's cargo and rustc.
    System { linker: PathBuf, library: Library },
}

/// What the system has of the standard library for WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    Ready,
    Source,
}

/// A compiler's version and name, by its own output.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compiler {
    version: Version,
    /// Names this very compiler: its version, and a hash of all that `rustc -vV` prints.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.compiler.version;
        match self.kind {
            Kind::Installed => write!(f, "the installed Rust {version}"),
            Kind::System { library: Library::Ready, .. } => write!(f, "the system's Rust {version} in {SYSTEM_BIN}"),
            Kind::System { library: Library::Source, .. } => {
                write!(f, "the system's Rust {version} in {SYSTEM_BIN}, standard library from source")
            }
        }
    }
}

impl Toolchain {
    /// A name for this compiler and the source of its standard library. Toolchains with different names share no build
    /// results.
    pub fn name(&self) -> String {
        let suffix = if self.builds_library() { "-std" } else { "" };
        format!("{}{suffix}", self.compiler.name)
    }

    fn builds_library(&self) -> bool {
        matches!(self.kind, Kind::System { library: Library::Source, .. })
    }

    /// A cargo command for the crate in `dir`.
    pub fn cargo(&self, dir: &Path) -> Command {
        match self.kind {
            Kind::Installed => program("cargo", dir),
            Kind::System { .. } => {
                let mut cargo = program(&format!("{SYSTEM_BIN}/cargo"), dir);
                cargo.env("RUSTC", format!("{SYSTEM_BIN}/rustc"));
                if self.builds_library() {
                    // For -Zbuild-std, the only unstable feature in use.
                    cargo.env("RUSTC_BOOTSTRAP", "1");
                }
                cargo
            }
        }
    }

    /// Further flags for `cargo build`.
    pub fn build_flags(&self, target: Target) -> Vec<OsString> {
        let triple = target.triple();
        // Panic messages of dependencies hold the path of their source: nobody's home folder should go into a
        // workload.
        let mut rustc_flags: Vec<String> =
            cargo_home().map(|home| format!("--remap-path-prefix={home}=cargo")).into_iter().collect();
        let mut flags: Vec<OsString> = Vec::new();
        if let Kind::System { linker, .. } = &self.kind {
            if self.builds_library() {
                flags.push("-Zbuild-std=std,panic_abort".into());
            }
            flags.push("--config".into());
            flags.push(format!("target.{triple}.linker={}", toml_string(&linker.to_string_lossy())).into());
            if target == Target::Wasip1 {
                rustc_flags.push(format!("-Lnative={SYSTEM_WASI_LIBC}"));
            }
        }
        let list: Vec<String> = rustc_flags.iter().map(|flag| toml_string(flag)).collect();
        flags.push("--config".into());
        flags.push(format!("target.{triple}.rustflags=[{}]", list.join(",")).into());
        flags
    }
}

/// A command in the crate's folder, so that rustup's overrides for it hold. Settings of the environment that are
/// meant for other targets, or for the children of an outer cargo, do not reach it.
fn program(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(dir);
    for variable in ["RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    command
}

/// Quotes a TOML basic string.
fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn cargo_home() -> Option<String> {
    let home = || std::env::var("HOME").ok().map(|home| format!("{home}/.cargo"));
    std::env::var("CARGO_HOME").ok().or_else(home)
}

/// Finds a compiler, installing the target through rustup where that is allowed.
pub fn choose(dir: &Path, target: Target, printer: &Printer) -> anyhow::Result<Toolchain> {
    let triple = target.triple();
    let mut too_old = Vec::new();
    let mut installed = || match compiler("rustc", dir) {
        Some(compiler) if compiler.version < OLDEST => {
            too_old.push(("rustc", compiler.version));
            None
        }
        // The system's own compiler on the PATH lacks a linker for WebAssembly; `system` handles it.
        found => found.filter(|_| {
            sysroot("rustc", dir).is_some_and(|root| root != Path::new("/usr"))
                && has_target("rustc", dir, triple)
                && runs("cargo", dir)
        }),
    };
    if let Some(compiler) = installed() {
        return Ok(Toolchain { kind: Kind::Installed, compiler });
    }
    let may_install = std::env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0");
    if may_install && runs("rustup", dir) {
        printer.note(format_args!("installing the target {triple} through rustup"));
        let mut rustup = program("rustup", dir);
        rustup.args(["target", "add", triple]).stdin(Stdio::null()).stdout(Stdio::null());
        if rustup.status().is_ok_and(|status| status.success())
            && let Some(compiler) = installed()
        {
            return Ok(Toolchain { kind: Kind::Installed, compiler });
        }
    }
    match system(dir, target) {
        Ok(toolchain) => Ok(toolchain),
        Err(System::Missing(missing)) => Err(refusal(triple, may_install, &too_old, &missing).into()),
        Err(System::TooOld(version)) => {
            too_old.push(("/usr/bin/rustc", version));
            Err(refusal(triple, may_install, &too_old, &[]).into())
        }
    }
}

fn refusal(triple: &str, may_install: bool, too_old: &[(&str, Version)], missing: &[&str]) -> Failure {
    let why_not = if may_install { "" } else { ", which RUSTUP_AUTO_INSTALL=0 keeps from being done here" };
    let old: Vec<String> = too_old.iter().map(|(name, version)| format!("{name} is {version}")).collect();
    let old = match old.as_slice() {
        [] => String::new(),
        old => format!(": workloads need Rust {OLDEST} or later, and {}", old.join(", ")),
    };
    let packages = match missing {
        [] => "`apt-get update`, then install a newer rustc-web, rust-web-src and cargo-web".to_owned(),
        missing => format!("`apt-get install {}`", missing.join(" ")),
    };
    Failure::new(format!("no compiler here can build for {triple}{old}"))
        .hint(format!("run `rustup target add {triple}`{why_not}; or, on Debian, {packages}"))
}

/// The compiler's version and name, if it runs. They are taken from its own output, not from its package.
fn compiler(rustc: &str, dir: &Path) -> Option<Compiler> {
    let output = program(rustc, dir).arg("-vV").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    parse_compiler(&String::from_utf8_lossy(&text))
}

fn parse_compiler(text: &str) -> Option<Compiler> {
    let release = text.lines().find_map(|line| line.strip_prefix("release: "))?.trim();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().ok());
    let version = Version { major: numbers.next()??, minor: numbers.next()?? };
    let hash = Hash::of(text.as_bytes()).to_string();
    // The release ends up in the name of a folder.
    let release: String = release.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    Some(Compiler { version, name: format!("{release}-{}", hash.get(..12).unwrap_or(&hash)) })
}

/// Whether a compiler has the target's standard library. rustc prints the folder whether or not it exists.
fn has_target(rustc: &str, dir: &Path, triple: &str) -> bool {
    let output = program(rustc, dir)
        .args(["--print", "target-libdir", "--target", triple])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

fn runs(name: &str, dir: &Path) -> bool {
    let mut command = program(name, dir);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Why the system's own compiler cannot be used.
enum System {
    /// The Debian packages that are missing.
    Missing(Vec<&'static str>),
    TooOld(Version),
}

/// The system's own compiler.
fn system(dir: &Path, target: Target) -> Result<Toolchain, System> {
    let rustc = format!("{SYSTEM_BIN}/rustc");
    let compiler = compiler(&rustc, dir);
    if let Some(old) = compiler.as_ref().map(|compiler| compiler.version).filter(|version| *version < OLDEST) {
        return Err(System::TooOld(old));
    }
    let linker = newest_wasm_linker(Path::new(SYSTEM_BIN));
    let ready = compiler.is_some() && has_target(&rustc, dir, target.triple());
    let parts = [
        ("rustc-web", compiler.is_some()),
        ("rust-web-src", ready || has_library_source(&rustc, dir)),
        ("cargo-web", runs(&format!("{SYSTEM_BIN}/cargo"), dir)),
        ("lld-19", linker.is_some()),
        ("wasi-libc", target != Target::Wasip1 || Path::new(SYSTEM_WASI_LIBC).is_dir()),
    ];
    let missing: Vec<&str> = parts.into_iter().filter_map(|(package, present)| (!present).then_some(package)).collect();
    match (linker, compiler) {
        (Some(linker), Some(compiler)) if missing.is_empty() => {
            let library = if ready { Library::Ready } else { Library::Source };
            Ok(Toolchain { kind: Kind::System { linker, library }, compiler })
        }
        _ => Err(System::Missing(missing)),
    }
}

fn has_library_source(rustc: &str, dir: &Path) -> bool {
    sysroot(rustc, dir).is_some_and(|root| root.join("lib/rustlib/src/rust/library/Cargo.lock").is_file())
}

fn sysroot(rustc: &str, dir: &Path) -> Option<PathBuf> {
    let mut command = program(rustc, dir);
    let output = command.args(["--print", "sysroot"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// `wasm-ld`, or the `wasm-ld-NN` of the highest version.
fn newest_wasm_linker(bin: &Path) -> Option<PathBuf> {
    let version = |path: &PathBuf| -> Option<u32> {
        match path.file_name()?.to_str()?.strip_prefix("wasm-ld")? {
            "" => Some(u32::MAX),
            suffix => suffix.strip_prefix('-')?.parse().ok(),
        }
    };
    let entries = fs::read_dir(bin).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    entries.filter(|path| version(path).is_some()).max_by_key(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_linker_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_wasm_linker(folder.path()), None);
        for name in ["ld", "wasm-ld-9", "wasm-ld-19", "wasm-ld-x"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest_wasm_linker(folder.path()), Some(folder.path().join("wasm-ld-19")));
    }

    fn hint(failure: Failure) -> (String, String) {
        let shown = crate::failure::Shown::from(&anyhow::Error::from(failure));
        (shown.message, shown.hint.unwrap())
    }

    #[test]
    fn a_refusal_says_what_to_install() {
        let (_, hint) = hint(refusal("wasm32-wasip1", false, &[], &["lld-19", "wasi-libc"]));
        assert!(hint.contains("RUSTUP_AUTO_INSTALL=0"), "{hint}");
        assert!(hint.ends_with("`apt-get install lld-19 wasi-libc`"), "{hint}");
    }

    #[test]
    fn a_compiler_that_is_too_old_is_named_with_its_version() {
        let old = parse_compiler("rustc 1.63.0\nrelease: 1.63.0\n").unwrap().version;
        assert!(old < OLDEST);
        let (message, hint) = hint(refusal("wasm32-unknown-unknown", true, &[("/usr/bin/rustc", old)], &[]));
        assert!(message.contains("need Rust 1.85 or later") && message.contains("/usr/bin/rustc is 1.63"), "{message}");
        assert!(hint.contains("newer rustc-web"), "{hint}");
    }

    #[test]
    fn the_compilers_own_word_is_understood() {
        let text =
            |release: &str| format!("rustc {release}\nbinary: rustc\nrelease: {release}\nLLVM version: 19.1.7\n");
        for (release, version) in
            [("1.85.1", (1, 85)), ("1.96.0", (1, 96)), ("1.97.0-nightly", (1, 97)), ("2.0", (2, 0))]
        {
            let found = parse_compiler(&text(release)).unwrap();
            assert_eq!((found.version.major, found.version.minor), version, "{release}");
            assert!(found.name.starts_with(release), "{}", found.name);
        }
        assert!(Version { major: 1, minor: 100 } > OLDEST && Version { major: 1, minor: 9 } < OLDEST);
        assert_ne!(parse_compiler(&text("1.96.0")), parse_compiler(&text("1.96.0").replace("19.1", "21.1")));
        for broken in ["", "release: \n", "release: new\n", "release: 1\n", "release: 1.x\n", "1.85.0\n"] {
            assert_eq!(parse_compiler(broken), None, "{broken:?}");
        }
        let hostile = parse_compiler("release: 1.85.0/../..\n").unwrap().name;
        assert!(!hostile.contains('/'), "{hostile}");
    }

    #[test]
    fn the_oldest_compiler_is_what_the_sdk_states() {
        let manifest = include_str!("../../../../../sdk/Cargo.toml");
        assert!(manifest.contains(&format!("\nrust-version = \"{OLDEST}\"\n")), "{manifest}");
    }

    #[test]
    fn paths_are_quoted_for_cargos_config() {
        assert_eq!(toml_string(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }
}
