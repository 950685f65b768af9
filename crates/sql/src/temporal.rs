//! `now()` in the conditions of maintained views: temporal filters.
//!
//! A condition that compares the time with a value of the row holds from one point in time on, or until one: `sent > now() - INTERVAL '1 day'`
//! until a day after `sent`. So it becomes a [`TemporalNode`] over the rows with that point as a column, and the view follows a clock that is
//! one row of a table, instead of being worked out anew. Conditions that do not come to this are left as they are, and refused where views
//! are optimized.
//!
//! Points in time are `timestamp`s in UTC, in microseconds. With days (`current_date`, `now()::date`) the condition changes at midnight.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result as DataFusionResult, ScalarValue, plan_err};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    Between, BinaryExpr, Cast, Expr, ExprSchemable, Extension, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    UserDefinedLogicalNodeCore, cast, lit,
};

use crate::bind::functions::is_now;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// Bounds are columns of these names, each with its number.
const FROM: &str = "valid_from";
const UNTIL: &str = "valid_until";

/// The rows of its input from one point in time on, or until another one: two columns of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TemporalNode {
    /// The rows.
    pub input: LogicalPlan,
    from: Option<Expr>,
    until: Option<Expr>,
}

impl TemporalNode {
    /// The node of a plan's root, if it is one.
    #[must_use]
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The column with the first point in time at which a row is there.
    #[must_use]
    pub fn from(&self) -> Option<usize> {
        self.column(self.from.as_ref())
    }

    /// The column with the first point in time at which a row is not there any more.
    #[must_use]
    pub fn until(&self) -> Option<usize> {
        self.column(self.until.as_ref())
    }

    fn column(&self, bound: Option<&Expr>) -> Option<usize> {
        let column = bound?.try_as_col().expect("a bound is a column");
        Some(self.input.schema().index_of_column(column).expect("a bound is a column of the rows"))
    }
}

impl UserDefinedLogicalNodeCore for TemporalNode {
    fn name(&self) -> &'static str {
        "Temporal"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.from.iter().chain(&self.until).cloned().collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        // Which rows are there does not depend on others.
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Temporal:")?;
        self.from.iter().try_for_each(|from| write!(f, " from {from}"))?;
        self.until.iter().try_for_each(|until| write!(f, " until {until}"))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let [input] = <[LogicalPlan; 1]>::try_from(inputs).or_else(|_| plan_err!("a temporal filter has one input"))?;
        let mut exprs = exprs.into_iter();
        let from = self.from.as_ref().and_then(|_| exprs.next());
        let until = self.until.as_ref().and_then(|_| exprs.next());
        Ok(Self { input, from, until })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut columns = output_columns.iter().copied().chain(self.from()).chain(self.until()).collect::<Vec<_>>();
        columns.sort_unstable();
        columns.dedup();
        Some(vec![columns])
    }
}

impl PartialOrd for TemporalNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

/// Whether a plan asks for the time.
#[must_use]
pub fn tells_time(plan: &LogicalPlan) -> bool {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= has_now(expr);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })
    .expect("looking cannot fail");
    found
}

/// Makes temporal filters of the conditions that compare the time with rows. Types are coerced and constants folded.
pub(crate) fn as_filters(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    if !tells_time(&plan) {
        return Ok(plan);
    }
    let filtered = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Filter(filter) if has_now(&filter.predicate) => filter_of(filter),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && join.filter.as_ref().is_some_and(has_now) => {
            let (timed, rest) =
                split_conjunction_owned(join.filter.expect("just seen")).into_iter().partition::<Vec<_>, _>(has_now);
            let join = LogicalPlan::Join(Join { filter: conjunction(rest), ..join });
            filter_of(Filter::try_new(conjunction(timed).expect("there is one"), Arc::new(join))?)
        }
        other => Ok(Transformed::no(other)),
    });
    filtered.map(|filtered| filtered.data)
}

fn has_now(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarFunction(call) if is_now(call.func.name())))).expect("looking cannot fail")
}

/// The points in time at which a condition begins and ceases to hold.
#[derive(Default)]
struct Bounds {
    from: Vec<Expr>,
    until: Vec<Expr>,
}

