-- Network routing: the cheapest way from every router to every other, and where to send a packet first.
--
--     cargo run --bin refrain -- -f examples/network_routing.sql
--
-- A network operator changes the costs of links and loses links to excavators. Each router needs a forwarding table that is right
-- again after each change. Routers that tell each other distances have a well-known trouble with bad news: two of them go on
-- believing in a way that leads through the other, and count to infinity. A view that is maintained has no such memories.

\echo === 1. Links, both ways at the same cost.
CREATE TABLE link (a text NOT NULL, b text NOT NULL, cost int NOT NULL);
INSERT INTO link VALUES
    ('dub', 'lon', 4), ('lon', 'par', 3), ('lon', 'ams', 3), ('par', 'fra', 4), ('ams', 'fra', 2), ('ams', 'ber', 9),
    ('fra', 'ber', 3), ('ber', 'vie', 4), ('fra', 'vie', 6);
CREATE VIEW hop AS SELECT a, b, cost FROM link UNION ALL SELECT b, a, cost FROM link;

-- The minimum is inside the recursion, so that only the best way of each pair goes on.
CREATE MATERIALIZED VIEW route AS
WITH MUTUALLY RECURSIVE (ERROR AT RECURSION LIMIT 1000)
    best (src text, dst text, cost bigint) AS (
        SELECT src, dst, min(cost) FROM (
            SELECT a AS src, a AS dst, 0 AS cost FROM hop
            UNION ALL
            SELECT hop.a, best.dst, hop.cost + best.cost FROM hop JOIN best ON best.src = hop.b
        ) ways GROUP BY src, dst
    )
SELECT src, dst, cost FROM best;

-- Where to send a packet first: to a neighbour that lies on a cheapest way, the first by name if there are several.
CREATE MATERIALIZED VIEW forwarding AS
SELECT r.src, r.dst, min(hop.b) AS via, r.cost
FROM route r JOIN hop ON hop.a = r.src JOIN route rest ON rest.src = hop.b AND rest.dst = r.dst
WHERE r.src <> r.dst AND hop.cost + rest.cost = r.cost
GROUP BY r.src, r.dst, r.cost;

SELECT src, dst, via, cost FROM forwarding WHERE src = 'lon' ORDER BY dst;
SELECT count(*) AS routes, sum(cost) AS total FROM forwarding;

\echo
\echo === 2. The link from Amsterdam to Frankfurt fails. London goes by Paris now.
DELETE FROM link WHERE a = 'ams' AND b = 'fra';
SELECT src, dst, via, cost FROM forwarding WHERE src = 'lon' ORDER BY dst;
SELECT count(*) AS routes, sum(cost) AS total FROM forwarding;

\echo
\echo === 3. The link to Dublin fails, too. Nothing leads there, and nobody counts to infinity to find out.
CHECKPOINT;
DELETE FROM link WHERE a = 'dub';
SELECT src, dst, via, cost FROM forwarding WHERE src = 'lon' ORDER BY dst;
SELECT count(*) AS routes FROM forwarding WHERE src = 'dub' OR dst = 'dub';

\echo
\echo === 4. Both are repaired, and the link from Paris to Frankfurt is full, so that it costs more. Paris goes round by London.
INSERT INTO link VALUES ('dub', 'lon', 4), ('ams', 'fra', 2);
UPDATE link SET cost = 20 WHERE a = 'par' AND b = 'fra';
SELECT src, dst, via, cost FROM forwarding WHERE src = 'par' ORDER BY dst;
SELECT count(*) AS routes, sum(cost) AS total FROM forwarding;
