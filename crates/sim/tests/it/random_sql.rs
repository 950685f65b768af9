//! Random queries as maintained views, beside PostgreSQL and beside the same queries read once. `REFRAIN_SQL_SCRIPTS` says how many scripts of
//! [`QUERIES`] queries each, and `REFRAIN_SQL_SEED` where they begin. Where no PostgreSQL is installed, views are held against queries that are
//! read once alone, and the test says so.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures::StreamExt;
use refrain::{Engine, EngineBuilder, Session, display};
use refrain_sim::{Script, random_script};

use crate::postgres::{Answer, Connection, Server};
use crate::setting;

const SCRIPTS: u64 = 40;
/// Queries of a script.
const QUERIES: usize = 8;
const SEED: u64 = 1;
/// Scripts that run at the same time.
const AT_ONCE: usize = 3;
/// Scripts that fail before it ends; `REFRAIN_SQL_FAILURES` says otherwise.
const FAILURES_MAX: u64 = 5;
/// How long a statement may take; a query that takes longer is left out.
const TIMEOUT: &str = "SET statement_timeout = '10s'";

/// What scripts came to.
#[derive(Debug, Default)]
struct Tally {
    /// Views that were held against PostgreSQL, and how often.
    views: usize,
    looks: usize,
    /// Why queries were refused, and how often.
    refused: BTreeMap<String, usize>,
    /// Queries that PostgreSQL does not take.
    not_sql: BTreeMap<String, usize>,
    /// Queries that took too long.
    too_long: usize,
    /// Looks at which both said that a row fails.
    failing: usize,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.views += other.views;
        self.looks += other.looks;
        for (message, count) in other.refused {
            *self.refused.entry(message).or_default() += count;
        }
        for (message, count) in other.not_sql {
            *self.not_sql.entry(message).or_default() += count;
        }
        self.too_long += other.too_long;
        self.failing += other.failing;
        self.failures.extend(other.failures);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_are_maintained_as_postgres_answers_them() {
    let server = match Server::start().await {
        Ok(server) => Some(server),
        Err(why) => {
            println!("no PostgreSQL, so views are held against queries read once alone: {why}");
            None
        }
    };
    let failures_max = setting("REFRAIN_SQL_FAILURES", FAILURES_MAX);
    let (scripts, first) = (setting("REFRAIN_SQL_SCRIPTS", SCRIPTS), setting("REFRAIN_SQL_SEED", SEED));
    let seeds = futures::stream::iter((first..).take(usize::try_from(scripts).expect("so many scripts can be counted")));
    let mut runs = seeds.map(|seed| run(seed, server.as_ref())).buffer_unordered(AT_ONCE);
    let mut tally = Tally::default();
    while let Some(one) = runs.next().await {
        one.failures.iter().for_each(|failure| println!("{failure}\n"));
        tally.add(one);
        if tally.failures.len() as u64 >= failures_max {
            break;
        }
    }
    println!(
        "{} views, {} looks, {} of them at failing rows, {} queries took too long",
        tally.views, tally.looks, tally.failing, tally.too_long
    );
    for (title, counts) in [("refused", &tally.refused), ("not taken by PostgreSQL", &tally.not_sql)] {
        let mut counts = counts.iter().collect::<Vec<_>>();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        counts.iter().for_each(|(message, count)| println!("{title}: {count} x {message}"));
    }
    assert!(tally.failures.is_empty(), "{} scripts failed", tally.failures.len());
    let most = usize::try_from(scripts).expect("so many scripts can be counted") * QUERIES;
    assert!(tally.views * 2 > most, "more than half of the queries are refused or fail: {tally:?}");
}

/// One script in an engine of its own, and in a schema of its own.
async fn run(seed: u64, server: Option<&Server>) -> Tally {
    let script = random_script(seed, QUERIES);
    let mut builder = Engine::builder().workers(1 + usize::try_from(seed % 2).expect("0 or 1"));
    // Without one of the optimizer's rules, now and then.
    let rules = EngineRules::of(seed);
    for rule in &rules.off {
        builder = builder.without_optimizer_rule(rule);
    }
    let engine = builder.open().await.expect("an engine in memory opens");
    let postgres = match server {
        Some(server) => Some(server.connect().await.expect("the server takes connections")),
        None => None,
    };
    let schema = format!("s{seed}");
    let mut run = Run { seed, rules, script, session: engine.session(), postgres, tally: Tally::default(), done: Vec::new() };
    if let Some(postgres) = &run.postgres {
        let sql = format!("{TIMEOUT}; CREATE SCHEMA {schema}; SET search_path = {schema}");
        postgres.run(&sql).await.expect("a schema can be created");
    }
    run.session.execute(TIMEOUT).await.expect("a setting");
    if let Err(failure) = run.all().await {
        let failure = format!("seed {seed}: {failure}");
        run.tally.failures.push(failure);
    }
    if let Some(postgres) = &run.postgres {
        let _ = postgres.run(&format!("ROLLBACK; DROP SCHEMA {schema} CASCADE")).await;
    }
    run.tally
}

/// Rules without which queries are refused: `coalesce` has no meaning to DataFusion before it is simplified, and subqueries are joins.
const NEEDED: [&str; 5] = [
    "simplify_expressions",
    "rewrite_set_comparison",
    "decorrelate_predicate_subquery",
    "scalar_subquery_to_join",
    "decorrelate_lateral_join",
];

/// Which rules of the optimizer are off.
struct EngineRules {
    off: Vec<String>,
}

impl EngineRules {
    fn of(seed: u64) -> Self {
        let optional = |rule: &String| !NEEDED.contains(&rule.as_str());
        let all = EngineBuilder::optimizer_rules().into_iter().filter(optional).collect::<Vec<_>>();
        let number = usize::try_from(seed / 3).unwrap_or(0) % all.len();
        Self { off: if seed.is_multiple_of(3) { vec![all[number].clone()] } else { Vec::new() } }
    }
}

struct Run {
    seed: u64,
    rules: EngineRules,
    script: Script,
    session: Session,
    postgres: Option<Connection>,
    tally: Tally,
    /// Changes so far.
    done: Vec<String>,
}

impl Run {
    async fn all(&mut self) -> Result<(), String> {
        let Script { tables, queries, batches } = self.script.clone();
        for table in &tables {
            self.both(table).await?;
        }
        let mut views = Vec::new();
        for (number, query) in queries.iter().enumerate() {
            if self.create(number, query).await? {
                views.push((number, query));
            }
        }
        self.tally.views += views.len();
        for batch in &batches {
            for statement in batch {
                self.done.push(statement.clone());
                self.both(statement).await?;
            }
            for (number, query) in &views {
                self.look(*number, query).await.map_err(|what| self.told(query, &what))?;
            }
        }
        Ok(())
    }

