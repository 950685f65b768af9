use std::collections::BTreeMap;

use crate::case::Shape;
use crate::query::{Condition, JoinKind, Output, Query, Recursion, Recursive, Relation, Select, SetOperation};

/// What there is inside a view.
#[derive(Default)]
struct Inside {
    /// Recursions, by how many stand around them.
    depths: BTreeMap<usize, usize>,
    /// Recursions that read a binding around them.
    dependent: usize,
    linear: usize,
    mutual: usize,
}

impl Inside {
    fn recursive(&mut self, recursive: &Recursive, first: usize, depth: usize) {
        let next = first + recursion_len(recursive);
        *self.depths.entry(depth).or_default() += 1;
        if depth > 0 {
            let mut least = usize::MAX;
            recursive.clone().each_reference(&mut |reference| least = least.min(*reference));
            self.dependent += usize::from(least < first);
        }
        match &recursive.recursion {
            Recursion::Linear(bindings) => {
                self.linear += 1;
                bindings.iter().flat_map(|binding| [&binding.base, &binding.step]).for_each(|q| self.query(q, next, depth));
            }
            Recursion::Mutual(bindings, _) => {
                self.mutual += 1;
                bindings.iter().for_each(|binding| self.query(&binding.query, next, depth));
            }
        }
        self.query(&recursive.query, next, depth);
    }

    fn query(&mut self, query: &Query, next: usize, depth: usize) {
        match query {
            Query::Values(..) => {}
            Query::Top(of, _) => self.query(of, next, depth),
            Query::Set(_, left, right) => [left, right].into_iter().for_each(|q| self.query(q, next, depth)),
            Query::With(recursive) => self.recursive(recursive, next, depth + 1),
            Query::Select(select) => {
                for relation in relations(select) {
                    if let Relation::Derived(query) = relation {
                        self.query(query, next, depth);
                    }
                }
            }
        }
    }

    /// How many recursions stand inside others.
    fn count(&self) -> usize {
        self.depths.range(1..).map(|(_, count)| count).sum()
    }
}

fn recursion_len(recursive: &Recursive) -> usize {
    recursive.recursion.types().len()
}

fn relations(select: &Select) -> impl Iterator<Item = &Relation> {
    let joined = select.joins.iter().map(|join| &join.relation);
    let looked_through = select.conditions.iter().filter_map(|condition| match condition {
        Condition::Where(_) => None,
        Condition::Exists { relation, .. } | Condition::In { relation, .. } => Some(relation),
    });
    std::iter::once(&select.from).chain(joined).chain(looked_through)
}

/// Whether more rows in bindings never make fewer.
fn only_grows(query: &Query) -> bool {
    let mut reads = false;
    query.clone().each_reference(&mut |_| reads = true);
    if !reads {
        return true;
    }
    match query {
        Query::Values(..) => true,
        Query::Top(..) => false,
        Query::Set(operation, left, right) => {
            matches!(operation, SetOperation::Union | SetOperation::UnionAll) && only_grows(left) && only_grows(right)
        }
        Query::With(recursive) => bindings(recursive).into_iter().chain([&recursive.query]).all(only_grows),
        Query::Select(select) => {
            let negated = |condition: &Condition| {
                matches!(condition, Condition::Exists { negated: true, .. } | Condition::In { negated: true, .. })
            };
            let inner = select.joins.iter().all(|join| matches!(join.kind, JoinKind::Inner | JoinKind::Comma));
            let rows = matches!(select.output, Output::Rows { .. });
            let inside = relations(select).all(|relation| match relation {
                Relation::Derived(query) => only_grows(query),
                Relation::Table(_) | Relation::Binding(_) => true,
            });
            inner && rows && inside && !select.conditions.iter().any(negated)
        }
    }
}

fn bindings(recursive: &Recursive) -> Vec<&Query> {
    match &recursive.recursion {
        Recursion::Linear(bindings) => bindings.iter().flat_map(|binding| [&binding.base, &binding.step]).collect(),
        Recursion::Mutual(bindings, _) => bindings.iter().map(|binding| &binding.query).collect(),
    }
}

#[test]
fn recursions_that_depend_on_one_another_only_grow() {
    let (mut all, mut cases, mut by_itself, mut begins) = (Inside::default(), 0, 0, 0);
    let nested = (0..6_000).map(crate::generate::case).filter(|case| case.shape == Shape::Nested);
    for case in nested {
        let mut inside = Inside::default();
        inside.recursive(&case.view, 0, 0);
        assert!(inside.count() > 0, "seed {} has no recursion inside another one: {}", case.seed, case.query());
        cases += 1;
        if inside.dependent == 0 {
            by_itself += 1;
            continue;
        }
        assert_eq!(inside.dependent, inside.count(), "seed {} has one that stands by itself: {}", case.seed, case.query());
        assert!(bindings(&case.view).into_iter().all(only_grows), "seed {} may take rows back: {}", case.seed, case.query());
        inside.depths.iter().for_each(|(depth, count)| *all.depths.entry(*depth).or_default() += count);
        (all.linear, all.mutual) = (all.linear + inside.linear, all.mutual + inside.mutual);
        begins += usize::from(matches!(case.view.recursion, Recursion::Linear(_)));
    }
    assert!((cases / 6..cases / 3).contains(&by_itself), "{by_itself} of {cases} cases have one that stands by itself");
    assert!([1, 2, 3].iter().all(|depth| all.depths.contains_key(depth)), "{:?}", all.depths);
    assert!((cases / 12..cases / 5).contains(&begins), "{begins} of {cases} cases have one that begins with the rows around it");
    assert!(all.linear > cases / 3 && all.mutual > cases, "{} and {} of {cases}", all.linear, all.mutual);
}
