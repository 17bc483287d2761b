//! Spot checks: some workgroups of a job are run again on the CPU, and what they wrote is compared.
//!
//! A probe cannot show that a driver compiles every kernel right, nor that a device is sound. So a dispatch is now and
//! then watched: the buffers that it is given are copied before and after, and workgroups chosen at random are interpreted on the copy. A
//! word that comes out otherwise ends the job: nobody could reproduce it. It also speaks against the device, unless the workgroup
//! run alone on it agrees with the CPU: then most likely the kernel's workgroups race for the word, which is the renter's doing.
//!
//! What it costs is bounded: dispatches with more than [`MAX_BYTES`] bound are not watched, and all checks together take
//! no more than a twentieth of the job's time and [`GRACE`].

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use isobit_shader::dp32::{SYSTEM_GROUP, SystemParams};
use isobit_shader::interpreter::{Buffers, Program, SystemBuffers, Write, words_of};
use isobit_shader::{BufferBindingType, Lowered};

use super::batch::Slice;
use super::{Allocation, Dp32, WgpuDevice};
use crate::probe::{self, Failure};
use crate::{Command, ComputePipelineId, DeviceError, DeviceFault, LayoutEntry};

/// The most bytes that are bound to a dispatch that is watched.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// The most workgroups of one dispatch that are checked.
const MAX_WORKGROUPS: u64 = 16;

/// One part in so many of a job's time goes into checks, and [`GRACE`].
const PART: u32 = 20;

/// Time for checks of a job that has only begun.
const GRACE: Duration = Duration::from_millis(20);

/// The least time that an interpreted workgroup is given.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// Bytes that are copied from a device in a second, at least.
const BYTES_PER_SECOND: u64 = 1 << 30;

/// Decides what is checked.
#[derive(Debug)]
pub(super) struct Sampler {
    /// One workgroup in so many.
    one_in: NonZeroU64,
    began: Instant,
    spent: Duration,
    /// The least time that an interpreted workgroup is given: [`LEAST_TIME`], except in tests.
    pub(super) least_time: Duration,
    seed: RandomState,
    drawn: u64,
}

impl Sampler {
    pub(super) fn new(one_in: NonZeroU64) -> Self {
        Self {
            one_in,
            began: Instant::now(),
            spent: Duration::ZERO,
            least_time: LEAST_TIME,
            seed: RandomState::new(),
            drawn: 0,
        }
    }

    /// A number below `end`. It need not be perfect, but nobody who sends jobs may know it.
    fn draw(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        self.seed.hash_one(self.drawn) % end.max(1)
    }

    /// Which of some dispatches of `workgroups` each is to be watched: the one that a workgroup drawn from all is in.
    pub(super) fn choose(&mut self, workgroups: impl Iterator<Item = u64> + Clone) -> Option<usize> {
        let all: u64 = workgroups.clone().fold(0, u64::saturating_add);
        if all == 0 || self.draw(self.one_in.get()) >= all {
            return None;
        }
        let mut drawn = self.draw(all);
        workgroups.enumerate().find_map(|(index, workgroups)| {
            let here = drawn < workgroups;
            drawn = drawn.saturating_sub(workgroups);
            here.then_some(index)
        })
    }

    /// The workgroups of a watched dispatch that are run again.
    pub(super) fn workgroups(&mut self, of: [u32; 3]) -> Vec<[u32; 3]> {
        let [x, y, z] = of.map(u64::from);
        let all = x * y * z;
        let count = (all / self.one_in).clamp(1, MAX_WORKGROUPS);
        let drawn = (0..count).map(|_| self.draw(all));
        drawn.map(|at| [at % x, at / x % y, at / x / y].map(|id| u32::try_from(id).unwrap_or(0))).collect()
    }

    /// Whether there is time for a check of so many bytes.
    pub(super) fn affords(&self, bytes: u64) -> bool {
        let copies = Duration::from_nanos(bytes.saturating_mul(2_000_000_000 / BYTES_PER_SECOND));
        bytes <= MAX_BYTES && self.spent + copies <= GRACE + self.began.elapsed() / PART
    }

    /// How long the workgroups of one dispatch may be interpreted.
    pub(super) fn time(&self) -> Duration {
        self.least_time.max(self.began.elapsed() / PART)
    }

    pub(super) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }
}

/// A dispatch that is watched, with its buffers as they were before it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) pipeline: ComputePipelineId,
    pub(super) of: [u32; 3],
    pub(super) workgroups: Vec<[u32; 3]>,
    pub(super) parts: Vec<Part>,
    pub(super) since: Instant,
}

