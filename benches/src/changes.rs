//! How long a single change takes under a view of many rows, a join of five tables with a group for every fifth row, and what that view
//! keeps in memory: one process, one run.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use clap::Parser;
use refrain::{Engine, Session};

use crate::clock::Stopwatch;
use crate::random::Random;
use crate::reader::Reader;
use crate::{Failure, memory};

/// Rows of one transaction.
const TRANSACTION_ROWS: usize = 100_000;
/// Changes before those that are timed.
const WARM_UP: usize = 50;
const SHOPS: usize = 1_000;
const DAYS: usize = 1_000;
/// The tables of which single rows go and come.
const CHANGED: [&str; 3] = ["sales", "customers", "products"];

const SCHEMA: &str = "\
    CREATE TABLE sales (id BIGINT NOT NULL, customer INT NOT NULL, product INT NOT NULL, shop INT NOT NULL, day INT NOT NULL, amount INT NOT NULL);
    CREATE TABLE customers (customer INT NOT NULL, region INT NOT NULL);
    CREATE TABLE products (product INT NOT NULL, price INT NOT NULL);
    CREATE TABLE shops (shop INT NOT NULL, name TEXT NOT NULL);
    CREATE TABLE days (day INT NOT NULL, holiday BOOLEAN NOT NULL)";
const VIEW: &str = "\
    CREATE MATERIALIZED VIEW turnover AS
    SELECT c.customer, c.region, count(*) AS sales, count(DISTINCT h.name) AS shops, sum(CAST(s.amount AS BIGINT) * p.price) AS turnover
    FROM sales s
    JOIN customers c ON s.customer = c.customer
    JOIN products p ON s.product = p.product
    JOIN shops h ON s.shop = h.shop
    JOIN days d ON s.day = d.day
    GROUP BY c.customer, c.region";

/// How long a single change takes under a view of many rows.
#[derive(Debug, Parser)]
#[command(name = "changes")]
struct Arguments {
    /// Rows of the largest table; the view has a fifth of them.
    #[arg(long, default_value_t = 5_000_000)]
    rows: usize,
    /// How many changes of each kind are timed.
    #[arg(long, default_value_t = 1_000)]
    changes: usize,
    /// Threads of the engine.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Reads the arguments and prints tables.
pub(crate) fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let sizes = Sizes::of(arguments.rows);
    let session = Engine::builder().workers(arguments.workers).open().await?.session();
    session.execute_script(SCHEMA).await?;
    session.execute(VIEW).await?;
    let clock = Stopwatch::start();
    for (table, rows) in sizes.tables() {
        for from in (0..rows).step_by(TRANSACTION_ROWS) {
            let ids = from..(from + TRANSACTION_ROWS).min(rows);
            session.insert(table, sizes.batch(table, ids)?).await?;
        }
    }
    session.query("SELECT count(*) FROM turnover").await?;
    let seconds = clock.elapsed().as_secs_f64();
    println!("loaded {} rows in {seconds:.1} s; peak memory {} MB", arguments.rows, memory::peak_bytes() / 1_000_000);
    println!("\n| change | p50 | p99 | rows of the view |\n|---|---|---|---|");
    let mut reader = Reader::of(&session, "turnover").await?;
    for (table, rows) in sizes.tables().into_iter().rev().filter(|(table, _)| CHANGED.contains(table)) {
        change(&session, &mut reader, (&sizes, table, rows), arguments.changes).await?;
    }
    tell_memory(&session, arguments.rows).await
}

