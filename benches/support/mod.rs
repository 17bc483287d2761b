//! What benchmarks share: a workload in the sandbox, plain wgpu on the same adapter, and how the two are measured.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "benchmarks may panic")]
#![allow(dead_code, reason = "no benchmark uses all of it")]

pub mod kernels;
pub mod provider;
#[allow(unused_imports, reason = "benchmarks have no harness, so the tests of what they share are left out")]
#[path = "../../tests/support/mod.rs"]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use isobit_device::{Device, DeviceInfo, DeviceKind, DeviceSelector};
use isobit_job::{Blob, Bytes, DeviceClass, Hash, JobSpec, Limits, LogLevel, Name, Outcome, Profile};
use isobit_sandbox::{CompiledWorkload, Input, Job, OutputSink, Reporter, Sandbox, Workload};

#[allow(unused_imports, reason = "no benchmark uses all of it")]
pub use tests::{children, eventually, guest, stats, without, worker_of};

pub const MIB: usize = 1 << 20;

/// A name, and what runs once and says how long it took.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> Duration + 'a>);

/// Measures things that are to be compared, turn by turn, so that a busy moment of the machine hits all of them alike.
/// The first turn is for warming up. Criterion gets the times afterwards.
pub fn compare(criterion: &mut Criterion, group: &str, turns: usize, mut contenders: Vec<Contender<'_>>) {
    let mut times = vec![Vec::new(); contenders.len()];
    for turn in 0..=turns {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let time = run();
            if turn > 0 {
                times.push(time);
            }
        }
    }
    let mut group = slow(criterion, group);
    // Criterion wants ten; few turns are repeated.
    group.sample_size(turns.max(10));
    for ((name, _), times) in contenders.iter().zip(times) {
        let mut times = times.into_iter().cycle();
        // Criterion measures how long this takes to decide on the rounds: long enough for one round in a sample.
        let mut sample = |rounds| {
            std::thread::sleep(Duration::from_millis(2));
            times.next().unwrap() * u32::try_from(rounds).unwrap()
        };
        group.bench_function(*name, |bencher| bencher.iter_custom(&mut sample));
    }
}

/// How long something takes.
pub fn time<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed()
}

/// A group for things that take so long that ten runs have to do.
pub fn slow<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(1));
    group
}

/// The command `isobit`.
pub fn program() -> PathBuf {
    tests::isobit().get_program().into()
}

/// Where the command keeps what it has found out about devices.
pub fn verdicts() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).unwrap();
    cache.join("isobit/probe")
}

/// The component of the workload in `benches/guests/NAME`.
pub fn probe(name: &str) -> PathBuf {
    tests::build(&tests::repository().join("benches/guests").join(name), &format!("bench-{name}"))
}

/// A folder in memory where there is one: disks are not what is measured.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A file of `size` bytes that do not repeat soon.
pub fn file(path: &Path, size: usize) {
    let mut state = 1_u64;
    let words = (0..size / 8).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 33)
    });
    fs::write(path, words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()).unwrap();
}

/// A GPU if there is one, else lavapipe. `ISOBIT_BENCH_DEVICE` chooses another.
pub fn selector() -> DeviceSelector {
    let chosen = std::env::var("ISOBIT_BENCH_DEVICE").ok().map(|name| name.parse().unwrap());
    let is_gpu = || isobit_device::list_adapters().iter().any(|found| found.info.kind != DeviceKind::Cpu);
    chosen.unwrap_or_else(|| if is_gpu() { DeviceSelector::Best } else { DeviceSelector::Name("llvmpipe".into()) })
}

/// Opens the device, and notes for `cargo xtask bench` which it was.
pub fn device() -> Device {
    let device = isobit_device::open(&selector()).unwrap();
    note(device.info());
    device
}

/// Notes for `cargo xtask bench` which device was measured.
pub fn note(info: &DeviceInfo) {
    let folder = tests::target_dir().join("criterion");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("device.txt"), format!("{}, {} {}", info.name, info.driver, info.driver_info)).unwrap();
}

/// Keeps a number that is no time for `cargo xtask bench`, under the group and name that it has there.
pub fn figure(name: &str, value: f64) {
    println!("{name}: {value}");
    let folder = tests::target_dir().join("criterion").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("figure.txt"), value.to_string()).unwrap();
}

/// A workload in the sandbox with a device open, as in a worker that waits for its job.
pub struct Guest {
    pub compiled: CompiledWorkload,
    profile: Profile,
    workload: Blob,
    device: Option<Device>,
}

