//! Receipts: an envelope that is read is written as it was; one whose signature holds is checked as if a provider had signed anything.

use ed25519_dalek::Signer as _;
use isobit_job::{Envelope, NodeKey, SecretKey};

/// The key of a provider that signs everything. The bytes are a statement unless they begin as an envelope does.
pub fn check(data: &[u8]) {
    envelope(data);
    // Signing costs most of the time, and what is no JSON is refused in one place.
    if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_err() {
        return;
    }
    let secret = SecretKey::from_bytes(KEY);
    envelope(sign(data, &secret.public()).as_bytes());
}

/// What [`check`] signs with.
pub const KEY: [u8; 32] = [7; 32];

fn envelope(json: &[u8]) {
    let Ok(envelope) = Envelope::from_json(json) else { return };
    let again = Envelope::from_json(envelope.to_json().as_bytes());
    assert_eq!(again.as_ref(), Ok(&envelope));
    assert_eq!(Envelope::from_json(envelope.to_json_pretty().as_bytes()), again);
    let Ok(receipt) = envelope.verify() else { return };
    assert_eq!(receipt.check(), Ok(()));
    assert_eq!((receipt.provider, receipt.claim.job), (envelope.signer(), receipt.spec.id()));
    // What verifies has one form only, so signing it again gives the same bytes.
    let signed = receipt.sign(&SecretKey::from_bytes(KEY));
    assert_eq!(signed.payload(), envelope.payload());
}

/// An envelope around these bytes, by the rules of DSSE.
fn sign(payload: &[u8], public: &NodeKey) -> String {
    const TYPE: &str = "application/vnd.in-toto+json";
    let mut signed = format!("DSSEv1 {} {TYPE} {} ", TYPE.len(), payload.len()).into_bytes();
    signed.extend_from_slice(payload);
    let signature = ed25519_dalek::SigningKey::from_bytes(&KEY).sign(&signed).to_bytes();
    format!(
        r#"{{"payloadType":"{TYPE}","payload":"{}","signatures":[{{"keyid":"{public}","sig":"{}"}}]}}"#,
        base64(payload),
        base64(&signature)
    )
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
