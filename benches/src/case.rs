//! A case: one contender doing one workload, on one kind of tables, with a number of workers.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

use crate::data::recursion::Roads;
use crate::data::{self, Input};
use crate::differential_contender::general::{Maintained, Once};
use crate::measurement::Measurement;
use crate::sql::SqlValue;
use crate::{Failure, datafusion_contender, differential_contender, limit_contender, refrain_contender};

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Workload {
    /// Transitive closure of a random graph of integers.
    ClosureRandom,
    /// Transitive closure of the Debian dependency graph, as text.
    ClosureDebian,
    /// The nodes of one long chain that can be reached from its first.
    Chain,
    /// Single edges deleted and inserted under "reachable from 100 packages".
    ReachLatency,
    /// Distances from one corner of a weighted grid, and single changes of weights.
    ShortestGrid,
    /// The same in a random graph with few nodes of many edges and many of few.
    ShortestRmat,
    /// Points-to analysis of a program: two relations that recur through each other.
    PointsTo,
    /// Who is of one generation in many families: a relation between two joins, and joined with itself.
    SameGeneration,
    /// Transitive closure of small random graphs by a rule that names it twice.
    ClosureNonlinear,
    /// Connected components of a sparse random graph.
    Components,
    /// A join of two streams of rows.
    Join,
    /// A GROUP BY with a count and a sum.
    GroupBy,
}

/// What the tables under a view allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Tables {
    /// Rows only ever arrive.
    AppendOnly,
    /// Rows may be deleted, though a bulk workload does not do it.
    Changeable,
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// Refrain through its library.
    Refrain,
    /// differential-dataflow, as its authors' examples are written.
    Differential,
    /// differential-dataflow with presence for weights and no outer clock: a program that takes its rows once and never again.
    DifferentialOnce,
    /// The maintained program over integers that a dictionary gives for text, written out again as text.
    DifferentialInterned,
    /// DataFusion's own WITH RECURSIVE over a table in memory.
    #[value(name = "datafusion")]
    DataFusion,
    /// A program written by hand for this one job, on one thread: the limit.
    Limit,
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) workload: Workload,
    pub(crate) tables: Tables,
    pub(crate) workers: usize,
    pub(crate) contender: Contender,
}

impl Workload {
    /// Whether it is a recursion over a whole table.
    pub(crate) fn is_recursive_load(self) -> bool {
        matches!(self, Self::ClosureRandom | Self::ClosureDebian | Self::Chain)
    }

    /// Whether it is a recursion that grows a set, in a form that standard SQL does not have.
    pub(crate) fn is_general_set(self) -> bool {
        matches!(self, Self::PointsTo | Self::SameGeneration | Self::ClosureNonlinear)
    }
}

impl Case {
    /// The case under which the program that answers this one is measured, or `None` if the contender has no such program.
    ///
    /// Only Refrain's program depends on the tables. The hand-written ones have one thread. Single changes need changeable tables.
    pub(crate) fn program(self) -> Option<Self> {
        let has_one = match self.contender {
            Contender::DataFusion => self.workload.is_recursive_load(),
            Contender::DifferentialOnce => {
                self.tables == Tables::AppendOnly && (self.workload.is_recursive_load() || self.workload.is_general_set())
            }
            Contender::DifferentialInterned => matches!(self.workload, Workload::ClosureDebian | Workload::ReachLatency),
            Contender::Refrain | Contender::Differential | Contender::Limit => true,
        };
        if !has_one || (self.workload == Workload::ReachLatency && self.tables == Tables::AppendOnly) {
            return None;
        }
        Some(match self.contender {
            Contender::Refrain | Contender::DifferentialOnce => self,
            Contender::Differential | Contender::DifferentialInterned | Contender::DataFusion => {
                Self { tables: Tables::Changeable, ..self }
            }
            Contender::Limit => Self { tables: Tables::Changeable, workers: 1, ..self },
        })
    }
}

/// Lets the contender do its workload in this process.
pub(crate) fn measure(case: &Case, input: &Input) -> Result<Measurement, Failure> {
    match case.workload {
        Workload::ClosureRandom => closure(case, data::random_graph(input.size)),
        Workload::ClosureDebian => closure(case, input.debian_graph()?),
        Workload::Chain => chain(case, data::chain(input.size)),
        Workload::ReachLatency => reach(case, data::Reach::over(input.debian_graph()?, input.size)),
        Workload::ShortestGrid => shortest(case, &Roads::grid(input.size)),
        Workload::ShortestRmat => shortest(case, &Roads::rmat(input.size)),
        Workload::PointsTo => points_to(case, data::recursion::program(input.size)),
        Workload::SameGeneration => same_generation(case, data::recursion::families(input.size)),
        Workload::ClosureNonlinear => closure_nonlinear(case, data::recursion::random_graphs(input.size)),
        Workload::Components => components(case, data::recursion::sparse_graph(input.size)),
        Workload::Join => join(case, data::join_sides(input.size)),
        Workload::GroupBy => group_by(case, data::events(input.size)),
    }
}

