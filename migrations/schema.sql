-- What the migrations add up to: the readable truth, compared with them by a test.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row an event. `record` is the whole envelope as it was written, and what is hashed; the other readable
-- columns are generated from it, so they can't disagree.
CREATE TABLE events (
  seq     INTEGER PRIMARY KEY NOT NULL,
  record  TEXT NOT NULL CHECK (json_valid(record)),
  salt    BLOB NOT NULL CHECK (length(salt) = 16),
  chain   BLOB NOT NULL CHECK (length(chain) = 32),
  type    TEXT GENERATED ALWAYS AS (record ->> '$.type') VIRTUAL,
  subject TEXT GENERATED ALWAYS AS (record ->> '$.subject') VIRTUAL,
  at      TEXT GENERATED ALWAYS AS (record ->> '$.at') VIRTUAL,
  actor   TEXT GENERATED ALWAYS AS (record ->> '$.actor') VIRTUAL
) STRICT;

CREATE INDEX events_by_type ON events (type, seq);
CREATE INDEX events_by_subject ON events (subject, seq);
CREATE INDEX events_by_at ON events (at, seq);
CREATE INDEX events_by_actor ON events (actor, type, seq);

CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are immutable'); END;

CREATE TRIGGER events_never_vanish BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are immutable'); END;

CREATE TRIGGER events_go_on_where_they_end BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'events have no gaps, and none is written again'); END;

-- The answers of successful commands, so that a retry gets the first one (kept for 7 days).
CREATE TABLE commands (
  actor  TEXT NOT NULL,
  id     TEXT NOT NULL,
  digest BLOB NOT NULL,   -- of what was asked: another question under the same id is refused
  status INTEGER NOT NULL,
  result BLOB NOT NULL,
  at     INTEGER NOT NULL, -- seconds since 1970
  PRIMARY KEY (actor, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX commands_by_at ON commands (at);

-- Read models: written in the same transaction as the events they follow from, made anew by `innerd rebuild`.
-- `changed_seq` is the revision of the row's last change.
CREATE TABLE cidrs (
  id          INTEGER PRIMARY KEY NOT NULL,
  name        TEXT NOT NULL UNIQUE,
  cidr        TEXT NOT NULL UNIQUE,
  parent      INTEGER,
  changed_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE peers (
  id             INTEGER PRIMARY KEY NOT NULL,
  name           TEXT NOT NULL,
  ip             TEXT NOT NULL UNIQUE,
  cidr_id        INTEGER NOT NULL,   -- the narrowest CIDR that contains ip
  public_key     TEXT NOT NULL UNIQUE,
  is_admin       INTEGER NOT NULL,
  is_redeemed    INTEGER NOT NULL,
  is_disabled    INTEGER NOT NULL,
  is_retired     INTEGER NOT NULL,
  invite_expires INTEGER,            -- seconds since 1970
  endpoint       TEXT,               -- an override, not what was observed
  changed_seq    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX peers_live_names ON peers (name) WHERE is_retired = 0;
CREATE INDEX peers_by_cidr ON peers (cidr_id);

CREATE TABLE associations (
  id          INTEGER PRIMARY KEY NOT NULL,
  cidr_id_1   INTEGER NOT NULL,
  cidr_id_2   INTEGER NOT NULL,
  changed_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE records (
  id          INTEGER PRIMARY KEY NOT NULL,
  peer_id     INTEGER NOT NULL,   -- the peer that it hangs on
  name        TEXT NOT NULL,      -- relative to the network's domain
  type        TEXT NOT NULL,
  value       TEXT NOT NULL,      -- "@" in it is the peer
  changed_seq INTEGER NOT NULL
) STRICT;

-- What was seen of peers, so that a coordinator that starts anew knows it still: no events, and nothing of the log.
CREATE TABLE seen (
  peer_id    INTEGER PRIMARY KEY NOT NULL,
  endpoint   TEXT,               -- where the coordinator's device saw it last
  handshake  REAL,               -- seconds since 1970
  is_proven  INTEGER NOT NULL,   -- whether it has shown a proof of its key: it runs inn
  applied    INTEGER,            -- the revision of its last receipt
  applied_at REAL,               -- seconds since 1970
  software   TEXT                -- what it says that it runs, such as inn/0.1.0
) STRICT;

-- The audit trail for people who bring their own SQL.
CREATE VIEW audit AS
SELECT seq,
       at,
       actor,
       record ->> '$.origin'  AS origin,
       type,
       subject,
       record -> '$.data'     AS data,
       record ->> '$.request' AS request,
       lower(hex(chain))      AS chain
FROM events;