/// A bound range.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) group: u32,
    pub(super) entry: LayoutEntry,
    pub(super) buffer: Arc<Allocation>,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) words: Vec<AtomicU32>,
}

impl Part {
    /// Its group and binding.
    pub(super) fn at(&self) -> (u32, u32) {
        (self.group, self.entry.binding)
    }

    pub(super) fn is_written(&self) -> bool {
        self.entry.ty == BufferBindingType::Storage
    }
}

/// A word that a device and the CPU disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) workgroup: [u32; 3],
    /// Group and binding.
    pub(super) at: (u32, u32),
    pub(super) word: u32,
    pub(super) expected: u32,
    pub(super) found: u32,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([x, y, z], (group, binding)) = (self.workgroup, self.at);
        write!(
            f,
            "workgroup ({x}, {y}, {z}) wrote {:#010x} to word {} of @group({group}) @binding({binding}), and {:#010x} on the CPU",
            self.found, self.word, self.expected
        )
    }
}

impl Watched {
    /// Interprets the workgroups one after the other, each on the buffers as they were, and compares what they wrote with `found`,
    /// which gives the word at an index of a part after the dispatch. What does not end in `time` is left unchecked.
    pub(super) fn compare(
        &self,
        lowered: &Lowered,
        budget: u32,
        time: Duration,
        found: impl Fn(&Part, usize) -> Option<u32>,
    ) -> Option<Mismatch> {
        let program = Program::compile(lowered.module(), lowered.info()).ok()?;
        let system = SystemBuffers::new(SystemParams { budget, ..SystemParams::whole(self.of) });
        let mut buffers = Buffers::new();
        buffers.bind_system(&system);
        for part in &self.parts {
            buffers.bind(part.group, part.entry.binding, &part.words);
        }
        stopped_after(time, |stop| {
            self.workgroups.iter().find_map(|workgroup| {
                let before: Vec<Vec<u32>> = self.parts.iter().map(|part| from_words(&part.words)).collect();
                let writes = program.run_workgroup(&buffers, *workgroup, self.of, stop);
                for (part, before) in self.parts.iter().zip(&before).filter(|(part, _)| part.is_written()) {
                    part.words.iter().zip(before).for_each(|(word, before)| word.store(*before, Relaxed));
                }
                let mut writes = writes.unwrap_or_default().into_iter().filter(|write| !write.atomic);
                writes.find_map(|write| self.mismatch(*workgroup, write, &found))
            })
        })
    }

    fn mismatch(
        &self,
        workgroup: [u32; 3],
        write: Write,
        found: impl Fn(&Part, usize) -> Option<u32>,
    ) -> Option<Mismatch> {
        let Write { group, binding, word, value: expected, .. } = write;
        let at = (group, binding);
        let part = self.parts.iter().find(|part| part.at() == at)?;
        let found = found(part, usize::try_from(word).ok()?)?;
        (found != expected).then_some(Mismatch { workgroup, at, word, expected, found })
    }

    /// The bound ranges as they were, each in a buffer of its own.
    pub(super) fn copies(&self, device: &wgpu::Device) -> Vec<wgpu::Buffer> {
        let copy = |part: &Part| {
            let size = part.size.next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
            let copied = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let usage = copied | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM;
            let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: true };
            let buffer = device.create_buffer(&descriptor);
            if let Ok(mut mapped) = buffer.get_mapped_range_mut(..) {
                let bytes: Vec<u8> = from_words(&part.words).iter().flat_map(|word| word.to_le_bytes()).collect();
                let end = bytes.len().min(mapped.len());
                mapped.slice(..end).copy_from_slice(bytes.get(..end).unwrap_or_default());
            }
            buffer.unmap();
            buffer
        };
        self.parts.iter().map(copy).collect()
    }

    /// Bind groups of those, with their index and dynamic offsets.
    pub(super) fn groups(
        &self,
        device: &wgpu::Device,
        layouts: &[&wgpu::BindGroupLayout],
        copies: &[wgpu::Buffer],
    ) -> Vec<(u32, wgpu::BindGroup, Vec<u32>)> {
        let bound: Vec<_> = self.parts.iter().zip(copies).collect();
        let indexed = (0_u32..).zip(layouts).map(|(index, layout)| {
            let own = || bound.iter().filter(|(part, _)| part.group == index);
            let entries: Vec<_> = own()
                .map(|(part, copy)| wgpu::BindGroupEntry {
                    binding: part.entry.binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: copy,
                        offset: 0,
                        size: NonZeroU64::new(part.size),
                    }),
                })
                .collect();
            let offsets = own().filter(|(part, _)| part.entry.has_dynamic_offset).map(|_| 0).collect();
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
            (index, group, offsets)
        });
        indexed.collect()
    }
}

