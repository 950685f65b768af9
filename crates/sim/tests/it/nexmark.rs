//! The queries of Nexmark as maintained views over an auction house that we make up, held against PostgreSQL, where one is installed, and
//! against the same queries read once, while events come, go and change. `REFRAIN_NEXMARK_EVENTS` says how many events a batch has.
//!
//! The queries are those that streaming engines are compared by, written anew, from 0 to 22. Of these 12 is not here: its windows are of the
//! time at which a bid is processed, and a view has no such time. 10 writes what it finds to files by day and minute: here are the columns.

use std::fmt::Write;

use refrain::{Engine, Session, display};

use crate::postgres::{Answer, Connection, Server};
use crate::random_sql::{different, sorted};
use crate::setting;

const EVENTS: u64 = 400;
const BATCHES: u64 = 3;
/// Milliseconds from one event to the next.
const STEP: u64 = 130;

const SCHEMA: [&str; 5] = [
    "CREATE TABLE person (id bigint PRIMARY KEY, name text, email text, city text, state text, date_time timestamp)",
    "CREATE TABLE auction (id bigint PRIMARY KEY, item text, initial_bid bigint, reserve bigint, date_time timestamp, expires timestamp,
        seller bigint, category int)",
    "CREATE TABLE bid (auction bigint, bidder bigint, price bigint, channel text, url text, date_time timestamp, extra text)",
    "CREATE TABLE side (key bigint, value text)",
    "CREATE FUNCTION count_char(s text, c text) RETURNS bigint LANGUAGE sql RETURN length(s) - length(replace(s, c, ''))",
];

/// Windows of ten seconds are counted from then on.
const ORIGIN: &str = "timestamp '2000-01-01'";

