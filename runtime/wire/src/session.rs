//! One side of a control stream: messages to bytes and bytes to messages, in legal order only.

use crate::conversation::Conversation;
use crate::{FrameDecoder, PROTOCOL, ProtocolError, ToProvider, ToRenter, encode};

/// The renter's side of one job's control stream.
///
/// After an error of [`RenterSession::receive`], or of [`RenterSession::end`], every further call fails: the stream
/// is to be reset. A message that [`RenterSession::send`] refuses leaves the session as it was.
#[derive(Debug)]
pub struct RenterSession {
    conversation: Conversation,
    decoder: FrameDecoder<ToRenter>,
    failed: bool,
}

/// The provider's side of one job's control stream.
///
/// After an error of [`ProviderSession::receive`], or of [`ProviderSession::end`], every further call fails: the
/// stream is to be reset. A message that [`ProviderSession::send`] refuses leaves the session as it was.
///
/// A `Hello` of another version is handed on like any other; the one answer that can be sent then is
/// [`Rejection::UnsupportedProtocol`](crate::Rejection::UnsupportedProtocol) or another rejection.
#[derive(Debug)]
pub struct ProviderSession {
    conversation: Conversation,
    decoder: FrameDecoder<ToProvider>,
    failed: bool,
}

impl RenterSession {
    /// A session on which nothing was said yet.
    pub fn new() -> RenterSession {
        RenterSession { conversation: Conversation::new(), decoder: FrameDecoder::new(), failed: false }
    }

    /// The bytes to send for `message`.
    ///
    /// # Errors
    /// A message that does not belong here or breaks a bound, and any message after the job's end.
    pub fn send(&mut self, message: &ToProvider) -> Result<Vec<u8>, ProtocolError> {
        if self.failed {
            return Err(ProtocolError::Failed);
        }
        if self.conversation.is_over() {
            let place = self.conversation.place();
            return Err(ProtocolError::OutOfOrder { message: message.name(), place });
        }
        if let ToProvider::Hello { protocol, .. } = message
            && *protocol != PROTOCOL
        {
            return Err(ProtocolError::Version { found: *protocol });
        }
        let bytes = encode(message)?;
        self.conversation.renter_says(message)?;
        Ok(bytes)
    }

    /// The messages that `bytes` complete, in order. The bytes may be split anywhere.
    ///
    /// # Errors
    /// Bytes that are no message, and a message that does not belong here or breaks a bound.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<ToRenter>, ProtocolError> {
        guarded(&mut self.failed, || {
            let mut messages = Vec::new();
            let mut input = bytes;
            while let Some(message) = self.decoder.decode(&mut input)? {
                self.conversation.provider_says(&message)?;
                messages.push(message);
            }
            Ok(messages)
        })
    }

    /// Whether the provider has said its last word.
    pub fn is_over(&self) -> bool {
        self.conversation.is_over()
    }

    /// To be called when the provider has ended the stream.
    ///
    /// # Errors
    /// If that was inside a message or before the job's end.
    pub fn end(&mut self) -> Result<(), ProtocolError> {
        guarded(&mut self.failed, || {
            self.decoder.finish()?;
            let place = self.conversation.place();
            if self.conversation.is_over() { Ok(()) } else { Err(ProtocolError::Left { place }) }
        })
    }
}

impl ProviderSession {
    /// A session on which nothing was said yet.
    pub fn new() -> ProviderSession {
        ProviderSession { conversation: Conversation::new(), decoder: FrameDecoder::new(), failed: false }
    }

    /// The bytes to send for `message`.
    ///
    /// # Errors
    /// A message that does not belong here or breaks a bound, and any message after the job's end.
    pub fn send(&mut self, message: &ToRenter) -> Result<Vec<u8>, ProtocolError> {
        if self.failed {
            return Err(ProtocolError::Failed);
        }
        let bytes = encode(message)?;
        self.conversation.provider_says(message)?;
        Ok(bytes)
    }

    /// The messages that `bytes` complete, in order. The bytes may be split anywhere. What crossed with the job's
    /// end is checked and dropped.
    ///
    /// # Errors
    /// Bytes that are no message, and a message that does not belong here or breaks a bound.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<ToProvider>, ProtocolError> {
        guarded(&mut self.failed, || {
            let mut messages = Vec::new();
            let mut input = bytes;
            while let Some(message) = self.decoder.decode(&mut input)? {
                self.conversation.renter_says(&message)?;
                if !self.conversation.is_over() {
                    messages.push(message);
                }
            }
            Ok(messages)
        })
    }

    /// Whether the provider has said its last word.
    pub fn is_over(&self) -> bool {
        self.conversation.is_over()
    }

    /// To be called when the renter has ended its half of the stream. It may do so only after the job's end.
    ///
    /// # Errors
    /// If that was inside a message or before the job's end: the renter is gone, and the job is to be
    /// given up.
    pub fn end(&mut self) -> Result<(), ProtocolError> {
        guarded(&mut self.failed, || {
            self.decoder.finish()?;
            let place = self.conversation.place();
            if self.conversation.is_over() { Ok(()) } else { Err(ProtocolError::Left { place }) }
        })
    }
}

/// Runs `action` unless the session has failed, and marks it as failed if that fails.
fn guarded<T>(failed: &mut bool, action: impl FnOnce() -> Result<T, ProtocolError>) -> Result<T, ProtocolError> {
    if *failed {
        return Err(ProtocolError::Failed);
    }
    let result = action();
    *failed = result.is_err();
    result
}

impl Default for RenterSession {
    fn default() -> RenterSession {
        RenterSession::new()
    }
}

impl Default for ProviderSession {
    fn default() -> ProviderSession {
        ProviderSession::new()
    }
}
