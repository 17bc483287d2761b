//! The rules of WebGPU that a guest can break, checked without a device: the same request gets the same
//! answer everywhere, and nothing wrong reaches a driver.

mod commands;
mod shapes;

pub(crate) use commands::check_commands;
pub use shapes::check_entry_point;
pub(crate) use shapes::{Bound, BufferShape, GroupShape, LayoutShape, PipelineShape, bind_group, layout, pipeline};

use crate::ids::Id;
use crate::{BindGroupId, BufferId, ComputePipelineId, DeviceError, LIMITS};

/// The rule that copies, writes and reads of buffers obey.
const WORD: u64 = 4;

/// Looks up the shapes of live resources.
pub(crate) trait Shapes {
    fn buffer(&self, id: BufferId) -> Result<BufferShape, DeviceError>;
    fn bind_group(&self, id: BindGroupId) -> Result<&GroupShape, DeviceError>;
    fn pipeline(&self, id: ComputePipelineId) -> Result<&PipelineShape, DeviceError>;
}

/// The answer to a stale id.
pub(crate) fn stale<I: Id>(_: I) -> DeviceError {
    DeviceError::invalid(format!("this {} was released before", I::NAME))
}

/// The answer to more resources than ids.
pub(crate) fn exhausted<I: Id>(id: Option<I>) -> Result<I, DeviceError> {
    id.ok_or(DeviceError::LimitExceeded {
        limit: "resources",
        maximum: u64::from(u32::MAX),
        requested: u64::from(u32::MAX) + 1,
    })
}

pub(crate) fn at_most(
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

pub(crate) fn multiple_of(what: &str, value: u64, of: u64) -> Result<(), DeviceError> {
    if !value.is_multiple_of(of) {
        return Err(DeviceError::invalid(format!("{what} is {value}, not a multiple of {of}")));
    }
    Ok(())
}

pub(crate) fn buffer_size(size: u64) -> Result<(), DeviceError> {
    if size < WORD {
        return Err(DeviceError::invalid(format!("the buffer's size is {size} bytes; the least is {WORD}")));
    }
    multiple_of("the buffer's size", size, WORD)?;
    at_most("max-buffer-size", LIMITS.max_buffer_size, size)
}

/// A range within a buffer of `size` bytes, starting at a multiple of 4.
pub(crate) fn range(what: &str, size: u64, offset: u64, length: u64) -> Result<(), DeviceError> {
    multiple_of(&format!("the offset of {what}"), offset, WORD)?;
    let end = offset.checked_add(length);
    if end.is_none_or(|end| end > size) {
        return Err(DeviceError::invalid(format!(
            "{what} of {length} bytes at offset {offset} ends beyond the buffer's {size} bytes"
        )));
    }
    Ok(())
}

/// A [`range`] whose length too is a multiple of 4.
pub(crate) fn words(what: &str, size: u64, offset: u64, length: u64) -> Result<(), DeviceError> {
    multiple_of(&format!("the length of {what}"), length, WORD)?;
    range(what, size, offset, length)
}
