//! The tokens of a kernel, as naga finds them: comments nest, and `<` opens a template list where WGSL's rule says so.
//!
//! Text that is not WGSL becomes a token that no rule accepts, or a word that naga refuses. Every token here is one that naga
//! would read the same way.

/// A piece of the source, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Place {
    pub(crate) fn until(self, end: Place) -> Place {
        Place { start: self.start, end: end.end }
    }
}

impl From<Place> for naga::Span {
    fn from(place: Place) -> Self {
        Self::from(place.start..place.end)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Word,
    Number,
    /// An operator or a separator: the longest that WGSL has.
    Symbol,
    /// A `<` that opens a template list.
    TemplateStart,
    /// The `>` that closes it.
    TemplateEnd,
    Unknown,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) place: Place,
}

/// Operators of more than one character, longest first.
const LONG_SYMBOLS: [&str; 21] = [
    "<<=", ">>=", "->", "++", "--", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=",
    "|=", "^=",
];

/// All tokens, the last of which is [`TokenKind::End`].
pub(crate) fn lex(source: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::with_capacity(source.len() / 4);
    let mut templates = Templates::default();
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest, templates.waits_for_end());
        let place = Place { start: at, end: at + length };
        at += length;
        if let Some(kind) = kind {
            let token = Token { kind, text: rest.get(..length).unwrap_or_default(), place };
            if let Some(start) = templates.feed(&token, tokens.len()).and_then(|start| tokens.get_mut(start)) {
                start.kind = TokenKind::TemplateStart;
            }
            tokens.push(token);
        }
    }
    tokens.push(Token { kind: TokenKind::End, text: "", place: Place { start: source.len(), end: source.len() } });
    tokens
}

/// The kind and the length of the first token of `rest`; no kind for blanks and comments.
fn next(rest: &str, waits_for_end: bool) -> (Option<TokenKind>, usize) {
    let mut characters = rest.chars();
    let first = characters.next().unwrap_or(' ');
    let second = characters.next();
    if is_blank(first) {
        (None, first.len_utf8())
    } else if rest.starts_with("//") {
        (None, rest.find(is_line_end).unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        match comment_length(rest) {
            Some(length) => (None, length),
            None => (Some(TokenKind::Unknown), rest.len()),
        }
    } else if first.is_ascii_digit() || first == '.' && second.is_some_and(|second| second.is_ascii_digit()) {
        (Some(TokenKind::Number), number_length(rest))
    } else if is_word(first) {
        (Some(TokenKind::Word), rest.find(|character| !is_word(character)).unwrap_or(rest.len()))
    } else if first == '>' && waits_for_end {
        (Some(TokenKind::TemplateEnd), 1)
    } else if let Some(symbol) = LONG_SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        (Some(TokenKind::Symbol), symbol.len())
    } else if first.is_ascii_punctuation() && !matches!(first, '"' | '#' | '$' | '\'' | '?' | '\\' | '`') {
        (Some(TokenKind::Symbol), 1)
    } else {
        (Some(TokenKind::Unknown), first.len_utf8())
    }
}

/// Whether a character may be part of a name. Outside of ASCII, everything but blanks counts: naga refuses the rest.
pub(crate) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || !character.is_ascii() && !is_blank(character)
}

/// Whether a character is WGSL's blank space.
fn is_blank(character: char) -> bool {
    is_line_end(character) || matches!(character, ' ' | '\t' | '\u{200e}' | '\u{200f}')
}

/// Whether a character ends a line, and with it a line comment.
fn is_line_end(character: char) -> bool {
    matches!(character, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The length of the comment that `text` begins with, if it ends. Comments nest as in naga's lexer.
fn comment_length(text: &str) -> Option<usize> {
    let mut depth = 1_u32;
    let mut last = None;
    for (at, character) in text.char_indices().skip(2) {
        (last, depth) = match (last, character) {
            (Some('*'), '/') => (None, depth - 1),
            (Some('/'), '*') => (None, depth.saturating_add(1)),
            _ => (Some(character), depth),
        };
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// The length of the number at the start of `text`.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |from: usize, wanted: fn(&u8) -> bool| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|byte| wanted(byte)).count()
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let is_hex = is(0, b"0") && is(1, b"xX");
    let digit: fn(&u8) -> bool = if is_hex { u8::is_ascii_hexdigit } else { u8::is_ascii_digit };
    let mut at = if is_hex { 2 } else { 0 };
    at += run(at, digit);
    if is(at, b".") {
        at += 1;
        at += run(at, digit);
    }
    if is(at, if is_hex { b"pP" } else { b"eE" }) {
        at += 1;
        at += usize::from(is(at, b"+-"));
        at += run(at, u8::is_ascii_digit);
    }
    at + usize::from(is(at, b"iufh"))
}

/// WGSL's template list discovery.
#[derive(Default)]
struct Templates {
    /// The `<` that may open a list, and how many brackets are open around it.
    pending: Vec<(usize, usize)>,
    depth: usize,
    after_word: bool,
}

impl Templates {
    fn waits_for_end(&self) -> bool {
        self.pending.last().is_some_and(|(_, depth)| *depth == self.depth)
    }

    /// Takes the token that will have number `index`. If it closes a list, returns the number of the `<` that opens it.
    fn feed(&mut self, token: &Token<'_>, index: usize) -> Option<usize> {
        let after_word = std::mem::replace(&mut self.after_word, token.kind == TokenKind::Word);
        match (token.kind, token.text) {
            (TokenKind::TemplateEnd, _) => return self.pending.pop().map(|(start, _)| start),
            (TokenKind::Symbol, "<") if after_word => self.pending.push((index, self.depth)),
            (TokenKind::Symbol, "(" | "[") => self.depth += 1,
            (TokenKind::Symbol, ")" | "]") => {
                self.close();
                self.depth = self.depth.saturating_sub(1);
            }
            (TokenKind::Symbol, "=" | ":" | ";" | "{") => {
                self.pending.clear();
                self.depth = 0;
            }
            (TokenKind::Symbol, "&&" | "||") => self.close(),
            _ => {}
        }
        None
    }

    fn close(&mut self) {
        while self.pending.last().is_some_and(|(_, depth)| *depth >= self.depth) {
            self.pending.pop();
        }
    }
}
