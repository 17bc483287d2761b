//! What is wrong with a kernel, and where.

use std::borrow::Cow;
use std::fmt;

use isobit_job::{Fault, FaultKind};
use naga::WithSpan;

use crate::refusal::Refusal;

/// A place in WGSL source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
/// A guest can see it, so it is the same on every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The full text. If it is about a place in the source, it shows the source line with a caret below it.
    pub message: String,
    /// What is wrong, in one line.
    pub reason: String,
    /// What led to it, each in one line.
    pub notes: Vec<String>,
    /// What to write instead, in one line.
    pub help: Option<String>,
    /// Where in the WGSL source, if it is about one place in it.
    pub location: Option<SourceLocation>,
}

/// Why a kernel cannot be prepared, resolved or lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Something is wrong with the kernel. The same on every device and machine: a guest may see it.
    #[error("{0}")]
    Refused(Diagnostic),
    /// The provider's own trouble.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl KernelError {
    /// Describes the error for people, whether the kernel or the provider is at fault.
    pub fn diagnostic(self) -> Diagnostic {
        match self {
            Self::Refused(diagnostic) => diagnostic,
            Self::Fault(fault) => Diagnostic::new(fault.to_string()),
        }
    }

    /// Turns any error into a fault. For modules that the provider has lowered itself and that only its own device refuses.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Refused(diagnostic) => Fault::new(FaultKind::Internal, diagnostic),
            Self::Fault(fault) => fault,
        }
    }
}

impl Diagnostic {
    /// A diagnostic that is not about one place in the source.
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        let reason = one_line(&message);
        Self { reason, message, notes: Vec::new(), help: None, location: None }
    }

    /// Like [`Diagnostic::new`], with what to do about it.
    pub fn with_help(reason: impl fmt::Display, help: impl Into<String>) -> Self {
        let help = help.into();
        Self { reason: reason.to_string(), help: Some(help.clone()), ..Self::new(format!("{reason}; {help}")) }
    }

    /// [`Diagnostic::message`], with `file` as the name of the source.
    pub fn message_in(&self, file: &str) -> String {
        self.message.replacen(&format!("{ARROW} {SOURCE_NAME}:"), &format!("{ARROW} {}:", one_line(file)), 1)
    }
}

impl Refusal {
    /// Makes it a diagnostic that shows its places, if it has any, in the source.
    pub(crate) fn draw(self, source: &str) -> Diagnostic {
        let Self { reason, notes, help, labels, .. } = self;
        if labels.is_empty() && notes.is_empty() {
            return match help {
                Some(help) => Diagnostic::with_help(reason, help),
                None => Diagnostic::new(reason),
            };
        }
        let below =
            notes.iter().map(|note| format!("note: {note}")).chain(help.iter().map(|help| format!("help: {help}")));
        let below = below.collect::<Vec<_>>().into_iter().rev();
        let below = below.fold(None, |note, text| Some(Box::new(Message { text, note })));
        // ValidationError has no free-form variant, so the spans travel with an error type of our own.
        let mut error = WithSpan::new(Message { text: reason.clone(), note: below });
        for (span, text) in labels {
            error = error.with_span(span, text);
        }
        Diagnostic {
            message: printable(&error.emit_to_string_with_path(&without_controls(source), SOURCE_NAME)),
            reason: one_line(&reason),
            notes: notes.iter().map(|note| one_line(note)).collect(),
            help,
            location: error.location(source).map(Into::into),
        }
    }

    /// Like [`Refusal::draw`], but a defect becomes a fault.
    pub(crate) fn judge(self, source: &str) -> KernelError {
        match self.is_defect {
            true => KernelError::Fault(Fault::new(FaultKind::Internal, self.reason)),
            false => KernelError::Refused(self.draw(source)),
        }
    }
}

/// For modules that were made from a kernel, where no source is at hand: the places are dropped.
impl From<Refusal> for KernelError {
    fn from(refusal: Refusal) -> Self {
        Refusal { labels: Vec::new(), ..refusal }.judge("")
    }
}

/// The mark before the place in a drawn message.
const ARROW: &str = "┌─";

/// The name of the source in a drawn message.
const SOURCE_NAME: &str = "wgsl";

/// The longest line of source in a message, in characters.
const MAX_SOURCE_LINE: usize = 160;

/// The longest other line of a message.
const MAX_LINE: usize = 1000;

/// The most lines of a message.
const MAX_LINES: usize = 200;

/// Makes a drawn message fit for a terminal: without control characters or marks that change the direction of text,
/// and with only the part around the caret of long source lines.
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

/// The source with each control character replaced by a character of the same length. naga's renderer would also replace
/// them, but in time quadratic in their number.
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

/// Text as one line that is fit for a terminal, and not too long for it.
fn one_line(text: &str) -> String {
    let line = text.trim().chars().take(MAX_LINE);
    line.map(|character| match character {
        '\n' | '\r' | '\t' => ' ',
        _ if is_printable(character) => character,
        _ => '\u{fffd}',
    })
    .collect()
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

/// Sentences as an error and its causes, so that naga's renderer can draw them.
#[derive(Debug)]
struct Message {
    text: String,
    note: Option<Box<Message>>,
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
