//! Statements, their texts, and syntax errors.

use super::parse;
use crate::catalog::RelationKind;
use crate::error::code;
use crate::statement::{
    Begin, CopyFormat, CopyFrom, CopySource, CsvOptions, Drop, Show, Statement, SubscribeTarget, TextOptions, Transaction,
};

fn one(sql: &str) -> Statement {
    let mut statements = parse(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    assert_eq!(statements.len(), 1, "{sql}");
    statements.remove(0).0
}

fn error(sql: &str) -> String {
    let e = parse(sql).expect_err(sql);
    let at = e.position.map(|p| format!(" at {}:{}", p.line, p.column)).unwrap_or_default();
    format!("{}: {}{at}", e.code, e.message)
}

#[test]
fn transactions_are_said_in_several_ways() {
    let begin = |is_start, read_only| Statement::Transaction(Transaction::Begin(Begin { is_start, read_only }));
    assert_eq!(one("BEGIN"), begin(false, false));
    assert_eq!(one("begin work isolation level read committed, read only"), begin(false, true));
    assert_eq!(one("START TRANSACTION READ ONLY READ WRITE NOT DEFERRABLE"), begin(true, false));
    for (text, statement) in [
        ("COMMIT", Transaction::Commit),
        ("END TRANSACTION AND NO CHAIN", Transaction::Commit),
        ("ABORT WORK", Transaction::Rollback),
        ("ROLLBACK", Transaction::Rollback),
        ("ROLLBACK TO s", Transaction::RollbackTo("s".to_owned())),
        ("ROLLBACK WORK TO SAVEPOINT \"S\"", Transaction::RollbackTo("S".to_owned())),
        ("SAVEPOINT S", Transaction::Savepoint("s".to_owned())),
        ("RELEASE SAVEPOINT s", Transaction::Release("s".to_owned())),
    ] {
        assert_eq!(one(text), Statement::Transaction(statement), "{text}");
    }
    assert_eq!(error("BEGIN READ ONLY,"), "42601: syntax error at end of input");
    assert_eq!(error("ABORT TO s"), "42601: syntax error at or near \"TO\" at 1:7");
}

#[test]
fn a_script_is_cut_into_statements_with_their_texts() {
    let texts = |sql: &str| parse(sql).unwrap().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts("SELECT 1;; -- done\n SELECT 'ä;' ;\n\nCHECKPOINT"), ["SELECT 1", "SELECT 'ä;'", "CHECKPOINT"]);
    assert_eq!(texts("  "), Vec::<String>::new());
}

#[test]
fn tables_have_columns_and_one_option() {
    let Statement::CreateTable(table) =
        one("CREATE TABLE IF NOT EXISTS T (a INT NOT NULL, \"B\" varchar(3), c numeric(10,2) NULL) WITH (append_only = true)")
    else {
        panic!()
    };
    assert_eq!((table.name.as_str(), table.if_not_exists, table.append_only), ("t", true, true));
    let columns = table.columns.iter().map(|c| format!("{} {} {}", c.name, c.sql_type, c.not_null)).collect::<Vec<_>>();
    assert_eq!(columns, ["a integer true", "B character varying(3) false", "c numeric(10,2) false"]);
    assert_eq!(
        error("CREATE TABLE t (a int REFERENCES u)"),
        "0A000: column constraint REFERENCES u of column \"a\" is not supported"
    );
    assert_eq!(error("CREATE TABLE t (a int) WITH (speed = 11)"), "22023: unrecognized parameter \"speed\"");
    assert_eq!(error("CREATE TABLE t AS SELECT 1"), "0A000: CREATE TABLE AS is not supported");
    assert_eq!(error("CREATE TABLE t (a json)"), "0A000: type json is not supported");
}

