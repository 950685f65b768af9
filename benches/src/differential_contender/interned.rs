//! The programs over text for somebody who gives every text an integer before the dataflow and writes it out again behind it.
//!
//! No program over text columns does that by itself, so it is not what Refrain is held against; but it says how much of the
//! difference is text. Filling the dictionary is within the clock of a load. The nodes of a single change are looked up before
//! its clock starts, some hundred nanoseconds in differential's favour.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::change::{Work, reach_as};
use super::load::closure_as;
use crate::checksum::{Hashed, RowHash};
use crate::clock::Stopwatch;
use crate::data::Reach;
use crate::measurement::{Finish, Measurement};

struct Dictionary<N> {
    codes: FxHashMap<N, u32>,
    names: Vec<N>,
}

impl<N: Hashed + Clone + Eq + std::hash::Hash> Dictionary<N> {
    fn new() -> Self {
        Self { codes: FxHashMap::default(), names: Vec::new() }
    }

    fn code(&mut self, name: &N) -> u32 {
        if let Some(code) = self.codes.get(name) {
            return *code;
        }
        let code = u32::try_from(self.names.len()).expect("fewer than 2^32 nodes");
        self.codes.insert(name.clone(), code);
        self.names.push(name.clone());
        code
    }
}

/// All pairs of a node and one it leads to.
pub(crate) fn closure<N>(workers: usize, edges: &[(N, N)]) -> Measurement
where
    N: Hashed + Clone + Eq + std::hash::Hash + Send + Sync + 'static,
{
    let clock = Stopwatch::start();
    let mut dictionary = Dictionary::new();
    let coded = edges.iter().map(|(source, target)| (dictionary.code(source), dictionary.code(target))).collect();
    let filling = clock.elapsed();
    let names = Arc::new(dictionary.names);
    let hash = move |target: &u32, source: &u32| RowHash::of_pair(&names[*source as usize], &names[*target as usize]);
    let (elapsed, answer) = closure_as(workers, coded, hash);
    Finish::after(filling + elapsed).with_answer(answer)
}

/// "Reachable from 100 packages".
pub(crate) fn reach(workers: usize, work: &Reach) -> Measurement {
    let mut dictionary = Dictionary::new();
    let work = Work::of(work, |name| dictionary.code(name));
    let names = Arc::new(dictionary.names);
    reach_as(workers, work, move |code| names[*code as usize].clone())
}
