//! What a renter bears from a provider, where it is stated: `isobit limits` lists it.

pub use crate::patience::{
    ANSWER as ANSWER_TIME, ARRIVAL as OUTPUT_STALL, GRACE as DEADLINE_GRACE, MAX_LINES, MAX_LOG_BYTES,
    STALL as UPLOAD_STALL, WELCOME as WELCOME_TIME,
};
