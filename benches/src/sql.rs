//! What the SQL contenders share: the queries, rows as Arrow batches, and the answer that batches hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use crate::Failure;
use crate::checksum::{Answer, RowHash};

/// All pairs of a node and one it leads to.
pub(crate) const CLOSURE: &str = "\
    WITH RECURSIVE closure(source, target) AS (
        SELECT source, target FROM edges
        UNION
        SELECT closure.source, edges.target FROM closure JOIN edges ON edges.source = closure.target
    ) SELECT source, target FROM closure";

/// The nodes that node 0 leads to, and itself.
pub(crate) const CHAIN: &str = "\
    WITH RECURSIVE reached(node) AS (
        SELECT CAST(0 AS INT)
        UNION
        SELECT edges.target FROM reached JOIN edges ON edges.source = reached.node
    ) SELECT node FROM reached";

/// How far each node is from node 0.
pub(crate) const SHORTEST: &str = "\
    WITH RECURSIVE d(node, dist) USING KEY (node, min(dist)) AS (
        SELECT CAST(0 AS INT), CAST(0 AS INT)
        UNION
        SELECT edges.target, d.dist + edges.weight FROM d JOIN edges ON edges.source = d.node
    ) SELECT node, dist FROM d";

/// The least node of each node's component.
pub(crate) const COMPONENTS: &str = "\
    WITH RECURSIVE component(node, least) USING KEY (node, min(least)) AS (
        SELECT source, source FROM edges
        UNION ALL
        SELECT target, target FROM edges
        UNION
        SELECT way.target, component.least
        FROM component JOIN (
            SELECT source, target FROM edges UNION ALL SELECT target, source FROM edges
        ) AS way ON way.source = component.node
    ) SELECT node, least FROM component";

/// Which objects each variable may hold.
pub(crate) const POINTS_TO: &str = "\
    WITH MUTUALLY RECURSIVE
        variable (pointer INT, object INT) AS (
            SELECT pointer, object FROM allocations
            UNION
            SELECT a.target, v.object FROM assignments a JOIN variable v ON v.pointer = a.source
            UNION
            SELECT l.target, m.content
            FROM loads l JOIN variable v ON v.pointer = l.pointer JOIN memory m ON m.object = v.object
        ),
        memory (object INT, content INT) AS (
            SELECT DISTINCT p.object, s.object
            FROM stores JOIN variable p ON p.pointer = stores.pointer JOIN variable s ON s.pointer = stores.source
        )
    SELECT pointer, object FROM variable";

/// Who is of one generation, by blood and by marriage.
pub(crate) const SAME_GENERATION: &str = "\
    WITH MUTUALLY RECURSIVE
        person (name INT) AS (
            SELECT child FROM parents UNION SELECT parent FROM parents
        ),
        same (x INT, y INT) AS (
            SELECT name, name FROM person
            UNION
            SELECT a, b FROM marriages
            UNION
            SELECT b, a FROM marriages
            UNION
            SELECT p.child, q.child FROM same s JOIN parents p ON p.parent = s.x JOIN parents q ON q.parent = s.y
            UNION
            SELECT s.x, t.y FROM same s JOIN same t ON t.x = s.y
        )
    SELECT x, y FROM same";

/// All pairs of a node and one it leads to, each way cut into two ways anywhere.
pub(crate) const CLOSURE_NONLINEAR: &str = "\
    WITH MUTUALLY RECURSIVE
        closure (source INT, target INT) AS (
            SELECT source, target FROM edges
            UNION
            SELECT a.source, b.target FROM closure a JOIN closure b ON b.source = a.target
        )
    SELECT source, target FROM closure";

/// A column type of graphs.
pub(crate) trait SqlValue: Sized {
    /// Its name in SQL.
    const TYPE: &str;

    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
}

impl SqlValue for i32 {
    const TYPE: &str = "INT";

    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(values.copied()))
    }
}

impl SqlValue for String {
    const TYPE: &str = "TEXT";

    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }
}

/// Rows as one batch; no column holds a NULL.
pub(crate) fn pairs<L: SqlValue, R: SqlValue>(names: [&str; 2], rows: &[(L, R)]) -> RecordBatch {
    batch(&names, vec![L::column(rows.iter().map(|row| &row.0)), R::column(rows.iter().map(|row| &row.1))])
}

/// Edges with their weights as one batch.
pub(crate) fn weighted(edges: &[(i32, i32, i32)]) -> RecordBatch {
    let column = |of: fn(&(i32, i32, i32)) -> &i32| i32::column(edges.iter().map(of));
    batch(&["source", "target", "weight"], vec![column(|edge| &edge.0), column(|edge| &edge.1), column(|edge| &edge.2)])
}

fn batch(names: &[&str], columns: Vec<ArrayRef>) -> RecordBatch {
    let fields = names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns).expect("columns of one length, of the types of the schema")
}

/// Adds the rows of a batch, each with its weight.
pub(crate) fn add_batch(answer: &mut Answer, batch: &RecordBatch, weight: impl Fn(usize) -> i64) -> Result<(), Failure> {
    let mut hashes = vec![RowHash::default(); batch.num_rows()];
    for column in batch.columns() {
        if column.null_count() > 0 {
            return Err("there is a NULL in an answer that can have none".into());
        }
        if column.data_type().is_integer() || matches!(column.data_type(), DataType::Decimal128(_, 0)) {
            let column = cast(column, &DataType::Int64)?;
            let values = column.as_primitive::<Int64Type>().values();
            hashes.iter_mut().zip(values).for_each(|(row, value)| row.integer(*value));
        } else {
            let column = cast(column, &DataType::Utf8)?;
            let values = column.as_string::<i32>().iter().flatten();
            hashes.iter_mut().zip(values).for_each(|(row, value)| row.text(value));
        }
    }
    for (number, row) in hashes.into_iter().enumerate() {
        answer.add(row, weight(number));
    }
    Ok(())
}

/// The answer that batches hold, each row once.
pub(crate) fn answer(batches: &[RecordBatch]) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    for batch in batches {
        add_batch(&mut answer, batch, |_| 1)?;
    }
    Ok(answer)
}
