//! Two 1024 x 1024 matrices multiplied, as a whole job in the sandbox and by the same WGSL on plain wgpu. Both sides
//! have device and machine code at hand, and both compile the kernel each time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_sandbox::Sandbox;
use support::{Guest, Plain, Sink};
use wgpu::util::DeviceExt;

const N: u32 = 1024;
const TILE: u32 = 16;

fn matmul(criterion: &mut Criterion) {
    let folder = support::folder();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&a, bytemuck::cast_slice(&made_up("a"))).unwrap();
    fs::write(&b, bytemuck::cast_slice(&made_up("b"))).unwrap();
    let mut guest = Guest::new(&Sandbox::new().unwrap(), &support::guest("matmul"));
    let plain = Plain::open();
    let mut measure = |group, inputs: &[(&str, &Path)], matrices: &dyn Fn() -> Matrices| {
        // The same driver, the same kernel: not a bit may differ.
        assert!(job(&mut guest, inputs) == multiply(&plain, matrices()));
        let contenders: Vec<support::Contender<'_>> = vec![
            ("isobit", Box::new(|| support::time(|| job(&mut guest, inputs)))),
            ("wgpu", Box::new(|| support::time(|| multiply(&plain, matrices())))),
        ];
        support::compare(criterion, group, 10, contenders);
    };
    measure("matmul-generated", &[], &|| (made_up("a"), made_up("b")));
    measure("matmul-files", &[("a", &a), ("b", &b)], &|| (read(&a), read(&b)));
}

type Matrices = (Vec<f32>, Vec<f32>);

/// The whole job; its output.
fn job(guest: &mut Guest, inputs: &[(&str, &Path)]) -> Vec<u8> {
    let output = Output::default();
    let writer = output.clone();
    guest.run(&[("n", &N)], inputs, Sink(move || writer.clone()));
    std::mem::take(&mut output.0.lock().unwrap())
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same without isobit.
fn multiply(plain: &Plain, (a, b): Matrices) -> Vec<u8> {
    let module = plain.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(include_str!("../guest-examples/matmul/src/multiply.wgsl").into()),
    });
    let pipeline = plain.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let filled = |contents: &[u8], usage| {
        plain.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
    };
    let size = a.len() * 4;
    let c = plain.buffer(size, storage, false);
    let buffers = [
        filled(bytemuck::cast_slice(&a), storage),
        filled(bytemuck::cast_slice(&b), storage),
        c.clone(),
        filled(&N.to_le_bytes(), wgpu::BufferUsages::UNIFORM),
    ];
    let entries: Vec<_> = (0..)
        .zip(&buffers)
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
        .collect();
    let layout = pipeline.get_bind_group_layout(0);
    let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
    let group = plain.device.create_bind_group(&descriptor);
    let result = plain.buffer(size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST, false);
    let mut encoder = plain.device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(N / TILE, N / TILE, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(&c, 0, &result, 0, result.size());
    plain.queue.submit([encoder.finish()]);
    plain.map(&result, wgpu::MapMode::Read);
    result.get_mapped_range(..).unwrap().to_vec()
}

/// As the guest makes them up.
fn made_up(name: &str) -> Vec<f32> {
    let mut state = name.bytes().fold(1, |seed: u32, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 32_768.0 - 1.0
    };
    (0..N * N).map(|_| next()).collect()
}

fn read(path: &Path) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&fs::read(path).unwrap())
}

criterion_group!(benches, matmul);
criterion_main!(benches);
