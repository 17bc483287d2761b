//! What a guest can get wrong: each has its own answer, and the device works on.

use isobit_device::{
    BindGroupId, BufferBindingType, BufferUsage, Command, ComputePipelineId, Device, DeviceError, GroupEntry, LIMITS,
    LayoutEntry, ResourceId, Source,
};

use crate::{MIB, SCALE, exceeded, invalid, kernel, on_every_device, one_dispatch, storage, whole};

fn slot(binding: u32, ty: BufferBindingType) -> LayoutEntry {
    LayoutEntry { binding, ty, has_dynamic_offset: false, min_binding_size: 0 }
}

fn pipeline(device: &mut dyn Device, wgsl: &str) -> Result<ComputePipelineId, DeviceError> {
    let module = device.create_shader_module(&kernel(wgsl))?;
    device.create_compute_pipeline(module, None, None, &[])
}

/// A group for `SCALE` over two fresh buffers.
fn ready(device: &mut dyn Device) -> (ComputePipelineId, BindGroupId) {
    let pipeline = pipeline(device, SCALE).unwrap();
    let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
    let (a, b) = (storage(device, &[1]), storage(device, &[1]));
    let group = device.create_bind_group(layout, &[whole(0, a), whole(1, b)]).unwrap();
    (pipeline, group)
}

#[test]
fn a_buffer_of_a_wrong_size_is_refused() {
    on_every_device(|device| {
        for size in [0, 1, 3, 5, 4097] {
            invalid(device.create_buffer(size, BufferUsage::STORAGE));
        }
        let most = LIMITS.max_buffer_size;
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
            invalid(device.write(buffer, offset, Source::Slice(&bytes)));
        }
        for (offset, length) in [(2, 4), (12, 1), (0, 13), (4, u64::MAX), (u64::MAX - 3, 8)] {
            invalid(device.read(buffer, offset, length));
        }
        for (offset, size) in [(2, 4), (0, 2), (12, 4), (4, u64::MAX - 3)] {
            invalid(device.submit(&[Command::ClearBuffer { buffer, offset, size }]));
        }
        let other = storage(device, &[0, 0]);
        let copy = |source, source_offset, destination, destination_offset, size| {
            [Command::CopyBuffer { source, source_offset, destination, destination_offset, size }]
        };
        assert!(invalid(device.submit(&copy(buffer, 0, buffer, 8, 4))).contains("same buffer"));
        for (from, to, size) in [(0, 0, 12), (2, 0, 4), (0, 2, 4), (0, 0, 3), (8, 0, 8), (0, 8, 4)] {
            invalid(device.submit(&copy(buffer, from, other, to, size)));
        }
        assert_eq!(crate::contents(device, buffer, 12), [1, 2, 3]);
    });
}

#[test]
fn a_stale_id_is_an_answer_everywhere() {
    on_every_device(|device| {
        let (pipeline, group) = ready(device);
        let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
        let module = device.create_shader_module(&kernel(SCALE)).unwrap();
        let (buffer, live) = (storage(device, &[1]), storage(device, &[1]));
        let stale: [ResourceId; 5] = [pipeline.into(), group.into(), layout.into(), module.into(), buffer.into()];
        for id in stale {
            device.release(id);
            device.release(id);
        }
        // Their slots are taken again, by others.
        let (_, live_group) = ready(device);
        storage(device, &[7]);
        invalid(device.read(buffer, 0, 4));
        invalid(device.write(buffer, 0, Source::Slice(&[0; 4])));
        invalid(device.create_bind_group(layout, &[]));
        let fresh = device.create_bind_group_layout(&[slot(0, BufferBindingType::Storage)]).unwrap();
        assert!(invalid(device.create_bind_group(fresh, &[whole(0, buffer)])).contains("buffer"));
        invalid(device.create_compute_pipeline(module, None, None, &[]));
        let live_module = device.create_shader_module(&kernel(SCALE)).unwrap();
        invalid(device.create_compute_pipeline(live_module, None, Some(&[layout]), &[]));
        invalid(device.bind_group_layout_of(pipeline, 0));
        assert_eq!(device.workgroup_size(pipeline), None);
        invalid(device.submit(&one_dispatch(pipeline, live_group, 1)));
        invalid(device.submit(&[Command::ClearBuffer { buffer, offset: 0, size: 4 }]));
        for (source, destination) in [(buffer, live), (live, buffer)] {
            let (source_offset, destination_offset, size) = (0, 0, 4);
            invalid(device.submit(&[Command::CopyBuffer {
                source,
                source_offset,
                destination,
                destination_offset,
                size,
            }]));
        }
        let bind = Command::SetBindGroup { index: 0, group, dynamic_offsets: vec![] };
        invalid(device.submit(&[Command::BeginPass, bind, Command::EndPass]));
    });
}

