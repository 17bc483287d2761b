//! Bounds on how deep a kernel may nest: naga and the drivers walk it recursively.
//!
//! naga bounds brackets and braces itself, but a chain such as `a + a + a + …` or `a.x.x.x…` becomes a tree as
//! deep as it is long (bounded here before parsing), and so does `else if` (bounded in the module).

use naga::{Block, Module, Span, Statement};

use crate::Diagnostic;

/// Operators that may hang on one another in one expression. Sums of this many terms are
/// generated code; beyond it an array and a loop say the same.
const MAX_CHAIN: usize = 4096;

/// Blocks within blocks in one function, an `else if` counting as one. Twice what braces alone may nest.
const MAX_BLOCK_DEPTH: usize = 256;

/// Refuses a module with a function of more than [`MAX_BLOCK_DEPTH`] nested blocks.
pub(crate) fn check_blocks(module: &Module) -> Result<(), Diagnostic> {
    let functions = module.functions.iter().map(|(_, function)| function);
    let entry_points = module.entry_points.iter().map(|entry| &entry.function);
    for function in functions.chain(entry_points) {
        let mut open: Vec<(&Block, usize)> = vec![(&function.body, 1)];
        while let Some((block, depth)) = open.pop() {
            if depth > MAX_BLOCK_DEPTH {
                return Err(Diagnostic::new(format!(
                    "function `{}` nests more than {MAX_BLOCK_DEPTH} blocks or `else if` branches; use `switch` or split it",
                    function.name.as_deref().unwrap_or_default()
                )));
            }
            for statement in block.iter() {
                match statement {
                    Statement::Block(inner) => open.push((inner, depth + 1)),
                    Statement::If { accept, reject, .. } => {
                        open.extend([(accept, depth + 1), (reject, depth + 1)]);
                    }
                    Statement::Switch { cases, .. } => {
                        open.extend(cases.iter().map(|case| (&case.body, depth + 1)));
                    }
                    Statement::Loop { body, continuing, .. } => {
                        open.extend([(body, depth + 1), (continuing, depth + 1)]);
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Refuses text with an expression of more than [`MAX_CHAIN`] chained operators.
pub(crate) fn check(wgsl: &str) -> Result<(), Diagnostic> {
    let mut depth = Depth::default();
    let mut bytes = wgsl.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let next = bytes.peek().map(|&(_, byte)| byte);
        match (byte, next) {
            (b'/', Some(b'/')) => while bytes.next_if(|&(_, byte)| byte != b'\n').is_some() {},
            (b'/', Some(b'*')) => skip_block_comment(&mut bytes),
            _ => depth.feed(byte),
        }
        if depth.total > MAX_CHAIN {
            return Err(Diagnostic::at(
                format!("more than {MAX_CHAIN} operators in one expression; use a loop or intermediate variables"),
                span_of_char(wgsl, at),
                wgsl,
            ));
        }
    }
    Ok(())
}

/// Operators since the last separator, for each open bracket.
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
            b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'<' | b'>' | b'=' | b'!' | b'~' | b'.' => {
                self.here += 1;
                self.total += 1;
            }
            _ => {}
        }
    }
}

/// WGSL's block comments nest.
fn skip_block_comment(bytes: &mut std::iter::Peekable<impl Iterator<Item = (usize, u8)>>) {
    let mut open = 1_u32;
    bytes.next();
    while let Some((_, byte)) = bytes.next() {
        let next = bytes.peek().map(|&(_, byte)| byte);
        match (byte, next) {
            (b'*', Some(b'/')) => {
                bytes.next();
                open -= 1;
                if open == 0 {
                    return;
                }
            }
            (b'/', Some(b'*')) => {
                bytes.next();
                open = open.saturating_add(1);
            }
            _ => {}
        }
    }
}

fn span_of_char(text: &str, at: usize) -> Span {
    let start = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let length = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    Span::from(start..start + length)
}
