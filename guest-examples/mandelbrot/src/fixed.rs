//! Fixed point numbers as the kernel has them, read from decimals without any floating point.

use std::str::FromStr;

/// Bits behind the point.
const FRACTION: u32 = 28;

/// A number from -8 up to 8: how many 2^-28ths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed(pub i32);

impl Fixed {
    /// The width and height of the plane at zoom 1, in 2^-28ths.
    pub const FOUR: i64 = 4 << FRACTION;
    /// -0.5, the middle of the set.
    pub const MINUS_HALF: Self = Self(-1 << (FRACTION - 1));
    /// 0.
    pub const ZERO: Self = Self(0);
}

impl FromStr for Fixed {
    type Err = &'static str;

    /// Reads a decimal such as `-0.743643887`, rounded towards zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not a decimal between -8 and 8 with at most 9 digits behind the point";
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, behind) = digits.split_once('.').unwrap_or((digits, "0"));
        let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !only_digits(whole) || !only_digits(behind) || behind.len() > 9 {
            return Err(WRONG);
        }
        let whole: i64 = whole.parse().map_err(|_| WRONG)?;
        let billionths: i64 = format!("{behind:0<9}").parse().map_err(|_| WRONG)?;
        if whole >= 8 {
            return Err(WRONG);
        }
        let size = ((whole * 1_000_000_000 + billionths) << FRACTION) / 1_000_000_000;
        let signed = if text.starts_with('-') { -size } else { size };
        i32::try_from(signed).map(Self).map_err(|_| WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_fixed_point() {
        assert_eq!("-0.5".parse(), Ok(Fixed::MINUS_HALF));
        assert_eq!("0".parse(), Ok(Fixed::ZERO));
        assert_eq!("1.25".parse(), Ok(Fixed(5 << 26)));
        assert_eq!("7.999999999".parse(), Ok(Fixed(i32::MAX)));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-", "8", "1e3", "--1", "+1", "0.1234567890", "1.2.3", "1.-2"] {
            assert!(text.parse::<Fixed>().is_err(), "{text}");
        }
    }
}
