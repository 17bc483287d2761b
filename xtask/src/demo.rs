//! `cargo xtask demo`: the whole of isobit on one machine. Builds two workloads, starts a provider on each of up to three
//! devices, submits both jobs to all, and says whose claims agree. `cargo xtask demo llm` is in [`llm`].

mod llm;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::steps::{cargo, check};
use crate::{Failure, Options, drivers, setup};

/// A job: its workload's name, its inputs and parameters.
struct Work {
    name: &'static str,
    photograph: bool,
    params: &'static [&'static str],
}

/// One that computes in floating point, one in integers.
const WORK: [Work; 2] = [
    Work { name: "photo", photograph: true, params: &["radius=3"] },
    Work { name: "mandelbrot", photograph: false, params: &["width=960", "height=640", "iterations=500"] },
];

/// Runs the demo that is asked for, or the one of two workloads.
pub fn run(options: &Options) -> Result<(), Failure> {
    match options.rest.as_slice() {
        [] => run_two(options),
        _ => llm::run(options),
    }
}

/// Sets up, builds, serves, submits, compares. Leaves pictures and receipts in `target/demo`.
fn run_two(options: &Options) -> Result<(), Failure> {
    let demo = Demo::set_up(options)?;
    for work in &WORK {
        demo.build(work.name)?;
    }
    let devices = demo.devices()?;
    let mut providers = Vec::new();
    for (letter, device) in ["a", "b", "c"].into_iter().zip(&devices) {
        let provider = Provider::start(&demo, letter, device)?;
        eprintln!("==> provider {letter}: {} at {}", provider.device, provider.address);
        providers.push(provider);
    }
    let mut rows = Vec::new();
    for work in &WORK {
        for provider in &providers {
            eprintln!("==> submitting {} to provider {}", work.name, provider.letter);
            rows.push(demo.submit(work, provider)?);
        }
    }
    println!("\n{}", table(&rows));
    let agreed = conclude(&rows, providers.len());
    demo.cross_check(&providers)?;
    println!("\npictures and receipts are in target/demo");
    agreed
}

/// The folder and the binary.
struct Demo {
    binary: PathBuf,
    folder: PathBuf,
    root: PathBuf,
}

/// A job at a provider.
struct Row {
    work: &'static str,
    provider: &'static str,
    device: String,
    claim: String,
    guest: u64,
    kernel: u64,
    prepare_ms: u64,
    run_ms: u64,
    all: Duration,
}

impl Demo {
    /// Installs what is missing, and builds isobit.
    fn set_up(options: &Options) -> Result<Self, Failure> {
        setup::run(options)?;
        eprintln!("==> building isobit (the first time takes some ten minutes on two cores)");
        // With the features that the whole workspace selects, so that `cargo xtask test` finds most of it built.
        check(&mut cargo(&["build", "--workspace", "--bin", "isobit"]))?;
        Self::open()
    }

    /// Builds a workload.
    fn build(&self, name: &str) -> Result<(), Failure> {
        eprintln!("==> building the workload {name}");
        let (folder, file) = (format!("guest-examples/{name}"), self.path(&format!("{name}.wasm")));
        self.isobit(&["build", &folder, "-o", &file, "-q"]).map(drop)
    }

