use super::smaller;
use crate::case::Shape;
use crate::expression::Expr;
use crate::query::{Linear, Mutual, Output, Query, Recursion, Recursive, Relation, Select, SetOperation};
use crate::value::Type;

fn scan(relation: Relation) -> Query {
    let output = Output::Rows { columns: vec![Expr::Column(0)], distinct: false };
    Query::Select(Select { from: relation, joins: Vec::new(), conditions: Vec::new(), output })
}

fn binding(number: usize) -> Query {
    scan(Relation::Binding(number))
}

fn mutual(bindings: Vec<Query>, query: Query) -> Recursive {
    let bindings = bindings.into_iter().map(|query| Mutual { types: vec![Type::Int], query });
    Recursive { recursion: Recursion::Mutual(bindings.collect(), None), query }
}

fn linear(base: Query, step: Query, query: Query) -> Query {
    let binding = Linear { types: vec![Type::Int], base, step, all: false, key: None };
    Query::With(Box::new(Recursive { recursion: Recursion::Linear(vec![binding]), query }))
}

#[test]
fn a_binding_that_nobody_reads_goes_and_others_take_its_number() {
    let inside = linear(binding(2), binding(3), binding(3));
    let view = mutual(vec![binding(2), binding(1), inside], binding(2));
    let renumbered = linear(binding(1), binding(2), binding(2));
    let views = smaller(&view);
    assert!(views.contains(&mutual(vec![binding(1), renumbered], binding(1))));
    let without_first = linear(binding(1), binding(2), binding(2));
    assert!(views.contains(&mutual(vec![binding(0), without_first], binding(1))));
    assert!(!views.iter().any(|view| view.recursion.types().len() < 2), "one at a time");
}

#[test]
fn a_recursion_inside_goes_where_its_bindings_are_not_read() {
    let deepest = linear(binding(0), binding(2), binding(2));
    let view = mutual(vec![linear(binding(0), binding(1), deepest)], binding(0));
    let moved = linear(binding(0), binding(1), binding(1));
    assert!(smaller(&view).contains(&mutual(vec![moved], binding(0))));
    let read = mutual(vec![linear(binding(0), binding(1), binding(1))], binding(0));
    assert_eq!(smaller(&read), Vec::new());
}

#[test]
fn either_side_of_a_set_may_go() {
    let inside = linear(binding(0), binding(1), binding(1));
    let both = Query::set(SetOperation::Union, scan(Relation::Table(0)), scan(Relation::Derived(Box::new(inside.clone()))));
    let view = mutual(vec![both], binding(0));
    let table = mutual(vec![scan(Relation::Table(0))], binding(0));
    let derived = mutual(vec![scan(Relation::Derived(Box::new(inside)))], binding(0));
    assert_eq!(smaller(&view), [table, derived]);
}

/// Whatever is left out, numbers and columns still mean something: the oracle and the text go through it.
#[test]
fn smaller_views_are_views() {
    for case in (0..400).map(crate::generate::case).filter(|case| case.shape == Shape::Nested) {
        let mut contents = case.contents();
        for step in &case.steps {
            crate::case::apply(&mut contents, step);
        }
        for view in smaller(&case.view) {
            assert_eq!(view.query.width(), case.view.query.width());
            let smaller = crate::case::Case { view, ..case.clone() };
            assert!(smaller.query().len() < case.query().len(), "{} is not smaller than {}", smaller.query(), case.query());
            let _ = crate::oracle::answer(&smaller.view, &smaller.tables, &contents);
        }
    }
}
