//! Ed25519 keys: the identity of a node and the signatures it gives.

use ed25519_dalek::Signer as _;

use crate::{HexError, hex};

/// The bytes before the 32 key bytes in a DER SubjectPublicKeyInfo for Ed25519 (RFC 8410, section 4):
/// SEQUENCE(42) { SEQUENCE(5) { OID 1.3.101.112 }, BIT STRING(33) { no unused bits, key } }.
const SPKI_PREFIX: [u8; 12] = [0x30, 42, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x03, 33, 0];

/// The bytes before the 32 seed bytes in a DER PKCS#8 private key for Ed25519 (RFC 8410, section 7):
/// SEQUENCE(46) { INTEGER 0, SEQUENCE(5) { OID 1.3.101.112 }, OCTET STRING(34) { OCTET STRING(32) { seed } } }.
const PKCS8_PREFIX: [u8; 16] = [0x30, 46, 0x02, 1, 0, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x04, 34, 0x04, 32];

/// Why bytes or text are not a key, or a signature does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum KeyError {
    #[error("not a key: {0}")]
    Hex(#[from] HexError),
    /// The bytes are not a point of the curve, or are a point of small order, for which anybody can sign.
    #[error("not a key: the 32 bytes are not an Ed25519 public key")]
    NotAPoint,
    #[error("not a key: expected a 44-byte Ed25519 SubjectPublicKeyInfo, found {found} other bytes")]
    NotSpki { found: usize },
    #[error("the signature is not by key {key} over this content")]
    BadSignature { key: NodeKey },
}

/// A node's Ed25519 public key, which is its identity. As text: 64 lowercase hexadecimal digits.
///
/// ```
/// use isobit_job::SecretKey;
///
/// let secret = SecretKey::generate();
/// let key = secret.public();
/// key.verify(b"message", &secret.sign(b"message"))?;
/// assert!(key.verify(b"other", &secret.sign(b"message")).is_err());
/// # Ok::<(), isobit_job::KeyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey([u8; 32]);

impl NodeKey {
    /// A key received from elsewhere.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] if the bytes are not a point of the curve, or are one of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<NodeKey, KeyError> {
        match ed25519_dalek::VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(NodeKey(bytes)),
            _ => Err(KeyError::NotAPoint),
        }
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks that this node signed `message`. The strict rules apply, under which nobody can alter a valid signature into
    /// another valid one.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`] if it did not.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        ed25519_dalek::VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify_strict(message, &signature))
            .map_err(|_| KeyError::BadSignature { key: *self })
    }

    /// The key as a DER SubjectPublicKeyInfo: what TLS sends as a raw public key (RFC 7250).
    pub fn to_spki_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    /// Reads what [`NodeKey::to_spki_der`] writes, and nothing else.
    ///
    /// # Errors
    /// [`KeyError::NotSpki`] if the bytes have another form or length, [`KeyError::NotAPoint`] as in [`NodeKey::from_bytes`].
    pub fn from_spki_der(der: &[u8]) -> Result<NodeKey, KeyError> {
        let key = der.strip_prefix(&SPKI_PREFIX).and_then(|key| <[u8; 32]>::try_from(key).ok());
        NodeKey::from_bytes(key.ok_or(KeyError::NotSpki { found: der.len() })?)
    }
}

impl std::fmt::Display for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKey({self})")
    }
}

impl std::str::FromStr for NodeKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<NodeKey, KeyError> {
        NodeKey::from_bytes(hex::decode(text)?)
    }
}

hex::serde_as_hex!(NodeKey, NodeKey::from_bytes);