impl WgpuDevice {
    /// The number of the command that is to be checked, if any.
    pub(super) fn choose(&mut self, commands: &[Command]) -> Option<usize> {
        let mut pipeline = None;
        let workgroups: Vec<u64> = commands
            .iter()
            .map(|command| match command {
                Command::SetPipeline(id) => {
                    pipeline = self.pipelines.get(*id);
                    0
                }
                Command::Dispatch { x, y, z } if pipeline.is_some_and(|pipeline| pipeline.dp32.is_some()) => {
                    [x, y, z].iter().map(|side| u64::from(**side)).product()
                }
                _ => 0,
            })
            .collect();
        self.sampler.as_mut()?.choose(workgroups.into_iter())
    }

    /// Copies what is bound to a dispatch that is about to be submitted, if there is time to check it.
    pub(super) fn watch<'a>(
        &mut self,
        pipeline: ComputePipelineId,
        of: [u32; 3],
        set_groups: impl Iterator<Item = &'a Command>,
    ) -> Result<Option<Watched>, DeviceError> {
        let since = Instant::now();
        let mut parts = self.bound_to(pipeline, set_groups);
        let bytes = parts.iter().map(|part| part.size).sum();
        let Some(sampler) = self.sampler.as_mut().filter(|sampler| sampler.affords(bytes)) else { return Ok(None) };
        let workgroups = sampler.workgroups(of);
        for part in &mut parts {
            let (from, offset, size) = (&part.buffer.raw, part.offset, part.size);
            let bytes = self.staging.download(&self.guard, &mut self.work, from, offset, size)?;
            part.words = words_of(&bytes);
        }
        Ok(Some(Watched { pipeline, of, workgroups, parts, since }))
    }

    /// The ranges that a pipeline sees through bind groups.
    fn bound_to<'a>(&self, pipeline: ComputePipelineId, set_groups: impl Iterator<Item = &'a Command>) -> Vec<Part> {
        let mut parts = Vec::new();
        let layouts = self.pipelines.get(pipeline).map_or(0, |pipeline| pipeline.layouts.len());
        for command in set_groups {
            let Command::SetBindGroup { index, group, dynamic_offsets } = command else { continue };
            let within = usize::try_from(*index).is_ok_and(|index| index < layouts);
            let Some(group) = self.groups.get(*group).filter(|_| within) else { continue };
            let mut dynamic = dynamic_offsets.iter();
            for (bound, buffer) in group.shape.bound.iter().zip(&group.buffers) {
                let moved = if bound.entry.has_dynamic_offset { dynamic.next().copied().unwrap_or(0) } else { 0 };
                parts.push(Part {
                    group: *index,
                    entry: bound.entry,
                    buffer: Arc::clone(buffer),
                    offset: bound.offset + u64::from(moved),
                    size: bound.size,
                    words: Vec::new(),
                });
            }
        }
        parts
    }

    /// Runs workgroups of a dispatch that has been submitted again, on the CPU.
    pub(super) fn compare(&mut self, watched: &Watched) -> Result<(), DeviceError> {
        let dp32 = self.pipelines.get(watched.pipeline).and_then(|pipeline| pipeline.dp32.clone());
        let (Some(Dp32 { lowered, .. }), Some(sampler)) = (dp32, &self.sampler) else { return Ok(()) };
        let (budget, time) = (self.budget(), sampler.time());
        let mut after = Vec::new();
        for part in watched.parts.iter().filter(|part| part.is_written()) {
            let (from, offset, size) = (&part.buffer.raw, part.offset, part.size);
            let bytes = self.staging.download(&self.guard, &mut self.work, from, offset, size)?;
            after.push((part.at(), words_of(&bytes)));
        }
        let found = |part: &Part, word: usize| {
            let (_, words) = after.iter().find(|(at, _)| *at == part.at())?;
            Some(words.get(word)?.load(Relaxed))
        };
        let mismatch = watched.compare(&lowered, budget, time, found);
        if let Some(mismatch) = mismatch {
            self.confirm(watched, mismatch)?;
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.spend(watched.since.elapsed());
        }
        Ok(())
    }

    /// Runs the workgroup of a mismatch alone on the device. If that too differs from the CPU, the device is at fault; if it does
    /// not, the word depends on what else runs. Either way it is not to be claimed: this is an error as soon as that is known.
    fn confirm(&mut self, watched: &Watched, mismatch: Mismatch) -> Result<(), DeviceError> {
        // What the workgroup costs this time is nobody's.
        self.collect()?;
        let slice = Slice { pipeline: watched.pipeline, offset: mismatch.workgroup, size: [1; 3], of: watched.of };
        let budget = self.budget();
        let (Some(pipeline), Some(system)) = (self.pipelines.get(watched.pipeline), &mut self.system) else {
            return Err(DeviceFault::Irreproducible { what: mismatch.to_string() }.into());
        };
        let invocations = pipeline.invocations;
        let reports = pipeline.dp32.as_ref().is_some_and(|dp32| dp32.lowered.reports());
        system.tell(&self.guard, &mut self.work, &[(slice, invocations)], budget)?;
        let copies = self.guard.run(|device| watched.copies(device))?;
        let commands = self.guard.run(|device| {
            let layouts: Vec<_> = pipeline.layouts.iter().map(|layout| &layout.raw).collect();
            let groups = watched.groups(device, &layouts, &copies);
            let mut encoder = device.create_command_encoder(&Default::default());
            system.zero(&mut encoder);
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline.raw);
            for (index, group, offsets) in &groups {
                pass.set_bind_group(*index, group, offsets);
            }
            pass.set_bind_group(SYSTEM_GROUP, system.group(slice, invocations, budget), &[]);
            pass.dispatch_workgroups(1, 1, 1);
            drop(pass);
            encoder.finish()
        })?;
        if reports {
            system.expect(invocations, 1);
        }
        self.work.submit(&self.guard, Some(commands))?;
        system.collect(&self.guard, &mut self.work, &mut self.staging)?;
        let copy = watched.parts.iter().zip(&copies).find(|(part, _)| part.at() == mismatch.at);
        let Some((_, copy)) = copy else {
            return Err(DeviceFault::Irreproducible { what: mismatch.to_string() }.into());
        };
        let alone = self.staging.download(&self.guard, &mut self.work, copy, u64::from(mismatch.word) * 4, 4)?;
        if alone[..] == mismatch.expected.to_le_bytes() {
            tracing::warn!(target: "isobit::device", %mismatch, "alone it agrees");
            return Err(DeviceFault::Irreproducible { what: mismatch.to_string() }.into());
        }
        tracing::error!(target: "isobit::device", %mismatch, name = self.info.name, "miscomputed");
        if let Some(cache) = &self.verdicts {
            let failure = Failure { check: "a job".to_owned(), detail: mismatch.to_string() };
            if let Err(error) = probe::demote(cache, &self.info, self.tier, failure) {
                tracing::warn!(target: "isobit::device", %error, "the device could not be demoted");
            }
        }
        Err(DeviceFault::Miscomputed { what: mismatch.to_string() }.into())
    }
}

