//! Builtin functions on the bits of integers, and `bitcast`.

use super::arithmetic::Reason;
use super::builtin::bits_of;
use super::value::{Kind, Scalar, Ty, Value};

/// The names of these functions, with their numbers of arguments.
pub(crate) const FUNCTIONS: [(&str, usize); 16] = [
    ("countLeadingZeros", 1),
    ("countOneBits", 1),
    ("countTrailingZeros", 1),
    ("dot4I8Packed", 2),
    ("dot4U8Packed", 2),
    ("extractBits", 3),
    ("firstLeadingBit", 1),
    ("firstTrailingBit", 1),
    ("insertBits", 4),
    ("pack4xI8", 1),
    ("pack4xI8Clamp", 1),
    ("pack4xU8", 1),
    ("pack4xU8Clamp", 1),
    ("reverseBits", 1),
    ("unpack4xI8", 1),
    ("unpack4xU8", 1),
];

pub(crate) fn call(name: &str, arguments: &[Value]) -> Result<Value, Reason> {
    let unsuited = || format!("`{name}` does not take arguments of these types");
    match arguments {
        [value] if name.starts_with("pack4x") => pack(name, value).ok_or_else(unsuited),
        [value] if name.starts_with("unpack4x") => unpack(name, value).ok_or_else(unsuited),
        [a, b] => dot(name, a, b).ok_or_else(unsuited),
        [value] => each(&concrete(value).ok_or_else(unsuited)?, |scalar| of_one(name, scalar)).ok_or_else(unsuited),
        [value, offset, count] => {
            let value = concrete(value).ok_or_else(unsuited)?;
            let (offset, count) = (unsigned(offset).ok_or_else(unsuited)?, unsigned(count).ok_or_else(unsuited)?);
            check_bits(offset, count)?;
            each(&value, |scalar| extract(scalar, offset, count)).ok_or_else(unsuited)
        }
        [value, bits, offset, count] => {
            let kind = value.kind().zip(bits.kind()).and_then(|(a, b)| a.common(b)).map(Kind::concrete);
            let both = kind.and_then(|kind| value.converted(kind).zip(bits.converted(kind)));
            let (value, bits) = both.filter(|(value, bits)| value.ty() == bits.ty()).ok_or_else(unsuited)?;
            let (offset, count) = (unsigned(offset).ok_or_else(unsuited)?, unsigned(count).ok_or_else(unsuited)?);
            check_bits(offset, count)?;
            insert(&value, &bits, offset, count).ok_or_else(unsuited)
        }
        _ => Err(unsuited()),
    }
}

/// The value with abstract integers converted to i32. None if it has no integers.
fn concrete(value: &Value) -> Option<Value> {
    let kind = value.kind().filter(|kind| kind.is_integer())?.concrete();
    value.converted(kind)
}

fn unsigned(value: &Value) -> Option<u32> {
    match value.converted(Kind::U32)? {
        Value::Scalar(Scalar::U32(value)) => Some(value),
        _ => None,
    }
}

fn check_bits(offset: u32, count: u32) -> Result<(), Reason> {
    if u64::from(offset) + u64::from(count) > 32 {
        return Err(format!("{count} bits from bit {offset} on are more than a number of 32 bits has"));
    }
    Ok(())
}

fn each(value: &Value, f: impl Fn(Scalar) -> Option<Scalar>) -> Option<Value> {
    matches!(value, Value::Scalar(_) | Value::Vector(_)).then(|| value.try_map(|scalar| f(scalar).ok_or(())).ok())?
}

/// A scalar with these bits and the type of `like`.
fn of_bits(like: Scalar, bits: u32) -> Option<Scalar> {
    match like {
        Scalar::I32(_) => Some(Scalar::I32(bits.cast_signed())),
        Scalar::U32(_) => Some(Scalar::U32(bits)),
        _ => None,
    }
}

/// A function of one integer.
pub(crate) fn of_one(name: &str, x: Scalar) -> Option<Scalar> {
    match (name, x) {
        ("abs", Scalar::Int(value)) => return Some(Scalar::Int(value.wrapping_abs())),
        ("abs", Scalar::I32(value)) => return Some(Scalar::I32(value.wrapping_abs())),
        ("abs", Scalar::U32(_)) => return Some(x),
        ("sign", Scalar::Int(value)) => return Some(Scalar::Int(value.signum())),
        ("sign", Scalar::I32(value)) => return Some(Scalar::I32(value.signum())),
        _ => {}
    }
    let bits = bits_of(x);
    // For a negative number, the highest bit that differs from the sign counts.
    let folded = if matches!(x, Scalar::I32(value) if value < 0) { !bits } else { bits };
    let result = match name {
        "countLeadingZeros" => bits.leading_zeros(),
        "countOneBits" => bits.count_ones(),
        "countTrailingZeros" => bits.trailing_zeros(),
        "reverseBits" => bits.reverse_bits(),
        "firstTrailingBit" if bits == 0 => u32::MAX,
        "firstTrailingBit" => bits.trailing_zeros(),
        "firstLeadingBit" if folded == 0 => u32::MAX,
        "firstLeadingBit" => 31 - folded.leading_zeros(),
        _ => return None,
    };
    of_bits(x, result)
}

