-- Fraud rings: accounts that belong together because they share cards or devices.
--
--     cargo run --bin refrain -- -f examples/fraud_rings.sql
--
-- A payment company looks for rings. Two accounts that use the same card or the same device belong together, and so does everything
-- that hangs together through others; a ring has the number of its least account. Rings merge when a card turns up twice. They also
-- split, when a link turns out to be innocent, and that is the hard part: a ring must not keep a number that it has no way to.

\echo === 1. Who uses what, and what was charged back.
CREATE TABLE account (id int NOT NULL, owner text NOT NULL);
CREATE TABLE uses (account int NOT NULL, item text NOT NULL);
CREATE TABLE chargeback (account int NOT NULL, cents int NOT NULL);
INSERT INTO account VALUES (1, 'Abe'), (2, 'Bea'), (3, 'Cal'), (4, 'Dot'), (5, 'Eli'), (6, 'Fay'), (7, 'Gus'), (8, 'Hal'), (9, 'Ida');
INSERT INTO uses VALUES
    (1, 'card 4111'), (2, 'card 4111'), (2, 'phone A'), (3, 'phone A'),
    (3, 'card 5500'), (4, 'card 5500'),
    (4, 'laptop K'), (5, 'laptop K'), (5, 'card 3782'), (6, 'card 3782'), (6, 'phone Q'), (4, 'phone Q'),
    (7, 'phone X'), (8, 'phone X'), (9, 'card 6011');
INSERT INTO chargeback VALUES (1, 1900), (5, 25000), (6, 8000), (6, 12000), (8, 700), (9, 100);

-- The least account goes from accounts to what they use and back, until nothing changes. The minimum is inside the recursion: there
-- are as many rows as accounts and items, never a row for each pair.
CREATE MATERIALIZED VIEW ring AS
WITH MUTUALLY RECURSIVE
    item_ring (item text, least int) AS (
        SELECT u.item, min(r.least) FROM uses u JOIN account_ring r ON r.account = u.account GROUP BY u.item
    ),
    account_ring (account int, least int) AS (
        SELECT account, min(least) FROM (
            SELECT id AS account, id AS least FROM account
            UNION ALL
            SELECT u.account, i.least FROM uses u JOIN item_ring i ON i.item = u.item
        ) ways GROUP BY account
    )
SELECT account, least AS ring FROM account_ring;

CREATE MATERIALIZED VIEW suspicious AS
SELECT r.ring, count(*) AS accounts, sum(c.cents)::bigint AS cents
FROM ring r LEFT JOIN (SELECT account, sum(cents) AS cents FROM chargeback GROUP BY account) c ON c.account = r.account
GROUP BY r.ring HAVING count(*) > 1;

SELECT r.ring, string_agg(a.owner, ' ' ORDER BY a.id) AS owners
FROM ring r JOIN account a ON a.id = r.account GROUP BY r.ring ORDER BY r.ring;
SELECT ring, accounts, cents FROM suspicious ORDER BY ring;

\echo
\echo === 2. Card 5500 is the company card of Cal and Dot. Without it the ring splits, though the second half is a circle of its own.
DELETE FROM uses WHERE item = 'card 5500';
SELECT r.ring, string_agg(a.owner, ' ' ORDER BY a.id) AS owners
FROM ring r JOIN account a ON a.id = r.account GROUP BY r.ring ORDER BY r.ring;
SELECT ring, accounts, cents FROM suspicious ORDER BY ring;

\echo
\echo === 3. Ida pays with card 3782 and logs in from phone X: two rings become one.
CHECKPOINT;
INSERT INTO uses VALUES (9, 'card 3782'), (9, 'phone X');
SELECT ring, accounts, cents FROM suspicious ORDER BY ring;

\echo
\echo === 4. Dot closes her account, and what is left has another least account.
DELETE FROM uses WHERE account = 4;
DELETE FROM account WHERE id = 4;
SELECT r.ring, string_agg(a.owner, ' ' ORDER BY a.id) AS owners
FROM ring r JOIN account a ON a.id = r.account GROUP BY r.ring ORDER BY r.ring;
SELECT ring, accounts, cents FROM suspicious ORDER BY ring;
