//! Builtin functions of constants: those that WGSL computes before a kernel runs, with the same results as in a kernel.

use std::rc::Rc;

use super::arithmetic::{Floats, Reason, common, dot, scalars};
use super::elementary;
use super::integer;
use super::tree::BinaryOp;
use super::value::{Kind, Scalar, Value};

/// Builtins on floats, component by component, with their numbers of arguments. [`integer`] and [`elementary`] list their
/// own.
const ON_FLOATS: [(&str, usize); 15] = [
    ("ceil", 1),
    ("degrees", 1),
    ("floor", 1),
    ("fma", 3),
    ("fract", 1),
    ("mix", 3),
    ("radians", 1),
    ("round", 1),
    ("saturate", 1),
    ("smoothstep", 3),
    ("sqrt", 1),
    ("step", 2),
    ("trunc", 1),
    ("inverseSqrt", 1),
    ("ldexp", 2),
];

/// Builtins on all numbers.
const ON_NUMBERS: [(&str, usize); 5] = [("abs", 1), ("clamp", 3), ("max", 2), ("min", 2), ("sign", 1)];

/// Builtins on vectors, matrices, or values of any type.
const OTHERS: [(&str, usize); 16] = [
    ("all", 1),
    ("any", 1),
    ("bitcast", 1),
    ("cross", 2),
    ("determinant", 1),
    ("distance", 2),
    ("dot", 2),
    ("faceForward", 3),
    ("frexp", 1),
    ("length", 1),
    ("modf", 1),
    ("normalize", 1),
    ("reflect", 2),
    ("refract", 3),
    ("select", 3),
    ("transpose", 1),
];

/// Whether a function of this name is a constant if its arguments are.
pub(crate) fn is_builtin(name: &str) -> bool {
    arguments_of(name).is_some()
}

fn arguments_of(name: &str) -> Option<usize> {
    let shaped = elementary::PACKS.iter().chain(&elementary::UNPACKS).map(|(name, _)| (*name, 1));
    let unary =
        elementary::OF_ONE.iter().map(|name| (*name, 1)).chain(elementary::OF_TWO.iter().map(|name| (*name, 2)));
    let integers = integer::FUNCTIONS.iter().copied();
    let own = ON_FLOATS.iter().chain(&ON_NUMBERS).chain(&OTHERS).copied();
    own.chain(integers).chain(unary).chain(shaped).find(|(known, _)| *known == name).map(|(_, arguments)| arguments)
}

/// The value of a call.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Result<Value, Reason> {
    let wanted = arguments_of(name).unwrap_or_default();
    if arguments.len() != wanted {
        return Err(format!("`{name}` takes {wanted} arguments, not {}", arguments.len()));
    }
    match arguments {
        _ if integer::FUNCTIONS.iter().any(|(known, _)| *known == name) => integer::call(name, arguments),
        [value] if elementary::PACKS.iter().any(|(known, _)| *known == name) => pack(name, value),
        [value] if elementary::UNPACKS.iter().any(|(known, _)| *known == name) => unpack(name, value),
        [value] if matches!(name, "all" | "any") => truths(name, value),
        [value] if matches!(name, "transpose" | "determinant") => of_matrix(name, value),
        [value] if matches!(name, "frexp" | "modf") => parts(name, value),
        [value] if matches!(name, "length" | "normalize") => of_vectors(name, &[as_floats(name, value)?]),
        [no, yes, condition] if name == "select" => select(no, yes, condition),
        [value, exponent] if name == "ldexp" => ldexp(value, exponent),
        [a, b, eta] if name == "refract" => refract(a, b, eta),
        _ if matches!(name, "cross" | "distance" | "dot" | "faceForward" | "reflect") => {
            of_vectors(name, &of_one_kind(name, arguments)?)
        }
        _ => componentwise(name, arguments),
    }
}

fn unsuited(name: &str) -> Reason {
    format!("`{name}` does not take arguments of these types")
}

