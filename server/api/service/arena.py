"""`/arena`, where two models debate, and `/talk`, where a person debates with one: the pages and their scripts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from litestar import Controller, MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

__all__ = ["ArenaController", "TalkController"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The pages load their own scripts and style, and no resource of another host. `'self'` of `connect-src` includes
WebSockets of the same host and port, by Content Security Policy level 3."""
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_PAGE = "index.html"


class ArenaController(Controller):
    """The page needs no key: its files hold no data, and it asks its user for the key."""

    path = "/arena"
    include_in_schema = False
    opt = {"open": True}  # noqa: RUF012

    @get(name="arena", sync_to_thread=False)
    def page(self) -> Response[bytes]:
        return _page("arena", microphone=False)

    @get("/{name:str}", name="arena.file", sync_to_thread=False)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        return _file("arena", name)


class TalkController(Controller):
    """As `ArenaController`, for the page that listens to a person. Its scripts use those of the arena."""

    path = "/talk"
    include_in_schema = False
    opt = {"open": True}  # noqa: RUF012

    @get(name="talk", sync_to_thread=False)
    def page(self) -> Response[bytes]:
        return _page("talk", microphone=True)

    @get("/{name:str}", name="talk.file", sync_to_thread=False)
    def file(self, name: FromPath[str]) -> Response[bytes]:
        return _file("talk", name)


def _page(folder: str, *, microphone: bool) -> Response[bytes]:
    headers = {
        "content-security-policy": _POLICY,
        "permissions-policy": f"camera=(), geolocation=(), microphone=({'self' if microphone else ''})",
        "cache-control": "no-cache",
    }
    return Response(_files(folder)[_PAGE], media_type=MediaType.HTML, headers=headers)


def _file(folder: str, name: str) -> Response[bytes]:
    media_type = _MEDIA_TYPES.get(PurePosixPath(name).suffix)
    if media_type is None or name not in _files(folder):
        raise NotFoundException
    headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
    return Response(_files(folder)[name], media_type=media_type, headers=headers)


@cache
def _files(folder: str) -> dict[str, bytes]:
    """Contents by name. A request is looked up here, so that no name in a URL reaches the file system."""
    found = files("server") / "static" / folder
    return {file.name: file.read_bytes() for file in found.iterdir() if file.is_file()}
