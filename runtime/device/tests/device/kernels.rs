//! Kernels: what they bind, how they are dispatched, and that they compute.

use isobit_device::{Buffer, BufferBindingType, BufferUsage, GroupEntry, LayoutEntry, Source};

use crate::{
    SCALE, contents, dispatch, kernel, on_every_device, prepared, storage, submit, under_every_profile, whole, words,
};

#[test]
fn a_kernel_computes_with_its_own_layout() {
    under_every_profile(|device, profile| {
        let input: Vec<u32> = (0..1000).collect();
        let source = storage(device, &input);
        let result = device.create_buffer(4000, BufferUsage::STORAGE).unwrap();
        let kernel = prepared(SCALE, profile);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        assert_eq!(pipeline.workgroup_size(), [64, 1, 1]);
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(1, &result), whole(0, &source)]).unwrap();
        dispatch(device, &pipeline, &group, 16).unwrap();
        let expected: Vec<u32> = input.iter().map(|value| 3 * value).collect();
        assert_eq!(contents(device, &result, 4000), expected);
    });
}

#[test]
fn overrides_change_what_is_computed_and_by_how_many() {
    under_every_profile(|device, profile| {
        let source = storage(device, &[1, 2, 3, 4]);
        let result = device.create_buffer(16, BufferUsage::STORAGE).unwrap();
        let kernel = prepared(SCALE, profile);
        let constants = [("factor".to_owned(), 100.0), ("width".to_owned(), 2.0)];
        let pipeline = device.create_compute_pipeline(&kernel, Some("scale"), None, &constants).unwrap();
        assert_eq!(pipeline.workgroup_size(), [2, 1, 1]);
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(0, &source), whole(1, &result)]).unwrap();
        dispatch(device, &pipeline, &group, 1).unwrap();
        assert_eq!(contents(device, &result, 16), [100, 200, 0, 0]);
    });
}

#[test]
fn dynamic_offsets_move_what_is_bound() {
    under_every_profile(|device, profile| {
        let mut table = vec![0_u32; 64 * 3];
        (table[0], table[64], table[128]) = (5, 6, 7);
        let params = device.create_buffer(768, BufferUsage::UNIFORM).unwrap();
        device.write(&params, 0, Source::Slice(&words(&table))).unwrap();
        let result = device.create_buffer(768, BufferUsage::STORAGE).unwrap();
        let wgsl = "@group(1) @binding(4) var<uniform> param: vec4u;
            @group(1) @binding(2) var<storage, read_write> result: array<u32>;
            @compute @workgroup_size(1) fn main() { result[0] = param.x; }";
        let kernel = prepared(wgsl, profile);
        let entry = |binding, ty| LayoutEntry { binding, ty, has_dynamic_offset: true, min_binding_size: 0 };
        let empty = device.create_bind_group_layout(&[]).unwrap();
        let layout = device
            .create_bind_group_layout(&[entry(4, BufferBindingType::Uniform), entry(2, BufferBindingType::Storage)])
            .unwrap();
        let pipeline = device.create_compute_pipeline(&kernel, None, Some(&[empty, layout.clone()]), &[]).unwrap();
        let part =
            |binding, buffer: &Buffer| GroupEntry { binding, buffer: buffer.clone(), offset: 0, size: Some(256) };
        let group = device.create_bind_group(&layout, &[part(4, &params), part(2, &result)]).unwrap();
        let submitted = submit(device, |encoder| {
            encoder.begin_pass();
            encoder.set_pipeline(&pipeline);
            // In the order of bindings: 2 (the result), then 4 (the parameter).
            for dynamic_offsets in [[0, 512], [256, 256], [512, 0]] {
                encoder.set_bind_group(1, &group, &dynamic_offsets);
                encoder.dispatch([1, 1, 1]);
            }
            encoder.end_pass();
        });
        submitted.unwrap();
        let result = contents(device, &result, 768);
        assert_eq!((result[0], result[64], result[128]), (7, 6, 5));
    });
}

