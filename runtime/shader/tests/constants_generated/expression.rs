//! Random expressions of every type that constants have, written twice.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    I32,
    U32,
    Bool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::Bool => "bool",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ty {
    Scalar(Kind),
    Vector(usize, Kind),
    Matrix(usize, usize),
}

impl Ty {
    fn name(self) -> String {
        match self {
            Self::Scalar(kind) => kind.name().to_owned(),
            Self::Vector(size, kind) => format!("vec{size}<{}>", kind.name()),
            Self::Matrix(columns, rows) => format!("mat{columns}x{rows}<f32>"),
        }
    }

    pub fn size(self) -> usize {
        match self {
            Self::Scalar(_) => 1,
            Self::Vector(size, _) => size,
            Self::Matrix(columns, rows) => columns * rows,
        }
    }

    /// The value called `name` as words.
    pub fn words(self, name: &str) -> Vec<String> {
        let word = |part: String, kind: Kind| match kind {
            Kind::U32 => part,
            Kind::Bool => format!("u32({part})"),
            _ => format!("bitcast<u32>({part})"),
        };
        match self {
            Self::Scalar(kind) => vec![word(name.to_owned(), kind)],
            Self::Vector(size, kind) => (0..size).map(|index| word(format!("{name}[{index}]"), kind)).collect(),
            Self::Matrix(columns, rows) => (0..columns * rows)
                .map(|index| word(format!("{name}[{}][{}]", index / rows, index % rows), Kind::F32))
                .collect(),
        }
    }
}

pub struct Expression {
    /// Of literals.
    pub constant: String,
    /// The same of loads.
    pub computed: String,
    pub ty: Ty,
}

pub struct Generator {
    state: u64,
    pub input: Vec<u32>,
}

