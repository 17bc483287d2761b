#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::pedantic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
use isobit_shader::Profile;
use isobit_shader::interpreter::*;
use std::sync::atomic::*;
use std::time::Instant;
const MM: &str = "
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
const n = 256u;
@compute @workgroup_size(16, 16) fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= n || id.y >= n { return; }
    var sum = 0.0;
    for (var k = 0u; k < n; k++) { sum += a[id.y * n + k] * b[k * n + id.x]; }
    c[id.y * n + id.x] = sum;
}";
fn cpu() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap()
        / 1e9
}
#[test]
fn speed() {
    let k = isobit_shader::prepare(MM, Profile::Native).unwrap();
    let e = k.entry_point(None).unwrap();
    let l = k.lower(e, &[]).unwrap();
    let raw = Program::compile(k.module(), k.info()).unwrap();
    let low = Program::compile(l.module(), l.info()).unwrap();
    if std::env::var("DUMP").is_ok() {
        println!("{low:#?}");
        println!("{}", l.emit(None).unwrap());
    }
    let f = |s: f32| (0..65536).map(|i| AtomicU32::new(((i % 17) as f32 * s).to_bits())).collect::<Vec<_>>();
    let (a, b, c) = (f(0.5), f(0.25), f(0.0));
    for (name, p) in [("raw", &raw), ("low", &low)] {
        let params: Vec<_> = [0u32, 0, 0, 0, 16, 16, 1, 1 << 28].iter().map(|x| AtomicU32::new(*x)).collect();
        let status: Vec<_> = (0..isobit_shader::dp32::STATUS_BYTES / 4).map(|_| AtomicU32::new(0)).collect();
        let mut bufs = Buffers::new();
        bufs.bind(0, 0, &a).bind(0, 1, &b).bind(0, 2, &c).bind(3, 0, &params).bind(3, 1, &status);
        let mut best = 1e9f64;
        for _ in 0..5 {
            let s = cpu();
            p.run(&bufs, [16, 16, 1], &AtomicBool::new(false)).unwrap();
            best = best.min(cpu() - s);
        }
        println!("{name}: {:.3} G madd/s", 256f64.powi(3) / best / 1e9);
    }
}