/// Converts the arguments to one number type.
fn of_one_kind(name: &str, arguments: &[Value]) -> Result<Vec<Value>, Reason> {
    let mut kind = arguments.first().and_then(Value::kind);
    for argument in arguments {
        kind = kind.zip(argument.kind()).and_then(|(a, b)| a.common(b));
    }
    let kind = kind.ok_or_else(|| unsuited(name))?;
    let converted = arguments.iter().map(|argument| argument.converted(kind)).collect::<Option<Vec<_>>>();
    converted.ok_or_else(|| unsuited(name))
}

/// Converts an abstract integer to an abstract float. Floats stay as they are.
fn as_floats(name: &str, value: &Value) -> Result<Value, Reason> {
    match value.kind() {
        Some(Kind::F32 | Kind::Float) => Ok(value.clone()),
        Some(Kind::Int) => value.converted(Kind::Float).ok_or_else(|| unsuited(name)),
        _ => Err(unsuited(name)),
    }
}

/// Applies a builtin to each component of vectors of one length, or to scalars.
fn componentwise(name: &str, arguments: &[Value]) -> Result<Value, Reason> {
    let mut arguments = of_one_kind(name, arguments)?;
    if !ON_NUMBERS.iter().any(|(known, _)| *known == name) {
        arguments = arguments.iter().map(|argument| as_floats(name, argument)).collect::<Result<_, _>>()?;
    }
    let size = arguments.iter().find_map(|argument| match argument {
        Value::Vector(parts) => Some(parts.len()),
        _ => None,
    });
    let set = |index: usize| -> Result<Vec<Scalar>, Reason> {
        let part = |argument: (usize, &Value)| match argument.1 {
            Value::Scalar(scalar) if size.is_none() || name == "mix" && argument.0 == 2 => Some(*scalar),
            Value::Vector(parts) if Some(parts.len()) == size => parts.get(index).copied(),
            _ => None,
        };
        arguments.iter().enumerate().map(part).collect::<Option<_>>().ok_or_else(|| unsuited(name))
    };
    match size {
        None => scalar(name, &set(0)?).map(Value::Scalar),
        Some(size) => (0..size).map(|index| scalar(name, &set(index)?)).collect::<Result<_, _>>().map(Value::Vector),
    }
}

fn scalar(name: &str, arguments: &[Scalar]) -> Result<Scalar, Reason> {
    let kind = arguments.first().map_or(Kind::Bool, |first| first.kind());
    match (name, arguments) {
        (_, [x]) if kind.is_integer() => integer::of_one(name, *x).ok_or_else(|| unsuited(name)),
        ("min", [x, y]) if kind.is_integer() => Ok(if is_less(*y, *x)? { *y } else { *x }),
        ("max", [x, y]) if kind.is_integer() => Ok(if is_less(*x, *y)? { *y } else { *x }),
        ("clamp", [x, low, high]) if kind.is_integer() => scalar("min", &[scalar("max", &[*x, *low])?, *high]),
        _ if kind.is_float() => of_floats(name, arguments, Floats::new(kind)),
        _ => Err(unsuited(name)),
    }
}

fn is_less(a: Scalar, b: Scalar) -> Result<bool, Reason> {
    Ok(scalars(BinaryOp::Less, a, b)? == Scalar::Bool(true))
}

