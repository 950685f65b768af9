//! The 22 queries of TPC-H as maintained views, while orders come and go and other tables change: equal to the same queries read once
//! after each batch. Data and queries are those of the crate `tpchgen`; the parameters are the ones by which the benchmark is validated.
//!
//! `REFRAIN_TPCH_SCALE` (0.01) and `REFRAIN_TPCH_BATCHES` (4) make more of it, `REFRAIN_TPCH_WORKERS` (2) says on how many workers.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

use refrain::{Engine, Session};
use tpchgen::csv::{CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator, RegionGenerator,
    SupplierGenerator,
};
use tpchgen::q_and_a::queries;

use crate::rows::{rows, run};

const TABLES: &str = "
CREATE TABLE region (r_regionkey int PRIMARY KEY, r_name char(25) NOT NULL, r_comment varchar(152));
CREATE TABLE nation (n_nationkey int PRIMARY KEY, n_name char(25) NOT NULL, n_regionkey int NOT NULL, n_comment varchar(152));
CREATE TABLE part (p_partkey int PRIMARY KEY, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL, p_brand char(10) NOT NULL,
    p_type varchar(25) NOT NULL, p_size int NOT NULL, p_container char(10) NOT NULL, p_retailprice numeric(15,2) NOT NULL, p_comment text);
CREATE TABLE supplier (s_suppkey int PRIMARY KEY, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL, s_nationkey int NOT NULL,
    s_phone char(15) NOT NULL, s_acctbal numeric(15,2) NOT NULL, s_comment varchar(101) NOT NULL);
CREATE TABLE partsupp (ps_partkey int NOT NULL, ps_suppkey int NOT NULL, ps_availqty int NOT NULL, ps_supplycost numeric(15,2) NOT NULL,
    ps_comment varchar(199) NOT NULL, PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE customer (c_custkey int PRIMARY KEY, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL, c_nationkey int NOT NULL,
    c_phone char(15) NOT NULL, c_acctbal numeric(15,2) NOT NULL, c_mktsegment char(10) NOT NULL, c_comment varchar(117) NOT NULL);
CREATE TABLE orders (o_orderkey bigint PRIMARY KEY, o_custkey int NOT NULL, o_orderstatus char(1) NOT NULL,
    o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL,
    o_shippriority int NOT NULL, o_comment varchar(79) NOT NULL);
CREATE TABLE lineitem (l_orderkey bigint NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, l_linenumber int NOT NULL,
    l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
    l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL,
    l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL,
    l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber))";

/// What stands for `:1`, `:2`, … in each query.
const PARAMETERS: [&[&str]; 22] = [
    &["90"],
    &["15", "BRASS", "EUROPE"],
    &["BUILDING", "1995-03-15"],
    &["1993-07-01"],
    &["ASIA", "1994-01-01"],
    &["1994-01-01", "0.06", "24"],
    &["FRANCE", "GERMANY"],
    &["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"],
    &["green"],
    &["1993-10-01"],
    &["GERMANY", "0.0001"],
    &["MAIL", "SHIP", "1994-01-01"],
    &["special", "requests"],
    &["1995-09-01"],
    &["1996-01-01"],
    &["Brand#45", "MEDIUM POLISHED", "49", "14", "23", "45", "19", "3", "36", "9"],
    &["Brand#23", "MED BOX"],
    &["300"],
    &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
    &["forest", "1994-01-01", "CANADA"],
    &["SAUDI ARABIA"],
    &["13", "31", "23", "29", "30", "18", "17"],
];

/// The statements of a query: one of them makes a view first.
fn statements(number: usize) -> Vec<String> {
    let mut text = queries::query(i32::try_from(number).expect("a small number")).expect("there are 22 queries").to_owned();
    for (i, value) in PARAMETERS[number - 1].iter().enumerate().rev() {
        text = text.replace(&format!(":{}", i + 1), value);
    }
    // The number of the stream of queries, and a precision that PostgreSQL does not have.
    let text = text.replace(":s", "0").replace(" day (3)", " day");
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

fn variable<T: FromStr<Err: std::fmt::Debug>>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Copies lines into a table.
async fn copy(session: &Session, folder: &Path, table: &str, lines: &[impl Display]) {
    let path = folder.join("rows.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file can be made in a temporary folder"));
    for line in lines {
        writeln!(file, "{line}").expect("the file can be written");
    }
    file.into_inner().expect("the file can be written").sync_all().expect("the file can be written");
    run(session, &format!("COPY {table} FROM '{}' WITH (FORMAT csv)", path.display())).await;
}

