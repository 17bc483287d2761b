//! One core module: what is added to it, and its sections with that.

use super::body::Profile;
use super::imports::OfModule;
use super::{FEATURES, Result, push_section, sections};
use crate::fuel::HOST_CALL;
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{BlockType, Encode as _, Instruction};
use wasmparser::{
    BinaryReader, FuncValidatorAllocations, FunctionBody, ImportSectionReader, Parser, Payload, TypeRef, ValType,
    ValidPayload, Validator,
};

/// Sections by their ids.
mod id {
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const TYPE: u8 = 1;
    pub(super) const FUNCTION: u8 = 3;
    pub(super) const TABLE: u8 = 4;
    pub(super) const GLOBAL: u8 = 6;
    pub(super) const EXPORT: u8 = 7;
    pub(super) const START: u8 = 8;
    pub(super) const ELEMENT: u8 = 9;
    pub(super) const CODE: u8 = 10;

    /// All sections but the custom ones, in their order in a module.
    pub(super) const ORDER: [u8; 13] = [TYPE, 2, FUNCTION, TABLE, 5, 13, GLOBAL, EXPORT, START, ELEMENT, 12, CODE, 11];
    /// Those to which something is added.
    pub(super) const EXTENDED: [u8; 4] = [TYPE, FUNCTION, GLOBAL, CODE];
}

/// A module's counts, by which what is added is numbered. Added functions come in this order: those that call the host, the one that spends fuel, the one that traps.
#[derive(Default)]
pub(super) struct Module {
    types: u32,
    /// Imported ones too.
    functions: u32,
    globals: u32,
    /// Types that are added: those of blocks with several results.
    block_types: Vec<Vec<ValType>>,
    /// Imported functions that are the host's.
    host: Vec<HostFunction>,
}

struct HostFunction {
    index: u32,
    type_index: u32,
    params: u32,
}

pub(super) fn rewrite(bytes: &[u8], limit: u32, of_host: &OfModule) -> Result<Vec<u8>> {
    let mut module = Module::default();
    let mut bodies = Vec::new();
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut profiles: Vec<(Profile, FunctionBody<'_>, BlockType)> = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::ImportSection(section) = &payload {
            module.host = host_functions(section.clone(), of_host)?;
        }
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(std::mem::take(&mut allocations));
                let profile = Profile::of(&body, &mut function)?;
                let types = validator.types(0);
                if let Some(types) = &types {
                    module.types = types.core_type_count_in_module();
                }
                let ty = types.as_ref().map(|types| types.get(types.core_function_at(function.index())));
                let results = ty.flatten().map(|ty| ty.unwrap_func().results()).unwrap_or_default();
                profiles.push((profile, body, module.block(results)));
                allocations = function.into_allocations();
            }
            ValidPayload::End(types) => {
                let types = types.as_ref();
                (module.types, module.functions) = (types.core_type_count_in_module(), types.function_count());
                module.globals = types.global_count();
                for function in &mut module.host {
                    let ty = types.get(types.core_function_at(function.index));
                    function.params = ty.map_or(0, |ty| count(ty.unwrap_func().params()));
                }
            }
            _ => {}
        }
    }
    if profiles.is_empty() && module.host.is_empty() {
        return Ok(bytes.to_vec());
    }
    for (profile, body, block) in profiles {
        bodies.push(profile.rewrite(bytes, &body, &module, block, limit));
    }
    module.write(bytes, &bodies)
}

/// The imported functions that are the host's; how many parameters they have is not known yet.
fn host_functions(section: ImportSectionReader<'_>, of_host: &OfModule) -> Result<Vec<HostFunction>> {
    let (mut functions, mut index) = (Vec::new(), 0_u32);
    for import in section.into_imports() {
        let import = import?;
        if let TypeRef::Func(type_index) | TypeRef::FuncExact(type_index) = import.ty {
            if of_host.contains(&(import.module.to_owned(), import.name.to_owned())) {
                functions.push(HostFunction { index, type_index, params: 0 });
            }
            index = index.saturating_add(1);
        }
    }
    Ok(functions)
}

impl Module {
    /// The type of the functions without parameters and results. It comes after those of blocks.
    fn plain_type(&self) -> u32 {
        self.types.saturating_add(count(&self.block_types))
    }

    /// The function that spends [`HOST_CALL`].
    fn spend(&self) -> u32 {
        self.functions.saturating_add(count(&self.host))
    }

    /// The function that traps.
    pub(super) fn overflow(&self) -> u32 {
        self.spend().saturating_add(1)
    }

    /// The global variable with the depth.
    pub(super) fn counter(&self) -> u32 {
        self.globals
    }

