//! The lines of the table: for each of what a recursion may be like, a statement in each of our forms.
//!
//! Answers are PostgreSQL's where it takes the statement, or one that asks the same of these small tables. A line that is added here is
//! added to the README at the same place.

/// What one form makes of a line.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// It takes this query, whose answers are the line's.
    Takes(&'static str),
    /// It takes this statement, which makes a view `v`.
    Creates(&'static str),
    /// It refuses this query, with this SQLSTATE and message.
    Refuses(&'static str, &'static str),
    /// It is what another form is for.
    Other,
}

impl Form {
    /// What the README says.
    pub fn cell(self) -> &'static str {
        match self {
            Self::Takes(_) | Self::Creates(_) => "yes",
            Self::Refuses(..) => "no",
            Self::Other => "–",
        }
    }
}

/// A line of the table.
pub(super) struct Line {
    /// As the README names it.
    pub feature: &'static str,
    /// The rows of the answer, sorted, before the tables change.
    pub before: &'static str,
    /// And after.
    pub after: &'static str,
    /// In the order of the columns.
    pub forms: [Form; 3],
}

use Form::{Creates, Other, Refuses, Takes};

const TWICE: &str = "42P19: recursive reference to query \"r\" must not appear more than once";
const IN_KEYED: &str =
    "0A000: UNION or a join that keeps rows without a partner in the recursive term of query \"r\" is not supported with USING KEY";
const IN_SUBQUERY: &str = "42P19: recursive reference to query \"r\" must not appear within a subquery";
const IN_OUTER_JOIN: &str = "42P19: recursive reference to query \"r\" must not appear within an outer join";
const MUTUAL: &str = "0A000: mutual recursion between WITH items is not implemented";
const AGGREGATE: &str = "42P19: aggregate functions are not allowed in a recursive query's recursive term";
const DEPENDS: &str = "0A000: a recursive query inside another recursive query that it depends on is not supported with aggregates, \
                       negation, outer joins, LIMIT or USING KEY in either";
const INNER: &str = "0A000: another recursive query over the reference of recursive query \"r\" to itself is not supported";
const DISTINCT: &str = "0A000: DISTINCT over the reference of recursive query \"r\" to itself is not supported";
const LIMIT: &str = "0A000: LIMIT over the reference of recursive query \"r\" to itself is not supported";
const WINDOW: &str = "0A000: a window function over the reference of recursive query \"r\" to itself is not supported";
const AROUND: &str = "42P01: missing FROM-clause entry for table \"c\"";
const KEEPS_ROWS: &str =
    "0A000: UNION or a join that keeps rows without a partner in the recursive term of query \"r\" is not supported with USING KEY";

