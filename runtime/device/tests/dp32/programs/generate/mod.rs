//! Valid kernels at random.
//!
//! What a kernel may do is bounded so that its result is defined: an invocation writes only its own words, workgroup memory
//! changes hands over barriers in uniform control flow, atomics commute and their results are not used, loops end. All
//! else is free: indices beyond the end, division by zero, NaNs, shifts by 99.

mod expression;
mod module;
mod places;
mod statement;

use std::fmt::Write as _;

use super::source::Source;
use crate::runner::Program;

/// Elements of the two inputs; a power of two.
const INPUTS: usize = 64;

/// Words of output that each invocation has.
const WORDS: usize = 8;

/// The most turns that all loops of an invocation take together: lavapipe leaves them after 65 535.
const MOST_TURNS: usize = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    U32,
    I32,
    F32,
    Bool,
}

use Scalar::{Bool, F32, I32, U32};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Type {
    Scalar(Scalar),
    Vector(usize, Scalar),
    /// Columns and rows.
    Matrix(usize, usize),
    Array(Box<Type>, usize),
    /// Its number.
    Struct(usize),
}

impl Type {
    fn name(&self) -> String {
        match self {
            Type::Scalar(scalar) => scalar.name().to_owned(),
            Type::Vector(size, scalar) => format!("vec{size}<{}>", scalar.name()),
            Type::Matrix(columns, rows) => format!("mat{columns}x{rows}<f32>"),
            Type::Array(element, size) => format!("array<{}, {size}>", element.name()),
            Type::Struct(number) => format!("S{number}"),
        }
    }

    /// A scalar's or a vector's scalar, with a type of the same shape made of others.
    fn shape(&self) -> Option<(Scalar, impl Fn(Scalar) -> Type + use<>)> {
        let (scalar, size) = match self {
            Type::Scalar(scalar) => (*scalar, 1),
            Type::Vector(size, scalar) => (*scalar, *size),
            _ => return None,
        };
        Some((scalar, move |scalar| if size == 1 { Type::Scalar(scalar) } else { Type::Vector(size, scalar) }))
    }
}

impl Scalar {
    fn name(self) -> &'static str {
        match self {
            U32 => "u32",
            I32 => "i32",
            F32 => "f32",
            Bool => "bool",
        }
    }
}

/// An expression, and whether the compiler could evaluate it: then it must not be given what it would refuse.
struct Expression {
    text: String,
    constant: bool,
}

/// Something with a name, or reached by a path from there.
#[derive(Clone, Debug)]
struct Place {
    text: String,
    ty: Type,
    /// Whether it may be assigned to.
    writable: bool,
    /// Whether it lies in memory, so that it may be indexed by what is known only at run time.
    memory: bool,
    /// Whether `&` of it may be passed to functions.
    local: bool,
    /// How deep in the thing with the name.
    depth: usize,
}

struct Function {
    name: String,
    /// The parameters; true for a pointer.
    parameters: Vec<(Type, bool)>,
    returns: Option<Type>,
    turns: usize,
}

/// Where a statement stands.
#[derive(Clone)]
struct Spot {
    /// What `return` gives back in this function, and whether it may be used.
    returns: Option<Option<Type>>,
    breakable: bool,
    continuable: bool,
    /// All invocations of the workgroup come by together.
    uniform: bool,
    nesting: usize,
}

/// A program in the making.
pub struct Generator<'a> {
    source: &'a mut Source,
    text: String,
    indent: usize,
    structs: Vec<Vec<Type>>,
    places: Vec<Place>,
    functions: Vec<Function>,
    /// Arrays in workgroup memory with an element for each invocation: name, and the type of an element.
    shared: Vec<(String, Type)>,
    /// The scalar in workgroup memory.
    shared_scalar: Type,
    names: usize,
    expressions: usize,
    most_expressions: usize,
    turns: usize,
    /// How often the current statement is come by.
    times: usize,
    workgroup: usize,
}
impl<'a> Generator<'a> {
    /// The program that these choices make, of about so many expressions.
    pub fn program(source: &'a mut Source, most_expressions: usize) -> Program {
        let mut generator = Generator {
            source,
            text: String::new(),
            indent: 0,
            structs: vec![],
            places: vec![],
            functions: vec![],
            shared: vec![],
            shared_scalar: Type::Scalar(U32),
            names: 0,
            expressions: 0,
            most_expressions,
            turns: 0,
            times: 1,
            workgroup: 1,
        };
        generator.module()
    }

    fn line(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.text, "{:1$}{2}", "", 4 * self.indent, text.as_ref());
    }

    fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}_{}", self.names)
    }

    // Types.
}
