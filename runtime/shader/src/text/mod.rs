//! Prepares a guest's text for naga: a lexer, a parser, and our own evaluation of constants.
//!
//! naga computes constants while it parses, some of them wrongly, some with the host's mathematics. So [`rewrite`] computes
//! every constant expression itself and replaces it by literals: naga gets a text with no constants left to compute. A [`Map`]
//! leads from places in that text to places in the guest's own. Constructs that WGSL has and naga does not accept are also
//! replaced.
//!
//! Text that cannot be parsed here is refused: naga never computes a constant that was not checked here.

mod arithmetic;
mod bounds;
mod builtin;
mod construct;
mod edit;
mod elementary;
mod emit;
mod evaluate;
mod integer;
mod layout;
mod lexer;
mod names;
pub(crate) mod nesting;
mod number;
mod parse;
mod parse_body;
mod parse_expression;
mod print;
mod rewrite;
mod spans;
mod tree;
mod uses;
mod value;

use std::collections::HashMap;

pub(crate) use edit::Map;
pub(crate) use emit::write;
pub(crate) use layout::{StructLayout, check_layouts};
pub(crate) use spans::put_back;

use crate::Refusal;
use edit::Edits;
use naga::Span;
use names::Names;
use rewrite::Rewriter;

/// A kernel as naga gets it.
pub(crate) struct Rewritten {
    pub(crate) text: String,
    pub(crate) map: Map,
    /// The layouts of the structs that lie in memory, by WGSL's rules.
    pub(crate) layouts: Vec<StructLayout>,
}

/// Restricts a text to one entry point, with values for overrides by name. Overrides with values become constants, and
/// declarations that the entry point does not use are removed.
pub(crate) struct Specialization<'s> {
    pub(crate) entry_point: &'s str,
    pub(crate) overrides: HashMap<String, f64>,
}

/// The text with every constant computed.
///
/// # Errors
/// The text is not WGSL, or a constant in it has no value.
pub(crate) fn rewrite(source: &str, specialization: Option<Specialization<'_>>) -> Result<Rewritten, Refusal> {
    let tokens = lexer::lex(source);
    nesting::check(&tokens)?;
    let (module, double_minus) = parse::parse(tokens)?;
    let reached = specialization.as_ref().map(|found| uses::reached(&module, found.entry_point));
    let mut names = Names::new(&module, specialization.map(|found| found.overrides));
    bounds::check_structs(&mut names)?;
    let mut edits = Edits::default();
    for place in double_minus {
        edits.replace(place, "- - ");
    }
    let layouts = layout::lay_out(&mut names, &mut edits)?;
    let mut rewriter = Rewriter::new(&mut names, &mut edits, source);
    let outcome = rewriter.module(&module, reached.as_ref());
    if let Some(place) = rewriter.half {
        let help = "use `f32`; `pack2x16float` and `unpack2x16float` keep two halves in a u32";
        return Err(Refusal::at_with_help(place, "f16 is not available: not every device has it", help));
    }
    outcome?;
    // Nothing uses f16, so the directive can go.
    for enable in module.enabled.iter().filter(|enable| enable.name == "f16") {
        edits.replace(enable.place, "");
    }
    let (text, map) = edits.apply(source);
    Ok(Rewritten { text, map, layouts })
}

/// A side of the workgroup is not positive, as written at `place`.
pub(crate) fn not_positive(place: Option<Span>) -> Refusal {
    let (reason, help) = ("a side of the workgroup is not positive", "give the override at least 1");
    let refusal = match place {
        Some(place) => Refusal::at_with_help(place, reason, help),
        None => Refusal::with_help(reason, help),
    };
    Refusal { is_about_values: true, ..refusal }
}
