"""innernet's path rules: where a request goes.

A path is split at `/`, leading slashes are dropped, nothing is percent-decoded. Trailing components are ignored once a
route matched; ids are what Rust reads as i64; a wrong method is 404.
"""

from collections.abc import Iterable

from innerd.api.asgi import Scope
from innerd.api.routing import Route
from innerd.domain.values import whole_number

Template = tuple[str, ...]
_ID = "{id}"


class Routes:
    """The known routes by their templates."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._templates: dict[str, dict[Template, Route]] = {}
        self._plain: dict[tuple[str, Template], Route] = {}  # those without ids
        for route in routes:
            template = tuple(route.path.strip("/").split("/"))
            self._templates.setdefault(route.method, {})[template] = route
            if _ID not in template:
                self._plain[route.method, template] = route
        every = {template for templates in self._templates.values() for template in templates}
        self._with_ids = {template[:-1] for template in every if template[-1] == _ID}

    def resolve(self, method: str, parts: list[str]) -> tuple[Route, list[int]] | None:
        """The route of a request, and the ids in its path; None for 404."""
        templates = self._templates.get(method, {})
        for length in range(len(parts), 0, -1):
            head = parts[:length]
            if (plain := self._plain.get((method, tuple(head)))) is not None:
                return plain, []
            for template, route in templates.items():
                if (ids := _ids(template, head)) is not None:
                    return route, ids
            if tuple(head[:-1]) in self._with_ids:
                return None  # an id stood here, and nothing takes it
        return None


def _ids(template: Template, parts: list[str]) -> list[int] | None:
    if len(template) != len(parts):
        return None
    found = []
    for expected, given in zip(template, parts, strict=True):
        if expected != _ID:
            if expected != given:
                return None
            continue
        is_negative = given.startswith("-")
        number = whole_number(given[1:] if given.startswith(("+", "-")) else given, 2**63 - (not is_negative))
        if number is None:
            return None
        found.append(-number if is_negative else number)
    return found


def parts_of(scope: Scope) -> list[str]:
    """The components of a request's path, as they were sent."""
    if not (raw := scope.get("raw_path")):
        parts: list[str] = scope["path"].lstrip("/").split("/")
        return parts
    text: bytes = raw
    return text.partition(b"?")[0].decode("latin-1").lstrip("/").split("/")
