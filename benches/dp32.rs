//! What profile dp32 costs: the kernels in `benches/kernels` as they are written (profile native), and rewritten in
//! tier A and tier B, on one device; the same on the CPU device; and how long the rewriting takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_device::{
    Adapter, AdapterOptions, Buffer, BufferUsage, CommandBuffer, Device, DeviceClass, DeviceSelector, Gpu, GroupEntry,
    JobLimits, Source, Stop, Tier, open_cpu,
};
use isobit_job::Profile;
use support::{Contender, time};

/// A kernel with buffers `a`, `b` and `c`.
struct Case {
    name: &'static str,
    wgsl: &'static str,
    workgroups: [u32; 3],
    /// Words of each buffer.
    words: [usize; 3],
    integers: bool,
}

const fn case(name: &'static str, wgsl: &'static str, workgroups: [u32; 3], words: [usize; 3]) -> Case {
    Case { name, wgsl, workgroups, words, integers: false }
}

const MILLION: usize = 1 << 20;

const CASES: &[Case] = &[
    case("matmul-naive", include_str!("kernels/matmul_naive.wgsl"), [16, 16, 1], [1 << 16; 3]),
    case("matmul-tiled", include_str!("kernels/matmul_tiled.wgsl"), [8, 8, 1], [1 << 16; 3]),
    case("copy", include_str!("kernels/copy.wgsl"), [1 << 14, 1, 1], [4 * MILLION; 3]),
    case("saxpy", include_str!("kernels/saxpy.wgsl"), [1 << 14, 1, 1], [4 * MILLION; 3]),
    case("reduction", include_str!("kernels/reduction.wgsl"), [1 << 10, 1, 1], [4 * MILLION, 4, 1 << 10]),
    case("nbody", include_str!("kernels/nbody.wgsl"), [32, 1, 1], [4 * 2048, 4, 4 * 2048]),
    case("softmax", include_str!("kernels/softmax.wgsl"), [1 << 12, 1, 1], [MILLION, 4, MILLION]),
    case("gelu", include_str!("kernels/gelu.wgsl"), [1 << 12, 1, 1], [MILLION, 4, MILLION]),
    Case {
        integers: true,
        ..case("int8", include_str!("kernels/int8.wgsl"), [16, 16, 1], [1 << 14, 1 << 14, 1 << 16])
    },
];

fn kernels(criterion: &mut Criterion) {
    support::note(open(&support::selector(), Tier::A).info());
    for case in CASES {
        let selector = support::selector();
        let native = RefCell::new(Run::new(open(&selector, Tier::A), case, Profile::Native));
        let tier_a = RefCell::new(Run::new(open(&selector, Tier::A), case, Profile::Dp32));
        let tier_b = RefCell::new(Run::new(open(&selector, Tier::B), case, Profile::Dp32));
        let cpu = RefCell::new(Run::new(open_cpu().unwrap(), case, Profile::Dp32));
        let result = tier_a.borrow_mut().result();
        assert!(result == tier_b.borrow_mut().result() && result == cpu.borrow_mut().result(), "{}", case.name);
        let contenders: Vec<Contender<'_>> = vec![
            ("native", Box::new(|| native.borrow_mut().once())),
            ("tier-a", Box::new(|| tier_a.borrow_mut().once())),
            ("tier-b", Box::new(|| tier_b.borrow_mut().once())),
            ("cpu", Box::new(|| cpu.borrow_mut().once())),
        ];
        support::compare(criterion, &format!("dp32-{}", case.name), 20, contenders);
    }
}

fn open(selector: &DeviceSelector, tier: Tier) -> Device {
    Adapter::select(selector).unwrap().open(AdapterOptions { tier, staging_only: false }).unwrap()
}

/// A case on a device, ready to be dispatched.
struct Run {
    gpu: Gpu,
    commands: CommandBuffer,
    output: Buffer,
    bytes: u64,
}

