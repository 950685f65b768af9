//! Cases from seeds: tables, a recursion of some shape over them, and a schedule.
//!
//! Whatever goes round a loop without a limit stays within a few values (`% 5`, `least(x + 1, 9)`), so that most recursions end. Those
//! that do not are found by the oracle, and the case is discarded.

use crate::case::{Case, KEEP_CHECKPOINTS, KEEP_HISTORY, Shape, Store};
use crate::query::{Column, Relation, Select, Table};
use crate::random::Random;
use crate::value::{Row, Type, Value};

mod expression;
mod linear;
mod mutual;
mod nested;
mod outer;
mod schedule;
mod select;
mod types;

use types::Visible;

/// How often each shape comes, of a hundred.
const SHAPES: [(Shape, usize); 9] = [
    (Shape::Linear, 20),
    (Shape::Keyed, 11),
    (Shape::Counting, 13),
    (Shape::NonLinear, 9),
    (Shape::Mutual, 11),
    (Shape::Aggregate, 10),
    (Shape::Negation, 9),
    (Shape::Limited, 9),
    (Shape::Nested, 8),
];

/// The texts that there are; they are ordered by their bytes.
const TEXTS: [&str; 4] = ["", "x", "y", "Z"];

/// The case of a seed.
#[must_use]
pub fn case(seed: u64) -> Case {
    let mut random = Random::of(seed);
    let shape = SHAPES[random.weighted(&SHAPES.map(|(_, weight)| weight))].0;
    let acyclic = shape == Shape::Counting && random.percent(45);
    let domain = Domain { nodes: random.within(3..=7), nulls: if random.percent(60) { 8 } else { 0 }, acyclic };
    let append_only = random.percent(if shape == Shape::Nested { 20 } else { 8 });
    let mut generator = Generator { random, domain, tables: Vec::new(), bindings: Vec::new(), free: false };
    generator.tables = generator.schema(append_only);
    let view = match shape {
        Shape::Linear => generator.linear(),
        Shape::Counting => generator.counting(),
        Shape::Keyed => generator.keyed(),
        Shape::Nested => generator.nested(),
        _ => generator.mutual(shape),
    };
    let random = &mut generator.random;
    let store = match random.weighted(&[70, 22, 8]) {
        0 => Store::Private,
        1 => Store::Memory,
        _ => Store::Directory,
    };
    let workers = *random.pick(&[1, 1, 1, 2, 2, 4, 4, 8]);
    let mut settings = Vec::new();
    if random.percent(50) {
        settings.push("SET admit_after_ms = 1".to_owned());
    }
    if random.percent(25) {
        settings.push("SET checkpoint_replay = 'capture'".to_owned());
    }
    if random.percent(20) {
        settings.push("SET checkpoint_hold_max_ms = 0".to_owned());
    }
    if store != Store::Private && random.percent(50) {
        settings.push(KEEP_CHECKPOINTS.to_owned());
    }
    // Not drawn, so that cases stay as they were.
    if seed % 4 == 1 {
        settings.push(KEEP_HISTORY.to_owned());
    }
    let steps = generator.schedule(store);
    Case { seed, shape, tables: generator.tables, view, store, workers, settings, steps }
}

/// What values there are.
#[derive(Clone, Copy)]
struct Domain {
    /// Numbers are those below this, and a few beside.
    nodes: i64,
    /// How many of a hundred values are NULL.
    nulls: usize,
    /// Whether the first column of a row is always below the second.
    acyclic: bool,
}

/// Makes the parts of a case.
struct Generator {
    random: Random,
    domain: Domain,
    tables: Vec<Table>,
    /// The types of the recursion's bindings, as far as they are decided, behind those of the recursions around it.
    bindings: Vec<Vec<Type>>,
    /// Whether numbers may grow without a bound.
    free: bool,
}

impl Generator {
    /// One to three tables, of which the first is one of edges.
    fn schema(&mut self, append_only: bool) -> Vec<Table> {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let count = 1 + self.random.weighted(&[35, 45, 20]);
        let tables = (0..count).map(|number| {
            let mut types = vec![Type::Int];
            if number == 0 {
                types.push(Type::Int);
            }
            let more = if number == 0 { self.random.weighted(&[60, 30, 10]) } else { self.random.weighted(&[40, 45, 15]) };
            types.extend((0..more).map(|_| if self.random.percent(65) { Type::Int } else { Type::Text }));
            let not_null = self.random.percent(8);
            let columns = types.into_iter().zip(NAMES);
            let columns = columns.map(|(data_type, name)| Column { name, data_type, nullable: !not_null });
            Table { name: format!("t{number}"), columns: columns.collect(), append_only }
        });
        tables.collect()
    }

    fn types(&self, relation: &Relation) -> Vec<Type> {
        self.visible().relation(relation)
    }

    /// The types of the columns of all that a SELECT lists in FROM.
    fn input_types(&self, select: &Select) -> Vec<Type> {
        self.visible().input(select)
    }

    fn visible(&self) -> Visible<'_> {
        Visible { tables: &self.tables, bindings: &self.bindings }
    }

    fn literal(&mut self, of: Type) -> Value {
        match of {
            Type::Int => Value::Int(self.random.within(0..=self.domain.nodes - 1)),
            Type::Text => Value::Text(TEXTS[self.random.below(TEXTS.len())]),
        }
    }

    /// A row for a table.
    fn row(&mut self, table: usize) -> Row {
        let columns = self.tables[table].columns.clone();
        let value = |column: &Column| {
            if column.nullable && self.random.percent(self.domain.nulls) { Value::Null } else { self.literal(column.data_type) }
        };
        let mut row = columns.iter().map(value).collect::<Row>();
        if self.domain.acyclic
            && let [Value::Int(a), Value::Int(b), ..] = &mut row[..]
        {
            let (low, high) = ((*a).min(*b), (*a).max(*b));
            (*a, *b) = (low, if low == high { high + 1 } else { high });
        }
        row
    }
}
