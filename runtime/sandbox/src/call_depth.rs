//! Counts the depth of a guest's calls, so that where a recursion ends is a function of the job and not of the processor.
//!
//! How much native stack a function takes depends on the processor and on the compiler, so wasmtime's own limit ends a recursion at another depth on another
//! machine. Before a component is compiled, each of its core modules is therefore rewritten: a function that calls adds its cost to a counter when it is
//! entered and takes it off when it returns; over the limit it traps. The method is that of `wasm-instrument` (stack limiter), with the counting in the function that is called instead
//! of at each call.
//!
//! The counter is a global variable that the module cannot name, because it comes after all of its own. Each instance has one, and all instances of the component share
//! [`TOTAL`] evenly. [`NATIVE_STACK`] is large enough for that: the cost of a function bounds its native frame.
//!
//! ```text
//! (func $f ...                        (func $f ...
//!   BODY)                               (if (i32.gt_u (global.get $depth) (i32.const LIMIT - COST)) (then (call $overflow)))
//!                                       (global.set $depth (i32.add (global.get $depth) (i32.const COST)))
//!                                       (block BODY, with `return` as a branch out of the block)
//!                                       (global.set $depth (i32.sub (global.get $depth) (i32.const COST))))
//! ```

use wasm_encoder::{BlockType, Encode as _, Instruction};
use wasmparser::{
    BinaryReader, BinaryReaderError, FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, Parser, ValType,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

/// The parts of WebAssembly that are compiled. The engine has them too; it also refuses shared memory.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::THREADS)
    .difference(WasmFeatures::GC_TYPES);

/// The depth that all instances of a component have together: some 150 000 calls of small functions.
pub const TOTAL: u32 = 16 << 20;

/// Native stack for one unit of depth.
const BYTES_PER_UNIT: usize = 8;

/// Native stack for a guest. A function that does not call is not counted: one frame of the largest, and what the compiled code calls on its own, fit into
/// the last 16 MiB.
pub(crate) const NATIVE_STACK: usize = TOTAL as usize * BYTES_PER_UNIT + (16 << 20);

/// A function's cost before its content counts: its return address and saved registers, and the code between two components, which is not counted
/// by itself.
const BASE: u32 = 64;

/// The cost of a value on the operand stack at its highest: a spilled vector of 16 bytes, its copy as an argument, and its copy as a result.
const PER_OPERAND: u32 = 8;

/// The cost of a local variable: a spilled vector.
const PER_LOCAL: u32 = 4;

/// Bytes of code for a cost of one: the compiler keeps intermediate results for later, at most one for each instruction.
const CODE_PER_UNIT: u32 = 4;

type Result<T> = std::result::Result<T, BinaryReaderError>;

/// Rewrites all core modules of a component that has `instances` instances of them.
///
/// # Errors
/// Fails if the component cannot be read, or a module is not valid.
pub(crate) fn count_calls(component: &[u8], instances: u32) -> Result<Vec<u8>> {
    rewrite_component(component, TOTAL / instances.max(1))
}

/// Whether an `unreachable` of this module's function is the end of a recursion that went too deep.
pub(crate) fn is_overflow(error: &wasmtime::Error) -> bool {
    let frame = error.downcast_ref::<wasmtime::WasmBacktrace>().and_then(|backtrace| backtrace.frames().first());
    // The function that traps is the last one of each rewritten module.
    frame.is_some_and(|frame| {
        let last = frame.module().functions().last();
        last.is_some_and(|last| last.index.as_u32() == frame.func_index())
    })
}

const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// Sections of a module in the order of their ids, which is that of the file but for what is listed here.
mod section {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const FUNCTION: u8 = 3;
    pub(super) const GLOBAL: u8 = 6;
    pub(super) const CODE: u8 = 10;
    /// Sections before the one with globals.
    pub(super) const BEFORE_GLOBAL: [u8; 7] = [CUSTOM, TYPE, 2, FUNCTION, 4, 5, 13];
}

/// The bytes of magic and version.
const HEADER: usize = 8;

/// Calls `each` with the id and the content of every section.
fn for_each_section<'a>(bytes: &'a [u8], mut each: impl FnMut(u8, &'a [u8]) -> Result<()>) -> Result<&'a [u8]> {
    let mut reader = BinaryReader::new(bytes, 0);
    let header = reader.read_bytes(HEADER)?;
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()?;
        each(id, reader.read_bytes(usize::try_from(size).unwrap_or(usize::MAX))?)?;
    }
    Ok(header)
}

fn push_section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    content.encode(out);
}

fn rewrite_component(bytes: &[u8], limit: u32) -> Result<Vec<u8>> {
    let mut sections = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let header = for_each_section(bytes, |id, content| {
        match id {
            CORE_MODULE => push_section(&mut sections, id, &rewrite_module(content, limit)?),
            COMPONENT => push_section(&mut sections, id, &rewrite_component(content, limit)?),
            _ => push_section(&mut sections, id, content),
        }
        Ok(())
    })?;
    Ok([header, &sections].concat())
}

