//! A store in S3: a server of its own process, installed from the package registry, that is stopped, started again and killed.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use refrain::{Engine, Session, display};
use refrain_checkpoint::faults::{Effect, FaultyStore, Operation};
use tempfile::TempDir;

use crate::process::Process;

/// The server, which keeps objects as files.
const PACKAGE: &str = "s3s-fs";
const VERSION: &str = "0.14.1";
const ACCESS_KEY: &str = "refrain";
const SECRET_KEY: &str = "survives";
const BUCKET: &str = "bucket";

/// How long the server is gone, unless `REFRAIN_S3_OUTAGE_SECONDS` says otherwise.
const OUTAGE_SECONDS: u64 = 2;
const PAUSE: Duration = Duration::from_millis(10);
/// Pauses after which waiting is in vain.
const TRIES: usize = 6_000;

const NUMBERS: &str =
    "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";
const REACHED: &str = "SELECT iteration, 0 FROM refrain.loops WHERE view = 'nat'";
/// How far they go, and 0 if each up to there is there once. Not by their distinct ones: after a long outage there are hundreds of millions.
const NUMBERS_THERE: &str = "SELECT coalesce(max(n), 0), CASE WHEN count(*) = coalesce(max(n), 0) \
    AND coalesce(sum(n), 0) * 2 = coalesce(max(n), 0)::numeric * (coalesce(max(n), 0) + 1) THEN 0 ELSE 1 END FROM nat";
const COMMITTED: &str = "SELECT count(*), 0 FROM refrain.checkpoints WHERE status = 'committed'";

/// The server's binary. It is built once for a target folder.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{PACKAGE}-{VERSION}"));
        let binary = root.join("bin").join(PACKAGE);
        if !binary.exists() {
            let mut install = Command::new(env!("CARGO"));
            install
                .args(["install", PACKAGE, "--version", VERSION, "--locked", "--debug", "--features", "binary", "--root"])
                .arg(&root);
            // Some package brings a toolchain file, which is not to be heeded.
            install.env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"));
            let done = install.current_dir(env!("CARGO_TARGET_TMPDIR")).output().expect("cargo is there");
            assert!(done.status.success(), "{PACKAGE} cannot be installed: {}", String::from_utf8_lossy(&done.stderr));
        }
        binary
    })
}

/// A server over a folder, always at the same port.
struct Server {
    folder: TempDir,
    port: u16,
    running: Option<Child>,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket is a folder");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut server = Self { folder, port, running: None };
        server.start_again();
        server
    }

    fn start_again(&mut self) {
        let mut command = Command::new(binary());
        command.args(["--host", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]).arg(self.folder.path());
        self.running = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts"));
        wait_for("the server to answer", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
    }

    /// In the middle of whatever it is doing.
    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().expect("the server is there until it is waited for");
            running.wait().expect("a killed process ends");
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bucket, for an engine in this process.
    fn objects(&self) -> AmazonS3 {
        let at = AmazonS3Builder::new().with_endpoint(self.endpoint()).with_allow_http(true).with_region("us-east-1");
        let with_keys = at.with_access_key_id(ACCESS_KEY).with_secret_access_key(SECRET_KEY).with_bucket_name(BUCKET);
        with_keys.build().expect("that is all that it needs")
    }

    /// A process on the store in this server, which goes on after an error.
    fn open(&self, workers: usize) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refrain"));
        command.args(["--store", &format!("s3://{BUCKET}/some/where"), "--keep-going"]);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).env("AWS_REGION", "us-east-1");
        command.env("AWS_ENDPOINT", self.endpoint()).env("AWS_ALLOW_HTTP", "true");
        command.env("NO_PROXY", "127.0.0.1").stderr(Stdio::null());
        Process::with(&mut command, workers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if is_so() {
            return;
        }
        std::thread::park_timeout(PAUSE);
    }
    panic!("waited in vain for {what}");
}

/// Waits until the first number of a query is more than `from`, and gives it.
fn grows(process: &mut Process, query: &str, from: i64) -> i64 {
    let mut now = from;
    wait_for(query, || {
        now = process.pairs(query)[0].0;
        now > from
    });
    now
}

