-- DNS records beside the names of peers, for who reads the tables.

CREATE TABLE records (
  id          INTEGER PRIMARY KEY NOT NULL,
  peer_id     INTEGER NOT NULL,   -- the peer that it hangs on
  name        TEXT NOT NULL,      -- relative to the network's domain
  type        TEXT NOT NULL,
  value       TEXT NOT NULL,      -- "@" in it is the peer
  changed_seq INTEGER NOT NULL
) STRICT;