impl Run {
    fn new(device: Device, case: &Case, profile: Profile) -> Self {
        let mut gpu = device
            .start(JobLimits { memory: u64::MAX, kernel_fuel: u64::MAX, class: DeviceClass::Base }, Stop::default());
        let buffers = case.words.map(|words| gpu.create_buffer(words as u64 * 4, BufferUsage::STORAGE).unwrap());
        for (buffer, words) in buffers.iter().zip(case.words).take(2) {
            let data: Vec<u8> = (0..words).flat_map(|index| word(index, case.integers).to_le_bytes()).collect();
            gpu.write(buffer, 0, Source::Slice(&data)).unwrap();
        }
        let kernel = isobit_shader::prepare(case.wgsl, profile).unwrap();
        let pipeline = gpu.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        let layout = gpu.bind_group_layout_of(&pipeline, 0).unwrap();
        let bound = (0..).zip(buffers.clone());
        let entries: Vec<GroupEntry> =
            bound.map(|(binding, buffer)| GroupEntry { binding, buffer, offset: 0, size: None }).collect();
        let group = gpu.create_bind_group(&layout, &entries).unwrap();
        let mut encoder = gpu.create_command_encoder();
        encoder.begin_pass();
        encoder.set_pipeline(&pipeline);
        encoder.set_bind_group(0, &group, &[]);
        encoder.dispatch(case.workgroups);
        encoder.end_pass();
        let [_, _, output] = buffers;
        Self { commands: encoder.finish().unwrap(), gpu, output, bytes: case.words[2] as u64 * 4 }
    }

    fn once(&mut self) -> Duration {
        time(|| {
            self.gpu.submit(&self.commands).unwrap();
            self.gpu.wait().unwrap();
        })
    }

    fn result(&mut self) -> Vec<u8> {
        self.once();
        self.gpu.settle().unwrap();
        self.gpu.read(&self.output, 0, self.bytes).unwrap().to_vec()
    }
}

/// Integers of any value, or numbers from -1 to 1.
fn word(index: usize, integers: bool) -> u32 {
    let mixed = u32::try_from(index).unwrap().wrapping_add(1).wrapping_mul(0x9e37_79b9);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b);
    if integers { mixed } else { (mixed.cast_signed() as f32 / 2_147_483_648.0).to_bits() }
}

/// A kernel of 500 lines that uses most of what there is.
fn long_kernel() -> String {
    let mut text = String::from("@group(0) @binding(0) var<storage, read_write> data: array<vec4f>;\n");
    for index in 0..30 {
        text += &format!(
            "fn step_{index}(p: vec4f, n: u32) -> vec4f {{
    var x = p;
    var sum = 0.0;
    for (var i = 0u; i < n; i++) {{
        let turned = mat2x2f(x.xy, x.zw) * vec2f(cos(x.x), sin(x.y));
        x = vec4f(turned, x.zw / (1.0 + x.w * x.w));
        sum += dot(x, p) + sqrt(abs(x.z));
        if sum > 1e6 {{
            break;
        }}
    }}
    let near = clamp(x, vec4f(-1.0), vec4f(1.0));
    x = mix(x, near, 0.25) + vec4f(data[n % 16u].xyz, exp(-sum));
    return normalize(x);
}}

"
        );
    }
    text +=
        "@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) id: vec3u) {\n    var x = data[id.x];\n";
    for index in 0..30 {
        text += &format!("    x = step_{index}(x, id.x);\n");
    }
    text + "    data[id.x] = x;\n}\n"
}

fn lowering(criterion: &mut Criterion) {
    let text = long_kernel();
    assert!((480..=540).contains(&text.lines().count()), "{}", text.lines().count());
    let lower = |tier| {
        let kernel = isobit_shader::prepare(&text, Profile::Dp32).unwrap();
        let lowered = kernel.resolve(None, &[]).and_then(|kernel| kernel.lower()).unwrap();
        lowered.realize(tier).unwrap()
    };
    let contenders: Vec<Contender<'_>> = vec![
        ("native", Box::new(|| time(|| isobit_shader::prepare(&text, Profile::Native).unwrap()))),
        ("tier-a", Box::new(|| time(|| lower(Tier::A)))),
        ("tier-b", Box::new(|| time(|| lower(Tier::B)))),
    ];
    support::compare(criterion, "lowering", 20, contenders);
}

fn probe(criterion: &mut Criterion) {
    let folder = support::folder();
    let info = open(&support::selector(), Tier::A).info().clone();
    let contenders: Vec<Contender<'_>> = vec![
        (
            "cold",
            Box::new(|| {
                let adapter = Adapter::select(&support::selector()).unwrap();
                time(|| {
                    let verdict = isobit_device::probe::probe(&adapter, &mut |_| ()).unwrap();
                    isobit_device::probe::record(folder.path(), &info, &verdict).unwrap();
                })
            }),
        ),
        ("cached", Box::new(|| time(|| isobit_device::probe::recall(folder.path(), &info).unwrap()))),
    ];
    support::compare(criterion, "probe", 2, contenders);
}

criterion_group!(benches, lowering, kernels, probe);
criterion_main!(benches);
