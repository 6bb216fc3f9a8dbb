-- Base schema, PostgreSQL. migrations/sqlite/0001_base.sql is its twin: same version, same names, same rules.
--
-- Keys are UUIDv7 made by the API, so they sort by creation and double as the tie-breaker of every page.
-- What must always hold stands here as a constraint; the API checks first only to answer more kindly.

CREATE TABLE users (
    id            UUID PRIMARY KEY,
    email         TEXT COLLATE "C" NOT NULL UNIQUE, -- stored case-folded: unique whatever the case typed
    password_hash TEXT NOT NULL,
    display_name  TEXT NOT NULL CHECK (char_length(display_name) <= 200),
    time_zone     TEXT NOT NULL,
    change_seq    BIGINT NOT NULL DEFAULT 0 CHECK (change_seq >= 0), -- last number given out in `changes`; its row lock orders commits
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL
);

-- A session is active while its row exists; ending one deletes the row and, with it, its refresh tokens.
CREATE TABLE sessions (
    id           UUID PRIMARY KEY,
    user_id      UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    device_name  TEXT CHECK (char_length(device_name) <= 200),
    created_at   TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash        BYTEA PRIMARY KEY CHECK (octet_length(hash) = 32), -- SHA-256: a stolen table opens nothing
    session_id  UUID NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at  TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    consumed_at TIMESTAMPTZ,
    parent      BYTEA -- the token it was made of: two tabs may both be given a child of the same one
);
CREATE INDEX refresh_tokens_parent ON refresh_tokens (parent);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE signing_keys (
    kid          TEXT PRIMARY KEY,
    public_key   BYTEA NOT NULL,
    sealed_key   BYTEA NOT NULL, -- private part, sealed under the key ring
    ring_version INTEGER NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    activates_at TIMESTAMPTZ NOT NULL -- until then published only; the older ones retire at that time
);

CREATE TABLE lists (
    id         UUID PRIMARY KEY,
    owner_id   UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    name       TEXT NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    color      TEXT CHECK (color ~ '^#[0-9a-f]{6}$'),
    inbox      BOOLEAN NOT NULL DEFAULT FALSE,
    version    BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    CHECK (NOT (inbox AND deleted_at IS NOT NULL))
);
CREATE INDEX lists_owner ON lists (owner_id);
CREATE UNIQUE INDEX lists_inbox ON lists (owner_id) WHERE inbox;
CREATE INDEX lists_trash ON lists (deleted_at) WHERE deleted_at IS NOT NULL;

-- Authorization is a join through this table; the owner has a row as well.
CREATE TABLE list_members (
    list_id    UUID NOT NULL REFERENCES lists ON DELETE CASCADE,
    user_id    UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'editor', 'viewer')),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (list_id, user_id)
);
CREATE INDEX list_members_user ON list_members (user_id, list_id) INCLUDE (role);
CREATE UNIQUE INDEX list_members_owner ON list_members (list_id) WHERE role = 'owner';

-- Tags live in their todo's row: they are read and written with it and with nothing else.
CREATE TABLE todos (
    id           UUID PRIMARY KEY,
    list_id      UUID NOT NULL REFERENCES lists ON DELETE CASCADE,
    title        TEXT NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    notes        TEXT NOT NULL DEFAULT '' CHECK (char_length(notes) <= 10000),
    status       TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done')),
    completed_at TIMESTAMPTZ,
    priority     SMALLINT NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 3), -- none, low, medium, high
    due_at       TIMESTAMPTZ CHECK (due_at < TIMESTAMPTZ '9999-12-31 00:00:00+00'),
    due_zone     TEXT,
    recurrence   TEXT CHECK (octet_length(recurrence) <= 500),
    tags         JSONB NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(tags) = 'array' AND jsonb_array_length(tags) <= 20),
    position     TEXT COLLATE "C" NOT NULL CHECK (octet_length(position) BETWEEN 1 AND 200),
    version      BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
    deleted_at   TIMESTAMPTZ,
    -- Sort key of `due_at`: no date is the latest date, so that keyset pages never compare with NULL.
    due_key      TIMESTAMPTZ NOT NULL GENERATED ALWAYS AS (COALESCE(due_at, TIMESTAMPTZ '9999-12-31 00:00:00+00')) STORED,
    -- Words of title and notes, folded and split by the API, so that both engines find the same.
    title_words  TSVECTOR NOT NULL,
    notes_words  TSVECTOR NOT NULL,
    -- The todo that followed when this one, which recurs, was completed: there is one, however often it is reopened.
    successor_id UUID,
    CHECK ((status = 'done') = (completed_at IS NOT NULL)),
    CHECK (recurrence IS NULL OR due_at IS NOT NULL)
);
-- One index for each sort of a list; the id makes every order total.
CREATE INDEX todos_by_position ON todos (list_id, position, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_due ON todos (list_id, due_key, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_created ON todos (list_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_updated ON todos (list_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_by_priority ON todos (list_id, priority, id) WHERE deleted_at IS NULL;
CREATE INDEX todos_trash_of_list ON todos (list_id, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX todos_trash ON todos (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX todos_words ON todos USING GIN ((title_words || notes_words));

-- One row per recipient of every write, in the write's own transaction. `seq` is dense per user.
CREATE TABLE changes (
    user_id      UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    seq          BIGINT NOT NULL CHECK (seq >= 1),
    entity       TEXT NOT NULL CHECK (entity IN ('list', 'todo', 'user', 'session', 'token')),
    entity_id    UUID NOT NULL,
    op           TEXT NOT NULL CHECK (op IN ('upsert', 'delete')),
    at           TIMESTAMPTZ NOT NULL,
    published_at TIMESTAMPTZ, -- set by the relay: the table is the outbox too
    PRIMARY KEY (user_id, seq)
);
CREATE INDEX changes_unpublished ON changes (at, user_id, seq) WHERE published_at IS NULL;

CREATE TABLE idempotency_keys (
    user_id     UUID NOT NULL REFERENCES users ON DELETE CASCADE,
    key         TEXT COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    fingerprint BYTEA NOT NULL CHECK (octet_length(fingerprint) = 32), -- SHA-256 of method, path and body
    status      SMALLINT NOT NULL CHECK (status BETWEEN 200 AND 499),
    headers     JSONB NOT NULL,
    body        BYTEA NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Who did what, with opaque ids only. No foreign keys: an event outlives what it speaks of.
CREATE TABLE audit (
    id         UUID PRIMARY KEY,
    user_id    UUID,
    session_id UUID,
    event      TEXT NOT NULL CHECK (char_length(event) BETWEEN 1 AND 64),
    request_id TEXT CHECK (char_length(request_id) <= 64),
    at         TIMESTAMPTZ NOT NULL
);
CREATE INDEX audit_user ON audit (user_id, id);
