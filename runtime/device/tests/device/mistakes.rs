//! What a guest can get wrong: each has its own answer, and the device works on.

use isobit_device::{
    BindGroup, Buffer, BufferBindingType, BufferUsage, CommandEncoder, ComputePipeline, DeviceError, Gpu, GroupEntry,
    LayoutEntry, Source,
};

use crate::{MIB, SCALE, dispatch, dispatch_all, exceeded, invalid, kernel, on_every_device, storage, submit, whole};

fn slot(binding: u32, ty: BufferBindingType) -> LayoutEntry {
    LayoutEntry { binding, ty, has_dynamic_offset: false, min_binding_size: 0 }
}

fn pipeline(device: &mut Gpu, wgsl: &str) -> Result<ComputePipeline, DeviceError> {
    device.create_compute_pipeline(&kernel(wgsl), None, None, &[])
}

/// A group for `SCALE` over two fresh buffers.
fn ready(device: &mut Gpu) -> (ComputePipeline, BindGroup) {
    let pipeline = pipeline(device, SCALE).unwrap();
    let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
    let (a, b) = (storage(device, &[1]), storage(device, &[1]));
    let group = device.create_bind_group(&layout, &[whole(0, &a), whole(1, &b)]).unwrap();
    (pipeline, group)
}

#[test]
fn a_buffer_of_a_wrong_size_is_refused() {
    on_every_device(|device| {
        for size in [0, 1, 3, 5, 4097] {
            invalid(device.create_buffer(size, BufferUsage::STORAGE));
        }
        let most = device.limits().max_buffer_size;
        let answer = exceeded(device.create_buffer(most + 4, BufferUsage::STORAGE));
        assert_eq!(answer, ("max-buffer-size", most, most + 4));
        exceeded(device.create_buffer(u64::MAX - 3, BufferUsage::STORAGE));
        assert_eq!(device.memory().in_use, 0);
    });
}

#[test]
fn transfers_keep_to_words_and_bounds() {
    on_every_device(|device| {
        let buffer = storage(device, &[1, 2, 3]);
        for (offset, length) in [(2, 4), (0, 3), (12, 4), (8, 8), (u64::MAX - 3, 4)] {
            let bytes = vec![0; length];
            invalid(device.write(&buffer, offset, Source::Slice(&bytes)));
        }
        for (offset, length) in [(2, 4), (12, 1), (0, 13), (4, u64::MAX), (u64::MAX - 3, 8)] {
            invalid(device.read(&buffer, offset, length));
        }
        for (offset, size) in [(2, 4), (0, 2), (12, 4), (4, u64::MAX - 3)] {
            invalid(submit(device, |encoder| encoder.clear_buffer(&buffer, offset, size)));
        }
        let other = storage(device, &[0, 0]);
        let same = submit(device, |encoder| encoder.copy_buffer(&buffer, 0, &buffer, 8, 4));
        assert!(invalid(same).contains("same buffer"));
        for (from, to, size) in [(0, 0, 12), (2, 0, 4), (0, 2, 4), (0, 0, 3), (8, 0, 8), (0, 8, 4)] {
            invalid(submit(device, |encoder| encoder.copy_buffer(&buffer, from, &other, to, size)));
        }
        assert_eq!(crate::contents(device, &buffer, 12), [1, 2, 3]);
    });
}

#[test]
fn a_layout_keeps_to_the_fixed_limits() {
    on_every_device(|device| {
        use BufferBindingType::{ReadOnlyStorage, Storage, Uniform};
        let layout = |entries: &[LayoutEntry]| device.create_bind_group_layout(entries);
        assert!(invalid(layout(&[slot(1, Storage), slot(1, Uniform)])).contains("twice"));
        let answer = exceeded(layout(&[slot(1000, Storage)]));
        assert_eq!(answer, ("max-bindings-per-bind-group", 1000, 1001));
        exceeded(layout(&[slot(u32::MAX, Storage)]));
        let nine: Vec<_> = (0..9).map(|n| slot(n, ReadOnlyStorage)).collect();
        let answer = exceeded(layout(&nine));
        assert_eq!(answer, ("max-storage-buffers-per-shader-stage", 8, 9));
        let thirteen: Vec<_> = (0..13).map(|n| slot(n, Uniform)).collect();
        let answer = exceeded(layout(&thirteen));
        assert_eq!(answer, ("max-uniform-buffers-per-shader-stage", 12, 13));
        let dynamic = |n, ty| LayoutEntry { has_dynamic_offset: true, ..slot(n, ty) };
        let five: Vec<_> = (0..5).map(|n| dynamic(n, Storage)).collect();
        assert_eq!(exceeded(layout(&five)).1, 4);
        let nine: Vec<_> = (0..9).map(|n| dynamic(n, Uniform)).collect();
        assert_eq!(exceeded(layout(&nine)).1, 8);
        let most: Vec<_> = (0..8).map(|n| slot(n, Storage)).chain((8..20).map(|n| slot(n, Uniform))).collect();
        layout(&most).unwrap();
    });
}

