"""Parameters without effect are named, within what a header can hold."""

from __future__ import annotations

from server.noted import MAX_NAMES, Noted, note, noting


def test_names_keep_their_order_and_come_once() -> None:
    with noting() as noted:
        for name in ("user", "metadata", "user"):
            note(name)
    assert noted.header() == b"user, metadata"


def test_nothing_is_recorded_outside_a_request() -> None:
    note("user")
    with noting() as noted:
        pass
    assert noted.names == {}


def test_characters_that_a_header_cannot_hold_are_replaced_and_long_names_cut() -> None:
    noted = Noted()
    noted.add("a,b\r\nX-Evil: 1" + "é" * 100)
    assert noted.header() == b"a?b??X-Evil:?1" + b"?" * 50


def test_a_body_of_unknown_fields_makes_no_endless_header() -> None:
    noted = Noted()
    for index in range(1000):
        noted.add(f"field{index}")
    assert len(noted.names) == MAX_NAMES
