//! Hexadecimal text of 32-byte values. Lowercase only: a value has one text, and so canonical JSON has one form.

/// Why text is not a 32-byte value in lowercase hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum HexError {
    #[error("expected 64 lowercase hex digits, found {found} characters")]
    Length { found: usize },
    #[error("expected 64 lowercase hex digits, found {found:?} at position {position}")]
    Digit {
        found: char,
        /// Its place, counted in characters from 0.
        position: usize,
    },
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

pub(crate) fn decode(text: &str) -> Result<[u8; 32], HexError> {
    let found = text.chars().count();
    if found != 64 {
        return Err(HexError::Length { found });
    }
    let mut bytes = [0; 32];
    for (position, digit) in text.chars().enumerate() {
        let value = match digit {
            '0'..='9' | 'a'..='f' => digit.to_digit(16).and_then(|value| u8::try_from(value).ok()),
            _ => None,
        };
        let value = value.ok_or(HexError::Digit { found: digit, position })?;
        if let Some(byte) = bytes.get_mut(position / 2) {
            *byte = *byte << 4 | value;
        }
    }
    Ok(bytes)
}

/// Implements serde for a 32-byte type with `Display`, `FromStr`, `as_bytes` and a fallible constructor: hexadecimal text
/// in human-readable formats, 32 plain bytes in the others.
macro_rules! serde_as_hex {
    ($type:ident, $from_bytes:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.as_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    let bytes = <[u8; 32]>::deserialize(deserializer)?;
                    $from_bytes(bytes).map_err(serde::de::Error::custom)
                }
            }
        }
    };
}
pub(crate) use serde_as_hex;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(bytes: [u8; 32]) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_either_fails_or_is_the_one_text_of_its_value(text in "[0-9a-fA-F]{63,65}|.{0,80}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }

    #[test]
    fn uppercase_digits_are_refused_with_their_place() {
        let text = format!("{}F", "0".repeat(63));
        assert_eq!(decode(&text), Err(HexError::Digit { found: 'F', position: 63 }));
    }
}