impl Guest {
    /// Under profile native: the baselines run the same WGSL as it is written.
    pub fn new(sandbox: &Sandbox, component: &Path) -> Self {
        Self::under(Profile::Native, sandbox, component)
    }

    pub fn under(profile: Profile, sandbox: &Sandbox, component: &Path) -> Self {
        let workload = Workload::parse(fs::read(component).unwrap()).unwrap();
        let compiled = sandbox.compile(&workload).unwrap();
        Self { compiled, profile, workload: workload.blob(), device: Some(device()) }
    }

    /// Runs one job, and returns when its log lines came.
    pub fn run<T: OutputSink + 'static>(
        &mut self,
        params: &[(&str, &dyn ToString)],
        inputs: &[(&str, &Path)],
        sink: T,
    ) -> Vec<Instant> {
        let limits = Limits { output_bytes: Bytes::MAX, guest_memory: Bytes::from(2_u32 << 30), ..Limits::default() };
        let mut files = BTreeMap::new();
        for (name, path) in inputs {
            let file = File::open(path).unwrap();
            let size = file.metadata().unwrap().len();
            files.insert(name.parse::<Name>().unwrap(), Input { file, size });
        }
        let blob = |size| Blob { hash: Hash::of(b""), size: Bytes::try_from(size).unwrap() };
        let spec = JobSpec {
            workload: self.workload,
            inputs: files.iter().map(|(name, input)| (name.clone(), blob(input.size))).collect(),
            params: params.iter().map(|(name, value)| (name.parse().unwrap(), value.to_string())).collect(),
            limits,
            profile: self.profile,
            class: DeviceClass::Base,
        };
        let marks = Arc::new(Marks::default());
        let (device, outputs) = (self.device.take().unwrap_or_else(device), Box::new(sink));
        let job = Job { spec, inputs: files, device, outputs, reporter: marks.clone(), deadline: None };
        let finished = self.compiled.prepare(job).unwrap().run().unwrap();
        assert_eq!(finished.outcome, Outcome::Completed);
        // Opened while nobody measures.
        self.device = Some(self::device());
        std::mem::take(&mut marks.0.lock().unwrap())
    }

    /// How long `rounds` calls of the probe take. It logs a line before and after them.
    pub fn probe<T: OutputSink + 'static>(
        &mut self,
        call: &str,
        rounds: u64,
        bytes: usize,
        inputs: &[(&str, &Path)],
        sink: T,
    ) -> Duration {
        let marks = self.run(&[("call", &call), ("rounds", &rounds), ("bytes", &bytes)], inputs, sink);
        let [start, end] = marks[..] else { panic!("the probe logs two lines") };
        end - start
    }
}

/// The times at which log lines came.
#[derive(Default)]
struct Marks(Mutex<Vec<Instant>>);

impl Reporter for Marks {
    fn log(&self, _: LogLevel, _: &str) {
        self.0.lock().unwrap().push(Instant::now());
    }

    fn progress(&self, _: f32, _: &str) {}
}

/// Takes outputs to a writer that the function makes.
pub struct Sink<F>(pub F);

impl<W: Write + Send + 'static, F: FnMut() -> W + Send> OutputSink for Sink<F> {
    fn create(&mut self, _: &Name) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(self.0()))
    }
}

/// For jobs without outputs.
pub fn no_sink() -> impl OutputSink + 'static {
    Sink(io::sink)
}

/// Plain wgpu on the adapter that [`device`] opens.
pub struct Plain {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Whether any buffer can be mapped.
    pub mappable: bool,
}

impl Plain {
    pub fn open() -> Self {
        let name = isobit_device::open(&selector()).unwrap().info().name.clone();
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == name).unwrap();
        let direct = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let mappable = adapter.features().contains(direct);
        let descriptor = wgpu::DeviceDescriptor {
            required_features: if mappable { direct } else { wgpu::Features::empty() },
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        Self { device, queue, mappable }
    }

    pub fn buffer(&self, size: usize, usage: wgpu::BufferUsages, mapped_at_creation: bool) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size: size as u64, usage, mapped_at_creation })
    }

    /// Copies all of one buffer to another.
    pub fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, to, 0, to.size());
        self.queue.submit([encoder.finish()]);
    }

    /// Maps all of a buffer and waits until it is mapped.
    pub fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) {
        buffer.map_async(mode, .., |mapped| mapped.unwrap());
        self.wait();
    }

    pub fn wait(&self) {
        self.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
}
