//! The checked kernel, what its entry points bind, and the resolution of its overrides.

use std::collections::HashMap;
use std::sync::Arc;

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};

use crate::dp32::{self, Lowered};
use crate::text::{self, Rewritten, nesting};
use crate::{Diagnostic, GUEST_BIND_GROUPS, Profile, overrides, tails};

/// How a shader uses a bound buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferBindingType {
    /// `var<uniform>`
    Uniform,
    /// `var<storage, read_write>`
    Storage,
    /// `var<storage, read>`
    ReadOnlyStorage,
}

/// A buffer that an entry point uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The number in `@group(n)`.
    pub group: u32,
    /// The number in `@binding(n)`.
    pub binding: u32,
    /// How it is used.
    pub ty: BufferBindingType,
    /// The least size of the bound range in bytes: the type's size, a run-time sized array counting as one element.
    pub min_size: u64,
}

/// A `@compute` function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// Its name.
    pub name: String,
    /// Invocations per workgroup. Final only once the overrides are resolved, see [`Kernel::specialize`].
    pub workgroup_size: [u32; 3],
    /// Bytes of `var<workgroup>` that it uses, each variable rounded up to 16. Final only once the
    /// overrides are resolved.
    pub workgroup_bytes: u64,
    /// The buffers that it uses, by group and binding.
    pub bindings: Vec<Binding>,
}

/// A kernel that has passed every check. Only [`crate::prepare`] makes one.
#[derive(Clone, Debug)]
pub struct Kernel {
    profile: Profile,
    source: Arc<str>,
    module: Module,
    info: ModuleInfo,
    entry_points: Vec<EntryPoint>,
}

impl Kernel {
    /// The rules it was prepared under.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Its text.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The validated module, as the guest wrote it.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// What validation found out about the module.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// The compute entry points, in the order of the source.
    pub fn entry_points(&self) -> &[EntryPoint] {
        &self.entry_points
    }