/// Each query with its number. `{o}` stands for the origin of windows.
const QUERIES: [(u32, &str); 22] = [
    (0, "SELECT auction, bidder, price, date_time, extra FROM bid"),
    (1, "SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid"),
    (2, "SELECT auction, price FROM bid WHERE auction % 12 = 0"),
    (
        3,
        "SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
         WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')",
    ),
    (
        4,
        "SELECT category, avg(final) AS price FROM (
            SELECT a.id, a.category, max(b.price) AS final FROM auction a JOIN bid b ON a.id = b.auction
            WHERE b.date_time BETWEEN a.date_time AND a.expires GROUP BY a.id, a.category) closed GROUP BY category",
    ),
    (
        5,
        "WITH counts AS (
            SELECT auction, date_bin(interval '2 seconds', date_time, {o}) - back AS start, count(*) AS bids
            FROM bid CROSS JOIN (VALUES (interval '0 seconds'), (interval '2 seconds'), (interval '4 seconds'), (interval '6 seconds'),
                (interval '8 seconds')) slide(back)
            GROUP BY auction, date_bin(interval '2 seconds', date_time, {o}) - back)
         SELECT c.auction, c.bids, c.start FROM counts c
         JOIN (SELECT start, max(bids) AS most FROM counts GROUP BY start) m ON m.start = c.start AND c.bids >= m.most",
    ),
    (
        6,
        "SELECT seller, id, avg(final) OVER (PARTITION BY seller ORDER BY id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS price FROM (
            SELECT a.id, a.seller, max(b.price) AS final FROM auction a JOIN bid b ON a.id = b.auction
            WHERE b.date_time BETWEEN a.date_time AND a.expires GROUP BY a.id, a.seller) closed",
    ),
    (
        7,
        "SELECT b.auction, b.price, b.bidder, b.date_time FROM bid b JOIN (
            SELECT max(price) AS price, date_bin(interval '10 seconds', date_time, {o}) AS start FROM bid
            GROUP BY date_bin(interval '10 seconds', date_time, {o})) best
         ON b.price = best.price AND date_bin(interval '10 seconds', b.date_time, {o}) = best.start",
    ),
    (
        8,
        "SELECT p.id, p.name, p.start FROM
            (SELECT id, name, date_bin(interval '10 seconds', date_time, {o}) AS start FROM person GROUP BY 1, 2, 3) p
         JOIN (SELECT seller, date_bin(interval '10 seconds', date_time, {o}) AS start FROM auction GROUP BY 1, 2) a
         ON p.id = a.seller AND p.start = a.start",
    ),
    (
        9,
        "SELECT id, item, seller, auction, bidder, price, bid_time FROM (
            SELECT a.*, b.auction, b.bidder, b.price, b.date_time AS bid_time,
                row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.date_time) AS place
            FROM auction a JOIN bid b ON a.id = b.auction WHERE b.date_time BETWEEN a.date_time AND a.expires) ranked
         WHERE place <= 1",
    ),
    (
        10,
        "SELECT auction, bidder, price, date_time, extra, date_time::date::text AS day, substr(date_time::text, 12, 5) AS minute FROM bid",
    ),
    (
        11,
        "SELECT bidder, count(*) AS bids, min(date_time) AS first, max(date_time) + interval '10 seconds' AS ends FROM (
            SELECT bidder, date_time, sum(begins) OVER (PARTITION BY bidder ORDER BY date_time) AS session FROM (
                SELECT bidder, date_time, CASE WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                    < interval '10 seconds' THEN 0 ELSE 1 END AS begins FROM bid) b) s
         GROUP BY bidder, session",
    ),
    (13, "SELECT b.auction, b.bidder, b.price, b.date_time, s.value FROM bid b JOIN side s ON b.auction % 10 = s.key"),
    (
        14,
        "SELECT auction, bidder, 0.908 * price AS price,
            CASE WHEN extract(hour FROM date_time) BETWEEN 8 AND 18 THEN 'day' WHEN extract(hour FROM date_time) <= 6
                OR extract(hour FROM date_time) >= 20 THEN 'night' ELSE 'other' END AS kind,
            date_time, extra, count_char(extra, 'c') AS c
         FROM bid WHERE 0.908 * price > 10000 AND 0.908 * price < 50000000",
    ),
    (
        15,
        "SELECT date_time::date AS day, count(*) AS bids, count(*) FILTER (WHERE price < 10000) AS low,
            count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS middle, count(*) FILTER (WHERE price >= 1000000) AS high,
            count(DISTINCT bidder) AS bidders, count(DISTINCT bidder) FILTER (WHERE price < 10000) AS low_bidders,
            count(DISTINCT auction) AS auctions, count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS high_auctions
         FROM bid GROUP BY date_time::date",
    ),
    (
        16,
        "SELECT channel, date_time::date AS day, max(substr(date_time::text, 12, 5)) AS minute, count(*) AS bids,
            count(*) FILTER (WHERE price < 10000) AS low, count(DISTINCT bidder) AS bidders,
            count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS high_auctions
         FROM bid GROUP BY channel, date_time::date",
    ),
    (
        17,
        "SELECT auction, date_time::date AS day, count(*) AS bids, count(*) FILTER (WHERE price < 10000) AS low, min(price) AS least,
            max(price) AS most, avg(price) AS mean, sum(price) AS total
         FROM bid GROUP BY auction, date_time::date",
    ),
    (
        18,
        "SELECT auction, bidder, price, channel, url, date_time, extra FROM (
            SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) AS place FROM bid) ranked WHERE place <= 1",
    ),
    (
        19,
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time) AS place FROM bid) ranked
         WHERE place <= 10",
    ),
    (
        20,
        "SELECT b.auction, b.bidder, b.price, b.channel, b.date_time, a.item, a.seller, a.expires FROM bid b
         JOIN auction a ON b.auction = a.id WHERE a.category = 10",
    ),
    (
        21,
        "SELECT auction, bidder, price, channel, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2'
            WHEN 'baidu' THEN '3' ELSE split_part(url, 'channel_id=', 2) END AS channel_id
         FROM bid WHERE url LIKE '%channel_id=%' OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')",
    ),
    (
        22,
        "SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2,
            split_part(url, '/', 6) AS dir3 FROM bid",
    ),
];

/// An auction house: of fifty events one is a person, three are auctions, the others bids.
struct House {
    state: u64,
    event: u64,
    people: u64,
    auctions: u64,
}

