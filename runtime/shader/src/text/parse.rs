//! From tokens to the syntax tree: declarations. Statements are in `parse_body`, expressions in `parse_expression`.
//!
//! It accepts what naga accepts, with the same structure, and refuses everything else: no constant can be missed.

use super::lexer::{Place, Token, TokenKind};
use super::tree::{
    Attribute, Declaration, DeclarationKind, Enable, Function, Global, Ident, Member, Module, Name, Struct,
};
use crate::Refusal;

/// The deepest nesting of expressions. naga accepts 200, and the text that it gets may have one more level than the guest's.
const MAX_NESTED_EXPRESSIONS: u32 = 199;

/// The deepest nesting of braces, as in naga.
const MAX_NESTED_BRACES: u32 = 127;

pub(crate) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    nested_expressions: u32,
    most_nested_expressions: u32,
    nested_braces: u32,
    /// Where a `--` stands for two minus signs.
    pub(super) double_minus: Vec<Place>,
}

/// Parses a module. Also returns where a `--` stands for two minus signs.
pub(crate) fn parse(tokens: Vec<Token<'_>>) -> Result<(Module<'_>, Vec<Place>), Refusal> {
    let mut parser = Parser::new(tokens);
    let module = parser.module()?;
    Ok((module, parser.double_minus))
}

