-- What the store beside this file was made of: `refrain --store format_1 --set checkpoint_retain=2 -f format_1.sql`, packed by `tar -czf`. It is
-- there to be opened by later versions, so it is not made again.
CREATE TABLE every (id INT PRIMARY KEY, flag BOOLEAN, small SMALLINT, big BIGINT, half REAL, whole DOUBLE PRECISION, price NUMERIC(12, 2),
    name TEXT NOT NULL DEFAULT 'nobody', code CHARACTER(4), day DATE, at TIMESTAMP, zoned TIMESTAMPTZ, span INTERVAL, blob BYTEA,
    CHECK (small < 100));
INSERT INTO every VALUES
    (1, true, -1, 9000000000, 0.5, 1e100, 12.34, 'Ünïcode', 'ab', DATE '2024-02-29', TIMESTAMP '2024-02-29 23:59:59.999999',
     TIMESTAMPTZ '2024-02-29 23:59:59+02', INTERVAL '1 month 2 days 03:04:05', '\x00ff'),
    (2, NULL, NULL, NULL, NULL, 'NaN', NULL, '', NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE born (child TEXT, parent TEXT) WITH (append_only = true);
INSERT INTO born VALUES ('c', 'b'), ('b', 'a'), ('e', 'd');
CREATE TABLE roads (a TEXT, b TEXT, miles INT);
INSERT INTO roads VALUES ('x', 'y', 1), ('y', 'z', 1), ('x', 'z', 5), ('z', 'x', 1), ('q', 'r', 0), ('q', 'r', 0);
CREATE VIEW cheap AS SELECT a, b FROM roads WHERE miles < 5;
CREATE MATERIALIZED VIEW ancestors AS WITH RECURSIVE t(child, parent) AS
    (SELECT child, parent FROM born UNION SELECT t.child, born.parent FROM t JOIN born ON born.child = t.parent) SELECT * FROM t;
CREATE MATERIALIZED VIEW reach AS WITH RECURSIVE t(a, b) AS
    (SELECT a, b FROM cheap UNION SELECT t.a, cheap.b FROM t JOIN cheap ON cheap.a = t.b) SELECT * FROM t;
CREATE MATERIALIZED VIEW walks AS WITH RECURSIVE t(a, b, n) AS
    (SELECT a, b, 1 FROM roads UNION ALL SELECT t.a, roads.b, n + 1 FROM t JOIN roads ON roads.a = t.b WHERE n < 3) SELECT * FROM t;
CREATE MATERIALIZED VIEW shortest AS WITH RECURSIVE t(a, b, miles) USING KEY (a, b, min(miles)) AS
    (SELECT a, b, miles FROM roads UNION SELECT t.a, roads.b, t.miles + roads.miles FROM t JOIN roads ON roads.a = t.b) SELECT * FROM t;
CREATE MATERIALIZED VIEW even AS WITH MUTUALLY RECURSIVE
    even(b TEXT) AS (SELECT 'x' UNION SELECT roads.b FROM odd JOIN roads ON roads.a = odd.b),
    odd(b TEXT) AS (SELECT roads.b FROM even JOIN roads ON roads.a = even.b)
    SELECT DISTINCT b FROM even;
CREATE MATERIALIZED VIEW totals AS SELECT a, count(*), sum(miles), min(miles), avg(miles), count(DISTINCT b) AS ends FROM roads GROUP BY a;
CREATE MATERIALIZED VIEW ranked AS SELECT a, b, row_number() OVER (PARTITION BY a ORDER BY miles, b) AS place FROM roads;
CREATE MATERIALIZED VIEW childless AS SELECT parent FROM born EXCEPT SELECT child FROM born;
CREATE MATERIALIZED VIEW named AS SELECT b.child, r.miles FROM born b LEFT JOIN roads r ON r.a = b.parent;
CREATE MATERIALIZED VIEW failing AS SELECT id, 10 / small AS inverse FROM every;
CREATE MATERIALIZED VIEW rounds AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n % 5 + 1 FROM t) SELECT n FROM t;
CHECKPOINT;
INSERT INTO roads VALUES ('z', 'w', 1);
DELETE FROM roads WHERE a = 'q';
CHECKPOINT;
INSERT INTO born VALUES ('a', 'root');
UPDATE every SET small = 0 WHERE id = 2;
