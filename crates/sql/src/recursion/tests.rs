//! Which recursive queries are taken, with which columns, and PostgreSQL's words for the others.

use arrow::datatypes::DataType;

use crate::bind::tests::{bind, edges, error};
use crate::optimize_view;

#[test]
fn show() {
    for sql in [
        "WITH RECURSIVE r(src, dst) AS (SELECT src, dst FROM edges UNION SELECT r.src, e.dst FROM r JOIN edges e ON r.dst = e.src) SELECT * FROM r",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT n FROM t",
        "SELECT count(*), count(*), sum(src), avg(src) AS a FROM edges GROUP BY dst HAVING count(*) > 1",
        "SELECT DISTINCT a.src FROM edges a WHERE a.dst IN (SELECT src FROM edges WHERE dst > 3) ORDER BY 1",
        "WITH RECURSIVE t AS (SELECT src FROM edges UNION SELECT s.x FROM (SELECT t.src + 1 AS x FROM t) s, edges WHERE s.x = edges.dst), u AS (SELECT 1 AS one) SELECT * FROM t a JOIN t b ON a.src = b.src",
        "SELECT name || '!' AS x, length(name) FROM names WHERE name LIKE 'a%' EXCEPT SELECT name, 1 FROM names",
        "SELECT src FROM edges WHERE src NOT IN (SELECT dst FROM edges)",
    ] {
        let bound = bind(&edges(), sql);
        println!("{sql}\n{:?}\n{}", bound.schema, bound.plan.display_indent_schema());
        println!("-- optimized\n{}", optimize_view(bound.plan).unwrap().display_indent_schema());
    }
    println!("{:?}", error(&edges(), "SELECT x FROM edges"));
    let _ = DataType::Null;
    panic!()
}
