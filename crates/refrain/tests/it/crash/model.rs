//! What the sessions of a process do, statement by statement, and what is there after each.

use std::collections::BTreeSet;

use refrain::Session;

use crate::rows::rows;

/// Sessions, each with something of its own: edges, links, and a recursion that never ends, which comes and goes.
pub const SESSIONS: usize = 3;

const NODES: usize = 12;
/// Links that one statement adds: a recursion of as many iterations.
const LINKS: usize = 150;
const NUMBERS: &str =
    "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";

/// A number that depends on both (SplitMix64).
pub fn mix(a: usize, b: usize) -> usize {
    let z = (a as u64) << 32 ^ (b as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 1) as usize
}

/// How far each session is, and what is there.
#[derive(Clone, Debug, Default)]
pub struct Model {
    done: [usize; SESSIONS],
    edge: Vec<(usize, usize)>,
    link: Vec<(usize, usize)>,
}

/// What a statement does.
enum Change {
    Add(Vec<(usize, usize)>),
    /// Takes away the rows that begin with a number, or with any from there on.
    Remove(usize),
    RemoveFrom(usize),
}

fn change(session: usize, statement: usize) -> Change {
    let random = mix(session, statement);
    match (session, random % 4) {
        (0, 0) => Change::Remove(random / 4 % NODES),
        (0, _) => {
            let node = |shift: usize| (random >> shift) % NODES;
            Change::Add(vec![(node(8), node(16)), (node(16), node(24)), (node(8), node(16))])
        }
        // Numbers go up from 0 in parts, so that whatever is there is a chain, and is cut off somewhere from time to time.
        (_, 0) => Change::RemoveFrom(random / 4 % (4 * LINKS)),
        _ => {
            let first = random / 4 % 4 * LINKS;
            Change::Add((first..first + LINKS).map(|n| (n, n + 1)).collect())
        }
    }
}

impl Model {
    /// The SQL of a session's statement.
    pub fn statement(session: usize, statement: usize) -> String {
        let table = match session {
            0 => "edge",
            1 => "link",
            _ if statement.is_multiple_of(2) => return NUMBERS.to_owned(),
            _ => return "DROP MATERIALIZED VIEW nat".to_owned(),
        };
        match change(session, statement) {
            Change::Add(rows) => {
                let rows = rows.iter().map(|(a, b)| format!("({a}, {b})")).collect::<Vec<_>>();
                format!("INSERT INTO {table} VALUES {}", rows.join(", "))
            }
            Change::Remove(a) => format!("DELETE FROM {table} WHERE a = {a}"),
            Change::RemoveFrom(a) => format!("DELETE FROM {table} WHERE a >= {a}"),
        }
    }

    /// Statements that are carried out, by session.
    pub fn done(&self) -> [usize; SESSIONS] {
        self.done
    }

    /// The next statements of a session have been carried out.
    pub fn advance(&mut self, session: usize, statements: usize) {
        for _ in 0..statements {
            let table = if session == 0 { &mut self.edge } else { &mut self.link };
            match change(session, self.done[session]) {
                _ if session > 1 => {}
                Change::Add(rows) => table.extend(rows),
                Change::Remove(first) => table.retain(|(a, _)| *a != first),
                Change::RemoveFrom(first) => table.retain(|(a, _)| *a < first),
            }
            self.done[session] += 1;
        }
    }

    /// Whether the recursion that never ends is there.
    pub fn has_numbers(&self) -> bool {
        self.done[2] % 2 == 1
    }

    /// What a session has made, as [`Model::found`] gives it.
    pub fn state(&self, session: usize) -> Vec<String> {
        let table = match session {
            0 => &self.edge,
            1 => &self.link,
            _ => return if self.has_numbers() { vec!["nat".to_owned()] } else { Vec::new() },
        };
        let mut rows = table.iter().map(|(a, b)| format!("{a}|{b}")).collect::<Vec<_>>();
        rows.sort();
        rows
    }

    /// What there is of what a session makes.
    pub async fn found(session: &Session, number: usize) -> Vec<String> {
        match number {
            0 => rows(session, "SELECT * FROM edge").await,
            1 => rows(session, "SELECT * FROM link").await,
            _ => session.execute("EXPLAIN SELECT n FROM nat").await.map_or(Vec::new(), |_| vec!["nat".to_owned()]),
        }
    }

    /// The closure of the edges.
    pub fn reach(&self) -> BTreeSet<String> {
        let mut all = self.edge.iter().copied().collect::<BTreeSet<_>>();
        loop {
            let more =
                all.iter().flat_map(|(a, b)| self.edge.iter().filter(move |(from, _)| from == b).map(move |(_, to)| (*a, *to)));
            let more = more.filter(|pair| !all.contains(pair)).collect::<Vec<_>>();
            if more.is_empty() {
                return all.into_iter().map(|(a, b)| format!("{a}|{b}")).collect();
            }
            all.extend(more);
        }
    }
}
