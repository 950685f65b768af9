-- A bill of materials: how much of every base part goes into every product.
--
--     cargo run --bin refrain -- -f examples/bill_of_materials.sql
--
-- A bicycle maker buys parts by the box and has to know how many each bicycle takes. A ball is a ball, whether it runs in a hub, in a
-- pedal or in the bottom bracket, so every way from a product down to a part counts, and quantities multiply on the way. That is
-- UNION ALL: a set would forget that two ways of the same length and the same quantity are two.

\echo === 1. What is made of what, and what base parts cost.
CREATE TABLE component (assembly text NOT NULL, part text NOT NULL, quantity int NOT NULL);
CREATE TABLE price (part text NOT NULL, cents int NOT NULL);
INSERT INTO component VALUES
    ('city bike', 'frame', 1), ('city bike', 'wheel', 2), ('city bike', 'crankset', 1), ('city bike', 'saddle', 1),
    ('tandem', 'frame', 2), ('tandem', 'wheel', 2), ('tandem', 'crankset', 2), ('tandem', 'saddle', 2),
    ('wheel', 'rim', 1), ('wheel', 'spoke', 32), ('wheel', 'hub', 1),
    ('crankset', 'pedal', 2), ('crankset', 'bottom bracket', 1),
    ('hub', 'axle', 1), ('hub', 'ball', 18),
    ('pedal', 'axle', 1), ('pedal', 'ball', 24),
    ('bottom bracket', 'axle', 1), ('bottom bracket', 'ball', 22);
INSERT INTO price VALUES
    ('frame', 24000), ('saddle', 3500), ('rim', 4200), ('spoke', 60), ('axle', 350), ('ball', 4), ('cartridge', 450);

-- A product is part of nothing, and a base part has no parts.
CREATE MATERIALIZED VIEW needs AS
WITH RECURSIVE n(product, part, quantity) AS (
    SELECT assembly, part, quantity::bigint FROM component WHERE assembly NOT IN (SELECT part FROM component)
    UNION ALL
    SELECT n.product, c.part, n.quantity * c.quantity FROM n JOIN component c ON c.assembly = n.part
)
SELECT product, part, sum(quantity)::bigint AS quantity
FROM n WHERE part NOT IN (SELECT assembly FROM component)
GROUP BY product, part;

CREATE MATERIALIZED VIEW cost AS
SELECT n.product, sum(n.quantity * p.cents)::bigint AS cents FROM needs n JOIN price p ON p.part = n.part GROUP BY n.product;

SELECT product, part, quantity FROM needs ORDER BY product, part;
SELECT product, cents FROM cost ORDER BY product;

\echo
\echo === 2. A design change: hubs get two cartridge bearings for their loose balls, and wheels fewer spokes.
DELETE FROM component WHERE assembly = 'hub' AND part = 'ball';
INSERT INTO component VALUES ('hub', 'cartridge', 2);
UPDATE component SET quantity = 28 WHERE assembly = 'wheel' AND part = 'spoke';
SELECT product, part, quantity FROM needs WHERE part IN ('ball', 'cartridge', 'spoke') ORDER BY product, part;
SELECT product, cents FROM cost ORDER BY product;

\echo
\echo === 3. A slip of the pen, a hub that contains a wheel: a list without end. The view runs on, nothing else waits, and it heals.
INSERT INTO component VALUES ('hub', 'wheel', 1);
CHECKPOINT;
SELECT assembly, part, quantity FROM component WHERE assembly = 'hub' ORDER BY part;
DELETE FROM component WHERE assembly = 'hub' AND part = 'wheel';
SELECT product, part, quantity FROM needs WHERE part = 'ball' ORDER BY product;
SELECT product, cents FROM cost ORDER BY product;
