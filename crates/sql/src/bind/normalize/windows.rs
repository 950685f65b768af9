//! Windows with names, and where frames begin and end.
//!
//! DataFusion knows `OVER w`, but passes over the name in `OVER (w ROWS …)`; so what is said under the name is copied. The bounds of a frame it
//! reads as literals, which they have to stay.

use datafusion_sql::sqlparser::ast::{Expr, NamedWindowDefinition, NamedWindowExpr, Select, Value, WindowFrameBound, WindowSpec};

use super::{interval_text, keep_number};
use crate::error::{Result, SqlError, code};
use crate::parser::fold;

/// An interval with this many digits after the seconds' point is the bound of a frame: nothing else gives it so many.
const BOUND: u64 = u64::MAX;

/// The windows that have names in the queries around an expression, innermost last.
#[derive(Default)]
pub(super) struct Windows(Vec<Vec<(String, WindowSpec)>>);

impl Windows {
    /// A query begins. Its windows may name those before them.
    pub fn enter(&mut self, select: &mut Select) -> Result<()> {
        self.0.push(Vec::new());
        for NamedWindowDefinition(name, window) in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = window {
                self.resolve(spec)?;
                let named = self.0.last_mut().expect("the query has begun");
                named.push((fold(name), spec.clone()));
                keep_bounds(spec);
            }
        }
        Ok(())
    }

    /// It ends.
    pub fn leave(&mut self, select: &mut Select) {
        self.0.pop();
        for NamedWindowDefinition(_, window) in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = window {
                release_bounds(spec);
            }
        }
    }

    /// Puts what a window's name stands for into a window that begins with it.
    pub fn resolve(&self, spec: &mut WindowSpec) -> Result<()> {
        let Some(name) = spec.window_name.take() else { return Ok(()) };
        let name = fold(&name);
        let of_query = self.0.last().into_iter().flatten();
        let Some((_, named)) = of_query.rev().find(|(other, _)| *other == name) else {
            return Err(SqlError::new(code::UNDEFINED_OBJECT, format!("window \"{name}\" does not exist")));
        };
        let overrides =
            |what: &str| Err(SqlError::new(code::WINDOWING_ERROR, format!("cannot override {what} of window \"{name}\"")));
        if !spec.partition_by.is_empty() {
            return overrides("PARTITION BY clause");
        }
        if !spec.order_by.is_empty() && !named.order_by.is_empty() {
            return overrides("ORDER BY clause");
        }
        if named.window_frame.is_some() {
            let message = format!("cannot copy window \"{name}\" because it has a frame clause");
            return Err(SqlError::new(code::WINDOWING_ERROR, message));
        }
        spec.partition_by.clone_from(&named.partition_by);
        if spec.order_by.is_empty() {
            spec.order_by.clone_from(&named.order_by);
        }
        Ok(())
    }
}

/// What is said of where the frames of a window begin and end.
fn bounds(spec: &mut WindowSpec) -> impl Iterator<Item = &mut Expr> {
    let frame = spec.window_frame.as_mut();
    let both = frame.into_iter().flat_map(|frame| [Some(&mut frame.start_bound), frame.end_bound.as_mut()]);
    both.flatten().filter_map(|bound| match bound {
        WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => value.as_deref_mut(),
        WindowFrameBound::CurrentRow => None,
    })
}

/// Bounds are to stay as they are while expressions are normalized.
pub(super) fn keep_bounds(spec: &mut WindowSpec) {
    for bound in bounds(spec) {
        match bound {
            Expr::Interval(interval) if interval_text(interval) => interval.fractional_seconds_precision = Some(BOUND),
            other => keep_number(other),
        }
    }
}

/// Takes the marks of [`keep_bounds`] off again.
pub(super) fn release_bounds(spec: &mut WindowSpec) {
    for bound in bounds(spec) {
        match bound {
            Expr::Interval(interval) if interval.fractional_seconds_precision == Some(BOUND) => {
                interval.fractional_seconds_precision = None;
            }
            Expr::Value(value) => {
                if let Value::Number(_, long) = &mut value.value {
                    *long = false;
                }
            }
            _ => {}
        }
    }
}
