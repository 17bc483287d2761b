//! The first stage: replaces what WGSL leaves open by primitives with one meaning.
//!
//! Every function that the entry point calls is rewritten, callees first:
//!
//! - `function` walks the statements; `expression` and `builtin` rewrite expressions;
//! - `content` finds which bits are moved and which are made by arithmetic; `canonical` converts where the two meet;
//! - `counted` finds the loops that need no meter;
//! - `flow` writes exits in another form where they would nest too deep, which `depth` measures;
//! - `entry` wraps the guest's entry point;
//! - `body` is the function body that they all write to.

mod body;
mod builtin;
mod canonical;
mod content;
mod counted;
mod depth;
mod entry;
mod expression;
mod flow;
mod function;

use std::collections::HashMap;

use naga::valid::ModuleInfo;
use naga::{
    AddressSpace, EntryPoint, Function, GlobalVariable, Handle, MemoryDecorations, Module, Scalar, Span, StructMember,
    Type, TypeInner,
};

use self::body::Shape;
use self::content::{Content, Contents};
use self::depth::Depth;
use self::function::{Origin, define_function};
use super::pointers::Pointers;
use super::system;
use super::uniformity::Uniformity;
use crate::Refusal;
use crate::prelude::Library;

/// The most expressions that a lowered module may have in all its functions.
const MAX_EXPRESSIONS: usize = 2_000_000;

/// The deepest nesting of branches and loops, with all calls inlined. lavapipe keeps 80 masks and silently computes wrong
/// results beyond that. The rest is room for the branch that the second stage adds around writes that may be out of bounds,
/// and for branches that drivers add.
pub const MAX_CONTROL_DEPTH: u32 = 64;

/// The result of the first stage.
pub(super) struct Defined {
    pub(super) module: Module,
    pub(super) invocation_cost: u32,
    /// The kernel has loops: its workgroups report how they ended.
    pub(super) reports: bool,
    /// The metered loops in the order of the source, with the cost of one iteration of each.
    pub(super) loops: Vec<(Span, u32)>,
}

/// Whether loops of unknown length pay fuel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meter {
    On,
    /// For measurements only: nothing but the device ends such a loop.
    Off,
}

/// Rewrites an entry point of a checked module without overrides.
pub(super) fn define(
    module: &Module,
    info: &ModuleInfo,
    entry_point: usize,
    uniformity: &Uniformity,
    meter: Meter,
) -> Result<Defined, Refusal> {
    let defined = define_in_form(module, info, entry_point, uniformity, meter, false)?;
    if depth::of_module(&defined.module).depth <= MAX_CONTROL_DEPTH {
        return Ok(defined);
    }
    let defined = define_in_form(module, info, entry_point, uniformity, meter, true)?;
    let Depth { depth, span } = depth::of_module(&defined.module);
    if depth <= MAX_CONTROL_DEPTH {
        return Ok(defined);
    }
    let message = format!(
        "control flow nests {depth} deep with all calls inlined, more than the {MAX_CONTROL_DEPTH} that every driver keeps"
    );
    Err(Refusal::at_with_help(span, message, "use fewer branches and loops within one another, or a table"))
}

/// `flat`: with as little nesting as possible, see `flow`.
fn define_in_form(
    module: &Module,
    info: &ModuleInfo,
    entry_point: usize,
    uniformity: &Uniformity,
    meter: Meter,
    flat: bool,
) -> Result<Defined, Refusal> {
    let entry = module.entry_points.get(entry_point).ok_or_else(|| Refusal::new("there is no such entry point"))?;
    let contents = content::analyze(module, info, entry_point);
    let mut definer = Definer::new(module, info, uniformity, contents);
    (definer.meter, definer.flat) = (meter, flat);
    let origin =
        Origin { module, info: info.get_entry_point(entry_point), function: &entry.function, guest: Some(None) };
    let (mut guest, cost) = define_function(&mut definer, origin)?;
    guest.name = Some(format!("{}_body", entry.name));
    let meters = definer.meters;
    let guest = definer.append(guest)?;
    let function = entry::wrap(&mut definer, entry, guest, meters)?;
    let mut loops = definer.loops;
    loops.sort_by_key(|(span, _)| span.to_range().map_or(0, |range| range.start));
    let mut out = definer.out;
    out.entry_points.push(EntryPoint { function, ..without_function(entry) });
    naga::compact::compact(&mut out, naga::compact::KeepUnused::No);
    Ok(Defined { module: out, invocation_cost: cost, reports: meters.any(), loops })
}

