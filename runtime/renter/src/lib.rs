//! Submits jobs to providers and checks what comes back.
//!
//! [`Submission`] is a job spec with the files behind it, hashed once; [`submit`] takes it to a provider and
//! brings outputs and receipt home. Nothing appears under an output's name before the receipt has been
//! checked against the bytes that arrived.

mod download;
mod error;
mod submission;
mod submit;
mod upload;
mod verify;

pub use download::Part;
pub use error::{SubmitError, WrongReceipt};
pub use submission::{Submission, SubmissionError};
pub use submit::{Delivered, Event, submit};
pub use verify::{OutputMismatch, check_outputs};

/// What stands in handshakes as the software's name.
pub const SOFTWARE: &str = concat!("isobit ", env!("CARGO_PKG_VERSION"));