/// Takes rows of a table away and gives them back, one at a time, and prints how long it takes until what comes of one is in the hands of a
/// subscriber.
async fn change(
    session: &Session,
    reader: &mut Reader,
    (sizes, table, rows): (&Sizes, &str, usize),
    changes: usize,
) -> Result<(), Failure> {
    let mut random = Random::with_seed(7);
    let (mut goes, mut comes) = (Vec::with_capacity(changes), Vec::with_capacity(changes));
    reader.take_count();
    for n in 0..WARM_UP + changes {
        let id = random.below(rows);
        let row = sizes.batch(table, id..id + 1)?;
        let clock = Stopwatch::start();
        session.delete(table, row.clone()).await?;
        reader.read_on(1).await?;
        let gone = clock.elapsed();
        session.insert(table, row).await?;
        reader.read_on(1).await?;
        if n >= WARM_UP {
            goes.push(gone);
            comes.push(clock.elapsed() - gone);
        }
    }
    let changed = reader.take_count() / 2 / (WARM_UP + changes);
    for (what, mut times) in [("goes", goes), ("comes", comes)] {
        times.sort_unstable();
        let milliseconds = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        println!("| a row of {table} {what} | {:.3} ms | {:.3} ms | {changed} |", milliseconds(50), milliseconds(99));
    }
    Ok(())
}

/// Prints what each operator keeps.
async fn tell_memory(session: &Session, rows: usize) -> Result<(), Failure> {
    println!("\n| operator | kind | state | bytes for each of the {rows} rows |\n|---|---|---|---|");
    let operators =
        session.query("SELECT operator, kind, state_bytes FROM refrain.operators WHERE state_bytes > 0 ORDER BY 1").await?;
    for batch in &operators {
        let numbers = |column: &str| batch[column].as_any().downcast_ref::<Int64Array>().map(|c| c.values().to_vec());
        let kinds = batch["kind"].as_any().downcast_ref::<StringArray>();
        let (Some(operators), Some(kinds), Some(bytes)) = (numbers("operator"), kinds, numbers("state_bytes")) else {
            return Err("refrain.operators has other columns".into());
        };
        for ((operator, kind), bytes) in operators.iter().zip(kinds.iter().flatten()).zip(bytes) {
            let each = usize::try_from(bytes)? / rows;
            println!("| {operator} | {kind} | {} MB | {each} |", bytes / 1_000_000);
        }
    }
    Ok(())
}

/// How many rows there are of what.
struct Sizes {
    sales: usize,
    customers: usize,
    products: usize,
}

impl Sizes {
    fn of(rows: usize) -> Self {
        Self { sales: rows, customers: (rows / 5).max(1), products: (rows / 50).max(1) }
    }

    fn tables(&self) -> [(&'static str, usize); 5] {
        [("days", DAYS), ("shops", SHOPS), ("products", self.products), ("customers", self.customers), ("sales", self.sales)]
    }

    /// Some rows of a table. What stands in a row is decided by its number.
    fn batch(&self, table: &str, ids: Range<usize>) -> Result<RecordBatch, Failure> {
        let small = |of: &dyn Fn(usize) -> usize| {
            let numbers = ids.clone().map(|id| i32::try_from(of(id))).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, Failure>(Arc::new(Int32Array::from(numbers)) as ArrayRef)
        };
        // The same for one number, whichever rows are asked for.
        let random = |salt: u64, below: usize| move |id: usize| Random::with_seed(id as u64 * 8 + salt).below(below);
        let columns = match table {
            "sales" => {
                let numbers = ids.clone().map(i64::try_from).collect::<Result<Vec<_>, _>>()?;
                vec![
                    ("id", Arc::new(Int64Array::from(numbers)) as ArrayRef),
                    ("customer", small(&|id| id % self.customers)?),
                    ("product", small(&random(1, self.products))?),
                    ("shop", small(&random(2, SHOPS))?),
                    ("day", small(&random(3, DAYS))?),
                    ("amount", small(&random(4, 100))?),
                ]
            }
            "customers" => vec![("customer", small(&|id| id)?), ("region", small(&|id| id % 50)?)],
            "products" => vec![("product", small(&|id| id)?), ("price", small(&random(5, 10_000))?)],
            "shops" => {
                let names = StringArray::from_iter_values(ids.clone().map(|id| format!("shop {id}")));
                vec![("shop", small(&|id| id)?), ("name", Arc::new(names))]
            }
            _ => {
                let holidays = BooleanArray::from_iter(ids.clone().map(|id| Some(id % 7 == 0)));
                vec![("day", small(&|id| id)?), ("holiday", Arc::new(holidays))]
            }
        };
        Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, false)))?)
    }
}