fn filter_of(filter: Filter) -> DataFusionResult<Transformed<LogicalPlan>> {
    let conditions = split_conjunction_owned(filter.predicate).into_iter().flat_map(halves);
    let (timed, rest) = conditions.partition::<Vec<_>, _>(has_now);
    let (input, timed) = into_joins(Arc::unwrap_or_clone(filter.input), timed)?;
    let input = match conjunction(rest) {
        Some(rest) => LogicalPlan::Filter(Filter::try_new(rest, Arc::new(input))?),
        None => input,
    };
    over(input, timed).map(Transformed::yes)
}

/// Moves conditions on the time to the side of a join that they are about: fewer rows are remembered there, and in a recursive term it stands
/// outside of the loop. Returns those that stay above.
fn into_joins(plan: LogicalPlan, timed: Vec<Expr>) -> DataFusionResult<(LogicalPlan, Vec<Expr>)> {
    let LogicalPlan::Join(join) = plan else { return Ok((plan, timed)) };
    if join.join_type != JoinType::Inner {
        return Ok((LogicalPlan::Join(join), timed));
    }
    let of = |side: &LogicalPlan, condition: &Expr| condition.column_refs().iter().all(|column| side.schema().has_column(column));
    let (left, rest) = timed.into_iter().partition::<Vec<_>, _>(|condition| of(&join.left, condition));
    let (right, above) = rest.into_iter().partition::<Vec<_>, _>(|condition| of(&join.right, condition));
    let below = |side: &Arc<LogicalPlan>, timed| {
        let (side, timed) = into_joins(LogicalPlan::clone(side), timed)?;
        over(side, timed)
    };
    let inputs = vec![below(&join.left, left)?, below(&join.right, right)?];
    let join = LogicalPlan::Join(join);
    Ok((join.with_new_exprs(join.expressions(), inputs)?, above))
}

/// The rows of a plan for which conditions on the time hold.
fn over(input: LogicalPlan, timed: Vec<Expr>) -> DataFusionResult<LogicalPlan> {
    let schema = Arc::clone(input.schema());
    let (mut bounds, mut others) = (Bounds::default(), Vec::new());
    for condition in timed {
        if !bounds.of(&condition, &schema)? {
            others.push(condition);
        }
    }
    let input = match conjunction(others) {
        // To be refused.
        Some(others) => LogicalPlan::Filter(Filter::try_new(others, Arc::new(input))?),
        None => input,
    };
    let Bounds { from, until } = bounds;
    if from.is_empty() && until.is_empty() {
        return Ok(input);
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    let named = |bounds: Vec<Expr>, name: &str| {
        let mut taken = schema.fields().iter().map(|field| field.name().clone()).collect::<HashSet<_>>();
        let mut names = (1..).map(|number| format!("{name}_{number}"));
        let mut next = move || names.find(|name| taken.insert(name.clone())).expect("there are numbers enough");
        bounds.into_iter().map(|bound| bound.alias(next())).collect::<Vec<_>>()
    };
    let (from, until) = (named(from, FROM), named(until, UNTIL));
    let extended = columns.iter().chain(&from).chain(&until).cloned();
    let mut plan = LogicalPlanBuilder::new(input).project(extended.collect::<Vec<_>>())?.build()?;
    let column = |bound: &Expr| Expr::Column(Column::from_name(bound.schema_name().to_string()));
    for at in 0..from.len().max(until.len()) {
        let node = TemporalNode { input: plan, from: from.get(at).map(column), until: until.get(at).map(column) };
        plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    }
    LogicalPlanBuilder::new(plan).project(columns)?.build()
}

/// `BETWEEN` as two comparisons.
fn halves(condition: Expr) -> Vec<Expr> {
    match condition {
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let compare = |op, right| Expr::BinaryExpr(BinaryExpr { left: expr.clone(), op, right });
            vec![compare(Operator::GtEq, low), compare(Operator::LtEq, high)]
        }
        other => vec![other],
    }
}

