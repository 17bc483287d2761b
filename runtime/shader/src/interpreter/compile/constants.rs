//! Constants, as registers that are never written.

use naga::{Arena, Expression, Handle, Literal, TypeInner};

use super::{Compiler, Kind, unknown};
use crate::Refusal;
use crate::interpreter::code::Reg;

/// The most words of all constants together.
const MAX_CONSTANT_WORDS: usize = 1 << 24;

impl<'m> Compiler<'m> {
    pub(super) fn scalar_constant(&mut self, word: u32) -> Result<Reg, Refusal> {
        if let Some(&known) = self.scalars.get(&word) {
            return Ok(known);
        }
        let reg = self.new_constant(vec![word])?;
        self.scalars.insert(word, reg);
        Ok(reg)
    }

    pub(super) fn new_constant(&mut self, words: Vec<u32>) -> Result<Reg, Refusal> {
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let reg = self.new_virtual(count, Kind::Constant)?;
        if let Some(&word) = words.first()
            && words.iter().all(|other| *other == word)
        {
            self.facts.words.insert(reg, word);
        }
        self.constants.push((reg, words));
        Ok(reg)
    }

    pub(super) fn constant(&mut self, arena: &Arena<Expression>, handle: Handle<Expression>) -> Result<Reg, Refusal> {
        let mut words = Vec::new();
        self.constant_words(arena, handle, &mut words)?;
        if let [word] = words.as_slice() { self.scalar_constant(*word) } else { self.new_constant(words) }
    }

    pub(super) fn module_constant(&mut self, handle: Handle<Expression>) -> Result<Reg, Refusal> {
        if let Some(&known) = self.module_constants.get(&handle) {
            return Ok(known);
        }
        let module = self.module;
        let reg = self.constant(&module.global_expressions, handle)?;
        self.module_constants.insert(handle, reg);
        Ok(reg)
    }

    pub(super) fn zero(&mut self, inner: &TypeInner) -> Result<Reg, Refusal> {
        let count = self.layout.words(inner)?;
        if count == 1 {
            return self.scalar_constant(0);
        }
        self.charge_constant(count as usize)?;
        self.new_constant(vec![0; count as usize])
    }

    pub(super) fn charge_constant(&mut self, words: usize) -> Result<(), Refusal> {
        self.constant_words = self.constant_words.saturating_add(words);
        if self.constant_words > MAX_CONSTANT_WORDS {
            return Err(Refusal::new("this shader's constants are too large"));
        }
        Ok(())
    }

    pub(super) fn constant_words(
        &mut self,
        arena: &Arena<Expression>,
        handle: Handle<Expression>,
        words: &mut Vec<u32>,
    ) -> Result<(), Refusal> {
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
}

pub(super) fn literal_word(literal: Literal) -> Result<u32, Refusal> {
    match literal {
        Literal::F32(value) => Ok(value.to_bits()),
        Literal::U32(value) => Ok(value),
        Literal::I32(value) => Ok(value.cast_unsigned()),
        Literal::Bool(value) => Ok(if value { u32::MAX } else { 0 }),
        other => Err(unknown(other)),
    }
}
