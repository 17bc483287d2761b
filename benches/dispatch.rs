//! What a small dispatch costs a guest in the sandbox under profile dp32, against the same kernel on plain wgpu: submitted alone, and many in one
//! submission, as models have them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_job::Profile;
use isobit_sandbox::Sandbox;
use support::{Contender, Guest, Plain, time};

/// Dispatches in one turn.
const ROUNDS: u32 = 2000;

fn dispatches(criterion: &mut Criterion) {
    let guest = RefCell::new(Guest::under(Profile::Dp32, &Sandbox::new().unwrap(), &support::probe("probe")));
    let (small, looping) = (include_str!("kernels/small.wgsl"), include_str!("kernels/small_loop.wgsl"));
    for (name, wgsl, batch) in [("alone", small, 1), ("together", small, 100), ("together-looping", looping, 100)] {
        let plain = RefCell::new(Dispatches::new(wgsl));
        let params: [(&str, &dyn ToString); 4] =
            [("call", &"dispatch"), ("rounds", &ROUNDS), ("batch", &batch), ("looping", &(wgsl == looping))];
        let isobit = || {
            let marks = guest.borrow_mut().run(&params, &[], support::no_sink());
            (marks[1] - marks[0]) / ROUNDS
        };
        let contenders: Vec<Contender<'_>> =
            vec![("isobit", Box::new(isobit)), ("wgpu", Box::new(|| plain.borrow_mut().run(batch) / ROUNDS))];
        support::compare(criterion, &format!("dispatch-{name}"), 20, contenders);
    }
}

/// A kernel on plain wgpu with two buffers, from one to the other and back.
struct Dispatches {
    plain: Plain,
    pipeline: wgpu::ComputePipeline,
    groups: [wgpu::BindGroup; 2],
}

impl Dispatches {
    fn new(wgsl: &str) -> Self {
        let plain = Plain::open();
        let module = wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        let module = plain.device.create_shader_module(module);
        let pipeline = plain.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let buffers = [(); 2].map(|()| plain.buffer(256, wgpu::BufferUsages::STORAGE, false));
        let group = |from: usize| {
            let entry = |binding, number: usize| wgpu::BindGroupEntry {
                binding,
                resource: buffers[number].as_entire_binding(),
            };
            plain.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &[entry(0, from), entry(1, 1 - from)],
            })
        };
        let groups = [group(0), group(1)];
        Self { plain, pipeline, groups }
    }

    fn run(&mut self, batch: u32) -> Duration {
        time(|| {
            let mut there_and_back = self.groups.iter().cycle();
            for _ in 0..ROUNDS / batch {
                let mut encoder = self.plain.device.create_command_encoder(&Default::default());
                let mut pass = encoder.begin_compute_pass(&Default::default());
                for group in there_and_back.by_ref().take(batch as usize) {
                    pass.set_pipeline(&self.pipeline);
                    pass.set_bind_group(0, group, &[]);
                    pass.dispatch_workgroups(1, 1, 1);
                }
                drop(pass);
                self.plain.queue.submit([encoder.finish()]);
            }
            self.plain.wait();
        })
    }
}

criterion_group!(benches, dispatches);
criterion_main!(benches);
