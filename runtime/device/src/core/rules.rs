//! The rules of WebGPU for sizes, offsets and limits. The same request has the same result on every device.

use crate::{DeviceError, DeviceLimits};

/// The alignment of copies, writes and reads of buffers, in bytes.
const WORD: u64 = 4;

pub(super) fn at_most(
    limit: &'static str,
    maximum: impl Into<u64>,
    requested: impl Into<u64>,
) -> Result<(), DeviceError> {
    let (maximum, requested) = (maximum.into(), requested.into());
    if requested > maximum {
        return Err(DeviceError::LimitExceeded { limit, maximum, requested });
    }
    Ok(())
}

pub(super) fn multiple_of(what: &str, value: u64, of: u64) -> Result<(), DeviceError> {
    if !value.is_multiple_of(of) {
        return Err(DeviceError::invalid(format!("{what} is {value}, not a multiple of {of}")));
    }
    Ok(())
}

pub(super) fn buffer_size(size: u64, limits: &DeviceLimits) -> Result<(), DeviceError> {
    if size < WORD {
        return Err(DeviceError::invalid(format!("the buffer's size is {size} bytes; the least is {WORD}")));
    }
    multiple_of("the buffer's size", size, WORD)?;
    at_most("max-buffer-size", limits.max_buffer_size, size)
}

/// Checks that a range is within a buffer of `size` bytes and starts at a multiple of 4.
pub(super) fn range(what: &str, size: u64, offset: u64, length: u64) -> Result<(), DeviceError> {
    multiple_of(&format!("the offset of {what}"), offset, WORD)?;
    let end = offset.checked_add(length);
    if end.is_none_or(|end| end > size) {
        return Err(DeviceError::invalid(format!(
            "{what} of {length} bytes at offset {offset} ends beyond the buffer's {size} bytes"
        )));
    }
    Ok(())
}

/// Like [`range`], and checks that the length is a multiple of 4.
pub(super) fn words(what: &str, size: u64, offset: u64, length: u64) -> Result<(), DeviceError> {
    multiple_of(&format!("the length of {what}"), length, WORD)?;
    range(what, size, offset, length)
}
