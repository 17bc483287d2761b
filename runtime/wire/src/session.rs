//! One side of a control stream: messages to bytes and bytes to messages, in legal order only.

use crate::conversation::Conversation;
use crate::{FrameDecoder, PROTOCOL, ProtocolError, ToProvider, ToRenter, encode};

/// The renter's side of one job's control stream.
///
/// After an error of [`RenterSession::receive`] or [`RenterSession::end`], every further call fails, and the stream has to
/// be reset. A message that [`RenterSession::send`] refuses leaves the session as it was.
#[derive(Debug)]
pub struct RenterSession {
    conversation: Conversation,
    decoder: FrameDecoder<ToRenter>,
    failed: bool,
}

/// The provider's side of one job's control stream.
///
/// After an error of [`ProviderSession::receive`] or [`ProviderSession::end`], every further call fails, and the stream has
/// to be reset. A message that [`ProviderSession::send`] refuses leaves the session as it was.
///
/// A `Hello` of another version is returned like any other message. The only answer that can be sent to it is
/// [`Rejection::UnsupportedProtocol`](crate::Rejection::UnsupportedProtocol) or another rejection.
#[derive(Debug)]
pub struct ProviderSession {
    conversation: Conversation,
    decoder: FrameDecoder<ToProvider>,
    failed: bool,
}

impl RenterSession {
    /// A session before its first message.
    pub fn new() -> RenterSession {
        RenterSession { conversation: Conversation::new(), decoder: FrameDecoder::new(), failed: false }
    }

    /// The bytes to send for `message`.
    ///
    /// # Errors
    /// The message is out of order, breaks a bound, or comes after the job's end; or the session has failed.
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
    /// The bytes are not a message, or a message is out of order or breaks a bound; or the session has failed.
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

    /// Whether the provider has sent its last message.
    pub fn is_over(&self) -> bool {
        self.conversation.is_over()
    }

    /// Checks that the job has ended. Call it when the provider has ended the stream.
    ///
    /// # Errors
    /// The stream ended inside a message or before the job's end; or the session has failed.
    pub fn end(&mut self) -> Result<(), ProtocolError> {
        guarded(&mut self.failed, || {
            self.decoder.finish()?;
            let place = self.conversation.place();
            if self.conversation.is_over() { Ok(()) } else { Err(ProtocolError::Left { place }) }
        })
    }
}

impl ProviderSession {
    /// A session before its first message.
    pub fn new() -> ProviderSession {
        ProviderSession { conversation: Conversation::new(), decoder: FrameDecoder::new(), failed: false }
    }

    /// The bytes to send for `message`.
    ///
    /// # Errors
    /// The message is out of order, breaks a bound, or comes after the job's end; or the session has failed.
    pub fn send(&mut self, message: &ToRenter) -> Result<Vec<u8>, ProtocolError> {
        if self.failed {
            return Err(ProtocolError::Failed);
        }
        let bytes = encode(message)?;
        self.conversation.provider_says(message)?;
        Ok(bytes)
    }

    /// The messages that `bytes` complete, in order. The bytes may be split anywhere. Messages that
    /// crossed with the job's last message are checked and dropped.
    ///
    /// # Errors
    /// The bytes are not a message, or a message is out of order or breaks a bound; or the session has failed.
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

    /// Whether the provider has sent its last message.
    pub fn is_over(&self) -> bool {
        self.conversation.is_over()
    }

    /// Checks that the job has ended. Call it when the renter has ended its half of the stream, which it may do only then.
    ///
    /// # Errors
    /// The stream ended inside a message or before the job's end: the renter is gone, and the job has to be given up. Or the
    /// session has failed.
    pub fn end(&mut self) -> Result<(), ProtocolError> {
        guarded(&mut self.failed, || {
            self.decoder.finish()?;
            let place = self.conversation.place();
            if self.conversation.is_over() { Ok(()) } else { Err(ProtocolError::Left { place }) }
        })
    }
}

/// Runs `action` unless the session has failed, and marks the session as failed if `action` fails.
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
