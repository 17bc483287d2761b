//! Parses statements.

use super::lexer::TokenKind;
use super::parse::Parser;
use super::tree::{Expr, Statement};
use crate::Refusal;

impl<'a> Parser<'a> {
    /// Parses statements in braces.
    pub(super) fn block(&mut self) -> Result<Vec<Statement<'a>>, Refusal> {
        self.in_braces(|parser| {
            let mut statements = Vec::new();
            while !parser.is("}") {
                parser.statement(&mut statements)?;
            }
            Ok(statements)
        })
    }

    fn statement(&mut self, into: &mut Vec<Statement<'a>>) -> Result<(), Refusal> {
        self.attributes()?;
        let token = self.peek();
        match token.text {
            "{" => into.push(Statement::Scope(self.block()?)),
            ";" => drop(self.next()),
            "if" => self.branches(into)?,
            "switch" => self.switch(into)?,
            "loop" => {
                self.next();
                self.attributes()?;
                into.push(Statement::Scope(self.block()?));
            }
            "continuing" => {
                self.next();
                self.attributes()?;
                into.push(Statement::Continuing(self.block()?));
            }
            "while" => {
                self.next();
                let condition = self.expression()?;
                into.push(Statement::Expressions(vec![condition]));
                self.attributes()?;
                into.push(Statement::Scope(self.block()?));
            }
            "for" => {
                let statement = self.for_loop()?;
                into.push(statement);
            }
            "break" => {
                self.next();
                if self.take("if") {
                    let condition = self.expression()?;
                    into.push(Statement::Simple(token.place, vec![condition]));
                }
                self.expect(";")?;
            }
            "continue" | "discard" => {
                self.next();
                self.expect(";")?;
            }
            "return" => {
                self.next();
                if !self.is(";") {
                    let value = self.expression()?;
                    into.push(Statement::Simple(token.place, vec![value]));
                }
                self.expect(";")?;
            }
            "const_assert" => {
                self.next();
                into.push(Statement::Assert(self.expression()?));
                self.expect(";")?;
            }
            _ => {
                into.push(self.simple()?);
                self.expect(";")?;
            }
        }
        Ok(())
    }

    fn branches(&mut self, into: &mut Vec<Statement<'a>>) -> Result<(), Refusal> {
        let place = self.expect("if")?;
        let condition = self.expression()?;
        into.push(Statement::Simple(place, vec![condition]));
        loop {
            self.attributes()?;
            into.push(Statement::Scope(self.block()?));
            if !self.take("else") {
                return Ok(());
            }
            self.attributes()?;
            if !self.take("if") {
                into.push(Statement::Scope(self.block()?));
                return Ok(());
            }
            let condition = self.expression()?;
            into.push(Statement::Expressions(vec![condition]));
        }
    }

    fn switch(&mut self, into: &mut Vec<Statement<'a>>) -> Result<(), Refusal> {
        let place = self.expect("switch")?;
        let selector = self.expression()?;
        into.push(Statement::Simple(place, vec![selector]));
        self.attributes()?;
        let cases = self.in_braces(|parser| {
            let mut cases = Vec::new();
            while !parser.is("}") {
                parser.attributes()?;
                if parser.take("case") {
                    let mut selectors: Vec<Expr<'a>> = Vec::new();
                    while !matches!(parser.peek().text, ":" | "{" | "@") {
                        if !parser.take("default") {
                            selectors.push(parser.expression()?);
                        }
                        if !parser.take(",") && !matches!(parser.peek().text, ":" | "{" | "@") {
                            return Err(parser.unexpected("`,`, `:` or `{`"));
                        }
                    }
                    cases.push(Statement::Expressions(selectors));
                } else if !parser.take("default") {
                    return Err(parser.unexpected("`case`, `default` or `}`"));
                }
                parser.take(":");
                parser.attributes()?;
                cases.push(Statement::Scope(parser.block()?));
            }
            Ok(cases)
        })?;
        into.extend(cases);
        Ok(())
    }

    fn for_loop(&mut self) -> Result<Statement<'a>, Refusal> {
        self.expect("for")?;
        self.expect("(")?;
        let mut statements = Vec::new();
        if !self.is(";") {
            statements.push(self.simple()?);
        }
        self.expect(";")?;
        if !self.is(";") {
            let condition = self.expression()?;
            statements.push(Statement::Expressions(vec![condition]));
        }
        self.expect(";")?;
        if !self.is(")") {
            statements.push(self.simple()?);
        }
        self.expect(")")?;
        self.attributes()?;
        statements.push(Statement::Scope(self.block()?));
        Ok(Statement::Scope(statements))
    }

    /// Parses a declaration, an assignment, or a call, without the semicolon.
    fn simple(&mut self) -> Result<Statement<'a>, Refusal> {
        let token = self.peek();
        if matches!(token.text, "const" | "let" | "var") {
            return Ok(Statement::Declare(self.declaration(Vec::new())?));
        }
        if !(token.kind == TokenKind::Word || matches!(token.text, "*" | "&" | "(")) {
            return Err(self.unexpected("a statement"));
        }
        let place = token.place;
        let target = self.unary()?;
        let token = self.peek();
        let is_assignment =
            matches!(token.text, "=" | "+=" | "-=" | "*=" | "/=" | "%=" | "&=" | "|=" | "^=" | "<<=" | ">>=");
        if is_assignment {
            self.next();
            let value = self.expression()?;
            return Ok(Statement::Simple(place, vec![target, value]));
        }
        if matches!(token.text, "++" | "--") {
            self.next();
        }
        Ok(Statement::Simple(place, vec![target]))
    }
}
