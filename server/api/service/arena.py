"""`/arena`: the page on which two models debate, and its scripts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from litestar import Controller, MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

__all__ = ["ArenaController"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads its own scripts and style, and no resource of another host."""
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_PAGE = "index.html"


class ArenaController(Controller):
    """The page needs no key: its files hold no data, and it asks its user for the key."""

    path = "/arena"
    include_in_schema = False
    opt = {"open": True}  # noqa: RUF012

    @get(name="arena", sync_to_thread=False)
    def page(self) -> Response[bytes]:
        headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
        return Response(_files()[_PAGE], media_type=MediaType.HTML, headers=headers)

    @get("/{name:str}", name="arena.file", sync_to_thread=False)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        media_type = _MEDIA_TYPES.get(PurePosixPath(name).suffix)
        if media_type is None or name not in _files():
            raise NotFoundException
        headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
        return Response(_files()[name], media_type=media_type, headers=headers)


@cache
def _files() -> dict[str, bytes]:
    """Contents by name. A request is looked up here, so that no name in a URL reaches the file system."""
    return {file.name: file.read_bytes() for file in (files("server") / "static" / "arena").iterdir() if file.is_file()}
