//! The syntax tree: as much of a kernel as its constants, its names and its structs need.

use std::cell::Cell;

use super::lexer::Place;

pub(crate) struct Module<'a> {
    pub(crate) declarations: Vec<Global<'a>>,
    /// The extensions that `enable` directives name.
    pub(crate) enabled: Vec<Enable<'a>>,
}

/// An extension in an `enable` directive.
pub(crate) struct Enable<'a> {
    pub(crate) name: &'a str,
    /// The whole directive if it enables nothing else, otherwise the name with its comma.
    pub(crate) place: Place,
}

pub(crate) enum Global<'a> {
    Struct(Struct<'a>),
    /// Its name, its type, and the whole of it without the semicolon.
    Alias(Ident<'a>, Name<'a>, Place),
    /// `const`, `override` or `var`.
    Value(Declaration<'a>),
    Function(Function<'a>),
    Assert(Expr<'a>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ident<'a> {
    pub(crate) text: &'a str,
    pub(crate) place: Place,
}

pub(crate) struct Struct<'a> {
    pub(crate) name: Ident<'a>,
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) place: Place,
}

pub(crate) struct Member<'a> {
    pub(crate) name: Ident<'a>,
    pub(crate) ty: Name<'a>,
    pub(crate) attributes: Vec<Attribute<'a>>,
}

/// An attribute whose arguments are expressions.
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: Vec<Expr<'a>>,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeclarationKind {
    Const,
    Override,
    Let,
    Var,
}

pub(crate) struct Declaration<'a> {
    pub(crate) kind: DeclarationKind,
    pub(crate) keyword: Place,
    pub(crate) name: Ident<'a>,
    pub(crate) ty: Option<Name<'a>>,
    pub(crate) init: Option<Expr<'a>>,
    pub(crate) attributes: Vec<Attribute<'a>>,
    /// Without its attributes and its semicolon.
    pub(crate) place: Place,
}

impl Declaration<'_> {
    /// With its attributes.
    pub(crate) fn whole(&self) -> Place {
        self.attributes.first().map_or(self.place, |first| first.place.until(self.place))
    }
}

pub(crate) struct Function<'a> {
    pub(crate) name: Ident<'a>,
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) parameters: Vec<(Ident<'a>, Name<'a>, Vec<Attribute<'a>>)>,
    pub(crate) result: Option<(Name<'a>, Vec<Attribute<'a>>)>,
    pub(crate) body: Vec<Statement<'a>>,
    /// With its attributes.
    pub(crate) place: Place,
}

pub(crate) enum Statement<'a> {
    /// Statements with a scope of their own.
    Scope(Vec<Statement<'a>>),
    /// The `continuing` block of the loop around it.
    Continuing(Vec<Statement<'a>>),
    Declare(Declaration<'a>),
    /// Expressions of any other statement, in the order of the text.
    Expressions(Vec<Expr<'a>>),
    /// The same, for a statement before which another one may be inserted: its place.
    Simple(Place, Vec<Expr<'a>>),
    Assert(Expr<'a>),
}

pub(crate) struct Expr<'a> {
    pub(crate) kind: ExprKind<'a>,
    pub(crate) place: Place,
    /// Whether it is a constant, once this has been computed. An expression is in one scope only.
    pub(crate) is_constant: Cell<Option<bool>>,
}

impl<'a> Expr<'a> {
    pub(crate) fn new(kind: ExprKind<'a>, place: Place) -> Self {
        Self { kind, place, is_constant: Cell::new(None) }
    }

    /// The expression without parentheses around it.
    pub(crate) fn bare(&self) -> &Self {
        let mut bare = self;
        while let ExprKind::Paren(inner) = &bare.kind {
            bare = inner;
        }
        bare
    }
}

pub(crate) enum ExprKind<'a> {
    /// A number, `true` or `false`.
    Literal(&'a str),
    Name(Name<'a>),
    Call(Name<'a>, Vec<Expr<'a>>),
    Index(Box<Expr<'a>>, Box<Expr<'a>>),
    Member(Box<Expr<'a>>, Ident<'a>),
    Unary(UnaryOp, Box<Expr<'a>>),
    Binary(BinaryOp, Box<Expr<'a>>, Box<Expr<'a>>),
    Paren(Box<Expr<'a>>),
}

/// A name, perhaps with a template list.
pub(crate) struct Name<'a> {
    pub(crate) ident: Ident<'a>,
    pub(crate) template: Vec<Expr<'a>>,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnaryOp {
    Negate,
    Not,
    Complement,
    /// `*` and `&`: their results are never constants.
    Indirection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    OrElse,
    AndAlso,
    Or,
    Xor,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl BinaryOp {
    /// The operator and its precedence. All associate to the left.
    pub(crate) fn of(symbol: &str) -> Option<(Self, u32)> {
        Some(match symbol {
            "||" => (Self::OrElse, 1),
            "&&" => (Self::AndAlso, 2),
            "|" => (Self::Or, 3),
            "^" => (Self::Xor, 4),
            "&" => (Self::And, 5),
            "==" => (Self::Equal, 6),
            "!=" => (Self::NotEqual, 6),
            "<" => (Self::Less, 7),
            "<=" => (Self::LessEqual, 7),
            ">" => (Self::Greater, 7),
            ">=" => (Self::GreaterEqual, 7),
            "<<" => (Self::ShiftLeft, 8),
            ">>" => (Self::ShiftRight, 8),
            "+" => (Self::Add, 9),
            "-" => (Self::Subtract, 9),
            "*" => (Self::Multiply, 10),
            "/" => (Self::Divide, 10),
            "%" => (Self::Remainder, 10),
            _ => return None,
        })
    }
}
