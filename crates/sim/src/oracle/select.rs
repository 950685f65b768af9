//! Queries: SELECT by nested loops, and set operations.

use std::collections::BTreeMap;

use super::expression::{compare, holds, int, value};
use super::{Scope, Stop, bounded, distinct};
use crate::expression::{Comparison, Expr, Predicate};
use crate::query::{Aggregate, Condition, Function, JoinKind, Output, Query, Relation, Select, SetOperation, Top};
use crate::value::{Row, Value};

impl Scope<'_> {
    /// The rows of a query, in no order.
    pub(super) fn query(&mut self, query: &Query) -> Result<Vec<Row>, Stop> {
        let rows = match query {
            Query::Select(select) => self.select(select)?,
            Query::Values(_, rows) => rows.clone(),
            Query::Set(operation, left, right) => {
                let (mut left, right) = (self.query(left)?, self.query(right)?);
                match operation {
                    SetOperation::UnionAll | SetOperation::Union => left.extend(right),
                    SetOperation::Except => left.retain(|row| !right.contains(row)),
                    SetOperation::Intersect => left.retain(|row| right.contains(row)),
                }
                if *operation == SetOperation::UnionAll { left } else { distinct(left) }
            }
            Query::Top(of, top) => first_rows(self.query(of)?, top),
            Query::With(recursive) => self.recursive(recursive)?,
        };
        bounded(&rows)?;
        Ok(rows)
    }

    fn relation(&mut self, relation: &Relation) -> Result<Vec<Row>, Stop> {
        match relation {
            Relation::Table(table) => Ok(self.contents[*table].clone()),
            Relation::Binding(binding) => Ok(self.bindings[*binding].clone()),
            Relation::Derived(query) => self.query(query),
        }
    }

    fn width(&self, relation: &Relation) -> usize {
        match relation {
            Relation::Table(table) => self.tables[*table].columns.len(),
            Relation::Binding(binding) => self.widths[*binding],
            Relation::Derived(query) => query.width(),
        }
    }

    fn select(&mut self, select: &Select) -> Result<Vec<Row>, Stop> {
        let mut rows = self.relation(&select.from)?;
        let mut width = self.width(&select.from);
        for join in &select.joins {
            let right = self.relation(&join.relation)?;
            let right_width = self.width(&join.relation);
            self.spend(rows.len() * right.len())?;
            rows = joined(join.kind, (&rows, width), (&right, right_width), &join.on)?;
            bounded(&rows)?;
            width += right_width;
        }
        for condition in &select.conditions {
            rows = self.filtered(rows, condition)?;
        }
        match &select.output {
            Output::Rows { columns, distinct: each_once } => {
                let rows = rows.iter().map(|row| columns.iter().map(|column| value(column, row)).collect());
                let rows = rows.collect::<Result<Vec<Row>, _>>()?;
                Ok(if *each_once { distinct(rows) } else { rows })
            }
            Output::Groups { keys, aggregates, having } => grouped(&rows, keys, aggregates, having),
        }
    }

    fn filtered(&mut self, rows: Vec<Row>, condition: &Condition) -> Result<Vec<Row>, Stop> {
        let mut kept = Vec::new();
        let others = match condition {
            Condition::Where(_) => Vec::new(),
            Condition::Exists { relation, .. } | Condition::In { relation, .. } => self.relation(relation)?,
        };
        self.spend(rows.len() * others.len())?;
        for row in rows {
            let keep = match condition {
                Condition::Where(condition) => holds(condition, &row)?,
                Condition::Exists { negated, on, .. } => exists(&row, &others, on)? != *negated,
                Condition::In { negated, value: wanted, column, .. } => {
                    let truth = is_in(value(wanted, &row)?, others.iter().map(|other| other[*column]));
                    truth == Some(!*negated)
                }
            };
            if keep {
                kept.push(row);
            }
        }
        Ok(kept)
    }
}

