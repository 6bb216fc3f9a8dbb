-- Gives todos the content that they had in a backup, without touching anything else: for bad data, when going back as a
-- whole would lose too much. The backup is restored into a database of its own, and its todos come on standard input:
--   psql -d todo_before -c 'COPY todos TO STDOUT' |
--       psql --quiet -d todo --set ON_ERROR_STOP=1 --set which="u.email = 'ada@example.org'" --file deploy/backup/return-todos.sql
-- `which` says whose or which: a condition on the todo of the backup `b`, its list `l` and the list's owner `u`.
-- It writes as the API does: a new version for each todo, and a row in `changes` for everybody who sees it, numbered
-- without a gap under the lock of the user's row. Todos whose list is gone for good are left out.
BEGIN;
SET LOCAL lock_timeout = '30s';
CREATE TEMPORARY TABLE before (LIKE todos INCLUDING GENERATED) ON COMMIT DROP;
\copy before FROM pstdin

CREATE TEMPORARY TABLE wrong ON COMMIT DROP AS
SELECT b.* FROM before b JOIN lists l ON l.id = b.list_id JOIN users u ON u.id = l.owner_id LEFT JOIN todos t ON t.id = b.id
 WHERE (:which)
   AND (t.id IS NULL
        OR (b.list_id, b.title, b.notes, b.status, b.completed_at, b.priority, b.due_at, b.due_zone, b.recurrence, b.tags, b.position, b.deleted_at)
           IS DISTINCT FROM
           (t.list_id, t.title, t.notes, t.status, t.completed_at, t.priority, t.due_at, t.due_zone, t.recurrence, t.tags, t.position, t.deleted_at));

-- Who sees the list it goes back to, and who sees the one it is in now.
CREATE TEMPORARY TABLE recipients ON COMMIT DROP AS
SELECT DISTINCT user_id, w.id AS todo_id FROM wrong w LEFT JOIN todos t ON t.id = w.id JOIN list_members m ON m.list_id IN (w.list_id, t.list_id);
-- Locked in the order in which the API locks: what writes meanwhile waits, and nobody waits in a circle.
SELECT count(*) AS users FROM (SELECT id FROM users WHERE id IN (SELECT user_id FROM recipients) ORDER BY id FOR UPDATE) locked \gset

INSERT INTO todos AS t (id, list_id, title, notes, status, completed_at, priority, due_at, due_zone, recurrence, tags, position, version, created_at,
                        updated_at, deleted_at, title_words, notes_words, successor_id)
SELECT id, list_id, title, notes, status, completed_at, priority, due_at, due_zone, recurrence, tags, position, version + 1, created_at,
       now(), deleted_at, title_words, notes_words, successor_id
  FROM wrong
    ON CONFLICT (id) DO UPDATE SET
       (list_id, title, notes, status, completed_at, priority, due_at, due_zone, recurrence, tags, position, version, updated_at, deleted_at,
        title_words, notes_words, successor_id)
       = (EXCLUDED.list_id, EXCLUDED.title, EXCLUDED.notes, EXCLUDED.status, EXCLUDED.completed_at, EXCLUDED.priority, EXCLUDED.due_at,
          EXCLUDED.due_zone, EXCLUDED.recurrence, EXCLUDED.tags, EXCLUDED.position, greatest(t.version + 1, EXCLUDED.version), EXCLUDED.updated_at,
          EXCLUDED.deleted_at, EXCLUDED.title_words, EXCLUDED.notes_words, EXCLUDED.successor_id);

INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
SELECT user_id, change_seq + row_number() OVER (PARTITION BY user_id ORDER BY todo_id), 'todo', todo_id, 'upsert', now()
  FROM recipients JOIN users ON users.id = user_id;
UPDATE users SET change_seq = change_seq + n FROM (SELECT user_id, count(*) AS n FROM recipients GROUP BY user_id) counted WHERE id = user_id;

SELECT count(*) AS returned FROM wrong \gset
COMMIT;
\echo return-todos: :returned todos, seen by :users users, are as they were in the backup
