//! The derivation of one row, found backwards over a snapshot.
//!
//! A recursion runs once, on the loop that maintains views, and gives each row with the first iteration that derives it. From the asked
//! row on, each row is then looked up together with rows that it is made of: of a recursion those of earlier iterations, so every step
//! back is a query of its own over what has been computed. A row that is needed twice is found once.
//!
//! # Known limitation
//! Each step back reads the relations of the recursive term in full.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use refrain_sql::WorkTable;
use refrain_sql::why::{ITERATION, Part, Traced, Whole, Why};

use super::recursion::{Ran, Recursion, run_recursions, with_results};
use super::{Reading, execution_error, scan};
use crate::database::Database;
use crate::display;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::planning;

/// A row of a derivation.
#[derive(Debug)]
pub(crate) struct Fact {
    /// Of what it is a row; `None` for the row that was asked for, as the query gives it.
    pub relation: Option<String>,
    /// For a row of a recursion, the first iteration that derives it.
    pub iteration: Option<i64>,
    /// The row as text.
    pub row: String,
    /// What it is made of: positions of facts that stand before it.
    pub from: Vec<usize>,
}

/// What makes the one row of `row` a row of the query: the last fact is that row.
pub(crate) async fn derivation(
    shared: &Arc<Shared>,
    database: &Database,
    reading: &Reading,
    why: &Why,
    row: &RecordBatch,
) -> Result<Vec<Fact>> {
    let mut search = Search {
        shared,
        database,
        reading,
        why,
        known: HashMap::new(),
        facts: Vec::new(),
        found: HashMap::new(),
        open: Vec::new(),
    };
    let asked = search.add(None, None, row.columns());
    let made = search.made_of(why.query.iter(), &values(row.columns())?, None).await?;
    search.facts[asked].from = search.take(made, "the query", asked)?;
    while let Some(open) = search.open.pop() {
        let recursion = &why.loops[&open.of];
        let ways = recursion.ways.iter().filter(|way| open.may_be_made(way));
        let made = search.made_of(ways, &open.row, Some(&open)).await?;
        search.facts[open.fact].from = search.take(made, &recursion.name, open.fact)?;
    }
    Ok(in_order(search.facts, asked))
}

/// A row of a recursion whose parts are still to be found.
struct Open {
    fact: usize,
    /// The number of the recursion.
    of: usize,
    row: Vec<ScalarValue>,
    iteration: i64,
    /// The rows among which those are that it is derived from.
    levels: Arc<Levels>,
}

impl Open {
    /// Whether a row of this iteration may be made in this way: the first one is made without the recursion, the others of it.
    fn may_be_made(&self, way: &Traced) -> bool {
        let variables = way.variables();
        if self.iteration == 0 { variables.iter().all(|(_, behind)| !behind) } else { !variables.is_empty() }
    }
}

/// What a row is made of, in one way.
struct Made<'a> {
    way: &'a Traced,
    /// One row.
    row: RecordBatch,
    /// The rows of the recursions that were read for it, by their numbers; but for those all of whose rows were known before.
    levels: HashMap<usize, Arc<Levels>>,
}

/// A recursion that has run.
struct Run {
    rows: Arc<Levels>,
    /// Whether it began with fewer rows.
    restricted: bool,
}

struct Search<'a> {
    shared: &'a Arc<Shared>,
    database: &'a Database,
    reading: &'a Reading,
    why: &'a Why,
    /// Recursions all of whose rows are known, by their numbers.
    known: HashMap<usize, Arc<Levels>>,
    facts: Vec<Fact>,
    found: HashMap<(Whole, Vec<ScalarValue>), usize>,
    open: Vec<Open>,
}

impl<'a> Search<'a> {
    /// What a row is made of, in the way with the lowest iterations.
    async fn made_of(
        &mut self,
        ways: impl Iterator<Item = &'a Traced>,
        row: &[ScalarValue],
        at: Option<&Open>,
    ) -> Result<Option<Made<'a>>> {
        let mut best: Option<(i64, Made<'a>)> = None;
        for way in ways {
            let Some(made) = self.made_in(way, row, at).await? else { continue };
            let iterations = integer(&made.row, ITERATION);
            if best.as_ref().is_none_or(|(least, _)| iterations < *least) {
                best = Some((iterations, made));
            }
        }
        Ok(best.map(|(_, made)| made))
    }

