//! The attribute `#[isobit::main]`: it makes a function the workload's exported `run`.
//!
//! The crate reads tokens by hand. All it needs from a function is its name and that it takes nothing,
//! which is not worth the compile time of a full Rust parser in every workload.

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a function the entry of the workload.
///
/// The function takes nothing and returns `()` or a `Result<(), E>` where `E: Display`. An error ends
/// the job as *trapped*, with the error's text in the claim.
///
/// ```ignore
/// #[isobit::main]
/// fn main() -> isobit::Result<()> {
///     isobit::info!("hello from a workload");
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let entry = match arguments.into_iter().next() {
        Some(argument) => Err(Mistake::new(argument.span(), "#[isobit::main] takes no arguments")),
        None => entry_point(item.clone()),
    };
    match entry {
        Ok(name) => item.into_iter().chain(export(name)).collect(),
        // The item stays, so that this mistake is the only one the compiler reports.
        Err(mistake) => item.into_iter().chain(mistake.compile_error()).collect(),
    }
}

/// What is wrong with the marked item, and where.
struct Mistake {
    span: Span,
    message: &'static str,
}

impl Mistake {
    fn new(span: Span, message: &'static str) -> Self {
        Self { span, message }
    }

    /// `compile_error! { "message" }` at the span.
    fn compile_error(self) -> TokenStream {
        let message = TokenTree::from(proc_macro::Literal::string(self.message));
        let mut bang = Punct::new('!', Spacing::Alone);
        bang.set_span(self.span);
        let mut group = Group::new(Delimiter::Brace, message.into());
        group.set_span(self.span);
        [TokenTree::from(Ident::new("compile_error", self.span)), bang.into(), group.into()].into_iter().collect()
    }
}

/// The name of the function in `item`, which must be one that can be called as `name()`.
fn entry_point(item: TokenStream) -> Result<Ident, Mistake> {
    let mut tokens = item.into_iter().peekable();
    // Attributes, visibility and qualifiers come before `fn`.
    let keyword = loop {
        match tokens.next() {
            Some(TokenTree::Ident(word)) if word.to_string() == "fn" => break word,
            Some(TokenTree::Ident(word)) if word.to_string() == "async" => {
                return Err(Mistake::new(
                    word.span(),
                    "the entry of a workload is not async: calls to the device wait by themselves",
                ));
            }
            Some(_) => {}
            None => {
                return Err(Mistake::new(Span::call_site(), "#[isobit::main] goes on a function"));
            }
        }
    };
    let Some(TokenTree::Ident(name)) = tokens.next() else {
        return Err(Mistake::new(keyword.span(), "expected a function's name"));
    };
    match tokens.next() {
        Some(TokenTree::Group(parameters)) if parameters.delimiter() == Delimiter::Parenthesis => {
            if parameters.stream().is_empty() {
                Ok(name)
            } else {
                Err(Mistake::new(
                    parameters.span(),
                    "the entry of a workload takes nothing: ask for parameters with isobit::param",
                ))
            }
        }
        _ => Err(Mistake::new(name.span(), "the entry of a workload is not generic")),
    }
}

/// The component's export, calling the function `name`.
fn export(name: Ident) -> TokenStream {
    // `main` is resolved where the attribute stands; everything else by absolute paths.
    const GLUE: &str = "
        const _: () = {
            struct Workload;
            impl ::isobit::bindings::Guest for Workload {
                fn run() -> ::core::result::Result<(), ::std::string::String> {
                    ::isobit::run(ENTRY)
                }
            }
            ::isobit::bindings::export!(Workload with_types_in ::isobit::bindings);
        };";
    match GLUE.parse::<TokenStream>() {
        Ok(glue) => replace_entry(glue, &name),
        Err(_) => Mistake::new(name.span(), "#[isobit::main] could not be expanded").compile_error(),
    }
}

/// `tokens` with each `ENTRY` replaced by `name`, which keeps its span for the compiler's messages.
fn replace_entry(tokens: TokenStream, name: &Ident) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(word) if word.to_string() == "ENTRY" => name.clone().into(),
            TokenTree::Group(group) => {
                let inside = replace_entry(group.stream(), name);
                let mut replaced = Group::new(group.delimiter(), inside);
                replaced.set_span(group.span());
                replaced.into()
            }
            other => other,
        })
        .collect()
}
