//! Amounts with a unit: bytes, fuel, milliseconds, money.
//!
//! The most is 2^53 - 1: canonical JSON numbers are doubles, and above that two different amounts could have the
//! same canonical bytes.

/// The greatest integer up to which every integer is a double: 2^53 - 1.
const MAX_EXACT: u64 = (1 << 53) - 1;

/// An amount is over 2^53 - 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is over {MAX_EXACT}, the most that a JSON number holds exactly")]
pub struct OutOfRange {
    /// The amount found.
    pub found: u64,
}

/// Why text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum QuantityError {
    #[error("{text:?} is not an amount: it has to start with a whole number; write for example {example}")]
    Number { text: String, example: &'static str },
    #[error("{unit:?} in {text:?} is not a unit; write one of {known}, or none")]
    Unit { text: String, unit: String, known: &'static str },
    #[error("{text:?} is too much: the most is {MAX_EXACT}")]
    TooLarge { text: String },
    #[error("{text:?} is no amount of money: digits, and at most six after a point; write for example 0.25")]
    Decimal { text: String },
    #[error("{text:?} is too much: the most is {most}", most = Amount::MAX)]
    MuchMoney { text: String },
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(u64);

        impl $name {
            /// Zero.
            pub const ZERO: $name = $name(0);
            /// The most that can be expressed: 2^53 - 1.
            pub const MAX: $name = $name(MAX_EXACT);

            /// The amount as a bare number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The sum, or [`Self::MAX`] where it would be over that.
            pub const fn saturating_add(self, other: $name) -> $name {
                match self.checked_add(other) {
                    Some(sum) => sum,
                    None => $name::MAX,
                }
            }

            /// The sum, or none where it would be over [`Self::MAX`].
            pub const fn checked_add(self, other: $name) -> Option<$name> {
                match self.0.checked_add(other.0) {
                    Some(sum) if sum <= MAX_EXACT => Some($name(sum)),
                    _ => None,
                }
            }

            /// The difference, or zero where it would be less.
            pub const fn saturating_sub(self, other: $name) -> $name {
                $name(self.0.saturating_sub(other.0))
            }

            /// The amount, or [`Self::MAX`] if it is over that.
            pub const fn saturating_from(amount: u64) -> $name {
                if amount > MAX_EXACT { $name::MAX } else { $name(amount) }
            }
        }

        impl TryFrom<u64> for $name {
            type Error = OutOfRange;

            fn try_from(amount: u64) -> Result<$name, OutOfRange> {
                if amount > MAX_EXACT { Err(OutOfRange { found: amount }) } else { Ok($name(amount)) }
            }
        }

        impl From<u32> for $name {
            fn from(amount: u32) -> $name {
                $name(u64::from(amount))
            }
        }

        impl From<$name> for u64 {
            fn from(amount: $name) -> u64 {
                amount.0
            }
        }
    };
}

quantity! {
    /// A number of bytes. Shown as `64 MiB`; read from `64MiB`, `2GB`, `4096`.
    ///
    /// ```
    /// use isobit_job::Bytes;
    ///
    /// let size: Bytes = "64MiB".parse()?;
    /// assert_eq!(size, Bytes::mib(64));
    /// assert_eq!(size.to_string(), "64 MiB");
    /// # Ok::<(), isobit_job::QuantityError>(())
    /// ```
    Bytes
}

quantity! {
    /// Deterministic cost: wasm fuel for the guest, kernel fuel for dispatches. Shown as `1_000_000`; read from `10G`, `5M`, `1_000`.
    Fuel
}

quantity! {
    /// Milliseconds: a span of time, or a moment counted from the start of 1970 (UTC).
    Millis
}

quantity! {
    /// An amount of money in millionths of its currency. Shown and read as a decimal number of whole units, `1.25`.
    Amount
}

/// Millionths in a whole unit of a currency.
const MILLION: u64 = 1_000_000;

const BYTE_UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("TB", 1000 * 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];

const FUEL_UNITS: [(&str, u64); 4] =
    [("k", 1000), ("M", 1000 * 1000), ("G", 1000 * 1000 * 1000), ("T", 1000 * 1000 * 1000 * 1000)];

impl Bytes {
    /// `count` mebibytes of 2^20 bytes each.
    pub const fn mib(count: u32) -> Bytes {
        // At most (2^32 - 1) * 2^20 = 2^52 - 2^20. `From` is not const.
        Bytes((count as u64) << 20)
    }
}

impl Millis {
    /// The duration in milliseconds, rounded down; at most [`Millis::MAX`].
    pub fn from_duration(duration: std::time::Duration) -> Millis {
        Millis::saturating_from(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = BYTE_UNITS.iter().rev().find(|(name, scale)| name.ends_with("iB") && self.0 >= *scale);
        let text = match unit {
            None => format!("{} B", self.0),
            Some((name, scale)) if self.0.is_multiple_of(*scale) => format!("{} {name}", self.0 / scale),
            // At most 2^53 * 10 < 2^57.
            Some((name, scale)) => {
                let tenths = self.0 * 10 / scale;
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        };
        f.pad(&text)
    }
}

impl std::fmt::Display for Fuel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push('_');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{} ms", self.0))
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, millionths) = (self.0 / MILLION, self.0 % MILLION);
        let text = format!("{whole}.{millionths:06}");
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl std::str::FromStr for Amount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Amount, QuantityError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 6 {
            return Err(QuantityError::Decimal { text: text.to_owned() });
        }
        let millionths = format!("{fraction:0<6}").parse::<u64>().ok();
        let amount = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(MILLION)?.checked_add(millionths?));
        amount
            .filter(|amount| *amount <= MAX_EXACT)
            .map(Amount)
            .ok_or_else(|| QuantityError::MuchMoney { text: text.to_owned() })
    }
}

