//! Compiles naga's statements to instructions.
//!
//! Each function is compiled once and has registers of its own: WGSL has no recursion, and all lanes advance together,
//! so at most one call of a function is under way.

mod constants;
mod declare;
mod expression;
mod statement;

use std::collections::{HashMap, HashSet};

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{Expression, Function, GlobalVariable, Handle, Module, ShaderStage, Span, Statement};

use super::code::{Base, BinaryOp, Inst, Label, Mask, Place, Reg};
use super::layout::{Layout, MAX_WORDS};
use crate::Refusal;
use crate::visit::for_each_statement;

/// The kind of a range of virtual registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Written once, by one instruction or a few in a row.
    Value,
    /// A variable, argument or result.
    Variable(Lifetime),
    /// Never written.
    Constant,
}

/// How long the value of a variable is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// During the call: lanes that have returned do not read it again.
    Call,
    /// Until the caller has read it.
    Result,
    /// As long as the invocation lasts.
    Invocation,
}

/// A range of virtual registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Virtual {
    pub(super) start: u32,
    pub(super) count: u32,
    pub(super) kind: Kind,
}

/// A function in the code.
#[derive(Clone, Debug)]
pub(super) struct FunctionCode {
    pub(super) start: Label,
    pub(super) entry: Mask,
    arguments: Vec<Reg>,
    result: Option<Reg>,
}

/// A buffer that the program uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferSlot {
    pub(super) group: u32,
    pub(super) binding: u32,
    pub(super) writable: bool,
}

/// A builtin value that the code uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    GlobalId,
    LocalId,
    LocalIndex,
    WorkgroupId,
    NumWorkgroups,
}

/// A variable of the workgroup's memory.
#[derive(Clone, Debug)]
pub(super) struct WorkgroupVariable {
    pub(super) name: String,
    pub(super) offset: u32,
    pub(super) words: u32,
}

/// The value of an expression; for a pointer, a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Registers(Reg),
    Place(Place),
}

/// The function that is being compiled.
pub(super) struct Body<'m> {
    pub(super) function: &'m Function,
    pub(super) info: &'m FunctionInfo,
    pub(super) values: Vec<Option<Value>>,
    locals: Vec<(Reg, u32)>,
    arguments: Vec<Value>,
    result: Option<Reg>,
    returned: Mask,
}
/// Known facts about values. They allow to compile a flush, as the first stage writes it, to one instruction.
#[derive(Default)]
pub(super) struct Facts {
    /// The word that all components of a value are equal to.
    pub(super) words: HashMap<Reg, u32>,
    /// The operations that give values.
    pub(super) results: HashMap<Reg, Origin>,
}

/// The operation and the operands that a value was computed from.
pub(super) struct Origin {
    pub(super) op: BinaryOp,
    pub(super) a: Reg,
    pub(super) b: Reg,
    /// How many components it has.
    pub(super) count: u32,
}

pub(super) struct Compiler<'m> {
    /// The name of the entry point.
    pub(super) name: String,
    pub(super) module: &'m Module,
    info: &'m ModuleInfo,
    pub(super) layout: Layout<'m>,
    pub(super) body: Body<'m>,
    pub(super) code: Vec<Inst>,
    pub(super) spans: Vec<Span>,
    pub(super) span: Span,
    /// Sorted by `start`.
    pub(super) virtuals: Vec<Virtual>,
    next: u32,
    pub(super) masks: u32,
    /// The place in the code of each label, by number.
    pub(super) labels: Vec<u32>,
    pub(super) functions: Vec<FunctionCode>,
    function_numbers: HashMap<Handle<Function>, u32>,
    pub(super) constants: Vec<(Reg, Vec<u32>)>,
    constant_words: usize,
    scalars: HashMap<u32, Reg>,
    module_constants: HashMap<Handle<Expression>, Reg>,
    globals: HashMap<Handle<GlobalVariable>, Place>,
    pub(super) facts: Facts,
    pub(super) buffers: Vec<BufferSlot>,
    pub(super) inputs: Vec<(Input, Reg)>,
    pub(super) workgroup: Vec<WorkgroupVariable>,
    pub(super) workgroup_words: u32,
    pub(super) workgroup_size: [u32; 3],
}

