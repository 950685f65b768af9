//! Creating, dropping, depending, storing.

use super::{Catalog, RelationKind};
use crate::bind::tests::catalog;
use crate::error::Result;
use crate::statement::{CreateTable, Drop, Statement};

fn fixture() -> Catalog {
    catalog(
        "CREATE TABLE edges (src int, dst int); CREATE VIEW v1 AS SELECT * FROM edges; \
         CREATE MATERIALIZED VIEW m1 AS SELECT src, avg(dst) FROM v1 GROUP BY src; CREATE TABLE other (a text NOT NULL)",
    )
}

fn drop_names(catalog: &Catalog, sql: &str) -> Result<(Vec<String>, Vec<String>)> {
    let Statement::Drop(drop) = crate::parse(sql)?.remove(0).0 else { panic!("{sql}") };
    let plan = catalog.plan_drop(&drop)?;
    let names = plan.relations.iter().map(|id| catalog.get(*id).unwrap().name.clone()).collect();
    Ok((names, plan.notices.into_iter().map(|n| n.message).collect()))
}

#[test]
fn dependents_are_in_the_way_or_go_first() {
    let catalog = fixture();
    let error = drop_names(&catalog, "DROP TABLE edges").unwrap_err();
    assert_eq!(error.to_string(), "cannot drop table edges because other objects depend on it");
    assert_eq!(error.detail.unwrap(), "view v1 depends on table edges\nmaterialized view m1 depends on view v1");
    assert_eq!(error.hint.unwrap(), "Use DROP ... CASCADE to drop the dependent objects too.");
    let (names, notices) = drop_names(&catalog, "DROP TABLE edges CASCADE").unwrap();
    assert_eq!(names, ["m1", "v1", "edges"]);
    assert_eq!(notices, ["drop cascades to 2 other objects"]);
    assert_eq!(drop_names(&catalog, "DROP VIEW v1 CASCADE").unwrap().1, ["drop cascades to materialized view m1"]);
    assert_eq!(drop_names(&catalog, "DROP TABLE other").unwrap(), (vec!["other".to_owned()], Vec::new()));
}

#[test]
fn drop_wants_the_right_kind() {
    let catalog = fixture();
    let error = |sql: &str| {
        let e = drop_names(&catalog, sql).unwrap_err();
        format!("{}: {} ({})", e.code, e.message, e.hint.unwrap_or_default())
    };
    assert_eq!(error("DROP VIEW m1"), "42809: \"m1\" is not a view (Use DROP MATERIALIZED VIEW to remove a materialized view.)");
    assert_eq!(error("DROP TABLE v1"), "42809: \"v1\" is not a table (Use DROP VIEW to remove a view.)");
    assert_eq!(error("DROP TABLE zz"), "42P01: table \"zz\" does not exist ()");
    let (names, notices) = drop_names(&catalog, "DROP MATERIALIZED VIEW IF EXISTS zz").unwrap();
    assert_eq!((names.len(), notices), (0, vec!["materialized view \"zz\" does not exist, skipping".to_owned()]));
}

#[test]
fn a_stored_catalog_comes_back() {
    let mut catalog = fixture();
    catalog.define_system_table("refrain.loops", &arrow::datatypes::Schema::empty());
    let stored = serde_json::to_string(&catalog).unwrap();
    let mut read: Catalog = serde_json::from_str(&stored).unwrap();
    let of = |c: &Catalog| c.relations().filter(|r| r.kind != RelationKind::System).cloned().collect::<Vec<_>>();
    assert_eq!(of(&read), of(&catalog));
    assert!(read.find("refrain.loops").is_none());
    assert_eq!(read.relation("m1").unwrap().schema(), catalog.relation("m1").unwrap().schema());
    // Ids go on where they were.
    let next = |c: &mut Catalog| c.create_table(&CreateTable { name: "last".to_owned(), ..CreateTable::default() }).unwrap();
    assert_eq!(next(&mut read), next(&mut catalog));
}

#[test]
fn names_are_taken_once() {
    let mut catalog = fixture();
    let error = catalog.create_table(&CreateTable { name: "v1".to_owned(), ..CreateTable::default() }).unwrap_err();
    assert_eq!((error.code.as_str(), error.to_string().as_str()), ("42P07", "relation \"v1\" already exists"));
    let drop = Drop { kind: RelationKind::Table, names: vec!["other".into()], if_exists: false, cascade: false };
    for id in catalog.plan_drop(&drop).unwrap().relations {
        catalog.remove(id);
    }
    assert!(catalog.find("other").is_none());
    assert!(catalog.table("m1").unwrap_err().to_string().contains("cannot change materialized view \"m1\""));
}