#[test]
fn a_server_that_is_gone_for_a_while_stops_no_query_and_loses_nothing() {
    let mut server = Server::start();
    let mut process = server.open(1);
    process.run("CREATE TABLE t (a int); CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(a) AS s FROM t");
    process.run(NUMBERS);
    process.run("SET reads = 'eager'; SET store_wait_ms = 300; SET checkpoint_interval_ms = 50");
    process.run("INSERT INTO t VALUES (1)");
    grows(&mut process, COMMITTED, 1);

    server.kill();
    let seconds = std::env::var("REFRAIN_S3_OUTAGE_SECONDS").ok();
    let seconds = seconds.map_or(OUTAGE_SECONDS, |text| text.parse::<u64>().expect("REFRAIN_S3_OUTAGE_SECONDS is a number"));
    let mut reached = process.pairs(REACHED)[0].0;
    // What it means, and that it takes effect once the store answers, the error says.
    process.run("INSERT INTO t VALUES (10)");
    assert_eq!(process.pairs("SELECT n, s FROM total"), [(1, 1)]);
    let mut outage = Command::new("sleep").arg(seconds.to_string()).spawn().expect("a machine can sleep");
    while outage.try_wait().expect("its end can be asked for").is_none() {
        std::thread::park_timeout(PAUSE);
        reached = grows(&mut process, REACHED, reached);
        assert_eq!(process.pairs("SELECT n, s FROM total"), [(1, 1)]);
    }

    server.start_again();
    let committed = process.pairs(COMMITTED)[0].0;
    grows(&mut process, COMMITTED, committed);
    wait_for("the row that was inserted meanwhile", || process.pairs("SELECT n, s FROM total") == [(2, 11)]);
    process.run("INSERT INTO t VALUES (100)");
    assert_eq!(process.pairs("SELECT a, 0 FROM t"), [(1, 0), (10, 0), (100, 0)]);
    let reached = process.pairs(NUMBERS_THERE)[0].0;
    let committed = process.pairs(COMMITTED)[0].0;
    grows(&mut process, COMMITTED, committed + 1);
    process.kill_during("INSERT INTO t VALUES (1000)", 100_000);

    let mut process = server.open(2);
    process.run("SET reads = 'eager'");
    let rows = process.pairs("SELECT a, 0 FROM t");
    assert_eq!(rows[..3], [(1, 0), (10, 0), (100, 0)]);
    assert!(rows[3..].is_empty() || rows[3..] == [(1_000, 0)], "the statement in flight, wholly or not at all");
    let again = process.pairs(NUMBERS_THERE);
    assert!(again[0].0 >= reached, "the recursion goes on from the checkpoint");
    assert_eq!(again[0].1, 0, "each number comes once");
}

#[test]
fn who_has_lost_the_store_writes_nothing_more() {
    let server = Server::start();
    let mut first = server.open(1);
    first.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let mut second = server.open(1);
    second.run("INSERT INTO t VALUES (2)");
    first.run("INSERT INTO t VALUES (3)");
    first.run("CHECKPOINT");
    second.run("CHECKPOINT");
    assert_eq!(second.pairs("SELECT a, 0 FROM t"), [(1, 0), (2, 0)]);
    second.kill_during("SELECT 1", 0);
    let mut third = server.open(2);
    assert_eq!(third.pairs("SELECT a, 0 FROM t"), [(1, 0), (2, 0)]);
}

/// The network takes its time, and each kind of object fails once before it is put and once after.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_with_faults_loses_nothing_and_doubles_nothing() {
    let server = Server::start();
    let pause = Duration::from_millis(3);
    let slow = ThrottleConfig {
        wait_delete_per_call: pause,
        wait_get_per_call: pause,
        wait_list_per_call: pause,
        wait_put_per_call: pause,
        ..ThrottleConfig::default()
    };
    let store = FaultyStore::new(Arc::new(ThrottledStore::new(server.objects(), slow)));
    let open = async |workers| Engine::builder().object_store(Arc::new(store.clone())).workers(workers).open().await;
    let engine = open(2).await.expect("the store opens");
    let session = engine.session();
    let execute = async |session: &Session, sql: &str| {
        session.execute_script(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    };
    execute(&session, "CREATE TABLE t (a int); CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(a) AS s FROM t").await;
    execute(&session, NUMBERS).await;
    execute(&session, "SET reads = 'eager'").await;
    let mut rows = 0;
    for name in ["input/", "segment/", "loop/", "manifest/"] {
        for effect in [Effect::FailBefore, Effect::FailAfter] {
            store.inject(Operation::Put, name, effect);
            for _ in 0..TRIES {
                rows += 1;
                execute(&session, &format!("INSERT INTO t VALUES ({rows})")).await;
                // It may be given up for the fault.
                let _ = session.execute("CHECKPOINT").await;
                if store.pending() == 0 {
                    break;
                }
            }
            assert_eq!(store.pending(), 0, "a put of {name} is met");
        }
    }
    execute(&session, "CHECKPOINT").await;
    engine.close().await.expect("nothing is lost");
    drop((engine, session));

    for (name, effect) in
        [("segment/", Effect::ShortRead(100)), ("segment/", Effect::BitFlip(999)), ("manifest/", Effect::BitFlip(99))]
    {
        store.inject(Operation::Get, name, effect.clone());
        let error = open(1).await.expect_err("what is read is not what was written").to_string();
        assert!(error.contains(name), "{name}, {effect:?}: {error}");
    }
    let engine = open(3).await.expect("what is in the store is as it was");
    let session = engine.session();
    execute(&session, "SET reads = 'eager'").await;
    let pair = async |sql: &str| {
        let batches = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        batches.iter().flat_map(display::rows).flatten().flatten().collect::<Vec<_>>()
    };
    assert_eq!(pair("SELECT n, s FROM total").await, [rows.to_string(), (rows * (rows + 1) / 2).to_string()]);
    assert_eq!(pair("SELECT count(*), count(DISTINCT a) FROM t").await, [rows.to_string(), rows.to_string()]);
    assert_eq!(pair(NUMBERS_THERE).await[1], "0", "each number comes once");
}
