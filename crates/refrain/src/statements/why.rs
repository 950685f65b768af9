//! `EXPLAIN WHY`: for a row of a query, the rows that make it one, down to rows of tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use refrain_sql::Bound;

use crate::error::Result;
use crate::query::{Fact, Prepared, derivation, execution_error, read_settled, relations_of};
use crate::session::{Notice, Outcome, Session};

/// What the last line says where the query gives another row than those that it reads.
const RESULT: &str = "result";

/// Explains the first row of a query.
pub(super) async fn why(session: &Session, query: &ast::Query) -> Result<Outcome> {
    let shared = session.shared();
    let database = shared.database();
    let why = refrain_sql::bind_why(&database.catalog, query)?;
    let bound = refrain_sql::bind_query(&database.catalog, query)?;
    let first = Prepared::new(&database, first_rows(bound, query.order_by.is_some())?)?;
    let mut reads = first.reads.clone();
    for plan in why.plans() {
        reads.extend(relations_of(&database, plan)?);
    }
    let reading = read_settled(shared, &reads, session).await?;
    let rows = first.run_over(shared, &reading).await?;
    let Some(row) = rows.batches.first().map(|batch| batch.slice(0, 1)) else {
        session.notice(Notice::new("the query gives no row, so there is nothing to explain"));
        return Ok(table(&[]));
    };
    if rows.batches.iter().map(RecordBatch::num_rows).sum::<usize>() > 1 {
        let notice = Notice::new("the query gives several rows, of which the first is explained");
        session.notice(notice.with_hint("Add a condition that only one row meets."));
    }
    Ok(table(&derivation(shared, &database, &reading, &why, &row).await?))
}

/// The first two rows of a query, in its order or else in that of all columns.
fn first_rows(bound: Bound, is_ordered: bool) -> Result<Bound> {
    let order = bound.plan.schema().columns().into_iter().map(|column| Expr::Column(column).sort(true, false)).collect::<Vec<_>>();
    let rows = LogicalPlanBuilder::new(bound.plan);
    let ordered = if is_ordered || order.is_empty() { Ok(rows) } else { rows.sort(order) };
    let plan: LogicalPlan = ordered.and_then(|rows| rows.limit(0, Some(2))?.build()).map_err(execution_error)?;
    Ok(Bound { plan, ..bound })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("step", DataType::Int64, false),
        Field::new("iteration", DataType::Int64, true),
        Field::new("relation", DataType::Utf8, false),
        Field::new("row", DataType::Utf8, false),
        Field::new("from", DataType::Utf8, true),
    ]))
}

/// One line for each fact, numbered from 1.
fn table(facts: &[Fact]) -> Outcome {
    let numbers = |fact: &Fact| fact.from.iter().map(|at| (at + 1).to_string()).collect::<Vec<_>>().join(", ");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((1..).take(facts.len()))),
        Arc::new(facts.iter().map(|fact| fact.iteration).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values(facts.iter().map(|fact| fact.relation.as_deref().unwrap_or(RESULT)))),
        Arc::new(StringArray::from_iter_values(facts.iter().map(|fact| &fact.row))),
        Arc::new(facts.iter().map(|fact| (!fact.from.is_empty()).then(|| numbers(fact))).collect::<StringArray>()),
    ];
    let batch = RecordBatch::try_new(schema(), columns).expect("the columns are the schema's");
    Outcome::Rows { schema: schema(), batches: if facts.is_empty() { Vec::new() } else { vec![batch] } }
}
