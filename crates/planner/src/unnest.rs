//! `unnest`: the elements of lists, a row for each.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion_common::NullHandling;
use refrain_plan::{Exchange, Node, NodeId, Operator, Properties, Unnest};
use refrain_sql::Result;

use crate::lower::Lowering;
use crate::refuse;

impl Lowering<'_> {
    pub(crate) fn unnest(&mut self, unnest: &datafusion_expr::Unnest) -> Result<NodeId> {
        let input = self.lower(&unnest.input)?;
        let from = self.builder.node(input);
        let columns = unnest.list_type_columns.iter().map(|(column, _)| *column).collect::<BTreeSet<_>>();
        let is_plain = unnest.struct_type_columns.is_empty()
            && columns.len() == unnest.list_type_columns.len()
            && unnest.list_type_columns.iter().all(|(_, list)| list.depth == 1)
            && unnest.dependency_indices.iter().copied().eq(0..from.schema.fields().len());
        let keeps_empty = match unnest.options.null_handling {
            NullHandling::Drop => Some(false),
            NullHandling::PreserveAndExpandEmpty => Some(true),
            NullHandling::Preserve => None,
        };
        let (true, Some(keeps_empty)) = (is_plain, keeps_empty) else { return Err(refuse::unnest_of_no_list()) };
        let fields = from.schema.fields().iter().zip(unnest.schema.fields()).enumerate().map(|(i, (field, named))| {
            let field = field.as_ref().clone().with_name(named.name());
            match (field.data_type().clone(), columns.contains(&i)) {
                (DataType::List(element), true) if !element.data_type().is_nested() => {
                    Ok(field.with_data_type(element.data_type().clone()).with_nullable(true))
                }
                (_, true) => Err(refuse::unnest_of_no_list()),
                (_, false) => Ok(field),
            }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
        let known = &from.properties;
        let partitioning = known.partitioning.clone().filter(|by| !by.iter().any(|column| columns.contains(column)));
        let properties = Properties { append_only: known.append_only, distinct: false, partitioning };
        let scope = from.scope.clone();
        let operator = Operator::Unnest(Unnest { columns: columns.into_iter().collect(), keeps_empty });
        Ok(self.builder.add(Node { operator, inputs: vec![(input, Exchange::Stay)], schema, scope, properties }))
    }
}
