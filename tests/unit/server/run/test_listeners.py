import socket

from granian._granian import WorkerSignal

from server.run.listeners import Holders, _Signals
from server.run.sockets import bind, listen


def test_the_stop_reaches_every_server_and_also_one_that_begins_later() -> None:
    signals = _Signals()
    first = signals.another()
    signals.set()
    signals.set()
    signals.set()

    assert isinstance(first, WorkerSignal)
    assert isinstance(signals.another(), WorkerSignal)


def test_the_end_is_reported_once_every_server_has_ended() -> None:
    signals, ends = _Signals(), list[str]()
    signals.add_cb(lambda: ends.append("end"))
    signals.another()
    signals.another()

    signals._ended()
    assert ends == []
    signals._ended()
    assert ends == ["end"]


def test_every_socket_has_a_holder() -> None:
    bound = bind("127.0.0.1", 0)
    listen(bound)
    with socket.create_server(("127.0.0.1", 0)) as other:
        holders = Holders([*bound, other])

    assert len(holders.each) == 2
    assert not holders.is_uds()
    bound[0].close()
