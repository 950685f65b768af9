use crate::expression::{Expr, Predicate};
use crate::query::{
    Column, Join, JoinKind, Linear, Mutual, Output, Query, Recursion, Recursive, Relation, Select, SetOperation, Table,
};
use crate::value::Type;

fn scan(relation: Relation) -> Query {
    let output = Output::Rows { columns: vec![Expr::Column(0)], distinct: false };
    Query::Select(Select { from: relation, joins: Vec::new(), conditions: Vec::new(), output })
}

fn closure(number: usize, base: Relation) -> Query {
    let on = Predicate::equal(Expr::Column(0), Expr::Column(1));
    let step = Query::Select(Select {
        from: Relation::Binding(number),
        joins: vec![Join { kind: JoinKind::Inner, relation: Relation::Table(0), on }],
        conditions: Vec::new(),
        output: Output::Rows { columns: vec![Expr::Column(2)], distinct: false },
    });
    let recursion = Recursion::Linear(vec![Linear { types: vec![Type::Int], base: scan(base), step, all: false, key: None }]);
    Query::With(Box::new(Recursive { recursion, query: scan(Relation::Binding(number)) }))
}

#[test]
fn recursions_inside_others_have_names_of_their_own() {
    let column = |name| Column { name, data_type: Type::Int, nullable: true };
    let tables = [Table { name: "t0".to_owned(), columns: vec![column("a"), column("b")], append_only: false }];
    let first = Query::set(SetOperation::Union, scan(Relation::Table(0)), closure(2, Relation::Binding(1)));
    let deep = closure(2, Relation::Derived(Box::new(closure(3, Relation::Binding(0)))));
    let bindings = [first, deep].map(|query| Mutual { types: vec![Type::Int], query });
    let view = Recursive { recursion: Recursion::Mutual(bindings.into(), None), query: scan(Relation::Binding(1)) };
    let expected = "WITH MUTUALLY RECURSIVE \
        r0 (c0 int) AS (SELECT s0.a AS c0 FROM t0 AS s0 UNION (WITH RECURSIVE \
            r2(c0) AS (SELECT s1.c0 AS c0 FROM r1 AS s1 UNION SELECT s3.b AS c0 FROM r2 AS s2 JOIN t0 AS s3 ON s2.c0 = s3.a) \
            SELECT s4.c0 AS c0 FROM r2 AS s4)), \
        r1 (c0 int) AS (WITH RECURSIVE \
            r3(c0) AS (SELECT s5.c0 AS c0 FROM (WITH RECURSIVE \
                r4(c0) AS (SELECT s6.c0 AS c0 FROM r0 AS s6 UNION SELECT s8.b AS c0 FROM r4 AS s7 JOIN t0 AS s8 ON s7.c0 = s8.a) \
                SELECT s9.c0 AS c0 FROM r4 AS s9) AS s5 UNION SELECT s11.b AS c0 FROM r3 AS s10 JOIN t0 AS s11 ON s10.c0 = s11.a) \
            SELECT s12.c0 AS c0 FROM r3 AS s12) \
        SELECT s13.c0 AS c0 FROM r1 AS s13";
    assert_eq!(super::recursive(&tables, &view), expected);
}