#[test]
fn a_layout_keeps_to_the_fixed_limits() {
    on_every_device(|device| {
        use BufferBindingType::{ReadOnlyStorage, Storage, Uniform};
        let mut layout = |entries: &[LayoutEntry]| device.create_bind_group_layout(entries);
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
        let at = |binding, buffer, offset, size| GroupEntry { binding, buffer, offset, size };
        let good_uniform = at(0, uniform, 0, Some(256));
        let good_storage = at(5, big, 256, Some(64));
        let mut group = |entries: &[GroupEntry]| device.create_bind_group(layout, entries);
        group(&[good_storage, good_uniform]).unwrap();
        assert!(invalid(group(&[good_uniform])).contains("not bound"));
        assert!(invalid(group(&[good_uniform, good_storage, good_storage])).contains("twice"));
        assert!(invalid(group(&[good_uniform, good_storage, whole(7, big)])).contains("not in the layout"));
        for wrong in [
            at(5, uniform, 0, Some(64)),
            at(5, big, 4, Some(64)),
            at(5, big, 0, Some(60)),
            at(5, big, 0, Some(66)),
            at(5, big, 0, Some(0)),
            at(5, big, 256 * MIB, None),
            at(5, big, 256 * MIB - 256, Some(512)),
            at(5, big, u64::MAX - 255, Some(512)),
            at(5, big, u64::MAX - 255, None),
        ] {
            invalid(group(&[good_uniform, wrong]));
        }
        let answer = exceeded(group(&[good_uniform, whole(5, big)]));
        assert_eq!(answer, ("max-storage-buffer-binding-size", 128 * MIB, 256 * MIB));
        let answer = exceeded(group(&[whole(0, uniform), good_storage]));
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
        let module = device.create_shader_module(&kernel(SCALE)).unwrap();
        let empty = device.create_bind_group_layout(&[]).unwrap();
        let four = [empty; 4];
        let answer = exceeded(device.create_compute_pipeline(module, None, Some(&four), &[]));
        assert_eq!(answer, ("max-bind-groups", 3, 4));
    });
}

#[test]
fn a_pipeline_matches_its_layout_and_its_overrides() {
    on_every_device(|device| {
        use BufferBindingType::{ReadOnlyStorage, Storage};
        let module = device.create_shader_module(&kernel(SCALE)).unwrap();
        assert!(invalid(device.create_compute_pipeline(module, Some("main"), None, &[])).contains("scale"));
        let unknown = [("speed".to_owned(), 1.0)];
        assert!(invalid(device.create_compute_pipeline(module, None, None, &unknown)).contains("speed"));
        let too_wide = [("width".to_owned(), 300.0)];
        exceeded(device.create_compute_pipeline(module, None, None, &too_wide));
        let infinite = [("factor".to_owned(), f64::INFINITY)];
        invalid(device.create_compute_pipeline(module, None, None, &infinite));
        let small = LayoutEntry { min_binding_size: 2, ..slot(1, Storage) };
        for (entries, said) in [
            (vec![slot(0, ReadOnlyStorage)], "not in the layout"),
            (vec![slot(0, Storage), slot(1, Storage)], "read-only-storage in the shader"),
            (vec![slot(0, ReadOnlyStorage), small], "min-binding-size"),
        ] {
            let layout = device.create_bind_group_layout(&entries).unwrap();
            let answer = invalid(device.create_compute_pipeline(module, None, Some(&[layout]), &[]));
            assert!(answer.contains(said), "{answer}");
        }
        invalid(device.create_compute_pipeline(module, None, Some(&[]), &[]));
        let pipeline = device.create_compute_pipeline(module, None, None, &[]).unwrap();
        exceeded(device.bind_group_layout_of(pipeline, 3));
        let unused = device.bind_group_layout_of(pipeline, 2).unwrap();
        device.create_bind_group(unused, &[]).unwrap();
    });
}

#[test]
fn commands_come_in_passes_and_name_what_is_wrong() {
    on_every_device(|device| {
        use Command::{BeginPass, Dispatch, EndPass, SetPipeline};
        let (pipeline, group) = ready(device);
        let bind = |index, dynamic_offsets| Command::SetBindGroup { index, group, dynamic_offsets };
        let go = Dispatch { x: 1, y: 1, z: 1 };
        let mut answer = |commands: &[Command]| {
            let found = invalid(device.check(commands));
            assert_eq!(invalid(device.submit(commands)), found);
            found
        };
        assert!(answer(std::slice::from_ref(&go)).contains("none is open"));
        assert!(answer(&[EndPass]).contains("none is open"));
        assert!(answer(&[BeginPass]).contains("not ended"));
        assert!(answer(&[BeginPass, BeginPass]).contains("command 1: a compute pass is still open"));
        assert!(answer(&[BeginPass, bind(0, vec![]), go.clone(), EndPass]).contains("no pipeline"));
        let none_bound = [BeginPass, SetPipeline(pipeline), go.clone(), EndPass];
        assert!(answer(&none_bound).contains("needs bind group 0"));
        assert!(answer(&[BeginPass, bind(0, vec![256]), EndPass]).contains("dynamic offsets"));
        // State ends with its pass.
        let mut two = one_dispatch(pipeline, group, 1);
        two.extend([BeginPass, SetPipeline(pipeline), go, EndPass]);
        assert!(answer(&two).contains("command 7"));
        exceeded(device.submit(&[BeginPass, bind(3, vec![]), EndPass]));
        exceeded(device.submit(&[BeginPass, bind(u32::MAX, vec![]), EndPass]));
    });
}

