//! Bounded messages with file descriptors over a Unix stream socket.
//!
//! A frame is a `u32` length, a `u8` count of files, and JSON. Descriptors travel as ancillary data of the
//! frame's first byte (`SCM_RIGHTS`) and are handed out in order. Both ends can be blocking or not.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The most bytes of a frame: room for a job spec of 256 KiB and what JSON adds around it.
const MAX_FRAME: usize = 1 << 20;

/// The most files with one frame.
pub(crate) const MAX_FILES: usize = 64;

/// The most received files that may wait for their frames: 256 inputs, workload and code, and those of one frame.
const MAX_WAITING_FILES: usize = 256 + 2 + MAX_FILES;

/// Bytes before the JSON: the length and the count of files.
const HEADER: usize = 5;

/// Why the communication between supervisor and worker failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
pub enum ChannelError {
    #[error("the other process is gone")]
    Closed,
    /// The worker has ended without a last word.
    #[error("the process {0}")]
    Died(String),
    #[error("the socket between supervisor and worker failed: {0}")]
    Io(#[from] io::Error),
    #[error("a message between supervisor and worker is broken: {0}")]
    Broken(&'static str),
}

/// A frame on its way out.
pub(crate) struct Outgoing<'fd> {
    bytes: Vec<u8>,
    sent: usize,
    files: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Outgoing<'fd> {
    pub(crate) fn new(message: &impl Serialize, files: &[BorrowedFd<'fd>]) -> Result<Self, ChannelError> {
        let mut bytes = vec![0; HEADER];
        serde_json::to_writer(&mut bytes, message).map_err(|_| ChannelError::Broken("it cannot be written as JSON"))?;
        let length = bytes.len() - HEADER;
        if length > MAX_FRAME || files.len() > MAX_FILES {
            return Err(ChannelError::Broken("it is too large"));
        }
        let length = u32::try_from(length).map_err(|_| ChannelError::Broken("it is too large"))?;
        let count = u8::try_from(files.len()).map_err(|_| ChannelError::Broken("it has too many files"))?;
        for (place, byte) in bytes.iter_mut().zip(length.to_le_bytes().into_iter().chain([count])) {
            *place = byte;
        }
        Ok(Self { bytes, sent: 0, files: files.to_vec() })
    }

    /// One `sendmsg`. True when all is sent.
    pub(crate) fn step(&mut self, socket: impl AsFd) -> io::Result<bool> {
        let rest = self.bytes.get(self.sent..).unwrap_or_default();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if self.sent == 0 && !self.files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&self.files)) {
            return Err(io::Error::other("no room for file descriptors"));
        }
        self.sent += sendmsg(socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(self.sent >= self.bytes.len())
    }
}

/// What has arrived and is not a whole frame yet.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    files: VecDeque<OwnedFd>,
}

impl Inbox {
    /// One `recvmsg`.
    pub(crate) fn fill(&mut self, socket: impl AsFd) -> Result<(), ChannelError> {
        let mut buffer = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(io::Error::from)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        if received.bytes == 0 {
            return Err(ChannelError::Closed);
        }
        if self.files.len() > MAX_WAITING_FILES {
            return Err(ChannelError::Broken("it has too many files"));
        }
        self.bytes.extend_from_slice(buffer.get(..received.bytes).unwrap_or_default());
        Ok(())
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next<M: DeserializeOwned>(&mut self) -> Result<Option<(M, Vec<OwnedFd>)>, ChannelError> {
        let Some((header, rest)) = self.bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [a, b, c, d, count] = *header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(ChannelError::Broken("it is too large"));
        }
        let Some(json) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(json).map_err(|_| ChannelError::Broken("it is not what was expected"))?;
        let count = usize::from(count);
        if count > self.files.len() {
            return Err(ChannelError::Broken("its files are missing"));
        }
        let files = self.files.drain(..count).collect();
        self.bytes.drain(..HEADER + length);
        Ok(Some((message, files)))
    }
}

/// Sends a frame over a blocking socket.
///
/// # Errors
/// The socket is closed, or the message is too large.
pub fn send(socket: impl AsFd, message: &impl Serialize, files: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
    let mut frame = Outgoing::new(message, files)?;
    while !frame.step(&socket)? {}
    Ok(())
}

/// Receives a frame from a blocking socket. `inbox` keeps what has arrived of the next.
///
/// # Errors
/// The socket is closed, or what arrives is no message.
pub fn receive<M: DeserializeOwned>(socket: impl AsFd, inbox: &mut Inbox) -> Result<(M, Vec<OwnedFd>), ChannelError> {
    loop {
        if let Some(frame) = inbox.next()? {
            return Ok(frame);
        }
        inbox.fill(&socket)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FromWorker, ToWorker};
    use std::io::{Read, Seek, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn files_arrive_with_the_message_they_belong_to() {
        let (left, right) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        send(&left, &ToWorker::Run, &[]).unwrap();
        send(&left, &ToWorker::Files, &[file.as_fd(), left.as_fd()]).unwrap();
        let mut inbox = Inbox::default();
        let (message, files) = receive::<ToWorker>(&right, &mut inbox).unwrap();
        assert!(matches!(message, ToWorker::Run) && files.is_empty());
        let (message, files) = receive::<ToWorker>(&right, &mut inbox).unwrap();
        assert!(matches!(message, ToWorker::Files));
        assert_eq!(files.len(), 2);
        let mut text = String::new();
        std::fs::File::from(files.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
    }

    #[test]
    fn a_large_message_crosses_in_pieces() {
        let (left, right) = UnixStream::pair().unwrap();
        let message = "x".repeat(MAX_FRAME - 100);
        let sender = std::thread::spawn(move || {
            send(&left, &FromWorker::NotAWorkload { message }, &[]).unwrap();
        });
        let (message, _) = receive::<FromWorker>(&right, &mut Inbox::default()).unwrap();
        assert!(matches!(message, FromWorker::NotAWorkload { message } if message.len() == MAX_FRAME - 100));
        sender.join().unwrap();
    }

    #[test]
    fn a_frame_that_claims_to_be_huge_is_refused_before_it_is_read() {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write_all(&[0xff; 32]).unwrap();
        let result = receive::<FromWorker>(&right, &mut Inbox::default());
        assert!(matches!(result, Err(ChannelError::Broken(_))));
    }

    #[test]
    fn a_peer_that_goes_away_is_noticed() {
        let (left, right) = UnixStream::pair().unwrap();
        drop(left);
        assert!(matches!(receive::<FromWorker>(&right, &mut Inbox::default()), Err(ChannelError::Closed)));
    }
}
