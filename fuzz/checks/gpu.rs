//! Sequences of a guest's requests to the CPU device: each gets an answer or a typed error, never a fault or a panic, the memory stays within the limit, and what is
//! released is given back.

use isobit_device::{
    BindGroup, BindGroupLayout, Buffer, BufferBindingType, BufferUsage, CommandBuffer, CommandEncoder, ComputePipeline,
    DeviceClass, DeviceError, Gpu, GroupEntry, JobLimits, Kernel, LayoutEntry, Source, Stop, open_cpu,
};
use isobit_shader::{Profile, prepare};
use std::cell::LazyCell;

/// Bytes of buffers together.
const MEMORY: u64 = 1 << 20;

/// Kernels that bind one and two buffers, of which the second has a size of its own.
const KERNELS: [&str; 3] = [
    "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
     @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) i: vec3u) { a[i.x] += i.y + 1u; }",
    "override turns: u32 = 3;
     @group(0) @binding(0) var<storage> a: array<u32>; @group(1) @binding(2) var<storage, read_write> b: array<vec4u, 5>;
     @compute @workgroup_size(2) fn main(@builtin(global_invocation_id) i: vec3u) {
         for (var turn = 0u; turn < turns + a[i.x]; turn++) { b[i.x % 5u] += vec4u(turn); }
     }",
    "@group(0) @binding(1) var<uniform> a: vec4u; @group(0) @binding(0) var<storage, read_write> b: array<atomic<u32>>;
     @compute @workgroup_size(1) fn one() { atomicAdd(&b[a.x], a.y); }
     @compute @workgroup_size(8) fn many(@builtin(local_invocation_index) i: u32) { atomicMax(&b[i], a[i % 4u]); }",
];

thread_local! {
    static PREPARED: LazyCell<Vec<Kernel>> =
        LazyCell::new(|| KERNELS.iter().map(|text| prepare(text, Profile::Dp32).unwrap()).collect());
}

/// Bytes as requests.
pub fn check(data: &[u8]) {
    let limits = JobLimits { memory: MEMORY, kernel_fuel: 200_000, class: DeviceClass::Base };
    let gpu = open_cpu().unwrap().start(limits, Stop::default());
    let mut guest = Guest::new(gpu, data);
    while !guest.bytes.is_empty() && guest.request() {
        let used = guest.gpu.memory();
        assert!(used.in_use <= MEMORY && used.peak <= MEMORY, "{used:?}");
    }
    guest.release_all();
    if guest.gpu.wait().is_ok() {
        assert_eq!(guest.gpu.memory().in_use, 0);
    }
}

/// What a guest holds: at most 16 of each.
struct Guest<'a> {
    gpu: Gpu,
    bytes: &'a [u8],
    buffers: Vec<Buffer>,
    layouts: Vec<BindGroupLayout>,
    groups: Vec<BindGroup>,
    pipelines: Vec<ComputePipeline>,
    encoders: Vec<CommandEncoder>,
    commands: Vec<CommandBuffer>,
}

/// Keeps it, in place of the first if there are too many. A fault is the provider's: no request may cause one.
fn keep<T>(held: &mut Vec<T>, made: Result<T, DeviceError>) -> bool {
    match made {
        Ok(made) => {
            if held.len() >= 16 {
                held.remove(0);
            }
            held.push(made);
            true
        }
        Err(error) => goes_on(Err(error)),
    }
}

/// Whether the guest may go on after this.
fn goes_on(done: Result<(), DeviceError>) -> bool {
    match done {
        Ok(()) => true,
        Err(DeviceError::Fault(fault)) => panic!("a guest has brought about a fault: {fault}"),
        Err(_) => true,
    }
}

