//! A recursive view in a program: who can be reached from whom, kept up to date.
//!
//! ```sh
//! cargo run -p refrain --example quickstart
//! ```

use refrain::{Engine, Error, Session, display};

#[tokio::main]
async fn main() -> Result<(), Error> {
    // In memory; `.store("folder")` keeps everything.
    let engine = Engine::builder().workers(2).open().await?;
    let session = engine.session();

    session
        .execute_script(
            "CREATE TABLE flights (origin TEXT, destination TEXT);
             CREATE MATERIALIZED VIEW reachable AS
                 WITH RECURSIVE r(origin, destination) AS (
                     SELECT origin, destination FROM flights
                     UNION
                     SELECT r.origin, flights.destination FROM r JOIN flights ON flights.origin = r.destination
                 ) SELECT origin, destination FROM r;
             INSERT INTO flights VALUES ('Oslo', 'Berlin'), ('Berlin', 'Rome'), ('Rome', 'Oslo'), ('Rome', 'Cairo');",
        )
        .await?;
    print(&session, "from Oslo").await?;

    session.execute("DELETE FROM flights WHERE origin = 'Berlin'").await?;
    print(&session, "from Oslo, without flights from Berlin").await?;
    engine.close().await
}

async fn print(session: &Session, title: &str) -> Result<(), Error> {
    println!("{title}:");
    for batch in session.query("SELECT destination FROM reachable WHERE origin = 'Oslo' ORDER BY destination").await? {
        for row in display::rows(&batch) {
            println!("  {}", row[0].as_deref().unwrap_or("NULL"));
        }
    }
    Ok(())
}