    /// Runs a statement at both, which have to succeed or fail alike.
    async fn both(&self, sql: &str) -> Result<(), String> {
        let ours = self.ours(sql).await;
        let Some(postgres) = &self.postgres else { return Ok(()) };
        let theirs = postgres.run(sql).await;
        match (&ours, &theirs) {
            (Ok(_), Ok(_)) => Ok(()),
            (Err((ours, _)), Err((theirs, _))) if ours == theirs => Ok(()),
            _ => Err(self.told(sql, &format!("{sql}\nours: {:?}\ntheirs: {:?}", ours.err(), theirs.err()))),
        }
    }

    async fn ours(&self, sql: &str) -> Answer {
        match self.session.execute(sql).await {
            Ok(refrain::Outcome::Rows { batches, .. }) => Ok(batches.iter().flat_map(display::rows).collect()),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err((error.code().to_owned(), error.message().to_owned())),
        }
    }

    /// Makes a query a view; whether it is one.
    async fn create(&mut self, number: usize, query: &str) -> Result<bool, String> {
        if let Some(postgres) = &self.postgres
            && let Err((code, message)) = postgres.run(&format!("CREATE VIEW v{number} AS {query}")).await
        {
            // A view that is missing because it was refused.
            if code != "42P01" {
                *self.tally.not_sql.entry(format!("{code} {message}")).or_default() += 1;
                if std::env::var_os("REFRAIN_SQL_SHOW").is_some() {
                    println!("{code} {message}: {query}");
                }
            }
            return Ok(false);
        }
        let Err((code, message)) = self.ours(&format!("CREATE MATERIALIZED VIEW v{number} AS {query}")).await else {
            return Ok(true);
        };
        if let Some(postgres) = &self.postgres {
            let _ = postgres.run(&format!("DROP VIEW v{number}")).await;
        }
        match code.as_str() {
            "0A000" => {
                *self.tally.refused.entry(message).or_default() += 1;
                if std::env::var_os("REFRAIN_SQL_SHOW").is_some() {
                    println!("refused: {query}");
                }
            }
            "57014" => self.tally.too_long += 1,
            "42P01" => {}
            _ => return Err(self.told(query, &format!("the view is not created: {code} {message}"))),
        }
        Ok(false)
    }

