//! Framing: a length (`u32`, little-endian), then that many bytes of postcard.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message that is sent in frames. All frames that one side sends on one stream hold messages of one such type.
pub trait Frame: Serialize + DeserializeOwned {
    /// The most bytes in an encoded message, without the length in front.
    const MAX: usize;
}

/// Why bytes are not a frame, or a message does not fit one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum FrameError {
    #[error("a frame of {found} bytes; the most here is {maximum}")]
    TooLong { found: u64, maximum: usize },
    #[error("a frame that is not a message: {message}")]
    Malformed { message: String },
    #[error("a frame with {found} bytes after its message")]
    Trailing { found: usize },
    #[error("the stream ended inside a frame, after {found} of its bytes")]
    Truncated {
        /// Bytes that came, the length included.
        found: usize,
    },
}

/// The frame for `message`.
///
/// # Errors
/// [`FrameError::TooLong`] if the message is over [`Frame::MAX`].
pub fn encode<M: Frame>(message: &M) -> Result<Vec<u8>, FrameError> {
    let malformed = |error: postcard::Error| FrameError::Malformed { message: error.to_string() };
    let mut frame = postcard::to_extend(message, vec![0; LENGTH]).map_err(malformed)?;
    let found = frame.len() - LENGTH;
    let length = u32::try_from(found).ok().filter(|_| found <= M::MAX);
    let length = length.ok_or(FrameError::TooLong { found: found.try_into().unwrap_or(u64::MAX), maximum: M::MAX })?;
    for (byte, value) in frame.iter_mut().zip(length.to_le_bytes()) {
        *byte = value;
    }
    Ok(frame)
}

/// Bytes of the length in front of a frame.
const LENGTH: usize = 4;

/// Decodes a stream of bytes into messages. Buffers at most one frame, and never allocates memory for bytes that have only
/// been announced.
///
/// ```
/// use isobit_wire::{BlobHeader, FrameDecoder, encode};
/// use isobit_job::{Blob, Hash};
///
/// let header = BlobHeader { job: 0, blob: Blob::of(b"data") };
/// let mut stream = encode(&header)?;
/// stream.extend_from_slice(b"what follows");
///
/// let mut decoder = FrameDecoder::<BlobHeader>::new();
/// let mut input = stream.as_slice();
/// assert_eq!(decoder.decode(&mut input)?, Some(header));
/// assert_eq!(input, b"what follows");
/// # Ok::<(), isobit_wire::FrameError>(())
/// ```
#[derive(Debug)]
pub struct FrameDecoder<M> {
    buffer: Vec<u8>,
    message: PhantomData<fn() -> M>,
}

impl<M: Frame> FrameDecoder<M> {
    /// A decoder at the start of a frame.
    pub fn new() -> FrameDecoder<M> {
        FrameDecoder { buffer: Vec::new(), message: PhantomData }
    }

    /// Takes bytes from the front of `input`, up to the end of the current frame, and returns its message; none if `input`
    /// ended first. Call it until it returns none.
    ///
    /// # Errors
    /// The bytes are not a frame. The stream cannot be used after that.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<M>, FrameError> {
        if !self.fill(input, LENGTH) {
            return Ok(None);
        }
        let length = self.buffer.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= M::MAX)
            .ok_or(FrameError::TooLong { found: length.into(), maximum: M::MAX })?;
        if !self.fill(input, LENGTH + length) {
            return Ok(None);
        }
        let frame = self.buffer.get(LENGTH..).unwrap_or_default();
        let (message, rest) =
            postcard::take_from_bytes(frame).map_err(|error| FrameError::Malformed { message: error.to_string() })?;
        if !rest.is_empty() {
            return Err(FrameError::Trailing { found: rest.len() });
        }
        self.buffer.clear();
        // A long frame is rare; an idle stream need not keep its memory.
        self.buffer.shrink_to(KEPT);
        Ok(Some(message))
    }

    /// Moves bytes until the buffer has `wanted`; false if `input` ended first.
    fn fill(&mut self, input: &mut &[u8], wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.buffer.len()).min(input.len());
        if let Some(taken) = input.split_off(..missing) {
            self.buffer.extend_from_slice(taken);
        }
        self.buffer.len() >= wanted
    }

    /// Checks that no frame is incomplete. Call it when the stream has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if the stream ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.buffer.len() {
            0 => Ok(()),
            found => Err(FrameError::Truncated { found }),
        }
    }
}

/// Memory kept between frames: 4 KiB.
const KEPT: usize = 4 * 1024;

impl<M: Frame> Default for FrameDecoder<M> {
    fn default() -> FrameDecoder<M> {
        FrameDecoder::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Frame for Vec<String> {
        const MAX: usize = 300;
    }

    fn decode_all(bytes: &[u8], splits: &[usize]) -> Result<Vec<Vec<String>>, FrameError> {
        let mut decoder = FrameDecoder::new();
        let mut messages = Vec::new();
        let mut rest = bytes;
        for split in splits.iter().copied().chain([usize::MAX]) {
            let mut input = rest.split_off(..split.min(rest.len())).unwrap();
            while let Some(message) = decoder.decode(&mut input)? {
                messages.push(message);
                assert!(decoder.buffer.capacity() <= KEPT);
            }
            assert!(input.is_empty());
        }
        decoder.finish()?;
        Ok(messages)
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_however_the_bytes_are_split(
            messages in prop::collection::vec(prop::collection::vec("[a-z]{0,20}", 0..10), 0..10),
            splits in prop::collection::vec(0usize..40, 0..60),
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            prop_assert_eq!(decode_all(&bytes, &splits), Ok(messages));
        }

        #[test]
        fn any_bytes_give_messages_or_an_error(
            bytes in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..200),
            splits in prop::collection::vec(0usize..40, 0..10),
        ) {
            let whole = decode_all(&bytes, &[]);
            prop_assert_eq!(whole, decode_all(&bytes, &splits));
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_at_its_length() {
        let mut decoder = FrameDecoder::<Vec<String>>::new();
        let mut input = &[0x2d, 0x01, 0, 0][..];
        assert_eq!(decoder.decode(&mut input), Err(FrameError::TooLong { found: 301, maximum: 300 }));
        let mut decoder = FrameDecoder::<Vec<String>>::new();
        assert_eq!(
            decoder.decode(&mut [0xff; 4].as_slice()),
            Err(FrameError::TooLong { found: 4_294_967_295, maximum: 300 })
        );
        let long = vec!["x".repeat(300)];
        assert_eq!(encode(&long), Err(FrameError::TooLong { found: 303, maximum: 300 }));
    }

    #[test]
    fn bytes_after_a_frames_message_are_refused() {
        let mut decoder = FrameDecoder::<Vec<String>>::new();
        assert_eq!(decoder.decode(&mut [2, 0, 0, 0, 0, 7].as_slice()), Err(FrameError::Trailing { found: 1 }));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_truncated() {
        let mut decoder = FrameDecoder::<Vec<String>>::new();
        assert_eq!(decoder.finish(), Ok(()));
        assert_eq!(decoder.decode(&mut [2, 0, 0, 0, 0].as_slice()), Ok(None));
        assert_eq!(decoder.finish(), Err(FrameError::Truncated { found: 5 }));
    }
}
