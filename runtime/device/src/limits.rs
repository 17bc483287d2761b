//! The limits, which are the same for every guest on every device of a class.

use isobit_job::DeviceClass;

/// The fixed limits of a device class, in the names and with the meaning of WebGPU's `GPUSupportedLimits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are WebGPU's")]
pub struct DeviceLimits {
    pub max_bind_groups: u32,
    pub max_bindings_per_bind_group: u32,
    pub max_storage_buffers_per_shader_stage: u32,
    pub max_uniform_buffers_per_shader_stage: u32,
    pub max_dynamic_storage_buffers_per_pipeline_layout: u32,
    pub max_dynamic_uniform_buffers_per_pipeline_layout: u32,
    pub max_storage_buffer_binding_size: u64,
    pub max_uniform_buffer_binding_size: u64,
    pub max_buffer_size: u64,
    pub min_storage_buffer_offset_alignment: u32,
    pub min_uniform_buffer_offset_alignment: u32,
    pub max_compute_workgroup_storage_size: u32,
    pub max_compute_invocations_per_workgroup: u32,
    pub max_compute_workgroup_size_x: u32,
    pub max_compute_workgroup_size_y: u32,
    pub max_compute_workgroup_size_z: u32,
    pub max_compute_workgroups_per_dimension: u32,
}

/// WebGPU's defaults, but one bind group fewer: `@group(3)` is the system's.
const BASE: DeviceLimits = DeviceLimits {
    max_bind_groups: isobit_shader::GUEST_BIND_GROUPS,
    max_bindings_per_bind_group: 1000,
    max_storage_buffers_per_shader_stage: 8,
    max_uniform_buffers_per_shader_stage: 12,
    max_dynamic_storage_buffers_per_pipeline_layout: 4,
    max_dynamic_uniform_buffers_per_pipeline_layout: 8,
    max_storage_buffer_binding_size: 128 << 20,
    max_uniform_buffer_binding_size: 64 << 10,
    max_buffer_size: 256 << 20,
    min_storage_buffer_offset_alignment: 256,
    min_uniform_buffer_offset_alignment: 256,
    max_compute_workgroup_storage_size: 16 << 10,
    max_compute_invocations_per_workgroup: 256,
    max_compute_workgroup_size_x: 256,
    max_compute_workgroup_size_y: 256,
    max_compute_workgroup_size_z: 64,
    max_compute_workgroups_per_dimension: 65_535,
};

/// The largest buffer and storage binding of class large. Drivers that compute offsets with signed words take it.
const LARGE_BYTES: u64 = 1 << 30;

impl DeviceLimits {
    /// The limits of a class.
    pub const fn of(class: DeviceClass) -> Self {
        match class {
            DeviceClass::Large => {
                Self { max_buffer_size: LARGE_BYTES, max_storage_buffer_binding_size: LARGE_BYTES, ..BASE }
            }
            _ => BASE,
        }
    }
}

/// The limits of class base, for those that are the same in every class: all but the sizes of buffers and storage bindings.
pub(crate) const COMMON: DeviceLimits = BASE;

/// The system's group has two storage buffers, in addition to the guest's eight. SwiftShader offers exactly ten in all.
const SYSTEM_STORAGE_BUFFERS: u32 = 2;

/// The limits that an adapter of a class must offer: those of the class, and room for the system's group. Limits that do not concern
/// compute are as low as every adapter offers.
pub(crate) fn required(class: DeviceClass) -> wgpu::Limits {
    let limits = DeviceLimits::of(class);
    wgpu::Limits {
        max_bind_groups: limits.max_bind_groups + 1,
        max_bindings_per_bind_group: limits.max_bindings_per_bind_group,
        max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage + SYSTEM_STORAGE_BUFFERS,
        max_uniform_buffers_per_shader_stage: limits.max_uniform_buffers_per_shader_stage,
        max_dynamic_storage_buffers_per_pipeline_layout: limits.max_dynamic_storage_buffers_per_pipeline_layout,
        max_dynamic_uniform_buffers_per_pipeline_layout: limits.max_dynamic_uniform_buffers_per_pipeline_layout,
        max_buffers_and_acceleration_structures_per_shader_stage: limits.max_storage_buffers_per_shader_stage
            + SYSTEM_STORAGE_BUFFERS
            + limits.max_uniform_buffers_per_shader_stage,
        max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
        max_uniform_buffer_binding_size: limits.max_uniform_buffer_binding_size,
        max_buffer_size: limits.max_buffer_size,
        min_storage_buffer_offset_alignment: limits.min_storage_buffer_offset_alignment,
        min_uniform_buffer_offset_alignment: limits.min_uniform_buffer_offset_alignment,
        max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
        max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: limits.max_compute_workgroup_size_x,
        max_compute_workgroup_size_y: limits.max_compute_workgroup_size_y,
        max_compute_workgroup_size_z: limits.max_compute_workgroup_size_z,
        max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        ..wgpu::Limits::downlevel_webgl2_defaults()
    }
}
