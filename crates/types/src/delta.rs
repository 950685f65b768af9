//! The delta: a batch of changes, the one type on every edge of a dataflow and in every change log.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::errors::Errors;
use crate::{Iteration, Weight};

/// Rows with weights and, inside a loop, iterations; beside them errors with weights.
///
/// Rows are in physical form ([`crate::physical`]). A delta is cheap to clone and to slice: arrays are shared.
#[derive(Clone, Debug)]
pub struct Delta {
    /// The rows, physical.
    pub rows: RecordBatch,
    /// One weight per row; `None` when every weight is 1.
    pub weights: Option<ScalarBuffer<Weight>>,
    /// One iteration per row; `None` outside loops and when every iteration is 0.
    pub iterations: Option<ScalarBuffer<Iteration>>,
    /// Errors with weights.
    pub errors: Errors,
}

impl Delta {
    /// No rows and no errors.
    #[must_use]
    pub fn empty(schema: SchemaRef) -> Self {
        Self::insertions(RecordBatch::new_empty(schema))
    }

    /// Each row once, at iteration 0.
    #[must_use]
    pub fn insertions(rows: RecordBatch) -> Self {
        Self { rows, weights: None, iterations: None, errors: Vec::new() }
    }

    /// Rows with weights, at iteration 0.
    ///
    /// # Panics
    /// When the lengths differ.
    #[must_use]
    pub fn weighted(rows: RecordBatch, weights: Vec<Weight>) -> Self {
        assert_eq!(rows.num_rows(), weights.len(), "one weight per row");
        Self { rows, weights: Some(weights.into()), iterations: None, errors: Vec::new() }
    }

    /// Errors alone.
    #[must_use]
    pub fn of_errors(schema: SchemaRef, errors: Errors) -> Self {
        Self { errors, ..Self::empty(schema) }
    }

    /// Number of rows, errors not counted.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// Neither rows nor errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.num_rows() == 0 && self.errors.is_empty()
    }

    /// Weight of row `i`.
    #[must_use]
    pub fn weight(&self, i: usize) -> Weight {
        self.weights.as_ref().map_or(1, |w| w[i])
    }

    /// Iteration of row `i`.
    #[must_use]
    pub fn iteration(&self, i: usize) -> Iteration {
        self.iterations.as_ref().map_or(0, |t| t[i])
    }

    /// Whether some row or error has a negative weight.
    #[must_use]
    pub fn has_retractions(&self) -> bool {
        self.weights.as_ref().is_some_and(|w| w.iter().any(|w| *w < 0)) || self.errors.iter().any(|(_, w)| *w < 0)
    }

    /// Rows `offset .. offset + length`, sharing the arrays. Errors go with the slice that starts at 0.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            rows: self.rows.slice(offset, length),
            weights: self.weights.as_ref().map(|w| w.slice(offset, length)),
            iterations: self.iterations.as_ref().map(|t| t.slice(offset, length)),
            errors: if offset == 0 { self.errors.clone() } else { Vec::new() },
        }
    }

    /// The rows of several behind each other, and their errors.
    ///
    /// # Panics
    /// When there are none, or their schemas differ.
    #[must_use]
    pub fn concat(deltas: &[Arc<Self>]) -> Self {
        let rows = concat_batches(&deltas[0].rows.schema(), deltas.iter().map(|d| &d.rows)).expect("the deltas have one schema");
        let each = || deltas.iter().flat_map(|d| (0..d.num_rows()).map(move |i| (d, i)));
        let has_weights = deltas.iter().any(|d| d.weights.is_some());
        let has_iterations = deltas.iter().any(|d| d.iterations.is_some());
        Self {
            rows,
            weights: has_weights.then(|| each().map(|(d, i)| d.weight(i)).collect()),
            iterations: has_iterations.then(|| each().map(|(d, i)| d.iteration(i)).collect()),
            errors: deltas.iter().flat_map(|d| d.errors.iter().cloned()).collect(),
        }
    }

    /// The same rows with every weight negated, errors too.
    #[must_use]
    pub fn negated(&self) -> Self {
        let weights = (0..self.num_rows()).map(|i| -self.weight(i)).collect::<Vec<_>>();
        Self {
            rows: self.rows.clone(),
            weights: Some(weights.into()),
            iterations: self.iterations.clone(),
            errors: self.errors.iter().map(|(e, w)| (e.clone(), -w)).collect(),
        }
    }

    /// Bytes of memory that the arrays take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let columns = self.rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
        columns + self.num_rows() * (8 * usize::from(self.weights.is_some()) + 4 * usize::from(self.iterations.is_some()))
    }
}