pub(super) fn unknown(what: impl std::fmt::Debug) -> Refusal {
    Refusal::new(format!("the interpreter does not know {what:?}"))
}

impl<'m> Compiler<'m> {
    pub(super) fn compile(module: &'m Module, info: &'m ModuleInfo) -> Result<Self, Refusal> {
        let mut computes = module.entry_points.iter().enumerate();
        let only = computes.find(|(_, entry)| entry.stage == ShaderStage::Compute);
        let (index, entry) = only.ok_or_else(|| Refusal::new("the module has no compute entry point"))?;
        let mut compiler = Self {
            name: entry.name.clone(),
            module,
            info,
            layout: Layout::new(module),
            body: Body {
                function: &entry.function,
                info: info.get_entry_point(index),
                values: Vec::new(),
                locals: Vec::new(),
                arguments: Vec::new(),
                result: None,
                returned: Mask(0),
            },
            code: Vec::new(),
            spans: Vec::new(),
            span: Span::UNDEFINED,
            virtuals: Vec::new(),
            next: 0,
            masks: 0,
            labels: Vec::new(),
            functions: Vec::new(),
            function_numbers: HashMap::new(),
            constants: Vec::new(),
            constant_words: 0,
            scalars: HashMap::new(),
            module_constants: HashMap::new(),
            globals: HashMap::new(),
            facts: Facts::default(),
            buffers: Vec::new(),
            inputs: Vec::new(),
            workgroup: Vec::new(),
            workgroup_words: 0,
            workgroup_size: entry.workgroup_size,
        };
        let called = called_functions(module, &entry.function);
        compiler.globals()?;
        compiler.entry_point()?;
        // Callees come before their callers.
        for (handle, function) in module.functions.iter().filter(|(handle, _)| called.contains(handle)) {
            let number = u32::try_from(compiler.functions.len()).unwrap_or(u32::MAX);
            compiler.function_numbers.insert(handle, number);
            compiler.declare(function)?;
        }
        compiler.entry_body()?;
        for (handle, function) in module.functions.iter().filter(|(handle, _)| called.contains(handle)) {
            compiler.function_body(handle, function)?;
        }
        Ok(compiler)
    }

    // --- registers, constants, masks, labels

    fn new_virtual(&mut self, count: u32, kind: Kind) -> Result<Reg, Refusal> {
        let start = self.next;
        let end = start.checked_add(count).filter(|&end| end <= 4 * MAX_WORDS);
        self.next = end.ok_or_else(|| Refusal::new("this shader's values and variables are too large"))?;
        self.virtuals.push(Virtual { start, count, kind });
        Ok(Reg(start))
    }

    pub(super) fn value(&mut self, count: u32) -> Result<Reg, Refusal> {
        self.new_virtual(count, Kind::Value)
    }

    fn new_mask(&mut self) -> Mask {
        self.masks += 1;
        Mask(self.masks - 1)
    }

    fn new_label(&mut self) -> Label {
        self.labels.push(0);
        Label(u32::try_from(self.labels.len() - 1).unwrap_or(u32::MAX))
    }

    fn bind(&mut self, label: Label) {
        let here = u32::try_from(self.code.len()).unwrap_or(u32::MAX);
        if let Some(place) = self.labels.get_mut(label.0 as usize) {
            *place = here;
        }
    }

    pub(super) fn push(&mut self, inst: Inst) {
        self.code.push(inst);
        self.spans.push(self.span);
    }
}

/// The functions that an entry point reaches.
fn called_functions(module: &Module, entry: &Function) -> HashSet<Handle<Function>> {
    let mut called = HashSet::new();
    let mut functions = vec![entry];
    while let Some(function) = functions.pop() {
        for_each_statement(&function.body, &mut |statement, _| {
            if let Statement::Call { function, .. } = statement
                && called.insert(*function)
            {
                functions.push(&module.functions[*function]);
            }
        });
    }
    called
}

/// Whether an instruction may write to registers without naming them.
pub(super) fn writes_by_pointer(inst: &Inst) -> bool {
    matches!(inst, Inst::Store { place: Place { base: Base::Pointer, .. }, .. } | Inst::Call { .. })
}
