//! Constructors of constants.

use std::rc::Rc;

use super::names::Shape;
use super::value::{Items, Kind, Scalar, Ty, Value, kind_of};

/// Why there is no value, and which argument is at fault, if it is one.
pub(crate) struct Problem {
    pub(crate) reason: String,
    pub(crate) argument: Option<usize>,
}

fn problem(reason: impl Into<String>) -> Problem {
    Problem { reason: reason.into(), argument: None }
}

fn about(index: usize, reason: impl Into<String>) -> Problem {
    Problem { reason: reason.into(), argument: Some(index) }
}

/// A value of a type that is fully named. For a struct `members` are the types of its members.
pub(crate) fn typed(ty: &Ty, members: &[Ty], arguments: Vec<Value>) -> Result<Value, Problem> {
    if arguments.is_empty() {
        return match ty {
            Ty::Array(_, None) | Ty::Atomic | Ty::Other => Err(problem("this type has no zero value")),
            _ => Ok(Value::zero(ty)),
        };
    }
    match ty {
        Ty::Scalar(kind) => match arguments.as_slice() {
            [Value::Scalar(scalar)] => constructed(*scalar, *kind).map(Value::Scalar),
            _ => Err(problem(format!("`{}` takes one scalar", kind.name()))),
        },
        Ty::Vector(size, kind) => vector(*size, Some(*kind), &arguments),
        Ty::Matrix(columns, rows, kind) => matrix(*columns, *rows, Some(*kind), &arguments),
        Ty::Array(element, Some(length)) => {
            if u32::try_from(arguments.len()) != Ok(*length) {
                return Err(problem(format!("the array has {length} elements, and gets {}", arguments.len())));
            }
            let items = all_converted(&arguments, std::iter::repeat(element.as_ref()))?;
            Ok(Value::Array(Rc::clone(element), Items::new(items)))
        }
        Ty::Struct(number) => {
            if arguments.len() != members.len() {
                return Err(problem(format!("the struct has {} members, and gets {}", members.len(), arguments.len())));
            }
            Ok(Value::Struct(*number, Items::new(all_converted(&arguments, members.iter())?)))
        }
        Ty::Array(_, None) | Ty::Atomic | Ty::Other => Err(problem("constants have no such type")),
    }
}

fn all_converted<'y>(arguments: &[Value], types: impl Iterator<Item = &'y Ty>) -> Result<Vec<Value>, Problem> {
    let converted = arguments.iter().zip(types).enumerate().map(|(index, (argument, ty))| {
        argument.converted_to(ty).ok_or_else(|| about(index, "this value does not fit its type"))
    });
    converted.collect()
}

/// A vector or a matrix whose number type is the common type of the arguments.
pub(crate) fn untyped(shape: Shape, arguments: Vec<Value>) -> Result<Value, Problem> {
    match shape {
        Shape::Vector(size) if arguments.is_empty() => Ok(Value::zero(&Ty::Vector(size, Kind::Int))),
        Shape::Vector(size) => vector(size, None, &arguments),
        Shape::Matrix(columns, rows) => matrix(columns, rows, None, &arguments),
    }
}

/// An array whose element type is the common type of the arguments.
pub(crate) fn array_of(arguments: Vec<Value>) -> Result<Value, Problem> {
    let Some(first) = arguments.first() else { return Err(problem("the type of the array's elements is not known")) };
    let mut ty = first.ty();
    if kind_of(&ty).is_some() {
        let kind = common_kind(&arguments)?;
        let converted = first.converted(kind).ok_or_else(|| about(0, "this value does not fit its type"))?;
        ty = converted.ty();
    }
    let items = all_converted(&arguments, std::iter::repeat(&ty))?;
    Ok(Value::Array(Rc::new(ty), Items::new(items)))
}

fn common_kind(arguments: &[Value]) -> Result<Kind, Problem> {
    let mut common: Option<Kind> = None;
    for (index, argument) in arguments.iter().enumerate() {
        let kind = argument.kind().ok_or_else(|| about(index, "this is no number"))?;
        common = match common {
            None => Some(kind),
            Some(common) => Some(
                common.common(kind).ok_or_else(|| about(index, "this is of another type than what is before it"))?,
            ),
        };
    }
    common.ok_or_else(|| problem("there are no numbers"))
}

fn constructed(scalar: Scalar, kind: Kind) -> Result<Scalar, Problem> {
    scalar.constructed(kind).ok_or_else(|| about(0, format!("this value does not fit `{}`", kind.name())))
}

fn vector(size: usize, kind: Option<Kind>, arguments: &[Value]) -> Result<Value, Problem> {
    match (arguments, kind) {
        // One vector: its components are converted as by `i32()` and the like.
        ([Value::Vector(parts)], Some(kind)) if parts.len() == size => {
            return parts.iter().map(|part| constructed(*part, kind)).collect::<Result<_, _>>().map(Value::Vector);
        }
        ([Value::Scalar(scalar)], _) => {
            let kind = kind.unwrap_or(scalar.kind());
            let scalar = scalar.converted(kind).ok_or_else(|| about(0, "this value does not fit its type"))?;
            return Ok(Value::Vector(vec![scalar; size]));
        }
        _ => {}
    }
    let kind = kind.map_or_else(|| common_kind(arguments), Ok)?;
    let mut all = Vec::with_capacity(size);
    for (index, argument) in arguments.iter().enumerate() {
        let converted = argument.converted(kind).ok_or_else(|| about(index, "this value does not fit its type"))?;
        match converted {
            Value::Scalar(scalar) => all.push(scalar),
            Value::Vector(mut parts) => all.append(&mut parts),
            _ => return Err(about(index, "vectors are made of scalars and vectors")),
        }
    }
    if all.len() == size {
        Ok(Value::Vector(all))
    } else {
        Err(problem(format!("a vector of {size} components gets {}", all.len())))
    }
}

fn matrix(columns: usize, rows: usize, kind: Option<Kind>, arguments: &[Value]) -> Result<Value, Problem> {
    if let [Value::Matrix(from)] = arguments {
        if from.len() == columns && from.iter().all(|column| column.len() == rows) {
            let found = arguments.first().and_then(|matrix| matrix.converted(kind.or(matrix.kind())?));
            return found.ok_or_else(|| about(0, "this value does not fit its type"));
        }
        return Err(about(0, "this matrix has another shape"));
    }
    let kind = match kind {
        Some(kind) => kind,
        None => common_kind(arguments)?.common(Kind::Float).ok_or_else(|| problem("a matrix is made of floats"))?,
    };
    let mut scalars = Vec::new();
    let of_vectors = arguments.iter().all(|argument| matches!(argument, Value::Vector(_)));
    for (index, argument) in arguments.iter().enumerate() {
        match argument.converted(kind) {
            Some(Value::Scalar(scalar)) => scalars.push(scalar),
            Some(Value::Vector(mut parts)) if of_vectors && parts.len() == rows => scalars.append(&mut parts),
            _ => return Err(about(index, "this is no part of such a matrix")),
        }
    }
    if scalars.len() != columns * rows {
        return Err(problem(format!("a matrix of {columns} columns and {rows} rows gets {} numbers", scalars.len())));
    }
    Ok(Value::Matrix(scalars.chunks(rows).map(<[Scalar]>::to_vec).collect()))
}
