//! Runs entries in this process, through the runner, and says how they came out.

use std::collections::BTreeMap;
use std::io::{self, Seek as _, Write};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use isobit_device::{Adapter, AdapterOptions, Device, DeviceInfo, DeviceSelector, Policy, open_cpu};
use isobit_job::{Blob, Claim, DeviceClass, Fault, Fuel, JobSpec, LogLevel, Name, Outcome, Profile};
use isobit_runner::{Embedder, Task, run};
use isobit_sandbox::{CompiledWorkload, Input, OutputSink, Reporter, Sandbox, Workload};

use super::corpus::{Entry, Guest};
use crate::support;

/// How an entry came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Came {
    /// Refused before anything of it ran, with this message.
    NotTaken(String),
    /// Ran to its end. Output `out`, as far as it was kept.
    Ended(Box<Claim>, Vec<u8>),
    /// Not run to its end.
    Faulted(Fault),
}

impl Came {
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Came::Ended(claim, _) => Some(&claim.outcome),
            _ => None,
        }
    }
}

/// A device of this machine, which can be opened for any number of jobs.
pub struct Place {
    pub name: String,
    /// None is the CPU device.
    adapter: Option<Adapter>,
}

impl Place {
    /// Every device of this machine, the CPU device first.
    pub fn all() -> Vec<Place> {
        let drivers = support::devices().into_iter().filter(|device| !device.name.contains("isobit CPU device"));
        let drivers = drivers.map(|device| Place {
            adapter: Some(Adapter::select(&DeviceSelector::Index(device.index.parse().unwrap())).unwrap()),
            name: device.name,
        });
        std::iter::once(Place::cpu()).chain(drivers).collect()
    }

    pub fn cpu() -> Place {
        Place { name: "isobit CPU device".to_owned(), adapter: None }
    }

    fn open(&self) -> Device {
        let device = match &self.adapter {
            None => open_cpu().unwrap(),
            Some(adapter) => adapter.open(AdapterOptions::default()).unwrap(),
        };
        device.with(Policy { patience: Duration::from_secs(300), ..Policy::default() })
    }

    pub fn has_driver(&self) -> bool {
        self.adapter.is_some()
    }
}

/// The bytes of the guest that is told what to do.
pub fn told() -> &'static [u8] {
    static TOLD: OnceLock<Vec<u8>> = OnceLock::new();
    TOLD.get_or_init(|| std::fs::read(support::test_guest("hostile")).unwrap())
}

/// An entry's workload as bytes.
pub fn workload(entry: &Entry) -> Vec<u8> {
    match &entry.guest {
        Guest::Component(make) => make(),
        Guest::Wish(_) | Guest::Kernel(_) => told().to_vec(),
        Guest::Example(name, _) => std::fs::read(support::guest(name)).unwrap(),
    }
}

/// An entry's job spec, with its workload and the bytes of its inputs.
pub fn spec(entry: &Entry, workload: &[u8]) -> (JobSpec, BTreeMap<Name, Vec<u8>>) {
    let inputs: BTreeMap<Name, Vec<u8>> =
        entry.wgsl().map(|wgsl| ("wgsl".parse().unwrap(), wgsl)).into_iter().collect();
    let mut spec = JobSpec {
        workload: Blob::of(workload),
        inputs: inputs.iter().map(|(name, bytes)| (name.clone(), Blob::of(bytes))).collect(),
        params: entry.params().into_iter().map(|(name, value)| (name.parse().unwrap(), value.to_owned())).collect(),
        limits: entry.limits,
        profile: Profile::Dp32,
        class: DeviceClass::Base,
    };
    // The stated fuel is for what it does.
    spec.limits.fuel = Fuel::saturating_from(spec.limits.fuel.get().saturating_add(spec.compile_fuel()));
    spec.check().unwrap();
    (spec, inputs)
}

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new().unwrap());

/// An entry that was compiled, or refused.
pub struct Ready {
    spec: JobSpec,
    inputs: BTreeMap<Name, Vec<u8>>,
    compiled: Result<CompiledWorkload, String>,
}

impl Ready {
    pub fn new(entry: &Entry) -> Ready {
        static TOLD: OnceLock<CompiledWorkload> = OnceLock::new();
        let bytes = workload(entry);
        let (spec, inputs) = spec(entry, &bytes);
        let compile = |bytes: Vec<u8>| {
            let workload = Workload::parse(bytes).map_err(|error| error.to_string())?;
            SANDBOX.compile(&workload).map_err(|error| error.to_string())
        };
        let compiled = match &entry.guest {
            Guest::Component(_) | Guest::Example(..) => compile(bytes),
            Guest::Wish(_) | Guest::Kernel(_) => Ok(TOLD.get_or_init(|| compile(bytes).unwrap()).clone()),
        };
        Ready { spec, inputs, compiled }
    }

    /// Runs it once.
    pub fn run(&self, entry: &Entry, place: &Place) -> Came {
        let compiled = match &self.compiled {
            Ok(compiled) => compiled,
            Err(message) => return Came::NotTaken(message.clone()),
        };
        let open = |bytes: &Vec<u8>| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            Input { file, size: bytes.len() as u64 }
        };
        let inputs = self.inputs.iter().map(|(name, bytes)| (name.clone(), open(bytes))).collect();
        let outputs = Outputs::default();
        let deadline = Instant::now() + entry.deadline;
        let task = Task { spec: &self.spec, inputs: &inputs, device: place.open(), deadline };
        match run(compiled, task, &outputs) {
            Ok(run) => {
                let outputs = std::mem::take(&mut *outputs.0.lock().unwrap());
                let blobs = outputs.iter().map(|(name, bytes)| (name.clone(), Blob::of(bytes))).collect();
                let out = outputs.get("out").cloned().unwrap_or_default();
                Came::Ended(Box::new(run.ended.claim(self.spec.id(), blobs)), out)
            }
            Err(fault) => Came::Faulted(fault),
        }
    }
}

/// Outputs by name, in memory: the corpus may write 1 MiB.
#[derive(Clone, Default)]
struct Outputs(Arc<Mutex<BTreeMap<Name, Vec<u8>>>>);

struct Output {
    all: Outputs,
    name: Name,
}

impl OutputSink for Outputs {
    fn create(&mut self, name: &Name) -> io::Result<Box<dyn Write + Send>> {
        self.0.lock().unwrap().insert(name.clone(), Vec::new());
        Ok(Box::new(Output { all: self.clone(), name: name.clone() }))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.all.0.lock().unwrap().get_mut(&self.name).unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Silence;

impl Reporter for Silence {
    fn log(&self, _: LogLevel, message: &str) {
        assert!(message.len() <= 8 << 10);
    }

    fn progress(&self, fraction: f32, message: &str) {
        assert!((0.0..=1.0).contains(&fraction) && message.len() <= 256);
    }
}

impl Embedder for Outputs {
    fn outputs(&self) -> Box<dyn OutputSink> {
        Box::new(self.clone())
    }

    fn reporter(&self, _: bool) -> Arc<dyn Reporter> {
        Arc::new(Silence)
    }

    fn restarting(&self, _: &DeviceInfo, _: &Fault) -> Result<(), Fault> {
        self.0.lock().unwrap().clear();
        Ok(())
    }
}
