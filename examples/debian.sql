-- A tour over real data: what every package of Debian 12 needs, kept up to date while the packages change.
--
--     cargo run --bin refrain -- -f examples/debian.sql
--
-- The file holds one row for each "Depends" between two packages of the Debian 12 package index.

\timing on

\echo
\echo === 1. Load the dependencies of all Debian packages.
CREATE TABLE depends (package text NOT NULL, depends_on text NOT NULL);
COPY depends FROM 'examples/data/debian-depends.csv.gz' WITH (FORMAT csv, HEADER true);
SELECT count(*) AS edges, count(DISTINCT package) AS packages FROM depends;

\echo
\echo === 2. Ask what each package needs, directly or not. The view returns at once and is filled behind our back.
CREATE MATERIALIZED VIEW needs AS
WITH RECURSIVE n(package, depends_on) AS (
    SELECT package, depends_on FROM depends
    UNION
    SELECT n.package, d.depends_on FROM n JOIN depends d ON d.package = n.depends_on
)
SELECT package, depends_on FROM n;

-- While it runs the tables answer as usual: pairs of packages at second hand.
SELECT count(*) AS second_hand FROM (
    SELECT DISTINCT d.package, e.depends_on FROM depends d JOIN depends e ON e.package = d.depends_on
) AS pairs;

\echo
\echo === 3. Take a checkpoint while the recursion is running. It goes on from there after a crash, not from the start.
CHECKPOINT;
SELECT * FROM refrain.loops;

-- An eager read looks at a recursion that has not ended; what it sees is consistent, and less than there will be.
SET reads = 'eager';
SELECT count(*) AS pairs_so_far FROM needs;
RESET reads;

\echo
\echo === 4. An ordinary read waits for the end of the recursion.
SELECT count(*) AS pairs FROM needs;

\echo
\echo === 5. Build on it: how many packages would break without each package?
CREATE MATERIALIZED VIEW dependents AS
SELECT depends_on AS package, count(*) AS packages FROM needs GROUP BY depends_on;

SELECT package, packages FROM dependents ORDER BY packages DESC, package LIMIT 5;
SELECT package, packages FROM dependents WHERE package IN ('libssl3', 'zlib1g', 'libjq1', 'libmosquitto1') ORDER BY packages DESC;

\echo
\echo === 6. Which ones would break without the MQTT client library?
SELECT package FROM needs WHERE depends_on = 'libmosquitto1' ORDER BY package;

\echo
\echo === 7. Take one single dependency away: audit without libcap-ng. Thousands of packages need it no longer.
SELECT package, packages FROM dependents WHERE package = 'libcap-ng0';
DELETE FROM depends WHERE package = 'libaudit1' AND depends_on = 'libcap-ng0';
SELECT package, packages FROM dependents WHERE package = 'libcap-ng0';
SELECT count(*) AS pairs FROM needs;

\echo
\echo === 8. And put it back.
INSERT INTO depends VALUES ('libaudit1', 'libcap-ng0');
SELECT package, packages FROM dependents WHERE package = 'libcap-ng0';
SELECT count(*) AS pairs FROM needs;

\echo
\echo === 9. libc6 and libgcc-s1 need each other. Take away the only way in, and the cycle does not keep itself alive.
SELECT depends_on FROM needs WHERE package = 'libsodium23' ORDER BY depends_on;
DELETE FROM depends WHERE package = 'libsodium23' AND depends_on = 'libc6';
SELECT depends_on FROM needs WHERE package = 'libsodium23' ORDER BY depends_on;
INSERT INTO depends VALUES ('libsodium23', 'libc6');

\echo
\echo === 10. What the engine has checkpointed.
CHECKPOINT;
SELECT * FROM refrain.checkpoints;