fn of_floats(name: &str, arguments: &[Scalar], floats: Floats) -> Result<Scalar, Reason> {
    let operands: Vec<f64> = arguments.iter().map(|argument| floats.operand(*argument)).collect();
    let result = match (name, operands.as_slice()) {
        ("abs", [x]) => x.abs(),
        ("sign", [x]) if *x == 0.0 => 0.0,
        ("sign", [x]) => x.signum(),
        ("ceil", [x]) => x.ceil(),
        ("floor", [x]) => x.floor(),
        ("round", [x]) => x.round_ties_even(),
        ("trunc", [x]) => x.trunc(),
        ("fract", [x]) => floats.sub(*x, x.floor()),
        ("sqrt", [x]) => floats.sqrt(*x),
        ("inverseSqrt", [x]) => floats.div(1.0, floats.sqrt(*x)),
        ("degrees", [x]) => floats.mul(*x, degrees_per_radian(floats)),
        ("radians", [x]) => floats.mul(*x, radians_per_degree(floats)),
        ("saturate", [x]) => smaller(larger(*x, 0.0), 1.0),
        ("min", [x, y]) => smaller(*x, *y),
        ("max", [x, y]) => larger(*x, *y),
        ("clamp", [x, low, high]) => smaller(larger(*x, *low), *high),
        ("step", [edge, x]) => f64::from(u8::from(edge <= x)),
        ("fma", [x, y, z]) => floats.add(floats.mul(*x, *y), *z),
        ("mix", [x, y, t]) => floats.add(floats.mul(*x, floats.sub(1.0, *t)), floats.mul(*y, *t)),
        ("smoothstep", [low, high, x]) => {
            let t = smaller(larger(floats.div(floats.sub(*x, *low), floats.sub(*high, *low)), 0.0), 1.0);
            floats.mul(floats.mul(t, t), floats.sub(3.0, floats.mul(2.0, t)))
        }
        _ => return by_kernel(name, &operands, floats),
    };
    floats.scalar(result)
}

/// Computes a function as kernels do, on the f32 nearest to each operand.
fn by_kernel(name: &str, operands: &[f64], floats: Floats) -> Result<Scalar, Reason> {
    let rounded =
        operands.iter().map(|operand| Floats::new(Kind::F32).scalar(*operand)).collect::<Result<Vec<_>, _>>()?;
    let bits: Vec<u32> = rounded.iter().map(|scalar| bits_of(*scalar)).collect();
    let [result, ..] = elementary::compute(name, &bits).ok_or_else(|| unsuited(name))?;
    floats.scalar(f64::from(f32::from_bits(result)))
}

/// `select(x, y, y < x)`
fn smaller(x: f64, y: f64) -> f64 {
    if y < x { y } else { x }
}

fn larger(x: f64, y: f64) -> f64 {
    if x < y { y } else { x }
}

/// 180 / π, with the value that kernels use for f32.
fn degrees_per_radian(floats: Floats) -> f64 {
    if floats == Floats::new(Kind::F32) { f64::from(57.295_78_f32) } else { 180.0 / std::f64::consts::PI }
}

fn radians_per_degree(floats: Floats) -> f64 {
    if floats == Floats::new(Kind::F32) { f64::from(0.017_453_292_f32) } else { std::f64::consts::PI / 180.0 }
}

pub(crate) fn bits_of(scalar: Scalar) -> u32 {
    match scalar {
        Scalar::I32(value) => value.cast_unsigned(),
        Scalar::U32(value) => value,
        Scalar::F32(value) => value.to_bits(),
        _ => 0,
    }
}

