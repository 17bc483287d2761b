//! What to make of a word that the device and the CPU disagree about.
//!
//! The job ends in any case: nobody could reproduce the word. A kernel that races is the renter's doing, so races are looked for first, in
//! the workgroup and among the others of its dispatch. Then the device runs the workgroup once more, alone. Only where no race was
//! found and the device is wrong again does it speak against the device; and as the kernel is a stranger's, it is no more than
//! a suspicion, on which the provider's own probe decides before the device is opened again.

use std::num::NonZeroU64;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use isobit_shader::dp32::{SYSTEM_GROUP, SystemParams};
use isobit_shader::interpreter::{Buffers, Program, Race, Races, SystemBuffers};

use super::batch::Slice;
use super::spot::{Mismatch, Part, Watched, from_words, stopped_after};
use super::{Dp32, WgpuDevice};
use crate::probe::{self, Failure};
use crate::{DeviceError, DeviceFault};

/// How long races are looked for in the workgroup, which has been interpreted before in a tenth of that.
const WORKGROUP_TIME: Duration = Duration::from_secs(10);

/// How long they are looked for among workgroups.
const DISPATCH_TIME: Duration = Duration::from_secs(2);

/// Bytes of the text about a race.
const MAX_TEXT: usize = 500;

impl Watched {
    /// A race of the workgroup's invocations, or else one that has to do with others.
    fn race(&self, dp32: &Dp32, budget: u32, workgroup: [u32; 3]) -> Option<Race> {
        let program = Program::compile(dp32.lowered.module(), dp32.lowered.info()).ok()?;
        let [x, y, z] = self.of.map(u64::from);
        let number = workgroup.map(u64::from);
        let number = number[0] + x * (number[1] + y * number[2]);
        let find = |part: std::ops::Range<u64>, time| {
            let system = SystemBuffers::new(SystemParams { budget, ..SystemParams::whole(self.of) });
            let words = |part: &Part| from_words(&part.words).into_iter().map(AtomicU32::new).collect::<Vec<_>>();
            let copies: Vec<_> = self.parts.iter().map(words).collect();
            let mut buffers = Buffers::new();
            buffers.bind_system(&system);
            for (part, words) in self.parts.iter().zip(&copies) {
                buffers.bind(part.group, part.entry.binding, words);
            }
            let mut races = Races::new(dp32.source.clone(), 1);
            // What was found before the time was up is as good.
            let _ = stopped_after(time, |stop| program.run_part_watched(&buffers, self.of, part, stop, &mut races));
            races.into_report().races.pop()
        };
        find(number..number + 1, WORKGROUP_TIME).or_else(|| find(0..x * y * z, DISPATCH_TIME))
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
    /// Finds out who is to blame for a mismatch. What it returns ends the job.
    pub(super) fn confirm(&mut self, watched: &Watched, mismatch: Mismatch) -> Result<DeviceFault, DeviceError> {
        // What the workgroup costs this time is nobody's.
        self.collect()?;
        let what = mismatch.to_string();
        let dp32 = self.pipelines.get(watched.pipeline).and_then(|pipeline| pipeline.dp32.clone());
        let race = dp32.and_then(|dp32| watched.race(&dp32, self.budget(), mismatch.workgroup));
        if let Some(race) = race {
            tracing::warn!(target: "isobit::device", %mismatch, %race, "the kernel races");
            // Its names are the guest's, and as long as it likes.
            let mut race = race.to_string();
            race.truncate(race.floor_char_boundary(MAX_TEXT));
            return Ok(DeviceFault::Irreproducible { what, race: Some(race) });
        }
        if self.alone(watched, mismatch)? == Some(mismatch.expected) {
            tracing::warn!(target: "isobit::device", %mismatch, "alone it agrees");
            return Ok(DeviceFault::Irreproducible { what, race: None });
        }
        tracing::error!(target: "isobit::device", %mismatch, name = self.info.name, "miscomputed");
        if let Some(cache) = &self.verdicts {
            let failure = Failure { check: "a job".to_owned(), detail: what.clone() };
            if let Err(error) = probe::suspect(cache, &self.info, self.tier, failure) {
                tracing::warn!(target: "isobit::device", %error, "the suspicion against the device could not be noted");
            }
        }
        Ok(DeviceFault::Miscomputed { what })
    }

    /// The word of a mismatch after its workgroup has run alone on the device, on the buffers as they were.
    fn alone(&mut self, watched: &Watched, mismatch: Mismatch) -> Result<Option<u32>, DeviceError> {
        let slice = Slice { pipeline: watched.pipeline, offset: mismatch.workgroup, size: [1; 3], of: watched.of };
        let budget = self.budget();
        let (Some(pipeline), Some(system)) = (self.pipelines.get(watched.pipeline), &mut self.system) else {
            return Ok(None);
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
        let Some((_, copy)) = copy else { return Ok(None) };
        let alone = self.staging.download(&self.guard, &mut self.work, copy, u64::from(mismatch.word) * 4, 4)?;
        Ok(alone.first_chunk().map(|word| u32::from_le_bytes(*word)))
    }
}
