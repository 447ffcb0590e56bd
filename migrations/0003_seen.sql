-- What was seen of peers, so that a coordinator that starts anew knows it still: no events, and nothing of the log.

CREATE TABLE seen (
  peer_id    INTEGER PRIMARY KEY NOT NULL,
  endpoint   TEXT,               -- where the coordinator's device saw it last
  handshake  REAL,               -- seconds since 1970
  is_proven  INTEGER NOT NULL,   -- whether it has shown a proof of its key: it runs inn
  applied    INTEGER,            -- the revision of its last receipt
  applied_at REAL                -- seconds since 1970
) STRICT;