#[test]
fn a_bind_group_matches_its_layout_one_to_one() {
    on_every_device(|device| {
        use BufferBindingType::{Storage, Uniform};
        let sized = LayoutEntry { min_binding_size: 64, ..slot(5, Storage) };
        let layout = device.create_bind_group_layout(&[slot(0, Uniform), sized]).unwrap();
        let uniform = device.create_buffer(128 << 10, BufferUsage::UNIFORM).unwrap();
        let big = device.create_buffer(256 * MIB, BufferUsage::STORAGE).unwrap();
        let at = |binding, buffer: &Buffer, offset, size| GroupEntry { binding, buffer: buffer.clone(), offset, size };
        let good_uniform = at(0, &uniform, 0, Some(256));
        let good_storage = at(5, &big, 256, Some(64));
        let mut group = |entries: &[GroupEntry]| device.create_bind_group(&layout, entries);
        group(&[good_storage.clone(), good_uniform.clone()]).unwrap();
        assert!(invalid(group(std::slice::from_ref(&good_uniform))).contains("not bound"));
        assert!(invalid(group(&[good_uniform.clone(), good_storage.clone(), good_storage.clone()])).contains("twice"));
        assert!(
            invalid(group(&[good_uniform.clone(), good_storage.clone(), whole(7, &big)])).contains("not in the layout")
        );
        for wrong in [
            at(5, &uniform, 0, Some(64)),
            at(5, &big, 4, Some(64)),
            at(5, &big, 0, Some(60)),
            at(5, &big, 0, Some(66)),
            at(5, &big, 0, Some(0)),
            at(5, &big, 256 * MIB, None),
            at(5, &big, 256 * MIB - 256, Some(512)),
            at(5, &big, u64::MAX - 255, Some(512)),
            at(5, &big, u64::MAX - 255, None),
        ] {
            invalid(group(&[good_uniform.clone(), wrong]));
        }
        let answer = exceeded(group(&[good_uniform, whole(5, &big)]));
        assert_eq!(answer, ("max-storage-buffer-binding-size", 128 * MIB, 256 * MIB));
        let answer = exceeded(group(&[whole(0, &uniform), good_storage]));
        assert_eq!(answer, ("max-uniform-buffer-binding-size", 64 << 10, 128 << 10));
    });
}

#[test]
fn a_pipeline_keeps_to_the_fixed_limits() {
    on_every_device(|device| {
        let mut limit = |wgsl: &str| exceeded(pipeline(device, wgsl)).0;
        let sized = |size: &str| format!("@compute @workgroup_size({size}) fn main() {{}}");
        assert_eq!(limit(&sized("257")), "max-compute-workgroup-size-x");
        assert_eq!(limit(&sized("1, 257")), "max-compute-workgroup-size-y");
        assert_eq!(limit(&sized("1, 1, 65")), "max-compute-workgroup-size-z");
        assert_eq!(limit(&sized("32, 32")), "max-compute-invocations-per-workgroup");
        let memory = "var<workgroup> a: array<u32, 4097>;
            @compute @workgroup_size(1) fn main() { a[0] = 1; }";
        assert_eq!(limit(memory), "max-compute-workgroup-storage-size");
        let mut nine = String::new();
        for n in 0..9 {
            nine += &format!("@group(0) @binding({n}) var<storage, read_write> b{n}: array<u32>;");
        }
        nine += "@compute @workgroup_size(1) fn main() {";
        for n in 0..9 {
            nine += &format!("b{n}[0] = 1;");
        }
        assert_eq!(limit(&(nine + "}")), "max-storage-buffers-per-shader-stage");
        let kernel = kernel(SCALE);
        let empty = device.create_bind_group_layout(&[]).unwrap();
        let four = vec![empty; 4];
        let answer = exceeded(device.create_compute_pipeline(&kernel, None, Some(&four), &[]));
        assert_eq!(answer, ("max-bind-groups", 3, 4));
    });
}

