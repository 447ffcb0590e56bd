"""innernet's path rules: where a request goes.

A path is split at `/`, leading slashes are dropped, nothing is percent-decoded. Trailing components are ignored once a
route matched; ids are what Rust reads as i64; a wrong method is 404.
"""

from litestar import Litestar

from innerd.api.asgi import Scope
from innerd.domain.values import whole_number

Template = tuple[str, ...]
_ID = "{id}"


class Routes:
    """The known routes as templates, read off the app, so that they are written down once."""

    def __init__(self, app: Litestar) -> None:
        self._templates: dict[str, set[Template]] = {}
        for route in app.routes:
            template = tuple(_ID if "{" in part else part for part in route.path.strip("/").split("/"))
            for method in set(getattr(route, "methods", ())) - {"OPTIONS", "HEAD"}:
                self._templates.setdefault(str(method), set()).add(template)
        every = {template for templates in self._templates.values() for template in templates}
        self._with_ids = {template[:-1] for template in every if template[-1] == _ID}

    def resolve(self, method: str, parts: list[str]) -> tuple[str, str] | None:
        """The route template and the canonical path of a request, or None (404)."""
        templates = self._templates.get(method, set())
        for length in range(len(parts), 0, -1):
            head = parts[:length]
            for template in templates:
                if (path := _fill(template, head)) is not None:
                    return "/" + "/".join(template), path
            if tuple(head[:-1]) in self._with_ids:
                return None  # an id stood here, and nothing takes it
        return None


def _fill(template: Template, parts: list[str]) -> str | None:
    if len(template) != len(parts):
        return None
    filled = []
    for expected, given in zip(template, parts, strict=True):
        if expected != _ID:
            if expected != given:
                return None
            filled.append(given)
            continue
        is_negative = given.startswith("-")
        number = whole_number(given[1:] if given.startswith(("+", "-")) else given, 2**63 - (not is_negative))
        if number is None:
            return None
        filled.append(str(-number if is_negative else number))
    return "/" + "/".join(filled)


def parts_of(scope: Scope) -> list[str]:
    """The components of a request's path, as they were sent."""
    if not (raw := scope.get("raw_path")):
        parts: list[str] = scope["path"].lstrip("/").split("/")
        return parts
    text: bytes = raw
    return text.partition(b"?")[0].decode("latin-1").lstrip("/").split("/")
