//! Views with `now()` in a condition: at each time they are what PostgreSQL's query is at that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use refrain::{Engine, Session, SystemEnvironment};
use refrain_types::Environment;
use refrain_types::environment::Sleep;

use crate::rows::{error, rows, rows_in_order, run};

/// The machine's environment, but for the time of day, which a test sets.
#[derive(Debug)]
struct SetTime {
    millis: AtomicU64,
    rest: Arc<dyn Environment>,
}

impl SetTime {
    /// At noon of 2026-03-31.
    fn new() -> Arc<Self> {
        Arc::new(Self { millis: AtomicU64::new(1_774_958_400_000), rest: SystemEnvironment::shared() })
    }

    fn pass(&self, duration: Duration) {
        self.millis.fetch_add(u64::try_from(duration.as_millis()).expect("a test waits not that long"), Ordering::SeqCst);
    }
}

impl Environment for SetTime {
    fn monotonic(&self) -> Duration {
        self.rest.monotonic()
    }

    fn unix_millis(&self) -> u64 {
        self.millis.load(Ordering::SeqCst)
    }

    fn unique(&self) -> u128 {
        self.rest.unique()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.rest.sleep(duration)
    }
}

async fn open(time: &Arc<SetTime>, store: &str, workers: usize) -> Engine {
    let engine = Engine::builder().environment(Arc::clone(time) as _).store(store).workers(workers);
    engine.setting("clock_interval_ms", "1").open().await.expect("the store can be opened")
}