fn closure<N: Node>(case: &Case, edges: Vec<(N, N)>) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::closure(case, edges),
        Contender::DataFusion => datafusion_contender::closure(case, edges),
        Contender::Differential => Ok(differential_contender::load::closure(case.workers, edges)),
        Contender::DifferentialOnce => Ok(differential_contender::once::closure(case.workers, edges)),
        Contender::DifferentialInterned => Ok(differential_contender::interned::closure(case.workers, &edges)),
        Contender::Limit => Ok(limit_contender::recursion::closure(&edges)),
    }
}

fn chain(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::chain(case, edges),
        Contender::DataFusion => datafusion_contender::chain(case, edges),
        Contender::Differential => Ok(differential_contender::load::chain(case.workers, edges)),
        Contender::DifferentialOnce => Ok(differential_contender::once::chain(case.workers, edges)),
        Contender::Limit => Ok(limit_contender::recursion::chain(&edges)),
        _ => Err(absent(case)),
    }
}

fn reach(case: &Case, work: data::Reach) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::reach(case, work),
        Contender::Differential => Ok(differential_contender::change::reach(case.workers, &work)),
        Contender::DifferentialInterned => Ok(differential_contender::interned::reach(case.workers, &work)),
        Contender::Limit => Ok(limit_contender::change::reach(&work)),
        _ => Err(absent(case)),
    }
}

fn shortest(case: &Case, roads: &Roads) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::shortest(case, roads),
        Contender::Differential => Ok(differential_contender::keyed::shortest(case.workers, roads)),
        Contender::Limit => Ok(limit_contender::shortest::shortest(roads)),
        _ => Err(absent(case)),
    }
}

fn points_to(case: &Case, program: data::recursion::Program) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::points_to(case, program),
        Contender::Differential => Ok(differential_contender::general::points_to::<Maintained>(case.workers, program)),
        Contender::DifferentialOnce => Ok(differential_contender::general::points_to::<Once>(case.workers, program)),
        Contender::Limit => Ok(limit_contender::points_to::points_to(&program)),
        _ => Err(absent(case)),
    }
}

fn same_generation(case: &Case, families: data::recursion::Families) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::same_generation(case, families),
        Contender::Differential => Ok(differential_contender::general::same_generation::<Maintained>(case.workers, families)),
        Contender::DifferentialOnce => Ok(differential_contender::general::same_generation::<Once>(case.workers, families)),
        Contender::Limit => Ok(limit_contender::classes::same_generation(&families)),
        _ => Err(absent(case)),
    }
}

fn closure_nonlinear(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::closure_nonlinear(case, edges),
        Contender::Differential => Ok(differential_contender::general::closure::<Maintained>(case.workers, edges)),
        Contender::DifferentialOnce => Ok(differential_contender::general::closure::<Once>(case.workers, edges)),
        Contender::Limit => Ok(limit_contender::recursion::closure(&edges)),
        _ => Err(absent(case)),
    }
}

fn components(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::components(case, edges),
        Contender::Differential => Ok(differential_contender::keyed::components(case.workers, edges)),
        Contender::Limit => Ok(limit_contender::classes::components(&edges)),
        _ => Err(absent(case)),
    }
}

fn join(case: &Case, sides: data::Sides) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::join(case, sides),
        Contender::Differential => Ok(differential_contender::stream::join(case.workers, sides)),
        Contender::Limit => Ok(limit_contender::stream::join(&sides)),
        _ => Err(absent(case)),
    }
}

fn group_by(case: &Case, events: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    match case.contender {
        Contender::Refrain => refrain_contender::group_by(case, events),
        Contender::Differential => Ok(differential_contender::stream::group_by(case.workers, events)),
        Contender::Limit => Ok(limit_contender::stream::group_by(&events)),
        _ => Err(absent(case)),
    }
}

fn absent(case: &Case) -> Failure {
    format!("there is no program for {case}").into()
}

/// A column type that graphs come in, with all that any contender asks of it.
pub(crate) trait Node: differential_contender::Value + limit_contender::Value + SqlValue {}

impl<N: differential_contender::Value + limit_contender::Value + SqlValue> Node for N {}

/// The word that the command line and the report use.
pub(crate) fn word<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().expect("no value of ours is hidden from the command line").get_name().to_owned()
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", word(&self.workload), word(&self.tables), self.workers, word(&self.contender))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [workload, tables, workers, contender] = parts[..] else {
            return Err(format!("\"{text}\" is not workload:tables:workers:contender"));
        };
        Ok(Self {
            workload: Workload::from_str(workload, false)?,
            tables: Tables::from_str(tables, false)?,
            workers: workers.parse().map_err(|_| format!("\"{workers}\" is not a number of workers"))?,
            contender: Contender::from_str(contender, false)?,
        })
    }
}

#[cfg(test)]
mod tests;
