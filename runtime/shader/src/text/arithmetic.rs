//! Operators on constants. Abstract numbers are computed as f64 or in 64 bits, typed ones as the kernel would compute them.
//! Errors that WGSL defines for constants are refused.

use super::lexer::Place;
use super::tree::{BinaryOp, UnaryOp};
use super::value::{Kind, Scalar, Value, round_to_f32};
use crate::Refusal;

/// Why an expression has no value.
pub(crate) type Reason = String;

/// Floating-point arithmetic: IEEE 754 in f64, or that of profile dp32 in f32, where a subnormal operand is zero and so is a
/// result that is too small. In f64 a sum, a product, a quotient or a root of two f32 is exact enough to be rounded again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floats {
    kind: Kind,
}

/// 2^-126, the smallest normal f32.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

impl Floats {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind }
    }

    pub(crate) fn scalar(self, value: f64) -> Result<Scalar, Reason> {
        // A computed zero is +0.
        let value = if value == 0.0 { 0.0 } else { value };
        match self.kind {
            Kind::F32 => round_to_f32(value).map(Scalar::F32).ok_or_else(|| self.beyond(value)),
            _ if value.is_finite() => Ok(Scalar::Float(value)),
            _ => Err(self.beyond(value)),
        }
    }

    fn beyond(self, value: f64) -> Reason {
        let ty = if self.kind == Kind::F32 { "f32" } else { "f64" };
        if value.is_nan() { "this is not a number".to_owned() } else { format!("this is more than an {ty} holds") }
    }

    /// A scalar as an operand: flushed.
    pub(crate) fn operand(self, scalar: Scalar) -> f64 {
        self.flushed(scalar.as_f64())
    }

    pub(crate) fn flushed(self, value: f64) -> f64 {
        if self.kind == Kind::F32 && value.abs() < SMALLEST { 0.0 } else { value }
    }

    fn rounded(self, value: f64) -> f64 {
        if self.kind == Kind::F32 { nearest(value) } else { value }
    }

    pub(crate) fn add(self, a: f64, b: f64) -> f64 {
        self.flushed(self.rounded(a + b))
    }

    pub(crate) fn sub(self, a: f64, b: f64) -> f64 {
        self.add(a, -b)
    }

    pub(crate) fn mul(self, a: f64, b: f64) -> f64 {
        self.product(a * b)
    }

    pub(crate) fn div(self, a: f64, b: f64) -> f64 {
        self.product(a / b)
    }

    fn product(self, exact: f64) -> f64 {
        let rounded = self.rounded(exact);
        if self.kind == Kind::F32 && rounded.abs() <= SMALLEST { 0.0 } else { rounded }
    }

    pub(crate) fn sqrt(self, a: f64) -> f64 {
        self.rounded(a.sqrt())
    }

    /// `x - y * trunc(x / y)`, as the kernel computes it; for abstract numbers the exact remainder.
    pub(crate) fn rem(self, x: f64, y: f64) -> f64 {
        if self.kind == Kind::F32 { self.sub(x, self.mul(y, self.div(x, y).trunc())) } else { x % y }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the conversion rounds")]
fn nearest(value: f64) -> f64 {
    f64::from(value as f32)
}

pub(crate) fn unary(op: UnaryOp, operand: &Value, place: Place) -> Result<Value, Refusal> {
    let is_matrix = matches!(operand, Value::Matrix(_));
    if matches!(operand, Value::Scalar(_) | Value::Vector(_)) || is_matrix && op == UnaryOp::Negate {
        let found = operand.try_map(|scalar| unary_scalar(op, scalar));
        return found.map_err(|reason| Refusal::at(place, reason));
    }
    Err(Refusal::at(place, "this operator does not take such a value"))
}

fn unary_scalar(op: UnaryOp, scalar: Scalar) -> Result<Scalar, Reason> {
    Ok(match (op, scalar) {
        (UnaryOp::Not, Scalar::Bool(value)) => Scalar::Bool(!value),
        (UnaryOp::Complement, Scalar::I32(value)) => Scalar::I32(!value),
        (UnaryOp::Complement, Scalar::U32(value)) => Scalar::U32(!value),
        (UnaryOp::Complement, Scalar::Int(value)) => Scalar::Int(!value),
        (UnaryOp::Negate, Scalar::I32(value)) => Scalar::I32(value.wrapping_neg()),
        (UnaryOp::Negate, Scalar::Int(value)) => Scalar::Int(value.checked_neg().ok_or_else(too_large)?),
        (UnaryOp::Negate, Scalar::F32(_) | Scalar::Float(_)) => {
            let floats = Floats::new(scalar.kind());
            floats.scalar(-floats.operand(scalar))?
        }
        _ => return Err(format!("this operator does not take values of the type {}", scalar.kind().name())),
    })
}

pub(crate) fn binary(op: BinaryOp, left: &Value, right: &Value, place: Place) -> Result<Value, Refusal> {
    let result = match op {
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => shift(op, left, right),
        _ => match common(left, right) {
            Some((left, right)) => of_one_type(op, &left, &right),
            None => Err("the operands have types that do not fit together".to_owned()),
        },
    };
    result.map_err(|reason| Refusal::at(place, reason))
}

/// Converts both values to a common number type, if there is one.
pub(crate) fn common(left: &Value, right: &Value) -> Option<(Value, Value)> {
    let kind = left.kind()?.common(right.kind()?)?;
    left.converted(kind).zip(right.converted(kind))
}

fn of_one_type(op: BinaryOp, left: &Value, right: &Value) -> Result<Value, Reason> {
    let is_arithmetic =
        matches!(op, BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder);
    let floats = Floats::new(left.kind().unwrap_or(Kind::Float));
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => scalars(op, *a, *b).map(Value::Scalar),
        (Value::Vector(a), Value::Vector(b)) if a.len() == b.len() => zip(a, b, |a, b| scalars(op, a, b)),
        (Value::Vector(a), Value::Scalar(b)) if is_arithmetic => each(a, |a| scalars(op, a, *b)),
        (Value::Scalar(a), Value::Vector(b)) if is_arithmetic => each(b, |b| scalars(op, *a, b)),
        (Value::Matrix(a), Value::Matrix(b)) if op == BinaryOp::Multiply => matrix_product(floats, a, b),
        (Value::Matrix(a), Value::Vector(b)) if op == BinaryOp::Multiply => {
            matrix_times_vector(floats, a, b).map(Value::Vector)
        }
        (Value::Vector(a), Value::Matrix(b)) if op == BinaryOp::Multiply => {
            let dots = b.iter().map(|column| floats.scalar(dot(floats, a, column)?));
            dots.collect::<Result<_, _>>().map(Value::Vector)
        }
        (Value::Matrix(_), Value::Scalar(b)) if op == BinaryOp::Multiply => left.try_map(|a| scalars(op, a, *b)),
        (Value::Scalar(a), Value::Matrix(_)) if op == BinaryOp::Multiply => right.try_map(|b| scalars(op, *a, b)),
        (Value::Matrix(a), Value::Matrix(b))
            if matches!(op, BinaryOp::Add | BinaryOp::Subtract) && left.ty() == right.ty() =>
        {
            let columns = a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| scalars(op, *a, *b)).collect());
            columns.collect::<Result<_, _>>().map(Value::Matrix)
        }
        _ => Err("the operands have types that do not fit together".to_owned()),
    }
}

