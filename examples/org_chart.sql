-- An organisation chart: reporting lines with their depth, and what each manager is responsible for.
--
--     cargo run --bin refrain -- -f examples/org_chart.sql
--
-- Somebody in personnel moves one person to another manager, and everything above has another headcount and another budget, on both
-- sides. One view is the chart, in an order that can be printed; the other says for each manager how many people are below and what
-- they earn. A reorganisation is one UPDATE.

\echo === 1. Who reports to whom, and what they earn in thousands.
CREATE TABLE employee (name text NOT NULL, boss text, salary int NOT NULL);
INSERT INTO employee VALUES
    ('Rosa', NULL, 190),
    ('Hugo', 'Rosa', 140), ('Mina', 'Rosa', 150),
    ('Ines', 'Hugo', 110), ('Jack', 'Hugo', 95),
    ('Kara', 'Ines', 80),
    ('Nils', 'Mina', 105), ('Olga', 'Mina', 99),
    ('Pete', 'Nils', 70);

-- SEARCH gives what to sort by: a boss stands before everybody below, and colleagues stand by name.
CREATE MATERIALIZED VIEW chart AS
WITH RECURSIVE c(name, depth) AS (
    SELECT name, 0 FROM employee WHERE boss IS NULL
    UNION
    SELECT e.name, c.depth + 1 FROM c JOIN employee e ON e.boss = c.name
) SEARCH DEPTH FIRST BY name SET place
SELECT name, depth, place FROM c;

CREATE MATERIALIZED VIEW team AS
WITH RECURSIVE below(manager, name, salary) AS (
    SELECT boss, name, salary FROM employee WHERE boss IS NOT NULL
    UNION
    SELECT b.manager, e.name, e.salary FROM below b JOIN employee e ON e.boss = b.name
)
SELECT manager, count(*) AS people, sum(salary) AS budget FROM below GROUP BY manager;

-- Whom no line connects with the top.
CREATE MATERIALIZED VIEW lost AS
SELECT e.name, e.boss FROM employee e WHERE NOT EXISTS (SELECT 1 FROM chart c WHERE c.name = e.name);

SELECT repeat('    ', c.depth) || c.name AS chart, t.people, t.budget
FROM chart c LEFT JOIN team t ON t.manager = c.name ORDER BY c.place;

\echo
\echo === 2. Ines and her team move from Hugo to Nils. One row changes, and lines, headcounts and budgets follow on both sides.
UPDATE employee SET boss = 'Nils' WHERE name = 'Ines';
SELECT repeat('    ', c.depth) || c.name AS chart, t.people, t.budget
FROM chart c LEFT JOIN team t ON t.manager = c.name ORDER BY c.place;

\echo
\echo === 3. By mistake Mina is put below Pete, who is below her. The circle has no line to the top, and the chart says who is lost.
CHECKPOINT;
UPDATE employee SET boss = 'Pete' WHERE name = 'Mina';
SELECT name, boss FROM lost ORDER BY name;
SELECT manager, people, budget FROM team WHERE manager IN ('Mina', 'Rosa') ORDER BY manager;

\echo
\echo === 4. What was meant: Mina takes over from Rosa, who leaves.
UPDATE employee SET boss = 'Mina' WHERE boss = 'Rosa';
UPDATE employee SET boss = NULL WHERE name = 'Mina';
DELETE FROM employee WHERE name = 'Rosa';
SELECT repeat('    ', c.depth) || c.name AS chart, t.people, t.budget
FROM chart c LEFT JOIN team t ON t.manager = c.name ORDER BY c.place;
SELECT count(*) AS lost FROM lost;
