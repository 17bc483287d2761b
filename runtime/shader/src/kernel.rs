//! The checked kernel, what its entry points bind, and the resolution of its overrides.

use std::sync::{Arc, OnceLock};

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::compact::KeepUnused;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Arena, Function, Module, ShaderStage, Statement, StorageAccess};

use crate::dp32::uniformity::Uniformity;
use crate::dp32::{self, LoopCost, Lowered, Meter, Tier};
use crate::refusal::Refusal;
use crate::text::{self, Rewritten, Specialization, nesting};
use crate::visit::{for_each_statement, functions};
use crate::{GUEST_BIND_GROUPS, KernelError, Profile, advice, overrides, specialize, tails};

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
    /// The least size of the bound range in bytes: the type's size, where a run-time sized array counts as one element.
    pub min_size: u64,
}

/// A `@compute` function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// Its name.
    pub name: String,
    /// Invocations per workgroup. Final only once the overrides are resolved, see [`Kernel::resolve`].
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

/// A parsed kernel. Only [`crate::prepare`] makes one.
///
/// Each entry point is checked, with everything that it calls, when it is asked for: an error in one does not affect the
/// others. `prepare` refuses the kernel if it has entry points, but no more than 16, and none of them passes the checks. A
/// kernel without entry points is checked as a whole.
#[derive(Clone, Debug)]
pub struct Kernel {
    profile: Profile,
    source: Arc<str>,
    /// The whole module as parsed, from which each entry point is taken.
    parsed: Arc<Module>,
    entries: Arc<[Entry]>,
}

/// A compute entry point of the source.
#[derive(Debug)]
struct Entry {
    name: String,
    /// Its index among all entry points of the module.
    index: usize,
    checked: OnceLock<Result<Arc<Checked>, KernelError>>,
}

/// An entry point that has passed every check, alone in a module with what it reaches.
#[derive(Debug)]
struct Checked {
    module: Module,
    info: ModuleInfo,
    entry_point: EntryPoint,
    /// None under profile native, which does not analyze uniformity.
    uniformity: Option<Uniformity>,
}

/// A checked entry point with no overrides left.
#[derive(Clone, Debug)]
pub struct Resolved {
    source: Arc<str>,
    checked: Arc<Checked>,
}

impl Resolved {
    /// The module of this entry point alone, with everything it reaches, as the guest wrote it.
    pub fn module(&self) -> &Module {
        &self.checked.module
    }

    /// The result of validating the module.
    pub fn info(&self) -> &ModuleInfo {
        &self.checked.info
    }

    /// The entry point with its final workgroup size and memory.
    pub fn entry_point(&self) -> &EntryPoint {
        &self.checked.entry_point
    }

    /// Its expressions: a measure of how much memory it may take.
    pub fn weight(&self) -> u64 {
        expressions(&self.checked.module)
    }

    /// The bytes of each variable that every invocation has for itself: private ones, and those of functions.
    pub fn variables(&self) -> impl Iterator<Item = u64> {
        let module = &self.checked.module;
        let private = module.global_variables.iter().map(|(_, variable)| variable);
        let private =
            private.filter(|variable| variable.space == naga::AddressSpace::Private).map(|variable| variable.ty);
        let local = functions(module).flat_map(|function| function.local_variables.iter().map(|(_, local)| local.ty));
        private.chain(local).filter_map(|ty| module.types[ty].inner.try_size(module.to_ctx()).map(u64::from))
    }

    /// Rewrites it into its dp32 form; see [`crate::dp32`].
    ///
    /// # Errors
    /// The kernel becomes too large or nests too deep. If it was prepared under profile native: it uses what dp32 lacks.
    pub fn lower(&self) -> Result<Lowered, KernelError> {
        self.lower_with(Meter::On)
    }

    /// As [`Resolved::lower`], but no loop pays fuel. It is there to measure what paying costs, and a loop may hold the device for
    /// ever: no job's kernel may be lowered so.
    ///
    /// # Errors
    /// As [`Resolved::lower`].
    pub fn lower_unmetered(&self) -> Result<Lowered, KernelError> {
        self.lower_with(Meter::Off)
    }