impl std::str::FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Bytes, QuantityError> {
        parse(text, &BYTE_UNITS, "KiB, MiB, GiB, kB, MB, GB", "64MiB").map(Bytes)
    }
}

impl std::str::FromStr for Fuel {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Fuel, QuantityError> {
        parse(text, &FUEL_UNITS, "k, M, G, T", "10G").map(Fuel)
    }
}

/// Reads digits (`_` between them is ignored), optional space, and a unit in any case.
fn parse(text: &str, units: &[(&str, u64)], known: &'static str, example: &'static str) -> Result<u64, QuantityError> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let digits = number.replace('_', "");
    if digits.is_empty() || number.starts_with('_') {
        return Err(QuantityError::Number { text: text.to_owned(), example });
    }
    let unit = unit.trim_start();
    let scale = match units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, scale)) => *scale,
        None if unit.is_empty() => 1,
        None => return Err(QuantityError::Unit { text: text.to_owned(), unit: unit.to_owned(), known }),
    };
    let amount = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    amount.filter(|amount| *amount <= MAX_EXACT).ok_or_else(|| QuantityError::TooLarge { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_read_with_and_without_units() {
        for (text, amount) in [
            ("4096", 4096),
            ("0", 0),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1gib", 1 << 30),
            ("2GB", 2_000_000_000),
            ("1_000 kB", 1_000_000),
            ("9007199254740991", MAX_EXACT),
        ] {
            assert_eq!(text.parse::<Bytes>().map(Bytes::get), Ok(amount), "{text}");
        }
    }

    #[test]
    fn fuel_is_read_with_and_without_units() {
        for (text, amount) in [("1_000", 1000), ("10G", 10_000_000_000), ("5M", 5_000_000), ("7", 7)] {
            assert_eq!(text.parse::<Fuel>().map(Fuel::get), Ok(amount), "{text}");
        }
    }

    #[test]
    fn money_has_at_most_six_decimals() {
        for (text, amount, shown) in
            [("0", 0, "0"), ("1.50", 1_500_000, "1.5"), ("0.000001", 1, "0.000001"), ("10", 10_000_000, "10")]
        {
            assert_eq!(text.parse(), Ok(Amount(amount)), "{text}");
            assert_eq!(Amount(amount).to_string(), shown);
        }
        for text in ["", ".5", "1.", "1.0000001", "-1", "1e3", "1_000", "9007199255"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_a_hint() {
        let message = |text: &str| text.parse::<Bytes>().unwrap_err().to_string();
        assert_eq!(
            message("much"),
            "\"much\" is not an amount: it has to start with a whole number; write for example 64MiB"
        );
        assert_eq!(message("64M"), "\"M\" in \"64M\" is not a unit; write one of KiB, MiB, GiB, kB, MB, GB, or none");
        assert_eq!(message("8PiB"), "\"8PiB\" is too much: the most is 9007199254740991");
        assert!(message("-1").contains("whole number"));
        assert!(message("_1").contains("whole number"));
        assert!(message("99999999999999999999").contains("too much"));
        assert!("1.5G".parse::<Fuel>().is_err());
    }

    #[test]
    fn bytes_are_shown_in_the_greatest_unit_that_fits() {
        for (amount, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 << 20, "64 MiB"),
            ((1 << 30) - 1, "1023.9 MiB"),
            (MAX_EXACT, "7.9 PiB"),
        ] {
            assert_eq!(Bytes(amount).to_string(), text);
        }
    }

    #[test]
    fn an_amount_over_2_to_the_53_is_refused_everywhere() {
        assert_eq!(Bytes::try_from(MAX_EXACT + 1), Err(OutOfRange { found: MAX_EXACT + 1 }));
        assert!(serde_json::from_str::<Fuel>("9007199254740992").is_err());
        assert!(serde_json::from_str::<Fuel>("1.0").is_err());
        assert!(serde_json::from_str::<Fuel>("-1").is_err());
        assert!(postcard::from_bytes::<Bytes>(&postcard::to_stdvec(&u64::MAX).unwrap()).is_err());
        assert_eq!(Fuel::MAX.checked_add(Fuel::from(1)), None);
        assert_eq!(Fuel::MAX.saturating_add(Fuel::MAX), Fuel::MAX);
        assert_eq!(Fuel::saturating_from(u64::MAX), Fuel::MAX);
    }

    proptest! {
        #[test]
        fn fuel_reads_back_as_shown(amount in 0..=MAX_EXACT) {
            prop_assert_eq!(Fuel(amount).to_string().parse(), Ok(Fuel(amount)));
        }

        #[test]
        fn money_reads_back_as_shown(amount in 0..=MAX_EXACT) {
            prop_assert_eq!(Amount(amount).to_string().parse(), Ok(Amount(amount)));
        }

        #[test]
        fn whole_units_of_bytes_read_back_as_shown(count in 1u32..1024, unit in 0usize..3) {
            let bytes = Bytes(u64::from(count) << (10 * unit));
            prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }

        #[test]
        fn reading_any_text_does_not_panic(text: String) {
            let _ = (text.parse::<Bytes>(), text.parse::<Fuel>(), text.parse::<Amount>());
        }
    }
}