    /// Finds an entry point; without a name, the only one there is.
    pub fn entry_point(&self, name: Option<&str>) -> Result<&EntryPoint, Diagnostic> {
        let Some(name) = name else {
            return match self.entry_points.as_slice() {
                [only] => Ok(only),
                [] => {
                    let help = "mark a function with `@compute @workgroup_size(64)`";
                    Err(Diagnostic::with_help("the shader has no compute entry point", help))
                }
                several => Err(Diagnostic::new(format!(
                    "the shader has {} compute entry points ({}); name one",
                    several.len(),
                    self.entry_point_names()
                ))),
            };
        };
        let found = self.entry_points.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| {
            Diagnostic::new(format!(
                "the shader has no compute entry point `{name}`; it has: {}",
                self.entry_point_names()
            ))
        })
    }

    /// What an entry point is once the overrides have their values: its final workgroup size and memory.
    ///
    /// A constant is named by its identifier, or by its `@id` in decimal. Refused: a name that no
    /// override has, an override without value, a value that does not fit its type.
    pub fn specialize(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<EntryPoint, Diagnostic> {
        if self.module.overrides.is_empty() && constants.is_empty() {
            return Ok(entry_point.clone());
        }
        crate::on_deep_stack(|| Ok(self.resolve(entry_point, constants)?.2))
    }

    /// Whether the overrides that an entry point uses have values, and of their types. What [`Kernel::specialize`] and
    /// [`Kernel::lower`] still refuse is wrong with the kernel.
    ///
    /// # Errors
    /// What is wrong with the values.
    pub fn check_overrides(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<(), Diagnostic> {
        let values = overrides::values(&self.module, constants)?;
        if self.module.overrides.is_empty() {
            return Ok(());
        }
        let wanted = Some((ShaderStage::Compute, entry_point.name.as_str()));
        let checked = crate::on_deep_stack(|| {
            let (module, info) = self.with_values(&values)?;
            let checked = process_overrides(&module, &info, wanted, &PipelineConstants::default());
            checked.err().and_then(|error| overrides::about_values(&self.module, &error)).map_or(Ok(true), Err)
        });
        match checked {
            // Then it is not about the values themselves.
            Err(error) if error.location.is_some() && error.reason != overrides::NOT_POSITIVE => Ok(()),
            checked => checked.map(drop),
        }
    }

    /// Rewrites an entry point into its dp32 form; see [`crate::dp32`]. Constants are as for [`Kernel::specialize`].
    ///
    /// # Errors
    /// What [`Kernel::specialize`] refuses, and what is found only once the overrides are known.
    pub fn lower(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<Lowered, Diagnostic> {
        crate::on_deep_stack(|| {
            let (module, info, entry_point) = self.resolve(entry_point, constants)?;
            dp32::lower(&module, &info, entry_point, &self.source)
        })
    }

    /// The module with no overrides left.
    fn resolve(
        &self,
        entry_point: &EntryPoint,
        constants: &[(String, f64)],
    ) -> Result<(Module, ModuleInfo, EntryPoint), Diagnostic> {
        let values = overrides::values(&self.module, constants)?;
        let (module, info) = self.with_values(&values)?;
        let wanted = Some((ShaderStage::Compute, entry_point.name.as_str()));
        let (module, info) = process_overrides(&module, &info, wanted, &PipelineConstants::default())
            .map_err(|error| overrides::refused(&self.module, &error, &self.source))?;
        let (module, info) = (module.into_owned(), info.into_owned());
        let resolved = reflect(&module, &info)
            .into_iter()
            .find(|entry| entry.name == entry_point.name)
            .ok_or_else(|| Diagnostic::new("the entry point is not in this shader"))?;
        Ok((module, info, resolved))
    }

    /// The module in which an override with a value is a constant, so that it is computed like any other.
    fn with_values(&self, values: &PipelineConstants) -> Result<(Module, ModuleInfo), Diagnostic> {
        if self.module.overrides.is_empty() {
            return Ok((self.module.clone(), self.info.clone()));
        }
        parse(&self.source, self.profile, Some(overrides::by_name(&self.module, values)))
    }

    fn entry_point_names(&self) -> String {
        let names: Vec<&str> = self.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        names.join(", ")
    }
}

/// Parses, validates, and refuses what the interface or the profile lacks.
pub(crate) fn compile(wgsl: &str, profile: Profile) -> Result<Kernel, Diagnostic> {
    let (module, info) = parse(wgsl, profile, None)?;
    nesting::check_blocks(&module, wgsl)?;
    check_globals(&module, wgsl)?;
    if profile == Profile::Dp32 {
        dp32::check(&module, &info, wgsl)?;
    } else {
        dp32::pointers::check_native(&module, wgsl)?;
    }
    let entry_points = reflect(&module, &info);
    Ok(Kernel { profile, source: wgsl.into(), module, info, entry_points })
}

/// Has naga parse and validate the text, in which all constants are computed; see [`text`].
fn parse(
    wgsl: &str,
    profile: Profile,
    overrides: Option<HashMap<String, f64>>,
) -> Result<(Module, ModuleInfo), Diagnostic> {
    let Rewritten { text, map, layouts } = text::rewrite(wgsl, overrides)?;
    let capabilities = capabilities(profile);
    let mut options = naga::front::wgsl::Options::new();
    options.capabilities = capabilities;
    let mut module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&text)
        .map_err(|error| Diagnostic::from_parse(&error, &map, wgsl))?;
    text::put_back(&mut module, &map);
    text::check_layouts(&module, &layouts, wgsl)?;
    tails::complete(&mut module);
    let validated = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = validated.map_err(|error| {
        let known = check_globals(&module, wgsl).and_then(|()| dp32::unavailable(&module, wgsl));
        known.err().unwrap_or_else(|| Diagnostic::from_validation(&error, wgsl))
    })?;
    Ok((module, info))
}

fn capabilities(profile: Profile) -> Capabilities {
    match profile {
        // It defines the conversions to and from f16 itself.
        Profile::Dp32 => Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        _ => Capabilities::empty(),
    }
}

/// Validates a module that the pass has made, with no optional capability. It is a defect if that fails.
pub(crate) fn validate(module: &Module) -> Result<ModuleInfo, Diagnostic> {
    let validated = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(module);
    validated.map_err(|error| dp32::defect(error.emit_to_string("")))
}

fn check_globals(module: &Module, wgsl: &str) -> Result<(), Diagnostic> {
    for (handle, variable) in module.global_variables.iter() {
        let span = module.global_variables.get_span(handle);
        match variable.space {
            AddressSpace::Private | AddressSpace::WorkGroup | AddressSpace::Uniform | AddressSpace::Storage { .. } => {}
            AddressSpace::Handle => {
                let message = "textures and samplers are not available";
                return Err(Diagnostic::at_with_help(message, "use storage buffers", span, wgsl));
            }
            AddressSpace::Immediate => {
                let message = "immediates (`var<immediate>`) are not available";
                let help = "pass small values in a buffer: `@group(0) @binding(0) var<uniform>`";
                return Err(Diagnostic::at_with_help(message, help, span, wgsl));
            }
            _ => {
                let message = "variables of this address space are not available";
                return Err(Diagnostic::at(message, span, wgsl));
            }
        }
        let group = variable.binding.map_or(0, |binding| binding.group);
        if group >= GUEST_BIND_GROUPS {
            let message = format!("@group({group}) is not available");
            let help = format!("a kernel has groups 0 to {}", GUEST_BIND_GROUPS - 1);
            return Err(Diagnostic::at_with_help(message, &help, span, wgsl));
        }
    }
    Ok(())
}

fn reflect(module: &Module, info: &ModuleInfo) -> Vec<EntryPoint> {
    let compute = module.entry_points.iter().enumerate();
    compute
        .filter(|(_, entry)| entry.stage == ShaderStage::Compute)
        .map(|(index, entry)| {
            let uses = info.get_entry_point(index);
            let mut reflected = EntryPoint {
                name: entry.name.clone(),
                workgroup_size: entry.workgroup_size,
                workgroup_bytes: 0,
                bindings: Vec::new(),
            };
            for (handle, variable) in module.global_variables.iter() {
                if uses[handle].is_empty() {
                    continue;
                }
                let size = module
                    .types
                    .get_handle(variable.ty)
                    .ok()
                    .and_then(|ty| ty.inner.try_size(module.to_ctx()))
                    .map_or(0, u64::from);
                if variable.space == AddressSpace::WorkGroup {
                    reflected.workgroup_bytes += size.next_multiple_of(16);
                }
                let (Some(at), Some(ty)) = (variable.binding, binding_type(variable.space)) else {
                    continue;
                };
                reflected.bindings.push(Binding { group: at.group, binding: at.binding, ty, min_size: size });
            }
            reflected.bindings.sort_by_key(|binding| (binding.group, binding.binding));
            reflected
        })
        .collect()
}

fn binding_type(space: AddressSpace) -> Option<BufferBindingType> {
    match space {
        AddressSpace::Uniform => Some(BufferBindingType::Uniform),
        AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Some(BufferBindingType::Storage),
        AddressSpace::Storage { .. } => Some(BufferBindingType::ReadOnlyStorage),
        _ => None,
    }
}