    fn lower_with(&self, meter: Meter) -> Result<Lowered, KernelError> {
        let Checked { module, info, entry_point, uniformity } = &*self.checked;
        let lowered = crate::on_deep_stack(&self.source, || match uniformity {
            Some(uniformity) => dp32::lower(module, info, entry_point, uniformity, meter),
            None => dp32::lower(module, info, entry_point, &dp32::check(module, info)?, meter),
        });
        let (lowered, loops) = lowered?;
        let location = |span: naga::Span| span.is_defined().then(|| span.location(&self.source).into());
        let loops = loops.into_iter().map(|(span, iteration)| LoopCost { location: location(span), iteration });
        Ok(lowered.with_loops(loops.collect()))
    }
}

impl Lowered {
    /// Its expressions: a measure of how much memory it may take.
    pub fn weight(&self) -> u64 {
        expressions(self.module())
    }

    /// The module as WGSL text: in primitives, or, with a tier, as a device of that tier gets it.
    ///
    /// # Errors
    /// As [`Lowered::realize`].
    pub fn emit(&self, tier: Option<Tier>) -> Result<String, KernelError> {
        let module = match tier {
            Some(tier) => self.realize(tier)?,
            None => self.module().clone(),
        };
        crate::on_deep_stack("", || text::write(module))
    }
}

/// How many entry points are checked to find one that can run.
const FIRST_ENTRY_POINTS: usize = 16;

impl Kernel {
    /// The profile it was prepared under.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Its WGSL text.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The expressions of the text and of the copies of it that are checked for the entry points, at most. A measure of how much memory
    /// the kernel may take.
    pub fn weight(&self) -> u64 {
        let entries = self.entries.len() as u64;
        expressions(&self.parsed).saturating_mul(entries.saturating_add(1))
    }

    /// The names of the compute entry points, in the order of the source.
    pub fn entry_point_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Finds an entry point by name; without a name, the only one.
    ///
    /// # Errors
    /// There is no such entry point, or it is refused.
    pub fn entry_point(&self, name: Option<&str>) -> Result<&EntryPoint, KernelError> {
        Ok(&self.checked(self.named(name)?)?.entry_point)
    }

    fn named(&self, name: Option<&str>) -> Result<&Entry, Refusal> {
        match (name, &*self.entries) {
            (Some(name), entries) => entries.iter().find(|entry| entry.name == name).ok_or_else(|| {
                let names = self.all_names();
                Refusal::new(format!("the shader has no compute entry point `{name}`; it has: {names}"))
            }),
            (None, [only]) => Ok(only),
            (None, []) => Err(no_entry_point()),
            (None, several) => {
                let (count, names) = (several.len(), self.all_names());
                Err(Refusal::new(format!("the shader has {count} compute entry points ({names}); name one")))
            }
        }
    }

    fn checked<'k>(&'k self, entry: &'k Entry) -> Result<&'k Arc<Checked>, KernelError> {
        let check = || {
            let checked = crate::on_deep_stack(&self.source, || check_entry(&self.parsed, entry.index, self.profile));
            checked.map(Arc::new)
        };
        entry.checked.get_or_init(check).as_ref().map_err(Clone::clone)
    }

    /// Checks that the overrides that an entry point uses have values, and that the values fit their types. If
    /// [`Kernel::resolve`] then still refuses, the kernel is at fault.
    ///
    /// # Errors
    /// A value is missing, given twice, unknown or does not fit; or the entry point is refused.
    pub fn check_overrides(&self, entry_point: &EntryPoint, constants: &[(String, f64)]) -> Result<(), KernelError> {
        let entry = self.named(Some(&entry_point.name))?;
        let values = overrides::values(&self.parsed, &self.checked(entry)?.module, constants)?;
        if self.parsed.overrides.is_empty() {
            return Ok(());
        }
        crate::on_deep_stack(&self.source, || match self.specialized(entry, &values) {
            Err(refusal) if refusal.is_about_values || refusal.is_defect => Err(refusal),
            _ => Ok(()),
        })
    }