/// Builtins on vectors of floats or of integers, all of one kind.
fn of_vectors(name: &str, arguments: &[Value]) -> Result<Value, Reason> {
    let kind = arguments.first().and_then(Value::kind).ok_or_else(|| unsuited(name))?;
    let vectors = arguments.iter().map(parts_of).collect::<Option<Vec<_>>>().ok_or_else(|| unsuited(name))?;
    if name == "dot" && kind.is_integer() {
        return integer_dot(&vectors);
    }
    let floats = Floats::new(if kind == Kind::Int { Kind::Float } else { kind });
    if !(kind.is_float() || kind == Kind::Int)
        || vectors.windows(2).any(|two| matches!(two, [a, b] if a.len() != b.len()))
    {
        return Err(unsuited(name));
    }
    let is_scalar = matches!(arguments.first(), Some(Value::Scalar(_)));
    match (name, vectors.as_slice()) {
        ("length", [[x]]) => floats.scalar(floats.operand(*x).abs()).map(Value::Scalar),
        ("distance", [[x], [y]]) => {
            floats.scalar(floats.sub(floats.operand(*x), floats.operand(*y)).abs()).map(Value::Scalar)
        }
        _ if is_scalar => Err(unsuited(name)),
        ("length", [v]) => floats.scalar(floats.sqrt(dot(floats, v, v)?)).map(Value::Scalar),
        ("distance", [a, b]) => {
            let v = each(floats, a, b, |a, b| floats.sub(a, b))?;
            floats.scalar(floats.sqrt(dot(floats, &v, &v)?)).map(Value::Scalar)
        }
        ("dot", [a, b]) => floats.scalar(dot(floats, a, b)?).map(Value::Scalar),
        ("normalize", [v]) => {
            let scale = floats.div(1.0, floats.sqrt(dot(floats, v, v)?));
            each(floats, v, v, |x, _| floats.mul(x, scale)).map(Value::Vector)
        }
        ("reflect", [i, n]) => {
            let scale = floats.mul(2.0, dot(floats, n, i)?);
            each(floats, i, n, |i, n| floats.sub(i, floats.mul(scale, n))).map(Value::Vector)
        }
        ("faceForward", [n, i, g]) => {
            let keeps = dot(floats, i, g)? < 0.0;
            each(floats, n, n, |x, _| if keeps { x } else { -x }).map(Value::Vector)
        }
        ("cross", [a, b]) if a.len() == 3 => cross(floats, a, b).map(Value::Vector),
        _ => Err(unsuited(name)),
    }
}

fn parts_of(value: &Value) -> Option<&[Scalar]> {
    match value {
        Value::Vector(parts) => Some(parts),
        Value::Scalar(scalar) => Some(std::slice::from_ref(scalar)),
        _ => None,
    }
}

fn each(floats: Floats, a: &[Scalar], b: &[Scalar], f: impl Fn(f64, f64) -> f64) -> Result<Vec<Scalar>, Reason> {
    a.iter().zip(b).map(|(a, b)| floats.scalar(f(floats.operand(*a), floats.operand(*b)))).collect()
}

fn integer_dot(vectors: &[&[Scalar]]) -> Result<Value, Reason> {
    let [a, b] = vectors else { return Err(unsuited("dot")) };
    let mut sum: Option<Scalar> = None;
    for (a, b) in a.iter().zip(*b) {
        let product = scalars(BinaryOp::Multiply, *a, *b)?;
        sum = Some(sum.map_or(Ok(product), |sum| scalars(BinaryOp::Add, sum, product))?);
    }
    sum.map(Value::Scalar).ok_or_else(|| unsuited("dot"))
}

/// `a.yzx * b.zxy - a.zxy * b.yzx`
fn cross(floats: Floats, a: &[Scalar], b: &[Scalar]) -> Result<Vec<Scalar>, Reason> {
    let [a, b] = [a, b].map(|vector| vector.iter().map(|part| floats.operand(*part)).collect::<Vec<f64>>());
    let ([ax, ay, az], [bx, by, bz]) = (three(&a)?, three(&b)?);
    let minor = |p: f64, q: f64, r: f64, s: f64| floats.scalar(floats.sub(floats.mul(p, q), floats.mul(r, s)));
    Ok(vec![minor(ay, bz, az, by)?, minor(az, bx, ax, bz)?, minor(ax, by, ay, bx)?])
}

fn three(vector: &[f64]) -> Result<[f64; 3], Reason> {
    vector.try_into().map_err(|_| unsuited("cross"))
}

fn refract(i: &Value, n: &Value, eta: &Value) -> Result<Value, Reason> {
    let arguments = of_one_kind("refract", &[i.clone(), n.clone(), eta.clone()])?;
    let arguments: Vec<Value> = arguments.iter().map(|value| as_floats("refract", value)).collect::<Result<_, _>>()?;
    let [Value::Vector(i), Value::Vector(n), Value::Scalar(eta)] = arguments.as_slice() else {
        return Err(unsuited("refract"));
    };
    let floats = Floats::new(eta.kind());
    let eta = floats.operand(*eta);
    let cosine = dot(floats, n, i)?;
    let inner = floats.sub(1.0, floats.mul(cosine, cosine));
    let k = floats.sub(1.0, floats.mul(floats.mul(eta, eta), inner));
    if k < 0.0 {
        return Ok(Value::Vector(vec![
            Scalar::zero(if floats == Floats::new(Kind::F32) {
                Kind::F32
            } else {
                Kind::Float
            });
            i.len()
        ]));
    }
    let scale = floats.add(floats.mul(eta, cosine), floats.sqrt(k));
    each(floats, i, n, |i, n| floats.sub(floats.mul(eta, i), floats.mul(scale, n))).map(Value::Vector)
}

