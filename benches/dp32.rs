//! What profile dp32 costs: the kernels in `benches/kernels` as they are written (profile native), and rewritten in
//! tier A and tier B, on one device; the same on the CPU device; and how long the rewriting takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::cell::RefCell;

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_device::{Adapter, Tier, open_cpu};
use isobit_job::Profile;
use support::kernels::{CASES, Run, open};
use support::{Contender, time};

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