fn first_rows(mut rows: Vec<Row>, top: &Top) -> Vec<Row> {
    let place = |value: Value, descending: bool, nulls_first: bool| match value {
        Value::Null => (if nulls_first { -1 } else { 1 }, value),
        Value::Int(number) => (0, Value::Int(if descending { -number } else { number })),
        Value::Text(_) => (0, value),
    };
    rows.sort_by(|a, b| {
        let each = top.order.iter().map(|(column, descending, nulls_first)| {
            let (left, right) = (a[*column], b[*column]);
            let [x, y] = [left, right].map(|value| place(value, *descending, *nulls_first));
            // A text has no negative: the other way round instead.
            if *descending && x.0 == 0 && y.0 == 0 && matches!(left, Value::Text(_)) { y.cmp(&x) } else { x.cmp(&y) }
        });
        each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    rows.into_iter().skip(top.offset).take(top.limit).collect()
}

fn pair(left: &[Value], right: &[Value]) -> Row {
    left.iter().chain(right).copied().collect()
}

fn exists(row: &[Value], others: &[Row], on: &Predicate) -> Result<bool, Stop> {
    for other in others {
        if holds(on, &pair(row, other))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `IN`: unknown where nothing is equal and something is unknown.
fn is_in(wanted: Value, values: impl Iterator<Item = Value>) -> Option<bool> {
    let mut truth = Some(false);
    for value in values {
        match compare(Comparison::Equal, wanted, value) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => truth = None,
        }
    }
    truth
}

/// A join by nested loops, of two sides with their widths.
fn joined(
    kind: JoinKind,
    (left, left_width): (&[Row], usize),
    (right, right_width): (&[Row], usize),
    on: &Predicate,
) -> Result<Vec<Row>, Stop> {
    let mut rows = Vec::new();
    let mut right_met = vec![false; right.len()];
    for a in left {
        let mut left_met = false;
        for (b, met) in right.iter().zip(&mut right_met) {
            let row = pair(a, b);
            if holds(on, &row)? {
                rows.push(row);
                left_met = true;
                *met = true;
            }
        }
        if !left_met && matches!(kind, JoinKind::Left | JoinKind::Full) {
            rows.push(pair(a, &vec![Value::Null; right_width]));
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        let alone = right.iter().zip(right_met).filter(|(_, met)| !met);
        rows.extend(alone.map(|(b, _)| pair(&vec![Value::Null; left_width], b)));
    }
    Ok(rows)
}

fn grouped(rows: &[Row], keys: &[Expr], aggregates: &[Aggregate], having: &Predicate) -> Result<Vec<Row>, Stop> {
    let mut groups = BTreeMap::<Row, Vec<&Row>>::new();
    if keys.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    for row in rows {
        let key = keys.iter().map(|key| value(key, row)).collect::<Result<Row, _>>()?;
        groups.entry(key).or_default().push(row);
    }
    let mut result = Vec::new();
    for (key, members) in groups {
        let mut row = key;
        for call in aggregates {
            row.push(aggregated(call, &members)?);
        }
        if holds(having, &row)? {
            result.push(row);
        }
    }
    Ok(result)
}

fn aggregated(call: &Aggregate, members: &[&Row]) -> Result<Value, Stop> {
    if call.function == Function::CountRows {
        return int(members.len() as i64);
    }
    let values = members.iter().map(|row| value(&call.argument, row)).collect::<Result<Row, _>>()?;
    let values = values.into_iter().filter(|value| *value != Value::Null);
    match call.function {
        Function::Min => Ok(values.min().unwrap_or(Value::Null)),
        Function::Max => Ok(values.max().unwrap_or(Value::Null)),
        Function::CountRows | Function::Count => int(values.count() as i64),
        Function::CountDistinct => int(distinct(values.map(|value| vec![value]).collect()).len() as i64),
        Function::Sum => {
            let numbers = values.map(|value| match value {
                Value::Int(number) => number,
                other => panic!("sum() of {other}"),
            });
            numbers.reduce(|a, b| a + b).map_or(Ok(Value::Null), int)
        }
    }
}
