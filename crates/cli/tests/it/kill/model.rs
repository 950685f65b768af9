//! What the tables hold and what the views over them are, computed from scratch; and the statements that change them.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::Pairs;

const NODES: usize = 30;
const EDGES_MAX: usize = 60;
/// Links that one statement adds: a recursion of as many iterations.
const LINKS: i64 = 300;

/// A seeded sequence (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn node(&mut self) -> i64 {
        self.below(NODES) as i64
    }
}

/// Which table a statement changes.
#[derive(Clone, Copy)]
enum Table {
    Edge,
    Link,
}

/// A statement and what it does to the tables.
pub(super) struct Statement {
    pub(super) sql: String,
    table: Table,
    removed: Pairs,
    added: Pairs,
}

/// The tables.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) edge: Pairs,
    pub(super) link: Pairs,
}

impl Model {
    /// A statement that can be run on these tables.
    pub(super) fn statement(&self, random: &mut Random) -> Statement {
        let nothing = |sql: &str| Statement { sql: sql.to_owned(), table: Table::Edge, removed: vec![], added: vec![] };
        let last = self.link.iter().map(|(_, b)| *b).max().unwrap_or(0);
        match random.below(8) {
            0 => nothing("CHECKPOINT"),
            1 => {
                let added = (last..last + LINKS).map(|n| (n, n + 1)).collect();
                Statement { sql: insert("link", &added), table: Table::Link, removed: vec![], added }
            }
            2 if !self.link.is_empty() => {
                let gone = self.link[random.below(self.link.len())];
                let sql = format!("DELETE FROM link WHERE a = {} AND b = {}", gone.0, gone.1);
                Statement {
                    sql,
                    table: Table::Link,
                    removed: self.link.iter().copied().filter(|l| *l == gone).collect(),
                    added: vec![],
                }
            }
            3 if !self.link.is_empty() => {
                // Closes a gap, or makes a second way.
                let a = random.below(last as usize) as i64;
                let added = vec![(a, a + 1)];
                Statement { sql: insert("link", &added), table: Table::Link, removed: vec![], added }
            }
            4 | 5 if self.edge.len() < EDGES_MAX => {
                let added = (0..1 + random.below(10)).map(|_| (random.node(), random.node())).collect();
                Statement { sql: insert("edge", &added), table: Table::Edge, removed: vec![], added }
            }
            6 => {
                let (from, to) = (random.node(), random.node());
                let sql = format!("UPDATE edge SET b = {to} WHERE b = {from}");
                let removed = self.edge.iter().copied().filter(|e| e.1 == from).collect::<Pairs>();
                let added = removed.iter().map(|(a, _)| (*a, to)).collect();
                Statement { sql, table: Table::Edge, removed, added }
            }
            _ => {
                let node = random.node();
                let removed = self.edge.iter().copied().filter(|e| e.0 == node).collect();
                Statement { sql: format!("DELETE FROM edge WHERE a = {node}"), table: Table::Edge, removed, added: vec![] }
            }
        }
    }

    /// The tables after a statement.
    pub(super) fn apply(&mut self, statement: &Statement) {
        let rows = match statement.table {
            Table::Edge => &mut self.edge,
            Table::Link => &mut self.link,
        };
        for gone in &statement.removed {
            let at = rows.iter().position(|row| row == gone).expect("a statement removes what is there");
            rows.remove(at);
        }
        rows.extend(&statement.added);
        rows.sort_unstable();
    }

    /// Who reaches whom.
    pub(super) fn reach(&self) -> Pairs {
        let sources = self.edge.iter().map(|(a, _)| *a).collect::<BTreeSet<_>>();
        sources.iter().flat_map(|a| from(&self.edge, *a).into_iter().map(|b| (*a, b))).collect()
    }

    /// What is reached from 0, beside a 0.
    pub(super) fn chain(&self) -> Pairs {
        from(&self.link, 0).into_iter().map(|n| (n, 0)).collect()
    }

    /// Edges by their first node.
    pub(super) fn degree(&self) -> Pairs {
        let mut degree = BTreeMap::new();
        for (a, _) in &self.edge {
            *degree.entry(*a).or_insert(0) += 1;
        }
        degree.into_iter().collect()
    }
}

fn from(edges: &Pairs, start: i64) -> BTreeSet<i64> {
    let mut targets = BTreeMap::<i64, Vec<i64>>::new();
    for (a, b) in edges {
        targets.entry(*a).or_default().push(*b);
    }
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for target in targets.get(&node).into_iter().flatten() {
            if reached.insert(*target) {
                open.push(*target);
            }
        }
    }
    reached
}

fn insert(table: &str, rows: &Pairs) -> String {
    let rows = rows.iter().map(|(a, b)| format!("({a}, {b})")).collect::<Vec<_>>();
    format!("INSERT INTO {table} VALUES {}", rows.join(", "))
}
