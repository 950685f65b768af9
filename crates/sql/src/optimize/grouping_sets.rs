//! `GROUPING SETS`, `ROLLUP` and `CUBE` in maintained views: a union of one grouping for each set. Those over the same keys are one operator.

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, Result as DataFusionResult, ScalarValue};
use datafusion_expr::utils::grouping_set_to_exprlist;
use datafusion_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder, lit};

/// Puts unions in the place of groupings by more than one set of keys.
pub(super) fn as_unions(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(sets)] => Ok(Transformed::yes(union(aggregate, sets)?)),
            _ => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data)
}

fn union(aggregate: &Aggregate, sets: &GroupingSet) -> DataFusionResult<LogicalPlan> {
    let keys = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect::<Vec<_>>();
    let mut parts = sets_of(sets).into_iter().map(|set| part(aggregate, &keys, &set));
    let first = parts.next().unwrap_or_else(|| part(aggregate, &keys, &[]))?;
    let all = parts.try_fold(first, |all, part| LogicalPlanBuilder::from(all).union(part?)?.build())?;
    let columns = all.schema().columns().into_iter().zip(aggregate.schema.iter());
    let columns =
        columns.map(|(column, (qualifier, field))| Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
    let columns = columns.collect::<Vec<_>>();
    LogicalPlanBuilder::from(all).project(columns)?.build()
}

fn sets_of(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(keys) => (0..=keys.len()).rev().map(|n| keys[..n].to_vec()).collect(),
        GroupingSet::Cube(keys) => {
            let with =
                |set: u64| keys.iter().enumerate().filter(move |(i, _)| set >> i & 1 == 0).map(|(_, key)| key.clone()).collect();
            (0..1u64 << keys.len()).map(with).collect()
        }
    }
}

/// The grouping by one of the sets, with all columns: NULL for the keys that are not in it, and which these are.
fn part(aggregate: &Aggregate, keys: &[Expr], set: &[Expr]) -> DataFusionResult<LogicalPlan> {
    let grouped = if set.is_empty() && aggregate.aggr_expr.is_empty() {
        LogicalPlanBuilder::empty(true).build()?
    } else {
        LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).aggregate(set.to_vec(), aggregate.aggr_expr.clone())?.build()?
    };
    let column = |at: usize| Expr::Column(Column::from(grouped.schema().qualified_field(at)));
    let fields = aggregate.schema.fields();
    let mut columns = Vec::with_capacity(fields.len());
    let mut absent = 0u64;
    // Columns of two tables may have one name; here they have no tables.
    let name = |at: usize| {
        let own = fields[at].name();
        if fields.iter().filter(|field| field.name() == own).count() > 1 { format!("{own} {at}") } else { own.clone() }
    };
    for (at, (key, field)) in keys.iter().zip(fields).enumerate() {
        let place = set.iter().position(|own| own == key);
        absent = absent << 1 | u64::from(place.is_none());
        let value = place.map_or_else(|| ScalarValue::try_from(field.data_type()).map(lit), |at| Ok(column(at)))?;
        columns.push(value.alias(name(at)));
    }
    let id = &fields[keys.len()];
    columns.push(lit(ScalarValue::UInt64(Some(absent)).cast_to(id.data_type())?).alias(id.name()));
    let first = keys.len() + 1;
    columns.extend((first..fields.len()).map(|at| column(set.len() + at - first).alias(name(at))));
    LogicalPlanBuilder::from(grouped.clone()).project(columns)?.build()
}
