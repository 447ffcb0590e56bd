"""A network in memory on a clock that jumps: the real server core, many real client cores, and the weather between
them. `make sim PEERS=1000 MINUTES=10 SEED=7` lives a life; the same seed lives it again."""
