//! Buffers, workgroup memory and atomics.

use super::*;

#[test]
fn neighbours_read_neighbours_or_the_same_or_anything() {
    let input: Vec<u32> = (0..300).map(|x| x * x + 1).collect();
    let at = |index: u32| input.get(index as usize).copied().unwrap_or(0);
    let index: [fn(u32) -> u32; 6] =
        [|i| i + 3, |i| i / 16 * 5, |i| 299 - i, |i| i + 290, |i| i ^ 1, |i| if i % 40 < 20 { i } else { 7 }];
    for (case, index) in index.into_iter().enumerate() {
        let wgsl = format!(
            "{HEAD}
            var<workgroup> copy: array<u32, 300>;
            @compute @workgroup_size(100) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) l: u32) {{
                let i = id.x;
                for (var k = l; k < 300u; k += 100u) {{ copy[k] = source[k]; }}
                workgroupBarrier();
                var at = array(i + 3u, i / 16u * 5u, 299u - i, i + 290u, i ^ 1u, select(7u, i, i % 40u < 20u));
                target_[i] = source[at[{case}]] + 3u * copy[at[{case}]];
            }}"
        );
        let expected: Vec<u32> = (0..300).map(|i| at(index(i)) * 4).collect();
        assert_eq!(run(&wgsl, &input, 300, [3, 1, 1]), expected, "{case}");
    }
}

#[test]
fn a_workgroup_reduces_through_its_memory() {
    for size in [2_u32, 8, 64, 256] {
        let wgsl = format!(
            "{HEAD}
            var<workgroup> sums: array<u32, {size}>;
            var<workgroup> flag: bool;
            @compute @workgroup_size({size}) fn main(@builtin(local_invocation_index) i: u32, @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u) {{
                let g = group.x + group.y * groups.x;
                sums[i] = source[g * {size}u + i] + sums[i];
                if i == 1u {{ flag = group.x == 1u; }}
                workgroupBarrier();
                for (var half = {size}u / 2u; half > 0u; half /= 2u) {{
                    if i < half {{ sums[i] += sums[i + half]; }}
                    workgroupBarrier();
                }}
                let total = workgroupUniformLoad(&sums[0]);
                if i == 0u {{ target_[g] = total + select(0u, 1u, flag); }}
            }}"
        );
        let input: Vec<u32> = (0..6 * size).map(|x| x * x).collect();
        let expected: Vec<u32> = (0..6_u32)
            .map(|g| input[(g * size) as usize..][..size as usize].iter().sum::<u32>() + u32::from(g % 3 == 1))
            .collect();
        assert_eq!(run(&wgsl, &input, 6, [3, 2, 1]), expected, "{size}");
    }
}

#[test]
fn atomics_of_all_workgroups_meet() {
    let wgsl = "
        struct Counters { sum: atomic<u32>, low: atomic<i32>, high: atomic<u32>, bits: atomic<u32>, rest: atomic<u32>, flip: atomic<u32>, lowest: atomic<u32>, highest: atomic<i32> }
        @group(0) @binding(0) var<storage, read_write> seen: array<atomic<u32>>;
        @group(0) @binding(1) var<storage, read_write> c: Counters;
        var<workgroup> here: atomic<u32>;
        @compute @workgroup_size(10) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) i: u32) {
            let old = atomicAdd(&c.sum, id.x);
            atomicMin(&c.low, -i32(id.x)); atomicMax(&c.high, id.x * 3u); atomicOr(&c.bits, 1u << (id.x % 32u));
            atomicAnd(&c.rest, ~(1u << (id.x % 16u))); atomicXor(&c.flip, id.x); atomicMin(&c.lowest, id.x + 4u); atomicMax(&c.highest, 3 - i32(id.x));
            let ticket = atomicAdd(&here, 1u);
            workgroupBarrier();
            if ticket == 3u { atomicStore(&seen[id.x / 10u], atomicLoad(&here) + 100u); }
            atomicSub(&seen[50u], 1u);
            let swapped = atomicCompareExchangeWeak(&seen[51u], 7u, 8u);
            if swapped.exchanged { atomicAdd(&seen[52u], swapped.old_value); }
            if id.x == 11u { atomicAdd(&seen[53u], atomicExchange(&seen[54u], 5u)); }
        }";
    let program = compile(wgsl).unwrap();
    let mut seen = vec![0; 55];
    seen[51] = 7;
    seen[54] = 40;
    let (seen, counters) = (words(&seen), words(&[0, 0, 0, 0, u32::MAX, 0, u32::MAX, i32::MIN as u32]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &seen).bind(0, 1, &counters);
    program.run(&buffers, [50, 1, 1], &AtomicBool::new(false)).unwrap();
    let flip = (0..500).fold(0, |all, x| all ^ x);
    let sum = 499 * 500 / 2;
    assert_eq!(values(&counters), [sum, -499_i32 as u32, 1497, u32::MAX, 0xffff_0000, flip, 4, 3]);
    let mut expected = vec![110; 50];
    expected.extend([(-500_i32) as u32, 8, 7, 40, 5]);
    assert_eq!(values(&seen), expected);
}