/// Parses a text of our own, with no bound on the nesting of expressions.
pub(super) fn parse_own(tokens: Vec<Token<'_>>) -> Result<Module<'_>, Refusal> {
    let mut parser = Parser { most_nested_expressions: u32::MAX, ..Parser::new(tokens) };
    parser.module()
}

impl<'a> Parser<'a> {
    fn new(tokens: Vec<Token<'a>>) -> Self {
        Self {
            tokens,
            at: 0,
            nested_expressions: 0,
            most_nested_expressions: MAX_NESTED_EXPRESSIONS,
            nested_braces: 0,
            double_minus: Vec::new(),
        }
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.peek_after(0)
    }

    /// The token that follows after `tokens` others.
    pub(super) fn peek_after(&self, tokens: usize) -> Token<'a> {
        let end = Token { kind: TokenKind::End, text: "", place: Place::default() };
        self.tokens.get(self.at + tokens).or(self.tokens.last()).copied().unwrap_or(end)
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.peek().text == text && self.peek().kind != TokenKind::End
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.is(text);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<Place, Refusal> {
        if self.is(text) { Ok(self.next().place) } else { Err(self.unexpected(&format!("`{text}`"))) }
    }

    pub(super) fn unexpected(&self, expected: &str) -> Refusal {
        let token = self.peek();
        let found = match token.kind {
            TokenKind::End => "the end of the source".to_owned(),
            TokenKind::Unknown if token.text.starts_with("/*") => "a comment without end".to_owned(),
            _ => format!("`{}`", token.text),
        };
        Refusal::at(token.place, format!("expected {expected}, found {found}"))
    }

    pub(super) fn ident(&mut self) -> Result<Ident<'a>, Refusal> {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected("a name"));
        }
        self.at += 1;
        Ok(Ident { text: token.text, place: token.place })
    }

    /// The place of the previous token.
    pub(super) fn end(&self) -> Place {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(Place::default(), |token| token.place)
    }

    /// Replaces a `--` by one `-`, after the first of its two signs was consumed.
    pub(super) fn split_double_minus(&mut self) {
        if let Some(token) = self.tokens.get_mut(self.at) {
            self.double_minus.push(token.place);
            *token = Token {
                kind: TokenKind::Symbol,
                text: "-",
                place: Place { start: token.place.end - 1, end: token.place.end },
            };
        }
    }

    pub(super) fn in_expression<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.nested_expressions >= self.most_nested_expressions {
            let message = format!("more than {MAX_NESTED_EXPRESSIONS} expressions within one another");
            return Err(Refusal::at_with_help(self.peek().place, message, "use intermediate variables"));
        }
        self.nested_expressions += 1;
        let parsed = parse(self)?;
        self.nested_expressions -= 1;
        Ok(parsed)
    }

    pub(super) fn in_braces<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let place = self.expect("{")?;
        if self.nested_braces >= MAX_NESTED_BRACES {
            let message = format!("more than {MAX_NESTED_BRACES} blocks within one another");
            return Err(Refusal::at_with_help(place, message, "use functions"));
        }
        self.nested_braces += 1;
        let parsed = parse(self)?;
        self.nested_braces -= 1;
        self.expect("}")?;
        Ok(parsed)
    }

    fn module(&mut self) -> Result<Module<'a>, Refusal> {
        let mut module = Module { declarations: Vec::new(), enabled: Vec::new() };
        while matches!(self.peek().text, "enable" | "requires" | "diagnostic") {
            self.directive(&mut module)?;
        }
        while self.peek().kind != TokenKind::End {
            module.declarations.extend(self.global()?);
        }
        Ok(module)
    }

    fn directive(&mut self, module: &mut Module<'a>) -> Result<(), Refusal> {
        let start = self.next();
        let mut names: Vec<Enable<'a>> = Vec::new();
        while !self.take(";") {
            let token = self.peek();
            if token.kind == TokenKind::End {
                return Err(self.unexpected("`;`"));
            }
            self.at += 1;
            match token.kind {
                TokenKind::Word => names.push(Enable { name: token.text, place: token.place }),
                _ => {
                    if let Some(last) = names.last_mut().filter(|_| token.text == ",") {
                        last.place = last.place.until(token.place);
                    }
                }
            }
        }
        if start.text == "enable" {
            if let [only] = names.as_mut_slice() {
                only.place = start.place.until(self.end());
            }
            module.enabled.append(&mut names);
        }
        Ok(())
    }

    fn global(&mut self) -> Result<Option<Global<'a>>, Refusal> {
        let attributes = self.attributes()?;
        let token = self.peek();
        let declaration = match token.text {
            ";" => {
                self.at += 1;
                return Ok(None);
            }
            "struct" => return self.structure().map(Some),
            "fn" => return self.function(attributes).map(Some),
            "alias" => {
                self.at += 1;
                let name = self.ident()?;
                self.expect("=")?;
                let target = self.name()?;
                Global::Alias(name, target, token.place.until(self.end()))
            }
            "const" | "override" | "var" => Global::Value(self.declaration(attributes)?),
            "const_assert" => {
                self.at += 1;
                Global::Assert(self.expression()?)
            }
            "enable" | "requires" | "diagnostic" => {
                let message = format!("`{}` has to stand before all declarations", token.text);
                return Err(Refusal::at(token.place, message));
            }
            _ => return Err(self.unexpected("a declaration")),
        };
        self.expect(";")?;
        Ok(Some(declaration))
    }

    /// Parses attributes. Arguments that are words, not expressions, are left out.
    pub(super) fn attributes(&mut self) -> Result<Vec<Attribute<'a>>, Refusal> {
        let mut attributes = Vec::new();
        while self.is("@") {
            let start = self.next().place;
            let name = self.ident()?;
            let mut arguments = Vec::new();
            if self.is("(") {
                match name.text {
                    "align" | "binding" | "blend_src" | "group" | "id" | "location" | "size" | "workgroup_size" => {
                        arguments = self.arguments()?;
                    }
                    _ => self.skip_parentheses()?,
                }
            }
            attributes.push(Attribute { name: name.text, arguments, place: start.until(self.end()) });
        }
        Ok(attributes)
    }

    fn skip_parentheses(&mut self) -> Result<(), Refusal> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Token { kind: TokenKind::End, .. } => return Err(self.unexpected("`)`")),
                Token { text: "(", .. } => depth += 1,
                Token { text: ")", .. } => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn structure(&mut self) -> Result<Global<'a>, Refusal> {
        let start = self.expect("struct")?;
        let name = self.ident()?;
        let members = self.in_braces(|parser| {
            let mut members = Vec::new();
            while !parser.is("}") {
                let attributes = parser.attributes()?;
                let name = parser.ident()?;
                parser.expect(":")?;
                let ty = parser.name()?;
                members.push(Member { name, ty, attributes });
                if !parser.take(",") && !parser.is("}") {
                    return Err(parser.unexpected("`,`"));
                }
            }
            Ok(members)
        })?;
        Ok(Global::Struct(Struct { name, members, place: start.until(self.end()) }))
    }

    /// Parses a declaration from its keyword on, without the semicolon.
    pub(super) fn declaration(&mut self, attributes: Vec<Attribute<'a>>) -> Result<Declaration<'a>, Refusal> {
        let keyword = self.next();
        let kind = match keyword.text {
            "const" => DeclarationKind::Const,
            "override" => DeclarationKind::Override,
            "let" => DeclarationKind::Let,
            _ => DeclarationKind::Var,
        };
        if self.peek().kind == TokenKind::TemplateStart {
            self.template()?;
        }
        let name = self.ident()?;
        let ty = if self.take(":") { Some(self.name()?) } else { None };
        let init = if self.take("=") { Some(self.expression()?) } else { None };
        if init.is_none() && matches!(kind, DeclarationKind::Const | DeclarationKind::Let) {
            return Err(self.unexpected("`=`"));
        }
        let place = keyword.place.until(self.end());
        Ok(Declaration { kind, keyword: keyword.place, name, ty, init, attributes, place })
    }

    fn function(&mut self, attributes: Vec<Attribute<'a>>) -> Result<Global<'a>, Refusal> {
        let keyword = self.expect("fn")?;
        let name = self.ident()?;
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.take(")") {
            let attributes = self.attributes()?;
            let name = self.ident()?;
            self.expect(":")?;
            parameters.push((name, self.name()?, attributes));
            if !self.take(",") && !self.is(")") {
                return Err(self.unexpected("`,`"));
            }
        }
        let result = if self.take("->") {
            let attributes = self.attributes()?;
            Some((self.name()?, attributes))
        } else {
            None
        };
        self.attributes()?;
        let body = self.block()?;
        let place = attributes.first().map_or(keyword, |first| first.place).until(self.end());
        Ok(Global::Function(Function { name, attributes, parameters, result, body, place }))
    }

    /// Parses the name of a type.
    pub(super) fn name(&mut self) -> Result<Name<'a>, Refusal> {
        let ident = self.ident()?;
        let template = if self.peek().kind == TokenKind::TemplateStart { self.template()? } else { Vec::new() };
        Ok(Name { ident, template, place: ident.place.until(self.end()) })
    }
}
