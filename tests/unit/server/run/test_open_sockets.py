"""The worker begins to stop when its last WebSocket has closed."""

from __future__ import annotations

from server.run.open_sockets import OpenSockets


def test_without_sockets_it_stops_immediately() -> None:
    sockets, done = OpenSockets(), []
    sockets.stop(lambda: done.append("stopped"))
    assert done == ["stopped"]


def test_it_waits_for_the_last_socket() -> None:
    sockets, done = OpenSockets(), []
    sockets.on_stop = lambda: done.append("drain")
    with sockets.one():
        with sockets.one():
            sockets.stop(lambda: done.append("stopped"))
        assert done == ["drain"]
    assert done == ["drain", "stopped"]
    with sockets.one():
        pass
    assert done == ["drain", "stopped"]