impl Guest<'_> {
    fn new(gpu: Gpu, bytes: &[u8]) -> Guest<'_> {
        Guest {
            gpu,
            bytes,
            buffers: Vec::new(),
            layouts: Vec::new(),
            groups: Vec::new(),
            pipelines: Vec::new(),
            encoders: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Waits as a guest does. False if the job has ended, because its kernels have spent their fuel.
    fn settles(&mut self) -> bool {
        goes_on(self.gpu.wait()) && self.gpu.settle().is_ok_and(|used| !used.spent)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    /// A number near the edges of things: small, a multiple of 4 or 256, near a power of two, or anything.
    fn number(&mut self) -> u64 {
        let (kind, byte) = (self.byte(), u64::from(self.byte()));
        match kind % 8 {
            0 => byte,
            1 => byte * 4,
            2 => byte * 256,
            3 => (1 << (byte % 64)) - 1,
            4 => 1 << (byte % 64),
            5 => u64::MAX - byte,
            6 => u64::MAX - byte * 4 - 3,
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    fn small(&mut self) -> u32 {
        match self.byte() {
            byte @ ..=200 => u32::from(byte % 8),
            _ => self.number() as u32,
        }
    }

    fn any<T: Clone>(&mut self, of: impl Fn(&Self) -> &Vec<T>) -> Option<T> {
        let index = usize::from(self.byte());
        let of = of(self);
        of.get(index % of.len().max(1)).cloned()
    }

    /// Carries out one request. False if the job has ended.
    fn request(&mut self) -> bool {
        match self.byte() % 20 {
            0 | 1 => {
                let size = self.number();
                let usage =
                    BufferUsage { storage: !self.byte().is_multiple_of(4), uniform: self.byte().is_multiple_of(2) };
                let made = self.gpu.create_buffer(size, usage);
                keep(&mut self.buffers, made)
            }
            2 => {
                let entries: Vec<_> = (0..self.byte() % 6).map(|_| self.layout_entry()).collect();
                let made = self.gpu.create_bind_group_layout(&entries);
                keep(&mut self.layouts, made)
            }
            3 => {
                let Some(pipeline) = self.any(|guest| &guest.pipelines) else { return true };
                let index = self.small();
                let made = self.gpu.bind_group_layout_of(&pipeline, index);
                keep(&mut self.layouts, made)
            }
            4 | 5 => {
                let Some(layout) = self.any(|guest| &guest.layouts) else { return true };
                let entries: Vec<_> = (0..self.byte() % 4).filter_map(|_| self.group_entry()).collect();
                let made = self.gpu.create_bind_group(&layout, &entries);
                keep(&mut self.groups, made)
            }
            6 => self.create_pipeline(),
            7 => {
                let made = self.gpu.create_command_encoder();
                keep(&mut self.encoders, Ok(made))
            }
            8..=14 => self.record(),
            15 => {
                let Some(encoder) = self.encoders.pop() else { return true };
                keep(&mut self.commands, encoder.finish())
            }
            16 => {
                let Some(commands) = self.commands.last() else { return true };
                goes_on(self.gpu.submit(commands)) && self.settles()
            }
            17 => {
                let Some(buffer) = self.any(|guest| &guest.buffers) else { return true };
                let (offset, length) = (self.number(), usize::from(self.byte()) * 2);
                goes_on(self.gpu.write(&buffer, offset, Source::Slice(&vec![1; length])))
            }
            18 => {
                let Some(buffer) = self.any(|guest| &guest.buffers) else { return true };
                let (offset, length) = (self.number(), self.number());
                let read = self.gpu.read(&buffer, offset, length);
                goes_on(read.map(|read| assert_eq!(read.len() as u64, length)))
            }
            _ => self.release(),
        }
    }

    fn layout_entry(&mut self) -> LayoutEntry {
        let ty = match self.byte() % 3 {
            0 => BufferBindingType::Storage,
            1 => BufferBindingType::ReadOnlyStorage,
            _ => BufferBindingType::Uniform,
        };
        let (binding, dynamic) = (self.small(), self.byte().is_multiple_of(2));
        LayoutEntry { binding, ty, has_dynamic_offset: dynamic, min_binding_size: self.number() }
    }

    fn group_entry(&mut self) -> Option<GroupEntry> {
        let (binding, buffer) = (self.small(), self.any(|guest| &guest.buffers)?);
        let offset = self.number();
        let size = if self.byte().is_multiple_of(2) { None } else { Some(self.number()) };
        Some(GroupEntry { binding, buffer, offset, size })
    }

    fn create_pipeline(&mut self) -> bool {
        let kernel = PREPARED.with(|prepared| prepared[usize::from(self.byte()) % KERNELS.len()].clone());
        let name = [None, Some("main"), Some("one"), Some("many"), Some("")][usize::from(self.byte() % 5)];
        let layouts: Vec<_> = (0..self.byte() % 4).filter_map(|_| self.any(|guest| &guest.layouts)).collect();
        let layouts = self.byte().is_multiple_of(2).then_some(layouts);
        let constants = match self.byte() % 4 {
            0 => vec![("turns".to_owned(), f64::from(self.small()))],
            1 => vec![("turns".to_owned(), f64::NAN), ("turns".to_owned(), -1.0)],
            2 => vec![("none".to_owned(), 1.0)],
            _ => Vec::new(),
        };
        let made = self.gpu.create_compute_pipeline(&kernel, name, layouts.as_deref(), &constants);
        keep(&mut self.pipelines, made)
    }

    fn record(&mut self) -> bool {
        let (kind, index) = (self.byte() % 8, usize::from(self.byte()));
        let (pipeline, group) = (self.any(|guest| &guest.pipelines), self.any(|guest| &guest.groups));
        let [source, destination] = [0; 2].map(|_| self.any(|guest| &guest.buffers));
        let offsets: Vec<u32> = (0..self.byte() % 3).map(|_| self.small().wrapping_mul(256)).collect();
        let (slot, workgroups) = (self.small(), [0; 3].map(|_| self.small()));
        let numbers = [0; 3].map(|_| self.number());
        let count = self.encoders.len().max(1);
        let Some(encoder) = self.encoders.get_mut(index % count) else { return true };
        match (kind, pipeline, group, source, destination) {
            (0, ..) => encoder.begin_pass(),
            (1, ..) => encoder.end_pass(),
            (2, Some(pipeline), ..) => encoder.set_pipeline(&pipeline),
            (3, _, Some(group), ..) => encoder.set_bind_group(slot, &group, &offsets),
            (4, ..) => encoder.dispatch(workgroups),
            (5, _, _, Some(source), Some(destination)) => {
                encoder.copy_buffer(&source, numbers[0], &destination, numbers[1], numbers[2]);
            }
            (6, _, _, Some(buffer), _) => encoder.clear_buffer(&buffer, numbers[0], numbers[1]),
            _ => {}
        }
        true
    }

    fn release_all(&mut self) {
        self.buffers.clear();
        self.layouts.clear();
        self.groups.clear();
        self.pipelines.clear();
        self.encoders.clear();
        self.commands.clear();
    }

    fn release(&mut self) -> bool {
        let index = usize::from(self.byte());
        fn drop_one<T>(held: &mut Vec<T>, index: usize) {
            if !held.is_empty() {
                held.remove(index % held.len());
            }
        }
        match self.byte() % 7 {
            0 => drop_one(&mut self.buffers, index),
            1 => drop_one(&mut self.layouts, index),
            2 => drop_one(&mut self.groups, index),
            3 => drop_one(&mut self.pipelines, index),
            4 => drop_one(&mut self.encoders, index),
            5 => drop_one(&mut self.commands, index),
            _ => return self.settles(),
        }
        true
    }
}
