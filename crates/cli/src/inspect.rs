//! `refrain inspect`: what is in a store. The store is only read, so it may be in use.

use std::io::{self, Write};

use refrain::inspect::{CheckpointReport, InputLogReport, Size, StoreReport, inspect};

use crate::failure::Failure;
use crate::format::{Column, Format, Kind, Row};

/// Describes the store at `url`: all its checkpoints, the newest one in detail, and the input log.
///
/// # Errors
/// When it cannot be read, or when something in it is wrong; that is told on standard error.
pub(crate) async fn run(url: &str, format: Format) -> Result<(), Failure> {
    let report = inspect(url).await?;
    print(&report, format, &mut io::stdout().lock())?;
    for problem in &report.problems {
        eprintln!("ERROR:  {problem}");
    }
    if report.problems.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

fn print(report: &StoreReport, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let checkpoints = report.checkpoints.iter().map(checkpoint_row).collect();
    let columns = "checkpoint# kind generation# epoch# age_s# objects# rows# bytes#";
    section(out, format, "checkpoints, newest first", columns, checkpoints)?;
    if let Some(newest) = report.checkpoints.iter().find(|checkpoint| checkpoint.fence_of != Some(Default::default())) {
        detail(out, format, newest)?;
    }
    let log = vec![input_log_row(&report.input_log)];
    section(out, format, "input log", "objects# records# bytes# fences# last_epoch# to_replay#", log)?;
    let left = vec![sizes(report.unreferenced)];
    section(out, format, "objects that no checkpoint names", "objects# rows# bytes#", left)
}

fn detail(out: &mut dyn Write, format: Format, checkpoint: &CheckpointReport) -> io::Result<()> {
    let relations = checkpoint.relations.iter().map(|relation| {
        let own = texts(&[&relation.name, &relation.epoch]);
        row([own, sizes(relation.result), sizes(relation.log)])
    });
    let columns = "relation epoch# result_objects# result_rows# result_bytes# log_objects# log_rows# log_bytes#";
    section(out, format, &format!("tables and views of checkpoint {}", checkpoint.id), columns, relations.collect())?;
    let operators = checkpoint.operators.iter().map(|operator| {
        let own = texts(&[&operator.view, &operator.operator, &operator.name, &operator.part]);
        row([own, sizes(operator.size), texts(&[&operator.bases.bytes])])
    });
    let columns = "view operator# name part objects# rows# bytes# base_bytes#";
    section(out, format, &format!("operators of checkpoint {}", checkpoint.id), columns, operators.collect())?;
    let loops = checkpoint.loops.iter().map(|a_loop| {
        let own = texts(&[&a_loop.view, &a_loop.operator, &a_loop.name, &a_loop.iteration]);
        row([own, sizes(a_loop.log)])
    });
    let columns = "view operator# loop iteration# log_objects# log_rows# log_bytes#";
    section(out, format, &format!("loops of checkpoint {}", checkpoint.id), columns, loops.collect())
}

fn checkpoint_row(checkpoint: &CheckpointReport) -> Row {
    let kind = match checkpoint.fence_of {
        None => "checkpoint".to_owned(),
        Some(id) => format!("fence, carries {id}"),
    };
    let age_s = checkpoint.age_ms / 1_000;
    row([texts(&[&checkpoint.id, &kind, &checkpoint.generation, &checkpoint.epoch, &age_s]), sizes(checkpoint.size)])
}

fn input_log_row(log: &InputLogReport) -> Row {
    row([sizes(log.size), texts(&[&log.fences, &log.last_epoch, &log.tail_records])])
}

fn texts(values: &[&dyn std::fmt::Display]) -> Row {
    values.iter().map(|value| Some(value.to_string())).collect()
}

fn sizes(size: Size) -> Row {
    texts(&[&size.objects, &size.rows, &size.bytes])
}

fn row<const N: usize>(parts: [Row; N]) -> Row {
    parts.into_iter().flatten().collect()
}

/// A titled table; `columns` are names, those of numbers with a `#` behind. An empty one is left out.
fn section(out: &mut dyn Write, format: Format, title: &str, columns: &str, rows: Vec<Row>) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = columns.split_whitespace().map(|name| match name.strip_suffix('#') {
        Some(name) => Column::new(name, Kind::Number),
        None => Column::new(name, Kind::Text),
    });
    match format {
        Format::Table => writeln!(out, "{title}")?,
        Format::Markdown => writeln!(out, "## {title}\n")?,
        // For programs, which know a section by its columns.
        Format::Csv | Format::Json => {}
    }
    format.print(out, &columns.collect::<Vec<_>>(), &rows)?;
    if format == Format::Json { Ok(()) } else { writeln!(out) }
}