#[test]
fn a_pipeline_matches_its_layout_and_its_overrides() {
    on_every_device(|device| {
        use BufferBindingType::{ReadOnlyStorage, Storage};
        let kernel = kernel(SCALE);
        assert!(invalid(device.create_compute_pipeline(&kernel, Some("main"), None, &[])).contains("scale"));
        let unknown = [("speed".to_owned(), 1.0)];
        assert!(invalid(device.create_compute_pipeline(&kernel, None, None, &unknown)).contains("speed"));
        let too_wide = [("width".to_owned(), 300.0)];
        exceeded(device.create_compute_pipeline(&kernel, None, None, &too_wide));
        let infinite = [("factor".to_owned(), f64::INFINITY)];
        invalid(device.create_compute_pipeline(&kernel, None, None, &infinite));
        let small = LayoutEntry { min_binding_size: 2, ..slot(1, Storage) };
        for (entries, said) in [
            (vec![slot(0, ReadOnlyStorage)], "not in the layout"),
            (vec![slot(0, Storage), slot(1, Storage)], "read-only-storage in the shader"),
            (vec![slot(0, ReadOnlyStorage), small], "min-binding-size"),
        ] {
            let layout = device.create_bind_group_layout(&entries).unwrap();
            let answer = invalid(device.create_compute_pipeline(&kernel, None, Some(&[layout]), &[]));
            assert!(answer.contains(said), "{answer}");
        }
        invalid(device.create_compute_pipeline(&kernel, None, Some(&[]), &[]));
        let pipeline = device.create_compute_pipeline(&kernel, None, None, &[]).unwrap();
        exceeded(device.bind_group_layout_of(&pipeline, 3));
        let unused = device.bind_group_layout_of(&pipeline, 2).unwrap();
        device.create_bind_group(&unused, &[]).unwrap();
    });
}

#[test]
fn commands_come_in_passes_and_name_what_is_wrong() {
    on_every_device(|device| {
        let (pipeline, group) = ready(device);
        let mut answer = |commands: &dyn Fn(&mut CommandEncoder)| invalid(submit(device, commands));
        let in_pass = |encoder: &mut CommandEncoder, commands: &dyn Fn(&mut CommandEncoder)| {
            encoder.begin_pass();
            commands(encoder);
            encoder.end_pass();
        };
        assert!(answer(&|encoder| encoder.dispatch([1; 3])).contains("none is open"));
        assert!(answer(&CommandEncoder::end_pass).contains("none is open"));
        assert!(answer(&CommandEncoder::begin_pass).contains("not ended"));
        let twice = |encoder: &mut CommandEncoder| {
            encoder.begin_pass();
            encoder.begin_pass();
        };
        assert!(answer(&twice).contains("command 1: a compute pass is still open"));
        let without_pipeline = |encoder: &mut CommandEncoder| {
            encoder.set_bind_group(0, &group, &[]);
            encoder.dispatch([1; 3]);
        };
        assert!(answer(&|encoder| in_pass(encoder, &without_pipeline)).contains("no pipeline"));
        let without_group = |encoder: &mut CommandEncoder| {
            encoder.set_pipeline(&pipeline);
            encoder.dispatch([1; 3]);
        };
        assert!(answer(&|encoder| in_pass(encoder, &without_group)).contains("needs bind group 0"));
        let dynamic = |encoder: &mut CommandEncoder| encoder.set_bind_group(0, &group, &[256]);
        assert!(answer(&|encoder| in_pass(encoder, &dynamic)).contains("dynamic offsets"));
        // State ends with its pass.
        let two = |encoder: &mut CommandEncoder| {
            in_pass(encoder, &|encoder| {
                encoder.set_pipeline(&pipeline);
                encoder.set_bind_group(0, &group, &[]);
                encoder.dispatch([1; 3]);
            });
            in_pass(encoder, &without_group);
        };
        assert!(answer(&two).contains("command 7"));
        for index in [3, u32::MAX] {
            exceeded(submit(device, |encoder| {
                in_pass(encoder, &|encoder| encoder.set_bind_group(index, &group, &[]));
            }));
        }
        exceeded(submit(device, |encoder| in_pass(encoder, &|encoder| encoder.set_bind_group(0, &group, &[0; 21]))));
    });
}

#[test]
fn a_dispatch_that_is_too_large_is_refused() {
    on_every_device(|device| {
        let (pipeline, group) = ready(device);
        let most = u64::from(device.limits().max_compute_workgroups_per_dimension);
        for workgroups in [[65_536, 1, 1], [1, 65_536, 1], [1, 1, u32::MAX]] {
            let (limit, maximum, requested) = exceeded(dispatch_all(device, &pipeline, &group, workgroups));
            assert_eq!((limit, maximum), ("max-compute-workgroups-per-dimension", most));
            assert_eq!(requested, u64::from(*workgroups.iter().max().unwrap()));
        }
    });
}

