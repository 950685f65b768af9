use super::{Stop, answer};
use crate::expression::{Comparison, Expr, Predicate};
use crate::query::{
    Aggregate, Column, Condition, Function, Join, JoinKind, Linear, Mutual, Output, Query, Recursion, Recursive, Relation, Select,
    SetOperation, Table,
};
use crate::value::{Row, Type, Value};

const NULL: Option<i64> = None;

fn edges() -> Vec<Table> {
    let column = |name| Column { name, data_type: Type::Int, nullable: true };
    vec![Table { name: "edge".to_owned(), columns: vec![column("a"), column("b")], append_only: false }]
}

fn rows<const N: usize>(rows: &[[Option<i64>; N]]) -> Vec<Row> {
    let rows = rows.iter().map(|row| row.iter().map(|value| value.map_or(Value::Null, Value::Int)).collect());
    super::sorted(rows.collect())
}

fn pairs(list: &[(i64, i64)]) -> Vec<Row> {
    rows(&list.iter().map(|(a, b)| [Some(*a), Some(*b)]).collect::<Vec<_>>())
}

fn columns(positions: &[usize]) -> Output {
    Output::Rows { columns: positions.iter().map(|at| Expr::Column(*at)).collect(), distinct: false }
}

fn scan(relation: Relation, output: Output) -> Query {
    Query::Select(Select { from: relation, joins: Vec::new(), conditions: Vec::new(), output })
}

fn joined(left: Relation, right: Relation, kind: JoinKind, (a, b): (usize, usize), output: Output) -> Query {
    let on = Predicate::equal(Expr::Column(a), Expr::Column(b));
    Query::Select(Select { from: left, joins: vec![Join { kind, relation: right, on }], conditions: Vec::new(), output })
}

/// `WITH RECURSIVE r(c0, c1) AS (SELECT a, b FROM edge UNION [ALL] SELECT r.c0, edge.b FROM r JOIN edge ON r.c1 = edge.a)`
fn closure(all: bool) -> Recursive {
    let base = scan(Relation::Table(0), columns(&[0, 1]));
    let step = joined(Relation::Binding(0), Relation::Table(0), JoinKind::Inner, (1, 2), columns(&[0, 3]));
    let linear = Linear { types: vec![Type::Int; 2], base, step, all, key: None };
    Recursive { recursion: Recursion::Linear(vec![linear]), query: scan(Relation::Binding(0), columns(&[0, 1])) }
}

fn mutual(bindings: Vec<Query>, limit: Option<usize>, query: Query) -> Recursive {
    let bindings = bindings.into_iter().map(|query| Mutual { types: vec![Type::Int; query.width()], query });
    Recursive { recursion: Recursion::Mutual(bindings.collect(), limit), query }
}