fn each(parts: &[Scalar], f: impl FnMut(Scalar) -> Result<Scalar, Reason>) -> Result<Value, Reason> {
    parts.iter().copied().map(f).collect::<Result<_, _>>().map(Value::Vector)
}

fn zip(
    a: &[Scalar],
    b: &[Scalar],
    mut f: impl FnMut(Scalar, Scalar) -> Result<Scalar, Reason>,
) -> Result<Value, Reason> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect::<Result<_, _>>().map(Value::Vector)
}

/// The sum of the products, from the first component to the last.
pub(crate) fn dot(floats: Floats, a: &[Scalar], b: &[Scalar]) -> Result<f64, Reason> {
    if a.len() != b.len() {
        return Err("the operands have types that do not fit together".to_owned());
    }
    let mut products = a.iter().zip(b).map(|(a, b)| floats.mul(floats.operand(*a), floats.operand(*b)));
    let first = products.next().unwrap_or_default();
    Ok(products.fold(first, |sum, product| floats.add(sum, product)))
}

fn matrix_times_vector(floats: Floats, columns: &[Vec<Scalar>], vector: &[Scalar]) -> Result<Vec<Scalar>, Reason> {
    let rows = columns.first().map_or(0, Vec::len);
    (0..rows)
        .map(|row| {
            let row: Vec<Scalar> = columns.iter().filter_map(|column| column.get(row).copied()).collect();
            floats.scalar(dot(floats, &row, vector)?)
        })
        .collect()
}

