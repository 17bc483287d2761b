//! Runs a workload in this process, on the CPU device, and prints the claim:
//!
//! `cargo run -p isobit-runner --example embed -- WORKLOAD.wasm [PARAM=VALUE]...`
//!
//! A service that runs strangers' jobs should do this in a process of its own for each job, as the provider does.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use isobit_device::{DeviceInfo, open_cpu};
use isobit_job::{Blob, DeviceClass, Fault, JobSpec, Limits, LogLevel, Name, Profile};
use isobit_runner::{Embedder, Task, run};
use isobit_sandbox::{OutputSink, Reporter, Sandbox, Workload};

/// Outputs by name, in memory.
#[derive(Clone, Default)]
struct Outputs(Arc<Mutex<BTreeMap<Name, Vec<u8>>>>);

impl OutputSink for Outputs {
    fn create(&mut self, name: &Name) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(Output { all: self.clone(), name: name.clone() }))
    }
}

/// An output that is being written.
struct Output {
    all: Outputs,
    name: Name,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut outputs = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.entry(self.name.clone()).or_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // An output to which nothing was written is one all the same.
        self.write(&[]).map(drop)
    }
}

/// Shows what the guest says.
struct Terminal;

impl Reporter for Terminal {
    fn log(&self, level: LogLevel, message: &str) {
        eprintln!("[{level:?}] {}", message.escape_debug());
    }

    fn progress(&self, fraction: f32, _: &str) {
        eprintln!("{:.0} %", fraction * 100.0);
    }
}

impl Embedder for Outputs {
    fn outputs(&self) -> Box<dyn OutputSink> {
        Box::new(self.clone())
    }

    fn reporter(&self, _: bool) -> Arc<dyn Reporter> {
        Arc::new(Terminal)
    }

    fn restarting(&self, device: &DeviceInfo, reason: &Fault) -> Result<(), Fault> {
        eprintln!("{reason}; again on {}", device.name);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let workload = Workload::parse(std::fs::read(arguments.next().ok_or("which workload?")?)?)?;
    let param = |text: String| -> Result<_, Box<dyn Error>> {
        let (name, value) = text.split_once('=').ok_or("a parameter is written name=value")?;
        Ok((name.parse::<Name>()?, value.to_owned()))
    };
    let spec = JobSpec {
        workload: workload.blob(),
        inputs: BTreeMap::new(),
        params: arguments.map(param).collect::<Result<_, _>>()?,
        limits: Limits::default(),
        profile: Profile::Dp32,
        class: DeviceClass::Base,
    };
    spec.check()?;
    let compiled = Sandbox::new()?.compile(&workload)?;
    let deadline = Instant::now() + Duration::from_secs(600);
    let outputs = Outputs::default();
    let task = Task { spec: &spec, inputs: &BTreeMap::new(), device: open_cpu()?, deadline };
    let ended = run(&compiled, task, &outputs)?.ended;
    let outputs = outputs.0.lock().unwrap_or_else(PoisonError::into_inner);
    let blobs = outputs.iter().map(|(name, bytes)| (name.clone(), Blob::of(bytes))).collect();
    let claim = ended.claim(spec.id(), blobs);
    println!("{}\n{}", claim.id(), String::from_utf8_lossy(&claim.canonical()));
    Ok(())
}
