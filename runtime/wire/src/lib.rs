//! The protocol between renter and provider: messages, framing, and the order in which they may come. Pure state machines
//! over bytes, with no sockets: `isobit-renter` and `isobit-provider` drive them over QUIC.
//!
//! A connection speaks ALPN [`ALPN`]. The renter opens one bidirectional *control stream* per job; bulk data has
//! unidirectional streams of its own, and control messages never wait behind it.
//!
//! ```text
//! renter                          control stream                        provider
//!   Hello, Submit (may go together)    -->
//!   (before Submit: Terms, if the renter bounds the price)
//!                                      <--   Welcome
//!                                      <--   Prices (if the provider charges)
//!                                      <--   Missing (if blobs are missing)
//!   a stream per missing blob         ==>
//!                                      <--   Queued (any number)
//!                                      <--   Accepted (with the deadline that holds)
//!                                      <--   Running
//!                                      <--   Log, Progress, Output (any number, in any order)
//!                                      <==   a stream per output
//!                                      <--   Restarted (at most once; Log, Progress and Output start again)
//!                                      <--   Unread (if the workload left something unread)
//!                                      <--   Finished
//! ```
//!
//! `Rejected` may come at any time before `Running`, `Faulted` at any time after `Submit` and `Welcome`. Both end the job,
//! as `Finished` does. The renter may send `Cancel` once after `Submit`. The provider answers with `Faulted`, unless its
//! last message was already on the way.
//!
//! A renter that only wants to know sends `Ask` instead of `Submit`, and gets `Quote`.
//!
//! Frames on the control stream, and the header at the start of each data stream, are a length (`u32`, little-endian) and
//! that many bytes of postcard. After a [`BlobHeader`] comes the blob in bao encoding (chunk groups of
//! 16 KiB, without the size in front); after an [`OutputHeader`] come the output's plain bytes. The end of
//! the stream ends the blob or output.
//!
//! ```
//! use isobit_wire::{PROTOCOL, ProviderSession, RenterSession, ToProvider};
//!
//! let (mut renter, mut provider) = (RenterSession::new(), ProviderSession::new());
//! let hello = ToProvider::Hello { protocol: PROTOCOL, software: "isobit 0.1.0".to_owned() };
//! let bytes = renter.send(&hello)?;
//! assert_eq!(provider.receive(&bytes)?, [hello]);
//!
//! // What is out of order does not leave the house, and does not come in.
//! assert!(renter.send(&ToProvider::Cancel).is_err());
//! # Ok::<(), isobit_wire::ProtocolError>(())
//! ```

mod conversation;
mod frame;
mod message;
mod rejection;
mod session;

pub use conversation::ProtocolError;
pub use frame::{Frame, FrameDecoder, FrameError, encode};
pub use message::{
    BlobHeader, MAX_LOG, MAX_PROGRESS, MAX_SOFTWARE, MAX_TEXT, OutputHeader, Quote, ToProvider, ToRenter, cut,
};
pub use rejection::Rejection;
pub use session::{ProviderSession, RenterSession};

/// The TLS application protocol: the wire format's major version.
pub const ALPN: &[u8] = b"isobit/1";

/// The version of the messages. `Hello`, `Welcome` and the rejection for another version have the same encoding in all
/// versions.
pub const PROTOCOL: u16 = 6;

/// The most bytes in a frame of the control stream, without its length: 512 KiB. The longest messages are a job
/// spec (256 KiB of JSON) and a receipt (under 496 KiB, as a test of isobit-job shows).
pub const MAX_FRAME: usize = 512 * 1024;

/// The most bytes in a data stream's header, without its length: 1 KiB.
pub const MAX_HEADER: usize = 1024;
