//! Whether isobit compiles for the systems that renters use: type-checked with lints, not linked.
//!
//! That takes the target's standard library, which rustup brings, and no C compiler: nothing is linked, so stand-ins that
//! make empty files do for the C code in dependencies.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{cargo, check};
use crate::{Failure, compiler};

/// What Windows stands for: everything that is no Unix.
pub const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// What macOS stands for: a Unix other than Linux.
pub const MACOS: &str = "aarch64-apple-darwin";

const COMPILER: &str = "#!/bin/sh\nwhile [ $# -gt 0 ]; do case \"$1\" in -o) : > \"$2\"; shift;; esac; shift; done\n";
const ARCHIVER: &str = "#!/bin/sh\nfor name in \"$@\"; do case \"$name\" in *.a) : > \"$name\";; esac; done\n";

/// Whether the target's standard library is here, or rustup could install it.
pub fn has_library(triple: &str) -> bool {
    if !compiler::has_target(triple) && compiler::rustup_may_install() {
        let mut rustup = Command::new("rustup");
        let _ = rustup.args(["target", "add", triple]).stdout(std::io::stderr()).status();
    }
    compiler::has_target(triple)
}

/// Checks the command and all that it is made of.
pub fn lint(triple: &str) -> Result<(), Failure> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/stand-ins"));
    let stand_in = |name: &str, script: &str| -> Result<PathBuf, Failure> {
        write_script(&folder.join(name), script).map_err(|error| format!("cannot write {name}: {error}"))
    };
    let (compiler, archiver) = (stand_in("compiler", COMPILER)?, stand_in("archiver", ARCHIVER)?);
    let suffix = triple.replace('-', "_");
    let mut clippy =
        cargo(&["clippy", "--package", "isobit-cli", "--quiet", "--target", triple, "--", "-D", "warnings"]);
    clippy.env(format!("CC_{suffix}"), &compiler).env(format!("CXX_{suffix}"), &compiler);
    check(clippy.env(format!("AR_{suffix}"), &archiver))
}

fn write_script(path: &Path, script: &str) -> std::io::Result<PathBuf> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    path.canonicalize()
}