#[test]
fn dispatches_see_what_earlier_ones_wrote() {
    under_every_profile(|device, profile| {
        let wgsl = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
            @compute @workgroup_size(64) fn step(@builtin(global_invocation_id) id: vec3u) {
                a[id.x] = a[id.x] * 3u + id.x; }";
        let buffer = storage(device, &vec![1; 4096]);
        let kernel = prepared(wgsl, profile);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(0, &buffer)]).unwrap();
        // More submissions than may be under way.
        for _ in 0..50 {
            dispatch(device, &pipeline, &group, 64).unwrap();
        }
        let expected: Vec<u32> =
            (0..4096_u32).map(|id| (0..50).fold(1_u32, |a, _| a.wrapping_mul(3).wrapping_add(id))).collect();
        assert_eq!(contents(device, &buffer, 16384), expected);
    });
}

#[test]
fn what_was_submitted_runs_though_its_resources_are_released() {
    under_every_profile(|device, profile| {
        let source = storage(device, &[1, 2]);
        let result = device.create_buffer(8, BufferUsage::STORAGE).unwrap();
        let kernel = prepared(SCALE, profile);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        drop(kernel);
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(0, &source), whole(1, &result)]).unwrap();
        drop(layout);
        drop(source);
        dispatch(device, &pipeline, &group, 1).unwrap();
        drop(group);
        drop(pipeline);
        assert_eq!(contents(device, &result, 8), [3, 6]);
    });
}

#[test]
fn eight_storage_buffers_in_three_groups_are_bound_at_once() {
    under_every_profile(|device, profile| {
        let mut wgsl = String::new();
        let mut sum = String::from("0");
        for at in 0..7 {
            let (group, binding) = (at % 3, at * 100);
            wgsl += &format!("@group({group}) @binding({binding}) var<storage> b{at}: array<u32>;");
            sum += &format!(" + b{at}[0]");
        }
        wgsl += "@group(2) @binding(999) var<storage, read_write> total: array<u32>;";
        wgsl += &format!("@compute @workgroup_size(1) fn main() {{ total[0] = {sum}; }}");
        let kernel = prepared(&wgsl, profile);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        let inputs: Vec<_> = (0..7).map(|at| storage(device, &[1 << at])).collect();
        let total = storage(device, &[0]);
        let mut groups = Vec::new();
        for index in 0..3_u32 {
            let layout = device.bind_group_layout_of(&pipeline, index).unwrap();
            let mut entries: Vec<_> =
                (0..7).filter(|at| at % 3 == index).map(|at| whole(at * 100, &inputs[at as usize])).collect();
            if index == 2 {
                entries.push(whole(999, &total));
            }
            groups.push(device.create_bind_group(&layout, &entries).unwrap());
        }
        let submitted = submit(device, |encoder| {
            encoder.begin_pass();
            encoder.set_pipeline(&pipeline);
            (0..).zip(&groups).for_each(|(index, group)| encoder.set_bind_group(index, group, &[]));
            encoder.dispatch([1, 1, 1]);
            encoder.end_pass();
        });
        submitted.unwrap();
        assert_eq!(contents(device, &total, 4), [127]);
    });
}

#[test]
fn the_most_workgroups_in_a_dimension_run() {
    under_every_profile(|device, profile| {
        let wgsl = "@group(0) @binding(0) var<storage, read_write> count: atomic<u32>;
            @compute @workgroup_size(1) fn main() { atomicAdd(&count, 1u); }";
        let kernel = prepared(wgsl, profile);
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        let count = storage(device, &[0]);
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(0, &count)]).unwrap();
        dispatch(device, &pipeline, &group, 65_535).unwrap();
        dispatch(device, &pipeline, &group, 0).unwrap();
        assert_eq!(contents(device, &count, 4), [65_535]);
    });
}

#[test]
fn deep_branches_compile_wherever_they_are_called_from() {
    let arms = "else if x == 3u { y = 4u; }".repeat(250);
    let wgsl = format!(
        "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
        @compute @workgroup_size(1) fn main() {{
            let x = a[0]; var y = 0u; if x == 1u {{ y = 2u; }} {arms} a[0] = y; }}"
    );
    on_every_device(|device| {
        // A stack as small as a coroutine's.
        let kernel = kernel(&wgsl);
        let compiled = std::thread::scope(|scope| {
            let small = std::thread::Builder::new().stack_size(256 << 10);
            let compile = || device.create_compute_pipeline(&kernel, None, None, &[]);
            small.spawn_scoped(scope, compile).unwrap().join().unwrap()
        });
        compiled.unwrap();
    });
}