fn matrix_product(floats: Floats, a: &[Vec<Scalar>], b: &[Vec<Scalar>]) -> Result<Value, Reason> {
    let columns = b.iter().map(|column| matrix_times_vector(floats, a, column));
    columns.collect::<Result<_, _>>().map(Value::Matrix)
}

/// An operator on two scalars of one type.
pub(crate) fn scalars(op: BinaryOp, a: Scalar, b: Scalar) -> Result<Scalar, Reason> {
    match (a, b) {
        (Scalar::Bool(a), Scalar::Bool(b)) => bools(op, a, b),
        (Scalar::I32(left), Scalar::I32(right)) => {
            let result = integers(op, left.into(), right.into());
            fitting(result, |value| i32::try_from(value).ok().map(Scalar::I32), op, a, b)
        }
        (Scalar::U32(left), Scalar::U32(right)) => unsigned(op, left, right).unwrap_or_else(|| unsuited(op, a)),
        (Scalar::Int(left), Scalar::Int(right)) => {
            let result = integers(op, left.into(), right.into());
            fitting(result, |value| i64::try_from(value).ok().map(Scalar::Int), op, a, b)
        }
        _ if a.kind().is_float() && a.kind() == b.kind() => numbers(op, a, b),
        _ => unsuited(op, a),
    }
}

fn unsuited(op: BinaryOp, operand: Scalar) -> Result<Scalar, Reason> {
    Err(format!("{op:?} does not take operands of the type {}", operand.kind().name()))
}

fn too_large() -> Reason {
    "this is more than its type holds".to_owned()
}

fn bools(op: BinaryOp, a: bool, b: bool) -> Result<Scalar, Reason> {
    Ok(Scalar::Bool(match op {
        BinaryOp::And | BinaryOp::AndAlso => a & b,
        BinaryOp::Or | BinaryOp::OrElse => a | b,
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        _ => return unsuited(op, Scalar::Bool(a)),
    }))
}

/// The result of an operator on integers.
enum Outcome {
    Number(i128),
    Truth(bool),
    DividedByZero,
    Unsuited,
}

fn integers(op: BinaryOp, a: i128, b: i128) -> Outcome {
    Outcome::Number(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide | BinaryOp::Remainder if b == 0 => return Outcome::DividedByZero,
        BinaryOp::Divide => a / b,
        BinaryOp::Remainder => a % b,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        _ => return compared(op, a.cmp(&b)).map_or(Outcome::Unsuited, Outcome::Truth),
    })
}

fn compared(op: BinaryOp, order: std::cmp::Ordering) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => order.is_eq(),
        BinaryOp::NotEqual => order.is_ne(),
        BinaryOp::Less => order.is_lt(),
        BinaryOp::LessEqual => order.is_le(),
        BinaryOp::Greater => order.is_gt(),
        BinaryOp::GreaterEqual => order.is_ge(),
        _ => return None,
    })
}