    /// Resolves the overrides of an entry point; without a name, of the only one.
    ///
    /// Constants are named by the `@id` of their override in decimal if it has one, or else by its identifier.
    ///
    /// # Errors
    /// There is no such entry point, or it is refused; some checks are only possible now. A name belongs to no override, an
    /// override has no value, or a value does not fit its type.
    pub fn resolve(&self, entry_point: Option<&str>, constants: &[(String, f64)]) -> Result<Resolved, KernelError> {
        let checked = self.with_constants(self.named(entry_point)?, constants)?;
        Ok(Resolved { source: Arc::clone(&self.source), checked })
    }

    fn with_constants(&self, entry: &Entry, constants: &[(String, f64)]) -> Result<Arc<Checked>, KernelError> {
        let checked = self.checked(entry)?;
        let values = overrides::values(&self.parsed, &checked.module, constants)?;
        if self.parsed.overrides.is_empty() {
            return Ok(Arc::clone(checked));
        }
        crate::on_deep_stack(&self.source, || self.specialized(entry, &values)).map(Arc::new)
    }

    /// Parses the text again with every override that has a value as a constant, and checks the entry point.
    fn specialized(&self, entry: &Entry, values: &PipelineConstants) -> Result<Checked, Refusal> {
        let overrides = overrides::by_name(&self.parsed, values);
        let specialization = Specialization { entry_point: &entry.name, overrides };
        let parsed = parse(&self.source, self.profile, Some(specialization))?;
        let index = parsed.entry_points.iter().position(|parsed| parsed.name == entry.name);
        let checked = check_entry(&parsed, index.ok_or_else(no_entry_point)?, self.profile)?;
        if checked.module.overrides.is_empty() {
            return Ok(checked);
        }
        // The remaining overrides have no value, or one that only naga computes.
        let (module, _) = process_overrides(&checked.module, &checked.info, None, &PipelineConstants::default())
            .map_err(|error| overrides::refused(&checked.module, &error))?;
        check_alone(module.into_owned(), self.profile)
    }

    fn all_names(&self) -> String {
        self.entry_point_names().collect::<Vec<_>>().join(", ")
    }
}

/// Parses a kernel and checks its entry points until one passes.
pub(crate) fn compile(wgsl: &str, profile: Profile) -> Result<Kernel, KernelError> {
    let kernel =
        crate::on_deep_stack(wgsl, || {
            let module = parse(wgsl, profile, None)?;
            let entries = module.entry_points.iter().enumerate();
            let entries = entries
                .filter(|(_, entry)| entry.stage == ShaderStage::Compute)
                .map(|(index, entry)| Entry { name: entry.name.clone(), index, checked: OnceLock::new() });
            let entries: Arc<[Entry]> = entries.collect();
            if entries.is_empty() {
                // A library: nothing will run, but its errors can be reported.
                check_module(&module, profile)?;
            }
            Ok(Kernel { profile, source: wgsl.into(), entries, parsed: Arc::new(module) })
        })?;
    let mut refused = None;
    for entry in kernel.entries.iter().take(FIRST_ENTRY_POINTS) {
        match kernel.checked(entry) {
            Ok(_) => return Ok(kernel),
            Err(KernelError::Refused(reason)) => refused = refused.or(Some(reason)),
            Err(fault) => return Err(fault),
        }
    }
    match refused {
        Some(reason) if kernel.entries.len() <= FIRST_ENTRY_POINTS => Err(KernelError::Refused(reason)),
        // With more entry points than were checked, a later one may be valid.
        _ => Ok(kernel),
    }
}

/// Computes all constants of the text, see [`text`], and lets naga parse the result.
fn parse(wgsl: &str, profile: Profile, specialization: Option<Specialization<'_>>) -> Result<Module, Refusal> {
    let Rewritten { text, map, layouts } = text::rewrite(wgsl, specialization)?;
    let mut options = naga::front::wgsl::Options::new();
    options.capabilities = capabilities(profile);
    let mut frontend = naga::front::wgsl::Frontend::new_with_options(options);
    let mut module = frontend.parse(&text).map_err(|error| advice::of_parse(&error, &map))?;
    text::put_back(&mut module, &map);
    text::check_layouts(&module, &layouts)?;
    tails::complete(&mut module);
    Ok(module)
}

