//! Expressions.

use super::*;

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
impl Generator<'_> {
    pub(super) fn literal(&mut self, scalar: Scalar) -> String {
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
    pub(super) fn runtime(&mut self, ty: &Type) -> String {
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

    pub(super) fn runtimes(&mut self, count: usize, ty: &Type) -> String {
        let parts: Vec<String> = (0..count).map(|_| self.runtime(ty)).collect();
        parts.join(", ")
    }

    /// An expression that the compiler cannot evaluate.
    pub(super) fn varying(&mut self, ty: &Type, depth: usize) -> String {
        let expression = self.expression(ty, depth);
        if expression.constant { self.runtime(ty) } else { expression.text }
    }

    pub(super) fn expression(&mut self, ty: &Type, depth: usize) -> Expression {
        self.expressions += 1;
        let begin = self.source.begin();
        let expression = self.expression_of(ty, depth);
        self.source.end(begin);
        expression
    }

    pub(super) fn expression_of(&mut self, ty: &Type, depth: usize) -> Expression {
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

    pub(super) fn simplest(&mut self, ty: &Type) -> Expression {
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
    pub(super) fn call(&mut self, returns: Option<&Type>, depth: usize) -> Option<String> {
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

    pub(super) fn operation(&mut self, ty: &Type, depth: usize) -> Expression {
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

    pub(super) fn composite(&mut self, ty: &Type, depth: usize) -> Expression {
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
    pub(super) fn folded(&mut self, scalar: Scalar) -> Option<String> {
        let (operands, operators): (&[&str], &[&str]) = match scalar {
            U32 => (&["1u", "2u", "5u", "31u"], &["+", "*", "/", "%", "&", "|", "^", ">>"]),
            I32 => (&["1i", "2i", "(-5i)", "31i"], &["+", "-", "*", "/", "%", "&", "|", "^"]),
            F32 => (&["1.0f", "0.1f", "3e-20f", "(-7.3e-20f)", "16777216.0f", "1e-38f", "5e17f"], &["+", "-", "*"]),
            Bool => return None,
        };
        let (a, operator, b) = (self.source.pick(operands), self.source.pick(operators), self.source.pick(operands));
        Some(format!("({a} {operator} {b})"))
    }

    pub(super) fn arithmetic(&mut self, ty: &Type, scalar: Scalar, depth: usize) -> String {
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
    pub(super) fn logic(&mut self, ty: &Type, depth: usize) -> String {
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

    pub(super) fn matrix(&mut self, ty: &Type, columns: usize, rows: usize, depth: usize) -> String {
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

    pub(super) fn builtin(&mut self, ty: &Type, scalar: Scalar, vector: Option<usize>, depth: usize) -> String {
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
    pub(super) fn several(&mut self, ty: &Type, count: usize, depth: usize) -> Vec<String> {
        (0..count).map(|_| self.varying(ty, depth)).collect()
    }

    // Statements.
}