    async fn made_in(&mut self, way: &'a Traced, row: &[ScalarValue], at: Option<&Open>) -> Result<Option<Made<'a>>> {
        let mut levels = HashMap::new();
        let mut tables = HashMap::new();
        let variables = way.variables();
        for (of, behind) in &variables {
            let at = at.expect("only the terms of a recursion read a variable");
            let rows = if *of == at.of { Arc::clone(&at.levels) } else { self.whole(*of).await? };
            let last = at.iteration - i64::from(*behind);
            // Of one row alone it would have been derived before, if that had been there before.
            let first = if variables.len() == 1 { last } else { 0 };
            tables.insert(*of, rows.table(first..=last)?);
            levels.insert(*of, rows);
        }
        let plan = with_variables(way.made_of(row)?, &tables)?;
        let (plan, ran) = self.run_recursions(plan).await?;
        let plan = scan::with_providers(self.shared, plan, self.reading, &scan::Given::new())?;
        let batches = self.shared.executor.execute(&plan).await?;
        let Some(row) = batches.into_iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        for (of, Run { rows, restricted }) in ran {
            // A condition on no column moves into any recursion. There is a row, so it is true.
            if !restricted {
                self.known.insert(of, Arc::clone(&rows));
            }
            levels.insert(of, rows);
        }
        Ok(Some(Made { way, row: row.slice(0, 1), levels }))
    }

    /// Optimizes a plan and runs the recursions in it that are not known yet.
    async fn run_recursions(&self, plan: LogicalPlan) -> Result<(LogicalPlan, HashMap<usize, Run>)> {
        let plan = with_results(plan, |recursion| self.known.get(&recursion.number).and_then(|rows| rows.all().ok()))?;
        let plan = planning::one_shot(self.database, plan)?;
        let (plan, ran) = run_recursions(self.shared, self.database, plan, self.reading).await?;
        let mut runs: HashMap<usize, (Levels, bool)> = HashMap::new();
        for Ran { node, result } in ran {
            let Recursion { number, restricted, .. } = Recursion::of(&node).expect("only recursions are run");
            if self.why.loops.contains_key(&number) {
                let rows = self.levels(result).await?;
                let (all, all_restricted) = runs.entry(number).or_insert_with(|| (Levels::none(&rows), true));
                all.extend(rows);
                *all_restricted &= restricted;
            }
        }
        let runs = runs.into_iter().map(|(number, (rows, restricted))| (number, Run { rows: Arc::new(rows), restricted }));
        Ok((plan, runs.collect()))
    }

    /// All rows of a recursion.
    async fn whole(&mut self, of: usize) -> Result<Arc<Levels>> {
        if let Some(rows) = self.known.get(&of) {
            return Ok(Arc::clone(rows));
        }
        let (_, mut ran) = self.run_recursions(self.why.loops[&of].rows.clone()).await?;
        let rows = ran.remove(&of).expect("the plan is this recursion").rows;
        self.known.insert(of, Arc::clone(&rows));
        Ok(rows)
    }

    async fn levels(&self, of: Arc<dyn TableProvider>) -> Result<Levels> {
        let schema = of.schema();
        let scan = LogicalPlanBuilder::scan("rows", provider_as_source(of), None).and_then(LogicalPlanBuilder::build);
        Levels::new(schema, self.shared.executor.execute(&scan.map_err(execution_error)?).await?)
    }

    /// The facts that a fact is made of.
    fn take(&mut self, made: Option<Made<'_>>, name: &str, of: usize) -> Result<Vec<usize>> {
        let Some(made) = made else {
            return Err(Error::engine(format!("no derivation of {} in {name} was found", self.facts[of].row)));
        };
        made.way.inputs.iter().map(|part| self.fact(part, &made)).collect()
    }

    /// The fact of a part; a part that was met before is the same fact.
    fn fact(&mut self, part: &Part, made: &Made<'_>) -> Result<usize> {
        let columns = part.columns.iter().map(|name| column(&made.row, name)).collect::<Vec<_>>();
        let row = values(&columns)?;
        let (of, name) = match &part.of {
            Whole::Recursion(of) | Whole::Variable { of, .. } => (Some(*of), &self.why.loops[of].name),
            Whole::Relation(name) | Whole::View(name) => (None, name),
        };
        let key = (of.map_or_else(|| part.of.clone(), Whole::Recursion), row.clone());
        if let Some(fact) = self.found.get(&key) {
            return Ok(*fact);
        }
        let name = name.clone();
        let from = part.inputs.iter().map(|input| self.fact(input, made)).collect::<Result<Vec<_>>>()?;
        let iteration = part.iteration.as_ref().map(|name| integer(&made.row, name));
        let fact = self.add(Some(name), iteration, &columns);
        self.facts[fact].from = from;
        self.found.insert(key, fact);
        if let Some((of, iteration)) = of.zip(iteration) {
            let levels = made.levels.get(&of).or_else(|| self.known.get(&of)).expect("the row was read there");
            let levels = Arc::clone(levels);
            self.open.push(Open { fact, of, row, iteration, levels });
        }
        Ok(fact)
    }

    fn add(&mut self, relation: Option<String>, iteration: Option<i64>, columns: &[ArrayRef]) -> usize {
        self.facts.push(Fact { relation, iteration, row: display::row(columns, 0), from: Vec::new() });
        self.facts.len() - 1
    }
}

/// The rows of a recursion by iteration.
struct Levels {
    schema: SchemaRef,
    rows: BTreeMap<i64, Vec<RecordBatch>>,
}

impl Levels {
    /// The last column is the iteration.
    fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        let mut rows: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
        for batch in batches {
            let mut of_iteration: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
            for (row, iteration) in (0..).zip(batch.columns().last().expect("it is a column").as_primitive::<Int64Type>().values())
            {
                of_iteration.entry(*iteration).or_default().push(row);
            }
            for (iteration, indices) in of_iteration {
                let some = take_record_batch(&batch, &UInt32Array::from(indices)).map_err(|e| Error::engine(e.to_string()))?;
                rows.entry(iteration).or_default().push(some);
            }
        }
        Ok(Self { schema, rows })
    }

