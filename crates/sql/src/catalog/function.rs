//! The functions that `CREATE FUNCTION` has defined.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion_expr::ScalarUDF;
use datafusion_sql::sqlparser::ast;
use serde::{Deserialize, Serialize};

use super::{Catalog, Registered};
use crate::bind::bind_function;
use crate::error::{Result, SqlError, code};
use crate::parser::{fold, parse_expression, parse_query};
use crate::statement::DropFunction;
use crate::types::SqlType;

/// What a function is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionDefinition {
    /// Its name.
    pub name: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The type of its value.
    pub returns: SqlType,
    /// `STRICT`: its value is NULL where an argument is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Its value, as text: an expression of the parameters.
    pub body: String,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its type.
    pub sql_type: SqlType,
}

/// A function that is defined, and what is called.
#[derive(Clone, Debug)]
pub(super) struct DefinedFunction {
    pub definition: FunctionDefinition,
    /// `None` until the catalog that was read knows the functions that were registered.
    pub function: Option<Arc<ScalarUDF>>,
}

impl FunctionDefinition {
    /// Its parameters as in `CREATE FUNCTION`.
    #[must_use]
    pub fn parameters_as_written(&self) -> String {
        let written = self.parameters.iter().map(|Parameter { name, sql_type }| match name {
            Some(name) => format!("{name} {sql_type}"),
            None => sql_type.to_string(),
        });
        written.collect::<Vec<_>>().join(", ")
    }

    /// Its name and its types, as PostgreSQL names a function.
    #[must_use]
    pub fn signature(&self) -> String {
        let types = self.parameters.iter().map(|parameter| parameter.sql_type.to_string()).collect::<Vec<_>>();
        format!("{}({})", self.name, types.join(","))
    }
}

impl Catalog {
    /// The same relations and functions, where also these are registered.
    ///
    /// # Errors
    /// When a function of SQL has a name that is registered, or calls a function that is not there.
    pub fn with_functions(mut self, registered: Registered) -> Result<Self> {
        self.registered = registered;
        for i in 0..self.defined.len() {
            let definition = self.defined[i].definition.clone();
            if self.registered.has(&definition.name) {
                return Err(exists(&definition.name));
            }
            self.defined[i].function = Some(bind_function(&self, &definition)?);
        }
        Ok(self)
    }

    /// The functions that were registered.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// Registers a function.
    ///
    /// # Errors
    /// `42723` when there is a function of one of its names.
    pub fn register(&self, function: impl Into<crate::bind::Function>) -> Result<()> {
        let function = function.into();
        match function.names().iter().find(|name| self.defined_function(name).is_some()) {
            Some(taken) => Err(exists(taken)),
            None => self.registered.add(function),
        }
    }

    /// The functions that are defined, in the order in which they were.
    pub fn defined_functions(&self) -> impl Iterator<Item = &FunctionDefinition> {
        self.defined.iter().map(|defined| &defined.definition)
    }

    /// What a call of this name calls, if a function of this name is defined.
    pub(crate) fn defined_function(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.defined.iter().find(|defined| defined.definition.name == name)?.function.as_ref()
    }

    /// Defines a function, also in the place of the one that has its name.
    ///
    /// # Errors
    /// `42723` when there is a function of this name and it may not be replaced, `2BP01` when something depends on it; and when it is not well
    /// formed.
    pub fn create_function(&mut self, definition: FunctionDefinition, or_replace: bool) -> Result<()> {
        let name = &definition.name;
        let place = self.defined.iter().position(|defined| defined.definition.name == *name);
        if self.registered.has(name) || place.is_some() && !or_replace {
            return Err(exists(name));
        }
        if let Some(place) = place {
            let before = &self.defined[place].definition;
            let types = |definition: &FunctionDefinition| definition.parameters.iter().map(|p| p.sql_type).collect::<Vec<_>>();
            if types(before) != types(&definition) {
                return Err(SqlError::unsupported(format!("another function {name} with other parameters is not supported")));
            }
            if before.returns != definition.returns {
                let message = "cannot change return type of existing function";
                return Err(SqlError::new(code::INVALID_FUNCTION_DEFINITION, message)
                    .with_hint(format!("Use DROP FUNCTION {} first.", before.signature())));
            }
            self.check_unused(name, "replace")?;
            self.defined.remove(place);
        }
        let function = Some(bind_function(self, &definition)?);
        self.defined.push(DefinedFunction { definition, function });
        Ok(())
    }

    /// Takes functions out. Returns what PostgreSQL says of those that do not exist.
    ///
    /// # Errors
    /// `42883` when one does not exist, `2BP01` when something depends on it.
    pub fn drop_functions(&mut self, drop: &DropFunction) -> Result<Vec<String>> {
        let mut skipped = Vec::new();
        for (name, types) in &drop.functions {
            let is_it = |definition: &FunctionDefinition| {
                definition.name == *name
                    && types.as_ref().is_none_or(|types| definition.parameters.iter().map(|p| &p.sql_type).eq(types))
            };
            let Some(place) = self.defined.iter().position(|defined| is_it(&defined.definition)) else {
                let said = match types {
                    Some(types) => {
                        let types = types.iter().map(SqlType::to_string).collect::<Vec<_>>();
                        format!("function {name}({}) does not exist", types.join(", "))
                    }
                    None if drop.if_exists => format!("function {name}() does not exist"),
                    None => format!("could not find a function named \"{name}\""),
                };
                if !drop.if_exists {
                    return Err(SqlError::new(code::UNDEFINED_FUNCTION, said));
                }
                skipped.push(format!("{said}, skipping"));
                continue;
            };
            self.check_unused(name, "drop")?;
            self.defined.remove(place);
        }
        Ok(skipped)
    }

    /// An error when something calls a function.
    fn check_unused(&self, name: &str, what: &str) -> Result<()> {
        let signature = self.defined_functions().find(|definition| definition.name == *name).map(FunctionDefinition::signature);
        let signature = signature.unwrap_or_else(|| name.to_owned());
        let mut users = Vec::new();
        for relation in self.relations() {
            let view = relation.definition.iter().map(|view| Ok(calls(&*parse_query(&view.query)?)));
            let defaults = relation.columns.iter().filter_map(|column| column.default.as_deref());
            let expressions = defaults.chain(relation.constraints.iter().filter_map(|constraint| constraint.check()));
            let called = view.chain(expressions.map(|text| Ok(calls(&parse_expression(text)?)))).collect::<Result<Vec<_>>>()?;
            if called.iter().any(|called| called.contains(name)) {
                users.push(format!("{} {} depends on function {signature}", relation.kind, relation.name));
            }
        }
        for user in self.defined_functions().filter(|definition| definition.name != *name) {
            if calls(&parse_expression(&user.body)?).contains(name) {
                users.push(format!("function {} depends on function {signature}", user.signature()));
            }
        }
        if users.is_empty() {
            return Ok(());
        }
        let message = format!("cannot {what} function {signature} because other objects depend on it");
        Err(SqlError::new(code::DEPENDENT_OBJECTS_STILL_EXIST, message).with_detail(users.join("\n")))
    }
}

/// The names of all functions that are called.
fn calls(node: &impl ast::Visit) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _: ControlFlow<()> = ast::visit_expressions(node, |expr| {
        if let ast::Expr::Function(call) = expr {
            names.extend(call.name.0.last().and_then(ast::ObjectNamePart::as_ident).map(fold));
        }
        ControlFlow::Continue(())
    });
    names
}

fn exists(name: &str) -> SqlError {
    SqlError::new(code::DUPLICATE_FUNCTION, format!("function \"{name}\" already exists with same argument types"))
}
