//! What this repository's demo and tests need on a machine, and how each of it gets there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Failure, Options, apt, drivers};

/// One thing that is needed.
struct Need {
    what: &'static str,
    why: &'static str,
    is_here: fn() -> bool,
    source: Source,
    /// Whether tests and demo work without it, if less well.
    optional: bool,
}

/// How a need is met.
enum Source {
    /// By installing Debian packages.
    Packages(&'static [&'static str]),
    /// By files out of a Debian package, put into a folder.
    Files { package: &'static str, files: &'static [&'static str], folder: fn() -> PathBuf },
}

/// What a machine needs, and why.
const NEEDS: [Need; 6] = [
    Need {
        what: "the Vulkan loader",
        why: "finds the drivers",
        is_here: has_loader,
        source: Source::Packages(&["libvulkan1"]),
        optional: false,
    },
    Need {
        what: "lavapipe",
        why: "a Vulkan driver that needs no GPU",
        is_here: has_lavapipe,
        source: Source::Packages(&["mesa-vulkan-drivers"]),
        optional: false,
    },
    Need {
        what: "a compiler for wasm32-unknown-unknown",
        why: "compiles workloads; rustup may not install the target here",
        is_here: has_wasm_compiler,
        source: Source::Packages(&["rustc-web", "rust-web-src", "cargo-web", "lld-19"]),
        optional: false,
    },
    Need {
        what: "the C library of wasm32-wasip1",
        why: "for workloads that want more of Rust's standard library; rustup may not install the target here",
        is_here: has_wasi_library,
        source: Source::Packages(&["wasi-libc"]),
        optional: false,
    },
    Need {
        what: "SwiftShader",
        why: "a second driver of another make, to compare results with; from the package chromium-common, not installed",
        is_here: || drivers::swiftshader().is_some(),
        source: Source::Files {
            package: "chromium-common",
            files: &["usr/lib/chromium/libvk_swiftshader.so", "usr/lib/chromium/vk_swiftshader_icd.json"],
            folder: drivers::swiftshader_folder,
        },
        // Ubuntu has no such package. Comparisons between two drivers are skipped then.
        optional: true,
    },
    Need {
        what: "a photograph",
        why: "NASA's astronaut.png, public domain, to try image processing on; from the package python3-skimage, not installed",
        is_here: || drivers::photograph().is_file(),
        source: Source::Files {
            package: "python3-skimage",
            files: &["usr/lib/python3/dist-packages/skimage/data/astronaut.png"],
            folder: pictures,
        },
        optional: false,
    },
];

/// Installs what is missing, saying what and why.
pub fn run(options: &Options) -> Result<(), Failure> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_here)()).collect();
    if missing.is_empty() {
        eprintln!("set-up: everything is here");
        return Ok(());
    }
    eprintln!("set-up: missing on this machine:");
    for need in &missing {
        eprintln!("  {} ({})", need.what, need.why);
    }
    if !apt::is_here() {
        let text = by_hand(&missing);
        if missing.iter().any(|need| !need.optional) {
            return Err(text);
        }
        eprintln!("{text}");
        return Ok(());
    }

    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages()).copied().collect();
    if !packages.is_empty() {
        eprintln!("set-up: installing {}", packages.join(" "));
        apt::install(&packages, options.yes || std::env::var_os("CI").is_some())?;
    }
    for need in &missing {
        need.fetch()?;
    }
    match missing.iter().find(|need| !need.optional && !(need.is_here)()) {
        Some(need) => Err(format!("{} is still missing after it was installed", need.what)),
        None => Ok(()),
    }
}

impl Need {
    fn packages(&self) -> &'static [&'static str] {
        match self.source {
            Source::Packages(packages) => packages,
            Source::Files { .. } => &[],
        }
    }

    fn fetch(&self) -> Result<(), Failure> {
        let Source::Files { package, files, folder } = self.source else { return Ok(()) };
        if self.optional && !apt::knows(package) {
            eprintln!("set-up: going on without {}: the archives of this system have no package {package}", self.what);
            return Ok(());
        }
        let folder = folder();
        eprintln!("set-up: fetching {} from the package {package} into {}", self.what, folder.display());
        apt::unpack(package, files, &folder)
    }
}

/// What to do on a system without Debian's package tools.
fn by_hand(missing: &[&Need]) -> Failure {
    let mut text = String::from("this is no Debian-like system, so please install by hand:\n");
    for need in missing {
        let how = match need.source {
            Source::Packages(packages) => format!("what Debian has in {}", packages.join(", ")),
            Source::Files { package, files, folder } => {
                format!("{} (Debian has them in {package}), into {}", files.join(" and "), folder().display())
            }
        };
        text.push_str(&format!("  {}: {how}\n", need.what));
    }
    if missing.iter().any(|need| need.packages().contains(&"rustc-web")) {
        text.push_str("For the compiler and its C library, `rustup target add wasm32-unknown-unknown wasm32-wasip1` does as well.\n");
    }
    text
}

fn pictures() -> PathBuf {
    drivers::photograph().parent().map(Path::to_owned).unwrap_or_default()
}

fn has_loader() -> bool {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].map(PathBuf::from);
    // Debian's folder per architecture, such as /usr/lib/x86_64-linux-gnu.
    let nested = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    folders.into_iter().chain(nested).any(|folder| folder.join("libvulkan.so.1").exists())
}

fn has_lavapipe() -> bool {
    let is_lavapipe =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp_icd"));
    drivers::installed().iter().any(is_lavapipe)
}

/// Whether `isobit build` will find a compiler: see runtime/cli/src/commands/build/toolchain.rs.
fn has_wasm_compiler() -> bool {
    if has_target("wasm32-unknown-unknown") {
        return true;
    }
    let sysroot = output(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]));
    let has_source =
        sysroot.is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/Cargo.lock").is_file());
    let mut bin = fs::read_dir("/usr/bin").into_iter().flatten().filter_map(Result::ok);
    let has_linker = bin.any(|entry| entry.file_name().to_string_lossy().starts_with("wasm-ld"));
    has_source && has_linker && Path::new("/usr/bin/cargo").is_file()
}

fn has_wasi_library() -> bool {
    has_target("wasm32-wasip1") || Path::new("/usr/lib/wasm32-wasi").is_dir()
}

/// Whether the ordinary compiler has a target, or rustup may install it when it is needed.
fn has_target(triple: &str) -> bool {
    let libdir = output(Command::new("rustc").args(["--print", "target-libdir", "--target", triple]));
    if libdir.is_some_and(|libdir| Path::new(&libdir).is_dir()) {
        return true;
    }
    let may_install = std::env::var_os("RUSTUP_AUTO_INSTALL").is_none_or(|value| value != "0");
    may_install && output(Command::new("rustup").arg("--version")).is_some()
}

/// What a command prints, if it succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_system_is_told_everything_that_is_missing() {
        let all: Vec<&Need> = NEEDS.iter().collect();
        let text = by_hand(&all);
        for need in NEEDS {
            assert!(text.contains(need.what), "{text}");
        }
        assert!(text.contains("rustup target add"), "{text}");
    }
}