#[test]
fn a_dispatch_needs_groups_that_fit_its_pipeline() {
    on_every_device(|device| {
        use BufferBindingType::{ReadOnlyStorage, Storage};
        let (pipeline, _) = ready(device);
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let other = device.create_bind_group_layout(&[slot(0, ReadOnlyStorage), slot(1, Storage)]).unwrap();
        let (a, b) = (storage(device, &[1; 128]), storage(device, &[1; 128]));
        let entries = [whole(0, &a), whole(1, &b)];
        let foreign = device.create_bind_group(&other, &entries).unwrap();
        let answer = invalid(dispatch(device, &pipeline, &foreign, 1));
        assert!(answer.contains("another layout"), "{answer}");
        // Bound twice: once to be read, once to be written.
        let twice = device.create_bind_group(&layout, &[whole(0, &a), whole(1, &a)]).unwrap();
        let answer = invalid(dispatch(device, &pipeline, &twice, 1));
        assert!(answer.contains("read-only-storage and as storage"), "{answer}");
        let halves = "@group(0) @binding(0) var<storage, read_write> a: array<u32, 64>;
            @group(0) @binding(1) var<storage, read_write> b: array<u32, 64>;
            @compute @workgroup_size(1) fn main() { a[0] = 1; b[0] = 2; }";
        let pipeline = self::pipeline(device, halves).unwrap();
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let half = |binding, offset| GroupEntry { binding, buffer: a.clone(), offset, size: Some(256) };
        let overlap = device.create_bind_group(&layout, &[half(0, 0), half(1, 0)]).unwrap();
        let answer = invalid(dispatch(device, &pipeline, &overlap, 1));
        assert!(answer.contains("overlapping"), "{answer}");
        let apart = device.create_bind_group(&layout, &[half(0, 0), half(1, 256)]).unwrap();
        dispatch(device, &pipeline, &apart, 1).unwrap();
        let written = crate::contents(device, &a, 512);
        assert_eq!((written[0], written[64]), (1, 2));
    });
}

#[test]
fn a_size_that_the_layout_leaves_open_is_checked_at_the_dispatch() {
    on_every_device(|device| {
        let wgsl = "@group(0) @binding(0) var<storage, read_write> a: array<u32, 64>;
            @compute @workgroup_size(1) fn main() { a[0] = 1; }";
        let open = slot(0, BufferBindingType::Storage);
        let layout = device.create_bind_group_layout(&[open]).unwrap();
        let kernel = kernel(wgsl);
        let pipeline = device.create_compute_pipeline(&kernel, None, Some(std::slice::from_ref(&layout)), &[]).unwrap();
        let small = storage(device, &[0; 63]);
        let group = device.create_bind_group(&layout, &[whole(0, &small)]).unwrap();
        let answer = invalid(dispatch(device, &pipeline, &group, 1));
        assert!(answer.contains("252 bytes bound, but the shader needs 256"), "{answer}");
    });
}

#[test]
fn a_dynamic_offset_keeps_to_alignment_and_bounds() {
    on_every_device(|device| {
        let entry = LayoutEntry { has_dynamic_offset: true, ..slot(0, BufferBindingType::Storage) };
        let layout = device.create_bind_group_layout(&[entry]).unwrap();
        let buffer = device.create_buffer(1024, BufferUsage::STORAGE).unwrap();
        let bound = GroupEntry { binding: 0, buffer, offset: 256, size: Some(256) };
        let group = device.create_bind_group(&layout, &[bound]).unwrap();
        let mut set = |offset| {
            submit(device, |encoder| {
                encoder.begin_pass();
                encoder.set_bind_group(0, &group, &[offset]);
                encoder.end_pass();
            })
        };
        for offset in [4, 768, 0xffff_ff00] {
            invalid(set(offset));
        }
        set(512).unwrap();
    });
}

#[test]
fn nothing_runs_when_one_command_is_wrong() {
    on_every_device(|device| {
        let buffer = storage(device, &[1]);
        let result = submit(device, |encoder| {
            encoder.clear_buffer(&buffer, 0, 4);
            encoder.end_pass();
        });
        invalid(result);
        assert_eq!(crate::contents(device, &buffer, 4), [1]);
    });
}
