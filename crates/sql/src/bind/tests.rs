//! Names, types and errors of bound queries.

use super::{Bound, bind_query};
use crate::catalog::Catalog;
use crate::error::SqlError;
use crate::statement::Statement;

/// A catalog with the tables of the statements.
pub(crate) fn catalog(script: &str) -> Catalog {
    let mut catalog = Catalog::default();
    for (statement, _) in crate::parse(script).unwrap() {
        match statement {
            Statement::CreateTable(t) => drop(catalog.create_table(&t.name, &t.columns, t.append_only).unwrap()),
            Statement::CreateView(v) => drop(create_view(&mut catalog, &v, crate::RelationKind::View).unwrap()),
            Statement::CreateMaterializedView(v) => {
                drop(create_view(&mut catalog, &v, crate::RelationKind::MaterializedView).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    catalog
}

fn create_view(
    catalog: &mut Catalog,
    view: &crate::statement::CreateView,
    kind: crate::RelationKind,
) -> Result<refrain_types::RelationId, SqlError> {
    let bound = super::bind_view(catalog, view)?;
    let definition =
        crate::ViewDefinition { query: view.query_text.clone(), columns: view.columns.clone(), depends_on: bound.depends_on };
    catalog.create_view(&view.name, kind, &bound.schema, definition)
}

pub(crate) fn edges() -> Catalog {
    catalog(
        "CREATE TABLE edges (src int, dst int); CREATE TABLE names (id bigint NOT NULL, name text, price numeric(10,2), at timestamp)",
    )
}

pub(crate) fn try_bind(catalog: &Catalog, sql: &str) -> Result<Bound, SqlError> {
    bind_query(catalog, &*crate::parser::parse_query(sql)?)
}

pub(crate) fn bind(catalog: &Catalog, sql: &str) -> Bound {
    try_bind(catalog, sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

pub(crate) fn error(catalog: &Catalog, sql: &str) -> String {
    let e = try_bind(catalog, sql).and_then(|b| crate::optimize_view(b.plan)).expect_err(sql);
    format!("{}: {}", e.code, e.message)
}
