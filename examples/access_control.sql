-- Access control: who can read what, with groups in groups and folders in folders.
--
--     cargo run --bin refrain -- -f examples/access_control.sql
--
-- A company keeps its permissions as relation tuples, in the manner of Google's Zanzibar: an object, a relation, and a subject that is
-- a user, such as user:ann, or everybody who has a relation to another object, such as group:backend#member. "Who can read this?"
-- must be answered at once, and a membership that is revoked must not live on anywhere. The view is the answer, kept up to date.

\echo === 1. Tuples: groups in groups (in a circle, as it happens), documents in folders, viewers, editors, and one exception.
CREATE TABLE tuple (object text NOT NULL, relation text NOT NULL, subject text NOT NULL);
INSERT INTO tuple VALUES
    ('group:engineering', 'member', 'group:backend#member'),
    ('group:backend', 'member', 'group:oncall#member'),
    ('group:oncall', 'member', 'group:engineering#member'),
    ('group:engineering', 'member', 'user:eve'),
    ('group:backend', 'member', 'user:ben'),
    ('group:oncall', 'member', 'user:ann'),
    ('group:board', 'member', 'user:zoe'),
    ('folder:company', 'viewer', 'group:board#member'),
    ('folder:plans', 'parent', 'folder:company'),
    ('folder:plans', 'viewer', 'group:engineering#member'),
    ('doc:roadmap', 'parent', 'folder:plans'),
    ('doc:roadmap', 'editor', 'user:dan'),
    ('doc:layoffs', 'parent', 'folder:plans'),
    ('doc:layoffs', 'blocked', 'group:backend#member'),
    ('doc:salaries', 'parent', 'folder:company');

-- What a subject has on an object. The rules use the relation twice over: who is granted something as a set, and who is in the set.
CREATE MATERIALIZED VIEW holds AS
WITH MUTUALLY RECURSIVE
    h (object text, relation text, subject text) AS (
        SELECT object, relation, subject FROM tuple WHERE relation <> 'parent'
        UNION
        -- Who may edit may read.
        SELECT object, 'viewer', subject FROM h WHERE relation = 'editor'
        UNION
        -- What a set of subjects has, all in it have.
        SELECT granted.object, granted.relation, inside.subject
        FROM h granted JOIN h inside ON granted.subject = inside.object || '#' || inside.relation
        UNION
        -- What is in a folder is as the folder is.
        SELECT t.object, above.relation, above.subject
        FROM tuple t JOIN h above ON above.object = t.subject
        WHERE t.relation = 'parent' AND above.relation IN ('viewer', 'editor', 'blocked')
    )
SELECT object, relation, subject FROM h;

CREATE MATERIALIZED VIEW can_read AS
SELECT subject AS person, object FROM holds
WHERE relation = 'viewer' AND subject LIKE 'user:%' AND object LIKE 'doc:%'
EXCEPT
SELECT subject, object FROM holds WHERE relation = 'blocked';

SELECT object, string_agg(person, ' ' ORDER BY person) AS readers FROM can_read GROUP BY object ORDER BY object;

\echo
\echo === 2. Ann leaves the on-call rota, her only way in. The circle of groups does not remember her.
DELETE FROM tuple WHERE object = 'group:oncall' AND subject = 'user:ann';
SELECT object, string_agg(person, ' ' ORDER BY person) AS readers FROM can_read GROUP BY object ORDER BY object;
SELECT count(*) AS left_of_ann FROM holds WHERE subject = 'user:ann';

\echo
\echo === 3. The circle is opened: being in engineering no longer puts you on call, so Eve is blocked from nothing.
DELETE FROM tuple WHERE object = 'group:oncall' AND subject = 'group:engineering#member';
SELECT object, string_agg(person, ' ' ORDER BY person) AS readers FROM can_read GROUP BY object ORDER BY object;

\echo
\echo === 4. The plans move out of the company folder, and Dan edits the whole of the new one.
CHECKPOINT;
UPDATE tuple SET subject = 'folder:drafts' WHERE object = 'folder:plans' AND relation = 'parent';
INSERT INTO tuple VALUES ('folder:drafts', 'editor', 'user:dan');
SELECT object, string_agg(person, ' ' ORDER BY person) AS readers FROM can_read GROUP BY object ORDER BY object;