impl House {
    /// A number below another (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.below(all.len() as u64)).expect("there are few")]
    }

    /// Mostly one of the newest of so many.
    fn recent(&mut self, count: u64) -> u64 {
        let newest = if self.below(4) == 0 { count } else { count.min(4) };
        count - 1 - self.below(newest)
    }

    fn price(&mut self) -> u64 {
        let magnitude = self.below(6);
        100 + self.below(10_u64.pow(2 + u32::try_from(magnitude).expect("it is small")))
    }

    /// The time of an event, which no other has.
    fn time(after: u64) -> String {
        let millis = after * STEP;
        let seconds = 36_000 + millis / 1_000;
        format!(
            "2024-03-{:02} {:02}:{:02}:{:02}.{:03}",
            1 + seconds / 86_400,
            seconds / 3_600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            millis % 1_000
        )
    }

    /// Statements with the next events.
    fn statements(&mut self, count: u64) -> Vec<String> {
        let (mut people, mut auctions, mut bids) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            // A night between batches, so that there are days.
            let now = self.event;
            let time = Self::time(now + now / EVENTS * 300_000);
            match now % 50 {
                0 => {
                    let (first, last) = (self.of(&["Ada", "Bob", "Cem", "Dora"]), self.of(&["Abel", "Noether", "Turing"]));
                    let (city, state) = (self.of(&["Boise", "Bend", "Kent"]), self.of(&["OR", "ID", "CA", "WA", "AZ"]));
                    let id = self.people;
                    people.push(format!("({id}, '{first} {last}', '{first}@{last}.example', '{city}', '{state}', '{time}')"));
                    self.people += 1;
                }
                1..=3 => {
                    let (id, seller, category) = (self.auctions, self.recent(self.people), 10 + self.below(5));
                    let (least, item) = (self.price(), self.of(&["lamp", "chair", "map", "clock"]));
                    let expires = Self::time(now + now / EVENTS * 300_000 + 20 + self.below(200));
                    auctions.push(format!("({id}, '{item}', {least}, {}, '{time}', '{expires}', {seller}, {category})", least * 2));
                    self.auctions += 1;
                }
                _ => {
                    let (auction, bidder, price) = (self.recent(self.auctions), self.recent(self.people), self.price());
                    let channel = match self.below(3) {
                        0 => format!("channel-{}", self.below(20)),
                        _ => self.of(&["Apple", "Google", "Facebook", "Baidu"]).to_owned(),
                    };
                    let id = if self.below(2) == 0 { format!("&channel_id={}", self.below(1000)) } else { String::new() };
                    let (dir, extra) = (self.of(&["a", "b", "c"]), self.of(&["", "ccc", "abcabc", "xyz"]));
                    let url = format!("https://auctions.example/{dir}/{auction}/{dir}{dir}/item.htm?query=1{id}");
                    bids.push(format!("({auction}, {bidder}, {price}, '{channel}', '{url}', '{time}', '{extra}')"));
                }
            }
            self.event += 1;
        }
        let mut statements = Vec::new();
        for (table, rows) in [("person", people), ("auction", auctions), ("bid", bids)] {
            if !rows.is_empty() {
                statements.push(format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
            }
        }
        statements
    }
}

async fn ours(session: &Session, sql: &str) -> Answer {
    match session.query(sql).await {
        Ok(batches) => Ok(batches.iter().flat_map(display::rows).collect()),
        Err(error) => Err((error.code().to_owned(), error.message().to_owned())),
    }
}

/// Runs a statement at both.
async fn both(session: &Session, postgres: Option<&Connection>, sql: &str) {
    session.execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {} {e}", e.code()));
    if let Some(postgres) = postgres {
        postgres.run(sql).await.unwrap_or_else(|e| panic!("PostgreSQL: {sql}: {e:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_nexmark_are_maintained_as_postgres_answers_them() {
    let server = Server::start().await.inspect_err(|why| println!("no PostgreSQL: {why}")).ok();
    let postgres = match &server {
        Some(server) => Some(server.connect().await.expect("the server takes connections")),
        None => None,
    };
    let postgres = postgres.as_ref();
    let engine = Engine::builder().workers(2).open().await.expect("an engine in memory opens");
    let session = engine.session();
    for statement in SCHEMA {
        both(&session, postgres, statement).await;
    }
    both(&session, postgres, "INSERT INTO side SELECT n, 'side ' || n FROM generate_series(0, 9) AS s(n)").await;
    let queries = QUERIES.map(|(number, query)| (number, query.replace("{o}", ORIGIN)));
    for (number, query) in &queries {
        let view = format!("CREATE MATERIALIZED VIEW q{number} AS {query}");
        session.execute(&view).await.unwrap_or_else(|e| panic!("{view}: {} {e}", e.code()));
    }
    let events = setting("REFRAIN_NEXMARK_EVENTS", EVENTS);
    let mut house = House { state: 1, event: 0, people: 0, auctions: 0 };
    let (mut rows, mut failures) = (0, String::new());
    for batch in 0..BATCHES {
        let mut statements = house.statements(events);
        if batch > 0 {
            statements.push(format!("DELETE FROM bid WHERE price % 13 = {batch}"));
            statements.push(format!("UPDATE auction SET category = 10 + (category + 1) % 5 WHERE id % 7 = {batch}"));
            statements.push(format!(
                "UPDATE bid SET price = price * 2 FROM auction WHERE bid.auction = auction.id AND auction.id % 5 = {batch}"
            ));
            statements.push(format!("DELETE FROM person WHERE id % 9 = {batch}"));
        }
        for statement in &statements {
            both(&session, postgres, statement).await;
        }
        for (number, query) in &queries {
            let kept = ours(&session, &format!("SELECT * FROM q{number}")).await;
            rows += kept.as_ref().map_or(0, Vec::len);
            let mut beside = vec![("read once", ours(&session, query).await)];
            if let Some(postgres) = postgres {
                beside.push(("PostgreSQL", postgres.run(query).await));
            }
            for (who, answer) in beside {
                let is_same = matches!((&kept, &answer), (Ok(kept), Ok(answer)) if sorted(kept) == sorted(answer));
                if !is_same {
                    let _ = writeln!(failures, "query {number} after batch {batch}: {}", different(who, &kept, &answer));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(rows > 1_000, "the queries have answers");
}