#[test]
fn views_keep_the_text_of_their_query() {
    let Statement::CreateMaterializedView(view) =
        one("CREATE MATERIALIZED VIEW IF NOT EXISTS v (x, y) AS\n  SELECT a, -- one\n b FROM t WITH DATA;")
    else {
        panic!()
    };
    assert_eq!((view.name.as_str(), view.if_not_exists), ("v", true));
    assert_eq!(
        (view.columns.clone(), view.query_text.as_str()),
        (vec!["x".to_owned(), "y".to_owned()], "SELECT a, -- one\n b FROM t")
    );
    let Statement::CreateView(view) = one("create or replace view v as (select 1)") else { panic!() };
    assert_eq!((view.or_replace, view.query_text.as_str()), (true, "(select 1)"));
    assert_eq!(
        error("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT 1"),
        "0A000: CREATE OR REPLACE MATERIALIZED VIEW is not supported"
    );
}

#[test]
fn copy_takes_both_spellings() {
    let csv = CsvOptions { header: true, delimiter: ';', null: "-".to_owned(), ..CsvOptions::default() };
    for sql in [
        "COPY t (a, b) FROM 'x.txt' WITH (FORMAT csv, HEADER true, DELIMITER ';', NULL '-')",
        "COPY t(a,b) FROM 'x.txt' (format CSV, header, delimiter ';', null '-')",
        "COPY t (a, b) FROM 'x.txt' DELIMITER ';' CSV HEADER NULL AS '-'",
    ] {
        let expected = CopyFrom {
            table: "t".into(),
            columns: vec!["a".into(), "b".into()],
            path: "x.txt".into(),
            format: CopyFormat::Csv(csv.clone()),
        };
        assert_eq!(one(sql), Statement::CopyFrom(expected), "{sql}");
    }
    let Statement::CopyFrom(copy) = one("COPY t FROM 'x.csv.gz'") else { panic!() };
    assert_eq!(copy.format, CopyFormat::Csv(CsvOptions::default()));
    let Statement::CopyFrom(copy) = one("COPY t FROM '/a/x.parquet'") else { panic!() };
    assert_eq!(copy.format, CopyFormat::Parquet);
    let Statement::CopyFrom(copy) = one("COPY t FROM 'x' NULL 'none'") else { panic!() };
    assert_eq!(copy.format, CopyFormat::Text(TextOptions { null: "none".to_owned(), ..TextOptions::default() }));
    assert_eq!(error("COPY t FROM 'x' (FORMAT csv, SPEED 3)"), "42601: option \"speed\" not recognized");
    assert_eq!(error("COPY t FROM 'x' DELIMITER 'a'"), "22023: COPY delimiter cannot be \"a\"");
    assert_eq!(error("COPY t FROM 'x' QUOTE '$'"), "0A000: COPY quote available only in CSV mode");
    assert_eq!(error("COPY t FROM 'x' CSV NULL ','"), "0A000: COPY delimiter must not appear in the NULL specification");
    assert_eq!(
        error("COPY t TO 'x.json' HEADER"),
        "0A000: COPY HEADER, DELIMITER, NULL, QUOTE and ESCAPE are for text and csv only"
    );
    let Statement::CopyTo(copy) = one("COPY t (a) TO 'x.json.gz'") else { panic!() };
    assert_eq!(
        (copy.source, copy.format),
        (CopySource::Relation { name: "t".into(), columns: vec!["a".into()] }, CopyFormat::Json)
    );
    let Statement::CopyTo(copy) = one("COPY (SELECT 1 AS one) TO 'x' (FORMAT parquet)") else { panic!() };
    assert_eq!(copy.format, CopyFormat::Parquet);
    assert_eq!(error("COPY (SELECT 1) FROM 'x'"), "42601: syntax error at or near \"FROM\" at 1:17");
    assert_eq!(error("COPY t TO STDOUT"), "0A000: COPY from or to anything but a file is not supported");
}