#[test]
fn a_closure_over_a_cycle_ends() {
    let contents = [pairs(&[(1, 2), (2, 1), (2, 3)])];
    let expected = pairs(&[(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]);
    assert_eq!(answer(&closure(false), &edges(), &contents), Ok(expected));
    assert_eq!(answer(&closure(true), &edges(), &contents), Err(Stop::TooLarge));
}

#[test]
fn nulls_end_joins_and_are_equal_in_a_set() {
    let contents = [rows(&[[Some(1), Some(2)], [Some(2), NULL], [NULL, Some(3)], [NULL, NULL], [Some(2), NULL]])];
    let expected = rows(&[[Some(1), Some(2)], [Some(1), NULL], [Some(2), NULL], [NULL, Some(3)], [NULL, NULL]]);
    assert_eq!(answer(&closure(false), &edges(), &contents), Ok(expected));
}

#[test]
fn union_all_counts_derivations() {
    let contents = [pairs(&[(1, 2), (1, 3), (2, 4), (3, 4), (4, 5), (4, 5)])];
    let mut expected = vec![(1, 2), (1, 3), (2, 4), (3, 4), (4, 5), (4, 5)];
    expected.extend([(1, 4), (1, 4), (2, 5), (2, 5), (3, 5), (3, 5)]);
    expected.extend([(1, 5), (1, 5), (1, 5), (1, 5)]);
    assert_eq!(answer(&closure(true), &edges(), &contents), Ok(pairs(&expected)));
}

#[test]
fn a_closure_that_names_itself_twice_is_the_same() {
    let base = scan(Relation::Table(0), columns(&[0, 1]));
    let step = joined(Relation::Binding(0), Relation::Binding(0), JoinKind::Comma, (1, 2), columns(&[0, 3]));
    let query = scan(Relation::Binding(0), columns(&[0, 1]));
    let twice = mutual(vec![Query::set(SetOperation::Union, base, step)], None, query);
    let contents = [pairs(&[(1, 2), (2, 3), (3, 4), (4, 2)])];
    assert_eq!(answer(&twice, &edges(), &contents), answer(&closure(false), &edges(), &contents));
}

/// `win` are the nodes with an edge to one that is not in `win`, as the iteration before has it.
#[test]
fn a_binding_sees_itself_as_it_was() {
    let on = Predicate::equal(Expr::Column(1), Expr::Column(2));
    let condition = Condition::Exists { negated: true, relation: Relation::Binding(0), on };
    let output = Output::Rows { columns: vec![Expr::Column(0)], distinct: true };
    let win = Query::Select(Select { from: Relation::Table(0), joins: Vec::new(), conditions: vec![condition], output });
    let query = scan(Relation::Binding(0), columns(&[0]));
    let ending = mutual(vec![win.clone()], None, query.clone());
    assert_eq!(answer(&ending, &edges(), &[pairs(&[(1, 2), (2, 3), (3, 4)])]), Ok(rows(&[[Some(1)], [Some(3)]])));
    assert_eq!(answer(&ending, &edges(), &[pairs(&[(1, 1)])]), Err(Stop::Endless));
    for (limit, expected) in [(1, rows(&[[Some(1)]])), (2, Vec::new()), (3, rows(&[[Some(1)]]))] {
        let limited = mutual(vec![win.clone()], Some(limit), query.clone());
        assert_eq!(answer(&limited, &edges(), &[pairs(&[(1, 1)])]), Ok(expected), "after {limit} iterations");
    }
}

#[test]
fn outer_joins_and_aggregates_know_null() {
    let own = scan(Relation::Table(0), columns(&[0, 1]));
    let full = joined(Relation::Binding(0), Relation::Binding(0), JoinKind::Full, (1, 2), columns(&[0, 3]));
    let contents = [rows(&[[Some(1), Some(2)], [Some(2), NULL]])];
    let expected = rows(&[[Some(1), NULL], [Some(2), NULL], [NULL, Some(2)]]);
    assert_eq!(answer(&mutual(vec![own.clone()], None, full), &edges(), &contents), Ok(expected));

    let call = |function| Aggregate { function, argument: Expr::Column(1) };
    let aggregates = [Function::CountRows, Function::Count, Function::Sum, Function::Min].map(call).to_vec();
    let groups = |keys: Vec<Expr>, having| Output::Groups { keys, aggregates: aggregates.clone(), having };
    let all = scan(Relation::Binding(0), groups(Vec::new(), Predicate::True));
    assert_eq!(
        answer(&mutual(vec![own.clone()], None, all.clone()), &edges(), &[Vec::new()]),
        Ok(rows(&[[Some(0), Some(0), NULL, NULL]]))
    );
    assert_eq!(
        answer(&mutual(vec![own.clone()], None, all), &edges(), &contents),
        Ok(rows(&[[Some(2), Some(1), Some(2), Some(2)]]))
    );
    let having = Predicate::Compare(Comparison::Less, Expr::Column(2), Expr::int(1));
    let some = scan(Relation::Binding(0), groups(vec![Expr::Column(0)], having));
    assert_eq!(answer(&mutual(vec![own], None, some), &edges(), &contents), Ok(rows(&[[Some(2), Some(1), Some(0), NULL, NULL]])));
}

#[test]
fn not_in_is_unknown_beside_a_null() {
    let query = |negated| {
        let condition = Condition::In { negated, value: Expr::Column(0), relation: Relation::Table(0), column: 1 };
        Query::Select(Select { from: Relation::Table(0), joins: Vec::new(), conditions: vec![condition], output: columns(&[0]) })
    };
    let own = || vec![scan(Relation::Table(0), columns(&[0]))];
    let contents = [rows(&[[Some(1), Some(2)], [Some(2), NULL], [NULL, Some(3)]])];
    assert_eq!(answer(&mutual(own(), None, query(false)), &edges(), &contents), Ok(rows(&[[Some(2)]])));
    assert_eq!(answer(&mutual(own(), None, query(true)), &edges(), &contents), Ok(Vec::new()));
    let contents = [pairs(&[(1, 2), (2, 4)])];
    assert_eq!(answer(&mutual(own(), None, query(true)), &edges(), &contents), Ok(rows(&[[Some(1)]])));
}

fn linear(base: Query, step: Query) -> Recursion {
    Recursion::Linear(vec![Linear { types: vec![Type::Int; base.width()], base, step, all: false, key: None }])
}

fn with(recursion: Recursion, query: Query) -> Query {
    Query::With(Box::new(Recursive { recursion, query }))
}

/// The outer binding begins with the edges 1 → 2 → 3. Whoever 1 reaches gets an edge back to it, so that in the end 1 reaches itself.
#[test]
fn a_closure_inside_sees_what_it_makes_the_binding_around_it() {
    let base = || scan(Relation::Binding(0), columns(&[0, 1]));
    let step = || joined(Relation::Binding(1), Relation::Binding(0), JoinKind::Inner, (1, 2), columns(&[0, 3]));
    let is_one = Predicate::equal(Expr::Column(0), Expr::int(1));
    let back = Query::Select(Select {
        from: Relation::Binding(1),
        joins: Vec::new(),
        conditions: vec![Condition::Where(is_one)],
        output: columns(&[1, 0]),
    });
    let block = Mutual { types: vec![Type::Int; 2], query: Query::set(SetOperation::Union, base(), step()) };
    for inside in [linear(base(), step()), Recursion::Mutual(vec![block], None)] {
        let edges_and_back =
            Query::set(SetOperation::Union, scan(Relation::Table(0), columns(&[0, 1])), with(inside, back.clone()));
        let outer = mutual(vec![edges_and_back], None, scan(Relation::Binding(0), columns(&[0, 1])));
        let expected = pairs(&[(1, 2), (2, 3), (2, 1), (3, 1), (1, 1)]);
        assert_eq!(answer(&outer, &edges(), &[pairs(&[(1, 2), (2, 3)])]), Ok(expected));
        assert_eq!(answer(&outer, &edges(), &[pairs(&[(2, 3)])]), Ok(pairs(&[(2, 3)])));
    }
}

/// What is inside keeps what it has, but only until it is worked out again.
#[test]
fn a_recursion_inside_begins_from_nothing_each_time() {
    let on = Predicate::equal(Expr::Column(0), Expr::Column(2));
    let condition = Condition::Exists { negated: true, relation: Relation::Binding(0), on };
    let outside =
        Query::Select(Select { from: Relation::Table(0), joins: Vec::new(), conditions: vec![condition], output: columns(&[0]) });
    let kept = Query::set(SetOperation::Union, outside, scan(Relation::Binding(1), columns(&[0])));
    let block = Recursion::Mutual(vec![Mutual { types: vec![Type::Int], query: kept }], None);
    let inside = with(block, scan(Relation::Binding(1), columns(&[0])));
    for (limit, expected) in [(1, rows(&[[Some(1)], [Some(2)]])), (2, Vec::new()), (3, rows(&[[Some(1)], [Some(2)]]))] {
        let outer = mutual(vec![inside.clone()], Some(limit), scan(Relation::Binding(0), columns(&[0])));
        assert_eq!(answer(&outer, &edges(), &[pairs(&[(1, 2), (2, 3)])]), Ok(expected), "after {limit} iterations");
    }
}

/// Of the bindings around it, it reads an earlier one as this iteration has it, and a later one as the iteration before has it. Both
/// bindings that hold a recursion number its bindings alike, and the one that stands deepest comes after all around it.
#[test]
fn a_recursion_inside_reads_bindings_as_they_are() {
    let nodes = || scan(Relation::Table(0), columns(&[0]));
    let reached_from = |binding| {
        let step = joined(Relation::Binding(2), Relation::Table(0), JoinKind::Inner, (0, 1), columns(&[2]));
        let deepest = with(
            linear(scan(Relation::Binding(binding), columns(&[0])), scan(Relation::Binding(3), columns(&[0]))),
            scan(Relation::Binding(3), columns(&[0])),
        );
        let entry = scan(Relation::Derived(Box::new(deepest)), columns(&[0]));
        let block = Mutual { types: vec![Type::Int], query: Query::set(SetOperation::Union, entry, step) };
        with(Recursion::Mutual(vec![block], None), scan(Relation::Binding(2), columns(&[0])))
    };
    let contents = [pairs(&[(1, 2), (2, 3)])];
    let reached = rows(&[[Some(1)], [Some(2)], [Some(3)]]);
    let second = || scan(Relation::Binding(1), columns(&[0]));
    let earlier = mutual(vec![nodes(), reached_from(0)], Some(1), second());
    assert_eq!(answer(&earlier, &edges(), &contents), Ok(reached.clone()));
    let first = || scan(Relation::Binding(0), columns(&[0]));
    for (limit, expected) in [(1, Vec::new()), (2, reached.clone())] {
        let later = mutual(vec![reached_from(1), nodes()], Some(limit), first());
        assert_eq!(answer(&later, &edges(), &contents), Ok(expected), "after {limit} iterations");
    }
    let both = mutual(vec![Query::set(SetOperation::Union, nodes(), reached_from(1)), reached_from(0)], None, second());
    assert_eq!(answer(&both, &edges(), &contents), Ok(reached));
}

#[test]
fn a_recursive_term_is_worked_out_where_nothing_begins() {
    let nothing = || {
        let is_none = Predicate::Compare(Comparison::Less, Expr::Column(0), Expr::Column(0));
        let conditions = vec![Condition::Where(is_none)];
        Query::Select(Select { from: Relation::Table(0), joins: Vec::new(), conditions, output: columns(&[0]) })
    };
    let over = |step| Recursive { recursion: linear(nothing(), step), query: scan(Relation::Binding(0), columns(&[0])) };
    let beside =
        Query::set(SetOperation::UnionAll, scan(Relation::Table(0), columns(&[1])), scan(Relation::Binding(0), columns(&[0])));
    assert_eq!(answer(&over(beside), &edges(), &[pairs(&[(1, 2)])]), Ok(rows(&[[Some(2)]])));

    let again =
        Query::set(SetOperation::UnionAll, scan(Relation::Table(0), columns(&[1])), scan(Relation::Binding(1), columns(&[0])));
    let block = Recursion::Mutual(vec![Mutual { types: vec![Type::Int], query: again }], None);
    let inside = Relation::Derived(Box::new(with(block, scan(Relation::Binding(1), columns(&[0])))));
    let endless = joined(Relation::Binding(0), inside, JoinKind::Inner, (0, 1), columns(&[1]));
    assert_eq!(answer(&over(endless.clone()), &edges(), &[pairs(&[(1, 2)])]), Err(Stop::Endless));
    assert_eq!(answer(&over(endless), &edges(), &[Vec::new()]), Ok(Vec::new()));
}