/// Orders with their lines, as csv.
fn orders(scale: f64) -> Vec<(i64, String, Vec<String>)> {
    let orders = OrderGenerator::new(scale, 1, 1);
    let lines = LineItemGenerator::new(scale, 1, 1);
    let mut lines = lines.iter().peekable();
    let orders = orders.iter().map(|order| {
        let mut own = Vec::new();
        while let Some(line) = lines.next_if(|line| line.l_orderkey == order.o_orderkey) {
            own.push(LineItemCsv::new(line).to_string());
        }
        (order.o_orderkey, OrderCsv::new(order).to_string(), own)
    });
    orders.collect()
}

async fn insert(session: &Session, folder: &Path, orders: &[(i64, String, Vec<String>)]) {
    copy(session, folder, "orders", &orders.iter().map(|(_, order, _)| order).collect::<Vec<_>>()).await;
    copy(session, folder, "lineitem", &orders.iter().flat_map(|(.., lines)| lines).collect::<Vec<_>>()).await;
}

async fn load(session: &Session, folder: &Path, scale: f64) {
    macro_rules! load {
        ($table:literal, $generator:ident, $csv:ident) => {
            let lines = $generator::new(scale, 1, 1).iter().map(|row| $csv::new(row).to_string()).collect::<Vec<_>>();
            copy(session, folder, $table, &lines).await;
        };
    }
    load!("region", RegionGenerator, RegionCsv);
    load!("nation", NationGenerator, NationCsv);
    load!("part", PartGenerator, PartCsv);
    load!("supplier", SupplierGenerator, SupplierCsv);
    load!("partsupp", PartSuppGenerator, PartSuppCsv);
    load!("customer", CustomerGenerator, CustomerCsv);
}

#[tokio::test]
async fn all_queries_are_maintained() {
    let (scale, batches) = (variable("REFRAIN_TPCH_SCALE", 0.01), variable("REFRAIN_TPCH_BATCHES", 4));
    let engine = Engine::builder().workers(variable("REFRAIN_TPCH_WORKERS", 2)).open().await.expect("an engine in memory opens");
    let session = engine.session();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    run(&session, TABLES).await;
    let mut selects = Vec::new();
    for number in 1..=22 {
        let mut statements = statements(number);
        statements.retain(|statement| !statement.starts_with("drop"));
        let select = statements.pop().expect("a query has a SELECT");
        for view in statements {
            run(&session, &view).await;
        }
        run(&session, &format!("CREATE MATERIALIZED VIEW q{number} AS {select}")).await;
        selects.push(select);
    }
    load(&session, folder.path(), scale).await;
    // Of the orders every tenth comes later.
    let (later, first) = orders(scale).into_iter().enumerate().partition::<Vec<_>, _>(|(i, _)| i % 10 == 0);
    let of = |orders: Vec<(usize, _)>| orders.into_iter().map(|(_, order)| order).collect::<Vec<_>>();
    let (later, first) = (of(later), of(first));
    insert(&session, folder.path(), &first).await;
    let mut answers = 0;
    for batch in 0..=batches {
        for (number, select) in (1..).zip(&selects) {
            let (kept, once) = (rows(&session, &format!("SELECT * FROM q{number}")).await, rows(&session, select).await);
            assert_eq!(kept, once, "query {number} after {batch} batches");
            answers += kept.len();
        }
        let share = |count: usize| count * batch / (batches + 1)..count * (batch + 1) / (batches + 1);
        insert(&session, folder.path(), &later[share(later.len())]).await;
        let gone = &first[share(first.len() / 20)];
        let keys = gone.iter().map(|(key, ..)| key.to_string()).collect::<Vec<_>>().join(", ");
        for change in [
            format!("DELETE FROM lineitem WHERE l_orderkey IN ({keys})"),
            format!("DELETE FROM orders WHERE o_orderkey IN ({keys})"),
            format!("UPDATE partsupp SET ps_supplycost = ps_supplycost + 1 WHERE ps_partkey % 97 = {batch}"),
            format!("UPDATE customer SET c_acctbal = -c_acctbal WHERE c_custkey % 53 = {batch}"),
            format!("UPDATE supplier SET s_nationkey = (s_nationkey + 1) % 25 WHERE s_suppkey % 11 = {batch}"),
            format!("UPDATE part SET p_size = p_size % 50 + 1 WHERE p_partkey % 31 = {batch}"),
        ] {
            run(&session, &change).await;
        }
    }
    assert!(answers > 0, "the queries have answers");
    engine.close().await.expect("an engine in memory closes");
}