fn ldexp(value: &Value, exponent: &Value) -> Result<Value, Reason> {
    let value = as_floats("ldexp", value)?;
    let exponent = exponent.converted(Kind::I32).ok_or_else(|| unsuited("ldexp"))?;
    let scale = |x: Scalar, n: Scalar| {
        let floats = Floats::new(x.kind());
        let n = i32::try_from(n.as_integer().unwrap_or_default().clamp(-2200, 2200)).unwrap_or_default();
        let third = n / 3;
        let scaled = floats.operand(x) * power_of_two(third) * power_of_two(third) * power_of_two(n - 2 * third);
        floats.scalar(floats.flushed(scaled))
    };
    match (&value, &exponent) {
        (Value::Scalar(x), Value::Scalar(n)) => scale(*x, *n).map(Value::Scalar),
        (Value::Vector(x), Value::Vector(n)) if x.len() == n.len() => {
            x.iter().zip(n).map(|(x, n)| scale(*x, *n)).collect::<Result<_, _>>().map(Value::Vector)
        }
        _ => Err(unsuited("ldexp")),
    }
}

fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(u64::try_from(exponent.clamp(-1022, 1023) + 1023).unwrap_or_default() << 52)
}

/// `frexp` and `modf`, whose result has two named members.
fn parts(name: &str, value: &Value) -> Result<Value, Reason> {
    let value = as_floats(name, value)?;
    let kind = value.kind().unwrap_or(Kind::Float);
    let floats = Floats::new(kind);
    let split = |x: f64| -> (f64, i64) {
        let exponent = i64::try_from((x.to_bits() >> 52) & 0x7ff).unwrap_or_default();
        if exponent == 0 {
            return (0.0, 0);
        }
        (f64::from_bits(x.to_bits() & !(0x7ff << 52) | 1022 << 52), exponent - 1022)
    };
    let map = |f: &dyn Fn(f64) -> Result<Scalar, Reason>| value.try_map(|scalar| f(floats.operand(scalar)));
    let parts = match name {
        "modf" => [
            ("fract", map(&|x| floats.scalar(floats.sub(x, x.trunc())))?),
            ("whole", map(&|x| floats.scalar(x.trunc()))?),
        ],
        _ => {
            let exponent = |x: f64| {
                let exponent = split(x).1;
                Ok(match kind {
                    Kind::F32 => Scalar::I32(i32::try_from(exponent).unwrap_or_default()),
                    _ => Scalar::Int(exponent),
                })
            };
            [("fract", map(&|x| floats.scalar(split(x).0))?), ("exp", map(&exponent)?)]
        }
    };
    Ok(Value::Parts(Rc::new(parts)))
}

