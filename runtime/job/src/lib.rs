//! The vocabulary of isobit: hashes, keys, job specs, claims and receipts.
//!
//! Everything that gets hashed or signed is defined here, together with its canonical bytes (RFC 8785,
//! the JSON Canonicalization Scheme), so that any other implementation can recompute a job id, a claim id or a
//! receipt. `vectors/` holds published test vectors for that purpose. The crate is pure: no I/O, no
//! async, no clock.
//!
//! A [`JobSpec`] says what to run; its hash, the [`JobId`], names the job. A [`Claim`] says what came
//! out, and holds nothing that may differ between honest runs. A [`Receipt`] is a claim with the
//! observations of one provider, and its [`Bill`] where it has [`Prices`]; signed, it is sent as an [`Envelope`].
//!
//! ```
//! use isobit_job::{Blob, DeviceClass, JobSpec, Limits, Profile};
//!
//! let mut spec = JobSpec {
//!     workload: Blob::of(b"\0asm..."),
//!     inputs: Default::default(),
//!     params: Default::default(),
//!     limits: Limits::default(),
//!     profile: Profile::Dp32,
//!     class: DeviceClass::Base,
//! };
//! spec.params.insert("radius".parse()?, "3".to_owned());
//!
//! let received = JobSpec::from_json(&spec.canonical())?;
//! assert_eq!(received.id(), spec.id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod canonical;
mod claim;
mod class;
mod envelope;
mod fault;
mod hash;
mod hex;
mod key;
mod limits;
mod log;
mod name;
mod price;
mod quantity;
mod receipt;
mod rules;
mod spec;
mod unread;

pub use address::{AddrError, NodeAddr, in_brackets};
pub use claim::{
    Claim, ClaimError, ClaimId, Comparison, Cost, Difference, Ended, LimitName, MAX_GUEST_ERROR, MAX_OUTPUTS, Outcome,
    Trap, TrapCode,
};
pub use class::{DeviceClass, UnknownClass};
pub use envelope::{Envelope, MAX_ENVELOPE_JSON, PAYLOAD_TYPE};
pub use fault::{Fault, FaultKind, MAX_DETAIL};
pub use hash::{Blob, Hash};
pub use hex::HexError;
pub use key::{KeyError, NodeKey, SecretKey, Signature};
pub use limits::{Limits, Profile, UnknownProfile};
pub use log::LogLevel;
pub use name::{MAX_NAME, Name, NameError};
pub use price::{Bill, Currency, Demand, Item, MAX_CURRENCY, Money, PriceError, Prices, Terms, TooExpensive};
pub use quantity::{Amount, Bytes, Fuel, Millis, OutOfRange, QuantityError};
pub use receipt::{Instead, MAX_OBSERVED, Observed, PREDICATE_TYPE, Receipt, ReceiptError};
pub use rules::{KernelRules, Rules, UnknownRules};
pub use spec::{COMPILE_FUEL_PER_BYTE, JobId, JobSpec, MAX_INPUTS, MAX_PARAM, MAX_PARAMS, MAX_SPEC_JSON, SpecError};
pub use unread::Unread;
