//! Parses literals.

use super::lexer::Place;
use super::value::Scalar;
use crate::Refusal;

/// The value of a literal.
pub(crate) fn literal(text: &str, place: Place) -> Result<Scalar, Refusal> {
    match text {
        "true" => return Ok(Scalar::Bool(true)),
        "false" => return Ok(Scalar::Bool(false)),
        _ => {}
    }
    let hexadecimal = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let found = match hexadecimal {
        Some(digits) => hexadecimal_number(digits),
        None => decimal_number(text),
    };
    found.map_err(|problem| Refusal::at(place, format!("`{text}` {problem}")))
}

const TOO_LARGE: &str = "does not fit its type";
const TOO_LONG: &str = "has more digits than its type holds";
const INVALID: &str = "is not a number";
const HALF: &str = "is an f16, which is not available: write it with the suffix `f`";

fn decimal_number(text: &str) -> Result<Scalar, &'static str> {
    let (digits, suffix) = match text.char_indices().last() {
        Some((at, suffix @ ('i' | 'u' | 'f' | 'h'))) => (text.get(..at).unwrap_or_default(), Some(suffix)),
        _ => (text, None),
    };
    if digits.ends_with(['e', 'E', '+', '-']) {
        return Err(INVALID);
    }
    let is_float = digits.contains(['.', 'e', 'E']) || suffix == Some('f');
    match suffix {
        Some('h') => Err(HALF),
        Some('i' | 'u') if is_float => Err(INVALID),
        _ if !is_float && digits.len() > 1 && digits.starts_with('0') => Err("has a 0 in front"),
        Some('f') => finite_f32(digits.parse()),
        _ if is_float => match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Scalar::Float(value)),
            Ok(_) => Err(TOO_LARGE),
            Err(_) => Err(INVALID),
        },
        _ => integer(digits, suffix, 10),
    }
}

fn finite_f32(parsed: Result<f32, std::num::ParseFloatError>) -> Result<Scalar, &'static str> {
    match parsed {
        Ok(value) if value.is_finite() => Ok(Scalar::F32(value)),
        Ok(_) => Err(TOO_LARGE),
        Err(_) => Err(INVALID),
    }
}

fn integer(digits: &str, suffix: Option<char>, radix: u32) -> Result<Scalar, &'static str> {
    if digits.is_empty() {
        return Err(INVALID);
    }
    let value = i64::from_str_radix(digits, radix).map_err(|_| TOO_LARGE)?;
    match suffix {
        Some('i') => i32::try_from(value).map(Scalar::I32).map_err(|_| TOO_LARGE),
        Some('u') => u32::try_from(value).map(Scalar::U32).map_err(|_| TOO_LARGE),
        _ => Ok(Scalar::Int(value)),
    }
}

/// Parses the text after `0x`. A float has to be exact, as WGSL demands.
fn hexadecimal_number(text: &str) -> Result<Scalar, &'static str> {
    let (mantissa, exponent) = match text.find(['p', 'P']) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    if exponent.is_none() && !mantissa.contains('.') {
        return match mantissa.strip_suffix(['i', 'u']) {
            Some(digits) => integer(digits, mantissa.chars().last(), 16),
            None if mantissa.ends_with('h') => Err(HALF),
            None => integer(mantissa, None, 16),
        };
    }
    let (exponent, suffix) = match exponent.map(|text| (text, text.strip_suffix(['f', 'h']))) {
        Some((text, Some(digits))) => (digits, text.chars().last()),
        Some((digits, None)) => (digits, None),
        None if mantissa.ends_with('h') => return Err(HALF),
        None => ("0", None),
    };
    if suffix == Some('h') {
        return Err(HALF);
    }
    let exponent: i64 = exponent.parse().map_err(|_| if exponent.is_empty() { INVALID } else { TOO_LARGE })?;
    let (significand, scale) = significand(mantissa)?;
    let exponent = i32::try_from(exponent.saturating_add(scale)).map_err(|_| TOO_LARGE);
    if significand == 0 {
        return Ok(if suffix == Some('f') { Scalar::F32(0.0) } else { Scalar::Float(0.0) });
    }
    let (bits, least, most) = if suffix == Some('f') { (24, -149, 127) } else { (53, -1074, 1023) };
    let value = exact(significand, exponent?, bits, least, most)?;
    match suffix {
        Some(_) => super::value::round_to_f32(value).map(Scalar::F32).ok_or(TOO_LARGE),
        None => Ok(Scalar::Float(value)),
    }
}

/// The digits as an integer without trailing zeros, and the exponent of the power of two to multiply it by.
fn significand(mantissa: &str) -> Result<(u64, i64), &'static str> {
    let mut value = 0_u128;
    let mut scale = 0_i64;
    let (mut behind_point, mut any) = (false, false);
    for character in mantissa.chars() {
        let Some(digit) = character.to_digit(16) else {
            behind_point = true;
            continue;
        };
        if value >> 124 != 0 {
            return Err(TOO_LONG);
        }
        any = true;
        value = value << 4 | u128::from(digit);
        scale -= if behind_point { 4 } else { 0 };
    }
    let zeros = if value == 0 { 0 } else { value.trailing_zeros() };
    let value = u64::try_from(value >> zeros).map_err(|_| TOO_LONG)?;
    if any { Ok((value, scale + i64::from(zeros))) } else { Err(INVALID) }
}

/// significand · 2^exponent, if a float with so many bits represents it exactly. Its lowest bit is at least 2^least, its
/// highest at most 2^most.
fn exact(significand: u64, exponent: i32, bits: i32, least: i32, most: i32) -> Result<f64, &'static str> {
    let trailing = i32::try_from(significand.trailing_zeros()).unwrap_or(0);
    let length = 64 - i32::try_from(significand.leading_zeros()).unwrap_or(0);
    let (lowest, highest) = (exponent.saturating_add(trailing), exponent.saturating_add(length - 1));
    if highest > most {
        return Err(TOO_LARGE);
    }
    if highest - lowest >= bits || lowest < least {
        return Err(TOO_LONG);
    }
    // The product is exact: at most 53 bits, and both powers of two are normal numbers.
    #[allow(clippy::cast_precision_loss, reason = "at most 53 bits")]
    let value = (significand >> trailing) as f64;
    let half = lowest / 2;
    Ok(value * power_of_two(half) * power_of_two(lowest - half))
}

fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52)
}