#[test]
fn a_dispatch_that_is_too_large_is_refused() {
    on_every_device(|device| {
        let (pipeline, group) = ready(device);
        let most = u64::from(LIMITS.max_compute_workgroups_per_dimension);
        for (x, y, z) in [(65_536, 1, 1), (1, 65_536, 1), (1, 1, u32::MAX)] {
            let mut commands = one_dispatch(pipeline, group, 1);
            commands[3] = Command::Dispatch { x, y, z };
            let (limit, maximum, requested) = exceeded(device.submit(&commands));
            assert_eq!((limit, maximum), ("max-compute-workgroups-per-dimension", most));
            assert_eq!(requested, u64::from(x.max(y).max(z)));
        }
    });
}

#[test]
fn a_dispatch_needs_groups_that_fit_its_pipeline() {
    on_every_device(|device| {
        use BufferBindingType::{ReadOnlyStorage, Storage};
        let (pipeline, _) = ready(device);
        let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
        let other = device.create_bind_group_layout(&[slot(0, ReadOnlyStorage), slot(1, Storage)]).unwrap();
        let (a, b) = (storage(device, &[1; 128]), storage(device, &[1; 128]));
        let entries = [whole(0, a), whole(1, b)];
        let foreign = device.create_bind_group(other, &entries).unwrap();
        let answer = invalid(device.submit(&one_dispatch(pipeline, foreign, 1)));
        assert!(answer.contains("another layout"), "{answer}");
        // Bound twice: once to be read, once to be written.
        let twice = device.create_bind_group(layout, &[whole(0, a), whole(1, a)]).unwrap();
        let answer = invalid(device.submit(&one_dispatch(pipeline, twice, 1)));
        assert!(answer.contains("read-only-storage and as storage"), "{answer}");
        let halves = "@group(0) @binding(0) var<storage, read_write> a: array<u32, 64>;
            @group(0) @binding(1) var<storage, read_write> b: array<u32, 64>;
            @compute @workgroup_size(1) fn main() { a[0] = 1; b[0] = 2; }";
        let pipeline = self::pipeline(device, halves).unwrap();
        let layout = device.bind_group_layout_of(pipeline, 0).unwrap();
        let half = |binding, offset| GroupEntry { binding, buffer: a, offset, size: Some(256) };
        let overlap = device.create_bind_group(layout, &[half(0, 0), half(1, 0)]).unwrap();
        let answer = invalid(device.submit(&one_dispatch(pipeline, overlap, 1)));
        assert!(answer.contains("overlapping"), "{answer}");
        let apart = device.create_bind_group(layout, &[half(0, 0), half(1, 256)]).unwrap();
        device.submit(&one_dispatch(pipeline, apart, 1)).unwrap();
        let written = crate::contents(device, a, 512);
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
        let module = device.create_shader_module(&kernel(wgsl)).unwrap();
        let pipeline = device.create_compute_pipeline(module, None, Some(&[layout]), &[]).unwrap();
        let small = storage(device, &[0; 63]);
        let group = device.create_bind_group(layout, &[whole(0, small)]).unwrap();
        let answer = invalid(device.submit(&one_dispatch(pipeline, group, 1)));
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
        let group = device.create_bind_group(layout, &[bound]).unwrap();
        for offset in [4, 768, 0xffff_ff00] {
            let dynamic_offsets = vec![offset];
            let bind = Command::SetBindGroup { index: 0, group, dynamic_offsets };
            invalid(device.check(&[Command::BeginPass, bind, Command::EndPass]));
        }
        let bind = Command::SetBindGroup { index: 0, group, dynamic_offsets: vec![512] };
        device.submit(&[Command::BeginPass, bind, Command::EndPass]).unwrap();
    });
}

#[test]
fn nothing_runs_when_one_command_is_wrong() {
    on_every_device(|device| {
        let buffer = storage(device, &[1]);
        let clear = Command::ClearBuffer { buffer, offset: 0, size: 4 };
        invalid(device.submit(&[clear, Command::EndPass]));
        assert_eq!(crate::contents(device, buffer, 4), [1]);
    });
}