/// A module's counts, by which what is added is numbered.
#[derive(Default)]
struct Module {
    types: u32,
    /// Imported ones too.
    functions: u32,
    globals: u32,
    /// Types that are added: those of blocks with several results.
    block_types: Vec<Vec<ValType>>,
}

impl Module {
    /// The type of the function that traps. It comes after those of blocks.
    fn overflow_type(&self) -> u32 {
        self.types.saturating_add(count(&self.block_types))
    }

    /// The type of a block with these results.
    fn block(&mut self, results: &[ValType]) -> BlockType {
        match results {
            [] => BlockType::Empty,
            [one] if let Some(result) = value(*one) => BlockType::Result(result),
            several => {
                let known = self.block_types.iter().position(|known| known == several);
                let at = known.unwrap_or_else(|| {
                    self.block_types.push(several.to_vec());
                    self.block_types.len() - 1
                });
                BlockType::FunctionType(self.types.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)))
            }
        }
    }
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// The same type in terms of the encoder.
fn value(ty: ValType) -> Option<wasm_encoder::ValType> {
    Some(match ty {
        ValType::I32 => wasm_encoder::ValType::I32,
        ValType::I64 => wasm_encoder::ValType::I64,
        ValType::F32 => wasm_encoder::ValType::F32,
        ValType::F64 => wasm_encoder::ValType::F64,
        ValType::V128 => wasm_encoder::ValType::V128,
        ValType::Ref(reference) if reference.is_func_ref() => wasm_encoder::ValType::FUNCREF,
        ValType::Ref(_) => return None,
    })
}

fn rewrite_module(bytes: &[u8], limit: u32) -> Result<Vec<u8>> {
    let (mut module, mut bodies) = (Module::default(), Vec::new());
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        if let ValidPayload::Func(function, body) = validator.payload(&payload?)? {
            let mut function = function.into_validator(std::mem::take(&mut allocations));
            let profile = Profile::of(&body, &mut function)?;
            let Some(types) = validator.types(0) else { continue };
            (module.types, module.functions) = (types.core_type_count_in_module(), types.function_count());
            module.globals = types.global_count();
            let ty = types.get(types.core_function_at(function.index()));
            let block = module.block(ty.map(|ty| ty.unwrap_func().results()).unwrap_or_default());
            bodies.push(profile.rewrite(bytes, &body, &module, block, limit));
            allocations = function.into_allocations();
        }
    }
    if bodies.is_empty() { Ok(bytes.to_vec()) } else { module.write(bytes, &bodies) }
}

impl Module {
    /// The module with these bodies, the counter, the function that traps, and their types.
    fn write(&self, bytes: &[u8], bodies: &[Vec<u8>]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
        let mut counter = Some(COUNTER);
        let mut types = Vec::new();
        for results in &self.block_types {
            let results: Vec<_> = results.iter().filter_map(|ty| value(*ty)).collect();
            types.extend([0x60, 0]);
            results.as_slice().encode(&mut types);
        }
        types.extend([0x60, 0, 0]);
        let header = for_each_section(bytes, |id, content| {
            if !section::BEFORE_GLOBAL.contains(&id)
                && id != section::GLOBAL
                && let Some(counter) = counter.take()
            {
                push_section(&mut out, section::GLOBAL, &[&[1], counter].concat());
            }
            match id {
                // Hints for branches name places in the code, which move.
                section::CUSTOM if BinaryReader::new(content, 0).read_string().is_ok_and(|name| name != "name") => {}
                section::TYPE => {
                    let added = count(&self.block_types).saturating_add(1);
                    push_section(&mut out, id, &appended(content, added, &types)?);
                }
                section::FUNCTION => {
                    let mut ty = Vec::new();
                    self.overflow_type().encode(&mut ty);
                    push_section(&mut out, id, &appended(content, 1, &ty)?);
                }
                section::GLOBAL => {
                    counter = None;
                    push_section(&mut out, id, &appended(content, 1, COUNTER)?);
                }
                section::CODE => {
                    let mut code = Vec::new();
                    count(bodies).saturating_add(1).encode(&mut code);
                    for body in bodies {
                        body.as_slice().encode(&mut code);
                    }
                    OVERFLOW.encode(&mut code);
                    push_section(&mut out, id, &code);
                }
                _ => push_section(&mut out, id, content),
            }
            Ok(())
        })?;
        Ok([header, &out].concat())
    }
}

/// The counter: a mutable `i32`, 0 at first.
const COUNTER: &[u8] = &[0x7f, 1, 0x41, 0, 0x0b];

