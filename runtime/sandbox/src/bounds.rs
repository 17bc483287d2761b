//! Bounds on what a component consists of, so that compiling it takes bounded time and memory. Generous: the largest functions that people compile, the main loops
//! of interpreters, have some 100 KiB.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    FunctionBody, Instance, Payload,
};

/// What a component has, next to the most that it may have.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    functions: u64,
    modules: u64,
    components: u64,
    component_instances: u64,
    instances: Instances,
    tables: u64,
    table_elements: u64,
    memories: u64,
    globals: u64,
    types: u64,
}

/// Functions of all modules.
pub const MAX_FUNCTIONS: u64 = 64 << 10;

/// Bytes of one function's code. Cranelift takes some hundred times as much memory, and more time than in proportion.
pub const MAX_FUNCTION_BYTES: u64 = 512 << 10;

/// Local variables of one function, its parameters aside.
pub const MAX_LOCALS: u64 = 10_000;

/// Core modules.
pub const MAX_MODULES: u64 = 256;
/// Components within the component.
pub const MAX_COMPONENTS: u64 = 256;

/// Instances of core modules, of all components together: a program with its adapter and shims has four.
pub const MAX_INSTANCES: u32 = 32;

/// A component's instances of core modules, and of what wasmtime puts between two components.
pub(crate) const MAX_CORE_INSTANCES: u32 = 2 * MAX_INSTANCES;

/// Instances of components.
pub const MAX_COMPONENT_INSTANCES: u64 = 1024;

/// Tables of all modules.
pub const MAX_TABLES: u64 = 256;
/// Elements that all tables have at first.
pub const MAX_TABLE_ELEMENTS: u64 = 1 << 20;

/// Memories of all modules.
pub const MAX_MEMORIES: u64 = 256;
/// Global variables of all modules.
pub const MAX_GLOBALS: u64 = 64 << 10;
/// Types of all modules and components.
pub const MAX_TYPES: u64 = 64 << 10;

/// A bound that a component breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the component has {found} {what}; at most {maximum} are allowed")]
pub struct TooComplex {
    /// Of what there is too much.
    pub what: &'static str,
    /// How much there is, as far as it was counted.
    pub found: u64,
    /// The most that there may be.
    pub maximum: u64,
}

fn at_most(what: &'static str, found: u64, maximum: u64) -> Result<(), TooComplex> {
    if found > maximum { Err(TooComplex { what, found, maximum }) } else { Ok(()) }
}

/// Why a payload is refused: it breaks a bound, or it cannot be read.
#[derive(Debug)]
pub(crate) enum Refused {
    TooComplex(TooComplex),
    Broken(wasmparser::BinaryReaderError),
}

impl From<TooComplex> for Refused {
    fn from(error: TooComplex) -> Self {
        Self::TooComplex(error)
    }
}

impl From<wasmparser::BinaryReaderError> for Refused {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Broken(error)
    }
}

impl Bounds {
    /// Counts what a payload has.
    pub(crate) fn count(&mut self, payload: &Payload<'_>) -> Result<(), Refused> {
        let add = |count: &mut u64, more: u32, what, maximum| {
            *count += u64::from(more);
            at_most(what, *count, maximum)
        };
        match payload {
            Payload::ModuleSection { .. } => add(&mut self.modules, 1, "modules", MAX_MODULES)?,
            Payload::ComponentSection { .. } => add(&mut self.components, 1, "components", MAX_COMPONENTS)?,
            Payload::ComponentInstanceSection(section) => {
                let maximum = MAX_COMPONENT_INSTANCES;
                add(&mut self.component_instances, section.count(), "instances of components", maximum)?;
            }
            Payload::FunctionSection(section) => {
                add(&mut self.functions, section.count(), "functions", MAX_FUNCTIONS)?;
            }
            Payload::TableSection(section) => {
                add(&mut self.tables, section.count(), "tables", MAX_TABLES)?;
                for table in section.clone() {
                    self.table_elements = self.table_elements.saturating_add(table?.ty.initial);
                }
                at_most("elements in tables", self.table_elements, MAX_TABLE_ELEMENTS)?;
            }
            Payload::MemorySection(section) => add(&mut self.memories, section.count(), "memories", MAX_MEMORIES)?,
            Payload::GlobalSection(section) => add(&mut self.globals, section.count(), "globals", MAX_GLOBALS)?,
            Payload::TypeSection(section) => add(&mut self.types, section.count(), "types", MAX_TYPES)?,
            Payload::CoreTypeSection(section) => add(&mut self.types, section.count(), "types", MAX_TYPES)?,
            Payload::ComponentTypeSection(section) => add(&mut self.types, section.count(), "types", MAX_TYPES)?,
            Payload::CodeSectionEntry(body) => check_function(body)?,
            _ => {}
        }
        self.instances.count(payload)
    }