/// The expressions of all functions, and of all constants.
fn expressions(module: &Module) -> u64 {
    let of_functions: usize = functions(module).map(|function| function.expressions.len()).sum();
    of_functions.saturating_add(module.global_expressions.len()) as u64
}

fn no_entry_point() -> Refusal {
    Refusal::with_help("the shader has no compute entry point", "mark a function with `@compute @workgroup_size(64)`")
}

/// Checks one entry point with everything that it reaches.
fn check_entry(parsed: &Module, index: usize, profile: Profile) -> Result<Checked, Refusal> {
    let mut module = alone(parsed, index);
    if profile == Profile::Dp32 {
        dp32::pointers::check(&module)?;
    }
    specialize::specialize(&mut module)?;
    naga::compact::compact(&mut module, KeepUnused::No);
    check_alone(module, profile)
}

/// Checks a module with one entry point.
fn check_alone(module: Module, profile: Profile) -> Result<Checked, Refusal> {
    let (info, uniformity) = check_module(&module, profile)?;
    let entry_point = reflect(&module, &info).pop().ok_or_else(no_entry_point)?;
    Ok(Checked { module, info, entry_point, uniformity })
}

/// Validates a module, and refuses what the interface or the profile lacks.
fn check_module(module: &Module, profile: Profile) -> Result<(ModuleInfo, Option<Uniformity>), Refusal> {
    let validated = Validator::new(ValidationFlags::all(), capabilities(profile)).validate(module);
    let info = validated.map_err(|error| {
        let known = check_globals(module).and_then(|()| dp32::check_available(module));
        known.err().unwrap_or_else(|| advice::of_validation(&error))
    })?;
    nesting::check_blocks(module)?;
    check_globals(module)?;
    let uniformity = match profile {
        Profile::Dp32 => Some(dp32::check(module, &info)?),
        _ => {
            dp32::check_bounds(module, &info)?;
            dp32::pointers::check_native(module)?;
            None
        }
    };
    Ok((info, uniformity))
}

/// The module with only this entry point and the functions that it calls.
fn alone(parsed: &Module, index: usize) -> Module {
    let entry_points: Vec<_> = parsed.entry_points.get(index).cloned().into_iter().collect();
    let mut is_called = vec![false; parsed.functions.len()];
    let mut open: Vec<&Function> = entry_points.iter().map(|entry| &entry.function).collect();
    while let Some(function) = open.pop() {
        for_each_statement(&function.body, &mut |statement, _| {
            if let Statement::Call { function: callee, .. } = statement
                && let Some(called) = is_called.get_mut(callee.index())
                && !std::mem::replace(called, true)
            {
                open.push(&parsed.functions[*callee]);
            }
        });
    }
    // Empty functions keep the handles of the others valid until the module is compacted.
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
        // dp32 defines the conversions to and from f16 itself.
        Profile::Dp32 => Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        _ => Capabilities::empty(),
    }
}

fn check_globals(module: &Module) -> Result<(), Refusal> {
    for (handle, variable) in module.global_variables.iter() {
        let span = module.global_variables.get_span(handle);
        match variable.space {
            AddressSpace::Private | AddressSpace::WorkGroup | AddressSpace::Uniform | AddressSpace::Storage { .. } => {}
            AddressSpace::Handle => {
                let message = "textures and samplers are not available";
                return Err(Refusal::at_with_help(span, message, "use storage buffers"));
            }
            AddressSpace::Immediate => {
                let message = "immediates (`var<immediate>`) are not available";
                let help = "pass small values in a buffer: `@group(0) @binding(0) var<uniform>`";
                return Err(Refusal::at_with_help(span, message, help));
            }
            _ => {
                let message = "variables of this address space are not available";
                return Err(Refusal::at(span, message));
            }
        }
        let group = variable.binding.map_or(0, |binding| binding.group);
        if group >= GUEST_BIND_GROUPS {
            let message = format!("@group({group}) is not available");
            let help = format!("a kernel has groups 0 to {}", GUEST_BIND_GROUPS - 1);
            return Err(Refusal::at_with_help(span, message, help));
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
