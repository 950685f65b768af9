//! Functions that whoever embeds the engine has registered, beside those that there are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use super::FUNCTIONS;
use crate::error::{Result, SqlError, code};
use crate::table_function::TableFunction;

/// A function of any kind.
#[derive(Clone, Debug)]
pub enum Function {
    /// A value of a row's values.
    Scalar(Arc<ScalarUDF>),
    /// A value of the rows of a group.
    Aggregate(Arc<AggregateUDF>),
    /// A value for each row of a partition.
    Window(Arc<WindowUDF>),
    /// Rows, in FROM.
    Table(Arc<dyn TableFunction>),
}

/// Registered functions by their names and aliases. Clones share them; none goes away again.
#[derive(Clone, Debug, Default)]
pub struct Registered(Arc<RwLock<BTreeMap<String, Function>>>);

impl Registered {
    /// Registers a function.
    ///
    /// # Errors
    /// `42723` when there is a function of one of its names.
    pub fn add(&self, function: impl Into<Function>) -> Result<()> {
        let function = function.into();
        let mut functions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let names = function.names();
        if let Some(taken) = names.iter().find(|name| FUNCTIONS.has(name) || functions.contains_key(*name)) {
            return Err(SqlError::new(code::DUPLICATE_FUNCTION, format!("function \"{taken}\" already exists")));
        }
        functions.extend(names.into_iter().map(|name| (name, function.clone())));
        Ok(())
    }

    /// Whether there is a function of this name, registered or our own.
    pub(crate) fn has(&self, name: &str) -> bool {
        FUNCTIONS.has(name) || self.get(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Function> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Whether a call of this name is an aggregate.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Function::Aggregate(_))) || FUNCTIONS.aggregate.contains_key(name)
    }

    /// The names of those that are of one kind.
    pub(crate) fn names(&self, is_of_kind: impl Fn(&Function) -> bool) -> Vec<String> {
        let functions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        functions.iter().filter(|(_, function)| is_of_kind(function)).map(|(name, _)| name.clone()).collect()
    }
}

impl Function {
    pub(crate) fn names(&self) -> Vec<String> {
        let (name, aliases) = match self {
            Self::Scalar(f) => (f.name(), f.aliases()),
            Self::Aggregate(f) => (f.name(), f.aliases()),
            Self::Window(f) => (f.name(), f.aliases()),
            Self::Table(f) => return vec![f.name().to_owned()],
        };
        aliases.iter().cloned().chain([name.to_owned()]).collect()
    }
}

impl From<ScalarUDF> for Function {
    fn from(function: ScalarUDF) -> Self {
        Self::Scalar(Arc::new(function))
    }
}

impl From<AggregateUDF> for Function {
    fn from(function: AggregateUDF) -> Self {
        Self::Aggregate(Arc::new(function))
    }
}

impl From<WindowUDF> for Function {
    fn from(function: WindowUDF) -> Self {
        Self::Window(Arc::new(function))
    }
}

impl From<Arc<dyn TableFunction>> for Function {
    fn from(function: Arc<dyn TableFunction>) -> Self {
        Self::Table(function)
    }
}
