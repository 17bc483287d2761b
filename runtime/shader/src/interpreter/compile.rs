//! From naga's statements to instructions.
//!
//! Each function is compiled once and has registers of its own: WGSL has no recursion, and all lanes advance together,
//! so at most one call of a function is under way.

use std::collections::{HashMap, HashSet};

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, Arena, AtomicFunction, Binding, Block, BuiltIn, Expression, Function, GlobalVariable, Handle,
    Literal, Module, ScalarKind, ShaderStage, Span, Statement, StorageAccess, SwitchCase, SwitchValue, TypeInner,
};

use super::code::{AtomicOp, Base, BinaryOp, Inst, Label, Mask, Place, Reg};
use super::layout::{Layout, MAX_WORDS};
use crate::Diagnostic;

/// Words of all constants together.
const MAX_CONSTANT_WORDS: usize = 1 << 24;

/// What a range of virtual registers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Written once, by one instruction or a few in a row.
    Value,
    /// A variable, argument or result.
    Variable(Lifetime),
    /// Never written.
    Constant,
}

/// For whom a variable lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Lanes that have returned do not look at it again.
    Call,
    /// The caller looks at it.
    Result,
    /// For as long as the invocation.
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

/// What the code is given about where a lane is.
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

/// What an expression stands for.
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

/// Where a statement stands.
#[derive(Clone, Copy)]
struct Flow {
    /// The lanes that are here.
    mask: Mask,
    /// Where to go on when none is left.
    end: Label,
    /// Collects those who continue the loop.
    continued: Option<Mask>,
}

/// How lanes may leave a block other than by its end.
#[derive(Clone, Copy, Default)]
struct Exits {
    breaks: bool,
    continues: bool,
    returns: bool,
}

impl Exits {
    fn or(self, other: Self) -> Self {
        Self {
            breaks: self.breaks || other.breaks,
            continues: self.continues || other.continues,
            returns: self.returns || other.returns,
        }
    }

    fn any(self) -> bool {
        self.breaks || self.continues || self.returns
    }
}

/// What is known about values, so that what the first stage writes for a flush is one instruction.
#[derive(Default)]
pub(super) struct Known {
    /// All components of these are this word.
    pub(super) words: HashMap<Reg, u32>,
    /// What these are the results of.
    pub(super) results: HashMap<Reg, KnownResult>,
}

/// What a value was computed from.
pub(super) struct KnownResult {
    pub(super) op: BinaryOp,
    pub(super) a: Reg,
    pub(super) b: Reg,
    /// Its components.
    pub(super) count: u32,
}

pub(super) struct Compiler<'m> {
    /// Of the entry point.
    pub(super) name: String,
    pub(super) module: &'m Module,
    info: &'m ModuleInfo,
    pub(super) layout: Layout<'m>,
    pub(super) body: Body<'m>,
    pub(super) code: Vec<Inst>,
    pub(super) spans: Vec<Span>,
    pub(super) span: Span,
    /// In the order of their numbers.
    pub(super) virtuals: Vec<Virtual>,
    next: u32,
    pub(super) masks: u32,
    /// By number: the place in the code.
    pub(super) labels: Vec<u32>,
    pub(super) functions: Vec<FunctionCode>,
    function_numbers: HashMap<Handle<Function>, u32>,
    pub(super) constants: Vec<(Reg, Vec<u32>)>,
    constant_words: usize,
    scalars: HashMap<u32, Reg>,
    module_constants: HashMap<Handle<Expression>, Reg>,
    globals: HashMap<Handle<GlobalVariable>, Place>,
    pub(super) known: Known,
    pub(super) buffers: Vec<BufferSlot>,
    pub(super) inputs: Vec<(Input, Reg)>,
    pub(super) workgroup: Vec<WorkgroupVariable>,
    pub(super) workgroup_words: u32,
    pub(super) workgroup_size: [u32; 3],
}

