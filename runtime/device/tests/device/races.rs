//! The race detector.

use isobit_device::{BufferUsage, Policy, RaceLog, RaceMemory, RaceReport};
use isobit_shader::Profile;

use crate::{Setting, contents, dispatch, prepared, whole};

/// Runs a kernel a hundred times on every device, and judges what is found and what it leaves.
fn found(wgsl: &str, judge: impl Fn(RaceReport, Vec<u32>)) {
    let log = RaceLog::default();
    let policy = Policy { races: Some(log.clone()), ..Policy::default() };
    Setting { policy, ..Setting::default() }.on_every_device(|device| {
        let buffer = device.create_buffer(256, BufferUsage::STORAGE).unwrap();
        let pipeline = device.create_compute_pipeline(&prepared(wgsl, Profile::Dp32), None, None, &[]).unwrap();
        let layout = device.bind_group_layout_of(&pipeline, 0).unwrap();
        let group = device.create_bind_group(&layout, &[whole(0, &buffer)]).unwrap();
        for _ in 0..100 {
            dispatch(device, &pipeline, &group, 4).unwrap();
        }
        let left = contents(device, &buffer, 256);
        assert!(!device.settle().unwrap().spent);
        judge(log.report(), left);
    });
}

const HEAD: &str = "@group(0) @binding(0) var<storage, read_write> a: array<u32>;
    @compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3u)";

#[test]
fn dispatches_do_not_race_with_each_other() {
    found(&format!("{HEAD} {{ a[id.x] += id.x; }}"), |races, left| {
        assert_eq!(races, RaceReport::default());
        assert_eq!(left, (0..64).map(|x| x * 100).collect::<Vec<u32>>());
    });
}

#[test]
fn a_race_that_every_dispatch_has_is_reported_once() {
    found(&format!("{HEAD} {{ a[id.x / 4u] = 7u; }}"), |report, left| {
        let races = report.races;
        assert_eq!(left[..16], [7; 16]);
        assert_eq!((races.len(), report.more, report.unfollowed), (1, false, false));
        assert_eq!(races[0].memory, RaceMemory::Buffer { group: 0, binding: 0 });
        assert_eq!(races[0].word, 0);
        let [first, second] = &races[0].accesses;
        assert_eq!((first.invocation, second.invocation), ([0, 0, 0], [1, 0, 0]));
        assert_eq!(first.location.unwrap().line, 2);
    });
}
