//! The rules of WebGPU for layouts, bind groups and pipelines.

use isobit_shader::{Binding, BufferBindingType, Diagnostic, EntryPoint};

use super::resources::{BindGroupLayout, GroupEntry, LayoutEntry, Range};
use super::rules::{at_most, multiple_of, range};
use crate::limits::COMMON;
use crate::{DeviceClass, DeviceError, DeviceLimits};

/// WebGPU's name of the limit on storage bindings, which depends on the class.
const STORAGE_BINDING: &str = "max-storage-buffer-binding-size";

/// Checks the entries of a layout and sorts them.
pub(super) fn layout(entries: &[LayoutEntry]) -> Result<BindGroupLayout, DeviceError> {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|entry| entry.binding);
    for pair in entries.windows(2) {
        if let [first, second] = pair
            && first.binding == second.binding
        {
            return Err(DeviceError::invalid(format!("binding {} appears twice in the layout", first.binding)));
        }
    }
    if let Some(last) = entries.last() {
        let maximum = COMMON.max_bindings_per_bind_group;
        let requested = u64::from(last.binding) + 1;
        at_most("max-bindings-per-bind-group", maximum, requested)?;
    }
    count_buffers(entries.iter())?;
    Ok(BindGroupLayout::new(entries))
}

/// Checks the limits on buffers in one stage, which apply to a layout alone and to a pipeline's layouts together.
fn count_buffers<'a>(entries: impl Iterator<Item = &'a LayoutEntry> + Clone) -> Result<(), DeviceError> {
    let count = |wanted: &dyn Fn(&LayoutEntry) -> bool| {
        u64::try_from(entries.clone().filter(|entry| wanted(entry)).count()).unwrap_or(u64::MAX)
    };
    let uniform = |entry: &LayoutEntry| entry.ty == BufferBindingType::Uniform;
    at_most(
        "max-storage-buffers-per-shader-stage",
        COMMON.max_storage_buffers_per_shader_stage,
        count(&|entry| !uniform(entry)),
    )?;
    at_most("max-uniform-buffers-per-shader-stage", COMMON.max_uniform_buffers_per_shader_stage, count(&uniform))?;
    at_most(
        "max-dynamic-storage-buffers-per-pipeline-layout",
        COMMON.max_dynamic_storage_buffers_per_pipeline_layout,
        count(&|entry| !uniform(entry) && entry.has_dynamic_offset),
    )?;
    at_most(
        "max-dynamic-uniform-buffers-per-pipeline-layout",
        COMMON.max_dynamic_uniform_buffers_per_pipeline_layout,
        count(&|entry| uniform(entry) && entry.has_dynamic_offset),
    )
}

/// Checks that entries match the layout one to one and are bound within their buffers.
pub(super) fn bind_group(
    layout: &BindGroupLayout,
    entries: &[GroupEntry],
    limits: &DeviceLimits,
) -> Result<Vec<Range>, DeviceError> {
    let mut ranges = Vec::with_capacity(entries.len());
    for slot in layout.entries() {
        let mut matching = entries.iter().filter(|entry| entry.binding == slot.binding);
        let Some(entry) = matching.next() else {
            return Err(DeviceError::invalid(format!("binding {} of the layout is not bound", slot.binding)));
        };
        if matching.next().is_some() {
            return Err(DeviceError::invalid(format!("binding {} is bound twice", slot.binding)));
        }
        ranges.push(bind(*slot, entry, limits)?);
    }
    if let Some(entry) = entries.iter().find(|entry| find(layout, entry.binding).is_none()) {
        return Err(DeviceError::invalid(format!("binding {} is not in the layout", entry.binding)));
    }
    Ok(ranges)
}