fn from_words(words: &[AtomicU32]) -> Vec<u32> {
    words.iter().map(|word| word.load(Relaxed)).collect()
}

/// Runs what looks at a flag that is set after some time.
fn stopped_after<T>(time: Duration, work: impl FnOnce(&AtomicBool) -> T) -> T {
    let stop = AtomicBool::new(false);
    let (done, waits) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let waits = waits;
            if waits.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
                stop.store(true, Relaxed);
            }
        });
        let result = work(&stop);
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_dispatches_are_chosen_seldom_and_large_ones_always() {
        let mut sampler = Sampler::new(NonZeroU64::new(1000).unwrap());
        assert_eq!(sampler.choose([0, 0].into_iter()), None);
        assert_eq!(sampler.choose([0, 1000, 0].into_iter()), Some(1));
        let chosen = (0..100_000).filter(|_| sampler.choose([0, 10].into_iter()).is_some()).count();
        assert!((500..2000).contains(&chosen), "{chosen} instead of 1000");
        let second = (0..1000).filter(|_| sampler.choose([3000, 1000].into_iter()) == Some(1)).count();
        assert!((150..350).contains(&second), "{second} instead of 250");
    }

    #[test]
    fn workgroups_lie_in_the_dispatch() {
        let mut sampler = Sampler::new(NonZeroU64::new(10).unwrap());
        let drawn: Vec<_> = (0..100).flat_map(|_| sampler.workgroups([5, 3, 7])).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(drawn.iter().all(|[x, y, z]| *x < 5 && *y < 3 && *z < 7));
        for axis in 0..3 {
            assert!(drawn.iter().any(|at| at[axis] == 0) && drawn.iter().any(|at| at[axis] == [4, 2, 6][axis]));
        }
    }

    #[test]
    fn checks_take_no_more_than_their_part_of_the_time() {
        let mut sampler = Sampler::new(NonZeroU64::MIN);
        assert!(sampler.affords(1 << 20));
        assert!(!sampler.affords(MAX_BYTES + 4));
        sampler.spend(Duration::from_secs(3600));
        assert!(!sampler.affords(4));
    }
}
