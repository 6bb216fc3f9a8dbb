-- Accounts that make a database as large as one in use: 20 todos a user, in two lists, with their change log, sessions and
-- audit. Titles and notes are words drawn at random, so that a backup compresses as little as real text would.
\set users :todos / 20
BEGIN;
SELECT setseed(0.5) AS ignored \gset

CREATE TEMPORARY TABLE words AS
SELECT ordinality AS n, word FROM unnest(string_to_array(
    'buy call write read send check book plan clean fix pay order print sign visit milk bread report invoice ticket garden kitchen window '
    'letter doctor dentist school meeting budget contract flight hotel train car bicycle insurance tax birthday present photo garage '
    'before after tomorrow monday friday evening quickly carefully with without for about from together again finally remember', ' '))
    WITH ORDINALITY AS listed (word, ordinality);

-- `salt` makes each call another one; without it the planner would draw once for all rows.
CREATE FUNCTION pg_temp.text_of(count INTEGER, salt BIGINT) RETURNS TEXT LANGUAGE SQL VOLATILE AS $$
    SELECT string_agg(word, ' ' ORDER BY random()) FROM (SELECT 1 + floor(random() * 58)::BIGINT AS pick FROM generate_series(1, count + salt * 0)) drawn
      JOIN words ON n = pick
$$;

INSERT INTO users (id, email, password_hash, display_name, time_zone, change_seq, created_at, updated_at)
SELECT gen_random_uuid(), 'seed-' || n || '@example.org',
       '$argon2id$v=19$m=19456,t=2,p=1$' || encode(sha256(('salt' || n)::BYTEA), 'base64') || '$' || encode(sha256(('hash' || n)::BYTEA), 'base64'),
       'Seed ' || n, 'Europe/Berlin', 22, now(), now()
  FROM generate_series(1, :users) n;

INSERT INTO lists (id, owner_id, name, inbox, created_at, updated_at)
SELECT gen_random_uuid(), id, CASE WHEN n = 1 THEN 'Inbox' ELSE 'Home' END, n = 1, now(), now()
  FROM users, generate_series(1, 2) n WHERE email LIKE 'seed-%';
INSERT INTO list_members (list_id, user_id, role, created_at)
SELECT l.id, owner_id, 'owner', now() FROM lists l JOIN users u ON u.id = owner_id WHERE email LIKE 'seed-%';

INSERT INTO todos (id, list_id, title, notes, position, created_at, updated_at, title_words, notes_words)
SELECT gen_random_uuid(), list_id, title, notes, lpad(n::TEXT, 6, '0'), at, at, to_tsvector('simple', title), to_tsvector('simple', notes)
  FROM (SELECT l.id AS list_id, n, now() - random() * INTERVAL '300 days' AS at, pg_temp.text_of(6, n) AS title, pg_temp.text_of(25, n) AS notes
          FROM lists l JOIN users u ON u.id = owner_id, generate_series(1, 10) n WHERE email LIKE 'seed-%') made;

INSERT INTO changes (user_id, seq, entity, entity_id, op, at)
SELECT owner_id, row_number() OVER (PARTITION BY owner_id), entity, made.id, 'upsert', now()
  FROM (SELECT owner_id, 'list' AS entity, id FROM lists UNION ALL SELECT owner_id, 'todo', t.id FROM todos t JOIN lists l ON l.id = list_id) made
  JOIN users u ON u.id = owner_id WHERE email LIKE 'seed-%';

INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at)
SELECT gen_random_uuid(), id, now(), now(), now() + INTERVAL '30 days' FROM users WHERE email LIKE 'seed-%';
INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at)
SELECT sha256((s.id::TEXT || n)::BYTEA), s.id, now(), s.expires_at FROM sessions s JOIN users u ON u.id = user_id, generate_series(1, 5) n WHERE email LIKE 'seed-%';
INSERT INTO audit (id, user_id, event, at)
SELECT gen_random_uuid(), id, 'login', now() FROM users, generate_series(1, 5) WHERE email LIKE 'seed-%';
COMMIT;
ANALYZE users, lists, list_members, todos, changes, sessions, refresh_tokens, audit;
