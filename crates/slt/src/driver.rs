//! Runs files: parses, hands each record to sqllogictest's runner, and does between the records what the mode asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqllogictest::{Condition, DefaultColumnType, Location, QueryExpect, Record, Runner, StatementExpect};
use tokio::sync::Mutex;

use crate::directive::Directive;
use crate::noise::Trickle;
use crate::random::Random;
use crate::rebuild::Views;
use crate::statement::Statement;
use crate::subject::{Connection, Connector, End, Shared, Subject};
use crate::{Failure, FileReport, Mode, Report, files};

/// Restarts take from one to this many workers.
const RESTART_WORKERS_MAX: usize = 4;

/// What to run and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files, or folders to search for `.slt` files.
    pub paths: Vec<PathBuf>,
    /// Modes, each of which runs every file; empty means all of them.
    pub modes: Vec<Mode>,
    /// Workers of mode [`Mode::Workers`].
    pub workers: usize,
    /// Decides every shuffle, every noise row and every number of workers after a restart.
    pub seed: u64,
    /// Seconds after which a statement counts as failed.
    pub statement_timeout_s: u64,
    /// After so many failures a file is given up: the rest would only be their consequences.
    pub failures_max: usize,
    /// Rules of the optimizer to run without.
    pub rules_off: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            modes: Vec::new(),
            workers: 4,
            seed: 0,
            statement_timeout_s: 60,
            failures_max: 5,
            rules_off: Vec::new(),
        }
    }
}

/// Runs every file in every mode; `done` hears of each as it ends.
///
/// # Errors
/// When there is nothing to run. A file that fails, even one that cannot be parsed, is part of the report.
pub async fn run(options: &Options, mut done: impl FnMut(&FileReport)) -> Result<Report, Failure> {
    let files = files::find(&options.paths)?;
    let modes = if options.modes.is_empty() { Mode::ALL.to_vec() } else { options.modes.clone() };
    let mut report = Report::default();
    for mode in modes {
        for path in &files {
            let file = run_file(options, mode, path).await;
            done(&file);
            report.files.push(file);
        }
    }
    Ok(report)
}

async fn run_file(options: &Options, mode: Mode, path: &Path) -> FileReport {
    let report = FileReport { path: path.to_owned(), mode, records: 0, failures: Vec::new() };
    match Driver::open(options, report).await {
        Ok((driver, records)) => driver.run(records).await,
        Err((mut report, failure)) => {
            report.failures.push(failure);
            report
        }
    }
}

type AnyRecord = Record<DefaultColumnType>;

struct Driver {
    mode: Mode,
    subject: Shared,
    runner: Runner<Connection, Connector>,
    random: Random,
    views: Views,
    trickle: Trickle,
    report: FileReport,
    failures_max: usize,
}

impl Driver {
    async fn open(options: &Options, report: FileReport) -> Result<(Self, Vec<AnyRecord>), (FileReport, Failure)> {
        let mode = report.mode;
        let opened = async {
            let records = sqllogictest::parse_file::<DefaultColumnType>(&report.path).map_err(Failure::new)?;
            let durable = mode == Mode::Restart || directives(&records)?.iter().any(|d| matches!(d, Directive::Restart { .. }));
            let workers = if mode == Mode::Workers { options.workers } else { 1 };
            let subject = Subject::open(workers, durable, options).await.map_err(Failure::new)?;
            Ok::<_, Failure>((records, Arc::new(Mutex::new(subject))))
        };
        let (records, subject) = match opened.await {
            Ok(opened) => opened,
            Err(failure) => return Err((report, failure)),
        };
        let mut runner = Runner::new(Connector::new(Arc::clone(&subject)));
        runner.set_var("DIR".to_owned(), folder(&report.path));
        let name = format!("{}/{mode}", report.path.display());
        let random = Random::of(options.seed, &name);
        let trickle = Trickle::new(Random::of(options.seed, &format!("{name}/trickle")));
        let (views, failures_max) = (Views::default(), options.failures_max);
        Ok((Self { mode, subject, runner, random, views, trickle, report, failures_max }, records))
    }

    async fn run(mut self, records: Vec<AnyRecord>) -> FileReport {
        for record in records {
            if matches!(record, Record::Halt { .. }) || self.report.failures.len() >= self.failures_max {
                break;
            }
            if let Err(failure) = self.record(record).await {
                self.report.failures.push(failure);
            }
        }
        if let Err(error) = self.subject.lock().await.close().await {
            self.report.failures.push(Failure::new(format!("closing the engine: {error}")));
        }
        self.report
    }

