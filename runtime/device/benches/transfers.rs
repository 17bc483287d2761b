//! 256 MiB up and back through [`isobit_device`] beside plain wgpu's own best path on the same adapter, as ratios of
//! throughput. A promise: at least 0.9 each way.
#![allow(clippy::expect_used, reason = "a benchmark that cannot run stops")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isobit_device::{
    Adapter, AdapterOptions, BufferUsage, DeviceClass, DeviceSelector, Gpu, JobLimits, Source, Stop, list_adapters,
};

const BYTES: u64 = 256 << 20;
const ROUNDS: usize = 15;

fn main() {
    let bytes = vec![0x5a_u8; usize::try_from(BYTES).expect("a 64-bit machine")];
    for adapter in list_adapters().iter().filter(|adapter| adapter.missing.is_empty()) {
        println!("{}:", adapter.info.name);
        let index = adapter.index;
        let plain = Plain::open(index);
        for staging in [false, true] {
            let options = AdapterOptions { staging_only: staging, ..AdapterOptions::default() };
            let ours = Adapter::select(&DeviceSelector::Index(index)).and_then(|adapter| adapter.open(options));
            let limits = JobLimits { memory: BYTES, kernel_fuel: u64::MAX, class: DeviceClass::Base };
            let mut ours = ours.expect("opens").start(limits, Stop::default());
            let how = if staging { "staging" } else { "as opened" };
            compare(how, &mut ours, &plain, &bytes, staging);
        }
    }
}

/// Rounds alternate, so that whatever else the machine does falls on both; the best round counts.
fn compare(how: &str, ours: &mut Gpu, plain: &Plain, bytes: &[u8], staging: bool) {
    let buffer = ours.create_buffer(BYTES, BufferUsage::STORAGE).expect("fits");
    let paths = if plain.direct.is_some() && !staging { 3 } else { 2 };
    let (mut up, mut down, mut plain_up, mut plain_down) = Default::default();
    for _ in 0..ROUNDS {
        best(&mut up, || {
            ours.write(&buffer, 0, Source::Slice(bytes)).expect("writes");
            ours.wait().expect("waits");
        });
        best(&mut down, || {
            consume(&ours.read(&buffer, 0, BYTES).expect("reads"));
        });
        for path in 0..paths {
            best(&mut plain_up, || plain.upload(path, bytes));
            best(&mut plain_down, || plain.readback(path));
        }
    }
    let rate = |time: Option<Duration>| {
        f64::from(u32::try_from(BYTES >> 20).unwrap_or_default()) / 1024.0 / time.unwrap_or_default().as_secs_f64()
    };
    for (what, ours, plain) in [("upload", up, plain_up), ("readback", down, plain_down)] {
        let (ours, plain) = (rate(ours), rate(plain));
        println!("  {how:9} {what:8} {ours:6.2} GiB/s, plain wgpu {plain:6.2} GiB/s, ratio {:.2}", ours / plain);
    }
}

fn best(so_far: &mut Option<Duration>, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let took = start.elapsed();
    *so_far = Some(so_far.map_or(took, |best| best.min(took)));
}

/// Looks at every cache line.
fn consume(bytes: &[u8]) {
    let sum: u64 = bytes.iter().step_by(64).map(|&byte| u64::from(byte)).sum();
    assert_eq!(sum, 0x5a * BYTES / 64);
}

/// What a program on wgpu alone would do: everything allocated once and used again.
struct Plain {
    device: wgpu::Device,
    queue: wgpu::Queue,
    target: wgpu::Buffer,
    staging_up: wgpu::Buffer,
    staging_down: wgpu::Buffer,
    direct: Option<wgpu::Buffer>,
}

impl Plain {
    fn open(index: usize) -> Self {
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        let adapter = adapters.into_iter().nth(index).expect("the same adapters");
        let direct = adapter.features() & wgpu::Features::MAPPABLE_PRIMARY_BUFFERS;
        let (device, queue) = pollster::block_on(
            adapter.request_device(&wgpu::DeviceDescriptor { required_features: direct, ..Default::default() }),
        )
        .expect("opens");
        use wgpu::BufferUsages as U;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: BYTES, usage, mapped_at_creation: false })
        };
        let main = U::STORAGE | U::COPY_SRC | U::COPY_DST;
        Self {
            target: buffer(main),
            staging_up: buffer(U::MAP_WRITE | U::COPY_SRC),
            staging_down: buffer(U::MAP_READ | U::COPY_DST),
            direct: (!direct.is_empty()).then(|| buffer(main | U::MAP_READ | U::MAP_WRITE)),
            device,
            queue,
        }
    }

    fn wait(&self) {
        let patience = wgpu::PollType::Wait { submission_index: None, timeout: Some(Duration::from_secs(60)) };
        self.device.poll(patience).expect("in time");
    }

    fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) {
        let mapped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&mapped);
        buffer.map_async(mode, .., move |result| seen.store(result.is_ok(), Ordering::Release));
        self.wait();
        assert!(mapped.load(Ordering::Acquire));
    }

    fn fill(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        self.map(buffer, wgpu::MapMode::Write);
        buffer.get_mapped_range_mut(..).expect("mapped").copy_from_slice(bytes);
        buffer.unmap();
    }

    fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, to, 0, BYTES);
        self.queue.submit([encoder.finish()]);
    }

    fn upload(&self, path: usize, bytes: &[u8]) {
        match (path, &self.direct) {
            (0, _) => {
                self.queue.write_buffer(&self.target, 0, bytes);
                self.queue.submit([]);
            }
            (2, Some(direct)) => self.fill(direct, bytes),
            _ => {
                self.fill(&self.staging_up, bytes);
                self.copy(&self.staging_up, &self.target);
            }
        }
        self.wait();
    }

    fn readback(&self, path: usize) {
        let source = match (path, &self.direct) {
            (2, Some(direct)) => direct,
            _ => {
                self.copy(&self.target, &self.staging_down);
                &self.staging_down
            }
        };
        self.map(source, wgpu::MapMode::Read);
        consume(&source.get_mapped_range(..).expect("mapped"));
        source.unmap();
    }
}
