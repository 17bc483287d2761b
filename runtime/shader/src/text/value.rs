//! Values of constant expressions, their types, and the conversions between these.

use std::rc::Rc;

/// Scalar types, including the abstract ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// An abstract integer, in 64 bits.
    Int,
    /// An abstract float, as f64.
    Float,
    I32,
    U32,
    F32,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "integer without a type",
            Self::Float => "number without a type",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::F32 => "f32",
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::F32)
    }

    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::Int | Self::I32 | Self::U32)
    }

    pub(crate) fn is_abstract(self) -> bool {
        matches!(self, Self::Int | Self::Float)
    }

    /// Whether a value converts implicitly to `to`.
    pub(crate) fn converts_to(self, to: Self) -> bool {
        self == to
            || match self {
                Self::Int => to != Self::Bool,
                Self::Float => to == Self::F32,
                _ => false,
            }
    }

    /// The type that values of both types convert to implicitly.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        if self.converts_to(other) {
            Some(other)
        } else if other.converts_to(self) {
            Some(self)
        } else {
            None
        }
    }

    /// The type of a variable that is initialized with such a value.
    pub(crate) fn concrete(self) -> Self {
        match self {
            Self::Int => Self::I32,
            Self::Float => Self::F32,
            other => other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    I32(i32),
    U32(u32),
    F32(f32),
}

impl Scalar {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::I32(_) => Kind::I32,
            Self::U32(_) => Kind::U32,
            Self::F32(_) => Kind::F32,
        }
    }

    pub(crate) fn zero(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(false),
            Kind::Int => Self::Int(0),
            Kind::Float => Self::Float(0.0),
            Kind::I32 => Self::I32(0),
            Kind::U32 => Self::U32(0),
            Kind::F32 => Self::F32(0.0),
        }
    }

    /// The number as f64, which holds all but very large abstract integers exactly.
    #[allow(clippy::cast_precision_loss, reason = "an abstract integer becomes the nearest f64, as WGSL says")]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Bool(value) => f64::from(u8::from(value)),
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
            Self::I32(value) => f64::from(value),
            Self::U32(value) => f64::from(value),
            Self::F32(value) => f64::from(value),
        }
    }

    /// The number, if it is an integer.
    pub(crate) fn as_integer(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::I32(value) => Some(i64::from(value)),
            Self::U32(value) => Some(i64::from(value)),
            _ => None,
        }
    }

    /// Converts implicitly. None if there is no such conversion, or if the value does not fit.
    pub(crate) fn converted(self, to: Kind) -> Option<Self> {
        Some(match (self, to) {
            _ if self.kind() == to => self,
            (Self::Int(value), Kind::I32) => Self::I32(i32::try_from(value).ok()?),
            (Self::Int(value), Kind::U32) => Self::U32(u32::try_from(value).ok()?),
            (Self::Int(_), Kind::Float) => Self::Float(self.as_f64()),
            (Self::Int(value), Kind::F32) => Self::F32(nearest_f32(value)),
            (Self::Float(value), Kind::F32) => Self::F32(round_to_f32(value)?),
            _ => return None,
        })
    }

    /// Converts as a constructor does. None if the value does not fit.
    pub(crate) fn constructed(self, to: Kind) -> Option<Self> {
        Some(match (self, to) {
            _ if self.kind() == to => self,
            (Self::Int(_) | Self::Float(_), Kind::Float | Kind::F32) | (Self::Int(_), Kind::I32 | Kind::U32) => {
                return self.converted(to);
            }
            (Self::Bool(value), Kind::I32) => Self::I32(i32::from(value)),
            (Self::Bool(value), Kind::U32) => Self::U32(u32::from(value)),
            (Self::Bool(value), Kind::F32) => Self::F32(f32::from(u8::from(value))),
            (Self::I32(value), Kind::U32) => Self::U32(value.cast_unsigned()),
            (Self::U32(value), Kind::I32) => Self::I32(value.cast_signed()),
            (Self::I32(value), Kind::F32) => Self::F32(nearest_f32(i64::from(value))),
            (Self::U32(value), Kind::F32) => Self::F32(nearest_f32(i64::from(value))),
            (Self::F32(value), Kind::I32) => Self::I32(f32_to_i32(value)),
            (Self::F32(value), Kind::U32) => Self::U32(f32_to_u32(value)),
            (Self::Float(value), Kind::I32) => Self::I32(f64_to_i32(value)),
            (Self::Float(value), Kind::U32) => Self::U32(f64_to_u32(value)),
            (_, Kind::Bool) => Self::Bool(self.as_f64() != 0.0),
            _ => return None,
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "an integer becomes the nearest f32, as WGSL says")]
fn nearest_f32(value: i64) -> f32 {
    value as f32
}

/// Rounded to nearest even; None beyond the largest f32.
#[allow(clippy::cast_possible_truncation, reason = "the conversion rounds")]
pub(crate) fn round_to_f32(value: f64) -> Option<f32> {
    let rounded = value as f32;
    rounded.is_finite().then_some(rounded)
}

/// Truncates, and saturates at the nearest value that both types have.
#[allow(clippy::cast_possible_truncation, reason = "within the bounds")]
fn f32_to_i32(value: f32) -> i32 {
    value.clamp(-2_147_483_648.0, 2_147_483_520.0) as i32
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds")]
fn f32_to_u32(value: f32) -> u32 {
    value.clamp(0.0, 4_294_967_040.0) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the conversion saturates, and f64 has all values of i32")]
fn f64_to_i32(value: f64) -> i32 {
    value as i32
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
fn f64_to_u32(value: f64) -> u32 {
    value as u32
}

/// A type that constants may have, or that may be laid out in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Scalar(Kind),
    Vector(usize, Kind),
    /// Columns, rows.
    Matrix(usize, usize, Kind),
    /// An array. It has no length if it is run-time sized, or if the length depends on an override.
    Array(Rc<Ty>, Option<u32>),
    /// A struct, by its index in the kernel.
    Struct(usize),
    Atomic,
    /// Pointers, textures, and names that are not types.
    Other,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    Vector(Vec<Scalar>),
    /// Columns.
    Matrix(Vec<Vec<Scalar>>),
    /// The type of its elements, and the elements.
    Array(Rc<Ty>, Rc<Items>),
    Struct(usize, Rc<Items>),
    /// The zero value of an array or a struct.
    Zero(Ty),
    /// The result of `frexp` and `modf`.
    Parts(Rc<[(&'static str, Value)]>),
}

/// The elements or members of a value.
#[derive(Debug)]
pub(crate) struct Items {
    values: Vec<Value>,
    /// How many parts they have in all. This may be a very large number, since equal parts are shared.
    parts: u64,
}

impl Items {
    pub(crate) fn new(values: Vec<Value>) -> Rc<Self> {
        let parts = values.iter().fold(0_u64, |sum, value| sum.saturating_add(value.parts()));
        Rc::new(Self { values, parts })
    }
}

impl std::ops::Deref for Items {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.values
    }
}

impl Value {
    /// How many numbers, vectors, matrices and zero values it is made of.
    pub(crate) fn parts(&self) -> u64 {
        match self {
            Self::Array(_, items) | Self::Struct(_, items) => items.parts,
            _ => 1,
        }
    }

    pub(crate) fn zero(ty: &Ty) -> Self {
        match *ty {
            Ty::Scalar(kind) => Self::Scalar(Scalar::zero(kind)),
            Ty::Vector(size, kind) => Self::Vector(vec![Scalar::zero(kind); size]),
            Ty::Matrix(columns, rows, kind) => Self::Matrix(vec![vec![Scalar::zero(kind); rows]; columns]),
            _ => Self::Zero(ty.clone()),
        }
    }

    /// The type of its numbers, if they have one in common.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Scalar(scalar) => Some(scalar.kind()),
            Self::Vector(parts) => parts.first().map(|scalar| scalar.kind()),
            Self::Matrix(columns) => columns.first().and_then(|column| column.first()).map(|scalar| scalar.kind()),
            Self::Array(element, _) => kind_of(element),
            Self::Zero(ty) => kind_of(ty),
            Self::Struct(..) | Self::Parts(_) => None,
        }
    }

    pub(crate) fn ty(&self) -> Ty {
        let kind = self.kind().unwrap_or(Kind::Bool);
        match self {
            Self::Scalar(_) => Ty::Scalar(kind),
            Self::Vector(parts) => Ty::Vector(parts.len(), kind),
            Self::Matrix(columns) => Ty::Matrix(columns.len(), columns.first().map_or(0, Vec::len), kind),
            Self::Array(element, items) => Ty::Array(Rc::clone(element), u32::try_from(items.len()).ok()),
            Self::Struct(index, _) => Ty::Struct(*index),
            Self::Zero(ty) => ty.clone(),
            Self::Parts(_) => Ty::Other,
        }
    }

    /// Applies `f` to every number of a scalar, a vector or a matrix.
    pub(crate) fn try_map<E>(&self, mut f: impl FnMut(Scalar) -> Result<Scalar, E>) -> Result<Self, E> {
        Ok(match self {
            Self::Scalar(scalar) => Self::Scalar(f(*scalar)?),
            Self::Vector(parts) => Self::Vector(parts.iter().map(|part| f(*part)).collect::<Result<_, _>>()?),
            Self::Matrix(columns) => {
                let column = |column: &Vec<Scalar>| column.iter().map(|part| f(*part)).collect::<Result<_, _>>();
                Self::Matrix(columns.iter().map(column).collect::<Result<_, _>>()?)
            }
            other => other.clone(),
        })
    }

    /// Converts all its numbers to this type, if they convert implicitly.
    pub(crate) fn converted(&self, to: Kind) -> Option<Self> {
        if self.kind() == Some(to) {
            return Some(self.clone());
        }
        match self {
            Self::Array(element, items) => {
                let items: Option<Vec<Self>> = items.iter().map(|item| item.converted(to)).collect();
                Some(Self::Array(Rc::new(with_kind(element, to)), Items::new(items?)))
            }
            Self::Zero(ty) if self.kind()?.converts_to(to) => Some(Self::Zero(with_kind(ty, to))),
            Self::Struct(..) | Self::Zero(_) | Self::Parts(_) => None,
            _ => self.try_map(|scalar| scalar.converted(to).ok_or(())).ok(),
        }
    }

    /// Converts it to type `ty`, if it converts implicitly.
    pub(crate) fn converted_to(&self, ty: &Ty) -> Option<Self> {
        let found = if self.ty() == *ty { self.clone() } else { self.converted(kind_of(ty)?)? };
        (found.ty() == *ty).then_some(found)
    }

    /// Component, column, element or member number `index`.
    pub(crate) fn part(&self, index: usize, members: impl Fn(usize, usize) -> Option<Ty>) -> Option<Self> {
        match self {
            Self::Vector(parts) => parts.get(index).copied().map(Self::Scalar),
            Self::Matrix(columns) => columns.get(index).cloned().map(Self::Vector),
            Self::Array(_, items) | Self::Struct(_, items) => items.get(index).cloned(),
            Self::Zero(Ty::Array(element, length)) => {
                (index < usize::try_from((*length)?).ok()?).then(|| Self::zero(element))
            }
            Self::Zero(Ty::Struct(number)) => members(*number, index).map(|ty| Self::zero(&ty)),
            _ => None,
        }
    }
}

/// The type of the numbers of a type, if they have one in common.
pub(crate) fn kind_of(ty: &Ty) -> Option<Kind> {
    match ty {
        Ty::Scalar(kind) | Ty::Vector(_, kind) | Ty::Matrix(_, _, kind) => Some(*kind),
        Ty::Array(element, _) => kind_of(element),
        _ => None,
    }
}

fn with_kind(ty: &Ty, to: Kind) -> Ty {
    match ty {
        Ty::Scalar(_) => Ty::Scalar(to),
        Ty::Vector(size, _) => Ty::Vector(*size, to),
        Ty::Matrix(columns, rows, _) => Ty::Matrix(*columns, *rows, to),
        Ty::Array(element, length) => Ty::Array(Rc::new(with_kind(element, to)), *length),
        other => other.clone(),
    }
}
