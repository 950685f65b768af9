-- Points-to analysis: which objects a pointer may hold, and what is used after it was freed.
--
--     cargo run --bin refrain -- -f examples/points_to.sql
--
-- An editor checks a C program while it is typed. The question below all other ones is which objects each variable may point to, and
-- Andersen's analysis answers it with four kinds of statements. What pointers hold depends on what memory holds, and the other way
-- round: two relations that recur through each other. A line that is deleted takes back what followed from it, and nothing else.

\echo === 1. The program, as facts. Objects are named after the lines that make them.
-- line 1: list = malloc(..)      line 5: cursor = list         line 9: free(node)
-- line 2: node = malloc(..)      line 6: item = *cursor        line 10: print(*item)
-- line 3: spare = malloc(..)     line 7: cursor = item         line 11: print(*spare)
-- line 4: *list = node           line 8: *node = spare
CREATE TABLE alloc (line int NOT NULL, pointer text NOT NULL, object text NOT NULL);
CREATE TABLE assign (line int NOT NULL, target text NOT NULL, source text NOT NULL);
CREATE TABLE load (line int NOT NULL, target text NOT NULL, pointer text NOT NULL);
CREATE TABLE store (line int NOT NULL, pointer text NOT NULL, source text NOT NULL);
CREATE TABLE freed (line int NOT NULL, pointer text NOT NULL);
CREATE TABLE used (line int NOT NULL, pointer text NOT NULL);
INSERT INTO alloc VALUES (1, 'list', 'list@1'), (2, 'node', 'node@2'), (3, 'spare', 'spare@3');
INSERT INTO store VALUES (4, 'list', 'node'), (8, 'node', 'spare');
INSERT INTO assign VALUES (5, 'cursor', 'list'), (7, 'cursor', 'item');
INSERT INTO load VALUES (6, 'item', 'cursor');
INSERT INTO freed VALUES (9, 'node');
INSERT INTO used VALUES (10, 'item'), (11, 'spare');

CREATE MATERIALIZED VIEW points_to AS
WITH MUTUALLY RECURSIVE
    variable (pointer text, object text) AS (
        SELECT pointer, object FROM alloc
        UNION
        SELECT a.target, v.object FROM assign a JOIN variable v ON v.pointer = a.source
        UNION
        SELECT l.target, m.content FROM load l JOIN variable v ON v.pointer = l.pointer JOIN memory m ON m.object = v.object
    ),
    memory (object text, content text) AS (
        SELECT DISTINCT p.object, s.object
        FROM store JOIN variable p ON p.pointer = store.pointer JOIN variable s ON s.pointer = store.source
    )
SELECT pointer, object FROM variable;

-- Variables that may hold the same object: what is written through one may be read through the other.
CREATE MATERIALIZED VIEW alias AS
SELECT DISTINCT a.pointer AS one, b.pointer AS other
FROM points_to a JOIN points_to b ON b.object = a.object WHERE a.pointer < b.pointer;

CREATE MATERIALIZED VIEW warning AS
SELECT DISTINCT used.line, used.pointer, u.object, freed.line AS freed_in
FROM used JOIN points_to u ON u.pointer = used.pointer
    JOIN points_to f ON f.object = u.object JOIN freed ON freed.pointer = f.pointer
WHERE freed.line < used.line;

SELECT pointer, object FROM points_to ORDER BY pointer, object;
SELECT one, other FROM alias WHERE one = 'item' OR other = 'item' ORDER BY one, other;
SELECT line, pointer, object, freed_in FROM warning ORDER BY line, object;

\echo
\echo === 2. Line 7 is deleted: the cursor stays where it is. What it reached by walking on is taken back; the warning stays.
DELETE FROM assign WHERE line = 7;
SELECT pointer, object FROM points_to ORDER BY pointer, object;
SELECT one, other FROM alias WHERE one = 'item' OR other = 'item' ORDER BY one, other;
SELECT line, pointer, object, freed_in FROM warning ORDER BY line, object;

\echo
\echo === 3. Line 4 stores the spare instead. No way leads from the list to what is freed.
CHECKPOINT;
UPDATE store SET source = 'spare' WHERE line = 4;
SELECT pointer, object FROM points_to WHERE pointer IN ('cursor', 'item') ORDER BY pointer, object;
SELECT count(*) AS warnings FROM warning;

\echo
\echo === 4. Line 8 closes a circle: the spare holds the list. With line 7 back, the cursor and the item may be anywhere in it.
UPDATE store SET pointer = 'spare', source = 'list' WHERE line = 8;
INSERT INTO assign VALUES (7, 'cursor', 'item');
SELECT pointer, object FROM points_to WHERE pointer IN ('cursor', 'item') ORDER BY pointer, object;