#[test]
fn atomic_subtraction_and_old_values() {
    let wgsl = "@group(0) @binding(0) var<storage, read> source: array<u32>;
        @group(0) @binding(1) var<storage, read_write> target_: array<u32>;
        var<workgroup> w: array<atomic<i32>, 2>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
            let old = atomicSub(&w[i % 2u], i32(source[i]));
            workgroupBarrier();
            target_[i] = u32(old) * 100u + u32(-atomicLoad(&w[i % 2u]));
        }";
    let minus = |x: i32| (x * 100) as u32;
    assert_eq!(run(wgsl, &[1, 2, 3, 4], 4, [1, 1, 1]), [4, 6, minus(-1).wrapping_add(4), minus(-2).wrapping_add(6)]);
}

#[test]
fn invocations_know_where_they_are() {
    let wgsl = "
        struct At { @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32 }
        @group(0) @binding(1) var<storage, read_write> target_: array<u32>;
        @compute @workgroup_size(3, 2, 2) fn main(at: At, @builtin(local_invocation_id) local: vec3u, @builtin(global_invocation_id) global: vec3u, @builtin(num_workgroups) groups: vec3u) {
            let group = at.group.x + groups.x * (at.group.y + groups.y * at.group.z);
            var ok = all(global == at.group * vec3u(3u, 2u, 2u) + local) && at.index == local.x + 3u * (local.y + 2u * local.z);
            target_[group * 12u + at.index] = select(0u, 1000u + global.x + 10u * global.y + 100u * global.z, ok);
        }";
    let results = run(wgsl, &[], 2 * 3 * 4 * 12, [2, 3, 4]);
    for (at, result) in (0..).zip(results) {
        let (group, index) = (at / 12, at % 12);
        let x = group % 2 * 3 + index % 3;
        let y = group / 2 % 3 * 2 + index / 3 % 2;
        let z = group / 6 * 2 + index / 6;
        assert_eq!(result, 1000 + x + 10 * y + 100 * z, "{at}");
    }
}

#[test]
fn uniform_buffers_and_lengths() {
    let wgsl = "
        struct Shape { scale: vec3u, offset: u32, table: array<vec4u, 2> }
        struct Out { head: vec2u, rest: array<vec2u> }
        @group(1) @binding(3) var<uniform> shape: Shape;
        @group(0) @binding(1) var<storage, read_write> o: Out;
        @compute @workgroup_size(16) fn main(@builtin(local_invocation_index) i: u32) {
            let n = arrayLength(&o.rest);
            if i < n { o.rest[i] = shape.scale.yz * i + shape.table[i % 2u].xw; }
            o.head = vec2u(n, shape.offset);
        }";
    let program = compile(wgsl).unwrap();
    let (shape, out) = (words(&[1, 2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 23]), words(&[0; 9]));
    let mut buffers = Buffers::new();
    buffers.bind(1, 3, &shape).bind(0, 1, &out);
    program.run(&buffers, [1, 1, 1], &AtomicBool::new(false)).unwrap();
    assert_eq!(values(&out), [3, 4, 10, 13, 22, 26, 14, 19, 0]);
}

#[test]
fn a_workgroup_runs_alone_and_logs_its_writes() {
    let wgsl = format!(
        "{HEAD}
        @group(0) @binding(2) var<storage, read_write> sum: array<atomic<u32>, 2>;
        @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {{
            target_[id.x] = 1u;
            target_[id.x] = target_[id.x] + source[id.x];
            atomicAdd(&sum[0], id.x);
            // A store, which does not depend on what was there.
            if id.x == 9u {{ atomicStore(&sum[1], 7u); }}
        }}"
    );
    let program = compile(&wgsl).unwrap();
    let (source, target, sum) = (words(&[5; 16]), words(&[0; 16]), words(&[100, 0]));
    let mut buffers = Buffers::new();
    buffers.bind(0, 0, &source).bind(0, 1, &target).bind(0, 2, &sum);
    let writes = program.run_workgroup(&buffers, [2, 0, 0], [4, 1, 1], &AtomicBool::new(false)).unwrap();
    let seen: Vec<_> = writes.iter().map(|w| (w.group, w.binding, w.word, w.value, w.atomic)).collect();
    let sum = 100 + 8 + 9 + 10 + 11;
    assert_eq!(
        seen,
        [
            (0, 1, 8, 6, false),
            (0, 1, 9, 6, false),
            (0, 1, 10, 6, false),
            (0, 1, 11, 6, false),
            (0, 2, 0, sum, true),
            (0, 2, 1, 7, false)
        ]
    );
}
