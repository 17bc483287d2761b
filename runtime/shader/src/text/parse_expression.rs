//! Parses expressions. Operators bind as in naga, which accepts more mixtures of them without parentheses than WGSL.

use super::lexer::TokenKind;
use super::parse::Parser;
use super::tree::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::Refusal;

impl<'a> Parser<'a> {
    pub(super) fn expression(&mut self) -> Result<Expr<'a>, Refusal> {
        self.in_expression(|parser| parser.binary(1))
    }

    /// Parses an expression of operators with a precedence of at least `least`.
    fn binary(&mut self, least: u32) -> Result<Expr<'a>, Refusal> {
        let mut left = self.unary()?;
        loop {
            let token = self.peek();
            let symbol = if token.text == "--" { "-" } else { token.text };
            let found = BinaryOp::of(symbol).filter(|_| token.kind == TokenKind::Symbol);
            let Some((op, binds)) = found.filter(|(_, binds)| *binds >= least) else { return Ok(left) };
            if token.text == "--" {
                self.split_double_minus();
            } else {
                self.next();
            }
            let right = self.binary(binds + 1)?;
            let place = left.place.until(right.place);
            left = Expr::new(ExprKind::Binary(op, Box::new(left), Box::new(right)), place);
        }
    }

    pub(super) fn unary(&mut self) -> Result<Expr<'a>, Refusal> {
        let mut operators = Vec::new();
        loop {
            let token = self.peek();
            let op = match token.text {
                "-" | "--" => UnaryOp::Negate,
                "!" => UnaryOp::Not,
                "~" => UnaryOp::Complement,
                "*" | "&" => UnaryOp::Indirection,
                _ => break,
            };
            operators.push((op, token.place));
            if token.text == "--" {
                self.split_double_minus();
            } else {
                self.next();
            }
        }
        let mut operand = self.postfix()?;
        while let Some((op, place)) = operators.pop() {
            let place = place.until(operand.place);
            operand = Expr::new(ExprKind::Unary(op, Box::new(operand)), place);
        }
        Ok(operand)
    }

    fn postfix(&mut self) -> Result<Expr<'a>, Refusal> {
        let mut base = self.primary()?;
        loop {
            let start = base.place;
            let kind = if self.take("[") {
                let index = self.expression()?;
                self.expect("]")?;
                ExprKind::Index(Box::new(base), Box::new(index))
            } else if self.take(".") {
                ExprKind::Member(Box::new(base), self.ident()?)
            } else {
                return Ok(base);
            };
            base = Expr::new(kind, start.until(self.end()));
        }
    }

    fn primary(&mut self) -> Result<Expr<'a>, Refusal> {
        let token = self.peek();
        match token.kind {
            TokenKind::Symbol if token.text == "(" => {
                self.next();
                let inner = self.expression()?;
                let end = self.expect(")")?;
                Ok(Expr::new(ExprKind::Paren(Box::new(inner)), token.place.until(end)))
            }
            TokenKind::Number => {
                self.next();
                Ok(Expr::new(ExprKind::Literal(token.text), token.place))
            }
            TokenKind::Word if matches!(token.text, "true" | "false") => {
                self.next();
                Ok(Expr::new(ExprKind::Literal(token.text), token.place))
            }
            TokenKind::Word => {
                let name = self.name()?;
                let place = name.place;
                if !self.is("(") {
                    return Ok(Expr::new(ExprKind::Name(name), place));
                }
                let arguments = self.arguments()?;
                Ok(Expr::new(ExprKind::Call(name, arguments), place.until(self.end())))
            }
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// Parses arguments: in parentheses, separated by commas.
    pub(super) fn arguments(&mut self) -> Result<Vec<Expr<'a>>, Refusal> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.expression()?);
            if !self.take(",") && !self.is(")") {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
        Ok(arguments)
    }

    /// Parses a template list with its brackets.
    pub(super) fn template(&mut self) -> Result<Vec<Expr<'a>>, Refusal> {
        self.next();
        let mut arguments = Vec::new();
        while self.peek().kind != TokenKind::TemplateEnd {
            arguments.push(self.expression()?);
            if !self.take(",") && self.peek().kind != TokenKind::TemplateEnd {
                return Err(self.unexpected("`,` or `>`"));
            }
        }
        self.next();
        Ok(arguments)
    }
}