    /// Holds a view against what it should be.
    async fn look(&mut self, number: usize, query: &str) -> Result<(), String> {
        self.tally.looks += 1;
        let view = format!("SELECT * FROM v{number}");
        let kept = self.ours(&view).await;
        let mut beside = vec![("read once", self.ours(query).await)];
        if let Some(postgres) = &self.postgres {
            beside.push(("PostgreSQL", postgres.run(&view).await));
        }
        for (who, answer) in beside {
            match (&kept, &answer) {
                (Err((code, _)), _) | (_, Err((code, _))) if code == "57014" => self.tally.too_long += 1,
                // What a query of DataFusion's cannot do is not what this is about.
                (_, Err((code, _))) if code == "0A000" => {}
                (Err((ours, _)), Err((theirs, _))) if ours == theirs => self.tally.failing += 1,
                (Ok(ours), Ok(theirs)) if sorted(ours) == sorted(theirs) => {}
                (ours, theirs) => return Err(different(who, ours, theirs)),
            }
        }
        Ok(())
    }

    /// What led to a failure.
    fn told(&self, query: &str, what: &str) -> String {
        let mut told = format!("{what}\n-- seed {}, rules off: {:?}\n", self.seed, self.rules.off);
        for statement in self.script.tables.iter().chain(&self.done) {
            let _ = writeln!(told, "{statement};");
        }
        // A view may read another one.
        for (number, other) in self.script.queries.iter().enumerate() {
            if query.contains(&format!("v{number} AS")) {
                let _ = writeln!(told, "-- v{number} is {other};");
            }
        }
        let _ = write!(told, "{query};");
        told
    }
}

pub(crate) fn different(who: &str, ours: &Answer, theirs: &Answer) -> String {
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return format!("view: {ours:?}\n{who}: {theirs:?}") };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let only = |a: &[String], b: &[String]| {
        let mut b = b.to_vec();
        let only = a.iter().filter(|row| match b.iter().position(|other| other == *row) {
            Some(place) => {
                b.swap_remove(place);
                false
            }
            None => true,
        });
        only.cloned().collect::<Vec<_>>()
    };
    format!("the view alone has {:?}\n{who} alone has {:?}", only(&ours, &theirs), only(&theirs, &ours))
}

pub(crate) fn sorted(rows: &[Vec<Option<String>>]) -> Vec<String> {
    let text = |value: &Option<String>| value.as_deref().map_or_else(|| "NULL".to_owned(), |text| format!("'{}'", number(text)));
    let mut rows = rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join(", ")).collect::<Vec<_>>();
    rows.sort();
    rows
}

/// A number without the zeros at the end of its fraction, and with no more digits than an average has here: in PostgreSQL each numeric has a
/// scale of its own, here each column. Other texts as they are.
fn number(text: &str) -> String {
    let is_number = text.contains('.') && text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(number) if is_number => format!("{number:.13}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        _ => text.to_owned(),
    }
}
