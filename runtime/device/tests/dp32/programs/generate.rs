//! Valid kernels at random.
//!
//! What a kernel may do is bounded so that its result is defined: an invocation writes only its own words, workgroup memory
//! changes hands over barriers in uniform control flow, atomics commute and their results are not used, loops end. All
//! else is free: indices beyond the end, division by zero, NaNs, shifts by 99.

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

const FLOAT_UNARY: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "trunc",
    "round",
    "fract",
    "sign",
    "saturate",
    "sqrt",
    "inverseSqrt",
    "exp",
    "exp2",
    "log",
    "log2",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "radians",
    "degrees",
    "quantizeToF16",
];
const FLOAT_BINARY: &[&str] = &["min", "max", "pow", "atan2", "step"];
const FLOAT_TERNARY: &[&str] = &["fma", "clamp", "mix", "smoothstep"];
const INTEGER_UNARY: &[&str] = &[
    "abs",
    "countLeadingZeros",
    "countOneBits",
    "countTrailingZeros",
    "reverseBits",
    "firstLeadingBit",
    "firstTrailingBit",
];
const COMPARISONS: &[&str] = &["==", "!=", "<", "<=", ">", ">="];

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

    fn numeric(&mut self) -> Scalar {
        [F32, U32, I32][self.source.below(3)]
    }

    fn plain(&mut self) -> Type {
        let scalar = self.numeric();
        match self.source.below(5) {
            0 | 1 => Type::Scalar(scalar),
            2 | 3 => Type::Vector(2 + self.source.below(3), scalar),
            _ => Type::Matrix(2 + self.source.below(3), 2 + self.source.below(3)),
        }
    }

    /// Any type that can be in any memory.
    fn any(&mut self) -> Type {
        match self.source.below(8) {
            6 => Type::Array(Box::new(self.plain()), 1 + self.source.below(5)),
            7 if !self.structs.is_empty() => Type::Struct(self.source.below(self.structs.len())),
            _ => self.plain(),
        }
    }

    /// Any type of a variable in a function.
    fn local(&mut self) -> Type {
        match self.source.below(10) {
            8 => Type::Scalar(Bool),
            9 => Type::Vector(2 + self.source.below(3), Bool),
            _ => self.any(),
        }
    }

    // Places.

    /// All that can be reached from what is in scope, and is of this type.
    fn reachable(&self, ty: &Type, wanted: impl Fn(&Place) -> bool) -> Vec<Place> {
        let mut found = vec![];
        let mut open = self.places.clone();
        while let Some(place) = open.pop() {
            if place.depth < 3 {
                open.extend(self.parts(&place));
            }
            if place.ty == *ty && wanted(&place) {
                found.push(place);
            }
        }
        found
    }

    /// The parts of a composite. `?n` stands for an index below n.
    fn parts(&self, place: &Place) -> Vec<Place> {
        let part = |suffix: String, ty: Type, local: bool| Place {
            text: format!("{}{suffix}", place.text),
            ty,
            local: place.local && local,
            depth: place.depth + 1,
            ..place.clone()
        };
        match &place.ty {
            Type::Scalar(_) => vec![],
            Type::Vector(size, scalar) => {
                let component = [".x", ".y", ".z", ".w"][place.text.len() % size].to_owned();
                let scalar = Type::Scalar(*scalar);
                vec![part(component, scalar.clone(), false), part(format!("[?{size}]"), scalar, false)]
            }
            Type::Matrix(columns, rows) => vec![part(format!("[?{columns}]"), Type::Vector(*rows, F32), false)],
            Type::Array(element, size) => vec![part(format!("[?{size}]"), (**element).clone(), true)],
            Type::Struct(number) => {
                let members = self.structs[*number].iter().enumerate();
                members.map(|(index, ty)| part(format!(".m{index}"), ty.clone(), true)).collect()
            }
        }
    }

    /// The place's text with its indices chosen.
    fn indexed(&mut self, place: &Place, depth: usize) -> String {
        let mut pieces = place.text.split('?');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (size, rest) = piece.split_at(1);
            let size: usize = size.parse().unwrap();
            let index = if depth > 0 && place.memory && self.source.chance(40) {
                let scalar = [U32, I32][self.source.below(2)];
                let index = self.expression(&Type::Scalar(scalar), depth - 1);
                (!index.constant).then_some(index.text)
            } else {
                None
            };
            let index = index.unwrap_or_else(|| self.source.below(size).to_string());
            text += &index;
            text += rest;
        }
        text
    }

    fn choose(&mut self, ty: &Type, depth: usize, wanted: impl Fn(&Place) -> bool) -> Option<String> {
        let found = self.reachable(ty, wanted);
        if found.is_empty() {
            return None;
        }
        let place = found[self.source.below(found.len())].clone();
        Some(self.indexed(&place, depth))
    }

    // Expressions.

    fn literal(&mut self, scalar: Scalar) -> String {
        const UNSIGNED: &[&str] = &["0u", "1u", "2u", "3u", "7u", "31u", "32u", "255u", "0x80000000u", "0xffffffffu"];
        const SIGNED: &[&str] =
            &["0i", "1i", "2i", "(-1i)", "5i", "(-7i)", "100i", "2147483647i", "i32(-2147483648)", "(-65536i)"];
        const FLOAT: &[&str] = &[
            "0.0f",
            "1.0f",
            "2.0f",
            "(-1.0f)",
            "0.5f",
            "(-0.3f)",
            "3.1415927f",
            "10.0f",
            "0.1f",
            "1e-3f",
            "1e-20f",
            "1e20f",
            "1.1754944e-38f",
            "1e-40f",
            "3.4028235e38f",
            "(-0.0f)",
            "16777217.0f",
            "8388608.5f",
            "1e-38f",
            "123.456f",
        ];
        match scalar {
            U32 if self.source.chance(30) => format!("{}u", self.source.below(1 << 31)),
            U32 => self.source.pick(UNSIGNED).to_owned(),
            I32 if self.source.chance(30) => format!("{}i", self.source.below(1 << 30)),
            I32 => self.source.pick(SIGNED).to_owned(),
            F32 if self.source.chance(30) => {
                let exponent = [0, 1, -1, 3, -3, 8, -8][self.source.below(7)];
                format!("{}e{exponent}f", self.source.below(100_000) as f32 / 1000.0)
            }
            F32 => self.source.pick(FLOAT).to_owned(),
            Bool => self.source.pick(&["false", "true"]).to_owned(),
        }
    }

    /// Something that nobody knows before the program runs.
    fn runtime(&mut self, ty: &Type) -> String {
        let at = format!("(me * {}u + {}u) % {INPUTS}u", self.source.below(8), self.source.below(INPUTS));
        match ty {
            Type::Scalar(U32) => format!("input[{at}]"),
            Type::Scalar(I32) => format!("bitcast<i32>(input[{at}])"),
            Type::Scalar(F32) => format!("floats[{at}]"),
            Type::Scalar(Bool) => format!("((input[{at}] & 1u) == 1u)"),
            Type::Vector(size, scalar) => format!("{}({})", ty.name(), self.runtimes(*size, &Type::Scalar(*scalar))),
            Type::Matrix(columns, rows) => {
                format!("{}({})", ty.name(), self.runtimes(*columns, &Type::Vector(*rows, F32)))
            }
            Type::Array(element, size) => format!("{}({})", ty.name(), self.runtimes(*size, &element.clone())),
            Type::Struct(number) => {
                let members = self.structs[*number].clone();
                let members: Vec<String> = members.iter().map(|member| self.runtime(member)).collect();
                format!("{}({})", ty.name(), members.join(", "))
            }
        }
    }

    fn runtimes(&mut self, count: usize, ty: &Type) -> String {
        let parts: Vec<String> = (0..count).map(|_| self.runtime(ty)).collect();
        parts.join(", ")
    }

    /// An expression that the compiler cannot evaluate.
    fn varying(&mut self, ty: &Type, depth: usize) -> String {
        let expression = self.expression(ty, depth);
        if expression.constant { self.runtime(ty) } else { expression.text }
    }

    fn expression(&mut self, ty: &Type, depth: usize) -> Expression {
        self.expressions += 1;
        let begin = self.source.begin();
        let expression = self.expression_of(ty, depth);
        self.source.end(begin);
        expression
    }

    fn expression_of(&mut self, ty: &Type, depth: usize) -> Expression {
        let varying = |text: String| Expression { text, constant: false };
        let kind = if depth == 0 || self.expressions > self.most_expressions {
            self.source.below(3)
        } else {
            self.source.below(12)
        };
        match kind {
            0 => self.simplest(ty),
            1 | 4 | 5 => match self.choose(ty, depth, |_| true) {
                Some(text) => Expression { constant: text.starts_with("C_"), text },
                None => varying(self.runtime(ty)),
            },
            2 => varying(self.runtime(ty)),
            3 => match self.call(Some(ty), depth) {
                Some(text) => varying(text),
                None => self.operation(ty, depth),
            },
            _ => self.operation(ty, depth),
        }
    }

    fn simplest(&mut self, ty: &Type) -> Expression {
        let constant = |text: String| Expression { text, constant: true };
        match ty {
            Type::Scalar(scalar) => constant(self.literal(*scalar)),
            Type::Vector(_, scalar) if self.source.chance(50) => {
                constant(format!("{}({})", ty.name(), self.literal(*scalar)))
            }
            Type::Vector(size, scalar) => {
                let parts: Vec<String> = (0..*size).map(|_| self.literal(*scalar)).collect();
                constant(format!("{}({})", ty.name(), parts.join(", ")))
            }
            _ => constant(format!("{}()", ty.name())),
        }
    }

    /// A call of one of the program's own functions that gives back such a type; without one, any call.
    fn call(&mut self, returns: Option<&Type>, depth: usize) -> Option<String> {
        let (room, times) = (MOST_TURNS.saturating_sub(self.turns), self.times);
        let fitting: Vec<usize> = (0..self.functions.len())
            .filter(|index| {
                let function = &self.functions[*index];
                function.turns * times <= room && (returns.is_none() || function.returns.as_ref() == returns)
            })
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let index = fitting[self.source.below(fitting.len())];
        let (name, parameters) = (self.functions[index].name.clone(), self.functions[index].parameters.clone());
        self.turns += self.functions[index].turns * times;
        let mut arguments = vec![];
        for (ty, pointer) in parameters {
            arguments.push(if pointer {
                format!("&{}", self.choose(&ty, 0, |place| place.local && place.writable && place.depth == 0)?)
            } else {
                self.expression(&ty, depth.saturating_sub(1)).text
            });
        }
        Some(format!("{name}({})", arguments.join(", ")))
    }

    fn operation(&mut self, ty: &Type, depth: usize) -> Expression {
        let depth = depth.saturating_sub(1);
        let varying = |text: String| Expression { text, constant: false };
        if let Type::Matrix(columns, rows) = *ty {
            return varying(self.matrix(ty, columns, rows, depth));
        }
        let Some((scalar, like)) = ty.shape() else { return self.composite(ty, depth) };
        let vector = if let Type::Vector(size, _) = ty { Some(*size) } else { None };
        match self.source.below(9) {
            0 | 1 => varying(self.arithmetic(ty, scalar, depth)),
            2 => {
                // Folded by the compiler.
                if let Some(text) = self.folded(scalar).filter(|_| vector.is_none()) {
                    return Expression { text, constant: true };
                }
                varying(self.arithmetic(ty, scalar, depth))
            }
            3 => {
                let condition = self.varying(&like(Bool), depth);
                let (a, b) = (self.expression(ty, depth).text, self.expression(ty, depth).text);
                varying(format!("select({a}, {b}, {condition})"))
            }
            4 if scalar != Bool => {
                let from = [I32, U32, F32][self.source.below(3)];
                let from = self.varying(&like(from), depth);
                varying(format!("bitcast<{}>({from})", ty.name()))
            }
            5 | 4 => {
                let from = [I32, U32, F32, Bool][self.source.below(4)];
                let from = self.varying(&like(from), depth);
                varying(format!("{}({from})", ty.name()))
            }
            6 if vector.is_some() => {
                let size = vector.unwrap_or_default();
                if self.source.chance(50) {
                    let from = 2 + self.source.below(3);
                    let swizzle: String = (0..size).map(|_| ['x', 'y', 'z', 'w'][self.source.below(from)]).collect();
                    let from = self.varying(&Type::Vector(from, scalar), depth);
                    varying(format!("{from}.{swizzle}"))
                } else {
                    let parts: Vec<String> = (0..size).map(|_| self.varying(&Type::Scalar(scalar), depth)).collect();
                    varying(format!("{}({})", ty.name(), parts.join(", ")))
                }
            }
            _ => varying(self.builtin(ty, scalar, vector, depth)),
        }
    }

    fn composite(&mut self, ty: &Type, depth: usize) -> Expression {
        let parts: Vec<Type> = match ty {
            Type::Array(element, size) => vec![(**element).clone(); *size],
            Type::Struct(number) => self.structs[*number].clone(),
            _ => vec![],
        };
        let parts: Vec<Expression> = parts.iter().map(|part| self.expression(part, depth.min(1))).collect();
        let constant = parts.iter().all(|part| part.constant);
        let parts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
        Expression { text: format!("{}({})", ty.name(), parts.join(", ")), constant }
    }

    /// An operation on literals that has a result.
    fn folded(&mut self, scalar: Scalar) -> Option<String> {
        let (operands, operators): (&[&str], &[&str]) = match scalar {
            U32 => (&["1u", "2u", "5u", "31u"], &["+", "*", "/", "%", "&", "|", "^", ">>"]),
            I32 => (&["1i", "2i", "(-5i)", "31i"], &["+", "-", "*", "/", "%", "&", "|", "^"]),
            F32 => (&["1.0f", "0.1f", "3e-20f", "(-7.3e-20f)", "16777216.0f", "1e-38f", "5e17f"], &["+", "-", "*"]),
            Bool => return None,
        };
        let (a, operator, b) = (self.source.pick(operands), self.source.pick(operators), self.source.pick(operands));
        Some(format!("({a} {operator} {b})"))
    }

    fn arithmetic(&mut self, ty: &Type, scalar: Scalar, depth: usize) -> String {
        if scalar == Bool {
            return self.logic(ty, depth);
        }
        let a = self.varying(ty, depth);
        if self.source.chance(10) {
            let operator = if scalar == F32 || (scalar == I32 && self.source.chance(50)) { "-" } else { "~" };
            return format!("({operator}{a})");
        }
        // One side of a vector operation may be a scalar.
        let as_scalar = matches!(ty, Type::Vector(..)) && self.source.chance(25);
        let mut other = if as_scalar { Type::Scalar(scalar) } else { ty.clone() };
        if scalar == F32 {
            let operator = self.source.pick(&["+", "*", "-", "/", "+", "*", "-", "%"]);
            let by_matrix = if let Type::Vector(rows, _) = ty { self.source.chance(15).then_some(*rows) } else { None };
            if let Some(rows) = by_matrix {
                let columns = 2 + self.source.below(3);
                let vector = self.varying(&Type::Vector(columns, F32), depth);
                return if self.source.chance(50) {
                    format!("({} * {vector})", self.varying(&Type::Matrix(columns, rows), depth))
                } else {
                    format!("({vector} * {})", self.varying(&Type::Matrix(rows, columns), depth))
                };
            }
            let b = self.expression(&other, depth).text;
            return if self.source.chance(50) {
                format!("({a} {operator} {b})")
            } else {
                format!("({b} {operator} {a})")
            };
        }
        let operator = self.source.pick(&["+", "*", "-", "&", "|", "^", "/", "%", "<<", ">>"]);
        if matches!(operator, "&" | "|" | "^") {
            other = ty.clone();
        }
        match operator {
            "/" | "%" => format!("({a} {operator} {})", self.varying(&other, depth)),
            "<<" | ">>" => {
                let (_, like) = ty.shape().unwrap();
                let by = if self.source.chance(50) {
                    self.varying(&like(U32), depth)
                } else {
                    format!("{}({}u)", like(U32).name(), self.source.below(32))
                };
                format!("({a} {operator} {by})")
            }
            _ => format!("({a} {operator} {})", self.expression(&other, depth).text),
        }
    }

    /// A truth value, or a vector of them.
    fn logic(&mut self, ty: &Type, depth: usize) -> String {
        let (_, like) = ty.shape().unwrap();
        let is_vector = matches!(ty, Type::Vector(..));
        match self.source.below(6) {
            4 => format!("(!{})", self.varying(ty, depth)),
            5 => {
                let operators: &[&str] =
                    if is_vector { &["&", "|", "==", "!="] } else { &["&&", "||", "&", "|", "=="] };
                let operator = self.source.pick(operators);
                format!("({} {operator} {})", self.varying(ty, depth), self.varying(ty, depth))
            }
            _ => {
                let scalar = self.numeric();
                let operator = self.source.pick(COMPARISONS);
                let (a, b) = (self.varying(&like(scalar), depth), self.expression(&like(scalar), depth).text);
                format!("({a} {operator} {b})")
            }
        }
    }

    fn matrix(&mut self, ty: &Type, columns: usize, rows: usize, depth: usize) -> String {
        match self.source.below(6) {
            0 => {
                let operator = self.source.pick(&["+", "-"]);
                format!("({} {operator} {})", self.varying(ty, depth), self.varying(ty, depth))
            }
            1 => format!("({} * {})", self.varying(ty, depth), self.varying(&Type::Scalar(F32), depth)),
            2 => {
                let inner = 2 + self.source.below(3);
                let (a, b) = (Type::Matrix(inner, rows), Type::Matrix(columns, inner));
                format!("({} * {})", self.varying(&a, depth), self.varying(&b, depth))
            }
            3 => format!("transpose({})", self.varying(&Type::Matrix(rows, columns), depth)),
            4 => {
                let parts: Vec<String> =
                    (0..columns * rows).map(|_| self.varying(&Type::Scalar(F32), depth.min(1))).collect();
                format!("{}({})", ty.name(), parts.join(", "))
            }
            _ => {
                let parts: Vec<String> = (0..columns).map(|_| self.varying(&Type::Vector(rows, F32), depth)).collect();
                format!("{}({})", ty.name(), parts.join(", "))
            }
        }
    }

    fn builtin(&mut self, ty: &Type, scalar: Scalar, vector: Option<usize>, depth: usize) -> String {
        let (_, like) = ty.shape().unwrap();
        let call = |name: &str, arguments: Vec<String>| format!("{name}({})", arguments.join(", "));
        let size = 2 + self.source.below(3);
        match (scalar, vector) {
            (Bool, None) => {
                let name = self.source.pick(&["all", "any"]);
                call(name, vec![self.varying(&Type::Vector(size, Bool), depth)])
            }
            (Bool, Some(_)) => self.logic(ty, depth),
            (F32, None) if self.source.chance(35) => match self.source.below(6) {
                0 => call("dot", self.several(&Type::Vector(size, F32), 2, depth)),
                1 => call("length", self.several(&Type::Vector(size, F32), 1, depth)),
                2 => call("distance", self.several(&Type::Vector(size, F32), 2, depth)),
                3 => call("determinant", self.several(&Type::Matrix(size, size), 1, depth)),
                4 => {
                    let part = self.source.pick(&["modf(?).fract", "modf(?).whole", "frexp(?).fract"]);
                    part.replace('?', &self.varying(ty, depth))
                }
                _ => call("length", self.several(ty, 1, depth)),
            },
            (F32, Some(n)) if self.source.chance(35) => match self.source.below(8) {
                0 => call("normalize", self.several(ty, 1, depth)),
                1 => call("reflect", self.several(ty, 2, depth)),
                2 => {
                    let mut arguments = self.several(ty, 2, depth);
                    arguments.push(self.varying(&Type::Scalar(F32), depth));
                    call("refract", arguments)
                }
                3 => call("faceForward", self.several(ty, 3, depth)),
                4 => {
                    let mut arguments = self.several(ty, 2, depth);
                    arguments.push(self.varying(&Type::Scalar(F32), depth));
                    call("mix", arguments)
                }
                5 if n == 3 => call("cross", self.several(ty, 2, depth)),
                6 if n == 4 => {
                    let name = self.source.pick(&["unpack4x8snorm", "unpack4x8unorm"]);
                    call(name, self.several(&Type::Scalar(U32), 1, depth))
                }
                6 if n == 2 => {
                    let name = self.source.pick(&["unpack2x16snorm", "unpack2x16unorm", "unpack2x16float"]);
                    call(name, self.several(&Type::Scalar(U32), 1, depth))
                }
                _ => {
                    let part = self.source.pick(&["modf(?).fract", "modf(?).whole", "frexp(?).fract"]);
                    part.replace('?', &self.varying(ty, depth))
                }
            },
            (F32, _) => match self.source.below(7) {
                0..=2 => call(self.source.pick(FLOAT_UNARY), self.several(ty, 1, depth)),
                3 | 4 => call(self.source.pick(FLOAT_BINARY), self.several(ty, 2, depth)),
                5 => call(self.source.pick(FLOAT_TERNARY), self.several(ty, 3, depth)),
                _ => {
                    let arguments = vec![self.varying(ty, depth), self.varying(&like(I32), depth)];
                    call("ldexp", arguments)
                }
            },
            (U32, None) if self.source.chance(40) => match self.source.below(4) {
                0 => {
                    let name = self.source.pick(&["pack4x8snorm", "pack4x8unorm"]);
                    call(name, self.several(&Type::Vector(4, F32), 1, depth))
                }
                1 => {
                    let name = self.source.pick(&["pack2x16snorm", "pack2x16unorm", "pack2x16float"]);
                    call(name, self.several(&Type::Vector(2, F32), 1, depth))
                }
                2 => {
                    let (signed, unsigned) = (Type::Vector(4, I32), Type::Vector(4, U32));
                    match self.source.below(4) {
                        0 => call("pack4xI8", self.several(&signed, 1, depth)),
                        1 => call("pack4xU8", self.several(&unsigned, 1, depth)),
                        2 => call("pack4xI8Clamp", self.several(&signed, 1, depth)),
                        _ => call("pack4xU8Clamp", self.several(&unsigned, 1, depth)),
                    }
                }
                _ => call("dot4U8Packed", self.several(&Type::Scalar(U32), 2, depth)),
            },
            (I32, None) if self.source.chance(20) => {
                if self.source.chance(50) {
                    call("dot4I8Packed", self.several(&Type::Scalar(U32), 2, depth))
                } else {
                    format!("frexp({}).exp", self.varying(&Type::Scalar(F32), depth))
                }
            }
            (I32, Some(4)) if self.source.chance(20) => call("unpack4xI8", self.several(&Type::Scalar(U32), 1, depth)),
            (U32, Some(4)) if self.source.chance(20) => call("unpack4xU8", self.several(&Type::Scalar(U32), 1, depth)),
            (U32 | I32, _) => match self.source.below(8) {
                0..=2 => call(self.source.pick(INTEGER_UNARY), self.several(ty, 1, depth)),
                3 => call(self.source.pick(&["min", "max"]), self.several(ty, 2, depth)),
                4 => call("clamp", self.several(ty, 3, depth)),
                5 => {
                    let mut arguments = self.several(ty, 1, depth);
                    arguments.extend(self.several(&Type::Scalar(U32), 2, depth));
                    call("extractBits", arguments)
                }
                6 => {
                    let mut arguments = self.several(ty, 2, depth);
                    arguments.extend(self.several(&Type::Scalar(U32), 2, depth));
                    call("insertBits", arguments)
                }
                _ if vector.is_none() => call("dot", self.several(&Type::Vector(size, scalar), 2, depth)),
                _ if scalar == I32 => call("sign", self.several(ty, 1, depth)),
                _ => call("countOneBits", self.several(ty, 1, depth)),
            },
        }
    }

    /// Arguments that the compiler cannot evaluate.
    fn several(&mut self, ty: &Type, count: usize, depth: usize) -> Vec<String> {
        (0..count).map(|_| self.varying(ty, depth)).collect()
    }

    // Statements.

    /// Statements between braces, the places in them forgotten afterwards.
    fn block(&mut self, spot: &Spot) {
        let places = self.places.len();
        self.indent += 1;
        let most = 1 + self.source.below(4);
        for _ in 0..most {
            let begin = self.source.begin();
            let ended = self.statement(spot);
            self.source.end(begin);
            if ended {
                break;
            }
        }
        self.indent -= 1;
        self.places.truncate(places);
    }

    /// One statement. True if none can follow it.
    fn statement(&mut self, spot: &Spot) -> bool {
        let inner = Spot { nesting: spot.nesting + 1, ..spot.clone() };
        let can_nest = spot.nesting < 4 && self.expressions < self.most_expressions;
        match self.source.below(20) {
            0 | 1 => self.assign(),
            2..=4 => self.declare(),
            5 | 6 => self.store(),
            7 if can_nest => self.branch(&inner),
            8 if can_nest => self.switch(&inner),
            9..=11 if can_nest => self.repeat(&inner),
            12 => self.atomic(),
            13 | 14 if spot.uniform => self.exchange(),
            15 => {
                if let Some(call) = self.call(None, 2) {
                    let void =
                        self.functions.iter().any(|f| f.returns.is_none() && call.starts_with(&format!("{}(", f.name)));
                    self.line(if void { format!("{call};") } else { format!("_ = {call};") });
                }
            }
            16 => {
                if self.source.chance(40) && (spot.breakable || spot.continuable || spot.returns.is_some()) {
                    return self.leave(spot);
                }
                self.leave_if(spot);
            }
            17 if can_nest => {
                self.line("{");
                self.block(&inner);
                self.line("}");
            }
            18 => self.point(),
            _ => self.assign(),
        }
        false
    }

    fn declare(&mut self) {
        let ty = self.local();
        let value = self.expression(&ty, 3);
        let name = self.fresh('v');
        // What is bound to a constant is one.
        let writable = self.source.chance(60) || value.constant;
        let keyword = if writable { "var" } else { "let" };
        if writable && self.source.chance(20) {
            self.line(format!("var {name}: {};", ty.name()));
        } else {
            self.line(format!("{keyword} {name}: {} = {};", ty.name(), value.text));
        }
        self.places.push(Place { text: name, ty, writable, memory: writable, local: writable, depth: 0 });
    }

    fn assign(&mut self) {
        let ty = match self.source.below(4) {
            0 => Type::Scalar(F32),
            1 => Type::Scalar(U32),
            2 => self.plain(),
            _ => self.local(),
        };
        let Some(place) = self.choose(&ty, 1, |place| place.writable) else { return self.declare() };
        let scalar = ty.shape().map(|(scalar, _)| scalar);
        match scalar {
            Some(F32) if self.source.chance(40) => {
                let operator = self.source.pick(&["+=", "*=", "-=", "/="]);
                let value = self.varying(&ty, 3);
                self.line(format!("{place} {operator} {value};"));
            }
            Some(U32 | I32) if self.source.chance(40) => {
                let operator = self.source.pick(&["+=", "*=", "-=", "^=", "|=", "&=", "%="]);
                let value = self.varying(&ty, 3);
                self.line(format!("{place} {operator} {value};"));
            }
            Some(U32 | I32) if matches!(ty, Type::Scalar(_)) && self.source.chance(20) => {
                let operator = self.source.pick(&["++", "--"]);
                self.line(format!("{place}{operator};"));
            }
            _ => {
                let value = self.expression(&ty, 3).text;
                self.line(format!("{place} = {value};"));
            }
        }
    }

    /// Writes some of the invocation's own output.
    fn store(&mut self) {
        let (word, as_float) = (self.source.below(WORDS), self.source.chance(50));
        let scalar = if as_float { F32 } else { U32 };
        let value = self.expression(&Type::Scalar(scalar), 3).text;
        let buffer = if as_float { "results" } else { "output" };
        self.line(format!("{buffer}[me * {WORDS}u + {word}u] = {value};"));
    }

    fn branch(&mut self, spot: &Spot) {
        // Only what all invocations know alike keeps them together.
        let uniform = spot.uniform && self.source.chance(30);
        let condition = if uniform {
            format!(
                "(params.numbers.{} & {}u) != 0u",
                ["x", "y", "z", "w"][self.source.below(4)],
                1 << self.source.below(4)
            )
        } else {
            self.varying(&Type::Scalar(Bool), 3)
        };
        let mut spot = Spot { uniform, ..spot.clone() };
        self.line(format!("if {condition} {{"));
        self.block(&spot);
        while self.source.chance(25) {
            let condition = self.varying(&Type::Scalar(Bool), 2);
            spot.uniform = false;
            self.line(format!("}} else if {condition} {{"));
            self.block(&spot);
        }
        if self.source.chance(50) {
            self.line("} else {");
            self.block(&spot);
        }
        self.line("}");
    }

    fn switch(&mut self, spot: &Spot) {
        let scalar = [U32, I32][self.source.below(2)];
        let selector = self.varying(&Type::Scalar(scalar), 2);
        let suffix = if scalar == U32 { "u" } else { "i" };
        let spot = &Spot { uniform: false, breakable: true, ..spot.clone() };
        self.line(format!("switch {selector} & 7{suffix} {{"));
        self.indent += 1;
        let mut next = 0;
        for _ in 0..1 + self.source.below(3) {
            let mut values = vec![];
            for _ in 0..1 + self.source.below(2) {
                values.push(format!("{next}{suffix}"));
                next += 1;
            }
            self.line(format!("case {}: {{", values.join(", ")));
            self.block(spot);
            self.line("}");
        }
        self.line("default: {");
        self.block(spot);
        self.line("}");
        self.indent -= 1;
        self.line("}");
    }

    fn repeat(&mut self, spot: &Spot) {
        let most = 1 + self.source.below(8);
        let turns = self.times * most;
        if self.turns + turns > MOST_TURNS {
            return self.assign();
        }
        self.turns += turns;
        let uniform = spot.uniform && self.source.chance(40);
        let counter = self.fresh('i');
        let spot = &Spot { uniform, breakable: !uniform, continuable: !uniform, ..spot.clone() };
        let bound = match self.source.below(3) {
            _ if uniform => format!("1u + params.numbers.y % {most}u"),
            0 => format!("{most}u"),
            _ => format!("{} % {}u", self.varying(&Type::Scalar(U32), 1), most + 1),
        };
        let (places, times) = (self.places.len(), std::mem::replace(&mut self.times, turns));
        let place = |memory| Place {
            text: counter.clone(),
            ty: Type::Scalar(U32),
            writable: false,
            memory,
            local: false,
            depth: 0,
        };
        match self.source.below(3) {
            0 => {
                self.line(format!("for (var {counter} = 0u; {counter} < {bound}; {counter}++) {{"));
                self.places.push(place(true));
                self.block(spot);
                self.line("}");
            }
            1 => {
                self.line(format!("var {counter} = {bound};"));
                self.line(format!("while {counter} > 0u {{"));
                self.indent += 1;
                self.line(format!("{counter}--;"));
                self.indent -= 1;
                self.places.push(place(true));
                self.block(spot);
                self.line("}");
            }
            _ => {
                self.line(format!("var {counter} = 0u;"));
                self.line("loop {");
                self.places.push(place(true));
                self.block(spot);
                self.indent += 1;
                self.line("continuing {");
                self.indent += 1;
                self.line(format!("{counter}++;"));
                self.line(format!("break if {counter} >= {bound};"));
                self.indent -= 1;
                self.line("}");
                self.indent -= 1;
                self.line("}");
            }
        }
        self.places.truncate(places);
        self.times = times;
    }

    /// `break`, `continue` or `return`.
    fn leave(&mut self, spot: &Spot) -> bool {
        let mut ways = vec![];
        if spot.breakable {
            ways.push(0);
        }
        if spot.continuable {
            ways.push(1);
        }
        if spot.returns.is_some() {
            ways.push(2);
        }
        if ways.is_empty() {
            return false;
        }
        match (ways[self.source.below(ways.len())], &spot.returns) {
            (0, _) => self.line("break;"),
            (1, _) => self.line("continue;"),
            (_, Some(Some(ty))) => {
                let value = self.expression(ty, 2).text;
                self.line(format!("return {value};"));
            }
            _ => self.line("return;"),
        }
        true
    }

    fn leave_if(&mut self, spot: &Spot) {
        if !spot.breakable && !spot.continuable && spot.returns.is_none() {
            return self.assign();
        }
        let condition = self.varying(&Type::Scalar(Bool), 2);
        self.line(format!("if {condition} {{"));
        self.indent += 1;
        self.leave(spot);
        self.indent -= 1;
        self.line("}");
    }

    /// A pointer to a part of a variable.
    fn point(&mut self) {
        let ty = self.any();
        let Some(place) = self.choose(&ty, 1, |place| place.local && place.writable) else { return self.declare() };
        let name = self.fresh('p');
        self.line(format!("let {name} = &{place};"));
        self.places.push(Place {
            text: format!("(*{name})"),
            ty,
            writable: true,
            memory: true,
            local: false,
            depth: 1,
        });
    }

    /// An atomic operation; each word is for one that commutes with itself.
    fn atomic(&mut self) {
        let word = self.source.below(8);
        let (operation, scalar) = [
            ("atomicAdd", U32),
            ("atomicAnd", U32),
            ("atomicOr", U32),
            ("atomicXor", U32),
            ("atomicMin", U32),
            ("atomicMax", U32),
            ("atomicMin", I32),
            ("atomicMax", I32),
        ][word];
        let operation = if word == 0 && self.source.chance(50) { "atomicSub" } else { operation };
        let place =
            if word < 6 { format!("shared_words.words[{word}]") } else { format!("shared_words.signed[{}]", word - 6) };
        let value = self.expression(&Type::Scalar(scalar), 2).text;
        self.line(format!("{operation}(&{place}, {value});"));
    }

    /// Values that go from one invocation of the workgroup to another.
    fn exchange(&mut self) {
        let name = self.fresh('v');
        let ty = match self.source.below(4) {
            0 => {
                let ty = self.shared_scalar.clone();
                let value = self.expression(&ty, 2).text;
                self.line("if local == 0u {");
                self.line(format!("    shared_scalar = {value};"));
                self.line("}");
                self.line("workgroupBarrier();");
                self.line(format!("let {name} = shared_scalar;"));
                ty
            }
            1 => {
                let value = self.expression(&Type::Scalar(U32), 2).text;
                self.line(format!("atomicAdd(&tally, {value});"));
                self.line("workgroupBarrier();");
                self.line(format!("let {name} = atomicLoad(&tally);"));
                Type::Scalar(U32)
            }
            _ if self.shared.is_empty() => return self.assign(),
            _ => {
                let (array, ty) = self.shared[self.source.below(self.shared.len())].clone();
                let (value, distance) = (self.expression(&ty, 2).text, self.source.below(self.workgroup));
                self.line(format!("{array}[local] = {value};"));
                self.line("workgroupBarrier();");
                self.line(format!("let {name} = {array}[(local + {distance}u) % {}u];", self.workgroup));
                ty
            }
        };
        self.line("workgroupBarrier();");
        let mut place = Place { text: name, ty, writable: false, memory: false, local: false, depth: 0 };
        self.places.push(place.clone());
        // Looked at at once: what nobody uses is not even loaded.
        let scalar = loop {
            match place.ty {
                Type::Scalar(scalar) => break scalar,
                _ => {
                    let parts = self.parts(&place);
                    place = parts[self.source.below(parts.len())].clone();
                }
            }
        };
        let (value, word) = (self.indexed(&place, 0), self.source.below(WORDS));
        let value = if scalar == U32 { value } else { format!("bitcast<u32>({value})") };
        self.line(format!("output[me * {WORDS}u + {word}u] ^= {value};"));
    }

    // The module.

    fn module(&mut self) -> Program {
        let size: [usize; 3] =
            [[1, 1, 1], [4, 1, 1], [7, 1, 1], [8, 4, 1], [4, 2, 2], [64, 1, 1]][self.source.below(6)];
        let workgroups = [[1, 1, 1], [3, 1, 1], [2, 2, 1]][self.source.below(3)];
        self.workgroup = size.iter().product();
        for _ in 0..self.source.below(3) {
            let mut members = vec![];
            for _ in 0..1 + self.source.below(4) {
                members.push(self.any());
            }
            let number = self.structs.len();
            self.line(format!("struct S{number} {{"));
            for (index, member) in members.iter().enumerate() {
                let ty = member.name();
                self.line(format!("    m{index}: {ty},"));
            }
            self.line("}");
            self.structs.push(members);
        }
        self.line("struct Params { numbers: vec4<u32>, floats: vec4<f32>, turn: mat3x3<f32> }");
        self.line("struct Words { words: array<atomic<u32>, 6>, signed: array<atomic<i32>, 2> }");
        self.line("@group(0) @binding(0) var<storage, read> input: array<u32>;");
        self.line("@group(0) @binding(1) var<storage, read> floats: array<f32>;");
        self.line("@group(0) @binding(2) var<storage, read_write> output: array<u32>;");
        self.line("@group(0) @binding(3) var<storage, read_write> results: array<f32>;");
        self.line("@group(0) @binding(4) var<storage, read_write> shared_words: Words;");
        self.line("@group(0) @binding(5) var<uniform> params: Params;");
        let record = self.any();
        self.line(format!("@group(0) @binding(6) var<storage, read_write> records: array<{}>;", record.name()));
        let record_words = self.words(&record);
        self.line("override FACTOR: f32 = 1.0;");
        self.line("override SIZE: u32;");
        self.line("var<private> me: u32;");
        self.line("var<private> factor: f32 = FACTOR * 0.1;");
        self.line("var<workgroup> tally: atomic<u32>;");
        self.shared_scalar = self.plain();
        let scalar = self.shared_scalar.name();
        self.line(format!("var<workgroup> shared_scalar: {scalar};"));

        let given = |text: &str, ty, memory| Place {
            text: text.to_owned(),
            ty,
            writable: false,
            memory,
            local: false,
            depth: 0,
        };
        self.places.push(given("params.numbers", Type::Vector(4, U32), true));
        self.places.push(given("params.floats", Type::Vector(4, F32), true));
        self.places.push(given("params.turn", Type::Matrix(3, 3), true));
        self.places.push(Place { writable: true, ..given("records[me]", record, true) });
        self.places.push(Place { writable: true, ..given("factor", Type::Scalar(F32), true) });
        for _ in 0..self.source.below(3) {
            let (ty, name) = (self.local(), self.fresh('g'));
            self.line(format!("var<private> {name}: {};", ty.name()));
            self.places.push(Place { writable: true, ..given(&name, ty, true) });
        }
        for _ in 0..self.source.below(2) {
            let (scalar, name) = (self.numeric(), self.fresh('C'));
            let elements: Vec<String> = (0..4).map(|_| self.literal(scalar)).collect();
            let ty = Type::Array(Box::new(Type::Scalar(scalar)), 4);
            self.line(format!("const {name} = {}({});", ty.name(), elements.join(", ")));
            self.places.push(Place { memory: true, ..given(&name, ty, true) });
        }
        for _ in 0..self.source.below(3) {
            let (ty, name) = (self.any(), self.fresh('w'));
            // Within the 16 KiB of workgroup memory.
            let ty = if self.words(&ty) * self.workgroup > 1000 { Type::Scalar(F32) } else { ty };
            self.line(format!("var<workgroup> {name}: array<{}, {}>;", ty.name(), self.workgroup));
            self.shared.push((name, ty));
        }
        for _ in 0..self.source.below(4) {
            self.function();
        }
        self.main(size);

        let (invocations, text) =
            (self.workgroup * workgroups.iter().product::<usize>(), std::mem::take(&mut self.text));
        let mut words = Noise(self.source.below(1 << 16) as u32 | 1);
        let mut buffer = |count: usize, word: fn(&mut Noise) -> u32| -> Vec<u8> {
            (0..count).flat_map(|_| word(&mut words).to_le_bytes()).collect()
        };
        let buffers = vec![
            buffer(INPUTS, Noise::integer),
            buffer(INPUTS, Noise::float),
            buffer(invocations * WORDS, Noise::zero),
            buffer(invocations * WORDS, Noise::zero),
            buffer(8, Noise::integer),
            [buffer(4, Noise::integer), buffer(16, Noise::float)].concat(),
            buffer(invocations * record_words, Noise::float),
        ];
        Program {
            wgsl: text,
            constants: vec![("FACTOR".to_owned(), 0.3), ("SIZE".to_owned(), size[0] as f64)],
            buffers,
            workgroups: workgroups.map(|count| u32::try_from(count).unwrap()),
        }
    }

    /// An upper bound of a type's size in words.
    fn words(&self, ty: &Type) -> usize {
        match ty {
            Type::Scalar(_) => 1,
            Type::Vector(..) => 4,
            Type::Matrix(columns, _) => 4 * columns,
            Type::Array(element, size) => size * self.words(element),
            Type::Struct(number) => {
                4 + self.structs[*number].iter().map(|member| 4 + self.words(member)).sum::<usize>()
            }
        }
    }

    fn function(&mut self) {
        let name = self.fresh('f');
        let places = self.places.len();
        let returns = if self.source.chance(75) { Some(self.local()) } else { None };
        let mut parameters = vec![];
        let mut declared = vec![];
        for _ in 0..self.source.below(4) {
            let (ty, parameter, pointer) = (self.local(), self.fresh('a'), self.source.chance(25));
            let place = Place {
                text: if pointer { format!("(*{parameter})") } else { parameter.clone() },
                ty: ty.clone(),
                writable: pointer,
                memory: pointer,
                local: false,
                depth: usize::from(pointer),
            };
            let spelled = if pointer { format!("ptr<function, {}>", ty.name()) } else { ty.name() };
            declared.push(format!("{parameter}: {spelled}"));
            // Two pointers of a call must not be to the same.
            if pointer && parameters.iter().any(|(_, pointer)| *pointer) {
                declared.pop();
                continue;
            }
            self.places.push(place);
            parameters.push((ty, pointer));
        }
        let arrow = returns.as_ref().map(|ty| format!(" -> {}", ty.name())).unwrap_or_default();
        self.line(format!("fn {name}({}){arrow} {{", declared.join(", ")));
        let outside = std::mem::take(&mut self.turns);
        let spot =
            Spot { returns: Some(returns.clone()), breakable: false, continuable: false, uniform: false, nesting: 1 };
        // What the function ends with comes after all else, whatever was left before.
        self.line("    if me < 1000000u {");
        self.indent += 1;
        self.block(&spot);
        self.indent -= 1;
        self.line("    }");
        if let Some(ty) = &returns {
            let value = self.expression(ty, 3).text;
            self.line(format!("    return {value};"));
        }
        self.line("}");
        self.places.truncate(places);
        let turns = std::mem::replace(&mut self.turns, outside);
        self.functions.push(Function { name, parameters, returns, turns });
    }

    fn main(&mut self, size: [usize; 3]) {
        self.line(format!("@compute @workgroup_size(SIZE, {}, {})", size[1], size[2]));
        self.line("fn main(");
        self.line("    @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,");
        self.line("    @builtin(local_invocation_index) local: u32, @builtin(global_invocation_id) global: vec3<u32>,");
        self.line(") {");
        self.indent += 1;
        let count = self.workgroup;
        self.line(format!("me = ((group.z * groups.y + group.y) * groups.x + group.x) * {count}u + local;"));
        for (text, ty) in [("local", Type::Scalar(U32)), ("me", Type::Scalar(U32)), ("global", Type::Vector(3, U32))] {
            let text = text.to_owned();
            self.places.push(Place { text, ty, writable: false, memory: false, local: false, depth: 0 });
        }
        let spot = Spot { returns: None, breakable: false, continuable: false, uniform: true, nesting: 0 };
        // As in a block, but longer.
        while self.source.chance(85) && self.expressions < self.most_expressions {
            let begin = self.source.begin();
            if self.source.chance(20) {
                self.exchange();
            } else {
                self.statement(&spot);
            }
            self.source.end(begin);
        }
        // Of everything there is, a few are looked at.
        for word in 0..WORDS / 2 {
            let begin = self.source.begin();
            if self.source.chance(80) {
                let (float, integer) =
                    (self.expression(&Type::Scalar(F32), 2).text, self.expression(&Type::Scalar(U32), 2).text);
                self.line(format!("results[me * {WORDS}u + {word}u] = {float};"));
                self.line(format!("output[me * {WORDS}u + {word}u] = {integer};"));
            }
            self.source.end(begin);
        }
        self.indent -= 1;
        self.line("}");
    }
}

/// What buffers are filled with.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn zero(&mut self) -> u32 {
        0
    }

    fn integer(&mut self) -> u32 {
        const EDGES: [u32; 8] = [0, 1, 2, 31, 32, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
        match self.next() % 4 {
            0 => EDGES[self.next() as usize % EDGES.len()],
            1 | 2 => self.next() % 100,
            _ => self.next(),
        }
    }

    /// Mostly ordinary numbers, so that not all of the results are NaN.
    fn float(&mut self) -> u32 {
        const EDGES: [f32; 12] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-40,
            -1e-44,
            0.5,
        ];
        match self.next() % 16 {
            0 => EDGES[self.next() as usize % EDGES.len()].to_bits(),
            1 => self.next(),
            2 => (self.next() & 0x807f_ffff) | 0x0080_0000,
            3..=6 => (((self.next() % 41) as f32 - 20.0) / 4.0).to_bits(),
            _ => ((self.next() >> 8) as f32 / (1 << 21) as f32 - 4.0).to_bits(),
        }
    }
}
