"""Labs for tests: hosts in network namespaces. Without root there is nothing to run, and that is an error, not a skip:
a suite that leaves its tunnels out has not passed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.netns import steps
from tests.netns.lab import Host, Lab, lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder makes namespaces."""
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("interop"):
            item.add_marker(pytest.mark.netns)


@pytest.fixture
def empty_lab() -> Iterator[Lab]:
    with lab() as made:
        yield made


class Kermpany:
    """A network with its coordinator and hosts. Ranges depend on the family; names don't."""

    def __init__(self, made: Lab, family: int) -> None:
        self.lab = made
        self.root, self.humans, self.ovens, self.cats, self.api = {
            4: ("10.42.0.0/16", "10.42.128.0/17", "10.42.64.0/24", "10.42.3.0/24", "10.42.0.1"),
            6: ("fd42::/48", "fd42:0:0:1::/64", "fd42:0:0:2::/64", "fd42:0:0:3::/64", "fd42::1"),
        }[family]
        self.coordinator = made.host("coordinator")

    @property
    def hosts(self) -> dict[str, Host]:
        return self.lab.hosts

    def innerd(self, verb: str, *rest: str) -> str:
        return self.coordinator.run("innerd", verb, steps.NETWORK, *rest)

    def begin(self) -> None:
        """Founded, served, with its three CIDRs."""
        steps.found(self.coordinator, self.root)
        for name, cidr in (("humans", self.humans), ("ovens", self.ovens), ("cats", self.cats)):
            self.innerd("add-cidr", "--name", name, "--cidr", cidr, "--parent", steps.NETWORK)
        steps.serve(self.coordinator)

    def join(self, name: str, cidr: str, *flags: str) -> Host:
        """A new host that is a peer, its agent connected."""
        host = self.lab.host(name)
        steps.join(host, steps.invite(self.coordinator, "innerd", name, cidr, *flags))
        return host

    def name(self, peer: str) -> str:
        return f"{peer}.{steps.NETWORK}.wg"


@pytest.fixture
def kermpany(empty_lab: Lab) -> Kermpany:
    """A network being served, without peers."""
    made = Kermpany(empty_lab, 4)
    made.begin()
    return made


@pytest.fixture(scope="module")
def make_lab() -> Iterator[Callable[[], Lab]]:
    """Labs that last as long as a module's tests."""
    made: list[Lab] = []

    def make() -> Lab:
        made.append(Lab())
        return made[-1]

    yield make
    for each in made:
        each.end()
