//! The checked kernel, what its entry points bind, and the resolution of its overrides.

use std::sync::{Arc, OnceLock};

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::compact::KeepUnused;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Arena, Function, Module, ShaderStage, Statement, StorageAccess};

use crate::dp32::{self, Lowered};
use crate::text::{self, Rewritten, Specialization, nesting};
use crate::{Diagnostic, GUEST_BIND_GROUPS, KernelError, Profile, overrides, specialize, tails};

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

impl EntryPoint {
    /// Invocations per workgroup in all.
    pub fn invocations(&self) -> u64 {
        self.workgroup_size.iter().fold(1, |all, side| all.saturating_mul(u64::from(*side)))
    }
}

/// A kernel with at least one entry point that has passed every check. Only [`crate::prepare`] makes one.
///
/// What is wrong with one entry point, or with what it calls, is no matter of the others: each is checked with all that it
/// reaches, when it is asked for.
#[derive(Clone, Debug)]
pub struct Kernel {
    profile: Profile,
    source: Arc<str>,
    /// As parsed, for the other entry points.
    parsed: Arc<Module>,
    entries: Arc<[Entry]>,
}

/// A compute entry point of the source.
#[derive(Debug)]
struct Entry {
    name: String,
    /// Its place among all of the module's.
    index: usize,
    checked: OnceLock<Result<Checked, KernelError>>,
}

/// An entry point that has passed every check, alone in a module with what it reaches.
#[derive(Debug)]
struct Checked {
    module: Module,
    info: ModuleInfo,
    entry_point: EntryPoint,
}

/// An entry point with no overrides left, as it goes to a device under profile native.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// It alone, with what it reaches.
    pub module: Module,
    /// What validation found out about the module.
    pub info: ModuleInfo,
    /// With its final workgroup size and memory.
    pub entry_point: EntryPoint,
}

/// Entry points that are looked at for one that can run, before the whole kernel is refused.
const FIRST_ENTRY_POINTS: usize = 16;

impl Kernel {
    /// The rules it was prepared under.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Its text.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The validated module of an entry point, as the guest wrote it, without what the entry point does not reach.
    ///
    /// # Errors
    /// There is no such entry point, or it is refused.
    pub fn module(&self, entry_point: &str) -> Result<(&Module, &ModuleInfo), KernelError> {
        let checked = self.checked(self.named(entry_point)?)?;
        Ok((&checked.module, &checked.info))
    }

    /// The names of the compute entry points, in the order of the source.
    pub fn entry_point_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Finds an entry point; without a name, the only one there is.
    ///
    /// # Errors
    /// There is no such entry point, or it is refused.
    pub fn entry_point(&self, name: Option<&str>) -> Result<&EntryPoint, KernelError> {
        let entry = match (name, &*self.entries) {
            (Some(name), _) => self.named(name)?,
            (None, [only]) => only,
            (None, []) => return Err(no_entry_point().into()),
            (None, several) => {
                let (count, names) = (several.len(), self.all_names());
                let reason = format!("the shader has {count} compute entry points ({names}); name one");
                return Err(Diagnostic::new(reason).into());
            }
        };
        Ok(&self.checked(entry)?.entry_point)
    }