/// The body of the function that traps: no local variables, `unreachable`, `end`.
const OVERFLOW: &[u8] = &[0, 0, 0x0b];

/// A list of `added` more items, whose bytes are `items`.
fn appended(list: &[u8], added: u32, items: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(list, 0);
    let before = reader.read_var_u32()?;
    let mut out = Vec::with_capacity(list.len() + items.len() + 5);
    before.saturating_add(added).encode(&mut out);
    out.extend_from_slice(list.get(reader.original_position()..).unwrap_or_default());
    out.extend_from_slice(items);
    Ok(out)
}

/// What a function's body shows of its frame, and the places in it that are rewritten.
#[derive(Default)]
struct Profile {
    /// Where the first instruction lies in the module.
    begin: usize,
    /// Where the last `end` lies.
    end: usize,
    /// The most values on the operand stack.
    operands: u32,
    locals: u32,
    calls: bool,
    /// `return` instructions: where each lies, and in how many blocks.
    returns: Vec<(usize, u32)>,
    /// Where calls lie that take this function's frame.
    tail_calls: Vec<usize>,
}

impl Profile {
    /// Validates a body, and takes its profile.
    fn of(body: &FunctionBody<'_>, validator: &mut FuncValidator<ValidatorResources>) -> Result<Self> {
        let mut profile = Self::default();
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let mut operators = body.get_operators_reader()?;
        profile.begin = operators.original_position();
        let mut blocks = 0_u32;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset()?;
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    blocks = blocks.saturating_add(1)
                }
                Operator::End => {
                    blocks = blocks.saturating_sub(1);
                    profile.end = at;
                }
                Operator::Return => profile.returns.push((at, blocks)),
                Operator::Call { .. } | Operator::CallIndirect { .. } => profile.calls = true,
                Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                    profile.calls = true;
                    profile.tail_calls.push(at);
                }
                _ => {}
            }
            validator.op(at, &operator)?;
            profile.operands = profile.operands.max(validator.operand_stack_height());
        }
        operators.finish()?;
        profile.locals = validator.len_locals();
        Ok(profile)
    }

    /// What a call of the function costs: at least its native frame in units of [`BYTES_PER_UNIT`].
    fn cost(&self) -> u32 {
        let code = u32::try_from(self.end.saturating_sub(self.begin)).unwrap_or(u32::MAX);
        let operands = self.operands.saturating_mul(PER_OPERAND);
        let locals = self.locals.saturating_mul(PER_LOCAL);
        BASE.saturating_add(operands).saturating_add(locals).saturating_add(code / CODE_PER_UNIT)
    }

    /// The body with the counting around it. A function that does not call cannot be part of a recursion and stays as it is.
    fn rewrite(&self, bytes: &[u8], body: &FunctionBody<'_>, module: &Module, block: BlockType, limit: u32) -> Vec<u8> {
        if !self.calls {
            return body.as_bytes().to_vec();
        }
        let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        let (counter, overflow) = (module.globals, module.functions);
        let cost = self.cost().min(limit);
        let signed = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let release = [
            Instruction::GlobalGet(counter),
            Instruction::I32Const(signed(cost)),
            Instruction::I32Sub,
            Instruction::GlobalSet(counter),
        ];
        let mut out = part(body.range().start, self.begin).to_vec();
        let emit = |out: &mut Vec<u8>, instructions: &[Instruction<'_>]| {
            instructions.iter().for_each(|instruction| instruction.encode(out));
        };
        emit(
            &mut out,
            &[
                Instruction::GlobalGet(counter),
                Instruction::I32Const(signed(limit.saturating_sub(cost))),
                Instruction::I32GtU,
                Instruction::If(BlockType::Empty),
                Instruction::Call(overflow),
                Instruction::End,
                Instruction::GlobalGet(counter),
                Instruction::I32Const(signed(cost)),
                Instruction::I32Add,
                Instruction::GlobalSet(counter),
                Instruction::Block(block),
            ],
        );
        let mut changes: Vec<_> = self.returns.iter().map(|(at, blocks)| (*at, Some(*blocks))).collect();
        changes.extend(self.tail_calls.iter().map(|at| (*at, None)));
        changes.sort_unstable();
        let mut from = self.begin;
        for (at, blocks) in changes {
            out.extend_from_slice(part(from, at));
            from = at;
            if let Some(blocks) = blocks {
                emit(&mut out, &[Instruction::Br(blocks)]);
                from = at.saturating_add(RETURN);
            } else {
                emit(&mut out, &release);
            }
        }
        out.extend_from_slice(part(from, self.end));
        emit(&mut out, &[Instruction::End]);
        emit(&mut out, &release);
        emit(&mut out, &[Instruction::End]);
        out
    }
}

/// The length of a `return` instruction.
const RETURN: usize = 1;
