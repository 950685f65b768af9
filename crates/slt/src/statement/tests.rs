use super::{InsertValues, Statement};

#[test]
fn literal_rows_are_split_at_their_own_parentheses() {
    let insert = "INSERT INTO t (a, b) VALUES (1, 'x),('), ((2 + 3) * 4, NULL),\n(3, E'\\')')";
    assert_eq!(
        Statement::of(insert),
        Statement::InsertValues(InsertValues {
            table: "t".into(),
            head: "INSERT INTO t (a, b) VALUES",
            rows: vec!["(1, 'x),(')", "((2 + 3) * 4, NULL)", "(3, E'\\')')"],
        })
    );
}

#[test]
fn an_insertion_with_more_than_rows_is_left_alone() {
    assert_eq!(Statement::of("INSERT INTO t SELECT 1"), Statement::Other);
    assert_eq!(Statement::of("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING"), Statement::Other);
    assert_eq!(Statement::of("INSERT INTO t VALUES (1"), Statement::Other);
}

#[test]
fn views_and_tables_are_known_by_name() {
    assert_eq!(
        Statement::of("CREATE MATERIALIZED VIEW V AS SELECT 1"),
        Statement::CreateView { name: "v".into(), materialized: true }
    );
    assert_eq!(
        Statement::of("create view if not exists \"V\" as select 1"),
        Statement::CreateView { name: "V".into(), materialized: false }
    );
    assert_eq!(
        Statement::of("CREATE TABLE t (a int) WITH (append_only = true)"),
        Statement::CreateTable { name: "t".into(), takes_noise: false }
    );
    for alter in ["ALTER MATERIALIZED VIEW v RESET (x)", "alter materialized view if exists V set (x = 1)"] {
        assert_eq!(Statement::of(alter), Statement::AlterView { name: "v".into() });
    }
    assert_eq!(Statement::of("SET reads = 'eager'"), Statement::Set);
    assert_eq!(Statement::of("-- why\n WITH x AS (SELECT 1) SELECT * FROM x"), Statement::Read);
}
