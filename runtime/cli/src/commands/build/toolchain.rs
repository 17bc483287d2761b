//! Which compiler makes WebAssembly here. The ordinary one is tried first, the system's own last, because that one
//! has to compile the standard library too.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Target;
use crate::failure::Failure;
use crate::printer::Printer;

/// Where Debian's packages put the compiler.
const SYSTEM_BIN: &str = "/usr/bin";

/// Where Debian's package wasi-libc puts the C library of wasm32-wasip1.
const SYSTEM_WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// A compiler that can make WebAssembly.
#[derive(Debug)]
pub enum Toolchain {
    /// `cargo` from the PATH, whose compiler has the target.
    Installed,
    /// The system's cargo and rustc, with the standard library compiled from source.
    System {
        /// The linker for WebAssembly.
        linker: PathBuf,
    },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed => f.write_str("the installed Rust toolchain"),
            Self::System { .. } => {
                write!(f, "the system's compiler {SYSTEM_BIN}/rustc, standard library from source")
            }
        }
    }
}

impl Toolchain {
    /// A cargo command for the crate in `dir`.
    pub fn cargo(&self, dir: &Path) -> Command {
        match self {
            Self::Installed => program("cargo", dir),
            Self::System { .. } => {
                let mut cargo = program(&format!("{SYSTEM_BIN}/cargo"), dir);
                cargo.env("RUSTC", format!("{SYSTEM_BIN}/rustc"));
                // -Zbuild-std, the one unstable thing that is used.
                cargo.env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        }
    }

    /// What `cargo build` needs besides.
    pub fn build_flags(&self, target: Target) -> Vec<OsString> {
        let triple = target.triple();
        // Panic messages of dependencies hold the path of their source: nobody's home folder should go into a
        // workload.
        let mut rustc_flags: Vec<String> =
            cargo_home().map(|home| format!("--remap-path-prefix={home}=cargo")).into_iter().collect();
        let mut flags: Vec<OsString> = Vec::new();
        if let Self::System { linker } = self {
            flags.push("-Zbuild-std=std,panic_abort".into());
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
    if has_target(dir, triple) {
        return Ok(Toolchain::Installed);
    }
    let may_install = std::env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0");
    if may_install && runs("rustup", dir) {
        printer.note(format_args!("installing the target {triple} through rustup"));
        let mut rustup = program("rustup", dir);
        rustup.args(["target", "add", triple]).stdin(Stdio::null()).stdout(Stdio::null());
        if rustup.status().is_ok_and(|status| status.success()) && has_target(dir, triple) {
            return Ok(Toolchain::Installed);
        }
    }
    match system(dir, target) {
        Ok(toolchain) => Ok(toolchain),
        Err(missing) => Err(refusal(triple, may_install, &missing).into()),
    }
}

fn refusal(triple: &str, may_install: bool, missing: &[&str]) -> Failure {
    let why_not = if may_install { "" } else { ", which RUSTUP_AUTO_INSTALL=0 keeps from being done here" };
    Failure::new(format!("no compiler here can build for {triple}")).hint(format!(
        "run `rustup target add {triple}`{why_not}; or, on Debian, `apt-get install {}`",
        missing.join(" ")
    ))
}

/// Whether the ordinary rustc has the target's standard library. The folder is named whether or not it exists.
fn has_target(dir: &Path, triple: &str) -> bool {
    let output = program("rustc", dir)
        .args(["--print", "target-libdir", "--target", triple])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        output.status.success()
            && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
            && runs("cargo", dir)
    })
}

fn runs(name: &str, dir: &Path) -> bool {
    let mut command = program(name, dir);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The system's own compiler, or the Debian packages that are missing for it.
fn system(dir: &Path, target: Target) -> Result<Toolchain, Vec<&'static str>> {
    let bin = Path::new(SYSTEM_BIN);
    let linker = newest_wasm_linker(bin);
    let parts = [
        ("rustc-web", runs(&format!("{SYSTEM_BIN}/rustc"), dir)),
        ("rust-web-src", has_library_source(dir)),
        ("cargo-web", runs(&format!("{SYSTEM_BIN}/cargo"), dir)),
        ("lld-19", linker.is_some()),
        ("wasi-libc", target != Target::Wasip1 || Path::new(SYSTEM_WASI_LIBC).is_dir()),
    ];
    let missing: Vec<&str> = parts.into_iter().filter_map(|(package, present)| (!present).then_some(package)).collect();
    match linker {
        Some(linker) if missing.is_empty() => Ok(Toolchain::System { linker }),
        _ => Err(missing),
    }
}

fn has_library_source(dir: &Path) -> bool {
    let output =
        program(&format!("{SYSTEM_BIN}/rustc"), dir).args(["--print", "sysroot"]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
    })
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

    #[test]
    fn a_refusal_says_what_to_install() {
        let shown = crate::failure::Shown::from(&anyhow::Error::from(refusal(
            "wasm32-wasip1",
            false,
            &["lld-19", "wasi-libc"],
        )));
        let hint = shown.hint.unwrap();
        assert!(hint.contains("RUSTUP_AUTO_INSTALL=0"), "{hint}");
        assert!(hint.ends_with("`apt-get install lld-19 wasi-libc`"), "{hint}");
    }

    #[test]
    fn paths_are_quoted_for_cargos_config() {
        assert_eq!(toml_string(r#"C:\a "b""#), r#""C:\\a \"b\"""#);
    }
}
