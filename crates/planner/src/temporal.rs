//! Conditions that compare rows with the time.

use std::sync::Arc;

use refrain_plan::{Node, NodeId, Operator, Properties, Temporal};
use refrain_sql::{Result, TemporalNode};

use crate::lower::Lowering;
use crate::refuse;

impl Lowering<'_> {
    pub(crate) fn temporal(&mut self, filter: &TemporalNode) -> Result<NodeId> {
        let rows = self.lower(&filter.input)?;
        if !self.builder.node(rows).scope.is_empty() {
            return Err(refuse::time_in_recursion());
        }
        let (relation, schema) = self.context.clock.clone().ok_or_else(refuse::no_clock)?;
        let clock = self.builder.add(Node {
            operator: Operator::Source { relation, name: "clock".to_owned(), columns: vec![0] },
            inputs: Vec::new(),
            schema: Arc::clone(&schema),
            scope: Vec::new(),
            properties: Properties::default(),
        });
        Ok(self.builder.temporal(rows, Temporal { from: filter.from(), until: filter.until() }, clock))
    }
}
