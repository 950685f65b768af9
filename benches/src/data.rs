//! The rows of the workloads: seeded, so that every contender in every process gets the same.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use rustc_hash::FxHashMap;

use crate::Failure;
use crate::arguments::Size;
use crate::random::Random;

pub(crate) mod recursion;

/// Rows of one transaction of the streams of rows.
pub(crate) const TRANSACTION_ROWS: usize = 10_000;

/// Where the rows come from.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) size: Size,
    pub(crate) debian_graph: PathBuf,
}

impl Input {
    /// The Debian graph: package and dependency, in the order of the file; of the small size every tenth package.
    pub(crate) fn debian_graph(&self) -> Result<Vec<(String, String)>, Failure> {
        let name = self.debian_graph.display();
        let file = File::open(&self.debian_graph).map_err(|error| format!("could not open file \"{name}\": {error}"))?;
        let mut text = String::new();
        GzDecoder::new(file).read_to_string(&mut text).map_err(|error| format!("could not read file \"{name}\": {error}"))?;
        let mut edges = Vec::new();
        let mut packages = 0;
        for line in text.lines().skip(1) {
            let (package, dependency) = line.split_once(',').ok_or_else(|| format!("no comma in line \"{line}\" of \"{name}\""))?;
            packages += usize::from(edges.last().is_none_or(|(last, _): &(String, String)| last != package));
            edges.push((package.to_owned(), dependency.to_owned()));
        }
        if self.size == Size::Small {
            let tenth = |package: &str| package.bytes().map(usize::from).sum::<usize>() % 10 == 0;
            edges.retain(|(package, _)| tenth(package));
        }
        assert!(packages > 0, "a graph without packages measures nothing");
        Ok(edges)
    }
}

/// Distinct edges between random nodes, without loops of one node.
pub(crate) fn random_graph(size: Size) -> Vec<(i32, i32)> {
    let (nodes, edges) = match size {
        Size::Full => (3_000, 6_000),
        Size::Small => (200, 400),
    };
    random_edges(nodes, edges)
}

/// So many different edges between so many nodes, none from a node to itself.
pub(crate) fn random_edges(nodes: usize, edges: usize) -> Vec<(i32, i32)> {
    let mut random = Random::with_seed(1);
    let mut seen = HashSet::new();
    let mut graph = Vec::new();
    while graph.len() < edges {
        let edge = (integer(random.below(nodes)), integer(random.below(nodes)));
        if edge.0 != edge.1 && seen.insert(edge) {
            graph.push(edge);
        }
    }
    graph
}

/// A chain of nodes from 0 upwards.
pub(crate) fn chain(size: Size) -> Vec<(i32, i32)> {
    let nodes = match size {
        Size::Full => 20_000,
        Size::Small => 200,
    };
    (1..nodes).map(|node| (node - 1, node)).collect()
}

/// Rows of key and value with a hundred thousand keys.
pub(crate) fn events(size: Size) -> Vec<(i32, i32)> {
    let (rows, keys) = match size {
        Size::Full => (5_000_000, 100_000),
        Size::Small => (50_000, 1_000),
    };
    let mut random = Random::with_seed(2);
    (0..rows).map(|_| (integer(random.below(keys)), integer(random.below(1_000)))).collect()
}

/// The two inputs of a join, rows of key and value.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    pub(crate) left: Vec<(i32, i32)>,
    pub(crate) right: Vec<(i32, i32)>,
}

/// Two sides of equal length, with two and a half rows to a key in each.
pub(crate) fn join_sides(size: Size) -> Sides {
    let (rows, keys) = match size {
        Size::Full => (2_500_000, 1_000_000),
        Size::Small => (25_000, 10_000),
    };
    let mut random = Random::with_seed(3);
    let mut side = || (0..rows).map(|row| (integer(random.below(keys)), integer(row))).collect();
    Sides { left: side(), right: side() }
}

/// One edge that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) edge: (String, String),
    pub(crate) insert: bool,
}

/// "Reachable from 100 packages", and the changes under it.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) edges: Vec<(String, String)>,
    pub(crate) sources: Vec<String>,
    /// Deletes that are not timed; they leave the first inserts something to put back.
    pub(crate) warm_up: Vec<Change>,
    /// By turns a delete of an edge that is there and an insert of one that is not.
    pub(crate) changes: Vec<Change>,
}

impl Reach {
    const SOURCES: usize = 100;
    const WARM_UP: usize = 20;

    /// Chooses sources with at least three dependencies, and changes among the edges that can be reached from them: any other
    /// edge would time nothing but an empty transaction.
    pub(crate) fn over(edges: Vec<(String, String)>, size: Size) -> Self {
        let number = match size {
            Size::Full => 2_000,
            Size::Small => 40,
        };
        let mut random = Random::with_seed(4);
        let mut targets: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
        let mut packages = Vec::new();
        for (package, dependency) in &edges {
            let of_package = targets.entry(package).or_default();
            of_package.push(dependency);
            if of_package.len() == 3 {
                packages.push(package.as_str());
            }
        }
        let sources: Vec<String> =
            (0..Self::SOURCES.min(packages.len())).map(|_| packages.swap_remove(random.below(packages.len())).to_owned()).collect();
        let mut reached: HashSet<&str> = sources.iter().map(String::as_str).collect();
        let mut waiting: Vec<&str> = sources.iter().map(String::as_str).collect();
        while let Some(package) = waiting.pop() {
            let dependencies = targets.get(package).into_iter().flatten();
            waiting.extend(dependencies.filter(|dependency| reached.insert(dependency)));
        }
        let present = edges.iter().filter(|(package, _)| reached.contains(package.as_str())).cloned().collect();
        let (warm_up, changes) = changes_of(present, number, &mut random);
        Self { edges, sources, warm_up, changes }
    }
}

fn changes_of(mut present: Vec<(String, String)>, number: usize, random: &mut Random) -> (Vec<Change>, Vec<Change>) {
    assert!(present.len() > Reach::WARM_UP, "there are edges to change");
    let mut absent = Vec::new();
    let mut turn = |insert: bool| {
        let (from, to) = if insert { (&mut absent, &mut present) } else { (&mut present, &mut absent) };
        let edge = from.swap_remove(random.below(from.len()));
        to.push(edge.clone());
        Change { edge, insert }
    };
    let warm_up = (0..Reach::WARM_UP).map(|_| turn(false)).collect();
    let changes = (0..number).map(|number| turn(number % 2 == 1)).collect();
    (warm_up, changes)
}

fn integer(value: usize) -> i32 {
    i32::try_from(value).expect("all inputs are far smaller")
}

#[cfg(test)]
pub(crate) mod tests;
