//! What is wrong with a kernel, and where.

use std::fmt;

use naga::valid::ValidationError;
use naga::{Span, WithSpan};

/// A place in WGSL source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// Line, from 1.
    pub line: u32,
    /// Column in the line, in UTF-8 bytes, from 1.
    pub column: u32,
    /// Byte offset in the source, from 0.
    pub offset: u32,
    /// Length of the marked span in bytes.
    pub length: u32,
}

impl From<naga::SourceLocation> for SourceLocation {
    fn from(location: naga::SourceLocation) -> Self {
        Self {
            line: location.line_number,
            column: location.line_position,
            offset: location.offset,
            length: location.length,
        }
    }
}

/// A broken rule of WGSL or WebGPU.
///
/// For WGSL the message shows the source line with a caret below it. It is the same on every
/// device, since a guest can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where in the WGSL source, if it is about one place in it.
    pub location: Option<SourceLocation>,
}

impl Diagnostic {
    /// A diagnostic that is not about one place in the source.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), location: None }
    }

    /// `message` about `span`, drawn with its source line.
    pub(crate) fn at(message: impl fmt::Display, span: Span, source: &str) -> Self {
        // ValidationError has no free-form variant, so the span travels with an error type of our own.
        Self::from_span(WithSpan::new(Message(message.to_string())).with_span(span, "here"), source)
    }

    pub(crate) fn from_parse(error: &naga::front::wgsl::ParseError, source: &str) -> Self {
        Self { message: error.emit_to_string(source), location: error.location(source).map(Into::into) }
    }

    pub(crate) fn from_validation(error: WithSpan<ValidationError>, source: &str) -> Self {
        Self::from_span(error, source)
    }

    fn from_span<E: std::error::Error>(error: WithSpan<E>, source: &str) -> Self {
        Self { message: error.emit_to_string(source), location: error.location(source).map(Into::into) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// A plain sentence as an error, so that naga's renderer can draw it.
#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Message {}