    /// How many instances of core modules the component has.
    pub(crate) fn instances(&self) -> u32 {
        u32::try_from(self.instances.total).unwrap_or(u32::MAX)
    }
}

/// Counts the instances of core modules that a component has once it is instantiated. Each component within it counts as often as it is instantiated.
#[derive(Debug, Default)]
struct Instances {
    /// The components around the payload, the innermost last. A module has none of its own.
    open: Vec<Option<Counted>>,
    /// The count of the outermost component.
    total: u64,
}

#[derive(Debug, Default)]
struct Counted {
    instances: u64,
    /// The count of each component that has an index here; none if it comes from elsewhere.
    components: Vec<Option<u64>>,
}

impl Instances {
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => self.open.push(Some(Counted::default())),
            Payload::Version { encoding: Encoding::Module, .. } => self.open.push(None),
            Payload::End(_) => {
                if let Some(Some(closed)) = self.open.pop() {
                    match self.open.last_mut() {
                        Some(Some(around)) => around.components.push(Some(closed.instances)),
                        _ => self.total = closed.instances,
                    }
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { .. } = instance? {
                        self.add(1)?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        let instances = self.component(0, component_index);
                        self.add(instances.ok_or(HANDED_OVER)?)?;
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    match import?.ty {
                        ComponentTypeRef::Component(_) => self.index(None),
                        ComponentTypeRef::Module(_) => return Err(MODULE_HANDED_OVER.into()),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    match export.kind {
                        ComponentExternalKind::Component => self.index(self.component(0, export.index)),
                        ComponentExternalKind::Module => return Err(MODULE_HANDED_OVER.into()),
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    match alias? {
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                            self.index(None)
                        }
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                            self.index(self.component(count, index));
                        }
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
                        | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                            return Err(MODULE_HANDED_OVER.into());
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The count of a component that has an index in the component `outward` levels up.
    fn component(&self, outward: u32, index: u32) -> Option<u64> {
        let level = self.open.len().checked_sub(usize::try_from(outward).ok()?.checked_add(1)?)?;
        let components = &self.open.get(level)?.as_ref()?.components;
        *components.get(usize::try_from(index).ok()?)?
    }

    fn index(&mut self, instances: Option<u64>) {
        if let Some(Some(open)) = self.open.last_mut() {
            open.components.push(instances);
        }
    }

    fn add(&mut self, instances: u64) -> Result<(), TooComplex> {
        let Some(Some(open)) = self.open.last_mut() else { return Ok(()) };
        open.instances = open.instances.saturating_add(instances);
        at_most("instances of modules", open.instances, MAX_INSTANCES.into())
    }
}

/// Instances of a component that comes from an import or out of an instance are not counted, so there may be none.
const HANDED_OVER: TooComplex =
    TooComplex { what: "instances of components that are handed over as values", found: 1, maximum: 0 };

/// What a module imports is known only where it is instantiated in the component that has it.
const MODULE_HANDED_OVER: TooComplex =
    TooComplex { what: "modules that are handed over as values", found: 1, maximum: 0 };

fn check_function(body: &FunctionBody<'_>) -> Result<(), Refused> {
    at_most("bytes of code in one function", body.range().len() as u64, MAX_FUNCTION_BYTES)?;
    let mut locals = 0_u64;
    for declared in body.get_locals_reader()? {
        locals = locals.saturating_add(u64::from(declared?.0));
    }
    Ok(at_most("local variables in one function", locals, MAX_LOCALS)?)
}

#[cfg(test)]
mod tests {
    use crate::workload::{Workload, WorkloadError};

    /// What is said of a component with one core module of this text.
    fn refused(module: &str) -> String {
        let bytes = wat::parse_str(format!("(component (core module {module}))")).unwrap();
        match Workload::parse(bytes).err() {
            Some(WorkloadError::TooComplex(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn compile_bombs_are_refused_before_they_are_compiled() {
        let functions = "(func)".repeat(70_000);
        assert_eq!(refused(&functions), "the component has 70000 functions; at most 65536 are allowed");
        let body = "(drop (i32.const 1))".repeat(200_000);
        assert!(refused(&format!("(func {body})")).contains("bytes of code in one function; at most 524288"));
        let locals = "(local i32)".repeat(10_001);
        assert!(refused(&format!("(func {locals})")).contains("10001 local variables in one function"));
        assert!(refused("(table 2000000 funcref)").contains("2000000 elements in tables"));
        assert!(refused(&"(table 1 funcref)".repeat(257)).contains("257 tables"));
        assert!(refused(&"(global i32 (i32.const 1))".repeat(70_000)).contains("70000 globals"));
        let cases = "0 ".repeat(600_000);
        assert!(refused(&format!("(func (br_table {cases} (i32.const 0)))")).contains("bytes of code in one function"));
    }

    #[test]
    fn many_modules_and_instances_are_refused_too() {
        let error = |text: &str| Workload::parse(wat::parse_str(text).unwrap()).err().unwrap().to_string();
        assert!(error(&format!("(component {})", "(core module)".repeat(257))).contains("257 modules"));
        assert!(error(&format!("(component {})", "(component)".repeat(257))).contains("257 components"));
        let instances = "(core instance (instantiate $m))".repeat(33);
        assert!(error(&format!("(component (core module $m) {instances})")).contains("33 instances of modules"));
    }

    #[test]
    fn components_within_components_count_as_often_as_they_are_instantiated() {
        let count = |text: &str| {
            let mut bounds = super::Bounds::default();
            let bytes = wat::parse_str(text).unwrap();
            for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
                if let Err(refused) = bounds.count(&payload.unwrap()) {
                    return Err(format!("{refused:?}"));
                }
            }
            Ok(bounds.instances())
        };
        let three = "(component $a (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m))
            (component $inner (core module $n) (core instance (instantiate $n))) (instance (instantiate $inner)))";
        assert_eq!(count(&format!("(component {three})")), Ok(0));
        assert_eq!(
            count(&format!("(component {three} (instance (instantiate $a)) (instance (instantiate $a)))")),
            Ok(6)
        );
        let outer =
            "(component $b (alias outer 1 $a (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))";
        assert_eq!(count(&format!("(component {three} {outer} (instance (instantiate $b)))")), Ok(6));
        let mut doubled = three.to_owned();
        for (inner, outer) in ["a", "b", "c", "d", "e"].iter().zip(["b", "c", "d", "e", "f"]) {
            doubled += &format!(
                "(component ${outer} (alias outer 1 ${inner} (component $x))
                (instance (instantiate $x)) (instance (instantiate $x)))"
            );
        }
        assert!(count(&format!("(component {doubled})")).unwrap_err().contains("found: 48"));
        let handed = "(component (component $a (import \"c\" (component $c)) (instance (instantiate $c))))";
        assert!(count(handed).unwrap_err().contains("handed over"));
    }
}
