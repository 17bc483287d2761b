//! Why a kernel is refused, with spans. It becomes a [`Diagnostic`](crate::Diagnostic) where the source is at hand: see
//! `Refusal::draw`.

use std::fmt::Display;

use naga::Span;

/// A broken rule of WGSL or WebGPU, or a defect of this crate.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// What is wrong.
    pub(crate) reason: String,
    /// What led to it.
    pub(crate) notes: Vec<String>,
    /// What to write instead.
    pub(crate) help: Option<String>,
    /// The places that show the problem. The first is its location.
    pub(crate) labels: Vec<(Span, String)>,
    /// It is a mistake in this crate, which no guest may see.
    pub(crate) is_defect: bool,
    /// It is about the values that overrides are given, not about the kernel.
    pub(crate) is_about_values: bool,
}

impl Refusal {
    /// A refusal that is not about one place in the source.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            notes: Vec::new(),
            help: None,
            labels: Vec::new(),
            is_defect: false,
            is_about_values: false,
        }
    }

    /// Like [`Refusal::new`], with what to do about it.
    pub(crate) fn with_help(reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::new(reason) }
    }

    /// A refusal about one place.
    pub(crate) fn at(place: impl Into<Span>, reason: impl Into<String>) -> Self {
        Self { labels: vec![(place.into(), "here".to_owned())], ..Self::new(reason) }
    }

    /// Like [`Refusal::at`], with what to write instead.
    pub(crate) fn at_with_help(place: impl Into<Span>, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::at(place, reason) }
    }

    /// A refusal for a problem that shows in several places. The first is its location.
    pub(crate) fn of(problem: &Problem, labels: &[Label]) -> Self {
        let mut places: Vec<(Span, String)> = Vec::new();
        for label in labels {
            if !places.iter().any(|(span, _)| *span == label.span) {
                places.push((label.span, label.text.to_owned()));
            }
        }
        Self { labels: places, ..Self::with_help(problem.message, problem.help) }
    }
}

/// A refusal that only a mistake in this crate can cause.
pub(crate) fn defect(what: impl Display) -> Refusal {
    Refusal { is_defect: true, ..Refusal::new(format!("a defect of the shader compiler: {what}")) }
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
