//! The functions that can be called: DataFusion's, and in their place those of ours where PostgreSQL's differ.

mod concat;
mod defined;
mod digest;
pub(super) mod interval_scale;
mod missing;
pub(super) mod numbering;
pub(crate) mod path;
mod registered;
mod rounding;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use self::concat::Concat;
use self::digest::Md5Text;
use self::missing::Missing;
use self::rounding::Rounding;
use super::aggregates::ExactAggregate;
use super::ranking::Ranking;
pub use defined::bind_function;
pub(super) use defined::type_literals;
pub use registered::{Function, Registered};

/// The function that takes lists apart.
pub(super) const UNNEST: &str = "unnest";

/// Functions by name and alias, and what turns syntax (`EXTRACT`, `[…]`, `count(*)`, …) into calls.
pub(crate) struct Functions {
    pub(crate) scalar: HashMap<String, Arc<ScalarUDF>>,
    pub(crate) aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub(crate) window: HashMap<String, Arc<WindowUDF>>,
    pub(crate) planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// Puts a function in the place of those that had its name or one of its aliases.
    fn add_scalar(&mut self, f: Arc<ScalarUDF>) {
        for name in f.aliases().iter().map(String::as_str).chain([f.name()]) {
            self.scalar.insert(name.to_owned(), Arc::clone(&f));
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.scalar.contains_key(name) || self.aggregate.contains_key(name) || self.window.contains_key(name)
    }

    /// What a call of a scalar function is bound to: where no function of any kind has the name, one that refuses its arguments. What gives
    /// several rows is the binder's own.
    pub(crate) fn scalar_or_missing(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let other_kind = name == UNNEST || self.aggregate.contains_key(name) || self.window.contains_key(name);
        let missing = || (!other_kind).then(|| Arc::new(ScalarUDF::new_from_impl(Missing::new(name))));
        self.scalar.get(name).cloned().or_else(missing)
    }
}

pub(crate) static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut functions =
        Functions { scalar: HashMap::new(), aggregate: HashMap::new(), window: HashMap::new(), planners: expression_planners() };
    for f in
        datafusion_functions::all_default_functions().into_iter().chain(datafusion_functions_nested::all_default_nested_functions())
    {
        functions.add_scalar(f);
    }
    for name in ["concat", "concat_ws"] {
        let of_texts = functions.scalar.get(name).cloned().expect("it is one of DataFusion's functions");
        functions.add_scalar(Arc::new(ScalarUDF::new_from_impl(Concat::new(of_texts))));
    }
    for f in Rounding::all() {
        functions.add_scalar(Arc::new(ScalarUDF::new_from_impl(f)));
    }
    functions.add_scalar(Arc::new(ScalarUDF::new_from_impl(Md5Text::new())));
    let exact = [ExactAggregate::sum(), ExactAggregate::avg()].map(|f| Arc::new(AggregateUDF::new_from_impl(f)));
    for f in datafusion_functions_aggregate::all_default_aggregate_functions().into_iter().chain(exact) {
        for name in f.aliases().iter().map(String::as_str).chain([f.name()]) {
            functions.aggregate.insert(name.to_owned(), Arc::clone(&f));
        }
    }
    // DataFusion's `mean` is its own `avg`, with its own result types.
    functions.aggregate.remove("mean");
    let every = functions.aggregate.get("bool_and").cloned().expect("it is one of DataFusion's functions");
    functions.aggregate.insert("every".to_owned(), every);
    for f in datafusion_functions_window::all_default_window_functions().into_iter().map(Ranking::of) {
        for name in f.aliases().iter().map(String::as_str).chain([f.name()]) {
            functions.window.insert(name.to_owned(), Arc::clone(&f));
        }
    }
    functions
});

/// Whether a function tells the time, which changes by itself.
pub(crate) fn is_now(name: &str) -> bool {
    matches!(name, "now" | "current_date" | "current_time" | "current_timestamp")
}

fn expression_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(super::operators::Operators),
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
        Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
    ]
}
