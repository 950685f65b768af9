-- Same generation: who in a family belongs to one generation, by blood and by marriage.
--
--     cargo run --bin refrain -- -f examples/same_generation.sql
--
-- A genealogist wants to print a family tree row by row. Children of people of one generation are of one generation, and so are
-- people who are married; and whoever is of one generation with a third. The last rule names the relation twice, which PostgreSQL's
-- WITH RECURSIVE has no form for. Registers are full of errors, so what follows from a row has to go with it.

\echo === 1. Two families, row by row.
CREATE TABLE parent (child text NOT NULL, parent text NOT NULL);
CREATE TABLE marriage (a text NOT NULL, b text NOT NULL);
INSERT INTO parent VALUES
    ('Carl', 'Anna'), ('Dora', 'Anna'), ('Emil', 'Anna'),
    ('Finn', 'Carl'), ('Gerd', 'Carl'), ('Hans', 'Dora'), ('Inge', 'Emil'),
    ('Lena', 'Karl'), ('Rolf', 'Lena');
INSERT INTO marriage VALUES ('Anna', 'Bert'), ('Karl', 'Maja');

CREATE MATERIALIZED VIEW same AS
WITH MUTUALLY RECURSIVE
    person (name text) AS (
        SELECT child FROM parent UNION SELECT parent FROM parent UNION SELECT a FROM marriage UNION SELECT b FROM marriage
    ),
    s (x text, y text) AS (
        SELECT name, name FROM person
        UNION
        SELECT a, b FROM marriage
        UNION
        SELECT b, a FROM marriage
        UNION
        SELECT p.child, q.child FROM s JOIN parent p ON p.parent = s.x JOIN parent q ON q.parent = s.y
        UNION
        SELECT s.x, t.y FROM s JOIN s t ON t.x = s.y
    )
SELECT x, y FROM s;

-- A generation is called after the first of it by name.
CREATE MATERIALIZED VIEW generation AS SELECT x AS person, min(y) AS first FROM same GROUP BY x;

-- Cousins are of one generation, and of one grandparent, and not of one parent.
CREATE MATERIALIZED VIEW cousin AS
SELECT s.x, s.y FROM same s
    JOIN parent p ON p.child = s.x JOIN parent q ON q.child = s.y
    JOIN parent g ON g.child = p.parent JOIN parent h ON h.child = q.parent AND h.parent = g.parent
WHERE s.x < s.y
EXCEPT
SELECT p.child, q.child FROM parent p JOIN parent q ON q.parent = p.parent;

SELECT string_agg(person, ' ' ORDER BY person) AS generation FROM generation GROUP BY first ORDER BY generation;
SELECT x, y FROM cousin ORDER BY x, y;

\echo
\echo === 2. Hans marries Lena, and from here on the families share their rows.
INSERT INTO marriage VALUES ('Hans', 'Lena');
SELECT string_agg(person, ' ' ORDER BY person) AS generation FROM generation GROUP BY first ORDER BY generation;

\echo
\echo === 3. The register says that Emil married Gerd, his niece. Then his row and all the rows below it are one.
CHECKPOINT;
INSERT INTO marriage VALUES ('Emil', 'Gerd');
SELECT string_agg(person, ' ' ORDER BY person) AS generation FROM generation GROUP BY first ORDER BY generation;

\echo
\echo === 4. It was another Gerd. The rows come apart again, though by then every pair in them had others to lean on.
DELETE FROM marriage WHERE a = 'Emil' AND b = 'Gerd';
SELECT string_agg(person, ' ' ORDER BY person) AS generation FROM generation GROUP BY first ORDER BY generation;

\echo
\echo === 5. And Inge is a daughter of Dora, not of Emil: in the same row as ever, with one cousin less.
UPDATE parent SET parent = 'Dora' WHERE child = 'Inge';
SELECT x, y FROM cousin ORDER BY x, y;
