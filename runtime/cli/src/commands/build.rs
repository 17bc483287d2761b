//! `isobit build`: from a crate to a component, with whichever compiler can make one here.

pub mod component;
mod crate_info;
mod shared;
mod toolchain;

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use isobit_job::{Blob, Bytes, Hash};

use self::crate_info::CrateInfo;
use self::shared::Shared;
use self::toolchain::Toolchain;
use crate::failure::{Failure, Status};
use crate::new_file::NewFile;
use crate::opening;
use crate::printer::Printer;

/// Compile a workload crate to a component
///
/// The profile is the crate's release profile, but stripped, without unwinding, and optimized as a whole. The
/// compiler is the ordinary one where it has the WebAssembly target; otherwise rustup installs the target,
/// or, where it may not (RUSTUP_AUTO_INSTALL=0), Debian's compiler does it, which may have to compile the
/// standard library first.
///
/// A crate without a library for that, but with a program (src/main.rs), becomes a WASI command.
///
/// What all crates need is compiled once: build results are in isobit/build in your cache folder, one folder for
/// each compiler, unless cargo was told of another target folder. What was not used for 60 days is removed there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit build\n  isobit build blur -o blur.wasm --locked")]
pub struct Build {
    /// The crate's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The component to write [default: isobit/NAME.wasm in cargo's target folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to compile for; wasip1 is for code that wants more of the standard library, and for programs
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
    pub fn run(mut self, printer: &Printer) -> anyhow::Result<Status> {
        let manifest = self.dir.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(Failure::new(format!("there is no Cargo.toml in {}", self.dir.display()))
                .hint("name a crate's folder, or make one with `isobit new DIR`")
                .into());
        }
        let start = Instant::now();
        let mut toolchain = toolchain::choose(&self.dir, self.target, printer)?;
        let info = crate_info::read(&toolchain, &self.dir, &self.cargo_flags(printer))?;
        if info.is_program && self.target != Target::Wasip1 {
            self.target = Target::Wasip1;
            toolchain = toolchain::choose(&self.dir, self.target, printer)?;
        }
        printer.note(format_args!("compiling {} with {toolchain}", info.name));

        // Locked until the module is read: another crate's module may have the same name.
        let shared = self.shared(&toolchain, &info, printer)?;
        let module = self.compile(&toolchain, &info, shared.as_ref(), printer)?;
        let module = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        drop(shared);
        let workload = if info.is_program {
            component::from_command(&module)?
        } else {
            component::from_module(&module, self.target)?
        };

        let file = self.output.clone().unwrap_or_else(|| info.default_output());
        NewFile::create(&file)?.keep(workload.bytes())?;
        let Blob { hash, size } = workload.blob();
        printer.answer(&Answer { file: &file, hash, size, toolchain: toolchain.to_string() }, &file.display())?;
        printer.note(format_args!("built {} ({size}, {hash}) in {} s", info.name, start.elapsed().as_secs()));
        Ok(Status::Ok)
    }

    fn cargo_flags(&self, printer: &Printer) -> Vec<&'static str> {
        let flags = [("--offline", self.offline), ("--locked", self.locked), ("--quiet", printer.is_quiet())];
        flags.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
    }

    /// The compiler's folder in the user's cache, ready for this crate; none if the user has chosen a target folder, or the
    /// cache cannot be used.
    fn shared(&self, toolchain: &Toolchain, info: &CrateInfo, printer: &Printer) -> anyhow::Result<Option<Shared>> {
        let Some(root) = opening::cache("build").filter(|_| !info.has_chosen_target_dir()) else { return Ok(None) };
        let shared = match Shared::open(&root, &toolchain.name(), printer) {
            Ok(shared) => shared,
            Err(error) => {
                printer.note(format_args!("sharing no build results with other crates: {error:#}"));
                return Ok(None);
            }
        };
        let flags = self.cargo_flags(printer);
        let packages = crate_info::local_packages(toolchain, &self.dir, info, self.target, &flags)?;
        let foreign = shared.foreign(&packages, &info.workspace);
        if !foreign.is_empty() {
            let mut cargo = toolchain.cargo(&self.dir);
            cargo.args(["clean", "--quiet", "--target", self.target.triple()]);
            cargo.args(foreign.iter().flat_map(|name| ["--package", name]));
            cargo.args(flags.iter().filter(|flag| **flag != "--quiet"));
            self.set_profile(&mut cargo);
            cargo.arg("--target-dir").arg(shared.folder()).stdin(Stdio::null());
            if !cargo.status().context("cannot start cargo")?.success() {
                return Err(Failure::new(format!("cargo cannot clean {}", shared.folder().display()))
                    .hint("cargo's messages are above; removing that folder loses nothing but time")
                    .into());
            }
        }
        shared.claim(&packages, &info.workspace)?;
        Ok(Some(shared))
    }

    fn set_profile(&self, cargo: &mut Command) {
        if !self.debug {
            cargo.args(["--profile", "guest"]);
            for setting in PROFILE {
                cargo.arg("--config").arg(format!("profile.guest.{setting}"));
            }
        }
    }

    /// Runs cargo, whose messages go straight to the user, and finds the module it made.
    fn compile(
        &self,
        toolchain: &Toolchain,
        info: &CrateInfo,
        shared: Option<&Shared>,
        printer: &Printer,
    ) -> anyhow::Result<PathBuf> {
        let mut cargo = toolchain.cargo(&self.dir);
        let what = if info.is_program { "--bins" } else { "--lib" };
        cargo.args(["build", what, "--target", self.target.triple(), "--message-format=json-render-diagnostics"]);
        cargo.args(toolchain.build_flags(self.target)).args(self.cargo_flags(printer));
        self.set_profile(&mut cargo);
        if let Some(shared) = shared {
            cargo.arg("--target-dir").arg(shared.folder());
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
        let status = child.wait().context("cannot wait for cargo")?;
        if status.code().is_none() {
            return Err(Failure::new(format!("cargo was ended while it compiled {}: {status}", info.name)).into());
        }
        if !status.success() {
            return Err(Failure::new(format!("{} does not compile", info.name))
                .hint("the compiler's messages are above")
                .into());
        }
        module.ok_or_else(|| Failure::new("cargo built no WebAssembly module").into())
    }
}

/// Cargo's profile for guests: the crate's own release profile, except for settings that make no sense in a guest. It
/// has a folder of its own, so it does not wait for the lock of a release build for the host at the same time.
const PROFILE: [&str; 6] = [
    "inherits='release'",
    "lto=true",
    "codegen-units=1",
    // A guest's memory is discarded when it panics, so there is nothing to unwind for.
    "panic='abort'",
    "strip=true",
    "debug=false",
];