fn bind(slot: LayoutEntry, entry: &GroupEntry, limits: &DeviceLimits) -> Result<Range, DeviceError> {
    let buffer = &entry.buffer;
    let what = format!("binding {}", slot.binding);
    if !buffer.usage().allows(slot.ty) {
        let ty = type_name(slot.ty);
        return Err(DeviceError::invalid(format!("{what} is {ty}, but the buffer was created without that usage")));
    }
    multiple_of(&format!("the offset of {what}"), entry.offset, alignment(slot.ty))?;
    let size = match entry.size {
        Some(size) => size,
        None => buffer.size().saturating_sub(entry.offset),
    };
    if size == 0 {
        return Err(DeviceError::invalid(format!("{what} has no bytes")));
    }
    range(&what, buffer.size(), entry.offset, size)?;
    if slot.ty != BufferBindingType::Uniform {
        multiple_of(&format!("the size of {what}"), size, 4)?;
    }
    binding_size(slot.ty, size, limits)?;
    if size < slot.min_binding_size {
        return Err(DeviceError::invalid(format!(
            "{what} has {size} bytes, but the layout demands {}",
            slot.min_binding_size
        )));
    }
    Ok(Range { entry: slot, buffer: buffer.clone(), offset: entry.offset, size })
}

fn binding_size(ty: BufferBindingType, size: u64, limits: &DeviceLimits) -> Result<(), DeviceError> {
    match ty {
        BufferBindingType::Uniform => {
            at_most("max-uniform-buffer-binding-size", limits.max_uniform_buffer_binding_size, size)
        }
        _ => at_most(STORAGE_BINDING, limits.max_storage_buffer_binding_size, size),
    }
}

/// The alignment of offsets for this type of binding, in bytes.
pub(super) fn alignment(ty: BufferBindingType) -> u64 {
    u64::from(match ty {
        BufferBindingType::Uniform => COMMON.min_uniform_buffer_offset_alignment,
        _ => COMMON.min_storage_buffer_offset_alignment,
    })
}

pub(super) fn type_name(ty: BufferBindingType) -> &'static str {
    match ty {
        BufferBindingType::Uniform => "uniform",
        BufferBindingType::Storage => "storage",
        BufferBindingType::ReadOnlyStorage => "read-only-storage",
    }
}

/// Checks an entry point with resolved overrides against the given layouts, or derives them from it. Returns the layouts.
pub(super) fn pipeline(
    entry_point: &EntryPoint,
    layouts: Option<&[BindGroupLayout]>,
) -> Result<Vec<BindGroupLayout>, DeviceError> {
    workgroup(entry_point)?;
    let layouts = match layouts {
        Some(layouts) => layouts.to_vec(),
        None => derive(&entry_point.bindings)?,
    };
    let groups = u64::try_from(layouts.len()).unwrap_or(u64::MAX);
    at_most("max-bind-groups", COMMON.max_bind_groups, groups)?;
    count_buffers(layouts.iter().flat_map(|layout| layout.entries()))?;
    for binding in &entry_point.bindings {
        provided(binding, &layouts)?;
    }
    Ok(layouts)
}

fn workgroup(entry_point: &EntryPoint) -> Result<(), DeviceError> {
    let [x, y, z] = entry_point.workgroup_size;
    if x == 0 || y == 0 || z == 0 {
        return Err(DeviceError::invalid(format!(
            "the workgroup size of `{}` is {x}x{y}x{z}; no side may be 0",
            entry_point.name
        )));
    }
    let most = &COMMON;
    at_most("max-compute-workgroup-size-x", most.max_compute_workgroup_size_x, x)?;
    at_most("max-compute-workgroup-size-y", most.max_compute_workgroup_size_y, y)?;
    at_most("max-compute-workgroup-size-z", most.max_compute_workgroup_size_z, z)?;
    at_most(
        "max-compute-invocations-per-workgroup",
        most.max_compute_invocations_per_workgroup,
        entry_point.invocations(),
    )?;
    at_most("max-compute-workgroup-storage-size", most.max_compute_workgroup_storage_size, entry_point.workgroup_bytes)
}