fn of_matrix(name: &str, value: &Value) -> Result<Value, Reason> {
    let Value::Matrix(columns) = value else { return Err(unsuited(name)) };
    let rows = columns.first().map_or(0, Vec::len);
    if name == "transpose" {
        let row = |row: usize| columns.iter().filter_map(|column| column.get(row).copied()).collect();
        return Ok(Value::Matrix((0..rows).map(row).collect()));
    }
    let floats = Floats::new(value.kind().unwrap_or(Kind::Float));
    let m: Vec<Vec<f64>> =
        columns.iter().map(|column| column.iter().map(|part| floats.operand(*part)).collect()).collect();
    let at = |column: usize, row: usize| m.get(column).and_then(|column| column.get(row)).copied().unwrap_or_default();
    let minor = |a: (usize, usize), b: (usize, usize)| {
        floats.sub(floats.mul(at(a.0, a.1), at(b.0, b.1)), floats.mul(at(b.0, a.1), at(a.0, b.1)))
    };
    let result = match (columns.as_slice(), rows) {
        ([_, _], 2) => minor((0, 0), (1, 1)),
        ([first, second, third], 3) => dot(floats, first, &cross(floats, second, third)?)?,
        ([_, _, _, _], 4) => {
            // As in a kernel: 2×2 minors of the first two columns with those of the last two.
            let pair = |x: usize, r: usize, s: usize| minor((x, r), (x + 1, s));
            let p =
                [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)].map(|(r, s, t, u)| floats.mul(pair(0, r, s), pair(2, t, u)));
            let q =
                [(1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1)].map(|(r, s, t, u)| floats.mul(pair(0, r, s), pair(2, t, u)));
            let [px, py, pz] = p;
            let [qx, qy, qz] = q;
            let sum = floats.add(floats.add(floats.sub(px, py), pz), qx);
            floats.add(floats.sub(sum, qy), qz)
        }
        _ => return Err(unsuited(name)),
    };
    floats.scalar(result).map(Value::Scalar)
}

fn truths(name: &str, value: &Value) -> Result<Value, Reason> {
    let parts = parts_of(value).filter(|_| value.kind() == Some(Kind::Bool)).ok_or_else(|| unsuited(name))?;
    let is_true = |part: &Scalar| *part == Scalar::Bool(true);
    let truth = if name == "all" { parts.iter().all(is_true) } else { parts.iter().any(is_true) };
    Ok(Value::Scalar(Scalar::Bool(truth)))
}

fn select(no: &Value, yes: &Value, condition: &Value) -> Result<Value, Reason> {
    let (no, yes) = common(no, yes).filter(|(no, yes)| no.ty() == yes.ty()).ok_or_else(|| unsuited("select"))?;
    match (&no, &yes, condition) {
        (Value::Scalar(_) | Value::Vector(_), _, Value::Scalar(Scalar::Bool(condition))) => {
            Ok(if *condition { yes } else { no })
        }
        (Value::Vector(no), Value::Vector(yes), Value::Vector(conditions))
            if conditions.len() == no.len() && condition.kind() == Some(Kind::Bool) =>
        {
            let choose = |((no, yes), condition): ((&Scalar, &Scalar), &Scalar)| {
                if *condition == Scalar::Bool(true) { *yes } else { *no }
            };
            Ok(Value::Vector(no.iter().zip(yes).zip(conditions).map(choose).collect()))
        }
        _ => Err(unsuited("select")),
    }
}

fn pack(name: &str, value: &Value) -> Result<Value, Reason> {
    let value = value.converted(Kind::F32).ok_or_else(|| unsuited(name))?;
    let size = elementary::PACKS.iter().find(|(known, _)| *known == name).map(|(_, size)| *size);
    let Value::Vector(parts) = &value else { return Err(unsuited(name)) };
    if Some(parts.len()) != size {
        return Err(unsuited(name));
    }
    let bits: Vec<u32> = parts.iter().map(|part| bits_of(*part)).collect();
    let [result, ..] = elementary::compute(name, &bits).ok_or_else(|| unsuited(name))?;
    Ok(Value::Scalar(Scalar::U32(result)))
}

fn unpack(name: &str, value: &Value) -> Result<Value, Reason> {
    let Some(Value::Scalar(packed)) = value.converted(Kind::U32) else { return Err(unsuited(name)) };
    let size = elementary::UNPACKS.iter().find(|(known, _)| *known == name).map_or(0, |(_, size)| *size);
    let bits = elementary::compute(name, &[bits_of(packed)]).ok_or_else(|| unsuited(name))?;
    let floats = Floats::new(Kind::F32);
    let parts = bits.iter().take(size).map(|bits| floats.scalar(f64::from(f32::from_bits(*bits))));
    parts.collect::<Result<_, _>>().map(Value::Vector)
}