#[test]
fn the_other_statements() {
    let drop = Drop { kind: RelationKind::MaterializedView, names: vec!["a".into(), "b".into()], if_exists: true, cascade: true };
    assert_eq!(one("DROP MATERIALIZED VIEW IF EXISTS a, public.b CASCADE"), Statement::Drop(drop));
    assert_eq!(one("SHOW COLUMNS FROM refrain.loops"), Statement::Show(Show::Columns("refrain.loops".into())));
    assert_eq!(one("SHOW checkpoint_interval_ms"), Statement::Show(Show::Setting("checkpoint_interval_ms".into())));
    assert_eq!(one("SHOW ALL"), Statement::Show(Show::All));
    assert_eq!(one("SET reads = 'eager'"), Statement::Set { name: "reads".into(), value: Some("eager".into()) });
    assert_eq!(one("SET statement_timeout TO 100"), Statement::Set { name: "statement_timeout".into(), value: Some("100".into()) });
    assert_eq!(one("SET reads TO DEFAULT"), Statement::Set { name: "reads".into(), value: None });
    assert_eq!(one("RESET ALL"), Statement::Reset(None));
    assert_eq!(one("CHECKPOINT"), Statement::Checkpoint);
    assert!(matches!(one("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT 1"), Statement::Explain(_)));
    assert!(matches!(one("EXPLAIN (SELECT 1)"), Statement::Explain(_)));
    let Statement::Subscribe(s) = one("SUBSCRIBE TO v WITH (SNAPSHOT = false, PROGRESS)") else { panic!() };
    assert_eq!((s.target, s.snapshot, s.progress), (SubscribeTarget::Relation("v".into()), false, true));
    let Statement::Subscribe(s) = one("SUBSCRIBE (SELECT a FROM t) WITH (PROGRESS = true)") else { panic!() };
    assert!(matches!(s.target, SubscribeTarget::Query(_, text) if text == "SELECT a FROM t"));
}

