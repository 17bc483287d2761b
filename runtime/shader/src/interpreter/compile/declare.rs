//! Variables, entry point and functions.

use naga::{AddressSpace, Binding, BuiltIn, Function, GlobalVariable, Handle, StorageAccess, TypeInner};

use super::statement::Flow;
use super::{Body, BufferSlot, Compiler, FunctionCode, Input, Kind, Lifetime, Value, WorkgroupVariable, unknown};
use crate::Refusal;
use crate::interpreter::code::{Base, Inst, Mask, Place, Reg};
use crate::interpreter::layout::MAX_WORDS;

impl<'m> Compiler<'m> {
    pub(super) fn globals(&mut self) -> Result<(), Refusal> {
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
                    self.workgroup_words = end.ok_or_else(|| Refusal::new("the workgroup's memory is too large"))?;
                    Place { base: Base::Workgroup, offset, dynamic: None }
                }
                AddressSpace::Uniform | AddressSpace::Storage { .. } => {
                    let at = variable.binding.ok_or_else(|| Refusal::new("a buffer has no binding"))?;
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

    pub(super) fn global(&self, handle: Handle<GlobalVariable>) -> Result<Place, Refusal> {
        self.globals.get(&handle).copied().ok_or_else(|| Refusal::new("a variable is used but not declared"))
    }

    pub(super) fn entry_point(&mut self) -> Result<(), Refusal> {
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
                        let binding = binding.ok_or_else(|| Refusal::new("an input has no binding"))?;
                        self.input(binding, reg.at(at))?;
                        at += self.layout.words(&module.types[member.ty].inner)?;
                    }
                }
                (None, other) => return Err(unknown(other)),
            }
        }
        Ok(())
    }

    pub(super) fn input(&mut self, binding: &Binding, reg: Reg) -> Result<(), Refusal> {
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

    pub(super) fn declare(&mut self, function: &'m Function) -> Result<(), Refusal> {
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

    pub(super) fn entry_body(&mut self) -> Result<(), Refusal> {
        let module = self.module;
        // The entry point comes after all functions. The machine sets its mask.
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

    pub(super) fn clear(&mut self, dst: Reg, count: u32) -> Result<(), Refusal> {
        let src = self.scalar_constant(0)?;
        self.push(Inst::Splat { dst, src, count });
        Ok(())
    }

    pub(super) fn function_body(&mut self, handle: Handle<Function>, function: &'m Function) -> Result<(), Refusal> {
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

    pub(super) fn function_code(&self, handle: Handle<Function>) -> Result<FunctionCode, Refusal> {
        let number = self.function_numbers.get(&handle).copied();
        let code = number.and_then(|number| self.functions.get(number as usize)).cloned();
        code.ok_or_else(|| Refusal::new("a function is called but not declared"))
    }

    pub(super) fn block_of_function(&mut self, mask: Mask) -> Result<(), Refusal> {
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

    pub(super) fn argument(&self, index: u32) -> Result<Value, Refusal> {
        let argument = self.body.arguments.get(index as usize).copied();
        argument.ok_or_else(|| Refusal::new("an argument does not exist"))
    }

    pub(super) fn local(&self, handle: Handle<naga::LocalVariable>) -> Result<Place, Refusal> {
        let local = self.body.locals.get(handle.index()).copied();
        let (reg, count) = local.ok_or_else(|| Refusal::new("a local variable does not exist"))?;
        Ok(Place { base: Base::Registers(reg, count), offset: 0, dynamic: None })
    }
}