fn fitting(
    outcome: Outcome,
    fit: impl Fn(i128) -> Option<Scalar>,
    op: BinaryOp,
    a: Scalar,
    b: Scalar,
) -> Result<Scalar, Reason> {
    match outcome {
        Outcome::Truth(truth) => Ok(Scalar::Bool(truth)),
        Outcome::DividedByZero => Err("this divides by zero".to_owned()),
        Outcome::Unsuited => unsuited(op, a),
        // The remainder of the least number by -1 is 0, but WGSL makes it an error, since the quotient does not fit.
        Outcome::Number(_) if op == BinaryOp::Remainder && b.as_integer() == Some(-1) && a == least(a) => {
            Err(too_large())
        }
        Outcome::Number(value) => fit(value).ok_or_else(too_large),
    }
}

fn least(of: Scalar) -> Scalar {
    match of {
        Scalar::I32(_) => Scalar::I32(i32::MIN),
        _ => Scalar::Int(i64::MIN),
    }
}

fn unsigned(op: BinaryOp, a: u32, b: u32) -> Option<Result<Scalar, Reason>> {
    Some(Ok(Scalar::U32(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Subtract => a.wrapping_sub(b),
        BinaryOp::Multiply => a.wrapping_mul(b),
        BinaryOp::Divide | BinaryOp::Remainder if b == 0 => return Some(Err("this divides by zero".to_owned())),
        BinaryOp::Divide => a / b,
        BinaryOp::Remainder => a % b,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        _ => return compared(op, a.cmp(&b)).map(|truth| Ok(Scalar::Bool(truth))),
    })))
}

fn numbers(op: BinaryOp, left: Scalar, right: Scalar) -> Result<Scalar, Reason> {
    let floats = Floats::new(left.kind());
    let (a, b) = (floats.operand(left), floats.operand(right));
    let result = match op {
        BinaryOp::Add => floats.add(a, b),
        BinaryOp::Subtract => floats.sub(a, b),
        BinaryOp::Multiply => floats.mul(a, b),
        BinaryOp::Divide | BinaryOp::Remainder if b == 0.0 => return Err("this divides by zero".to_owned()),
        BinaryOp::Divide => floats.div(a, b),
        BinaryOp::Remainder => floats.rem(a, b),
        _ => {
            let order = a.partial_cmp(&b).and_then(|order| compared(op, order));
            return order.map(Scalar::Bool).map_or_else(|| unsuited(op, left), Ok);
        }
    };
    floats.scalar(result)
}

/// A shift by a u32 or an abstract integer.
fn shift(op: BinaryOp, left: &Value, right: &Value) -> Result<Value, Reason> {
    let amounts = right.converted(Kind::U32).ok_or("the number of places to shift by has to be a u32")?;
    match (left, &amounts) {
        (Value::Scalar(a), Value::Scalar(b)) => shifted(op, *a, *b).map(Value::Scalar),
        (Value::Vector(a), Value::Vector(b)) if a.len() == b.len() => zip(a, b, |a, b| shifted(op, a, b)),
        _ => Err("the operands have types that do not fit together".to_owned()),
    }
}

fn shifted(op: BinaryOp, value: Scalar, amount: Scalar) -> Result<Scalar, Reason> {
    let amount = amount.as_integer().and_then(|amount| u32::try_from(amount).ok()).unwrap_or(u32::MAX);
    let width = if value.kind() == Kind::Int { 64 } else { 32 };
    if amount >= width {
        return Err(format!("this shifts by {amount} places, of which there are {width}"));
    }
    let is_left = op == BinaryOp::ShiftLeft;
    match value {
        Scalar::I32(value) if is_left => {
            i32::try_from(i64::from(value) << amount).map(Scalar::I32).map_err(|_| too_large())
        }
        Scalar::U32(value) if is_left => {
            u32::try_from(u64::from(value) << amount).map(Scalar::U32).map_err(|_| too_large())
        }
        Scalar::Int(value) if is_left => {
            i64::try_from(i128::from(value) << amount).map(Scalar::Int).map_err(|_| too_large())
        }
        Scalar::I32(value) => Ok(Scalar::I32(value >> amount)),
        Scalar::U32(value) => Ok(Scalar::U32(value >> amount)),
        Scalar::Int(value) => Ok(Scalar::Int(value >> amount)),
        _ => Err(format!("values of the type {} cannot be shifted", value.kind().name())),
    }
}
