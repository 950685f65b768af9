//! Following a view: first its rows, then every change with its epoch and weight.
//!
//! ```sh
//! cargo run -p refrain --example subscribe
//! ```

use futures::StreamExt;
use refrain::{Engine, Error, display};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let engine = Engine::builder().open().await?;
    let session = engine.session();
    session
        .execute_script(
            "CREATE TABLE sales (item TEXT, price INT);
             CREATE MATERIALIZED VIEW totals AS SELECT item, count(*) AS sold, sum(price) AS total FROM sales GROUP BY item;
             INSERT INTO sales VALUES ('tea', 3), ('cake', 5);",
        )
        .await?;

    let mut changes = session.subscribe("SUBSCRIBE totals WITH (PROGRESS = true)").await?;
    session.execute("INSERT INTO sales VALUES ('tea', 4)").await?;
    session.execute("DELETE FROM sales WHERE item = 'cake'").await?;

    // The rows that were there, and two more epochs.
    let mut epochs = 0;
    while epochs < 3 {
        let Some(event) = changes.next().await.transpose()? else { break };
        if event.progress {
            println!("everything up to epoch {} has been told", event.epoch);
            epochs += 1;
        }
        for (weight, row) in event.weights.iter().zip(display::rows(&event.rows)) {
            let row = row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>();
            println!("epoch {:>3}  {weight:+}  {}", event.epoch, row.join(", "));
        }
    }
    engine.close().await
}
