//! Joins: what a pair is made of, and what a row is made of for which the other side only decides.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DataFusionError, ScalarValue};
use datafusion_expr::{Expr, Join, JoinConstraint, JoinType, LogicalPlan};

use super::trace::{Tracer, carriers_of, projection, refused, unsupported};
use super::{Traced, carried};
use crate::bind::errors::from_datafusion;
use crate::error::Result;

impl Tracer {
    /// A pair is made of both of its rows. Rows that are kept without a partner are a way of their own, and so are those that are asked to
    /// have none, or only whether they have one: of these the other side shows nothing.
    pub(super) fn join(&mut self, join: &Join) -> Result<Vec<Traced>> {
        let pairs = |tracer: &mut Self| {
            let (left, right) = (tracer.trace(&join.left)?, tracer.trace(&join.right)?);
            let all = left.iter().flat_map(|l| right.iter().map(move |r| (l.clone(), r.clone())));
            all.map(|(l, r)| pair(join, l, r)).collect::<Result<Vec<_>>>()
        };
        let mut ways = match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => pairs(self)?,
            JoinType::LeftSemi => self.partners(join)?,
            _ => Vec::new(),
        };
        match join.join_type {
            JoinType::Inner | JoinType::LeftSemi => {}
            JoinType::Left | JoinType::Full => ways.extend(self.lonely_left(join, JoinType::LeftAnti)?),
            JoinType::LeftAnti | JoinType::LeftMark => ways.extend(self.lonely_left(join, join.join_type)?),
            JoinType::Right => {}
            _ => return Err(refused(&LogicalPlan::Join(join.clone()))),
        }
        if matches!(join.join_type, JoinType::Right | JoinType::Full) {
            ways.extend(self.lonely_right(join)?);
        }
        Ok(ways)
    }

    /// Rows of the left that have a partner, with one.
    fn partners(&mut self, join: &Join) -> Result<Vec<Traced>> {
        let (left, right) = (self.trace(&join.left)?, self.trace(&join.right)?);
        let mut ways = Vec::new();
        for l in &left {
            for r in &right {
                // The sides may have columns of the same names, for only the left's are seen from outside.
                let own = r.plan.schema().columns()[..r.width].to_vec();
                let (names, renamed) = self.carriers(&own);
                let plan = projection(renamed.into_iter().chain(carriers_of(r)), r.plan.clone())?;
                let r = Traced { plan, ..r.clone() };
                let of_left = &l.plan.schema().columns()[..l.width];
                let on = join.on.iter().map(|(left, right)| Ok((left.clone(), renamed_columns(right.clone(), &own, &names, &[])?)));
                let filter = join.filter.clone().map(|expr| renamed_columns(expr, &own, &names, of_left)).transpose()?;
                let join = Join { on: on.collect::<Result<Vec<_>>>()?, filter, ..join.clone() };
                let mut both = pair(&join, l.clone(), r)?;
                let columns = both.plan.schema().columns();
                let kept = columns[..l.width].iter().cloned().map(Expr::Column).chain(carriers_of(&both)).collect::<Vec<_>>();
                both.plan = projection(kept, both.plan)?;
                ways.push(Traced { width: l.width, ..both });
            }
        }
        Ok(ways)
    }

    /// Rows of the left for which the right only decides; behind them the mark, or NULLs where a pair would have the right's columns.
    fn lonely_left(&mut self, join: &Join, join_type: JoinType) -> Result<Vec<Traced>> {
        let right = self.shown_to_nobody(&join.right)?;
        let ways = self.trace(&join.left)?.into_iter().map(|left| {
            let (width, carriers) = (left.width, carriers_of(&left));
            let left_columns = left.plan.schema().columns()[..width].to_vec();
            let plan = joined(join, Arc::new(left.plan), Arc::clone(&right), join_type)?;
            let behind = match (join.join_type, join_type) {
                (JoinType::LeftAnti, _) => Vec::new(),
                (_, JoinType::LeftMark) => plan.schema().columns().last().cloned().map(Expr::Column).into_iter().collect(),
                _ => nulls(&join.right)?,
            };
            let width = width + behind.len();
            let columns = left_columns.into_iter().map(Expr::Column).chain(behind).chain(carriers);
            Ok(Traced { plan: projection(columns, plan)?, width, inputs: left.inputs })
        });
        ways.collect()
    }

    /// Rows of the right that have no partner, behind NULLs.
    fn lonely_right(&mut self, join: &Join) -> Result<Vec<Traced>> {
        let left = self.shown_to_nobody(&join.left)?;
        let ways = self.trace(&join.right)?.into_iter().map(|right| {
            let own = right.plan.schema().columns()[..right.width].to_vec();
            let (width, carriers) = (right.width + join.left.schema().fields().len(), carriers_of(&right));
            let plan = joined(join, Arc::clone(&left), Arc::new(right.plan), JoinType::RightAnti)?;
            let columns = nulls(&join.left)?.into_iter().chain(own.into_iter().map(Expr::Column)).chain(carriers);
            Ok(Traced { plan: projection(columns, plan)?, width, inputs: right.inputs })
        });
        ways.collect()
    }

    /// A side of a join that only decides. What is not there may not depend on the recursion: it could come later.
    fn shown_to_nobody(&self, side: &Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        match self.reads_variable(side)? {
            false => Ok(Arc::clone(side)),
            true => Err(unsupported("a recursion that asks for what it has not derived")),
        }
    }
}

/// The pairs of a join.
pub(super) fn pair(join: &Join, left: Traced, right: Traced) -> Result<Traced> {
    let own = |side: &Traced| side.plan.schema().columns().into_iter().take(side.width).map(Expr::Column).collect::<Vec<_>>();
    let columns = [own(&left), own(&right), carriers_of(&left), carriers_of(&right)].concat();
    let plan = joined(join, Arc::new(left.plan), Arc::new(right.plan), JoinType::Inner)?;
    Ok(Traced { plan: projection(columns, plan)?, width: left.width + right.width, inputs: [left.inputs, right.inputs].concat() })
}

pub(super) fn joined(join: &Join, left: Arc<LogicalPlan>, right: Arc<LogicalPlan>, join_type: JoinType) -> Result<LogicalPlan> {
    let null_aware = join.null_aware && join.join_type == join_type;
    let (on, filter) = (join.on.clone(), join.filter.clone());
    let joined = Join::try_new(left, right, on, filter, join_type, JoinConstraint::On, join.null_equality, null_aware);
    joined.map(LogicalPlan::Join).map_err(from_datafusion)
}

/// An expression whose columns of the right, `own`, have other names now. A column that the left has, too, is the left's.
fn renamed_columns(expr: Expr, own: &[Column], names: &[String], of_left: &[Column]) -> Result<Expr> {
    let renamed = expr.transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let same = |other: &Column| other.name == column.name && (column.relation.is_none() || other.relation == column.relation);
        match own.iter().position(same).filter(|_| !of_left.iter().any(same)) {
            Some(at) => Ok(Transformed::yes(carried(&names[at]))),
            None => Ok(Transformed::no(expr)),
        }
    });
    renamed.map(|t| t.data).map_err(from_datafusion)
}

/// NULLs in the place of a plan's columns.
fn nulls(of: &LogicalPlan) -> Result<Vec<Expr>> {
    let columns = of.schema().iter().map(|(qualifier, field)| {
        let null = Expr::Literal(ScalarValue::try_from(field.data_type())?, None);
        Ok::<_, DataFusionError>(null.alias_qualified(qualifier.cloned(), field.name()))
    });
    columns.collect::<Result<Vec<_>, _>>().map_err(from_datafusion)
}