const F32_OF_ONE: &[&str] = &[
    "abs",
    "acos",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "exp2",
    "floor",
    "fract",
    "inverseSqrt",
    "log",
    "log2",
    "quantizeToF16",
    "radians",
    "round",
    "saturate",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    "-",
    "acosh",
];
const F32_OF_TWO: &[&str] = &["atan2", "max", "min", "pow", "step"];
const F32_OF_THREE: &[&str] = &["clamp", "fma", "mix", "smoothstep"];
const OF_BITS: &[&str] = &[
    "countLeadingZeros",
    "countOneBits",
    "countTrailingZeros",
    "firstLeadingBit",
    "firstTrailingBit",
    "reverseBits",
    "abs",
    "~",
];

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, input: vec![0] }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn any(&mut self) -> Expression {
        let depth = 1 + self.below(4);
        let ty = self.ty();
        self.of(ty, depth)
    }

    fn kind(&mut self) -> Kind {
        self.pick(&[Kind::F32, Kind::F32, Kind::F32, Kind::I32, Kind::U32, Kind::U32, Kind::Bool])
    }

    fn ty(&mut self) -> Ty {
        match self.below(6) {
            0 | 1 => Ty::Scalar(self.kind()),
            5 => Ty::Matrix(2 + self.below(3), 2 + self.below(3)),
            _ => Ty::Vector(2 + self.below(3), self.kind()),
        }
    }

    /// An operator, a function, or parentheses around expressions. `pattern` has `$` for each.
    fn compose(&mut self, ty: Ty, pattern: &str, parts: &[Expression]) -> Expression {
        let mut written = [String::new(), String::new()];
        for (side, text) in written.iter_mut().enumerate() {
            let mut parts = parts.iter();
            for (index, piece) in pattern.split('$').enumerate() {
                if index > 0 {
                    let part = parts.next().unwrap();
                    text.push_str(if side == 0 { &part.constant } else { &part.computed });
                }
                text.push_str(piece);
            }
        }
        let [constant, computed] = written;
        Expression { constant, computed, ty }
    }

    fn leaf(&mut self, kind: Kind) -> Expression {
        let (literal, bits) = match kind {
            Kind::F32 => {
                let value = match self.below(5) {
                    0 => self.pick(&[0.0, 1.0, 0.5, 2.0, 3.0, 0.1, 1e-20, 1e20, 16_777_217.0, 1.5e-38, 65504.0]),
                    1 => self.below(2000) as f32 / 8.0,
                    // Between 0 and 1.
                    2 => self.below(1 << 24) as f32 / 16_777_216.0,
                    _ => f32::from_bits((100 + self.below(55) as u32) << 23 | self.below(1 << 23) as u32),
                };
                (format!("{value:?}f"), value.to_bits())
            }
            Kind::I32 => {
                let value = match self.below(3) {
                    0 => self.pick(&[0, 1, 7, 31, i32::MAX]),
                    1 => (self.below(100) as u32).cast_signed(),
                    _ => (self.random() as u32 >> 1).cast_signed(),
                };
                (format!("{value}i"), value.cast_unsigned())
            }
            Kind::U32 => {
                let value = match self.below(3) {
                    0 => self.pick(&[0, 1, 7, 31, u32::MAX, 0x8000_0000]),
                    1 => self.below(100) as u32,
                    _ => self.random() as u32,
                };
                (format!("{value}u"), value)
            }
            Kind::Bool => {
                let value = self.below(2) as u32;
                (format!("{}", value == 1), value)
            }
        };
        let at = self.input.len();
        self.input.push(bits);
        let computed = match kind {
            Kind::U32 => format!("inp[{at}]"),
            Kind::Bool => format!("(inp[{at}] != 0u)"),
            kind => format!("bitcast<{}>(inp[{at}])", kind.name()),
        };
        Expression { constant: literal, computed, ty: Ty::Scalar(kind) }
    }

    fn of(&mut self, ty: Ty, depth: usize) -> Expression {
        match ty {
            Ty::Scalar(kind) if depth == 0 => self.leaf(kind),
            Ty::Vector(size, kind) if depth == 0 => {
                let parts: Vec<_> = (0..size).map(|_| self.leaf(kind)).collect();
                let places = vec!["$"; size].join(", ");
                self.compose(ty, &format!("{}({places})", ty.name()), &parts)
            }
            Ty::Scalar(kind) => self.scalar(kind, depth - 1),
            Ty::Vector(size, kind) => self.vector(size, kind, depth - 1),
            Ty::Matrix(columns, rows) => self.matrix(columns, rows, depth.saturating_sub(1)),
        }
    }

    fn scalar(&mut self, kind: Kind, depth: usize) -> Expression {
        let ty = Ty::Scalar(kind);
        let size = 2 + self.below(3);
        match self.below(8) {
            0 => {
                let vector = self.of(Ty::Vector(size, kind), depth);
                let letter = self.pick(&["x", "y", "z", "w", "r", "g", "b", "a"][..size.min(4)]);
                self.compose(ty, &format!("$.{letter}"), &[vector])
            }
            1 => {
                let vector = self.of(Ty::Vector(size, kind), depth);
                let index = self.below(size);
                self.compose(ty, &format!("$[{index}u]"), &[vector])
            }
            2 if kind == Kind::F32 => {
                let name = self.pick(&["dot($, $)", "distance($, $)", "length($ + $)", "normalize($).x + $.y"]);
                let vectors = [self.of(Ty::Vector(size, kind), depth), self.of(Ty::Vector(size, kind), depth)];
                self.compose(ty, name, &vectors)
            }
            2 if kind == Kind::U32 => {
                let size = self.pick(&[2, 4]);
                let names: &[&str] = match size {
                    2 => &["pack2x16float($)", "pack2x16snorm($)", "pack2x16unorm($)"],
                    _ => &["pack4x8snorm($)", "pack4x8unorm($)"],
                };
                let name = self.pick(names);
                let vector = self.of(Ty::Vector(size, Kind::F32), depth);
                self.compose(ty, name, &[vector])
            }
            2 if kind == Kind::Bool => {
                let name = self.pick(&["all($)", "any($)"]);
                let vector = self.of(Ty::Vector(size, kind), depth);
                self.compose(ty, name, &[vector])
            }
            3 if kind == Kind::F32 => {
                let (column, row) = (self.below(size), self.below(2));
                let matrix = self.of(Ty::Matrix(size, 2), depth);
                self.compose(ty, &format!("$[{column}][{row}]"), &[matrix])
            }
            4 if kind == Kind::F32 => {
                let matrix = self.of(Ty::Matrix(size, size), depth);
                self.compose(ty, "determinant($)", &[matrix])
            }
            _ => self.componentwise(None, kind, depth),
        }
    }

    fn shape(size: Option<usize>, kind: Kind) -> Ty {
        size.map_or(Ty::Scalar(kind), |size| Ty::Vector(size, kind))
    }

    /// Of a scalar, or of each component of a vector.
    fn componentwise(&mut self, size: Option<usize>, kind: Kind, depth: usize) -> Expression {
        let ty = Self::shape(size, kind);
        let choice = self.below(8);
        if choice < 2 {
            let condition = if choice == 0 { Ty::Scalar(Kind::Bool) } else { Self::shape(size, Kind::Bool) };
            let parts = [self.of(ty, depth), self.of(ty, depth), self.of(condition, depth)];
            return self.compose(ty, "select($, $, $)", &parts);
        }
        if choice == 2 {
            return self.conversion(size, kind, depth);
        }
        match kind {
            Kind::F32 => self.of_floats(ty, depth),
            Kind::Bool => self.truth(size, depth),
            _ => self.of_integers(size, kind, depth),
        }
    }

    fn of_floats(&mut self, ty: Ty, depth: usize) -> Expression {
        let (pattern, count) = match self.below(8) {
            0..=2 => (format!("{}($)", self.pick(F32_OF_ONE)), 1),
            3 => (format!("{}($, $)", self.pick(F32_OF_TWO)), 2),
            4 => (format!("{}($, $, $)", self.pick(F32_OF_THREE)), 3),
            5 => (self.pick(&["modf($).fract", "modf($).whole", "frexp($).fract", "f_ldexp"]).to_owned(), 1),
            _ => (format!("($ {} $)", self.pick(&["+", "-", "*", "/", "%"])), 2),
        };
        if pattern == "f_ldexp" {
            let size = if let Ty::Vector(size, _) = ty { Some(size) } else { None };
            let parts = [self.of(ty, depth), self.of(Self::shape(size, Kind::I32), 0)];
            let ten = if let Some(size) = size { format!("vec{size}<i32>(10)") } else { "10i".to_owned() };
            return self.compose(ty, &format!("ldexp($, $ % {ten})"), &parts);
        }
        let parts: Vec<_> = (0..count).map(|_| self.of(ty, depth)).collect();
        self.compose(ty, &pattern, &parts)
    }

    fn of_integers(&mut self, size: Option<usize>, kind: Kind, depth: usize) -> Expression {
        let ty = Self::shape(size, kind);
        let amount = |generator: &mut Self| {
            let amounts = generator.of(Self::shape(size, Kind::U32), 0);
            let limit = size.map_or("31u".to_owned(), |size| format!("vec{size}<u32>(31u)"));
            generator.compose(amounts.ty, &format!("($ & {limit})"), &[amounts])
        };
        match self.below(8) {
            0 => {
                let name = self.pick(OF_BITS);
                let part = self.of(ty, depth);
                self.compose(ty, &format!("{name}($)"), &[part])
            }
            1 => {
                let parts = [self.of(ty, depth), amount(self)];
                self.compose(ty, "($ >> $)", &parts)
            }
            2 => {
                let parts = [self.of(ty, depth), amount(self)];
                let eight = size.map_or("8u".to_owned(), |size| format!("vec{size}<u32>(8u)"));
                self.compose(ty, &format!("(($ >> {eight}) << ($ >> {eight} >> {eight}))"), &parts)
            }
            3 => {
                let parts = [self.of(ty, depth), self.of(ty, depth)];
                let (offset, count) = (self.below(16), self.below(17));
                let pattern = self.pick(&["insertBits($, $, OFFSETu, COUNTu)", "extractBits($ ^ $, OFFSETu, COUNTu)"]);
                let pattern = pattern.replace("OFFSET", &offset.to_string()).replace("COUNT", &count.to_string());
                self.compose(ty, &pattern, &parts)
            }
            4 => {
                let parts = [self.of(ty, depth), self.of(ty, depth), self.of(ty, depth)];
                self.compose(ty, "clamp($, $, $)", &parts)
            }
            _ => {
                let pattern = self.pick(&[
                    "($ + $)",
                    "($ - $)",
                    "($ * $)",
                    "($ / $)",
                    "($ % $)",
                    "($ & $)",
                    "($ | $)",
                    "($ ^ $)",
                    "min($, $)",
                    "max($, $)",
                ]);
                let parts = [self.of(ty, depth), self.of(ty, depth)];
                self.compose(ty, pattern, &parts)
            }
        }
    }

    fn truth(&mut self, size: Option<usize>, depth: usize) -> Expression {
        let ty = Self::shape(size, Kind::Bool);
        match self.below(4) {
            0 => {
                let part = self.of(ty, depth);
                self.compose(ty, "!($)", &[part])
            }
            1 => {
                let op = self.pick(if size.is_none() {
                    &["&", "|", "==", "!=", "&&", "||"]
                } else {
                    &["&", "|", "==", "!="]
                });
                let parts = [self.of(ty, depth), self.of(ty, depth)];
                self.compose(ty, &format!("($ {op} $)"), &parts)
            }
            _ => {
                let kind = self.pick(&[Kind::F32, Kind::I32, Kind::U32]);
                let op = self.pick(&["<", "<=", ">", ">=", "==", "!="]);
                let parts = [self.of(Self::shape(size, kind), depth), self.of(Self::shape(size, kind), depth)];
                self.compose(ty, &format!("($ {op} $)"), &parts)
            }
        }
    }

    /// From another type, by value or by bits.
    fn conversion(&mut self, size: Option<usize>, kind: Kind, depth: usize) -> Expression {
        let ty = Self::shape(size, kind);
        let from = self.kind();
        let part = self.of(Self::shape(size, from), depth);
        let of_bits = self.below(2) == 0 && kind != Kind::Bool && from != Kind::Bool;
        if of_bits {
            return self.compose(ty, &format!("bitcast<{}>($)", ty.name()), &[part]);
        }
        self.compose(ty, &format!("{}($)", ty.name()), &[part])
    }

    fn vector(&mut self, size: usize, kind: Kind, depth: usize) -> Expression {
        let ty = Ty::Vector(size, kind);
        match self.below(8) {
            0..=2 => self.composed(size, kind, depth),
            3 => {
                let from = 2 + self.below(3);
                let letters: String = (0..size).map(|_| ["x", "y", "z", "w"][self.below(from)]).collect();
                let part = self.of(Ty::Vector(from, kind), depth);
                self.compose(ty, &format!("$.{letters}"), &[part])
            }
            4 if kind == Kind::F32 => self.of_geometry(size, depth),
            5 if kind == Kind::F32 => {
                let parts = [self.of(ty, depth), self.of(Ty::Scalar(kind), depth)];
                let pattern = self.pick(&["($ * $)", "($ + $)", "($ - $)", "($ / $)", "mix($.PP, vecN<f32>(1f), $)"]);
                let pattern = pattern.replace('N', &size.to_string()).replace("PP", &"xyxy"[..size]);
                self.compose(ty, &pattern, &parts)
            }
            _ => self.componentwise(Some(size), kind, depth),
        }
    }

    fn of_geometry(&mut self, size: usize, depth: usize) -> Expression {
        let ty = Ty::Vector(size, Kind::F32);
        let columns = 2 + self.below(3);
        match self.below(6) {
            0 => {
                let parts = [self.of(Ty::Matrix(columns, size), depth), self.of(Ty::Vector(columns, Kind::F32), depth)];
                self.compose(ty, "($ * $)", &parts)
            }
            1 => {
                let parts = [self.of(Ty::Vector(columns, Kind::F32), depth), self.of(Ty::Matrix(size, columns), depth)];
                self.compose(ty, "($ * $)", &parts)
            }
            2 if size == 3 => {
                let parts = [self.of(ty, depth), self.of(ty, depth)];
                self.compose(ty, "cross($, $)", &parts)
            }
            2 if size == 4 => {
                let name = self.pick(&["unpack4x8snorm", "unpack4x8unorm"]);
                let part = self.of(Ty::Scalar(Kind::U32), depth);
                self.compose(ty, &format!("{name}($)"), &[part])
            }
            2 => {
                let name = self.pick(&["unpack2x16snorm", "unpack2x16unorm"]);
                let part = self.of(Ty::Scalar(Kind::U32), depth);
                self.compose(ty, &format!("{name}($)"), &[part])
            }
            3 => {
                let parts = [self.of(ty, depth), self.of(ty, depth), self.of(Ty::Scalar(Kind::F32), depth)];
                self.compose(ty, "refract($, $, $)", &parts)
            }
            _ => {
                let (pattern, count) =
                    self.pick(&[("normalize($)", 1), ("reflect($, $)", 2), ("faceForward($, $, $)", 3)]);
                let parts: Vec<_> = (0..count).map(|_| self.of(ty, depth)).collect();
                self.compose(ty, pattern, &parts)
            }
        }
    }

    /// Of scalars and vectors, some of them zero values, with the type named or not.
    fn composed(&mut self, size: usize, kind: Kind, depth: usize) -> Expression {
        let ty = Ty::Vector(size, kind);
        let mut parts = Vec::new();
        let mut missing = size;
        while missing > 0 {
            let part = 1 + self.below(missing.min(3));
            missing -= part;
            let part_ty = if part == 1 { Ty::Scalar(kind) } else { Ty::Vector(part, kind) };
            parts.push(if self.below(4) == 0 {
                let zero = format!("{}()", part_ty.name());
                Expression { constant: zero.clone(), computed: zero, ty: part_ty }
            } else {
                self.of(part_ty, depth)
            });
        }
        let name = if self.below(2) == 0 { format!("vec{size}") } else { ty.name() };
        let places = vec!["$"; parts.len()].join(", ");
        self.compose(ty, &format!("{name}({places})"), &parts)
    }

    fn matrix(&mut self, columns: usize, rows: usize, depth: usize) -> Expression {
        let ty = Ty::Matrix(columns, rows);
        match self.below(6) {
            0 if depth > 0 => {
                let part = self.of(Ty::Matrix(rows, columns), depth - 1);
                self.compose(ty, "transpose($)", &[part])
            }
            1 if depth > 0 => {
                let parts = [self.of(ty, depth - 1), self.of(ty, depth - 1)];
                let op = self.pick(&["+", "-"]);
                self.compose(ty, &format!("($ {op} $)"), &parts)
            }
            2 if depth > 0 => {
                let inner = 2 + self.below(3);
                let parts =
                    [self.of(Ty::Matrix(inner, rows), depth - 1), self.of(Ty::Matrix(columns, inner), depth - 1)];
                self.compose(ty, "($ * $)", &parts)
            }
            3 if depth > 0 => {
                let parts = [self.of(Ty::Scalar(Kind::F32), depth - 1), self.of(ty, depth - 1)];
                self.compose(ty, "($ * $)", &parts)
            }
            4 => {
                let parts: Vec<_> = (0..columns * rows).map(|_| self.of(Ty::Scalar(Kind::F32), 0)).collect();
                let places = vec!["$"; parts.len()].join(", ");
                self.compose(ty, &format!("mat{columns}x{rows}({places})"), &parts)
            }
            _ => {
                let parts: Vec<_> = (0..columns).map(|_| self.of(Ty::Vector(rows, Kind::F32), depth)).collect();
                let places = vec!["$"; parts.len()].join(", ");
                self.compose(ty, &format!("mat{columns}x{rows}<f32>({places})"), &parts)
            }
        }
    }
}