    fn open() -> Result<Self, Failure> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().map_err(|error| error.to_string())?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let folder = target.join("demo");
        // What an earlier demo left would be taken for this one's.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|error| format!("cannot empty {}: {error}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self { binary: target.join("debug").join("isobit"), folder, root })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Runs the command; what it prints on stdout.
    fn isobit(&self, args: &[&str]) -> Result<String, Failure> {
        let mut command = self.command(args);
        let output =
            command.stderr(Stdio::inherit()).output().map_err(|error| format!("cannot start isobit: {error}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(stdout),
            false => Err(format!("`isobit {}` ended with {}: {stdout}", args.join(" "), output.status)),
        }
    }

    fn json(&self, args: &[&str]) -> Result<Value, Failure> {
        let text = self.isobit(args)?;
        serde_json::from_str(&text).map_err(|error| format!("`isobit {}` printed no JSON: {error}", args.join(" ")))
    }

    /// The devices that can run kernels. Where that is isobit's CPU device alone it is there twice.
    fn devices(&self) -> Result<Vec<String>, Failure> {
        let list = self.json(&["devices", "--json"])?;
        let able: Vec<String> = devices_in(&list)
            .filter(|device| device.get("missing").and_then(Value::as_array).is_some_and(Vec::is_empty))
            .map(index_of)
            .collect();
        match able.as_slice() {
            [] => Err("no device can run kernels; see `isobit devices`".to_owned()),
            [only] => {
                println!("only one device was found: both providers use it, so agreement says little");
                Ok(vec![only.clone(), only.clone()])
            }
            _ => Ok(able),
        }
    }

    fn submit(&self, work: &Work, provider: &Provider) -> Result<Row, Failure> {
        let (name, letter) = (work.name, provider.letter);
        let mut args: Vec<String> =
            ["submit", &self.path(&format!("{name}.wasm")), "--to", &provider.address, "--json"]
                .map(str::to_owned)
                .into();
        if work.photograph {
            args.extend(["-i".to_owned(), format!("photo={}", drivers::photograph().display())]);
        }
        args.extend(work.params.iter().flat_map(|param| ["-p".to_owned(), (*param).to_owned()]));
        args.extend(["-o".to_owned(), format!("out={}", self.path(&format!("{name}-{letter}.png")))]);
        args.extend(["--receipt".to_owned(), self.path(&format!("{name}-{letter}.receipt.json"))]);
        let start = Instant::now();
        let answer = self.json(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        let all = start.elapsed();
        let text = |place: &str| answer.pointer(place).and_then(Value::as_str).unwrap_or("?").to_owned();
        let number = |place: &str| answer.pointer(place).and_then(Value::as_u64).unwrap_or(0);
        Ok(Row {
            work: name,
            provider: letter,
            device: text("/observed/device"),
            claim: text("/claim"),
            guest: number("/cost/guest-fuel"),
            kernel: number("/cost/kernel-fuel"),
            prepare_ms: number("/observed/prepare-ms"),
            run_ms: number("/observed/run-ms"),
            all,
        })
    }

    /// The receipt that one provider made, checked by running the job again on the other's device.
    fn cross_check(&self, providers: &[Provider]) -> Result<(), Failure> {
        let [a, b, ..] = providers else { return Err("there are not two providers".to_owned()) };
        let (receipt, workload) = (self.path("photo-a.receipt.json"), self.path("photo.wasm"));
        let (output, input) =
            (format!("out={}", self.path("photo-a.png")), format!("photo={}", drivers::photograph().display()));
        let rerun = ["--rerun", &workload, "-i", &input, "--device", &b.selector];
        self.isobit(&[&["verify", &receipt, "--outputs", &output][..], &rerun].concat())?;
        println!("the receipt of provider {} for photo verifies by running it again on {}", a.letter, b.device);
        Ok(())
    }
}

/// The devices in what `isobit devices --json` printed.
fn devices_in(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("devices").and_then(Value::as_array).into_iter().flatten()
}

/// A device's number, as `--device` takes it.
fn index_of(device: &Value) -> String {
    device.get("index").map(Value::to_string).unwrap_or_default()
}

/// A provider process. Ends with the demo.
struct Provider {
    letter: &'static str,
    selector: String,
    device: String,
    address: String,
    process: Child,
}

impl Provider {
    fn start(demo: &Demo, letter: &'static str, selector: &str) -> Result<Self, Failure> {
        let key = demo.path(&format!("provider-{letter}.key"));
        demo.isobit(&["keygen", "-o", &key, "-q"])?;
        let data = demo.path(&format!("provider-{letter}"));
        let args = ["serve", "--listen", "127.0.0.1:0", "--key", &key, "--data-dir", &data, "--device", selector, "-q"];
        let mut process = demo
            .command(&args)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a provider: {error}"))?;
        let stdout = process.stdout.take();
        let mut provider =
            Self { letter, selector: selector.to_owned(), device: String::new(), address: String::new(), process };
        // The provider prints its address once it serves, or nothing when it ends early.
        let mut line = String::new();
        stdout.map(BufReader::new).and_then(|mut stdout| stdout.read_line(&mut line).ok());
        provider.address = line.trim().to_owned();
        if provider.address.is_empty() {
            return Err(format!("provider {letter} did not start"));
        }
        let devices = demo.json(&["devices", "--json"])?;
        let device = devices_in(&devices).find(|device| index_of(device) == selector);
        let name = device.and_then(|device| device.get("name")).and_then(Value::as_str);
        provider.device = name.unwrap_or("?").to_owned();
        Ok(provider)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // One that has ended by itself needs no killing.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<11} {:<9} {:<34} {:<18} {:>13} {:>11} {:>8} {:>8} {:>8}\n",
        "job", "provider", "device", "claim", "guest fuel", "kernel fuel", "prepare", "run", "all"
    );
    for row in rows {
        let claim = row.claim.get(..16).unwrap_or(&row.claim);
        let device: String = row.device.chars().take(34).collect();
        let _ = writeln!(
            text,
            "{:<11} {:<9} {device:<34} {claim}.. {:>13} {:>11} {:>5} ms {:>5} ms {:>5} ms",
            row.work,
            row.provider,
            row.guest,
            row.kernel,
            row.prepare_ms,
            row.run_ms,
            row.all.as_millis()
        );
    }
    text
}

/// Says whether the claims about each job agree. They have to.
fn conclude(rows: &[Row], providers: usize) -> Result<(), Failure> {
    let mut result = Ok(());
    for rows in rows.chunks(providers.max(1)) {
        let Some(first) = rows.first() else { continue };
        match rows.iter().all(|row| row.claim == first.claim) {
            true => println!("{}: all {} providers make the same claim", first.work, rows.len()),
            false => {
                println!("{}: THE CLAIMS DIFFER", first.work);
                result = Err(format!("{}: honest providers disagree; this is a defect", first.work));
            }
        }
    }
    result
}