fn extract(x: Scalar, offset: u32, count: u32) -> Option<Scalar> {
    if count == 0 {
        return of_bits(x, 0);
    }
    let raised = bits_of(x) << (32 - offset - count);
    match x {
        Scalar::I32(_) => Some(Scalar::I32(raised.cast_signed() >> (32 - count))),
        _ => of_bits(x, raised >> (32 - count)),
    }
}

fn insert(value: &Value, bits: &Value, offset: u32, count: u32) -> Option<Value> {
    let mask = if count == 0 { 0 } else { (u32::MAX >> (32 - count)) << offset };
    let one = |into: Scalar, from: Scalar| {
        of_bits(into, bits_of(into) & !mask | bits_of(from).checked_shl(offset).unwrap_or(0) & mask)
    };
    match (value, bits) {
        (Value::Scalar(into), Value::Scalar(from)) => one(*into, *from).map(Value::Scalar),
        (Value::Vector(into), Value::Vector(from)) => {
            into.iter().zip(from).map(|(into, from)| one(*into, *from)).collect::<Option<_>>().map(Value::Vector)
        }
        _ => None,
    }
}

fn dot(name: &str, a: &Value, b: &Value) -> Option<Value> {
    let bytes = |value: &Value| unsigned(value).map(u32::to_le_bytes);
    let pairs = bytes(a)?.into_iter().zip(bytes(b)?);
    Some(Value::Scalar(match name {
        "dot4I8Packed" => {
            Scalar::I32(pairs.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed())).sum())
        }
        _ => Scalar::U32(pairs.map(|(a, b)| u32::from(a) * u32::from(b)).sum()),
    }))
}

fn pack(name: &str, value: &Value) -> Option<Value> {
    let kind = if name.contains('I') { Kind::I32 } else { Kind::U32 };
    let Value::Vector(parts) = value.converted(kind)? else { return None };
    let byte = |part: &Scalar| {
        let clamped = match part {
            Scalar::I32(value) if name.ends_with("Clamp") => (*value).clamp(-128, 127).cast_unsigned(),
            Scalar::U32(value) if name.ends_with("Clamp") => (*value).min(255),
            _ => bits_of(*part),
        };
        clamped & 0xff
    };
    let packed = parts.iter().rev().fold(0_u32, |packed, part| packed << 8 | byte(part));
    (parts.len() == 4).then_some(Value::Scalar(Scalar::U32(packed)))
}

fn unpack(name: &str, value: &Value) -> Option<Value> {
    let part = |byte: u8| match name {
        "unpack4xI8" => Scalar::I32(byte.cast_signed().into()),
        _ => Scalar::U32(byte.into()),
    };
    Some(Value::Vector(unsigned(value)?.to_le_bytes().map(part).to_vec()))
}

/// The same bits as another type. WGSL does not allow constants that are infinite or NaN.
pub(crate) fn bitcast(value: &Value, to: &Ty) -> Result<Value, Reason> {
    let kind = match to {
        Ty::Scalar(kind) | Ty::Vector(_, kind) if matches!(kind, Kind::I32 | Kind::U32 | Kind::F32) => *kind,
        _ => return Err("`bitcast` makes only i32, u32, f32 and vectors of these".to_owned()),
    };
    // An abstract integer becomes an i32, or, if it does not fit, a u32.
    let from = value.kind().map(Kind::concrete).filter(|kind| *kind != Kind::Bool);
    let value = from.and_then(|from| value.converted(from).or(value.converted(Kind::U32)));
    let cast = |scalar: Scalar| match kind {
        Kind::I32 => Ok(Scalar::I32(bits_of(scalar).cast_signed())),
        Kind::U32 => Ok(Scalar::U32(bits_of(scalar))),
        _ => match f32::from_bits(bits_of(scalar)) {
            value if value.is_finite() => Ok(Scalar::F32(value)),
            _ => Err("these are the bits of no finite number, which no constant may be".to_owned()),
        },
    };
    let cast = match value {
        Some(value @ (Value::Scalar(_) | Value::Vector(_))) => value.try_map(cast)?,
        _ => return Err("`bitcast` does not take an argument of this type".to_owned()),
    };
    if cast.ty() == *to { Ok(cast) } else { Err("`bitcast` keeps the number of components".to_owned()) }
}
