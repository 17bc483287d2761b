//! Bounds on how deep a kernel may nest, since naga and the drivers walk it recursively, and on how long its functions
//! may be, since naga takes time quadratic in their length.
//!
//! naga bounds brackets and braces itself, but a chain such as `a + a + a + …` or `a.x.x.x…` becomes a tree as
//! deep as it is long (bounded here before parsing), and so does `else if` (bounded in the module).

use naga::{Block, Module, Span};

use super::lexer::{Token, TokenKind};
use crate::Refusal;
use crate::visit::{blocks, functions};

/// The most operators in one chain of an expression. Longer sums only occur in generated code, which can use an array
/// and a loop instead.
const MAX_CHAIN: usize = 4096;

/// The deepest nesting of blocks in one function, where an `else if` counts as one. Twice the limit on braces alone.
const MAX_BLOCK_DEPTH: usize = 256;

/// The most words and operators in a function if it is the only one; with several, the sum of the squares is bounded. naga
/// searches all expressions of a function for each new one: this many take it half a second.
const MAX_WORDS: u64 = 24_576;

/// The most words and operators outside of functions. These also take half a second.
const MAX_GLOBAL_WORDS: u64 = 49_152;

/// The most functions in a kernel. naga searches all of them for each.
const MAX_FUNCTIONS: u32 = 4096;

/// Refuses a module with a function of more than [`MAX_BLOCK_DEPTH`] nested blocks.
pub(crate) fn check_blocks(module: &Module) -> Result<(), Refusal> {
    for function in functions(module) {
        let mut open: Vec<(&Block, usize, Span)> = vec![(&function.body, 1, Span::UNDEFINED)];
        while let Some((block, depth, span)) = open.pop() {
            if depth > MAX_BLOCK_DEPTH {
                let message = format!(
                    "more than {MAX_BLOCK_DEPTH} nested blocks or `else if` branches; use `switch` or functions"
                );
                return Err(Refusal::at(span, message));
            }
            for (statement, &span) in block.span_iter() {
                open.extend(blocks(statement).map(|inner| (inner, depth + 1, span)));
            }
        }
    }
    Ok(())
}

/// Refuses text that has an expression with more than [`MAX_CHAIN`] chained operators, or functions that are too long.
pub(super) fn check(tokens: &[Token<'_>]) -> Result<(), Refusal> {
    let mut depth = Depth::default();
    let mut length = Length::default();
    for token in tokens {
        match token.kind {
            TokenKind::Word | TokenKind::Number => length.feed_word(token.text == "fn"),
            _ => token.text.bytes().for_each(|byte| {
                depth.feed(byte);
                length.feed(byte);
            }),
        }
        let (refused, help) = if depth.total > MAX_CHAIN {
            let message = format!("more than {MAX_CHAIN} operators in one expression");
            (message, "use a loop or intermediate variables")
        } else if length.functions > MAX_FUNCTIONS {
            (format!("more than {MAX_FUNCTIONS} functions"), "split the kernel")
        } else if length.global_words > MAX_GLOBAL_WORDS {
            ("the declarations up to here are too long to compile".to_owned(), "keep large tables in buffers")
        } else if length.is_too_long() {
            let help = "keep tables in constants or buffers, use loops, or split the kernel";
            ("the functions up to here are too long to compile".to_owned(), help)
        } else {
            continue;
        };
        return Err(Refusal::at_with_help(token.place, refused, help));
    }
    Ok(())
}

/// Counts the words and operators of functions.
#[derive(Default)]
struct Length {
    braces: u32,
    in_function: bool,
    functions: u32,
    words: u64,
    squares: u64,
    global_words: u64,
}

impl Length {
    fn feed_word(&mut self, is_fn: bool) {
        if is_fn && self.braces == 0 {
            self.in_function = true;
            self.functions += 1;
        }
        self.count();
    }

    fn count(&mut self) {
        if self.in_function {
            self.words += 1;
        } else {
            self.global_words += 1;
        }
    }

    fn feed(&mut self, byte: u8) {
        match byte {
            b'{' => self.braces += 1,
            b'}' => {
                self.braces = self.braces.saturating_sub(1);
                if self.braces == 0 {
                    self.squares += self.words * self.words;
                    (self.in_function, self.words) = (false, 0);
                }
            }
            byte if Depth::is_operator(byte) || byte == b'[' => self.count(),
            _ => {}
        }
    }

    fn is_too_long(&self) -> bool {
        self.squares + self.words * self.words > MAX_WORDS * MAX_WORDS
    }
}

/// Counts the operators since the last separator, for each open bracket.
#[derive(Default)]
struct Depth {
    outer: Vec<usize>,
    here: usize,
    total: usize,
}

impl Depth {
    fn feed(&mut self, byte: u8) {
        match byte {
            b';' | b'{' | b'}' => *self = Self::default(),
            b',' => {
                self.total -= self.here;
                self.here = 0;
            }
            b'(' | b'[' => {
                self.here += 1;
                self.total += 1;
                self.outer.push(std::mem::take(&mut self.here));
            }
            b')' | b']' => {
                self.total -= self.here;
                self.here = self.outer.pop().unwrap_or(0);
            }
            byte if Self::is_operator(byte) => {
                self.here += 1;
                self.total += 1;
            }
            _ => {}
        }
    }

    fn is_operator(byte: u8) -> bool {
        matches!(byte, b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'<' | b'>' | b'=' | b'!' | b'~' | b'.')
    }
}
