//! Random expressions and conditions over columns of given types.

use super::Generator;
use crate::expression::{Comparison, Expr, Predicate};
use crate::value::{Type, Value};

const ORDERS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

impl Generator {
    /// A column of this type, if there is one.
    pub(super) fn column(&mut self, types: &[Type], wanted: Type) -> Option<Expr> {
        let there = types.iter().enumerate().filter(|(_, t)| **t == wanted).map(|(i, _)| i).collect::<Vec<_>>();
        if there.is_empty() { None } else { Some(Expr::Column(*self.random.pick(&there))) }
    }

    /// A literal of this type, seldom NULL.
    pub(super) fn constant(&mut self, of: Type) -> Expr {
        let value = if self.random.percent(self.domain.nulls / 2) { Value::Null } else { self.literal(of) };
        Expr::Literal(value, of)
    }

    /// A column of this type, or a literal where there is none.
    pub(super) fn leaf(&mut self, types: &[Type], of: Type) -> Expr {
        match self.column(types, of) {
            Some(column) if self.random.percent(88) => column,
            _ => self.constant(of),
        }
    }

    /// An expression whose values are few, whatever goes in.
    pub(super) fn expression(&mut self, types: &[Type], of: Type) -> Expr {
        let a = self.leaf(types, of);
        if self.random.percent(68) {
            return a;
        }
        let b = self.leaf(types, of);
        if of == Type::Int && self.random.percent(60) {
            return self.computed(a, b);
        }
        match self.random.below(4) {
            0 => Expr::Coalesce(vec![a, b]),
            1 => Expr::NullIf(Box::new(a), Box::new(b)),
            2 => Expr::Case { when: Box::new(self.predicate(types, 1)), then: Box::new(a), otherwise: Box::new(b) },
            _ if self.random.percent(50) => Expr::Least(vec![a, b]),
            _ => Expr::Greatest(vec![a, b]),
        }
    }

    fn computed(&mut self, a: Expr, b: Expr) -> Expr {
        let small = self.random.within(1..=3);
        if self.free && self.random.percent(60) {
            return if self.random.percent(70) { a.plus(small) } else { Expr::Add(Box::new(a), Box::new(b)) };
        }
        match self.random.below(4) {
            0 => Expr::Modulo(Box::new(Expr::Add(Box::new(a), Box::new(b))), self.random.within(3..=8)),
            1 => Expr::Modulo(Box::new(Expr::Subtract(Box::new(a), Box::new(b))), self.random.within(2..=6)),
            2 => Expr::Least(vec![a.plus(small), Expr::int(self.random.within(4..=12))]),
            _ => Expr::Greatest(vec![Expr::Subtract(Box::new(a), Box::new(Expr::int(small))), Expr::int(0)]),
        }
    }

    /// A condition on a row.
    pub(super) fn predicate(&mut self, types: &[Type], depth: usize) -> Predicate {
        if depth > 0 && self.random.percent(30) {
            let parts = vec![self.predicate(types, depth - 1), self.predicate(types, depth - 1)];
            return match self.random.below(3) {
                0 => Predicate::And(parts),
                1 => Predicate::Or(parts),
                _ => Predicate::Not(Box::new(self.predicate(types, depth - 1))),
            };
        }
        let of = if types.contains(&Type::Text) && self.random.percent(35) { Type::Text } else { Type::Int };
        let left = self.column(types, of).unwrap_or_else(|| self.constant(of));
        match self.random.weighted(&[70, 10, 8, 6, 6]) {
            1 => Predicate::IsNotNull(left),
            2 => Predicate::IsNull(left),
            kind => {
                let right = if self.random.percent(50) { self.leaf(types, of) } else { self.constant(of) };
                let comparison = match kind {
                    3 => Comparison::Distinct,
                    4 => Comparison::NotDistinct,
                    _ => *self.random.pick(&ORDERS),
                };
                Predicate::Compare(comparison, left, right)
            }
        }
    }

    /// What makes rows of two sides meet: mostly that two columns are equal. The right side's columns stand behind the left one's.
    pub(super) fn meeting(&mut self, left: &[Type], right: &[Type]) -> Predicate {
        let common = [Type::Int, Type::Int, Type::Int, Type::Text].into_iter();
        let common = common.filter(|of| left.contains(of) && right.contains(of)).collect::<Vec<_>>();
        let all = left.iter().chain(right).copied().collect::<Vec<_>>();
        if common.is_empty() || self.random.percent(4) {
            return self.predicate(&all, 1);
        }
        let of = *self.random.pick(&common);
        let mut on = self.equality(left, right, of);
        if self.random.percent(10) {
            let of = *self.random.pick(&common);
            on = on.and(self.equality(left, right, of));
        }
        if self.random.percent(20) {
            on = on.and(self.predicate(&all, 1));
        }
        on
    }

    pub(super) fn equality(&mut self, left: &[Type], right: &[Type], of: Type) -> Predicate {
        let shifted = |expr: Expr| match expr {
            Expr::Column(at) => Expr::Column(at + left.len()),
            other => other,
        };
        let mut a = self.column(left, of).expect("the left side has a column of this type");
        let b = shifted(self.column(right, of).expect("the right side has a column of this type"));
        if of == Type::Int && self.random.percent(12) {
            a = Expr::Modulo(Box::new(a.plus(self.random.within(1..=3))), self.domain.nodes);
        }
        let comparison = if self.random.percent(7) { Comparison::NotDistinct } else { Comparison::Equal };
        if self.random.percent(50) { Predicate::Compare(comparison, a, b) } else { Predicate::Compare(comparison, b, a) }
    }
}