    async fn record(&mut self, record: AnyRecord) -> Result<(), Failure> {
        match &record {
            Record::Comment(lines) => self.directives(lines).await,
            Record::Statement { loc, conditions, sql, .. } | Record::Query { loc, conditions, sql, .. } => {
                if conditions.iter().any(is_for_others) {
                    return Ok(());
                }
                let (place, sql) = (loc.clone(), sql.clone());
                self.report.records += 1;
                let mode = self.mode;
                self.before(&record).await.map_err(|error| Failure::at(&place, format!("mode {mode}: {error}")))?;
                let succeeded = self.apply(record, &place).await?;
                if succeeded {
                    self.views.note(&sql);
                    self.trickle.note(&sql);
                }
                if self.mode == Mode::Checkpoint {
                    let injected = |error| Failure::at(&place, format!("checkpoint after the record: {error}"));
                    self.subject.lock().await.checkpoint().await.map_err(injected)?;
                }
                Ok(())
            }
            _ => self.runner.run_async(record).await.map(drop).map_err(Failure::new),
        }
    }

    /// What the mode does before a record.
    async fn before(&mut self, record: &AnyRecord) -> Result<(), crate::subject::EngineError> {
        let mut subject = self.subject.lock().await;
        if subject.in_block() {
            return Ok(());
        }
        match self.mode {
            Mode::Batch if matches!(record, Record::Query { .. }) => self.views.rebuild(&mut subject).await,
            Mode::Restart => {
                // Some recoveries start from a checkpoint, most replay the input log behind an older one.
                if self.random.one_in(3) {
                    subject.checkpoint().await?;
                }
                let others = (1..=RESTART_WORKERS_MAX).filter(|n| *n != subject.workers()).collect::<Vec<_>>();
                let end = if self.random.one_in(2) { End::Closed } else { End::Dropped };
                subject.restart(others[self.random.below(others.len())], end).await
            }
            _ => Ok(()),
        }
    }

    /// Runs a record as the mode has it; whether its statement succeeded (as it should).
    async fn apply(&mut self, record: AnyRecord, place: &Location) -> Result<bool, Failure> {
        let expected_count = match &record {
            Record::Statement { expected: StatementExpect::Ok, .. } => None,
            Record::Statement { expected: StatementExpect::Count(count), .. } => Some(*count),
            Record::Query { expected: QueryExpect::Results { .. }, .. } => {
                return self.runner.run_async(record).await.map(|_| true).map_err(Failure::new);
            }
            _ => return self.runner.run_async(record).await.map(|_| false).map_err(Failure::new),
        };
        if self.mode == Mode::Trickle
            && let Record::Statement { sql, .. } = &record
            && let Statement::InsertValues(insert) = Statement::of(sql)
        {
            let mut subject = self.subject.lock().await;
            let inserted = self.trickle.insert(&mut subject, &insert).await;
            let inserted = inserted.map_err(|error| Failure::at(place, format!("row by row: {error}\n[SQL] {sql}")))?;
            return match expected_count {
                Some(count) if count != inserted => {
                    Err(Failure::at(place, format!("expected {count} rows, inserted {inserted}\n[SQL] {sql}")))
                }
                _ => Ok(true),
            };
        }
        self.runner.run_async(record).await.map(|_| true).map_err(Failure::new)
    }

    async fn directives(&mut self, lines: &[String]) -> Result<(), Failure> {
        for line in lines {
            let mut subject = self.subject.lock().await;
            let done = match Directive::parse(line).map_err(Failure::new)? {
                Some(Directive::Checkpoint) => subject.checkpoint().await,
                Some(Directive::Restart { workers }) => {
                    let workers = workers.unwrap_or(subject.workers());
                    subject.restart(workers, End::Closed).await
                }
                Some(Directive::NoiseOff) => {
                    self.trickle.quiet();
                    Ok(())
                }
                Some(Directive::Only) | None => Ok(()),
            };
            done.map_err(|error| Failure::new(format!("#{line}: {error}")))?;
        }
        Ok(())
    }
}

/// Every directive of a file.
pub(crate) fn directives(records: &[AnyRecord]) -> Result<Vec<Directive>, Failure> {
    let comments = records.iter().filter_map(|record| match record {
        Record::Comment(lines) => Some(lines),
        _ => None,
    });
    comments.flatten().filter_map(|line| Directive::parse(line).map_err(Failure::new).transpose()).collect()
}

/// Whether `onlyif` or `skipif` keeps a record from this engine.
fn is_for_others(condition: &Condition) -> bool {
    match condition {
        Condition::OnlyIf { label } => label != "refrain",
        Condition::SkipIf { label } => label == "refrain",
    }
}

/// The folder of a file, which the files call `$DIR`.
pub(crate) fn folder(path: &Path) -> String {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).to_string_lossy().into_owned()
}
