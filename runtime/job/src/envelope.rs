//! The signed form of a receipt: a DSSE envelope around an in-toto statement, so that existing verifiers can read it.
//!
//! DSSE: <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>. Statement:
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>. The payload is canonical JSON.
//! Verifying requires that: the signed bytes then hold nothing that a reader does not understand.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::{Claim, Hash, NodeKey, PREDICATE_TYPE, Receipt, ReceiptError, SecretKey, Signature, canonical};

/// The DSSE payload type of receipts.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The most bytes an envelope has as JSON: 1 MiB. The envelope of every valid receipt stays under half of that.
pub const MAX_ENVELOPE_JSON: usize = 1024 * 1024;
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A signed receipt, not yet verified.
///
/// ```
/// # use isobit_job::*;
/// # let key = SecretKey::from_bytes([1; 32]);
/// # let spec = JobSpec {
/// #     workload: Blob::of(b""), inputs: Default::default(), params: Default::default(),
/// #     limits: Limits::default(), profile: Profile::Dp32, class: DeviceClass::Base,
/// # };
/// # let claim = Claim {
/// #     job: spec.id(), rules: Rules::of(Profile::Dp32, 2, 1), outcome: Outcome::Completed,
/// #     outputs: Default::default(), cost: Cost::default(), trace: None,
/// # };
/// # let observed = Observed {
/// #     device: "d".into(), driver: "d".into(), backend: "vulkan".into(), software: "isobit 0.1.0".into(),
/// #     started_unix_ms: Millis::ZERO, queue_ms: Millis::ZERO, prepare_ms: Millis::ZERO, run_ms: Millis::ZERO,
/// #     instead_of: None,
/// # };
/// let receipt = Receipt { spec, claim, observed, provider: key.public(), bill: None };
/// let json = receipt.sign(&key).to_json_pretty();
///
/// let envelope = Envelope::from_json(json.as_bytes())?;
/// assert_eq!(envelope.verify()?, receipt);
/// # Ok::<(), ReceiptError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signer: NodeKey,
    signature: Signature,
}

/// The JSON form of the envelope. Unknown fields are allowed, as DSSE requires: none of them is signed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    payload_type: String,
    payload: String,
    signatures: Vec<SignatureDocument>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct SignatureDocument {
    keyid: String,
    sig: String,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Receipt,
}

/// The types of a statement. They are read first: the error for another type of statement then names that type.
#[derive(serde::Deserialize)]
struct StatementTypes {
    #[serde(rename = "_type")]
    statement_type: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    blake3: Hash,
}

impl Statement {
    fn of(receipt: Receipt) -> Statement {
        Statement {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: subjects(&receipt.claim),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: receipt,
        }
    }
}

/// The subjects of a statement: the claim, then each output in the order of names.
fn subjects(claim: &Claim) -> Vec<Subject> {
    let subject = |name: String, blake3| Subject { name, digest: Digest { blake3 } };
    let outputs = claim.outputs.iter().map(|(name, blob)| subject(format!("output/{name}"), blob.hash));
    std::iter::once(subject("claim".to_owned(), claim.id().0)).chain(outputs).collect()
}

/// The bytes that DSSE signs: the "pre-authentication encoding" of type and payload.
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Decodes base64 in the standard or the URL-safe alphabet. DSSE requires readers to accept both.
fn from_base64(text: &str, field: &'static str) -> Result<Vec<u8>, ReceiptError> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| ReceiptError::Base64 { field })
}

impl Envelope {
    pub(crate) fn seal(receipt: &Receipt, key: &SecretKey) -> Envelope {
        let payload = canonical::to_vec(&Statement::of(receipt.clone()));
        let signature = key.sign(&pre_authentication_encoding(&payload));
        Envelope { payload, signer: key.public(), signature }
    }

    /// Reads an envelope. Trust nothing in it before [`Envelope::verify`].
    ///
    /// # Errors
    /// The JSON is over [`MAX_ENVELOPE_JSON`], or is not a DSSE envelope of an in-toto statement with one Ed25519 signature.
    pub fn from_json(json: &[u8]) -> Result<Envelope, ReceiptError> {
        if json.len() > MAX_ENVELOPE_JSON {
            return Err(ReceiptError::TooLarge { found: json.len() });
        }
        let document: Document =
            serde_json::from_slice(json).map_err(|error| ReceiptError::Envelope { message: error.to_string() })?;
        if document.payload_type != PAYLOAD_TYPE {
            return Err(ReceiptError::PayloadType { found: document.payload_type });
        }
        let [signature] = document.signatures.as_slice() else {
            return Err(ReceiptError::SignatureCount { found: document.signatures.len() });
        };
        let bytes = from_base64(&signature.sig, "sig")?;
        let found = bytes.len();
        Ok(Envelope {
            payload: from_base64(&document.payload, "payload")?,
            signer: signature.keyid.parse().map_err(ReceiptError::KeyId)?,
            signature: Signature::from_bytes(bytes.try_into().map_err(|_| ReceiptError::SignatureLength { found })?),
        })
    }

    /// The envelope as JSON on one line, as it is sent.
    pub fn to_json(&self) -> String {
        let json = canonical::to_vec(&self.document());
        String::from_utf8_lossy(&json).into_owned()
    }

    /// The envelope as indented JSON with a newline at the end, for a file.
    pub fn to_json_pretty(&self) -> String {
        let Document { payload_type, payload, signatures } = self.document();
        let signatures: Vec<_> = signatures
            .iter()
            .map(|signature| serde_json::json!({ "keyid": signature.keyid, "sig": signature.sig }))
            .collect();
        let document = serde_json::json!({ "payloadType": payload_type, "payload": payload, "signatures": signatures });
        format!("{document:#}\n")
    }

    fn document(&self) -> Document {
        Document {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(&self.payload),
            signatures: vec![SignatureDocument {
                keyid: self.signer.to_string(),
                sig: STANDARD.encode(self.signature.as_bytes()),
            }],
        }
    }

    /// The signed bytes: an in-toto statement in canonical JSON.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The key that is said to have signed.
    pub fn signer(&self) -> NodeKey {
        self.signer
    }

    /// Checks everything that can be checked without running the job: the signature, that the provider made it, and that
    /// spec, claim and subjects fit each other.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify(&self) -> Result<Receipt, ReceiptError> {
        let signer = self.signer;
        signer
            .verify(&pre_authentication_encoding(&self.payload), &self.signature)
            .map_err(|_| ReceiptError::BadSignature { signer })?;

        let unreadable = |error: serde_json::Error| ReceiptError::Statement { message: error.to_string() };
        let types: StatementTypes = serde_json::from_slice(&self.payload).map_err(unreadable)?;
        for (found, expected) in [(types.statement_type, STATEMENT_TYPE), (types.predicate_type, PREDICATE_TYPE)] {
            if found != expected {
                return Err(ReceiptError::StatementType { found, expected });
            }
        }
        let statement: Statement = serde_json::from_slice(&self.payload).map_err(unreadable)?;
        let receipt = &statement.predicate;
        if receipt.provider != signer {
            return Err(ReceiptError::WrongSigner { signer, provider: receipt.provider });
        }
        receipt.check()?;
        if statement.subject != subjects(&receipt.claim) {
            return Err(ReceiptError::Subjects);
        }
        if canonical::to_vec(&statement) != self.payload {
            return Err(ReceiptError::NotCanonical);
        }
        Ok(statement.predicate)
    }
}