/// Checks an entry point with resolved overrides against the rules that are the same on every device of a class.
///
/// # Errors
/// It exceeds one of the class's [`DeviceLimits`], and then the diagnostic says what to write instead; or it breaks another rule.
pub fn check_entry_point(entry_point: &EntryPoint, class: DeviceClass) -> Result<(), Diagnostic> {
    let limits = DeviceLimits::of(class);
    let sizes = entry_point.bindings.iter().map(|binding| binding_size(binding.ty, binding.min_size, &limits));
    let fits = pipeline(entry_point, None).and_then(|_| sizes.collect::<Result<(), _>>());
    fits.map_err(|error| {
        let refused = |of: &str| format!("no device{of} takes the entry point `{}`: {error}", entry_point.name);
        match error {
            DeviceError::LimitExceeded { limit: STORAGE_BINDING, requested, .. } => {
                let large = DeviceLimits::of(DeviceClass::Large).max_storage_buffer_binding_size;
                let help = if requested <= large { LARGER_CLASS } else { instead_of(STORAGE_BINDING) };
                Diagnostic::with_help(refused(&format!(" of class {class}")), help)
            }
            DeviceError::LimitExceeded { limit, .. } => Diagnostic::with_help(refused(""), instead_of(limit)),
            _ => Diagnostic::new(refused("")),
        }
    })
}

/// What to do about a storage binding that another class takes.
const LARGER_CLASS: &str = "split it into several buffers, or into several dispatches; or run it where devices have class large: `--class large`";

/// What to write instead if a limit is exceeded.
fn instead_of(limit: &str) -> &'static str {
    match limit {
        "max-compute-workgroup-storage-size" => {
            "keep less in `var<workgroup>`, 16 KiB in all, and the rest in storage buffers"
        }
        "max-storage-buffers-per-shader-stage" | "max-uniform-buffers-per-shader-stage" => {
            "put several arrays into one buffer, one behind the other"
        }
        "max-bindings-per-bind-group" => "number the bindings of each group from 0",
        "max-uniform-buffer-binding-size" => "use `var<storage, read>`",
        STORAGE_BINDING => "split it into several buffers, or into several dispatches",
        _ => "give a workgroup at most 256 invocations, 64 of them along z, and dispatch more workgroups",
    }
}

fn derive(bindings: &[Binding]) -> Result<Vec<BindGroupLayout>, DeviceError> {
    let groups = bindings.iter().map(|binding| binding.group + 1).max();
    (0..groups.unwrap_or(0))
        .map(|group| {
            let own = bindings.iter().filter(|binding| binding.group == group);
            let entries: Vec<_> = own
                .map(|binding| LayoutEntry {
                    binding: binding.binding,
                    ty: binding.ty,
                    has_dynamic_offset: false,
                    min_binding_size: binding.min_size,
                })
                .collect();
            layout(&entries)
        })
        .collect()
}

/// Checks that the layouts provide a binding that the shader uses.
fn provided(binding: &Binding, layouts: &[BindGroupLayout]) -> Result<(), DeviceError> {
    let at = format!("@group({}) @binding({})", binding.group, binding.binding);
    let layout = usize::try_from(binding.group).ok().and_then(|group| layouts.get(group));
    let entry = layout.and_then(|layout| find(layout, binding.binding));
    let Some(entry) = entry else {
        return Err(DeviceError::invalid(format!("the shader uses {at}, which is not in the layout")));
    };
    if entry.ty != binding.ty {
        return Err(DeviceError::invalid(format!(
            "{at} is {} in the shader but {} in the layout",
            type_name(binding.ty),
            type_name(entry.ty)
        )));
    }
    if entry.min_binding_size != 0 && entry.min_binding_size < binding.min_size {
        return Err(DeviceError::invalid(format!(
            "{at} needs {} bytes in the shader, but the layout's min-binding-size is {}",
            binding.min_size, entry.min_binding_size
        )));
    }
    Ok(())
}

fn find(layout: &BindGroupLayout, binding: u32) -> Option<&LayoutEntry> {
    layout.entries().iter().find(|entry| entry.binding == binding)
}