pub(super) fn unknown(what: impl std::fmt::Debug) -> Diagnostic {
    Diagnostic::new(format!("the interpreter does not know {what:?}"))
}

impl<'m> Compiler<'m> {
    pub(super) fn compile(module: &'m Module, info: &'m ModuleInfo) -> Result<Self, Diagnostic> {
        let mut computes = module.entry_points.iter().enumerate();
        let only = computes.find(|(_, entry)| entry.stage == ShaderStage::Compute);
        let (index, entry) = only.ok_or_else(|| Diagnostic::new("the module has no compute entry point"))?;
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
            known: Known::default(),
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

    fn new_virtual(&mut self, count: u32, kind: Kind) -> Result<Reg, Diagnostic> {
        let start = self.next;
        let end = start.checked_add(count).filter(|&end| end <= 4 * MAX_WORDS);
        self.next = end.ok_or_else(|| Diagnostic::new("this shader's values and variables are too large"))?;
        self.virtuals.push(Virtual { start, count, kind });
        Ok(Reg(start))
    }

    pub(super) fn value(&mut self, count: u32) -> Result<Reg, Diagnostic> {
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

    pub(super) fn scalar_constant(&mut self, word: u32) -> Result<Reg, Diagnostic> {
        if let Some(&known) = self.scalars.get(&word) {
            return Ok(known);
        }
        let reg = self.new_constant(vec![word])?;
        self.scalars.insert(word, reg);
        Ok(reg)
    }

    fn new_constant(&mut self, words: Vec<u32>) -> Result<Reg, Diagnostic> {
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let reg = self.new_virtual(count, Kind::Constant)?;
        if let Some(&word) = words.first()
            && words.iter().all(|other| *other == word)
        {
            self.known.words.insert(reg, word);
        }
        self.constants.push((reg, words));
        Ok(reg)
    }

    fn constant(&mut self, arena: &Arena<Expression>, handle: Handle<Expression>) -> Result<Reg, Diagnostic> {
        let mut words = Vec::new();
        self.constant_words(arena, handle, &mut words)?;
        if let [word] = words.as_slice() { self.scalar_constant(*word) } else { self.new_constant(words) }
    }

    pub(super) fn module_constant(&mut self, handle: Handle<Expression>) -> Result<Reg, Diagnostic> {
        if let Some(&known) = self.module_constants.get(&handle) {
            return Ok(known);
        }
        let module = self.module;
        let reg = self.constant(&module.global_expressions, handle)?;
        self.module_constants.insert(handle, reg);
        Ok(reg)
    }

    pub(super) fn zero(&mut self, inner: &TypeInner) -> Result<Reg, Diagnostic> {
        let count = self.layout.words(inner)?;
        if count == 1 {
            return self.scalar_constant(0);
        }
        self.charge_constant(count as usize)?;
        self.new_constant(vec![0; count as usize])
    }

    fn charge_constant(&mut self, words: usize) -> Result<(), Diagnostic> {
        self.constant_words = self.constant_words.saturating_add(words);
        if self.constant_words > MAX_CONSTANT_WORDS {
            return Err(Diagnostic::new("this shader's constants are too large"));
        }
        Ok(())
    }

    fn constant_words(
        &mut self,
        arena: &Arena<Expression>,
        handle: Handle<Expression>,
        words: &mut Vec<u32>,
    ) -> Result<(), Diagnostic> {
        let module = self.module;
        match &arena[handle] {
            Expression::Literal(literal) => {
                self.charge_constant(1)?;
                words.push(literal_word(*literal)?);
            }
            Expression::Constant(constant) => {
                let init = module.constants[*constant].init;
                self.constant_words(&module.global_expressions, init, words)?;
            }
            Expression::ZeroValue(ty) => {
                let count = self.layout.words(&module.types[*ty].inner)? as usize;
                self.charge_constant(count)?;
                words.extend(std::iter::repeat_n(0, count));
            }
            Expression::Compose { components, .. } => {
                for &component in components {
                    self.constant_words(arena, component, words)?;
                }
            }
            Expression::Splat { size, value } => {
                let start = words.len();
                self.constant_words(arena, *value, words)?;
                let one: Vec<u32> = words.get(start..).unwrap_or_default().to_vec();
                for _ in 1..u32::from(*size) {
                    words.extend_from_slice(&one);
                }
            }
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    // --- module scope

    fn globals(&mut self) -> Result<(), Diagnostic> {
        let module = self.module;
        for (handle, variable) in module.global_variables.iter() {
            if self.body.info[handle].is_empty() {
                continue;
            }
            let inner = &module.types[variable.ty].inner;
            let place = match variable.space {
                AddressSpace::Private => {
                    let count = self.layout.words(inner)?;
                    let reg = self.new_virtual(count, Kind::Variable(Lifetime::Invocation))?;
                    Place { base: Base::Registers(reg, count), offset: 0, dynamic: None }
                }
                AddressSpace::WorkGroup => {
                    let words = self.layout.words(inner)?;
                    let offset = self.workgroup_words;
                    let name = variable.name.clone().unwrap_or_default();
                    self.workgroup.push(WorkgroupVariable { name, offset, words });
                    let end = offset.checked_add(words).filter(|&end| end <= MAX_WORDS);
                    self.workgroup_words = end.ok_or_else(|| Diagnostic::new("the workgroup's memory is too large"))?;
                    Place { base: Base::Workgroup, offset, dynamic: None }
                }
                AddressSpace::Uniform | AddressSpace::Storage { .. } => {
                    let at = variable.binding.ok_or_else(|| Diagnostic::new("a buffer has no binding"))?;
                    let buffer = u32::try_from(self.buffers.len()).unwrap_or(u32::MAX);
                    let writable = matches!(variable.space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
                    self.buffers.push(BufferSlot { group: at.group, binding: at.binding, writable });
                    Place { base: Base::Buffer(buffer), offset: 0, dynamic: None }
                }
                other => return Err(unknown(other)),
            };
            self.globals.insert(handle, place);
        }
        Ok(())
    }

    pub(super) fn global(&self, handle: Handle<GlobalVariable>) -> Result<Place, Diagnostic> {
        self.globals.get(&handle).copied().ok_or_else(|| Diagnostic::new("a variable is used but not declared"))
    }

    fn entry_point(&mut self) -> Result<(), Diagnostic> {
        let module = self.module;
        for argument in &self.body.function.arguments {
            let inner = &module.types[argument.ty].inner;
            let words = self.layout.words(inner)?;
            let reg = self.new_virtual(words, Kind::Variable(Lifetime::Call))?;
            self.body.arguments.push(Value::Registers(reg));
            match (&argument.binding, inner) {
                (Some(binding), _) => self.input(binding, reg)?,
                (None, TypeInner::Struct { members, .. }) => {
                    let mut at = 0;
                    for member in members {
                        let binding = member.binding.as_ref();
                        let binding = binding.ok_or_else(|| Diagnostic::new("an input has no binding"))?;
                        self.input(binding, reg.at(at))?;
                        at += self.layout.words(&module.types[member.ty].inner)?;
                    }
                }
                (None, other) => return Err(unknown(other)),
            }
        }
        Ok(())
    }

    fn input(&mut self, binding: &Binding, reg: Reg) -> Result<(), Diagnostic> {
        let input = match binding {
            Binding::BuiltIn(BuiltIn::GlobalInvocationId) => Input::GlobalId,
            Binding::BuiltIn(BuiltIn::LocalInvocationId) => Input::LocalId,
            Binding::BuiltIn(BuiltIn::LocalInvocationIndex) => Input::LocalIndex,
            Binding::BuiltIn(BuiltIn::WorkGroupId) => Input::WorkgroupId,
            Binding::BuiltIn(BuiltIn::NumWorkGroups) => Input::NumWorkgroups,
            other => return Err(unknown(other)),
        };
        self.inputs.push((input, reg));
        Ok(())
    }

    // --- functions

    fn declare(&mut self, function: &'m Function) -> Result<(), Diagnostic> {
        let module = self.module;
        let mut arguments = Vec::new();
        for argument in &function.arguments {
            let inner = &module.types[argument.ty].inner;
            let words = if inner.pointer_space().is_some() { 1 } else { self.layout.words(inner)? };
            arguments.push(self.new_virtual(words, Kind::Variable(Lifetime::Call))?);
        }
        let result = match &function.result {
            Some(result) => {
                let words = self.layout.words(&module.types[result.ty].inner)?;
                Some(self.new_virtual(words, Kind::Variable(Lifetime::Result))?)
            }
            None => None,
        };
        let (start, entry) = (self.new_label(), self.new_mask());
        self.functions.push(FunctionCode { start, entry, arguments, result });
        Ok(())
    }

    fn entry_body(&mut self) -> Result<(), Diagnostic> {
        let module = self.module;
        // The entry point's mask is the one after all functions', but it is the machine that sets it.
        let entry = self.new_mask();
        let start = self.new_label();
        let arguments = Vec::new();
        self.functions.push(FunctionCode { start, entry, arguments, result: None });
        self.bind(start);
        let mut private = Vec::new();
        for (handle, variable) in module.global_variables.iter() {
            if let Some(Place { base: Base::Registers(reg, count), .. }) = self.globals.get(&handle) {
                private.push((*reg, *count, variable.init));
            }
        }
        for (reg, count, init) in private {
            match init {
                Some(init) => {
                    let src = self.module_constant(init)?;
                    self.push(Inst::Copy { dst: reg, src, count });
                }
                None => self.clear(reg, count)?,
            }
        }
        self.block_of_function(entry)
    }

    fn clear(&mut self, dst: Reg, count: u32) -> Result<(), Diagnostic> {
        let src = self.scalar_constant(0)?;
        self.push(Inst::Splat { dst, src, count });
        Ok(())
    }

    fn function_body(&mut self, handle: Handle<Function>, function: &'m Function) -> Result<(), Diagnostic> {
        let code = self.function_code(handle)?;
        let mut arguments = Vec::new();
        for (argument, &reg) in function.arguments.iter().zip(&code.arguments) {
            arguments.push(match self.module.types[argument.ty].inner.pointer_space() {
                Some(_) => Value::Place(Place { base: Base::Pointer, offset: 0, dynamic: Some(reg) }),
                None => Value::Registers(reg),
            });
        }
        self.body = Body {
            function,
            info: &self.info[handle],
            values: Vec::new(),
            locals: Vec::new(),
            arguments,
            result: code.result,
            returned: Mask(0),
        };
        self.bind(code.start);
        self.block_of_function(code.entry)
    }

    fn function_code(&self, handle: Handle<Function>) -> Result<FunctionCode, Diagnostic> {
        let number = self.function_numbers.get(&handle).copied();
        let code = number.and_then(|number| self.functions.get(number as usize)).cloned();
        code.ok_or_else(|| Diagnostic::new("a function is called but not declared"))
    }

    fn block_of_function(&mut self, mask: Mask) -> Result<(), Diagnostic> {
        let module = self.module;
        let function = self.body.function;
        self.body.values = vec![None; function.expressions.len()];
        self.body.returned = self.new_mask();
        self.push(Inst::MaskClear { dst: self.body.returned });
        for (_, local) in function.local_variables.iter() {
            let count = self.layout.words(&module.types[local.ty].inner)?;
            let reg = self.new_virtual(count, Kind::Variable(Lifetime::Call))?;
            self.body.locals.push((reg, count));
            match local.init {
                Some(init) => {
                    let src = self.constant(&function.expressions, init)?;
                    self.push(Inst::Copy { dst: reg, src, count });
                }
                None => self.clear(reg, count)?,
            }
        }
        let end = self.new_label();
        self.block(&function.body, Flow { mask, end, continued: None })?;
        self.bind(end);
        self.push(Inst::Return);
        Ok(())
    }

    pub(super) fn argument(&self, index: u32) -> Result<Value, Diagnostic> {
        let argument = self.body.arguments.get(index as usize).copied();
        argument.ok_or_else(|| Diagnostic::new("an argument does not exist"))
    }

    pub(super) fn local(&self, handle: Handle<naga::LocalVariable>) -> Result<Place, Diagnostic> {
        let local = self.body.locals.get(handle.index()).copied();
        let (reg, count) = local.ok_or_else(|| Diagnostic::new("a local variable does not exist"))?;
        Ok(Place { base: Base::Registers(reg, count), offset: 0, dynamic: None })
    }

    // --- statements

    fn block(&mut self, block: &'m Block, flow: Flow) -> Result<Exits, Diagnostic> {
        let mut exits = Exits::default();
        for (statement, &span) in block.span_iter() {
            self.span = span;
            let (more, ended) = self.statement(statement, flow)?;
            exits = exits.or(more);
            if ended {
                break;
            }
        }
        Ok(exits)
    }

    /// Also says whether nobody comes to what follows.
    fn statement(&mut self, statement: &'m Statement, flow: Flow) -> Result<(Exits, bool), Diagnostic> {
        let mut exits = Exits::default();
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    self.emit(handle, flow.mask)?;
                }
            }
            Statement::Block(inner) => exits = self.block(inner, flow)?,
            Statement::If { condition, accept, reject } => {
                exits = self.branch(*condition, accept, reject, flow)?;
            }
            Statement::Switch { selector, cases } => exits = self.switch(*selector, cases, flow)?,
            Statement::Loop { body, continuing, break_if } => {
                exits = self.repeat(body, continuing, *break_if, flow)?;
            }
            Statement::Break => {
                self.push(Inst::MaskClear { dst: flow.mask });
                self.push(Inst::Jump { target: flow.end });
                return Ok((Exits { breaks: true, ..exits }, true));
            }
            Statement::Continue => {
                let dst = flow.continued.ok_or_else(|| Diagnostic::new("`continue` outside of a loop"))?;
                self.push(Inst::MaskOr { dst, src: flow.mask });
                self.push(Inst::MaskClear { dst: flow.mask });
                self.push(Inst::Jump { target: flow.end });
                return Ok((Exits { continues: true, ..exits }, true));
            }
            Statement::Return { value } => {
                if let (Some(value), Some(dst)) = (value, self.body.result) {
                    let count = self.words(*value)?;
                    let src = self.registers(*value)?;
                    self.push(Inst::Assign { dst, src, count, mask: flow.mask });
                }
                self.push(Inst::MaskOr { dst: self.body.returned, src: flow.mask });
                self.push(Inst::MaskClear { dst: flow.mask });
                self.push(Inst::Jump { target: flow.end });
                return Ok((Exits { returns: true, ..exits }, true));
            }
            Statement::ControlBarrier(barrier) | Statement::MemoryBarrier(barrier) => {
                let (storage, workgroup) =
                    (barrier.contains(naga::Barrier::STORAGE), barrier.contains(naga::Barrier::WORK_GROUP));
                self.push(Inst::Barrier { storage, workgroup });
            }
            Statement::Store { pointer, value } => {
                let place = self.place(*pointer)?;
                let src = self.registers(*value)?;
                self.store(*pointer, place, src, flow.mask)?;
            }
            Statement::Atomic { pointer, fun, value, result } => {
                self.atomic(*pointer, *fun, *value, *result, flow.mask)?;
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                let barrier = Inst::Barrier { storage: false, workgroup: true };
                self.push(barrier.clone());
                let loaded = self.load(*pointer, flow.mask)?;
                self.set(*result, Value::Registers(loaded));
                self.push(barrier);
            }
            Statement::Call { function, arguments, result } => {
                self.call(*function, arguments, *result, flow.mask)?;
            }
            other => return Err(unknown(other)),
        }
        Ok((exits, false))
    }

    fn branch(
        &mut self,
        condition: Handle<Expression>,
        accept: &'m Block,
        reject: &'m Block,
        flow: Flow,
    ) -> Result<Exits, Diagnostic> {
        let condition = self.registers(condition)?;
        let (yes, no) = (self.new_mask(), self.new_mask());
        let (otherwise, end) = (self.new_label(), self.new_label());
        let at = self.code.len();
        self.push(Inst::MaskIf { parent: flow.mask, condition, accept: yes, reject: Some(no) });
        self.push(Inst::JumpIfNone { mask: yes, target: otherwise });
        let mut exits = self.block(accept, Flow { mask: yes, end: otherwise, ..flow })?;
        self.bind(otherwise);
        if !reject.is_empty() {
            self.push(Inst::JumpIfNone { mask: no, target: end });
            exits = exits.or(self.block(reject, Flow { mask: no, end, ..flow })?);
        }
        self.bind(end);
        if exits.any() {
            let returned = !exits.breaks && !exits.continues;
            self.push(Inst::MaskJoin { dst: flow.mask, a: yes, b: Some(no), returned });
            self.push(Inst::JumpIfNone { mask: flow.mask, target: flow.end });
        } else if reject.is_empty()
            && let Some(Inst::MaskIf { reject, .. }) = self.code.get_mut(at)
        {
            *reject = None;
        }
        Ok(exits)
    }

    fn repeat(
        &mut self,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
        flow: Flow,
    ) -> Result<Exits, Diagnostic> {
        let (here, continued, turn) = (self.new_mask(), self.new_mask(), self.new_mask());
        let (head, next, latch, done) = (self.new_label(), self.new_label(), self.new_label(), self.new_label());
        self.push(Inst::MaskSet { dst: here, src: flow.mask });
        self.bind(head);
        self.push(Inst::MaskClear { dst: continued });
        let exits = self.block(body, Flow { mask: here, end: next, continued: Some(continued) })?;
        self.bind(next);
        let breaks = exits.breaks;
        self.push(Inst::MaskTurn { dst: turn, body: here, continued, outer: flow.mask, breaks });
        self.push(Inst::JumpIfNone { mask: turn, target: done });
        self.block(continuing, Flow { mask: turn, end: latch, continued: None })?;
        self.bind(latch);
        if let Some(condition) = break_if {
            let condition = self.registers(condition)?;
            self.push(Inst::MaskUnless { dst: turn, condition });
        }
        self.push(Inst::MaskSet { dst: here, src: turn });
        self.push(Inst::Repeat { mask: turn, target: head });
        self.bind(done);
        if exits.returns {
            self.push(Inst::MaskRemove { dst: flow.mask, src: self.body.returned, returned: true });
            self.push(Inst::JumpIfNone { mask: flow.mask, target: flow.end });
        }
        Ok(Exits { returns: exits.returns, ..Exits::default() })
    }

    fn switch(
        &mut self,
        selector: Handle<Expression>,
        cases: &'m [SwitchCase],
        flow: Flow,
    ) -> Result<Exits, Diagnostic> {
        let selector = self.registers(selector)?;
        let here = self.new_mask();
        let all: Vec<u32> = cases.iter().filter_map(|case| switch_word(case.value)).collect();
        let mut exits = Exits::default();
        let (mut group, mut has_default, mut accumulate) = (Vec::new(), false, false);
        for case in cases {
            match switch_word(case.value) {
                Some(word) => group.push(word),
                None => has_default = true,
            }
            if case.fall_through && case.body.is_empty() {
                continue;
            }
            let mut values = std::mem::take(&mut group);
            if has_default {
                let mine: HashSet<u32> = values.into_iter().collect();
                values = all.iter().copied().filter(|word| !mine.contains(word)).collect();
            }
            let (parent, values) = (flow.mask, values.into());
            self.push(Inst::MaskCase { dst: here, parent, selector, values, none_of: has_default, accumulate });
            let end = self.new_label();
            self.push(Inst::JumpIfNone { mask: here, target: end });
            exits = exits.or(self.block(&case.body, Flow { mask: here, end, ..flow })?);
            self.bind(end);
            has_default = false;
            accumulate = case.fall_through;
        }
        if exits.continues
            && let Some(src) = flow.continued
        {
            self.push(Inst::MaskRemove { dst: flow.mask, src, returned: false });
        }
        if exits.returns {
            self.push(Inst::MaskRemove { dst: flow.mask, src: self.body.returned, returned: true });
        }
        if exits.continues || exits.returns {
            self.push(Inst::JumpIfNone { mask: flow.mask, target: flow.end });
        }
        Ok(Exits { breaks: false, ..exits })
    }

    fn call(
        &mut self,
        function: Handle<Function>,
        arguments: &[Handle<Expression>],
        result: Option<Handle<Expression>>,
        mask: Mask,
    ) -> Result<(), Diagnostic> {
        let code = self.function_code(function)?;
        for (&argument, &dst) in arguments.iter().zip(&code.arguments) {
            match self.get(argument)? {
                Value::Registers(src) => {
                    let count = self.words(argument)?;
                    self.push(Inst::Copy { dst, src, count });
                }
                Value::Place(Place { base: Base::Registers(variable, length), offset, dynamic }) => {
                    self.push(Inst::Address { dst, variable, length, offset, dynamic });
                }
                Value::Place(Place { base: Base::Pointer, offset, dynamic: Some(src) }) => {
                    let offset = self.scalar_constant(offset)?;
                    let op = BinaryOp::IAdd;
                    self.push(Inst::Binary { op, dst, a: src, b: offset, count: 1 });
                }
                Value::Place(place) => return Err(unknown(place.base)),
            }
        }
        let number = self.function_numbers.get(&function).copied().unwrap_or(u32::MAX);
        self.push(Inst::Call { function: number, entry: code.entry, mask });
        if let (Some(result), Some(src)) = (result, code.result) {
            let count = self.words(result)?;
            let dst = self.value(count)?;
            self.push(Inst::Copy { dst, src, count });
            self.set(result, Value::Registers(dst));
        }
        Ok(())
    }

    fn atomic(
        &mut self,
        pointer: Handle<Expression>,
        fun: AtomicFunction,
        value: Handle<Expression>,
        result: Option<Handle<Expression>>,
        mask: Mask,
    ) -> Result<(), Diagnostic> {
        let TypeInner::Atomic(scalar) = *self.layout.target(self.inner(pointer)) else {
            return Err(unknown(fun));
        };
        let signed = scalar.kind == ScalarKind::Sint;
        let op = match fun {
            AtomicFunction::Add => AtomicOp::Add,
            AtomicFunction::Subtract => AtomicOp::Sub,
            AtomicFunction::And => AtomicOp::And,
            AtomicFunction::ExclusiveOr => AtomicOp::Xor,
            AtomicFunction::InclusiveOr => AtomicOp::Or,
            AtomicFunction::Min if signed => AtomicOp::IMin,
            AtomicFunction::Min => AtomicOp::UMin,
            AtomicFunction::Max if signed => AtomicOp::IMax,
            AtomicFunction::Max => AtomicOp::UMax,
            AtomicFunction::Exchange { compare: None } => AtomicOp::Exchange,
            AtomicFunction::Exchange { compare: Some(compare) } => AtomicOp::CompareExchange(self.registers(compare)?),
        };
        let place = self.place(pointer)?;
        let value = self.registers(value)?;
        let dst = match result {
            Some(result) => {
                let count = self.words(result)?;
                let dst = self.value(count)?;
                self.set(result, Value::Registers(dst));
                Some(dst)
            }
            None => None,
        };
        self.push(Inst::Atomic { op, place, value, dst, mask });
        Ok(())
    }

    fn store(&mut self, pointer: Handle<Expression>, place: Place, src: Reg, mask: Mask) -> Result<(), Diagnostic> {
        let module = self.module;
        let info = self.body.info;
        let inner = info[pointer].ty.inner_with(&module.types);
        let count = self.layout.words(inner)?;
        if let Place { base: Base::Registers(variable, _), offset, dynamic: None } = place {
            self.push(Inst::Assign { dst: variable.at(offset), src, count, mask });
            return Ok(());
        }
        let scatter = match place.base {
            Base::Buffer(_) => self.layout.scatter(inner)?,
            _ => None,
        };
        let atomic = matches!(self.layout.target(inner), TypeInner::Atomic(_));
        self.push(Inst::Store { place, src, count, scatter, mask, atomic });
        Ok(())
    }

    /// Reads what a pointer points to.
    pub(super) fn load(&mut self, pointer: Handle<Expression>, mask: Mask) -> Result<Reg, Diagnostic> {
        let place = self.place(pointer)?;
        let module = self.module;
        let info = self.body.info;
        let inner = info[pointer].ty.inner_with(&module.types);
        let count = self.layout.words(inner)?;
        let dst = self.value(count)?;
        if let Place { base: Base::Registers(variable, _), offset, dynamic: None } = place {
            self.push(Inst::Copy { dst, src: variable.at(offset), count });
            return Ok(dst);
        }
        let scatter = match place.base {
            Base::Buffer(_) => self.layout.scatter(inner)?,
            _ => None,
        };
        let atomic = matches!(self.layout.target(inner), TypeInner::Atomic(_));
        self.push(Inst::Load { dst, place, count, scatter, mask, atomic });
        Ok(dst)
    }
}

fn switch_word(value: SwitchValue) -> Option<u32> {
    match value {
        SwitchValue::I32(value) => Some(value.cast_unsigned()),
        SwitchValue::U32(value) => Some(value),
        SwitchValue::Default => None,
    }
}

pub(super) fn literal_word(literal: Literal) -> Result<u32, Diagnostic> {
    match literal {
        Literal::F32(value) => Ok(value.to_bits()),
        Literal::U32(value) => Ok(value),
        Literal::I32(value) => Ok(value.cast_unsigned()),
        Literal::Bool(value) => Ok(if value { u32::MAX } else { 0 }),
        other => Err(unknown(other)),
    }
}

/// The functions that an entry point reaches.
fn called_functions(module: &Module, entry: &Function) -> HashSet<Handle<Function>> {
    let mut called = HashSet::new();
    let mut functions = vec![entry];
    while let Some(function) = functions.pop() {
        let mut blocks = vec![&function.body];
        while let Some(block) = blocks.pop() {
            for statement in block.iter() {
                match statement {
                    Statement::Block(inner) => blocks.push(inner),
                    Statement::If { accept, reject, .. } => blocks.extend([accept, reject]),
                    Statement::Switch { cases, .. } => blocks.extend(cases.iter().map(|case| &case.body)),
                    Statement::Loop { body, continuing, .. } => blocks.extend([body, continuing]),
                    Statement::Call { function, .. } if called.insert(*function) => {
                        functions.push(&module.functions[*function]);
                    }
                    _ => {}
                }
            }
        }
    }
    called
}

/// Whether an instruction may write to registers without naming them.
pub(super) fn writes_by_pointer(inst: &Inst) -> bool {
    matches!(inst, Inst::Store { place: Place { base: Base::Pointer, .. }, .. } | Inst::Call { .. })
}
