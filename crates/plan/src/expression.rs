//! Functions of one row: filters and projections in sequence.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

/// A sequence of filters and projections, applied to each row by itself. Empty means the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowFunction {
    /// In the order in which they apply.
    pub steps: Vec<Step>,
}

/// One step of a row function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Keeps the rows for which the expression is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Replaces the columns.
    Project(Vec<Projected>),
}

/// One output column of a projection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Projected {
    /// An input column, under the output field's name.
    Column(usize, FieldRef),
    /// A computed value; the field gives its name, type and nullability.
    Computed(Arc<dyn PhysicalExpr>, FieldRef),
}

impl Projected {
    /// The output field.
    #[must_use]
    pub fn field(&self) -> &FieldRef {
        match self {
            Self::Column(_, field) | Self::Computed(_, field) => field,
        }
    }
}

impl RowFunction {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// Keeps the given columns of `input`, in that order.
    #[must_use]
    pub fn columns(input: &Schema, columns: &[usize]) -> Self {
        let project = columns.iter().map(|&c| Projected::Column(c, Arc::new(Field::clone(input.field(c)))));
        Self { steps: vec![Step::Project(project.collect())] }
    }

    /// The schema of the output for rows of `input`.
    #[must_use]
    pub fn output_schema(&self, input: &SchemaRef) -> SchemaRef {
        let last = self.steps.iter().rev().find_map(|step| match step {
            Step::Project(columns) => Some(columns),
            Step::Filter(_) => None,
        });
        match last {
            None => Arc::clone(input),
            Some(columns) => Arc::new(Schema::new(columns.iter().map(|c| Arc::clone(c.field())).collect::<Vec<_>>())),
        }
    }

    /// This, then `next`.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self
    }

    /// Whether every step only moves columns, so that no expression has to be evaluated.
    #[must_use]
    pub fn only_moves_columns(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Filter(_) => false,
            Step::Project(columns) => columns.iter().all(|c| matches!(c, Projected::Column(..))),
        })
    }

    /// Where each output column comes from in the input, `None` where it is computed.
    #[must_use]
    pub fn column_sources(&self, input_width: usize) -> Vec<Option<usize>> {
        let mut sources = (0..input_width).map(Some).collect::<Vec<_>>();
        for step in &self.steps {
            if let Step::Project(columns) = step {
                let moved = columns.iter().map(|c| match c {
                    Projected::Column(i, _) => sources[*i],
                    Projected::Computed(..) => None,
                });
                sources = moved.collect();
            }
        }
        sources
    }
}
