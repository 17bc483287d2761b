//! Submits jobs to providers and checks what comes back.
//!
//! [`Submission`] is a job spec with the files behind it, hashed once; [`submit`] sends it to a provider and
//! receives outputs and receipt. [`quote()`] asks providers beforehand. [`Places`] says where they go: it is checked before the job starts, and filled when the
//! receipt has been checked against the bytes that arrived.

mod destination;
mod download;
mod error;
pub mod limits;
mod patience;
mod places;
mod quote;
mod spool;
mod submission;
mod submit;
mod upload;
mod verify;

pub use destination::{Destination, Sink, TargetError};
pub use error::{SubmitError, WrongReceipt};
pub use places::{Kept, NotKept, Part, PlaceError, Places};
pub use quote::quote;
pub use spool::remove_parts;
pub use submission::{Submission, SubmissionError};
pub use submit::{Delivered, Event, submit};
pub use verify::{OutputMismatch, check_outputs};

/// This software's name and version, for handshakes and receipts.
pub const SOFTWARE: &str = concat!("isobit ", env!("CARGO_PKG_VERSION"));
