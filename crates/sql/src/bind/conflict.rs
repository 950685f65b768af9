//! `INSERT … ON CONFLICT`: which keys count, and what becomes of the rows that were there before.

use std::collections::BTreeSet;

use datafusion_expr::Expr;
use datafusion_sql::sqlparser::ast::{self, SetExpr};

use super::context::Context;
use super::write::{after_update, items_of, project, quoted, typed_assignments};
use super::{Bound, bound, plan_query};
use crate::catalog::{Catalog, Relation};
use crate::error::{Result, SqlError, code};
use crate::source::GivenRows;
use crate::statement::{ConflictTarget, Insert, OnConflict};

/// A bound `ON CONFLICT`.
#[derive(Clone, Debug)]
pub struct BoundConflict {
    /// Which keys of the table count, by their place in [`Relation::keys`].
    pub keys: Vec<usize>,
    /// `DO UPDATE`: rows of the table that change, as they are and as they become, behind the number of the pair. Which rows of the table meet
    /// which others is given, as [`GivenRows::STORED`] and [`GivenRows::EXCLUDED`]: in front of each of these is the number of the pair, too.
    pub update: Option<Bound>,
}

/// Binds the `ON CONFLICT` of an `INSERT`; `None` where it has none.
///
/// # Errors
/// When there is no such key, or the update is not well formed.
pub fn bind_conflict(catalog: &Catalog, insert: &Insert) -> Result<Option<BoundConflict>> {
    let Some(conflict) = &insert.on_conflict else { return Ok(None) };
    let table = catalog.table(&insert.table)?;
    let keys = keys(table, conflict)?;
    let Some(update) = &conflict.update else { return Ok(Some(BoundConflict { keys, update: None })) };
    let context = Context::new(catalog);
    GivenRows::place(&context, GivenRows::STORED, table, &[PAIR]);
    GivenRows::place(&context, GivenRows::EXCLUDED, table, &[PAIR]);
    let values = typed_assignments(table, &update.assignments)?;
    let name = insert.alias.clone().unwrap_or_else(|| quoted(table.own_name()));
    let mut query = crate::parser::parse_query(&format!(
        "SELECT 1 FROM {} AS {name} JOIN {} AS excluded ON {name}.{pair} = excluded.{pair}",
        quoted(GivenRows::STORED),
        quoted(GivenRows::EXCLUDED),
        pair = quoted(PAIR),
    ))?;
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("a SELECT was parsed") };
    select.selection.clone_from(&update.selection);
    let own = table
        .columns
        .iter()
        .map(|c| ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(vec![name.clone(), quoted(&c.name)])));
    let pair = ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(vec![name.clone(), quoted(PAIR)]));
    select.projection = own.chain(items_of(&values)).chain([pair]).collect();
    let plan = plan_query(&context, &query)?;
    let columns = plan.schema().columns();
    let pair = columns.last().map(|c| Ok(Expr::Column(c.clone()).alias(PAIR)));
    let before = columns.iter().zip(&table.columns).map(|(c, t)| Ok(Expr::Column(c.clone()).alias(&t.name)));
    let row = pair.into_iter().chain(before).chain(after_update(table, &plan, &values)).collect::<Result<Vec<_>>>()?;
    Ok(Some(BoundConflict { keys, update: Some(bound(&context, project(plan, row)?)) }))
}

/// The column with the number of a pair. No column that a statement writes has this name.
pub const PAIR: &str = "\u{1}pair";

fn keys(table: &Relation, conflict: &OnConflict) -> Result<Vec<usize>> {
    let found = match &conflict.target {
        None => return Ok((0..table.keys().count()).collect()),
        Some(ConflictTarget::Constraint(name)) => {
            if table.constraints.iter().any(|c| c.name == *name && c.check().is_some()) {
                let message = "constraint in ON CONFLICT clause has no associated index";
                return Err(SqlError::new(code::WRONG_OBJECT_TYPE, message));
            }
            let at = table.keys().position(|(key, _)| key == name);
            vec![at.ok_or_else(|| {
                let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.own_name());
                SqlError::new(code::UNDEFINED_OBJECT, message)
            })?]
        }
        Some(ConflictTarget::Columns(names)) => {
            let mut wanted = BTreeSet::new();
            for name in names {
                let column = table.columns.iter().position(|c| c.name == *name);
                wanted.insert(
                    column.ok_or_else(|| SqlError::new(code::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))?,
                );
            }
            let is_wanted = |columns: &[usize]| columns.iter().copied().collect::<BTreeSet<_>>() == wanted;
            table.keys().enumerate().filter(|(_, (_, key))| is_wanted(&key.columns)).map(|(i, _)| i).collect()
        }
    };
    if found.is_empty() {
        let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
        return Err(SqlError::new(code::INVALID_COLUMN_REFERENCE, message));
    }
    Ok(found)
}
