-- What a peer says that it runs: its program and release.

ALTER TABLE seen ADD COLUMN software TEXT;  -- such as inn/0.1.0