    /// The function that stands for this one: for one of the host's, the one that pays for it.
    pub(super) fn stand_in(&self, function: u32) -> u32 {
        match self.host.iter().position(|host| host.index == function) {
            Some(at) => self.functions.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)),
            None => function,
        }
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

    /// The module with these bodies and all that is added.
    fn write(&self, bytes: &[u8], bodies: &[Vec<u8>]) -> Result<Vec<u8>> {
        let (header, mut sections) = sections(bytes)?;
        for id in id::EXTENDED {
            if !sections.iter().any(|section| section.0 == id) {
                let place = |id: u8| id::ORDER.iter().position(|other| *other == id);
                let at = sections.iter().position(|section| place(section.0) > place(id));
                sections.insert(at.unwrap_or(sections.len()), (id, &[0]));
            }
        }
        let mut out = header.to_vec();
        out.reserve(bytes.len() + bytes.len() / 8);
        for (id, content) in sections {
            match id {
                // Hints for branches name places in the code, which move.
                id::CUSTOM if BinaryReader::new(content, 0).read_string().is_ok_and(|name| name != "name") => {}
                id::TYPE => push_section(&mut out, id, &self.types(content)?),
                id::FUNCTION => push_section(&mut out, id, &self.functions(content)?),
                id::CODE => push_section(&mut out, id, &self.code(bodies)),
                id::GLOBAL => push_section(&mut out, id, &appended(&self.renamed(id, content)?, 1, COUNTER)?),
                _ => push_section(&mut out, id, &self.renamed(id, content)?),
            }
        }
        Ok(out)
    }

    fn types(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut types = Vec::new();
        for results in &self.block_types {
            let results: Vec<_> = results.iter().filter_map(|ty| value(*ty)).collect();
            types.extend([0x60, 0]);
            results.as_slice().encode(&mut types);
        }
        types.extend([0x60, 0, 0]);
        appended(content, count(&self.block_types).saturating_add(1), &types)
    }

    fn functions(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut types = Vec::new();
        for host in &self.host {
            host.type_index.encode(&mut types);
        }
        self.plain_type().encode(&mut types);
        self.plain_type().encode(&mut types);
        appended(content, count(&self.host).saturating_add(2), &types)
    }

    fn code(&self, bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut code = Vec::new();
        count(bodies).saturating_add(count(&self.host)).saturating_add(2).encode(&mut code);
        let calls = self.host.iter().map(|host| function(&self.call_of_host(host)));
        // Each constant costs one. A module that does not call the host spends nothing.
        let cost = if self.host.is_empty() { 0 } else { HOST_CALL };
        let spend: Vec<_> = (0..cost).flat_map(|_| [Instruction::I32Const(0), Instruction::Drop]).collect();
        let added = calls.chain([function(&spend), function(&[Instruction::Unreachable])]);
        let added: Vec<_> = added.collect();
        for body in bodies.iter().chain(&added) {
            body.as_slice().encode(&mut code);
        }
        code
    }

    fn call_of_host<'a>(&self, host: &HostFunction) -> Vec<Instruction<'a>> {
        let mut call = vec![Instruction::Call(self.spend())];
        call.extend((0..host.params).map(Instruction::LocalGet));
        call.push(Instruction::Call(host.index));
        call
    }

    /// The content of a section with the functions that stand for others in their place.
    fn renamed(&self, id: u8, content: &[u8]) -> Result<Vec<u8>> {
        let names = &mut Renaming(self);
        let reader = BinaryReader::new(content, 0);
        Ok(match id {
            id::TABLE => {
                let mut section = wasm_encoder::TableSection::new();
                names.parse_table_section(&mut section, wasmparser::TableSectionReader::new(reader)?)?;
                encoded(&section)
            }
            id::GLOBAL => {
                let mut section = wasm_encoder::GlobalSection::new();
                names.parse_global_section(&mut section, wasmparser::GlobalSectionReader::new(reader)?)?;
                encoded(&section)
            }
            id::EXPORT => {
                let mut section = wasm_encoder::ExportSection::new();
                names.parse_export_section(&mut section, wasmparser::ExportSectionReader::new(reader)?)?;
                encoded(&section)
            }
            id::ELEMENT => {
                let mut section = wasm_encoder::ElementSection::new();
                names.parse_element_section(&mut section, wasmparser::ElementSectionReader::new(reader)?)?;
                encoded(&section)
            }
            id::START => {
                let mut start = Vec::new();
                self.stand_in(reader.clone().read_var_u32()?).encode(&mut start);
                start
            }
            _ => content.to_vec(),
        })
    }
}

/// The content of a section, without the size in front of it.
fn encoded(section: &impl wasm_encoder::Section) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    let mut reader = BinaryReader::new(&bytes, 0);
    let _ = reader.read_var_u32();
    bytes.get(reader.original_position()..).unwrap_or_default().to_vec()
}

/// Names functions as they are after the rewriting.
struct Renaming<'a>(&'a Module);

impl Reencode for Renaming<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> std::result::Result<u32, Error<Infallible>> {
        Ok(self.0.stand_in(function))
    }
}

/// The counter: a mutable `i32`, 0 at first.
const COUNTER: &[u8] = &[0x7f, 1, 0x41, 0, 0x0b];

/// A function's body of these instructions, without local variables.
fn function(instructions: &[Instruction<'_>]) -> Vec<u8> {
    let mut body = vec![0];
    instructions.iter().chain([&Instruction::End]).for_each(|instruction| instruction.encode(&mut body));
    body
}

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
