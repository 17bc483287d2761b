//! Bounds on what a component consists of, so that compiling it takes bounded time and memory. Generous: the largest functions that people compile, the main loops
//! of interpreters, have some 100 KiB.

use wasmparser::{FunctionBody, Payload};

/// What a component has, next to the most that it may have.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    functions: u64,
    modules: u64,
    components: u64,
    instances: u64,
    tables: u64,
    table_elements: u64,
    memories: u64,
    globals: u64,
    types: u64,
}

/// Functions of all modules.
const MAX_FUNCTIONS: u64 = 64 << 10;

/// Bytes of one function's code. Cranelift takes some hundred times as much memory, and more time than in proportion.
const MAX_FUNCTION_BYTES: u64 = 512 << 10;

/// Local variables of one function, its parameters aside.
const MAX_LOCALS: u64 = 10_000;

/// Core modules, and components within the component.
const MAX_MODULES: u64 = 256;
const MAX_COMPONENTS: u64 = 256;

/// Instances of both.
const MAX_INSTANCES: u64 = 1024;

/// Tables of all modules, and the elements that they have at first.
const MAX_TABLES: u64 = 256;
const MAX_TABLE_ELEMENTS: u64 = 1 << 20;

/// Memories, global variables and types of all modules and components.
const MAX_MEMORIES: u64 = 256;
const MAX_GLOBALS: u64 = 64 << 10;
const MAX_TYPES: u64 = 64 << 10;

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
            Payload::InstanceSection(section) => {
                add(&mut self.instances, section.count(), "instances", MAX_INSTANCES)?;
            }
            Payload::ComponentInstanceSection(section) => {
                add(&mut self.instances, section.count(), "instances", MAX_INSTANCES)?;
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
        Ok(())
    }
}

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
        let instances = "(core instance (instantiate $m))".repeat(1025);
        assert!(error(&format!("(component (core module $m) {instances})")).contains("1025 instances"));
    }
}
