//! Following a view: first its rows, then every change with its epoch and weight.
//!
//! ```sh
//! cargo run -p refrain --example subscribe
//! ```

use futures::StreamExt;
use refrain::{Engine, Error, Subscription, display};

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
    println!("the rows that are there:");
    print_until_progress(&mut changes).await?;
    session.execute("INSERT INTO sales VALUES ('tea', 4)").await?;
    println!("more tea:");
    print_until_progress(&mut changes).await?;
    session.execute("DELETE FROM sales WHERE item = 'cake'").await?;
    println!("no cake:");
    print_until_progress(&mut changes).await?;
    engine.close().await
}

/// Prints events up to the first that says that everything up to its epoch has been told.
async fn print_until_progress(changes: &mut Subscription) -> Result<(), Error> {
    while let Some(event) = changes.next().await.transpose()? {
        if event.progress {
            break;
        }
        for (weight, row) in event.weights.iter().zip(display::rows(&event.rows)) {
            let row = row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>();
            println!("  epoch {}  {weight:+}  {}", event.epoch, row.join(", "));
        }
    }
    Ok(())
}
