"""`/openapi.json`: a description that names every route, so that a program can be written from it alone."""

import re
from typing import Any

import pytest

from tests.api.asking import ask
from tests.world import World

# Written down again on purpose: what the contract promises, not what the code has.
PROMISED = {
    ("get", "/v1/user/state"),
    ("get", "/v1/user/capabilities"),
    ("get", "/v1/user/events"),
    ("post", "/v1/user/redeem"),
    ("put", "/v1/user/endpoint"),
    ("put", "/v1/user/candidates"),
    ("put", "/v1/user/applied"),
    ("get", "/v1/admin/peers"),
    ("post", "/v1/admin/peers"),
    ("put", "/v1/admin/peers/{id}"),
    ("delete", "/v1/admin/peers/{id}"),
    ("post", "/v1/admin/peers/{id}/reissue"),
    ("get", "/v1/admin/cidrs"),
    ("post", "/v1/admin/cidrs"),
    ("put", "/v1/admin/cidrs/{id}"),
    ("delete", "/v1/admin/cidrs/{id}"),
    ("get", "/v1/admin/associations"),
    ("post", "/v1/admin/associations"),
    ("delete", "/v1/admin/associations/{id}"),
    ("get", "/v1/admin/events"),
    ("get", "/v1/admin/convergence"),
    ("get", "/v1/why"),
    ("get", "/v1/network"),
    ("get", "/metrics"),
    ("get", "/healthz"),
}


@pytest.fixture
async def description(w: World) -> dict[str, Any]:
    answer = await ask(w, "127.42.9.9", "GET", "/openapi.json", server_key=None)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json()
    return found


def operations(description: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method in ("get", "put", "post", "delete", "patch")
    }


async def test_it_is_openapi_3_with_a_title_and_a_version(description: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.[01]\.\d+", description["openapi"])
    assert description["info"]["title"] == "innerd"
    assert description["info"]["version"]


async def test_it_has_every_route_that_the_contract_promises(description: dict[str, Any]) -> None:
    assert PROMISED - set(operations(description)) == set()


async def test_every_operation_has_an_id_of_its_own_a_summary_and_answers(description: dict[str, Any]) -> None:
    found = operations(description)
    ids = [operation["operationId"] for operation in found.values()]
    assert len(set(ids)) == len(ids)
    for place, operation in found.items():
        assert operation["summary"], place
        assert all(re.fullmatch(r"[1-5]\d\d|default", status) for status in operation["responses"]), place
        assert any(status.startswith("2") for status in operation["responses"]), place


async def test_what_is_answered_empty_is_described_as_204(description: dict[str, Any]) -> None:
    found = operations(description)
    for place in (("delete", "/v1/admin/peers/{id}"), ("post", "/v1/user/redeem"), ("put", "/v1/user/candidates")):
        assert "204" in found[place]["responses"]
        assert "200" not in found[place]["responses"]
    assert "201" in found["post", "/v1/admin/peers"]["responses"]


async def test_every_reference_leads_somewhere(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    references = set(re.findall(r"'\$ref': '([^']*)'", str(description)))
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)


async def test_every_operation_with_an_id_in_its_path_declares_it(description: dict[str, Any]) -> None:
    for (method, path), operation in operations(description).items():
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), (method, path)


async def test_bodies_are_described_with_their_required_fields(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert set(schemas["PeerContents"]["required"]) == {
        "name",
        "cidr_id",
        "public_key",
        "is_admin",
        "is_disabled",
        "is_redeemed",
    }
    bare = ("AllowRelay", "Rebuild", "WriteConfig")
    for (method, path), operation in operations(description).items():
        assert ("requestBody" in operation) == (
            method in ("post", "put", "patch") and operation["operationId"] not in bare
        ), (method, path)
