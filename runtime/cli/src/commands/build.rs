//! `isobit build`: from a crate to a component, with whichever compiler can make one here.

mod component;
mod crate_info;
mod toolchain;

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use isobit_job::{Blob, Bytes, Hash};

use self::crate_info::CrateInfo;
use self::toolchain::Toolchain;
use crate::failure::{Failure, Status};
use crate::printer::Printer;

/// Compile a workload crate to a component
///
/// The profile is the crate's release profile, but stripped, without unwinding, and optimized as a whole. The
/// compiler is the ordinary one where it has the WebAssembly target; otherwise rustup installs the target,
/// or, where it may not (RUSTUP_AUTO_INSTALL=0), Debian's compiler builds it from source.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit build\n  isobit build blur -o blur.wasm --locked")]
pub struct Build {
    /// The crate's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The component to write [default: isobit/NAME.wasm in cargo's target folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to compile for; wasip1 is for code that wants more of the standard library
    #[arg(long, value_name = "TARGET", default_value = "wasm32-unknown-unknown")]
    target: Target,
    /// Compile with the dev profile: sooner done, slower to run
    #[arg(long)]
    debug: bool,
    /// Do not let cargo use the network
    #[arg(long)]
    offline: bool,
    /// Do not let cargo change Cargo.lock
    #[arg(long)]
    locked: bool,
}

/// WebAssembly targets that become components here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// No system at all: what the SDK needs
    #[value(name = "wasm32-unknown-unknown")]
    Unknown,
    /// WASI preview 1, brought up to components by wasmtime's adapter
    #[value(name = "wasm32-wasip1")]
    Wasip1,
}

impl Target {
    const fn triple(self) -> &'static str {
        match self {
            Self::Unknown => "wasm32-unknown-unknown",
            Self::Wasip1 => "wasm32-wasip1",
        }
    }
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    file: &'a Path,
    hash: Hash,
    size: Bytes,
    toolchain: String,
}

impl Build {
    /// Compiles, componentizes, checks, writes.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let manifest = self.dir.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Failure::new(format!("there is no Cargo.toml in {}", self.dir.display()))
                .hint("name a crate's folder, or make one with `isobit new DIR`")
                .into());
        }
        let toolchain = toolchain::choose(&self.dir, self.target, printer)?;
        let info = crate_info::read(&toolchain, &self.dir, &self.cargo_flags())?;
        printer.note(format_args!("compiling {} with {toolchain}", info.name));

        let module = self.compile(&toolchain, &info)?;
        let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        let workload = component::from_module(&module, self.target)?;

        let file = self.output.clone().unwrap_or_else(|| info.default_output());
        write_whole(&file, workload.bytes())?;
        let Blob { hash, size } = workload.blob();
        printer.answer(&Answer { file: &file, hash, size, toolchain: toolchain.to_string() }, &file.display())?;
        printer.note(format_args!("built {} ({size}, {hash})", info.name));
        Ok(Status::Ok)
    }

    fn cargo_flags(&self) -> Vec<&'static str> {
        let flags = [("--offline", self.offline), ("--locked", self.locked)];
        flags.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
    }

    /// Runs cargo, whose messages go straight to the user, and finds the module it made.
    fn compile(&self, toolchain: &Toolchain, info: &CrateInfo) -> anyhow::Result<PathBuf> {
        let mut cargo = toolchain.cargo(&self.dir);
        cargo.args(["build", "--lib", "--target", self.target.triple(), "--message-format=json-render-diagnostics"]);
        cargo.args(toolchain.build_flags(self.target)).args(self.cargo_flags());
        if !self.debug {
            cargo.args(["--profile", "guest"]);
            for setting in PROFILE {
                cargo.arg("--config").arg(format!("profile.guest.{setting}"));
            }
        }
        let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
        let mut module = None;
        if let Some(stdout) = child.stdout.take() {
            let messages =
                serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter::<serde_json::Value>();
            for message in messages {
                let message = message.context("cannot understand cargo's messages")?;
                module = info.module_of(&message).or(module);
            }
        }
        if !child.wait().context("cannot wait for cargo")?.success() {
            return Err(Failure::new(format!("{} does not compile", info.name))
                .hint("the compiler's messages are above")
                .into());
        }
        module.ok_or_else(|| Failure::new("cargo built no WebAssembly module").into())
    }
}

/// Cargo's profile for guests: the crate's own release profile, but for what makes no sense in a guest. It has a
/// folder of its own, so a release build for the host that runs at the same time holds no lock that matters here.
const PROFILE: [&str; 6] = [
    "inherits='release'",
    "lto=true",
    "codegen-units=1",
    // A guest's memory is gone when it panics: nothing to unwind for.
    "panic='abort'",
    "strip=true",
    "debug=false",
];

/// Writes a file that appears whole or not at all.
fn write_whole(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut temporary = tempfile::Builder::new();
        // Temporary files are private by default; a workload is as public as any built file.
        #[cfg(unix)]
        temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = temporary.tempfile_in(folder)?;
        std::io::Write::write_all(&mut temporary, bytes)?;
        temporary.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}