    /// No rows of the same columns.
    fn none(like: &Self) -> Self {
        Self { schema: Arc::clone(&like.schema), rows: BTreeMap::new() }
    }

    /// With those of another copy. A row that is in both has the same iteration.
    fn extend(&mut self, other: Self) {
        for (iteration, rows) in other.rows {
            self.rows.entry(iteration).or_default().extend(rows);
        }
    }

    /// The rows of these iterations, as a table.
    fn table(&self, iterations: RangeInclusive<i64>) -> Result<Arc<dyn TableProvider>> {
        let none = iterations.is_empty();
        let rows = if none { Vec::new() } else { self.rows.range(iterations).flat_map(|(_, rows)| rows.iter().cloned()).collect() };
        Ok(Arc::new(MemTable::try_new(Arc::clone(&self.schema), vec![rows]).map_err(execution_error)?))
    }

    fn all(&self) -> Result<Arc<dyn TableProvider>> {
        self.table(0..=i64::MAX)
    }
}

/// Puts tables in the place of what a term reads of its own recursion.
fn with_variables(plan: LogicalPlan, tables: &HashMap<usize, Arc<dyn TableProvider>>) -> Result<LogicalPlan> {
    let replaced = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let table = scan.source.downcast_ref::<WorkTable>().and_then(|table| tables.get(&table.id)).cloned();
        let Some(table) = table else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
        scan.source = provider_as_source(table);
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    });
    Ok(replaced.map_err(execution_error)?.data)
}

/// The facts that the asked one needs, each behind those that it is made of. The asked one is left out where it is the row that it is
/// made of.
fn in_order(facts: Vec<Fact>, asked: usize) -> Vec<Fact> {
    let root = match facts[asked].from.as_slice() {
        [one] if facts[*one].row == facts[asked].row => *one,
        _ => asked,
    };
    let mut places = vec![None; facts.len()];
    let mut order = Vec::with_capacity(facts.len());
    let mut path = vec![(root, 0)];
    while let Some((fact, next)) = path.last_mut() {
        match facts[*fact].from.get(*next) {
            Some(input) => {
                *next += 1;
                if places[*input].is_none() {
                    path.push((*input, 0));
                }
            }
            None => {
                if places[*fact].is_none() {
                    places[*fact] = Some(order.len());
                    order.push(*fact);
                }
                path.pop();
            }
        }
    }
    let mut facts = facts.into_iter().map(Some).collect::<Vec<_>>();
    let placed = order.into_iter().map(|fact| {
        let mut fact = facts[fact].take().expect("a fact has one place");
        fact.from = fact.from.iter().map(|input| places[*input].expect("it stands before")).collect();
        fact
    });
    placed.collect()
}

fn column(row: &RecordBatch, name: &str) -> ArrayRef {
    Arc::clone(row.column_by_name(name).expect("a plan has the columns that its parts name"))
}

fn integer(row: &RecordBatch, name: &str) -> i64 {
    column(row, name).as_primitive::<Int64Type>().value(0)
}

fn values(columns: &[ArrayRef]) -> Result<Vec<ScalarValue>> {
    columns.iter().map(|column| ScalarValue::try_from_array(column, 0).map_err(execution_error)).collect()
}
