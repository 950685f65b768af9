//! A PostgreSQL server of the test's own, where one is installed.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Whom a server runs as where the test is run by root, as whom it refuses to: `nobody`.
const NOBODY: u32 = 65_534;
/// How often a server is asked whether it is there, 100 ms apart.
const ASKED_MAX: usize = 300;

/// A server, which ends with this.
pub(crate) struct Server {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

/// What a statement comes to: rows as texts, or an error's SQLSTATE and message.
pub(crate) type Answer = Result<Vec<Vec<Option<String>>>, (String, String)>;

impl Server {
    /// Starts a server, or says why there is none.
    pub(crate) async fn start() -> Result<Self, String> {
        let programs = programs().ok_or("neither PATH nor /usr/lib/postgresql has initdb and postgres")?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let data = folder.path().join("data");
        let as_root = is_root();
        if as_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).map_err(|e| e.to_string())?;
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if as_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let mut initdb = command("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]).arg(&data);
        let done = initdb.status().map_err(|e| format!("initdb: {e}"))?;
        if !done.success() {
            return Err(format!("initdb: {done}"));
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        postgres.arg("-c").arg(format!("unix_socket_directories={}", folder.path().display()));
        let process = postgres.spawn().map_err(|e| format!("postgres: {e}"))?;
        let server = Self { process, port, _folder: folder };
        for _ in 0..ASKED_MAX {
            if server.connect().await.is_ok() {
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("postgres does not answer".to_owned())
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        let parameters = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&parameters, NoTls).await?;
        tokio::spawn(connection);
        Ok(Connection(client))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection to a server.
pub(crate) struct Connection(Client);

impl Connection {
    /// Runs a statement.
    pub(crate) async fn run(&self, sql: &str) -> Answer {
        let messages = self.0.simple_query(sql).await.map_err(|error| match error.as_db_error() {
            Some(error) => (error.code().code().to_owned(), error.message().to_owned()),
            None => ("08000".to_owned(), error.to_string()),
        })?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(ToOwned::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The folder of the server's programs.
fn programs() -> Option<PathBuf> {
    let has_both = |folder: &Path| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    let path = std::env::var_os("PATH")?;
    if let Some(folder) = std::env::split_paths(&path).find(|folder| has_both(folder)) {
        return Some(folder);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders =
        versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).filter(|folder| has_both(folder)).collect::<Vec<_>>();
    folders.sort();
    folders.pop()
}
