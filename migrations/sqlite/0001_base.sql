-- Base schema, SQLite. migrations/postgres/0001_base.sql is its twin: same version, same names, same rules.
--
-- Keys are UUIDv7 made by the API (16 bytes), so they sort by creation and double as the tie-breaker of every page.
-- Times are RFC 3339 text in UTC, microseconds, which sorts as time does. Words and tags are JSON arrays.
-- What must always hold stands here as a constraint; the API checks first only to answer more kindly.

CREATE TABLE users (
    id            BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    email         TEXT NOT NULL UNIQUE, -- stored case-folded: unique whatever the case typed
    password_hash TEXT NOT NULL,
    display_name  TEXT NOT NULL CHECK (length(display_name) <= 200),
    time_zone     TEXT NOT NULL,
    change_seq    INTEGER NOT NULL DEFAULT 0 CHECK (change_seq >= 0), -- last number given out in `changes`; its row lock orders commits
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
) STRICT;

-- A session is active while its row exists; ending one deletes the row and, with it, its refresh tokens.
CREATE TABLE sessions (
    id           BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id      BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    device_name  TEXT CHECK (length(device_name) <= 200),
    created_at   TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    expires_at   TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash        BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256: a stolen table opens nothing
    session_id  BLOB NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at  TEXT NOT NULL,
    expires_at  TEXT NOT NULL,
    consumed_at TEXT,
    parent      BLOB -- the token it was made of: two tabs may both be given a child of the same one
) STRICT;
CREATE INDEX refresh_tokens_parent ON refresh_tokens (parent);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE signing_keys (
    kid          TEXT NOT NULL PRIMARY KEY,
    public_key   BLOB NOT NULL,
    sealed_key   BLOB NOT NULL, -- private part, sealed under the key ring
    ring_version INTEGER NOT NULL,
    created_at   TEXT NOT NULL,
    activates_at TEXT NOT NULL -- until then published only; the older ones retire at that time
) STRICT;

CREATE TABLE lists (
    id         BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    owner_id   BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    color      TEXT CHECK (color GLOB '#[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    inbox      INTEGER NOT NULL DEFAULT 0 CHECK (inbox IN (0, 1)),
    version    INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    deleted_at TEXT,
    CHECK (NOT (inbox AND deleted_at IS NOT NULL))
) STRICT;
CREATE INDEX lists_owner ON lists (owner_id);
CREATE UNIQUE INDEX lists_inbox ON lists (owner_id) WHERE inbox;
CREATE INDEX lists_trash ON lists (deleted_at) WHERE deleted_at IS NOT NULL;

-- Authorization is a join through this table; the owner has a row as well.
CREATE TABLE list_members (
    list_id    BLOB NOT NULL REFERENCES lists ON DELETE CASCADE,
    user_id    BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    created_at TEXT NOT NULL,
    PRIMARY KEY (list_id, user_id)
) STRICT;
CREATE INDEX list_members_user ON list_members (user_id, list_id);
CREATE UNIQUE INDEX list_members_owner ON list_members (list_id) WHERE role = 'owner';

-- Tags live in their todo's row: they are read and written with it and with nothing else.
CREATE TABLE todos (
    id           BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    list_id      BLOB NOT NULL REFERENCES lists ON DELETE CASCADE,
    title        TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 500),
    notes        TEXT NOT NULL DEFAULT '' CHECK (length(notes) <= 10000),
    status       TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done')),
    completed_at TEXT,
    priority     INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 3), -- none, low, medium, high
    due_at       TEXT CHECK (due_at < '9999-12-31T00:00:00+00:00'),
    due_zone     TEXT,
    recurrence   TEXT CHECK (octet_length(recurrence) <= 500),
    tags         TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags) AND json_type(tags) = 'array' AND json_array_length(tags) <= 20),
    position     TEXT NOT NULL CHECK (octet_length(position) BETWEEN 1 AND 200),
    version      INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    created_at   TEXT NOT NULL,
    updated_at   TEXT NOT NULL,
    deleted_at   TEXT,
    -- Sort key of `due_at`: no date is the latest date, so that keyset pages never compare with NULL.
    due_key      TEXT NOT NULL GENERATED ALWAYS AS (COALESCE(due_at, '9999-12-31T00:00:00+00:00')) STORED,
    -- Words of title and notes, folded and split by the API, so that both engines find the same.
    title_words  TEXT NOT NULL CHECK (json_valid(title_words)),
    notes_words  TEXT NOT NULL CHECK (json_valid(notes_words)),
    -- The todo that followed when this one, which recurs, was completed: there is one, however often it is reopened.
    successor_id BLOB,
    CHECK ((status = 'done') = (completed_at IS NOT NULL)),
    CHECK (recurrence IS NULL OR due_at IS NOT NULL)
) STRICT;
-- One index for each sort of a list; the id makes every order total.
CREATE INDEX todos_by_position ON todos (list_id, position, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_due ON todos (list_id, due_key, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_created ON todos (list_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_updated ON todos (list_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_priority ON todos (list_id, priority, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_trash_of_list ON todos (list_id, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX todos_trash ON todos (deleted_at) WHERE deleted_at IS NOT NULL;

-- One row per recipient of every write, in the write's own transaction. `seq` is dense per user.
CREATE TABLE changes (
    user_id      BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    seq          INTEGER NOT NULL CHECK (seq >= 1),
    entity       TEXT NOT NULL CHECK (entity IN ('list', 'todo', 'user', 'session', 'token')),
    entity_id    BLOB NOT NULL,
    op           TEXT NOT NULL CHECK (op IN ('upsert', 'delete')),
    at           TEXT NOT NULL,
    published_at TEXT, -- set by the relay: the table is the outbox too
    PRIMARY KEY (user_id, seq)
) STRICT;
CREATE INDEX changes_unpublished ON changes (at, user_id, seq) WHERE published_at IS NULL;

CREATE TABLE idempotency_keys (
    user_id     BLOB NOT NULL REFERENCES users ON DELETE CASCADE,
    key         TEXT NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32), -- SHA-256 of method, path and body
    status      INTEGER NOT NULL CHECK (status BETWEEN 200 AND 499),
    headers     TEXT NOT NULL,
    body        BLOB NOT NULL,
    created_at  TEXT NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Who did what, with opaque ids only. No foreign keys: an event outlives what it speaks of.
CREATE TABLE audit (
    id         BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user_id    BLOB,
    session_id BLOB,
    event      TEXT NOT NULL CHECK (length(event) BETWEEN 1 AND 64),
    request_id TEXT CHECK (length(request_id) <= 64),
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX audit_user ON audit (user_id, id);