pub(super) const LINES: &[Line] = &[
    Line {
        feature: "names itself once, with `UNION`",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Takes("WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r"),
            Takes(
                "WITH RECURSIVE r(n, d) USING KEY (n, min(d)) AS (
                 SELECT 1, 0 UNION SELECT e.b, r.d + 1 FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
            Takes("WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r"),
        ],
    },
    Line {
        feature: "counts derivations, with `UNION ALL`",
        before: "1 2 3 4 4",
        after: "1 2 3 4 5 5",
        forms: [
            Takes("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT t.b FROM r JOIN tree t ON t.a = r.n) SELECT n FROM r"),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION ALL SELECT t.b FROM r JOIN tree t ON t.a = r.n) SELECT n FROM r",
                "0A000: UNION ALL with USING KEY is not supported",
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION ALL SELECT t.b FROM r JOIN tree t ON t.a = r.n) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "several branches that name it: `base UNION r … UNION r …`",
        before: "1 2 3 4",
        after: "1 3 4",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 4 UNION SELECT e.a FROM r JOIN edge e ON e.b = r.n
                 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n AND e.a = 3) SELECT n FROM r",
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 4 UNION SELECT e.a FROM r JOIN edge e ON e.b = r.n
                 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n AND e.a = 3) SELECT n FROM r",
                IN_KEYED,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 4 UNION SELECT e.a FROM r JOIN edge e ON e.b = r.n
                 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n AND e.a = 3) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "names itself twice (not linear)",
        before: "1 2 3 4",
        after: "2 5",
        forms: [
            Refuses(
                "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION SELECT x.a, y.b FROM r x JOIN r y ON x.b = y.a)
                 SELECT b FROM r WHERE a = 1",
                TWICE,
            ),
            Refuses(
                "WITH RECURSIVE r(a, b) USING KEY (a, b) AS (
                 SELECT a, b FROM edge UNION SELECT x.a, y.b FROM r x JOIN r y ON x.b = y.a) SELECT b FROM r WHERE a = 1",
                TWICE,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (a int, b int) AS (
                 SELECT a, b FROM edge UNION SELECT x.a, y.b FROM r x JOIN r y ON x.b = y.a) SELECT b FROM r WHERE a = 1",
            ),
        ],
    },
    Line {
        feature: "queries that name each other",
        before: "1 2 3 4",
        after: "2",
        forms: [
            Refuses(
                "WITH RECURSIVE even(n) AS (SELECT 1 UNION SELECT e.b FROM odd JOIN edge e ON e.a = odd.n),
                 odd(n) AS (SELECT e.b FROM even JOIN edge e ON e.a = even.n) SELECT n FROM odd",
                MUTUAL,
            ),
            Refuses(
                "WITH RECURSIVE even(n) USING KEY (n) AS (SELECT 1 UNION SELECT e.b FROM odd JOIN edge e ON e.a = odd.n),
                 odd(n) USING KEY (n) AS (SELECT 0 UNION SELECT e.b FROM even JOIN edge e ON e.a = even.n) SELECT n FROM odd",
                MUTUAL,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE even (n int) AS (SELECT 1 UNION SELECT e.b FROM odd JOIN edge e ON e.a = odd.n),
                 odd (n int) AS (SELECT DISTINCT e.b FROM even JOIN edge e ON e.a = even.n) SELECT n FROM odd",
            ),
        ],
    },
    Line {
        feature: "an aggregate over itself",
        before: "1|0 2|4 3|3 4|5",
        after: "1|0 2|7 3|3 4|8 5|9",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n, w) AS (SELECT 1, 0 UNION SELECT road.b, min(r.w + road.w) FROM r JOIN road ON road.a = r.n
                 GROUP BY road.b) SELECT n, w FROM r",
                AGGREGATE,
            ),
            Refuses(
                "WITH RECURSIVE r(n, w) USING KEY (n) AS (SELECT 1, 0 UNION SELECT road.b, min(r.w + road.w) FROM r
                 JOIN road ON road.a = r.n GROUP BY road.b) SELECT n, w FROM r",
                AGGREGATE,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int, w int) AS (SELECT n, min(w) FROM (SELECT 1 AS n, 0 AS w
                 UNION ALL SELECT road.b, r.w + road.w FROM r JOIN road ON road.a = r.n) way GROUP BY n) SELECT n, w FROM r",
            ),
        ],
    },
    Line {
        feature: "one row per key, its least or greatest",
        before: "1|0 2|4 3|3 4|5",
        after: "1|0 2|7 3|3 4|8 5|9",
        forms: [
            Other,
            Takes(
                "WITH RECURSIVE r(n, w) USING KEY (n, min(w)) AS (
                 SELECT 1, 0 UNION SELECT road.b, r.w + road.w FROM r JOIN road ON road.a = r.n) SELECT n, w FROM r",
            ),
            Other,
        ],
    },
    Line {
        feature: "one row per key, its latest",
        before: "1|0 2|4 3|3 4|5",
        after: "1|0 2|7 3|3 4|8 5|9",
        forms: [
            Other,
            Takes(
                "WITH RECURSIVE r(n, w) USING KEY (n) AS (
                 SELECT 1, 0 UNION SELECT road.b, r.w + road.w FROM r JOIN road ON road.a = r.n) SELECT n, w FROM r",
            ),
            Other,
        ],
    },
    Line {
        feature: "one row per key, its sum or count, or more than one aggregate",
        before: "",
        after: "",
        forms: [
            Other,
            Refuses(
                "WITH RECURSIVE r(n, w) USING KEY (n, sum(w)) AS (
                 SELECT 1, 0 UNION SELECT road.b, r.w + road.w FROM r JOIN road ON road.a = r.n) SELECT n, w FROM r",
                "0A000: USING KEY with sum(integer) is not supported",
            ),
            Other,
        ],
    },
    Line {
        feature: "the keys so far, as `recurring.r`",
        before: "",
        after: "",
        forms: [
            Other,
            Refuses(
                "WITH RECURSIVE r(n, w) USING KEY (n) AS (SELECT 1, 0 UNION SELECT road.b, r.w + road.w FROM r
                 JOIN road ON road.a = r.n LEFT JOIN recurring.r k ON k.n = road.b WHERE k.n IS NULL) SELECT n, w FROM r",
                "42P01: relation \"recurring.r\" does not exist",
            ),
            Other,
        ],
    },
    Line {
        feature: "negation of other tables (`NOT EXISTS`, `EXCEPT`)",
        before: "1 2",
        after: "1",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n
                 WHERE NOT EXISTS (SELECT 1 FROM closed c WHERE c.n = e.b)) SELECT n FROM r",
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n
                 WHERE NOT EXISTS (SELECT 1 FROM closed c WHERE c.n = e.b)) SELECT n FROM r",
                KEEPS_ROWS,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n
                 WHERE NOT EXISTS (SELECT 1 FROM closed c WHERE c.n = e.b)) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "negation of itself",
        before: "2 3",
        after: "1 4",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n) AS (SELECT 0 UNION SELECT a FROM tree WHERE b NOT IN (SELECT n FROM r)) SELECT n FROM r",
                IN_SUBQUERY,
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 0 UNION SELECT a FROM tree WHERE b NOT IN (SELECT n FROM r)) SELECT n FROM r",
                IN_SUBQUERY,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT DISTINCT a FROM tree WHERE b NOT IN (SELECT n FROM r)) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "itself in a subquery (`IN`, `EXISTS`)",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Refuses("WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT b FROM edge WHERE a IN (SELECT n FROM r)) SELECT n FROM r", IN_SUBQUERY),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION SELECT b FROM edge WHERE a IN (SELECT n FROM r)) SELECT n FROM r",
                IN_SUBQUERY,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION SELECT b FROM edge WHERE a IN (SELECT n FROM r)) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "itself where an outer join keeps its rows",
        before: "-1 1 2 3 4",
        after: "-1 1 2 3 4 5",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT coalesce(t.b, -1) FROM r LEFT JOIN tree t ON t.a = r.n WHERE r.n > 0)
                 SELECT n FROM r",
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (
                 SELECT 1 UNION SELECT coalesce(t.b, -1) FROM r LEFT JOIN tree t ON t.a = r.n WHERE r.n > 0) SELECT n FROM r",
                KEEPS_ROWS,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (
                 SELECT 1 UNION SELECT coalesce(t.b, -1) FROM r LEFT JOIN tree t ON t.a = r.n WHERE r.n > 0) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "itself where an outer join makes NULLs",
        before: "1 2 4",
        after: "1 2 4 5",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT t.b FROM tree t LEFT JOIN r ON r.n = t.a WHERE coalesce(r.n, 3) <> 3 AND t.b <> 3)
                 SELECT n FROM r",
                IN_OUTER_JOIN,
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (
                 SELECT 1 UNION SELECT t.b FROM tree t LEFT JOIN r ON r.n = t.a WHERE coalesce(r.n, 3) <> 3 AND t.b <> 3) SELECT n FROM r",
                IN_OUTER_JOIN,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (
                 SELECT 1 UNION SELECT t.b FROM tree t LEFT JOIN r ON r.n = t.a WHERE coalesce(r.n, 3) <> 3 AND t.b <> 3) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "`DISTINCT` in the recursive term, with `UNION`",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Takes("WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT DISTINCT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r"),
            Takes(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION SELECT DISTINCT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
            Takes("WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION SELECT DISTINCT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r"),
        ],
    },
    Line {
        feature: "`DISTINCT` in the recursive term, with `UNION ALL`",
        before: "1 2 3 4",
        after: "1 2 3 4 5",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT DISTINCT t.b FROM r JOIN tree t ON t.a = r.n) SELECT n FROM r",
                DISTINCT,
            ),
            Other,
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION ALL SELECT DISTINCT t.b FROM r JOIN tree t ON t.a = r.n) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "`ORDER BY` and `LIMIT` in the recursive term",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION (SELECT e.b FROM r JOIN edge e ON e.a = r.n ORDER BY 1 LIMIT 5)) SELECT n FROM r",
                LIMIT,
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION (SELECT e.b FROM r JOIN edge e ON e.a = r.n ORDER BY 1 LIMIT 5)) SELECT n FROM r",
                LIMIT,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION (SELECT e.b FROM r JOIN edge e ON e.a = r.n ORDER BY 1 LIMIT 5)) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "a window function over itself",
        before: "",
        after: "",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n, k) AS (SELECT 1, 1::bigint UNION SELECT e.b, row_number() OVER (ORDER BY e.b) FROM r
                 JOIN edge e ON e.a = r.n) SELECT n FROM r",
                WINDOW,
            ),
            Refuses(
                "WITH RECURSIVE r(n, k) USING KEY (n) AS (SELECT 1, 1::bigint UNION SELECT e.b, row_number() OVER (ORDER BY e.b) FROM r
                 JOIN edge e ON e.a = r.n) SELECT n FROM r",
                WINDOW,
            ),
            Refuses(
                "WITH MUTUALLY RECURSIVE r (n int, k bigint) AS (SELECT 1, 1::bigint UNION SELECT e.b, row_number() OVER (ORDER BY e.b)
                 FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
                "0A000: window function row_number over the reference of a recursive query to itself is not supported",
            ),
        ],
    },
    Line {
        feature: "a limit that is an error: `ERROR AT RECURSION LIMIT`",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Takes(
                "WITH RECURSIVE (ERROR AT RECURSION LIMIT 9) r(n) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
            Takes(
                "WITH RECURSIVE (ERROR AT RECURSION LIMIT 9) r(n) USING KEY (n) AS (
                 SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE (ERROR AT RECURSION LIMIT 9) r (n int) AS (
                 SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "a limit that ends it: `RETURN AT RECURSION LIMIT`",
        before: "1 2",
        after: "1 2",
        forms: [
            Takes(
                "WITH RECURSIVE (RETURN AT RECURSION LIMIT 2) r(n) AS (SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
            Takes(
                "WITH RECURSIVE (RETURN AT RECURSION LIMIT 2) r(n) USING KEY (n) AS (
                 SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 2) r (n int) AS (
                 SELECT 1 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "`SEARCH DEPTH FIRST`, `SEARCH BREADTH FIRST`",
        before: "1 2 3 4 4",
        after: "1 2 3 4 5 5",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT t.b FROM r JOIN tree t ON t.a = r.n) SEARCH DEPTH FIRST BY n SET o
                 SELECT n FROM r",
            ),
            Other,
            Other,
        ],
    },
    Line {
        feature: "`CYCLE`",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT e.b FROM r JOIN edge e ON e.a = r.n) CYCLE n SET c USING p
                 SELECT n FROM r WHERE NOT c",
            ),
            Other,
            Other,
        ],
    },
    Line {
        feature: "a recursion inside it that stands by itself",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT s.b FROM r JOIN (WITH RECURSIVE q(a, b) AS (
                 SELECT a, b FROM edge UNION SELECT q.a, e.b FROM q JOIN edge e ON e.a = q.b) SELECT a, b FROM q) s ON s.a = r.n)
                 SELECT n FROM r",
            ),
            Takes(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION SELECT s.b FROM r JOIN (WITH RECURSIVE q(a, b) USING KEY (a, b) AS (
                 SELECT a, b FROM edge UNION SELECT q.a, e.b FROM q JOIN edge e ON e.a = q.b) SELECT a, b FROM q) s ON s.a = r.n)
                 SELECT n FROM r",
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION SELECT s.b FROM r JOIN (
                 WITH MUTUALLY RECURSIVE q (a int, b int) AS (SELECT a, b FROM edge UNION SELECT q.a, e.b FROM q
                 JOIN edge e ON e.a = q.b) SELECT a, b FROM q) s ON s.a = r.n) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "a recursion inside it that depends on it",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Takes(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION (WITH RECURSIVE q(x) AS (
                 SELECT n FROM r UNION SELECT e.b FROM q JOIN edge e ON e.a = q.x) SELECT x FROM q)) SELECT n FROM r",
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION (WITH RECURSIVE q(x) USING KEY (x) AS (
                 SELECT n FROM r UNION SELECT e.b FROM q JOIN edge e ON e.a = q.x) SELECT x FROM q)) SELECT n FROM r",
                INNER,
            ),
            Takes(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION (WITH MUTUALLY RECURSIVE q (x int) AS (
                 SELECT n FROM r UNION SELECT e.b FROM q JOIN edge e ON e.a = q.x) SELECT x FROM q)) SELECT n FROM r",
            ),
        ],
    },
    Line {
        feature: "a recursion inside it that depends on it, with an aggregate or negation in either",
        before: "",
        after: "",
        forms: [
            Refuses(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION (WITH MUTUALLY RECURSIVE q (x int) AS (
                 SELECT max(n) FROM r UNION SELECT e.b FROM q JOIN edge e ON e.a = q.x) SELECT x FROM q)) SELECT n FROM r",
                INNER,
            ),
            Refuses(
                "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT 1 UNION (WITH MUTUALLY RECURSIVE q (x int) AS (
                 SELECT max(n) FROM r UNION SELECT e.b FROM q JOIN edge e ON e.a = q.x) SELECT x FROM q)) SELECT n FROM r",
                INNER,
            ),
            Refuses(
                "WITH MUTUALLY RECURSIVE r (n int) AS (SELECT 1 UNION (WITH MUTUALLY RECURSIVE q (x int) AS (
                 SELECT max(n) FROM r UNION SELECT e.b FROM q JOIN edge e ON e.a = q.x) SELECT x FROM q)) SELECT n FROM r",
                DEPENDS,
            ),
        ],
    },
    Line {
        feature: "columns of the query around it (`LATERAL`)",
        before: "",
        after: "",
        forms: [
            Refuses(
                "SELECT c.n, s.n FROM closed c, LATERAL (WITH RECURSIVE r(n) AS (
                 SELECT c.n UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r) s",
                AROUND,
            ),
            Refuses(
                "SELECT c.n, s.n FROM closed c, LATERAL (WITH RECURSIVE r(n) USING KEY (n) AS (
                 SELECT c.n UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r) s",
                AROUND,
            ),
            Refuses(
                "SELECT c.n, s.n FROM closed c, LATERAL (WITH MUTUALLY RECURSIVE r (n int) AS (
                 SELECT c.n UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r) s",
                AROUND,
            ),
        ],
    },
    Line {
        feature: "`CREATE RECURSIVE VIEW`",
        before: "1 2 3 4",
        after: "1 2 5",
        forms: [
            Creates("CREATE RECURSIVE VIEW v (n) AS SELECT 1 UNION SELECT e.b FROM v JOIN edge e ON e.a = v.n"),
            Other,
            Other,
        ],
    },
];