impl Bounds {
    /// Adds those of a condition. Returns whether it has such.
    fn of(&mut self, condition: &Expr, schema: &DFSchema) -> DataFusionResult<bool> {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (has_now(left), has_now(right)) {
                (true, false) => match op.swap() {
                    Some(op) => self.of_comparison(right, op, left, schema),
                    None => Ok(false),
                },
                (false, true) => self.of_comparison(left, *op, right, schema),
                _ => Ok(false),
            },
            _ => Ok(false),
        }
    }

    /// `value op time`
    fn of_comparison(&mut self, value: &Expr, op: Operator, time: &Expr, schema: &DFSchema) -> DataFusionResult<bool> {
        let Some(time) = Time::of(time) else { return Ok(false) };
        let Some(value) = point_in_time(value, schema)? else { return Ok(false) };
        // With whole days, the midnights around it count, else the point itself.
        let after = |micros: i64| later(value.clone(), micros.checked_sub(time.after)?);
        let midnight_after = |micros: i64| {
            let midnight = cast(cast(after(micros)?, DataType::Date32), TIMESTAMP);
            later(midnight, DAY.checked_sub(time.before)?)
        };
        let bounds = if time.days { [midnight_after(-1), midnight_after(0)] } else { [after(0), after(1)] };
        let [Some(first_at_or_after), Some(first_after)] = bounds else { return Ok(false) };
        match op {
            Operator::Lt => self.from.push(first_after),
            Operator::LtEq => self.from.push(first_at_or_after),
            Operator::Gt => self.until.push(first_at_or_after),
            Operator::GtEq => self.until.push(first_after),
            Operator::Eq => {
                self.from.push(first_at_or_after);
                self.until.push(first_after);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// What is compared with a row: the time and `before`, of that the day if `days`, and `after`; in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Time {
    before: i64,
    days: bool,
    after: i64,
}

impl Time {
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::ScalarFunction(call) if is_now(call.func.name()) => match call.func.name() {
                "now" | "current_timestamp" => Some(Self::default()),
                "current_date" => Some(Self { days: true, ..Self::default() }),
                _ => None,
            },
            Expr::Cast(Cast { expr, field }) => {
                let time = Self::of(expr)?;
                match field.data_type() {
                    DataType::Timestamp(..) => Some(time),
                    DataType::Date32 if !time.days => Some(Self { before: time.after, days: true, after: 0 }),
                    // A date plus a number is planned as numbers.
                    DataType::Date32 | DataType::Int32 => (time.days && time.after % DAY == 0).then_some(time),
                    _ => None,
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Plus | Operator::Minus), right }) => {
                let (time, by) = match (Self::of(left), op) {
                    (Some(time), _) => (time, right),
                    (None, Operator::Plus) => (Self::of(right)?, left),
                    (None, _) => return None,
                };
                let by = micros(by)?;
                let after = if *op == Operator::Minus { time.after.checked_sub(by) } else { time.after.checked_add(by) };
                Some(Self { after: after?, ..time })
            }
            _ => None,
        }
    }
}

/// The length of an interval without months, or of a number of days.
fn micros(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(*interval);
            let days = i64::from(days).checked_mul(DAY)?;
            (months == 0 && nanos % 1000 == 0).then(|| days.checked_add(nanos / 1000))?
        }
        ScalarValue::Int32(Some(days)) => i64::from(*days).checked_mul(DAY),
        ScalarValue::Int64(Some(days)) => days.checked_mul(DAY),
        _ => None,
    }
}

/// A value of a row as a point in time, where it is one.
fn point_in_time(value: &Expr, schema: &DFSchema) -> DataFusionResult<Option<Expr>> {
    let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
    let mut value = value;
    // What it was cast to in order to be compared says less.
    while let Expr::Cast(Cast { expr, field }) = value
        && matches!(field.data_type(), DataType::Timestamp(..))
        && is_time(&expr.get_type(schema)?)
    {
        value = expr;
    }
    let data_type = value.get_type(schema)?;
    Ok(is_time(&data_type).then(|| if data_type == TIMESTAMP { value.clone() } else { cast(value.clone(), TIMESTAMP) }))
}

/// A point in time that is later by so many microseconds.
fn later(at: Expr, micros: i64) -> Option<Expr> {
    if micros == 0 {
        return Some(at);
    }
    let (days, nanos) = (i32::try_from(micros / DAY).ok()?, micros % DAY * 1000);
    Some(at + lit(ScalarValue::new_interval_mdn(0, days, nanos)))
}

#[cfg(test)]
mod tests;