#[test]
fn errors_say_where() {
    for (sql, expected) in [
        ("SELEC 1", "42601: syntax error at or near \"SELEC\" at 1:1"),
        ("SELECT 1\nFROM )", "42601: syntax error at or near \")\" at 2:6"),
        ("SELECT (1", "42601: syntax error at end of input"),
        ("SELECT 1 2", "42601: syntax error at or near \"2\" at 1:10"),
        ("DROP TABLE t x", "42601: syntax error at or near \"x\" at 1:14"),
        ("ALTER TABLE t ALTER x TYPE text", "0A000: ALTER TABLE … ALTER COLUMN x TYPE TEXT is not supported"),
        ("ALTER INDEX i RENAME TO j", "0A000: ALTER INDEX is not supported at 1:1"),
        ("CREATE SEQUENCE s", "0A000: CREATE SEQUENCE is not supported at 1:1"),
        ("CREATE UNIQUE INDEX i ON t (a)", "0A000: CREATE UNIQUE INDEX is not supported"),
        ("CREATE INDEX ON t ((a + 1))", "0A000: an index of an expression is not supported"),
        ("CREATE INDEX ON t (a text_ops)", "0A000: operator class \"text_ops\" is not supported"),
        ("CREATE INDEX ON t (a) WHERE a > 1", "0A000: an index of some rows (WHERE) is not supported"),
        ("CREATE INDEX ON t (a) INCLUDE (b)", "0A000: options of CREATE INDEX are not supported"),
        ("CREATE INDEX ON t USING gin (a)", "0A000: access method \"gin\" is not supported"),
        ("LISTEN news", "0A000: LISTEN is not supported at 1:1"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "0A000: transaction isolation level SERIALIZABLE is not supported"),
        ("COMMIT AND CHAIN", "0A000: AND CHAIN is not supported"),
        ("EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "0A000: EXPLAIN ANALYZE of this statement is not supported"),
        ("UPDATE t SET a = 1 FROM u RETURNING *", "0A000: RETURNING * of several tables is not supported"),
        ("SELECT * FROM t WHERE 'unclosed", "42601: unterminated quoted string at or near \"'unclosed\" at 1:23"),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

/// `WITH MUTUALLY RECURSIVE` becomes what sqlparser knows, wherever it stands, and a name stays a name.
#[test]
fn mutual_recursion_is_a_mark_on_recursive() {
    use super::mutually::{Limit, Mark, take_mark};
    let marks = |sql: &str| {
        let Statement::Query(mut query) = one(sql) else { panic!("{sql}") };
        let with = query.with.as_mut().expect("there is a WITH clause");
        let mark = take_mark(with);
        let names = with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()).collect::<Vec<_>>();
        (mark, with.recursive, names.join(" "))
    };
    let names = || "a b".to_owned();
    let bindings = "a (x int) AS (SELECT 1), b (y text) AS (SELECT y FROM b) SELECT 1";
    let (mutual, none) = (Mark { mutually: true, limit: None }, Mark::default());
    assert_eq!(marks(&format!("WITH MUTUALLY RECURSIVE {bindings}")), (mutual, true, names()));
    let limit = |iterations, fails| Some(Limit { iterations, fails });
    for (options, mark) in [
        ("(RECURSION LIMIT 7)", limit(7, true)),
        ("(error at recursion limit = 1)", limit(1, true)),
        ("( RETURN AT RECURSION LIMIT 4294967295 ) -- all of them\n", limit(u32::MAX, false)),
    ] {
        let mutual = Mark { mutually: true, limit: mark };
        assert_eq!(marks(&format!("with mutually /* both */ recursive {options} {bindings}")), (mutual, true, names()));
        let single = Mark { mutually: false, limit: mark };
        assert_eq!(marks(&format!("with recursive {options} {bindings}")), (single, true, names()));
    }
    assert_eq!(
        marks("WITH mutually AS (SELECT 1), recursive AS (SELECT 2) SELECT 1"),
        (none, false, "mutually recursive".to_owned())
    );
    assert_eq!(marks("WITH RECURSIVE mutually AS (SELECT 1) SELECT 1 LIMIT 1"), (none, true, "mutually".to_owned()));
    assert_eq!(
        error("WITH MUTUALLY RECURSIVE (RECURSION LIMIT x) a (x int) AS (SELECT 1) SELECT 1"),
        "42601: syntax error at or near \"x\" at 1:42"
    );
    assert_eq!(error("WITH MUTUALLY RECURSIVE (RECURSION LIMIT"), "42601: syntax error at end of input");
    assert_eq!(
        error("WITH MUTUALLY RECURSIVE (RECURSION LIMIT 4294967296) a (x int) AS (SELECT 1) SELECT 1"),
        "22023: recursion limit 4294967296 is not between 1 and 4294967295 at 1:42"
    );
}

/// `USING KEY` becomes a query in front of the one that it belongs to; elsewhere the words are names.
#[test]
fn a_key_is_a_mark_on_its_query() {
    use super::using_key::{UsingKey, take_keys};
    let keys = |sql: &str| {
        let Statement::Query(mut query) = one(sql) else { panic!("{sql}") };
        let with = query.with.as_mut().expect("there is a WITH clause");
        let keys = take_keys(with).expect("the clauses are right");
        with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()).zip(keys).collect::<Vec<_>>()
    };
    let key = |columns: &[&str], function: Option<(&str, &str)>| {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Some(UsingKey { columns, function: function.map(|(f, c)| (f.to_owned(), c.to_owned())) })
    };
    assert_eq!(
        keys(
            "WITH RECURSIVE a(x, y) USING KEY (x, min(y)) AS (SELECT 1, 2), b AS (SELECT 1), c using /* the */ key ( \"X\" ) as (SELECT 3)
             SELECT count(*) FROM a JOIN b USING (key)"
        ),
        [
            ("a".to_owned(), key(&["x"], Some(("min", "y")))),
            ("b".to_owned(), None),
            ("c".to_owned(), key(&["X"], None)),
        ]
    );
    assert_eq!(error("WITH a USING KEY (x) (SELECT 1) SELECT 1"), "42601: syntax error at or near \"USING\" at 1:8");
    assert_eq!(error("SELECT 1 FROM (VALUES (1)) USING KEY (x) AS (SELECT 1)"), "42601: syntax error at or near \"AS\" at 1:28");
}

#[test]
fn a_recursive_view_is_a_query_of_its_name() {
    let Statement::CreateView(view) = one("CREATE RECURSIVE VIEW v (\"A\", b) AS SELECT 1, 2 UNION SELECT 3, b FROM v") else {
        panic!()
    };
    let text = "WITH RECURSIVE \"v\" (\"A\", \"b\") AS (SELECT 1, 2 UNION SELECT 3, b FROM v) SELECT \"A\", \"b\" FROM \"v\"";
    assert_eq!((view.columns.is_empty(), view.query_text.as_str()), (true, text));
    assert!(matches!(one("CREATE RECURSIVE MATERIALIZED VIEW v (a) AS SELECT 1"), Statement::CreateMaterializedView(_)));
    assert_eq!(error("CREATE RECURSIVE VIEW v AS SELECT 1"), "42601: syntax error at or near \"AS\" at 1:25");
}

#[test]
fn a_limit_is_written_into_recursions_that_have_none() {
    let limited = |sql: &str| super::with_recursion_limit(sql, 7).expect("it can be read");
    assert_eq!(limited("SELECT 'WITH RECURSIVE t' FROM recursive"), None);
    assert_eq!(limited("WITH RECURSIVE (RETURN AT RECURSION LIMIT 3) t AS (SELECT 1) SELECT 1"), None);
    assert_eq!(
        limited("CREATE VIEW v AS -- ü\nWITH recursive t AS (WITH MUTUALLY /* x */ RECURSIVE u (a int) AS (SELECT 1) SELECT 1) SELECT 1"),
        Some(
            "CREATE VIEW v AS -- ü\nWITH recursive (ERROR AT RECURSION LIMIT 7) t AS (WITH MUTUALLY /* x */ RECURSIVE (ERROR AT RECURSION \
             LIMIT 7) u (a int) AS (SELECT 1) SELECT 1) SELECT 1"
                .to_owned()
        )
    );
}

#[test]
fn search_and_cycle_stand_behind_a_query_and_are_names_elsewhere() {
    use super::search_cycle::{Clauses, Search, take_clauses};
    let clauses = |sql: &str| {
        let mut query = super::parse_query(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        take_clauses(query.with.as_mut().expect("a WITH clause")).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    };
    let search = |breadth_first, columns: &[&str], sequence: &str| {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Some(Search { breadth_first, columns, sequence: sequence.to_owned() })
    };
    let both = clauses(
        "WITH RECURSIVE a AS (SELECT 1), r(x) AS (SELECT 1) search /* how */ depth first BY x, \"Y\" SET s \
         CYCLE x, y SET c TO 'a b' DEFAULT upper('(') USING p, b AS (SELECT 2) SEARCH breadth FIRST BY z SET t SELECT 1",
    );
    let cycle = both[1].cycle.clone().expect("a CYCLE clause");
    assert_eq!((cycle.columns, cycle.mark, cycle.path), (vec!["x".to_owned(), "y".to_owned()], "c".to_owned(), "p".to_owned()));
    assert_eq!((cycle.values.0.to_string(), cycle.values.1.to_string()), ("'a b'".to_owned(), "upper('(')".to_owned()));
    assert_eq!(both[1].search, search(false, &["x", "Y"], "s"));
    assert_eq!((&both[0], &both[2]), (&Clauses::default(), &Clauses { search: search(true, &["z"], "t"), cycle: None }));
    for sql in [
        "SELECT (1) cycle FROM t",
        "SELECT (1) search, (2) cycle",
        "WITH cycle AS (SELECT 1) SELECT * FROM cycle, (SELECT 2) search",
    ] {
        assert!(super::parse_query(sql).is_ok(), "{sql}");
    }
    let error = |sql: &str| {
        super::parse_query(&format!("WITH RECURSIVE r AS (SELECT 1) {sql} SELECT 1")).map(|_| ()).map_err(|e| e.message)
    };
    assert_eq!(error("CYCLE a SET c SELECT"), Err("syntax error at or near \"SELECT\"".to_owned()));
    assert_eq!(error("CYCLE a SET c TO 1 USING p"), Err("syntax error at or near \"USING\"".to_owned()));
}

#[test]
fn recursion_limits_are_replaced_and_taken_away() {
    let other = |sql: &str, limit| super::with_other_recursion_limit(sql, limit).expect("the text has tokens");
    let plain = "WITH RECURSIVE t AS (SELECT 1) SELECT 1";
    assert_eq!(other("WITH t AS (SELECT 1) SELECT 1 LIMIT 3", Some(2)), None);
    assert_eq!(other(plain, None).as_deref(), Some(plain));
    let limited = other(plain, Some(7)).expect("a recursion");
    assert_eq!(limited, "WITH RECURSIVE (ERROR AT RECURSION LIMIT 7) t AS (SELECT 1) SELECT 1");
    assert_eq!(other(&limited, Some(12)).as_deref(), Some("WITH RECURSIVE (ERROR AT RECURSION LIMIT 12) t AS (SELECT 1) SELECT 1"));
    assert_eq!(other(&limited, None).as_deref(), Some(plain));
    let two =
        "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT = 3) a (x int) AS (WITH RECURSIVE t AS (SELECT 1) SELECT 1) SELECT 1";
    assert_eq!(
        other(two, Some(9)).as_deref(),
        Some(
            "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT = 9) a (x int) AS \
              (WITH RECURSIVE (ERROR AT RECURSION LIMIT 9) t AS (SELECT 1) SELECT 1) SELECT 1"
        )
    );
}

#[test]
fn options_of_an_identity_come_in_any_order() {
    let columns = |options: &str| match one(&format!("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY {options}, b int)")) {
        Statement::CreateTable(create) => create.columns,
        other => panic!("{other:?}"),
    };
    let wanted = columns("(INCREMENT BY -2 MINVALUE -9 NO MAXVALUE START WITH -3 CACHE 4 NO CYCLE)");
    assert_eq!(columns("( no cycle START -3 minvalue -9 /* least */ CACHE 4 NO  MAXVALUE INCREMENT -2 )"), wanted);
    assert_ne!(columns("(START WITH 5)"), wanted);
    let error = |options| parse(&format!("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY ({options}))")).unwrap_err().message;
    assert_eq!(error("START 1 START 2"), "syntax error at or near \"START\"");
    assert_eq!(error("NO START 1"), "syntax error at or near \"NO\"");
    assert_eq!(error("5"), "syntax error at or near \"5\"");
}

#[test]
fn as_of_ends_a_query_alone() {
    let epoch = |sql: &str| match one(sql) {
        Statement::AsOf(_, epoch) => Some(epoch),
        Statement::Query(_) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(epoch("SELECT 1 AS OF 5"), Some(5));
    assert_eq!(epoch("WITH a AS (SELECT 1) SELECT * FROM a AS b as  of\n7 -- then\n ;"), Some(7));
    assert_eq!(epoch("(SELECT 1) as of 0"), Some(0));
    assert_eq!(epoch("SELECT a AS of FROM t AS of"), None);
    assert_eq!(epoch("SELECT 'x AS OF 5'"), None);
    let both = parse("SELECT 1 AS OF 5; SELECT 2 AS OF 6").unwrap();
    let epochs = both.iter().map(|(statement, _)| matches!(statement, Statement::AsOf(_, 5 | 6)));
    assert!(epochs.eq([true, true]));
    for sql in ["SELECT \"as\" of 5", "SELECT 1 AS \"of\" 5", "SELECT 1 AS OF 5 AS OF 6", "AS OF 5"] {
        assert_eq!(parse(sql).unwrap_err().code, code::SYNTAX_ERROR, "{sql}");
    }
    assert_eq!(parse("SELECT 1 AS OF 99999999999999999999").unwrap_err().code, code::INVALID_PARAMETER_VALUE);
    assert_eq!(parse("DELETE FROM t AS OF 5").unwrap_err().code, code::FEATURE_NOT_SUPPORTED);
}
