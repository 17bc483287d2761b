//! The timeline of what a device does.

use isobit_device::{Activity, BufferUsage, Policy, Source, SpanKind, Timeline};
use isobit_shader::Profile;

use crate::{Setting, contents, dispatch, prepared, whole, words};

const TWO: &str = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
    @compute @workgroup_size(16) fn add(@builtin(global_invocation_id) id: vec3u) { a[id.x] += id.x; }
    @compute @workgroup_size(32, 2) fn climb(@builtin(local_invocation_index) i: u32) {
        while a[i] < 200u { a[i] += 1u; }
    }";

/// Everything that a job does is there under its name, and its cost is what it would be without.
#[test]
fn a_timeline_tells_dispatches_from_the_rest_and_changes_no_cost() {
    let run = |timeline: Option<&Timeline>| {
        let policy = Policy { timeline: timeline.cloned(), ..Policy::default() };
        let costs = std::cell::RefCell::new(Vec::new());
        Setting { policy, ..Setting::default() }.on_every_device(|device| {
            timeline.into_iter().for_each(Timeline::clear);
            let kernel = prepared(TWO, Profile::Dp32);
            let buffer = device.create_buffer(256, BufferUsage::STORAGE).unwrap();
            device.write(&buffer, 0, Source::Slice(&words(&[5; 64]))).unwrap();
            for (entry, times) in [("add", 3), ("climb", 1)] {
                let pipeline = device.create_compute_pipeline(&kernel, Some(entry), None, &[]).unwrap();
                let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
                let group = device.create_bind_group(&layout, &[whole(0, &buffer)]).unwrap();
                (0..times).for_each(|_| dispatch(device, &pipeline, &group, if times == 3 { 4 } else { 1 }).unwrap());
            }
            let used = device.settle().unwrap();
            assert!(!used.spent);
            assert_eq!(contents(device, &buffer, 256)[..3], [200, 200, 200]);
            costs.borrow_mut().push(used.fuel);
            let Some(recording) = timeline.map(Timeline::recording) else { return };
            let [add, climb] = &recording.kernels[..] else { panic!("{recording:?}") };
            assert_eq!((add.entry_point.as_str(), add.workgroup_size), ("add", [16, 1, 1]));
            assert_eq!((add.totals.count, add.workgroups, add.totals.bytes, add.writable_bytes), (3, 12, 768, 768));
            assert_eq!((climb.entry_point.as_str(), climb.workgroup_size), ("climb", [32, 2, 1]));
            assert_eq!(add.fuel + climb.fuel, used.fuel, "loops are counted where they ran");
            assert!(climb.fuel > 64 * 100 && add.totals.time.as_nanos() > 0);
            let of = |activity| recording.others[&activity];
            assert_eq!((of(Activity::Compile).count, of(Activity::Allocate).bytes), (2, 256));
            assert_eq!((of(Activity::Write).bytes, of(Activity::Read).bytes), (256, 256));
            let dispatches = recording.spans.iter().filter(|span| matches!(span.what, SpanKind::Dispatch { .. }));
            assert_eq!((dispatches.count(), recording.more_spans), (4, 0));
            for two in recording.spans.windows(2) {
                assert!(two[0].begun + two[0].time <= two[1].begun, "{two:?}");
            }
        });
        costs.into_inner()
    };
    assert_eq!(run(None), run(Some(&Timeline::default())));
}