fn without_function(entry: &EntryPoint) -> EntryPoint {
    EntryPoint {
        name: entry.name.clone(),
        stage: entry.stage,
        early_depth_test: None,
        workgroup_size: entry.workgroup_size,
        workgroup_size_overrides: None,
        function: Function::default(),
        mesh_info: None,
        task_payload: None,
        incoming_ray_payload: None,
    }
}

/// A function of the new module.
#[derive(Clone, Copy)]
struct Callee {
    handle: Handle<Function>,
    /// Fuel of one call, metered loops aside.
    cost: u32,
    returns: bool,
}

/// The system's variables in the new module.
#[derive(Clone, Copy)]
struct System {
    params: Handle<GlobalVariable>,
    status: Handle<GlobalVariable>,
    /// Fuel left for loops that have the same number of iterations in all invocations of a workgroup.
    uniform_fuel: Handle<GlobalVariable>,
    /// Fuel left for the other loops.
    varying_fuel: Handle<GlobalVariable>,
    trap: Handle<GlobalVariable>,
}

/// Which counters a kernel needs.
#[derive(Clone, Copy, Default)]
struct Meters {
    uniform: bool,
    varying: bool,
    /// There are loops that are not metered; only whether the device has left them early is checked.
    unmetered: bool,
}

impl Meters {
    /// Whether the kernel has loops.
    fn any(self) -> bool {
        self.uniform || self.varying || self.unmetered
    }
}

/// The new module as it grows.
struct Definer<'a> {
    out: Module,
    guest: &'a Module,
    guest_info: &'a ModuleInfo,
    uniformity: &'a Uniformity,
    contents: Contents,
    pointers: Pointers,
    meter: Meter,
    flat: bool,
    system: System,
    meters: Meters,
    /// The iterations of counted loops in the guest's functions.
    iterations: counted::Iterations,
    /// The metered loops of the guest's functions, with the cost of one iteration of each.
    loops: Vec<(Span, u32)>,
    functions: HashMap<Handle<Function>, Callee>,
    helpers: HashMap<Handle<Function>, Callee>,
    helper_types: HashMap<Handle<Type>, Handle<Type>>,
    expressions: usize,
}

impl<'a> Definer<'a> {
    /// The new module begins with the guest's types, constants and variables, under the same handles.
    fn new(guest: &'a Module, guest_info: &'a ModuleInfo, uniformity: &'a Uniformity, contents: Contents) -> Self {
        let mut out = Module {
            types: guest.types.clone(),
            special_types: guest.special_types.clone(),
            constants: guest.constants.clone(),
            global_variables: guest.global_variables.clone(),
            global_expressions: guest.global_expressions.clone(),
            ..Module::default()
        };
        // Drivers do not keep the bits of moved constants, so those are stored at the start of the entry point, see `entry`.
        for (_, variable) in out.global_variables.iter_mut() {
            variable.init = variable.init.filter(|init| contents.constant(*init) != Content::Moved);
        }
        let system = declare_system(&mut out);
        Self {
            out,
            guest,
            guest_info,
            uniformity,
            contents,
            pointers: Pointers::new(guest),
            meter: Meter::On,
            flat: false,
            system,
            meters: Meters::default(),
            iterations: counted::iterations_of_functions(guest),
            loops: Vec::new(),
            functions: HashMap::new(),
            helpers: HashMap::new(),
            helper_types: HashMap::new(),
            expressions: 0,
        }
    }

    fn ty(&mut self, inner: TypeInner) -> Handle<Type> {
        self.out.types.insert(Type { name: None, inner }, Span::UNDEFINED)
    }

    fn shaped(&mut self, shape: Shape, scalar: Scalar) -> Handle<Type> {
        self.ty(match shape {
            Shape::Scalar => TypeInner::Scalar(scalar),
            Shape::Vector(size) => TypeInner::Vector { size, scalar },
        })
    }

