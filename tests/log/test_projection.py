"""The read models follow the network: every row as it should be, and no row written that did not change."""

from hypothesis import given, settings

from innerd.domain.network import Network
from innerd.domain.visibility import View
from innerd.log.projection import Row, Rows, everything, merge, project
from tests.log.histories import STEPS, Step, Turn, history

Tables = dict[tuple[str, int], Row]


def projected(turn: Turn) -> Rows:
    return project(View.of(turn.before), View.of(turn.after), turn.events)


def write(tables: Tables, rows: Rows) -> None:
    """What a store does with rows, in the plainest way."""
    for table, numbers in rows.deletes.items():
        for number in numbers:
            del tables[table, number]
    for table, upserts in rows.upserts.items():
        for row in upserts:
            tables[table, row[0]] = row


def naive(network: Network) -> Tables:
    """Every row from the rule's words: a peer's CIDR is the narrowest that contains its address."""
    tables: Tables = {}
    for cidr in network.cidrs.values():
        tables["cidrs", cidr.id] = (cidr.id, cidr.name, str(cidr.range), cidr.parent)
    for a in network.associations.values():
        tables["associations", a.id] = (a.id, a.cidr_id_1, a.cidr_id_2)
    for peers, retired in ((network.peers, 0), (network.retired, 1)):
        for p in peers.values():
            around = [cidr for cidr in network.cidrs.values() if p.ip in cidr.range]
            narrowest = min(around, key=lambda cidr: cidr.range.num_addresses)
            tables["peers", p.id] = (
                *(p.id, p.name, str(p.ip), narrowest.id, p.public_key),
                *(int(p.is_admin), int(p.is_redeemed), int(p.is_disabled), retired, p.invite_expires, p.endpoint),
            )
    return tables


def without_seq(tables: Tables) -> Tables:
    return {key: row[:-1] for key, row in tables.items()}


@settings(deadline=None, max_examples=120)
@given(STEPS)
def test_rows_written_along_the_way_are_the_rows_of_the_network(steps: list[Step]) -> None:
    tables: Tables = {}
    for turn in history(steps):
        write(tables, projected(turn))
        assert without_seq(tables) == naive(turn.after)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_rebuild_makes_the_same_rows(steps: list[Step]) -> None:
    network = list(history(steps))[-1].after
    made = list(everything(View.of(network)))
    assert {(table, row[0]): row for table, row in made} == naive(network)
    assert len(made) == len(naive(network))


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_a_row_is_written_only_when_it_changed_and_says_when(steps: list[Step]) -> None:
    for turn in history(steps):
        rows, before, after = projected(turn), naive(turn.before), naive(turn.after)
        written = {(table, row[0]): row for table, upserts in rows.upserts.items() for row in upserts}
        assert set(written) == {key for key in after if after[key] != before.get(key)}
        assert all(row[-1] == turn.after.revision for row in written.values())
        deleted = {(table, number) for table, numbers in rows.deletes.items() for number in numbers}
        assert deleted == set(before) - set(after)


@settings(deadline=None, max_examples=80)
@given(STEPS)
def test_merged_rows_do_what_one_after_the_other_does(steps: list[Step]) -> None:
    turns = list(history(steps))
    one_by_one: Tables = {}
    write(one_by_one, projected(turns[0]))
    together = dict(one_by_one)
    for turn in turns[1:]:
        write(one_by_one, projected(turn))
    merged = merge(projected(turn) for turn in turns[1:])
    for table, numbers in merged.deletes.items():
        for number in numbers:  # what came and went within the batch was never there
            together.pop((table, number), None)
    write(together, Rows(merged.upserts))
    assert together == one_by_one


def test_the_last_word_on_a_row_counts() -> None:
    came, changed = Rows({"cidrs": [(3, "a", "x", 1, 5)]}), Rows({"cidrs": [(3, "b", "x", 1, 6)]})
    gone, back = Rows({}, {"cidrs": [3]}), Rows({"cidrs": [(3, "c", "x", 1, 8)]})
    assert merge([came, changed]) == changed
    assert merge([came, changed, gone]) == gone
    assert merge([came, gone, back]) == back
    assert merge([]) == Rows()
