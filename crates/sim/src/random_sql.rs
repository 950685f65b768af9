//! Random queries over random tables that change, in SQL that PostgreSQL understands as well.
//!
//! A seed gives a [`Script`]: tables, queries, and batches of changes. The queries are views of their own; who runs the script holds each view
//! against the same view somewhere else after each batch. What a query answers is decided by its rows alone: where an order decides (a LIMIT,
//! `row_number`, `string_agg`), rows that come at one place in it are equal in all that is read. Nothing fails but by accident: divisors
//! are not 0, numbers are small.
//!
//! ```text
//! tables.rs    tables, their rows, and what changes them
//! scalar.rs    expressions of a type over columns
//! select.rs    FROM, WHERE, GROUP BY, windows, ORDER BY … LIMIT, set operations, WITH
//! subquery.rs  EXISTS, IN, ANY, subqueries as values
//! recursive.rs WITH RECURSIVE
//! ```

mod recursive;
mod scalar;
mod select;
mod subquery;
mod tables;

use crate::random::Random;

/// What a seed gives.
#[derive(Clone, Debug)]
pub struct Script {
    /// `CREATE TABLE` statements.
    pub tables: Vec<String>,
    /// Queries, in whose order they are to be the views `v0`, `v1`, …; a later one may read an earlier one.
    pub queries: Vec<String>,
    /// Statements that change the tables, batch by batch; views are as they should be after each batch.
    pub batches: Vec<Vec<String>>,
}

/// The script of a seed, with so many queries.
#[must_use]
pub fn random_script(seed: u64, queries: usize) -> Script {
    let mut generator = Generator { random: Random::of(seed), relations: Vec::new(), aliases: 0 };
    let tables = generator.tables();
    let mut script = Script {
        tables: tables.iter().map(tables::Table::create).collect(),
        queries: Vec::with_capacity(queries),
        batches: Vec::new(),
    };
    for number in 0..queries {
        let query = generator.query(2);
        // A view over a view, now and then.
        if generator.random.percent(10) {
            generator.relations.push(query.relation(format!("v{number}")));
        }
        script.queries.push(query.sql);
    }
    script.batches = generator.batches(tables);
    script
}

/// Types that are generated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Type {
    Int,
    Big,
    Text,
    Bool,
    Numeric,
    Date,
    Double,
}

impl Type {
    const ALL: [Self; 7] = [Self::Int, Self::Big, Self::Text, Self::Bool, Self::Numeric, Self::Date, Self::Double];

    fn sql(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Big => "bigint",
            Self::Text => "text",
            Self::Bool => "boolean",
            Self::Numeric => "numeric",
            Self::Date => "date",
            Self::Double => "double precision",
        }
    }
}

/// A column as an expression names it.
#[derive(Clone, Debug)]
struct Column {
    sql: String,
    r#type: Type,
}

/// What may stand behind FROM by its name.
#[derive(Clone, Debug)]
struct Relation {
    name: String,
    columns: Vec<(String, Type)>,
}

impl Relation {
    /// Its columns under an alias.
    fn under(&self, alias: &str) -> Vec<Column> {
        self.columns.iter().map(|(name, r#type)| Column { sql: format!("{alias}.{name}"), r#type: *r#type }).collect()
    }
}

/// A query, whose columns are `x0`, `x1`, ….
struct Query {
    sql: String,
    types: Vec<Type>,
}

impl Query {
    fn relation(&self, name: String) -> Relation {
        Relation { name, columns: self.types.iter().enumerate().map(|(i, r#type)| (format!("x{i}"), *r#type)).collect() }
    }
}

/// Makes queries.
struct Generator {
    random: Random,
    /// What there is to read.
    relations: Vec<Relation>,
    /// How many aliases have been given.
    aliases: usize,
}

impl Generator {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("q{}", self.aliases)
    }

    fn any_type(&mut self) -> Type {
        *self.random.pick(&Type::ALL)
    }

    /// A column of a type, if there is one.
    fn column(&mut self, r#type: Type, scope: &[Column]) -> Option<String> {
        let found = scope.iter().filter(|column| column.r#type == r#type).collect::<Vec<_>>();
        (!found.is_empty()).then(|| self.random.pick(&found).sql.clone())
    }

    /// A column of any type.
    fn any_column(&mut self, scope: &[Column]) -> Option<Column> {
        (!scope.is_empty()).then(|| self.random.pick(scope).clone())
    }
}