    /// Adds a finished function.
    fn append(&mut self, function: Function) -> Result<Handle<Function>, Refusal> {
        self.expressions = self.expressions.saturating_add(function.expressions.len());
        if self.expressions > MAX_EXPRESSIONS {
            return Err(too_large());
        }
        Ok(self.out.functions.append(function, Span::UNDEFINED))
    }

    /// One of the guest's functions, rewritten at its first call.
    fn function(&mut self, function: Handle<Function>) -> Result<Callee, Refusal> {
        if let Some(callee) = self.functions.get(&function) {
            return Ok(*callee);
        }
        let (module, info) = (self.guest, self.guest_info);
        let source = module.functions.try_get(function).map_err(|error| Refusal::new(error.to_string()))?;
        let origin = Origin { module, info: &info[function], function: source, guest: Some(Some(function)) };
        let callee = self.callee(origin)?;
        self.functions.insert(function, callee);
        Ok(callee)
    }

    /// A helper function of the prelude, rewritten like the guest's own.
    fn helper(&mut self, name: &str) -> Result<Callee, Refusal> {
        let library = Library::get()?;
        let function = library.function(name)?;
        self.helper_function(library, function)
    }

    fn helper_function(&mut self, library: &'static Library, function: Handle<Function>) -> Result<Callee, Refusal> {
        if let Some(callee) = self.helpers.get(&function) {
            return Ok(*callee);
        }
        let source = library.module.functions.try_get(function).map_err(|error| Refusal::new(error.to_string()))?;
        let origin = Origin { module: &library.module, info: &library.info[function], function: source, guest: None };
        let callee = self.callee(origin)?;
        self.helpers.insert(function, callee);
        Ok(callee)
    }

    fn callee(&mut self, origin: Origin<'_>) -> Result<Callee, Refusal> {
        let returns = origin.function.result.is_some();
        let (function, cost) = define_function(self, origin)?;
        Ok(Callee { handle: self.append(function)?, cost, returns })
    }

    /// A type of the prelude as a type of the new module.
    fn helper_type(&mut self, library: &Module, handle: Handle<Type>) -> Result<Handle<Type>, Refusal> {
        if let Some(known) = self.helper_types.get(&handle) {
            return Ok(*known);
        }
        let ty = library.types.get_handle(handle).map_err(|error| Refusal::new(error.to_string()))?;
        let inner = match &ty.inner {
            TypeInner::Pointer { base, space } => {
                TypeInner::Pointer { base: self.helper_type(library, *base)?, space: *space }
            }
            TypeInner::Array { base, size, stride } => {
                TypeInner::Array { base: self.helper_type(library, *base)?, size: *size, stride: *stride }
            }
            TypeInner::Struct { members, span } => {
                let members = members
                    .iter()
                    .map(|member| Ok(StructMember { ty: self.helper_type(library, member.ty)?, ..member.clone() }))
                    .collect::<Result<_, Refusal>>()?;
                TypeInner::Struct { members, span: *span }
            }
            inner => inner.clone(),
        };
        let new = self.out.types.insert(Type { name: ty.name.clone(), inner }, Span::UNDEFINED);
        self.helper_types.insert(handle, new);
        Ok(new)
    }
}

fn too_large() -> Refusal {
    Refusal::new(format!(
        "the kernel becomes more than {MAX_EXPRESSIONS} expressions when it is made reproducible; split it or use loops"
    ))
}

fn declare_system(out: &mut Module) -> System {
    let uint = out.types.insert(Type { name: None, inner: TypeInner::Scalar(Scalar::U32) }, Span::UNDEFINED);
    let (params, status) = (system::params(out), system::status(out));
    let mut declare = |name: &str| {
        let variable = GlobalVariable {
            name: Some(name.to_owned()),
            space: AddressSpace::Private,
            binding: None,
            ty: uint,
            init: None,
            memory_decorations: MemoryDecorations::empty(),
        };
        out.global_variables.append(variable, Span::UNDEFINED)
    };
    let [uniform_fuel, varying_fuel, trap] = ["uniform_fuel", "varying_fuel", "trap"].map(&mut declare);
    System { params, status, uniform_fuel, varying_fuel, trap }
}