    fn named(&self, name: &str) -> Result<&Entry, Diagnostic> {
        let found = self.entries.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| {
            Diagnostic::new(format!("the shader has no compute entry point `{name}`; it has: {}", self.all_names()))
        })
    }

    fn checked<'k>(&'k self, entry: &'k Entry) -> Result<&'k Checked, KernelError> {
        let check = || crate::on_deep_stack(|| check_entry(&self.parsed, entry.index, &self.source, self.profile));
        entry.checked.get_or_init(check).as_ref().map_err(Clone::clone)
    }

    /// What an entry point is once the overrides have their values: its final workgroup size and memory.
    ///
    /// A constant is named by its identifier, or by its `@id` in decimal. Refused: a name that no
    /// override has, an override without value, a value that does not fit its type.
    pub fn specialize(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<EntryPoint, KernelError> {
        if self.parsed.overrides.is_empty() && constants.is_empty() {
            return Ok(entry_point.clone());
        }
        Ok(self.resolve(entry_point, constants)?.entry_point)
    }

    /// Whether the overrides that an entry point uses have values, and of their types. What [`Kernel::specialize`] and
    /// [`Kernel::lower`] still refuse is wrong with the kernel.
    ///
    /// # Errors
    /// What is wrong with the values.
    pub fn check_overrides(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<(), KernelError> {
        let (module, _) = self.module(&entry_point.name)?;
        let values = overrides::values(&self.parsed, module, constants)?;
        match self.with_values(&entry_point.name, &values) {
            Ok(Some(Checked { module, info, .. })) => {
                match process_overrides(&module, &info, None, &PipelineConstants::default()) {
                    Ok(_) => Ok(()),
                    Err(error) => overrides::about_values(&module, &error).map_or(Ok(()), |it| Err(it.into())),
                }
            }
            Err(KernelError::Refused(error)) if error.reason == overrides::NOT_POSITIVE => Err(error.into()),
            Err(error @ KernelError::Fault(_)) => Err(error),
            // Then it is not about the values themselves.
            Ok(None) | Err(KernelError::Refused(_)) => Ok(()),
        }
    }

    /// Rewrites an entry point into its dp32 form; see [`crate::dp32`]. Constants are as for [`Kernel::specialize`].
    ///
    /// # Errors
    /// What [`Kernel::specialize`] refuses, and what is found only once the overrides are known.
    pub fn lower(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<Lowered, KernelError> {
        crate::on_deep_stack(|| {
            let Resolved { module, info, entry_point } = self.resolve(entry_point, constants)?;
            dp32::lower(&module, &info, entry_point, &self.source).map_err(KernelError::from)
        })
    }

    /// An entry point with no overrides left.
    ///
    /// # Errors
    /// What [`Kernel::specialize`] refuses.
    pub fn resolve(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<Resolved, KernelError> {
        let checked = self.checked(self.named(&entry_point.name)?)?;
        let values = overrides::values(&self.parsed, &checked.module, constants)?;
        let Some(Checked { module, info, .. }) = self.with_values(&entry_point.name, &values)? else {
            let Checked { module, info, entry_point } = checked;
            return Ok(Resolved { module: module.clone(), info: info.clone(), entry_point: entry_point.clone() });
        };
        let (module, info) = process_overrides(&module, &info, None, &PipelineConstants::default())
            .map_err(|error| overrides::refused(&module, &error, &self.source))?;
        let (module, info) = (module.into_owned(), info.into_owned());
        let entry_point = reflect(&module, &info).pop().ok_or_else(no_entry_point)?;
        Ok(Resolved { module, info, entry_point })
    }

    /// An entry point of the text in which every override with a value is a constant, so that it is computed like any other; None
    /// if there are no overrides.
    fn with_values(&self, entry_point: &str, values: &PipelineConstants) -> Result<Option<Checked>, KernelError> {
        if self.parsed.overrides.is_empty() {
            return Ok(None);
        }
        crate::on_deep_stack(|| {
            let overrides = overrides::by_name(&self.parsed, values);
            let parsed = parse(&self.source, self.profile, Some(Specialization { entry_point, overrides }))?;
            let index = parsed.entry_points.iter().position(|entry| entry.name == entry_point);
            check_entry(&parsed, index.ok_or_else(no_entry_point)?, &self.source, self.profile).map(Some)
        })
    }

    fn all_names(&self) -> String {
        self.entry_point_names().collect::<Vec<_>>().join(", ")
    }
}

/// Parses, validates, and refuses what the interface or the profile lacks.
pub(crate) fn compile(wgsl: &str, profile: Profile) -> Result<Kernel, KernelError> {
    let module = parse(wgsl, profile, None)?;
    let entries = module.entry_points.iter().enumerate();
    let entries = entries.filter(|(_, entry)| entry.stage == ShaderStage::Compute).map(|(index, entry)| Entry {
        name: entry.name.clone(),
        index,
        checked: OnceLock::new(),
    });
    let kernel = Kernel { profile, source: wgsl.into(), entries: entries.collect(), parsed: Arc::new(module) };
    if kernel.entries.is_empty() {
        // A library: nothing will run, but what is wrong with it can be said.
        check_module(&kernel.parsed, wgsl, profile)?;
    }
    let mut refused = None;
    for entry in kernel.entries.iter().take(FIRST_ENTRY_POINTS) {
        match kernel.checked(entry) {
            Ok(_) => return Ok(kernel),
            Err(KernelError::Refused(reason)) => refused = refused.or(Some(reason)),
            Err(fault) => return Err(fault),
        }
    }
    match refused {
        Some(reason) if kernel.entries.len() <= FIRST_ENTRY_POINTS => Err(reason.into()),
        // Of several, a later one may be right.
        _ => Ok(kernel),
    }
}

/// Has naga parse the text, in which all constants are computed; see [`text`].
fn parse(wgsl: &str, profile: Profile, specialization: Option<Specialization<'_>>) -> Result<Module, Diagnostic> {
    let Rewritten { text, map, layouts } = text::rewrite(wgsl, specialization)?;
    let mut options = naga::front::wgsl::Options::new();
    options.capabilities = capabilities(profile);
    let mut module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&text)
        .map_err(|error| Diagnostic::from_parse(&error, &map, wgsl))?;
    text::put_back(&mut module, &map);
    text::check_layouts(&module, &layouts, wgsl)?;
    tails::complete(&mut module);
    Ok(module)
}

fn no_entry_point() -> Diagnostic {
    Diagnostic::with_help(
        "the shader has no compute entry point",
        "mark a function with `@compute @workgroup_size(64)`",
    )
}

/// Checks one entry point with all that it reaches.
fn check_entry(parsed: &Module, index: usize, wgsl: &str, profile: Profile) -> Result<Checked, Diagnostic> {
    let mut module = alone(parsed, index);
    if profile == Profile::Dp32 {
        dp32::pointers::check(&module, wgsl)?;
    }
    specialize::specialize(&mut module, wgsl)?;
    naga::compact::compact(&mut module, KeepUnused::No);
    let info = check_module(&module, wgsl, profile)?;
    let entry_point = reflect(&module, &info).pop().ok_or_else(no_entry_point)?;
    Ok(Checked { module, info, entry_point })
}

/// Validates a module, and refuses what the interface or the profile lacks.
fn check_module(module: &Module, wgsl: &str, profile: Profile) -> Result<ModuleInfo, Diagnostic> {
    let validated = Validator::new(ValidationFlags::all(), capabilities(profile)).validate(module);
    let info = validated.map_err(|error| {
        let known = check_globals(module, wgsl).and_then(|()| dp32::unavailable(module, wgsl));
        known.err().unwrap_or_else(|| Diagnostic::from_validation(&error, wgsl))
    })?;
    nesting::check_blocks(module, wgsl)?;
    check_globals(module, wgsl)?;
    if profile == Profile::Dp32 {
        dp32::check(module, &info, wgsl)?;
    } else {
        dp32::pointers::check_native(module, wgsl)?;
    }
    Ok(info)
}

/// A module with one of the entry points, and of the functions only those that it calls.
fn alone(parsed: &Module, index: usize) -> Module {
    let entry_points: Vec<_> = parsed.entry_points.get(index).cloned().into_iter().collect();
    let mut is_called = vec![false; parsed.functions.len()];
    let mut open: Vec<&Function> = entry_points.iter().map(|entry| &entry.function).collect();
    while let Some(function) = open.pop() {
        dp32::for_each_statement(&function.body, &mut |statement, _| {
            if let Statement::Call { function: callee, .. } = statement
                && let Some(called) = is_called.get_mut(callee.index())
                && !std::mem::replace(called, true)
            {
                open.push(&parsed.functions[*callee]);
            }
        });
    }
    // Empty functions hold the places of the others until the module is compacted.
    let mut functions = Arena::new();
    for (handle, function) in parsed.functions.iter() {
        let kept = is_called.get(handle.index()) == Some(&true);
        functions.append(if kept { function.clone() } else { Function::default() }, parsed.functions.get_span(handle));
    }
    Module {
        types: parsed.types.clone(),
        special_types: parsed.special_types.clone(),
        constants: parsed.constants.clone(),
        overrides: parsed.overrides.clone(),
        global_variables: parsed.global_variables.clone(),
        global_expressions: parsed.global_expressions.clone(),
        diagnostic_filters: parsed.diagnostic_filters.clone(),
        diagnostic_filter_leaf: parsed.diagnostic_filter_leaf,
        functions,
        entry_points,
        ..Module::default()
    }
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
