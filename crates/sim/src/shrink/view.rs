//! Smaller views: what a query over a recursion still is without one of its parts.
//!
//! Queries keep their columns. What a FROM lists stays where it is, for expressions know columns by their positions.

use crate::expression::Predicate;
use crate::query::{Condition, Join, Linear, Mutual, Output, Query, Recursion, Recursive, Relation, Select};

#[cfg(test)]
mod tests;

/// What a view is without one of its parts, for each part; larger parts come first.
pub(super) fn smaller(view: &Recursive) -> Vec<Recursive> {
    recursives(view, 0)
}

/// The same of a recursion whose bindings are numbered from `first` on.
fn recursives(recursive: &Recursive, first: usize) -> Vec<Recursive> {
    let Recursive { recursion, query } = recursive;
    let next = first + recursion.types().len();
    let mut all = Vec::new();
    if next - first > 1 {
        all.extend((first..next).filter_map(|number| without_binding(recursive, number, number - first)));
    }
    all.extend(queries(query, next).into_iter().map(|query| Recursive { recursion: recursion.clone(), query }));
    all.extend(recursions(recursion, next).into_iter().map(|recursion| Recursive { recursion, query: query.clone() }));
    all
}

/// Without a binding that nobody else reads.
fn without_binding(recursive: &Recursive, number: usize, at: usize) -> Option<Recursive> {
    let mut left = recursive.clone();
    match &mut left.recursion {
        Recursion::Linear(bindings) => drop(bindings.remove(at)),
        Recursion::Mutual(bindings, _) => drop(bindings.remove(at)),
    }
    let mut read = false;
    left.each_reference(&mut |reference| {
        read |= *reference == number;
        *reference -= usize::from(*reference > number);
    });
    (!read).then_some(left)
}

fn recursions(recursion: &Recursion, next: usize) -> Vec<Recursion> {
    match recursion {
        Recursion::Linear(bindings) => {
            let each = bindings.iter().enumerate().flat_map(|(at, binding)| {
                linears(binding, next).into_iter().map(move |smaller| Recursion::Linear(replaced(bindings, at, smaller)))
            });
            each.collect()
        }
        Recursion::Mutual(bindings, limit) => {
            let each = bindings.iter().enumerate().flat_map(|(at, binding)| {
                let Mutual { types, query } = binding;
                queries(query, next).into_iter().map(move |query| {
                    let smaller = Mutual { types: types.clone(), query };
                    Recursion::Mutual(replaced(bindings, at, smaller), *limit)
                })
            });
            each.collect()
        }
    }
}

fn linears(binding: &Linear, next: usize) -> Vec<Linear> {
    let bases = queries(&binding.base, next).into_iter().map(|base| Linear { base, ..binding.clone() });
    let steps = queries(&binding.step, next).into_iter().map(|step| Linear { step, ..binding.clone() });
    bases.chain(steps).collect()
}

/// A query in whose place a recursion of its own would have bindings from `next` on.
fn queries(query: &Query, next: usize) -> Vec<Query> {
    match query {
        Query::Select(select) => selects(select, next).into_iter().map(Query::Select).collect(),
        Query::Values(types, rows) if rows.len() > 1 => {
            (0..rows.len()).map(|at| Query::Values(types.clone(), [&rows[..at], &rows[at + 1..]].concat())).collect()
        }
        Query::Values(..) => Vec::new(),
        Query::Set(operation, left, right) => {
            let set = |left: Query, right: Query| Query::set(*operation, left, right);
            let mut all = vec![Query::clone(left), Query::clone(right)];
            all.extend(queries(left, next).into_iter().map(|left| set(left, Query::clone(right))));
            all.extend(queries(right, next).into_iter().map(|right| set(Query::clone(left), right)));
            all
        }
        Query::Top(of, top) => {
            let inside = queries(of, next).into_iter().map(|of| Query::Top(Box::new(of), top.clone()));
            std::iter::once(Query::clone(of)).chain(inside).collect()
        }
        Query::With(recursive) => {
            let inside = recursives(recursive, next).into_iter().map(|smaller| Query::With(Box::new(smaller)));
            without_recursion(recursive, next).into_iter().chain(inside).collect()
        }
    }
}

/// The query alone, if it reads none of the recursion's bindings.
fn without_recursion(recursive: &Recursive, first: usize) -> Option<Query> {
    let (count, mut query, mut read) = (recursive.recursion.types().len(), recursive.query.clone(), false);
    query.each_reference(&mut |reference| {
        read |= (first..first + count).contains(reference);
        *reference -= if *reference < first + count { 0 } else { count };
    });
    (!read).then_some(query)
}

fn selects(select: &Select, next: usize) -> Vec<Select> {
    let mut all = Vec::new();
    for at in 0..select.conditions.len() {
        let mut smaller = select.clone();
        smaller.conditions.remove(at);
        all.push(smaller);
    }
    if let Output::Groups { having, .. } = &select.output
        && *having != Predicate::True
    {
        let mut smaller = select.clone();
        if let Output::Groups { having, .. } = &mut smaller.output {
            *having = Predicate::True;
        }
        all.push(smaller);
    }
    all.extend(relations(&select.from, next).into_iter().map(|from| Select { from, ..select.clone() }));
    for (at, join) in select.joins.iter().enumerate() {
        let smaller = relations(&join.relation, next).into_iter().map(|relation| Join { relation, ..join.clone() });
        all.extend(smaller.map(|join| Select { joins: replaced(&select.joins, at, join), ..select.clone() }));
    }
    for (at, condition) in select.conditions.iter().enumerate() {
        let smaller = conditions(condition, next).into_iter();
        all.extend(smaller.map(|condition| Select { conditions: replaced(&select.conditions, at, condition), ..select.clone() }));
    }
    all
}

fn relations(relation: &Relation, next: usize) -> Vec<Relation> {
    match relation {
        Relation::Table(_) | Relation::Binding(_) => Vec::new(),
        Relation::Derived(query) => queries(query, next).into_iter().map(|query| Relation::Derived(Box::new(query))).collect(),
    }
}

fn conditions(condition: &Condition, next: usize) -> Vec<Condition> {
    let (Condition::Exists { relation: of, .. } | Condition::In { relation: of, .. }) = condition else { return Vec::new() };
    let with = |of: Relation| {
        let mut smaller = condition.clone();
        if let Condition::Exists { relation, .. } | Condition::In { relation, .. } = &mut smaller {
            *relation = of;
        }
        smaller
    };
    relations(of, next).into_iter().map(with).collect()
}

/// A list with another item in one place.
fn replaced<T: Clone>(items: &[T], at: usize, by: T) -> Vec<T> {
    let mut items = items.to_vec();
    items[at] = by;
    items
}
