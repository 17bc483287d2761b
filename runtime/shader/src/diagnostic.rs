//! What is wrong with a kernel, and where.

use std::borrow::Cow;
use std::fmt;

use naga::valid::ValidationError;
use naga::{Span, WithSpan};

use crate::dp32;

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
        Self::from_span(WithSpan::new(Message::new(message.to_string())).with_span(span, "here"), source)
    }

    /// A problem that shows in several places, the first of which is the location.
    pub(crate) fn refused(problem: &Problem, labels: &[Label], source: &str) -> Self {
        let help = Message::new(format!("help: {}", problem.help));
        let message = Message { text: problem.message.to_owned(), note: Some(Box::new(help)) };
        let error = labels.iter().fold(WithSpan::new(message), |error, label| {
            let places_already = error.spans().any(|(span, _)| *span == label.span);
            if places_already { error } else { error.with_span(label.span, label.text) }
        });
        Self::from_span(error, source)
    }

    pub(crate) fn from_parse(error: &naga::front::wgsl::ParseError, source: &str) -> Self {
        let mut message = printable(&error.emit_to_string(&without_controls(source)));
        if let Some(advice) = dp32::advice(error.message()) {
            message += &format!("\n  = help: {advice}");
        }
        Self { message, location: error.location(source).map(Into::into) }
    }

    pub(crate) fn from_validation(error: WithSpan<ValidationError>, source: &str) -> Self {
        Self::from_span(error, source)
    }

    fn from_span<E: std::error::Error>(error: WithSpan<E>, source: &str) -> Self {
        Self {
            message: printable(&error.emit_to_string(&without_controls(source))),
            location: error.location(source).map(Into::into),
        }
    }
}

/// Why something is refused, and what to write instead.
pub(crate) struct Problem {
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

/// A marked place in the source.
pub(crate) struct Label {
    span: Span,
    text: &'static str,
}

impl Label {
    pub(crate) fn new(span: Span, text: &'static str) -> Self {
        Self { span, text }
    }
}

/// The longest line of source in a message, in characters.
const MAX_SOURCE_LINE: usize = 160;

/// The longest other line of a message.
const MAX_LINE: usize = 1000;

/// The most lines of a message.
const MAX_LINES: usize = 200;

/// Makes a drawn message fit for a terminal: no control characters, nothing that turns the direction of text,
/// and of long lines of source only the part around the caret.
fn printable(message: &str) -> String {
    let lines: Vec<&str> = message.lines().take(MAX_LINES).collect();
    let mut printed = String::new();
    for (index, line) in lines.iter().enumerate() {
        let gutter = line.chars().take_while(|&character| character != '│').count() + 2;
        let is_source = gutter <= line.chars().count().min(16);
        let shown = if is_source {
            let carets =
                lines.iter().skip(index).take(3).filter_map(|line| line.find('^').and_then(|at| line.get(..at)));
            let caret = carets.map(|left| left.chars().count()).min().unwrap_or(0);
            let from = caret.saturating_sub(MAX_SOURCE_LINE * 3 / 4).max(gutter);
            // A caret's label may be long; the line itself is not needed in full.
            from..from + if line.contains('^') { MAX_LINE } else { MAX_SOURCE_LINE }
        } else {
            0..MAX_LINE
        };
        for (column, character) in line.chars().enumerate() {
            if shown.contains(&column) || is_source && column < gutter {
                printed.push(if is_printable(character) { character } else { '\u{fffd}' });
            }
        }
        printed.push('\n');
    }
    printed.truncate(printed.trim_end().len());
    printed
}

/// The source with something of the same length in place of each control character. naga's renderer would replace them,
/// too, but takes time by the square of their number.
fn without_controls(source: &str) -> Cow<'_, str> {
    let is_command = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !source.contains(is_command) {
        return Cow::Borrowed(source);
    }
    let replace = |character: char| match character {
        '\r' => ' ',
        _ if !is_command(character) => character,
        _ if character.len_utf8() == 1 => '?',
        _ => '\u{b7}',
    };
    Cow::Owned(source.chars().map(replace).collect())
}

fn is_printable(character: char) -> bool {
    let turns_text = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character == '\t' || !(character.is_control() || turns_text)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// A plain sentence as an error, so that naga's renderer can draw it.
#[derive(Debug)]
struct Message {
    text: String,
    note: Option<Box<Message>>,
}

impl Message {
    fn new(text: String) -> Self {
        Self { text, note: None }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Message {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.note.as_deref().map(|note| note as _)
    }
}
