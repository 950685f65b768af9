//! Points-to analysis by a list of facts that are still to be followed (Andersen, "Program Analysis and Specialization for the C
//! Programming Language", 1994).

use rustc_hash::{FxHashMap, FxHashSet};

use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::data::recursion::Program;
use crate::measurement::{Finish, Measurement};
use crate::memory;

/// What each has, by whatever it is had.
#[derive(Default)]
struct Lists(FxHashMap<i32, Vec<i32>>);

impl Lists {
    fn of(pairs: impl Iterator<Item = (i32, i32)>) -> Self {
        let mut lists = Self::default();
        pairs.for_each(|(key, value)| lists.push(key, value));
        lists
    }

    fn push(&mut self, key: i32, value: i32) {
        self.0.entry(key).or_default().push(value);
    }

    fn of_key(&self, key: i32) -> &[i32] {
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// Facts of two numbers: all of them, those of each first number, and those that are still to be followed.
#[derive(Default)]
struct Facts {
    all: FxHashSet<(i32, i32)>,
    lists: Lists,
    waiting: Vec<(i32, i32)>,
}

impl Facts {
    fn add(&mut self, key: i32, value: i32) {
        if self.all.insert((key, value)) {
            self.lists.push(key, value);
            self.waiting.push((key, value));
        }
    }
}

/// Which objects each variable may hold.
pub(crate) fn points_to(program: &Program) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let turned = |(a, b): &(i32, i32)| (*b, *a);
    let targets = Lists::of(program.assignments.iter().map(turned));
    let loads = Lists::of(program.loads.iter().map(turned));
    let sources = Lists::of(program.stores.iter().copied());
    let stores = Lists::of(program.stores.iter().map(turned));
    let (mut variables, mut memory_facts) = (Facts::default(), Facts::default());
    // The targets that are loaded from each object.
    let mut readers = Facts::default();
    for (pointer, object) in &program.allocations {
        variables.add(*pointer, *object);
    }
    loop {
        if let Some((variable, object)) = variables.waiting.pop() {
            targets.of_key(variable).iter().for_each(|target| variables.add(*target, object));
            loads.of_key(variable).iter().for_each(|target| readers.add(object, *target));
            for source in sources.of_key(variable) {
                variables.lists.of_key(*source).iter().for_each(|content| memory_facts.add(object, *content));
            }
            for pointer in stores.of_key(variable) {
                variables.lists.of_key(*pointer).iter().for_each(|into| memory_facts.add(*into, object));
            }
        } else if let Some((object, content)) = memory_facts.waiting.pop() {
            readers.lists.of_key(object).iter().for_each(|target| variables.add(*target, content));
        } else if let Some((object, target)) = readers.waiting.pop() {
            memory_facts.lists.of_key(object).iter().for_each(|content| variables.add(target, *content));
        } else {
            break;
        }
    }
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    for (variable, object) in &variables.all {
        answer.add(RowHash::of_pair(variable, object), 1);
    }
    finish.with_answer(answer)
}