/// Waits until the views know the time.
async fn catch_up(session: &Session, time: &SetTime) {
    let now = i64::try_from(time.unix_millis()).expect("it is not that late");
    let shown = format!("SELECT now >= to_timestamp_millis({now}) FROM refrain.clock");
    for _ in 0..1_000 {
        if rows(session, &shown).await == ["t"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the clock does not follow");
}

const CONDITIONS: [&str; 24] = [
    "at > now()",
    "at >= now() - interval '90 minutes'",
    "at < now() + interval '1 day'",
    "at <= now()",
    "at = now()",
    "now() > tz",
    "now() + interval '2 hours' >= tz",
    "tz BETWEEN now() - interval '1 day' AND now() + interval '1 hour'",
    "now() BETWEEN at AND tz",
    "now() BETWEEN at AND at + interval '1 month' AND id % 2 = 0",
    "at + interval '1 month' > now()",
    "d = current_date",
    "d > current_date",
    "d >= current_date - 1",
    "d < current_date + 1",
    "d <= current_date - interval '1 day'",
    "at = current_date",
    "at > current_date",
    "at >= current_date",
    "at < current_date",
    "at <= current_date",
    "at::date = now()::date",
    "at::date <= (now() - interval '11 hours')::date",
    "tz > current_date - interval '3 hours' AND at < now() AND d < current_date + 1",
];

/// The view of a condition.
fn view(number: usize) -> String {
    format!("v{number}")
}

/// The same condition at the time that the clock shows.
async fn at_the_time(session: &Session, condition: &str) -> String {
    let now = rows(session, "SELECT now::timestamp FROM refrain.clock").await.remove(0);
    let now = format!("(timestamp '{now}')");
    condition.replace("now()", &now).replace("current_date", &format!("({now}::date)"))
}

async fn check(session: &Session, what: &str) {
    for (number, condition) in CONDITIONS.iter().enumerate() {
        let shown = rows(session, &format!("SELECT id, n FROM {}", view(number))).await;
        let condition = at_the_time(session, condition).await;
        let wanted = rows(session, &format!("SELECT id, count(*) FROM t WHERE {condition} GROUP BY id")).await;
        assert_eq!(shown, wanted, "{what}: {condition}");
    }
}

async fn create(session: &Session) {
    run(session, "CREATE TABLE t (id INT, at TIMESTAMP, tz TIMESTAMPTZ, d DATE)").await;
    for (number, condition) in CONDITIONS.iter().enumerate() {
        let view = view(number);
        run(session, &format!("CREATE MATERIALIZED VIEW {view} AS SELECT id, count(*) AS n FROM t WHERE {condition} GROUP BY id"))
            .await;
    }
}

/// Rows at random points in time around noon of 2026-03-31, some at midnight, some NULL.
fn some_rows(from: u64, count: u64) -> String {
    let rows = (from..from + count).map(|n| {
        let minutes = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % (6 * 24 * 60);
        let at = |minutes: u64| format!("timestamp '2026-03-29 00:00:00' + interval '{minutes} minutes'");
        let at_midnight = format!("timestamp '2026-03-29 00:00:00' + interval '{} days'", n % 6);
        let at = match n % 7 {
            0 => "NULL".to_owned(),
            1 => at_midnight,
            _ => at(minutes),
        };
        let day = if n % 11 == 0 { "NULL".to_owned() } else { format!("date '2026-03-29' + {}", n % 6) };
        format!("({}, {at}, ({at})::timestamptz + interval '{} minutes', {day})", n % 20, n % 300)
    });
    rows.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_their_queries_at_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let time = SetTime::new();
    let mut engine = open(&time, store, 1).await;
    let mut s = engine.session();
    create(&s).await;
    check(&s, "nothing").await;
    for step in 0..30_u64 {
        run(&s, &format!("INSERT INTO t VALUES {}", some_rows(step * 40, 40))).await;
        if step % 3 == 0 {
            run(&s, &format!("DELETE FROM t WHERE id = {}", step % 20)).await;
        }
        time.pass(Duration::from_secs([30, 60 * 60, 5 * 60 * 60 + 17][usize::try_from(step % 3).unwrap()]));
        catch_up(&s, &time).await;
        check(&s, &format!("step {step}")).await;
        if step % 8 == 3 {
            s.checkpoint().await.unwrap();
        }
        if step % 5 == 4 {
            engine.close().await.unwrap();
            drop((engine, s));
            // Time goes by while nobody looks.
            time.pass(Duration::from_secs(7 * 60 * 60));
            engine = open(&time, store, 1 + usize::try_from(step % 3).unwrap()).await;
            s = engine.session();
            catch_up(&s, &time).await;
            check(&s, &format!("opened again after step {step}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_leave_a_view_by_themselves() {
    let time = SetTime::new();
    let engine = open(&time, "memory://", 2).await;
    let s = engine.session();
    run(&s, "CREATE TABLE login (who TEXT, at TIMESTAMPTZ)").await;
    run(&s, "CREATE MATERIALIZED VIEW here AS SELECT DISTINCT who FROM login WHERE at > now() - INTERVAL '1 hour'").await;
    run(&s, "INSERT INTO login VALUES ('ada', '2026-03-31 12:00:00Z'), ('bob', '2026-03-31 11:10:00Z')").await;
    assert_eq!(rows_in_order(&s, "SELECT who FROM here ORDER BY who").await, ["ada", "bob"]);
    time.pass(Duration::from_secs(11 * 60));
    catch_up(&s, &time).await;
    assert_eq!(rows(&s, "SELECT who FROM here").await, ["ada"]);
    // It stands still while nobody asks, and a view that is created then is right at once.
    run(&s, "DROP MATERIALIZED VIEW here").await;
    time.pass(Duration::from_secs(60 * 60));
    run(&s, "CREATE MATERIALIZED VIEW here AS SELECT who FROM login WHERE at > now() - INTERVAL '1 hour'").await;
    assert!(rows(&s, "SELECT who FROM here").await.is_empty());
    assert_eq!(rows(&s, "SELECT count(*) FROM refrain.clock").await, ["1"]);
    // Where the time has to be a value, the clock is joined.
    run(
        &s,
        "CREATE MATERIALIZED VIEW since AS SELECT who, extract(hour FROM clock.now - at)::int AS hours FROM login, refrain.clock",
    )
    .await;
    assert_eq!(rows_in_order(&s, "SELECT * FROM since ORDER BY who").await, ["ada|1", "bob|2"]);
    time.pass(Duration::from_secs(60 * 60));
    catch_up(&s, &time).await;
    assert_eq!(rows_in_order(&s, "SELECT * FROM since ORDER BY who").await, ["ada|2", "bob|3"]);
}

#[tokio::test]
async fn the_time_is_refused_where_it_cannot_be_followed() {
    let s = crate::rows::memory().await;
    run(&s, "CREATE TABLE t (a INT, at TIMESTAMP)").await;
    let refused = error(&s, "CREATE MATERIALIZED VIEW v AS SELECT now() FROM t").await;
    assert_eq!((refused.code(), refused.message()), ("0A000", "function now() is not supported in a materialized view"));
    let recursive = "CREATE MATERIALIZED VIEW v AS WITH RECURSIVE r(a, at) AS (SELECT a, at FROM t UNION SELECT r.a, t.at FROM r JOIN t ON r.a = t.a \
                     WHERE r.at > now()) SELECT * FROM r";
    assert_eq!(error(&s, recursive).await.code(), "0A000");
    // What does not depend on the recursion may.
    run(&s, &recursive.replace("r.at > now()", "t.at > now()")).await;
    assert_eq!(error(&s, "INSERT INTO refrain.clock VALUES (now())").await.code(), "42809");
    assert_eq!(error(&s, "DROP TABLE refrain.clock").await.code(), "42809");
    assert_eq!(rows(&s, "SHOW TABLES").await, ["t|no"]);
}
