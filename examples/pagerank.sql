-- PageRank: which pages matter, by who links to them, kept up to date while links come and go.
--
--     cargo run --bin refrain -- -f examples/pagerank.sql
--
-- A site sorts its search results by rank. A page gives 85 percent of its rank to the pages that it links to, in equal parts, and
-- every page is given 15 percent of an average page for nothing. That is a recursion with a sum inside, and it is not over when
-- nothing is new but when it is good enough: RETURN AT RECURSION LIMIT says after how many iterations. A link that is added touches
-- what it can reach, and the view works out only that.
--
-- Ranks are whole numbers, in millionths of an average page, so that the answer is the same to the last digit wherever it runs.

\echo === 1. Pages and links. Nothing links to the two pages of spam but themselves.
CREATE TABLE page (name text NOT NULL);
CREATE TABLE link (src text NOT NULL, dst text NOT NULL);
INSERT INTO page VALUES ('home'), ('docs'), ('blog'), ('shop'), ('about'), ('spam1'), ('spam2');
INSERT INTO link VALUES
    ('home', 'docs'), ('home', 'blog'), ('home', 'shop'), ('docs', 'home'), ('docs', 'blog'), ('blog', 'docs'), ('blog', 'home'),
    ('blog', 'about'), ('shop', 'home'), ('about', 'home'), ('spam1', 'spam2'), ('spam2', 'spam1');

CREATE MATERIALIZED VIEW rank AS
WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 30)
    degree (page text, links bigint) AS (SELECT src, count(*) FROM link GROUP BY src),
    r (page text, millionths bigint) AS (
        SELECT page, sum(part)::bigint FROM (
            SELECT name AS page, 150000::bigint AS part FROM page
            UNION ALL
            SELECT link.dst, r.millionths * 85 / (d.links * 100)
            FROM r JOIN degree d ON d.page = r.page JOIN link ON link.src = r.page
        ) parts GROUP BY page
    )
SELECT page, millionths FROM r;

SELECT page, millionths FROM rank ORDER BY millionths DESC, page;

\echo
\echo === 2. The blog falls for a comment with a link to spam. Spam rises, and what the blog linked to before gets less.
INSERT INTO link VALUES ('blog', 'spam1');
SELECT page, millionths FROM rank ORDER BY millionths DESC, page;

\echo
\echo === 3. The comment is deleted. The two pages of spam link to each other in a circle, and are left with what they had.
CHECKPOINT;
DELETE FROM link WHERE src = 'blog' AND dst = 'spam1';
SELECT page, millionths FROM rank ORDER BY millionths DESC, page;

\echo
\echo === 4. A page about jobs, which only the home page links to.
INSERT INTO page VALUES ('jobs');
INSERT INTO link VALUES ('home', 'jobs'), ('jobs', 'about');
SELECT page, millionths FROM rank ORDER BY millionths DESC, page;
