//! Bytes read from a device, in the memory that the device wrote them to.

use std::fmt;
use std::ops::{Deref, Range};

/// Bytes of device memory, mapped. Owns what it needs, so it may outlive the device and move between threads; drop it
/// soon, see [`crate::Device::read`].
#[derive(Default)]
pub struct Readback {
    // Order matters: the view goes before what keeps the memory mapped.
    bytes: Bytes,
    range: Range<usize>,
    _keeper: Option<Box<dyn Send + Sync>>,
}

#[derive(Default)]
enum Bytes {
    #[default]
    None,
    Mapped(wgpu::BufferView),
    Copied(Vec<u8>),
}

impl Readback {
    /// `range` of `view`, which stays mapped until `keeper` is dropped.
    pub(crate) fn new(view: wgpu::BufferView, range: Range<usize>, keeper: Box<dyn Send + Sync>) -> Self {
        Self { bytes: Bytes::Mapped(view), range, _keeper: Some(keeper) }
    }

    /// Bytes of their own.
    pub(crate) fn copied(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), bytes: Bytes::Copied(bytes), _keeper: None }
    }
}

impl AsRef<[u8]> for Readback {
    fn as_ref(&self) -> &[u8] {
        let bytes: &[u8] = match &self.bytes {
            Bytes::None => &[],
            Bytes::Mapped(view) => view,
            Bytes::Copied(bytes) => bytes,
        };
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