/// The secret half of a node's key. Never shown by `Debug`; wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// A new key from the system's randomness.
    pub fn generate() -> SecretKey {
        SecretKey(ed25519_dalek::SigningKey::generate(&mut rand_core::OsRng))
    }

    /// The key derived from a seed of 32 secret bytes. Every seed gives a key.
    pub fn from_bytes(seed: [u8; 32]) -> SecretKey {
        SecretKey(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The 32-byte seed. Store it where only its owner can read it.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The seed as 64 lowercase hexadecimal digits, for a key file; [`str::parse`] reads it back.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.as_bytes())
    }

    /// The key as a DER PKCS#8 document (RFC 8410), for TLS libraries.
    pub fn to_pkcs8_der(&self) -> Vec<u8> {
        [PKCS8_PREFIX.as_slice(), self.0.as_bytes()].concat()
    }

    /// The public half.
    pub fn public(&self) -> NodeKey {
        NodeKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`. The same message always gets the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

impl std::str::FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<SecretKey, KeyError> {
        // An error of `hex::decode` shows at most one character, and never one of `0-9a-f`.
        Ok(SecretKey::from_bytes(hex::decode(text)?))
    }
}

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature received from elsewhere.
    pub const fn from_bytes(bytes: [u8; 64]) -> Signature {
        Signature(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({})", hex::encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_and_signatures_match_rfc_8032_test_1() {
        let secret: SecretKey = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse().unwrap();
        assert_eq!(secret.public().to_string(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = secret.sign(b"");
        assert_eq!(
            hex::encode(signature.as_bytes()),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b"
        );
        secret.public().verify(b"", &signature).unwrap();
    }

    #[test]
    fn debug_never_shows_the_secret() {
        let secret = SecretKey::from_bytes([7; 32]);
        let shown = format!("{secret:?}");
        assert!(!shown.contains(&secret.to_hex()) && !shown.contains("[7, 7"), "{shown}");
        assert!(shown.contains(&secret.public().to_string()));
    }

    #[test]
    fn der_documents_agree_with_the_pkcs8_crate() {
        use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePublicKey};

        let secret = SecretKey::from_bytes([3; 32]);
        let read = ed25519_dalek::SigningKey::from_pkcs8_der(&secret.to_pkcs8_der()).unwrap();
        assert_eq!(read.to_bytes(), secret.to_bytes());
        let spki = secret.public().to_spki_der();
        assert_eq!(read.verifying_key().to_public_key_der().unwrap().as_bytes(), spki);
        assert_eq!(NodeKey::from_spki_der(&spki), Ok(secret.public()));
    }

    #[test]
    fn a_key_that_anybody_can_sign_for_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(NodeKey::from_bytes(identity), Err(KeyError::NotAPoint));
        assert_eq!(NodeKey::from_bytes([0; 32]), Err(KeyError::NotAPoint));
        let json = format!("\"{}\"", "0".repeat(64));
        assert!(serde_json::from_str::<NodeKey>(&json).is_err());
        assert!(postcard::from_bytes::<NodeKey>(&[0; 32]).is_err());
    }

    #[test]
    fn a_raw_public_key_of_another_kind_is_refused() {
        let spki = SecretKey::from_bytes([3; 32]).public().to_spki_der();
        assert_eq!(NodeKey::from_spki_der(&spki[1..]), Err(KeyError::NotSpki { found: 43 }));
        assert_eq!(NodeKey::from_spki_der(&[&spki[..], &[0]].concat()), Err(KeyError::NotSpki { found: 45 }));
    }

    proptest! {
        #[test]
        fn a_signature_holds_for_one_message_and_one_key(
            seed: [u8; 32], other: [u8; 32], message: Vec<u8>, bit in 0usize..512,
        ) {
            prop_assume!(seed != other);
            let secret = SecretKey::from_bytes(seed);
            let signature = secret.sign(&message);
            prop_assert!(secret.public().verify(&message, &signature).is_ok());
            prop_assert!(SecretKey::from_bytes(other).public().verify(&message, &signature).is_err());

            let mut altered = *signature.as_bytes();
            altered[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(secret.public().verify(&message, &Signature::from_bytes(altered)).is_err());
            prop_assert!(secret.public().verify(&[&message[..], b"x"].concat(), &signature).is_err());
        }
    }
}
