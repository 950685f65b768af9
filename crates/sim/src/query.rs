//! Queries as a small tree: SELECT blocks, set operations, and the recursions that define bindings for them.
//!
//! Columns are positions: an expression of a SELECT sees the columns of all that its FROM lists, one after the other.

use crate::expression::{Expr, Predicate};
use crate::value::{Row, Type};

mod references;

/// A column of a table.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub data_type: Type,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A table.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Whether it refuses to forget.
    pub append_only: bool,
}

impl Table {
    /// The types of its columns.
    #[must_use]
    pub fn types(&self) -> Vec<Type> {
        self.columns.iter().map(|column| column.data_type).collect()
    }
}

/// What a FROM lists.
#[derive(Clone, PartialEq, Debug)]
pub enum Relation {
    /// A table, by its number.
    Table(usize),
    /// A binding of the recursion, or of one around it, by its number.
    Binding(usize),
    /// A query in parentheses.
    Derived(Box<Query>),
}

/// The kind of a join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinKind {
    /// `JOIN … ON`
    Inner,
    /// A comma; the condition stands in WHERE.
    Comma,
    /// `LEFT JOIN`
    Left,
    /// `RIGHT JOIN`
    Right,
    /// `FULL JOIN`
    Full,
}

/// One more relation of a FROM.
#[derive(Clone, PartialEq, Debug)]
pub struct Join {
    /// How it is joined.
    pub kind: JoinKind,
    /// What is joined.
    pub relation: Relation,
    /// Over all columns before it, and its own.
    pub on: Predicate,
}

/// A conjunct of WHERE.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    /// A condition on the row.
    Where(Predicate),
    /// `[NOT] EXISTS (SELECT 1 FROM relation WHERE on)`
    Exists {
        /// NOT.
        negated: bool,
        /// What is looked through.
        relation: Relation,
        /// Over the columns of the row, and then the relation's.
        on: Predicate,
    },
    /// `value [NOT] IN (SELECT column FROM relation)`
    In {
        /// NOT.
        negated: bool,
        /// What is looked for.
        value: Expr,
        /// What is looked through.
        relation: Relation,
        /// Which column of it.
        column: usize,
    },
}

/// An aggregate function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Function {
    /// `count(*)`
    CountRows,
    /// `count(x)`
    Count,
    /// `count(DISTINCT x)`
    CountDistinct,
    /// `sum(x)`
    Sum,
    /// `min(x)`
    Min,
    /// `max(x)`
    Max,
}

/// A call of an aggregate function. Counts and sums are cast to `int`.
#[derive(Clone, PartialEq, Debug)]
pub struct Aggregate {
    /// The function.
    pub function: Function,
    /// Its argument, which `count(*)` has not.
    pub argument: Expr,
}

/// What a SELECT makes of its rows.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// A row for each.
    Rows {
        /// Its columns.
        columns: Vec<Expr>,
        /// DISTINCT.
        distinct: bool,
    },
    /// A row for each group, keys first; a single one if there are no keys.
    Groups {
        /// GROUP BY.
        keys: Vec<Expr>,
        /// Behind the keys.
        aggregates: Vec<Aggregate>,
        /// HAVING, over the columns that come out.
        having: Predicate,
    },
}

/// A SELECT.
#[derive(Clone, PartialEq, Debug)]
pub struct Select {
    /// The first relation.
    pub from: Relation,
    /// The others.
    pub joins: Vec<Join>,
    /// WHERE.
    pub conditions: Vec<Condition>,
    /// What comes out.
    pub output: Output,
}

/// A set operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetOperation {
    /// UNION.
    Union,
    /// UNION ALL.
    UnionAll,
    /// EXCEPT.
    Except,
    /// INTERSECT.
    Intersect,
}

/// A query.
#[derive(Clone, PartialEq, Debug)]
pub enum Query {
    /// A SELECT.
    Select(Select),
    /// Literal rows, at least one.
    Values(Vec<Type>, Vec<Row>),
    /// A set operation over two queries.
    Set(SetOperation, Box<Self>, Box<Self>),
    /// The first rows of a query.
    Top(Box<Self>, Top),
    /// A query with a recursion of its own in front. The bindings are seen inside alone, and numbered after those around it.
    With(Box<Recursive>),
}

/// ORDER BY all columns, OFFSET and LIMIT.
#[derive(Clone, PartialEq, Debug)]
pub struct Top {
    /// Columns in the order in which they count, each with DESC and NULLS FIRST.
    pub order: Vec<(usize, bool, bool)>,
    /// OFFSET.
    pub offset: usize,
    /// LIMIT.
    pub limit: usize,
}

impl Query {
    /// A set operation.
    #[must_use]
    pub fn set(operation: SetOperation, left: Self, right: Self) -> Self {
        Self::Set(operation, Box::new(left), Box::new(right))
    }

    /// How many columns it gives.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Select(Select { output: Output::Rows { columns, .. }, .. }) => columns.len(),
            Self::Select(Select { output: Output::Groups { keys, aggregates, .. }, .. }) => keys.len() + aggregates.len(),
            Self::Values(types, _) => types.len(),
            Self::Set(_, left, _) => left.width(),
            Self::Top(of, _) => of.width(),
            Self::With(recursive) => recursive.query.width(),
        }
    }
}

/// What defines a binding of `WITH RECURSIVE`.
#[derive(Clone, PartialEq, Debug)]
pub struct Linear {
    /// The types of its columns.
    pub types: Vec<Type>,
    /// The non-recursive term.
    pub base: Query,
    /// The recursive term, with one reference to the binding; a set operation is several terms.
    pub step: Query,
    /// UNION ALL.
    pub all: bool,
    /// USING KEY, which goes with UNION.
    pub key: Option<Key>,
}

/// The key of a recursion that keeps one row for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// How many of the first columns it has.
    pub columns: usize,
    /// `min` or `max` of the column behind them; without, the latest row has the key.
    pub function: Option<Function>,
}

/// A binding of `WITH MUTUALLY RECURSIVE`.
#[derive(Clone, PartialEq, Debug)]
pub struct Mutual {
    /// The types of its columns.
    pub types: Vec<Type>,
    /// What it is made of, over any of the bindings.
    pub query: Query,
}

/// What defines the bindings. Another form of recursion is another variant here, with its own function in `oracle` and `sql`.
#[derive(Clone, PartialEq, Debug)]
pub enum Recursion {
    /// `WITH RECURSIVE`; a binding sees those before it.
    Linear(Vec<Linear>),
    /// `WITH MUTUALLY RECURSIVE`, with `RETURN AT RECURSION LIMIT` if there is a limit.
    Mutual(Vec<Mutual>, Option<usize>),
}

impl Recursion {
    /// The types of each binding's columns.
    #[must_use]
    pub fn types(&self) -> Vec<&[Type]> {
        match self {
            Self::Linear(bindings) => bindings.iter().map(|binding| binding.types.as_slice()).collect(),
            Self::Mutual(bindings, _) => bindings.iter().map(|binding| binding.types.as_slice()).collect(),
        }
    }
}

/// A query over a recursion.
#[derive(Clone, PartialEq, Debug)]
pub struct Recursive {
    /// The recursion.
    pub recursion: Recursion,
    /// The query over its bindings.
    pub query: Query,
}
