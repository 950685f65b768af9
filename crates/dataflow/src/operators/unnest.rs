//! The elements of lists, a row for each: stateless. Several lists of a row are gone through at once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Unnest};
use refrain_state::{Dictionary, decode_column, encode_column};
use refrain_types::Delta;
use refrain_types::physical::physical_schema;

use super::{Context, Edge, stateless};

/// The rows of `input` with elements in the place of lists.
pub(crate) fn unnest<'scope>(
    context: &Context,
    input: Edge<'scope>,
    (schema, output): (&SchemaRef, &SchemaRef),
    call: &Unnest,
) -> Edge<'scope> {
    let outstanding = context.outstanding.clone();
    let expansion = Expansion {
        dictionary: context.dictionary().clone(),
        schema: Arc::clone(schema),
        physical: physical_schema(output),
        call: call.clone(),
    };
    stateless(context, "Unnest", input, &Exchange::Stay, schema, move |delta| {
        outstanding.done(delta.num_rows());
        let delta = expansion.apply(delta);
        outstanding.sent(delta.num_rows());
        delta
    })
}

struct Expansion {
    dictionary: Arc<Dictionary>,
    schema: SchemaRef,
    /// Of what comes out.
    physical: SchemaRef,
    call: Unnest,
}

impl Expansion {
    fn apply(&self, delta: Delta) -> Delta {
        let decode = |column: &usize| -> ArrayRef {
            decode_column(&self.dictionary, delta.rows.column(*column), self.schema.field(*column).data_type())
        };
        let decoded = self.call.columns.iter().map(decode).collect::<Vec<_>>();
        let lists = decoded.iter().map(|list| list.as_list::<i32>()).collect::<Vec<_>>();
        let lengths = |row: usize| lists.iter().map(move |list| if list.is_null(row) { 0 } else { list.value_length(row) });

        // The row that each row comes of, and the elements that it has of each list.
        let mut rows = Vec::new();
        let mut elements = vec![Vec::new(); lists.len()];
        for row in 0..delta.num_rows() {
            let longest = lengths(row).max().unwrap_or(0).max(i32::from(self.call.keeps_empty));
            for place in 0..longest {
                rows.push(u32::try_from(row).expect("a batch has fewer rows"));
                for ((elements, list), length) in elements.iter_mut().zip(&lists).zip(lengths(row)) {
                    let at =
                        (place < length).then(|| u32::try_from(list.value_offsets()[row] + place).expect("offsets are positive"));
                    elements.push(at);
                }
            }
        }
        let taken =
            |column: &ArrayRef, indices: &UInt32Array| take(column, indices, None).expect("the indices are within the column");
        let of_rows = UInt32Array::from(rows);
        let columns = delta.rows.columns().iter().enumerate().map(|(i, column)| {
            let Some(list) = self.call.columns.iter().position(|list| *list == i) else { return taken(column, &of_rows) };
            let values = taken(lists[list].values(), &UInt32Array::from(std::mem::take(&mut elements[list])));
            encode_column(&self.dictionary, &values)
        });
        let columns = columns.collect::<Vec<_>>();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(of_rows.len()));
        Delta {
            rows: RecordBatch::try_new_with_options(Arc::clone(&self.physical), columns, &options)
                .expect("the columns are the schema's"),
            weights: delta.weights.as_ref().map(|weights| of_rows.values().iter().map(|row| weights[*row as usize]).collect()),
            iterations: delta.iterations.as_ref().map(|at| of_rows.values().iter().map(|row| at[*row as usize]).collect()),
            errors: delta.errors,
        }
    }
}
