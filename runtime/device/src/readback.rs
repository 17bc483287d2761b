//! Bytes read from a device, in the memory that the device wrote them to.

use std::fmt;
use std::ops::{Deref, Range};

/// Mapped bytes of device memory. It may outlive the device and move between threads. Drop it soon, see
/// [`crate::Gpu::read`].
#[derive(Default)]
pub struct Readback {
    /// None: no bytes.
    bytes: Option<Box<dyn Mapped>>,
    range: Range<usize>,
}

impl Readback {
    /// A readback of `range` of `bytes`.
    pub(crate) fn new(bytes: impl Mapped + 'static, range: Range<usize>) -> Self {
        Self { bytes: Some(Box::new(bytes)), range }
    }
}

impl AsRef<[u8]> for Readback {
    fn as_ref(&self) -> &[u8] {
        let bytes: &[u8] = self.bytes.as_ref().map_or(&[], |bytes| bytes);
        bytes.get(self.range.clone()).unwrap_or_default()
    }
}

impl Deref for Readback {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl fmt::Debug for Readback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Readback({} bytes)", self.len())
    }
}

/// Bytes that a backend reads from its memory, with everything that they need to stay valid.
pub(crate) trait Mapped: Deref<Target = [u8]> + Send + Sync {}

impl<T: Deref<Target = [u8]> + Send + Sync> Mapped for T {}
