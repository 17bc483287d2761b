//! BLAKE3 hashes and the blobs they name.

use crate::{Bytes, HexError, hex};

/// A BLAKE3 hash, 32 bytes. As text: 64 lowercase hexadecimal digits.
///
/// ```
/// use isobit_job::Hash;
///
/// let hash = Hash::of(b"isobit");
/// assert_eq!(hash.to_string().parse(), Ok(hash));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of `data`.
    pub fn of(data: &[u8]) -> Hash {
        Hash(*blake3::hash(data).as_bytes())
    }

    /// A hash computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl std::str::FromStr for Hash {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Hash, HexError> {
        hex::decode(text).map(Hash)
    }
}

impl From<blake3::Hash> for Hash {
    fn from(hash: blake3::Hash) -> Hash {
        Hash(*hash.as_bytes())
    }
}

impl From<Hash> for blake3::Hash {
    fn from(hash: Hash) -> blake3::Hash {
        blake3::Hash::from_bytes(hash.0)
    }
}

hex::serde_as_hex!(Hash, |bytes| Ok::<_, std::convert::Infallible>(Hash(bytes)));

/// Defines a newtype over [`Hash`] for the id of one kind of document.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub crate::Hash);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::HexError;

            fn from_str(text: &str) -> Result<$name, crate::HexError> {
                text.parse().map($name)
            }
        }
    };
}
pub(crate) use id;

/// Bytes known by their hash and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// BLAKE3 hash of the bytes.
    pub hash: Hash,
    /// The number of bytes.
    pub size: Bytes,
}

impl Blob {
    /// The hash and size of `data`.
    pub fn of(data: &[u8]) -> Blob {
        // No slice is longer than `isize::MAX`, and no machine has room for one of 2^53 bytes.
        let size = u64::try_from(data.len()).ok().and_then(|size| Bytes::try_from(size).ok());
        Blob { hash: Hash::of(data), size: size.unwrap_or(Bytes::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_is_the_published_one() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Hash::of(b"").to_string(), empty);
    }

    #[test]
    fn a_hash_is_text_in_json_and_32_bytes_in_postcard() {
        let hash = Hash::of(b"x");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), hash);
        assert_eq!(serde_json::from_reader::<_, Hash>(json.as_bytes()).unwrap(), hash);

        let binary = postcard::to_stdvec(&hash).unwrap();
        assert_eq!(binary, hash.as_bytes());
        assert_eq!(postcard::from_bytes::<Hash>(&binary).unwrap(), hash);
    }

    #[test]
    fn a_blob_with_an_unknown_field_is_refused() {
        let json = format!(r#"{{"hash":"{}","size":1,"name":"x"}}"#, Hash::of(b"x"));
        let error = serde_json::from_str::<Blob>(&json).unwrap_err().to_string();
        assert!(error.contains("unknown field `name`"), "{error}");
    }
}
