//! The system's bind group: gives slices of a dispatch their parameters, and adds up the reports of kernels.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

use isobit_job::Fault;
use isobit_shader::dp32::{STATUS_BYTES, SYSTEM_PARAMS_BYTES, Status, SystemParams};

use super::guard::Guard;
use super::mapping::host_size;
use super::staging::Staging;
use super::work::Work;
use crate::core::MOST_SLICES;
use crate::core::backend::{Report, Waits};
use crate::limits::COMMON;

/// Parts of a buffer are bound at multiples of this.
const STRIDE: u64 = 256;

/// The number of places for parameters. Slices with equal parameters share a place, as long as there is room.
const PLACES: usize = 2 * MOST_SLICES;

/// The most bind groups that are kept for further slices with the same place and workgroup size.
const MAX_GROUPS: usize = 4096;

/// The distance between reports. There is one for each workgroup size, since the fuel of uniform loops is multiplied by it.
const REPORT_STRIDE: u64 = (STATUS_BYTES as u64).next_multiple_of(STRIDE);

/// The number of reports: one for each workgroup size, from 0.
const REPORTS: u64 = COMMON.max_compute_invocations_per_workgroup as u64 + 1;

/// The system's buffers on one device.
#[derive(Debug)]
pub(super) struct System {
    pub(super) layout: wgpu::BindGroupLayout,
    params: wgpu::Buffer,
    /// The place of each set of parameters, as a multiple of [`STRIDE`].
    places: HashMap<[u8; SYSTEM_PARAMS_BYTES], u32>,
    /// One [`Status`] for each workgroup size.
    reports: wgpu::Buffer,
    /// The bind groups, by place and workgroup size. Dynamic offsets cannot replace them: some drivers offer only as many of
    /// those as the guest may use.
    groups: HashMap<(u32, u32), wgpu::BindGroup>,
    /// Workgroups dispatched since the reports were zeroed, by workgroup size. A sum modulo 2³², as on the device.
    expected: BTreeMap<u32, u32>,
    /// The range, in bytes, of reports that have been read and must be zeroed before the next dispatch.
    stale: Option<(u64, u64)>,
}

/// The parameters of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The id of its first workgroup.
    pub(super) offset: [u32; 3],
    /// The size of the dispatch.
    pub(super) of: [u32; 3],
    /// Invocations per workgroup.
    pub(super) invocations: u32,
    pub(super) workgroups: u64,
    /// Whether its workgroups report their end.
    pub(super) reports: bool,
}

impl Told {
    fn params(&self, budget: u32) -> [u8; SYSTEM_PARAMS_BYTES] {
        SystemParams { workgroup_offset: self.offset, num_workgroups: self.of, budget }.to_bytes()
    }
}

impl System {
    pub(super) fn new(guard: &Guard) -> Result<Self, Fault> {
        guard.run(|device| {
            let buffer = |size, usage| {
                device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
            };
            let copied = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let entry = |binding, read_only, size| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only },
                    has_dynamic_offset: false,
                    min_binding_size: NonZeroU64::new(size),
                },
                count: None,
            };
            Self {
                layout: device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: None,
                    entries: &[entry(0, true, SYSTEM_PARAMS_BYTES as u64), entry(1, false, STATUS_BYTES as u64)],
                }),
                params: buffer(PLACES as u64 * STRIDE, copied),
                places: HashMap::new(),
                reports: buffer(REPORTS * REPORT_STRIDE, copied | wgpu::BufferUsages::COPY_SRC),
                groups: HashMap::new(),
                expected: BTreeMap::new(),
                stale: None,
            }
        })
    }

    /// Writes the parameters of the slices of one submission, and creates their bind groups.
    pub(super) fn tell(
        &mut self,
        guard: &Guard,
        work: &mut Work,
        slices: &[Told],
        budget: u32,
        waits: &Waits,
    ) -> Result<(), Fault> {
        if self.places.len() + slices.len() > PLACES {
            // The queue is in order: submissions under way still read the old parameters.
            self.places.clear();
        }
        if self.groups.len() + slices.len() > MAX_GROUPS {
            self.groups.clear();
        }
        let first = self.places.len();
        let mut bytes = Vec::new();
        for told in slices {
            let params = told.params(budget);
            let next = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            let place = *self.places.entry(params).or_insert(next);
            if place == next {
                bytes.extend_from_slice(&params);
                bytes.resize(bytes.len() - SYSTEM_PARAMS_BYTES + host_size(STRIDE)?, 0);
            }
            if !self.groups.contains_key(&(place, told.invocations)) {
                let group = guard.run(|device| self.new_group(device, place, told.invocations))?;
                self.groups.insert((place, told.invocations), group);
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        work.gather(guard, &self.params, first as u64 * STRIDE, &bytes, waits)
    }

    fn new_group(&self, device: &wgpu::Device, place: u32, invocations: u32) -> wgpu::BindGroup {
        let entry = |binding, buffer, offset, size| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: NonZeroU64::new(size),
            }),
        };
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &[
                entry(0, &self.params, u64::from(place) * STRIDE, SYSTEM_PARAMS_BYTES as u64),
                entry(1, &self.reports, u64::from(invocations) * REPORT_STRIDE, STATUS_BYTES as u64),
            ],
        })
    }

    /// The bind group of a slice whose parameters have been written.
    pub(super) fn group(&self, told: &Told, budget: u32) -> Option<&wgpu::BindGroup> {
        let place = self.places.get(&told.params(budget))?;
        self.groups.get(&(*place, told.invocations))
    }

    /// Zeros the reports that have been read.
    pub(super) fn zero(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Some((from, to)) = self.stale {
            encoder.clear_buffer(&self.reports, from, Some(to - from));
        }
    }

    /// Notes that workgroups were submitted, after the reports were zeroed.
    pub(super) fn expect(&mut self, told: &Told) {
        self.stale = None;
        let sum = self.expected.entry(told.invocations).or_default();
        let low = u32::try_from(told.workgroups & u64::from(u32::MAX)).unwrap_or(0);
        *sum = sum.wrapping_add(low);
    }

    /// Reads the reports since the last call, after all submitted work.
    pub(super) fn collect(
        &mut self,
        guard: &Guard,
        work: &mut Work,
        staging: &mut Staging,
        waits: &Waits,
    ) -> Result<Report, Fault> {
        let expected = std::mem::take(&mut self.expected);
        let (Some((first, _)), Some((last, _))) = (expected.first_key_value(), expected.last_key_value()) else {
            return Ok(Report::default());
        };
        let from = u64::from(*first) * REPORT_STRIDE;
        let to = u64::from(*last) * REPORT_STRIDE + STATUS_BYTES as u64;
        let read = staging.download(guard, work, &self.reports, from, to - from, waits)?;
        self.stale = Some((from, to));
        let mut report = Report::default();
        for (invocations, workgroups) in &expected {
            let at = host_size(u64::from(*invocations) * REPORT_STRIDE - from)?;
            let bytes = read.get(at..at + STATUS_BYTES).unwrap_or_default();
            let status = Status::from_bytes(bytes, u64::from(*invocations));
            report.add(&status, *workgroups)?;
        }
        Ok(report)
    }
}
