//! The limits that renters and strangers meet at a provider, where they are stated: `isobit limits` lists them.

pub use crate::connections::{MAX_CONNECTIONS, MAX_PER_ADDRESS, MAX_PER_KEY};
pub use crate::handshakes::{
    MAX_PER_NETWORK as MAX_HANDSHAKES_PER_ADDRESS, MAX_PROVED as MAX_HANDSHAKES, MAX_UNPROVED as VALIDATE_ABOVE,
};
pub use crate::job::{GRACE as DEADLINE_GRACE, HANDSHAKE as SUBMIT_TIME, SEND as SEND_TIME};
pub use crate::log_limit::{BURST as LOG_BURST, RATE as LOG_RATE};
pub use crate::relay::STALL as OUTPUT_STALL;
pub use crate::server::{HANDSHAKE as HANDSHAKE_TIME, HEADER as HEADER_TIME, JOBLESS as JOBLESS_TIME};
pub use crate::upload::{
    MAX_UPLOADING, MAX_UPLOADING_PER_KEY, MAX_UPLOADING_PER_NETWORK as MAX_UPLOADING_PER_ADDRESS,
    SLOWEST as SLOWEST_UPLOAD, STALL as UPLOAD_STALL,
};
pub use crate::worker::{
    MAX_FILE as MAX_WORKER_FILE, MAX_STDERR as MAX_WORKER_STDERR, OWN_MEMORY as WORKER_MEMORY, START as WORKER_START,
};
