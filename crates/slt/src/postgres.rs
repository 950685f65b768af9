//! Where expected results come from: the files run against a PostgreSQL server, which is also the check that they are right.
//!
//! A materialized view is created there as a plain view, so that it is always current. Each file gets a schema of its own, which
//! is dropped at the end. Records under `skipif postgres` or `onlyif refrain` are left as they are, and so are files with
//! `# refrain: only`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqllogictest::{
    AsyncDB, DBOutput, DefaultColumnType, QueryExpect, Record, RecordOutput, Runner, StatementExpect, default_column_validator,
    default_normalizer, default_validator, update_record_with_output,
};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::directive::Directive;
use crate::{Failure, driver, files};

/// An error of the server as the files expect it: `SQLSTATE: message`.
#[derive(Debug)]
struct ServerError(tokio_postgres::Error);

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(error) => write!(f, "{}: {}", error.code().code(), error.message()),
            None => self.0.fmt(f),
        }
    }
}

impl std::error::Error for ServerError {}

struct Server(Client);

#[async_trait]
impl AsyncDB for Server {
    type Error = ServerError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, ServerError> {
        let messages = self.0.simple_query(&in_its_dialect(sql)).await.map_err(ServerError)?;
        let mut columns = None;
        let mut rows = Vec::new();
        let mut count = 0;
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(c) => columns = Some(c.len()),
                SimpleQueryMessage::Row(row) => rows.push((0..row.len()).map(|i| text(row.get(i))).collect::<Vec<_>>()),
                SimpleQueryMessage::CommandComplete(n) => count = n,
                _ => {}
            }
        }
        Ok(match columns {
            Some(columns) => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            None => DBOutput::StatementComplete(count),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "postgres"
    }

    fn error_sql_state(error: &ServerError) -> Option<String> {
        error.0.code().map(|code| code.code().to_owned())
    }
}

fn text(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}

/// The words that only this project has, taken out.
fn in_its_dialect(sql: &str) -> String {
    sql.replace("MATERIALIZED VIEW", "VIEW").replace(" WITH (append_only = true)", "")
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(Failure::new)?;
    // It ends when the client is dropped; an error of it shows at the client's next statement.
    tokio::spawn(connection);
    Ok(client)
}

/// Runs the files against the server at `url`. With `overwrite` a file's expected results and errors become the server's;
/// without it, what differs is reported. Returns the number of files.
///
/// # Errors
/// When the server cannot be reached, a file cannot be read or written, or, without `overwrite`, at the first difference.
pub async fn run(url: &str, paths: &[PathBuf], overwrite: bool) -> Result<usize, Failure> {
    let files = files::find(paths)?;
    for path in &files {
        let schema = format!("slt_{}", std::process::id());
        let outer = connect(url).await?;
        let create = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        outer.batch_execute(&create).await.map_err(Failure::new)?;
        let done = run_file(url, &schema, path, overwrite).await;
        let drop = format!("SET client_min_messages = error; DROP SCHEMA {schema} CASCADE");
        outer.batch_execute(&drop).await.map_err(Failure::new)?;
        done?;
    }
    Ok(files.len())
}

async fn run_file(url: &str, schema: &str, path: &Path, overwrite: bool) -> Result<(), Failure> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(path).map_err(Failure::new)?;
    if driver::directives(&records)?.contains(&Directive::Only) {
        return Ok(());
    }
    let mut runner = Runner::new(|| async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(ServerError)?;
        tokio::spawn(connection);
        let settings = format!("SET search_path = {schema}; SET client_min_messages = error; SET timezone = 'UTC'");
        client.batch_execute(&settings).await.map_err(ServerError)?;
        Ok(Server(client))
    });
    runner.set_var("DIR".to_owned(), driver::folder(path));
    let mut text = String::new();
    let mut copying = false;
    for record in records {
        copying |= matches!(record, Record::Halt { .. });
        let written = if copying {
            record
        } else if overwrite {
            let output = runner.apply_record(record.clone()).await;
            overwritten(record, &output)
        } else {
            runner.run_async(record.clone()).await.map_err(Failure::new)?;
            record
        };
        text.push_str(&written.to_string());
        text.push('\n');
    }
    if overwrite {
        std::fs::write(path, format!("{}\n", text.trim_end())).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}

/// The record with the server's answer. An expected error without a text gets the server's; types stay as written.
fn overwritten(record: Record<DefaultColumnType>, output: &RecordOutput<DefaultColumnType>) -> Record<DefaultColumnType> {
    let mut asked = record.clone();
    match &mut asked {
        Record::Statement { expected: expected @ StatementExpect::Error(_), .. } => *expected = StatementExpect::Ok,
        Record::Query { expected: expected @ QueryExpect::Error(_), .. } => {
            *expected =
                QueryExpect::Results { types: Vec::new(), sort_mode: None, result_mode: None, label: None, results: Vec::new() };
        }
        _ => {}
    }
    let updated = update_record_with_output(&asked, output, " ", default_validator, default_normalizer, default_column_validator);
    updated.unwrap_or(record)
}
