//! Submits jobs to providers and checks what comes back.
//!
//! [`Submission`] is a job spec with the files behind it, hashed once; [`submit`] takes it to a provider and
//! brings outputs and receipt home. [`Places`] says where they go: looked at before the job starts, filled when the receipt
//! has been checked against the bytes that arrived.

mod download;
mod error;
mod places;
mod spool;
mod submission;
mod submit;
mod target;
mod upload;
mod verify;

pub use error::{SubmitError, WrongReceipt};
pub use places::{Kept, NotKept, Part, PlaceError, Places};
pub use spool::remove_parts;
pub use submission::{Submission, SubmissionError};
pub use submit::{Delivered, Event, submit};
pub use target::{Destination, Sink, TargetError};
pub use verify::{OutputMismatch, check_outputs};

/// What stands in handshakes as the software's name.
pub const SOFTWARE: &str = concat!("isobit ", env!("CARGO_PKG_VERSION"));
