"""Which rows share a batch."""

from __future__ import annotations

from providers.engines.embeddings.length_batching import RowPool


def drain(pool: RowPool) -> list[list[tuple[str, int]]]:
    batches = []
    while len(pool):
        batches.append(pool.next_batch())
    return batches


def test_rows_of_like_length_share_a_batch_and_each_comes_once() -> None:
    lengths = [200, 3, 190, 5, 100, 4]
    pool = RowPool(1000)
    pool.add("a", lengths)
    batches = drain(pool)
    assert batches == [[("a", 0), ("a", 2)], [("a", 4)], [("a", 3), ("a", 5), ("a", 1)]]


def test_a_batch_is_bounded_by_its_padded_size_and_never_empty() -> None:
    pool = RowPool(100)
    pool.add("a", [30] * 7)
    pool.add("b", [500])
    sizes = [len(batch) for batch in drain(pool)]
    assert sizes == [3, 1, 3, 1]


def test_a_batch_takes_rows_of_every_request() -> None:
    pool = RowPool(1000)
    pool.add("a", [8, 9])
    pool.add("b", [10])
    pool.add("c", [7])
    assert pool.next_batch() == [("a", 1), ("a", 0), ("b", 0), ("c", 0)]
    assert not len(pool)


def test_a_row_much_longer_does_not_pad_a_short_one() -> None:
    pool = RowPool(1000)
    pool.add("a", [8])
    pool.add("b", [100])
    assert drain(pool) == [[("a", 0)], [("b", 0)]]


def test_whose_turn_it_is_is_in_the_batch_though_others_are_longer() -> None:
    pool = RowPool(20)
    pool.add("a", [4])
    pool.add("b", [20, 20])
    assert pool.next_batch() == [("a", 0)]


def test_requests_take_turns() -> None:
    pool = RowPool(10)
    pool.add("long", [10] * 100)
    pool.add("short", [2])
    assert [batch[0][0] for batch in (pool.next_batch(), pool.next_batch(), pool.next_batch())] == [
        "long",
        "short",
        "long",
    ]


def test_a_batch_put_back_comes_again_in_two_halves_before_all_others() -> None:
    pool = RowPool(1000)
    pool.add("a", [8, 9])
    pool.add("b", [10])
    batch = pool.next_batch()
    pool.add("c", [7])
    pool.put_back(batch)
    assert len(pool) == 3
    assert drain(pool) == [[("a", 1)], [("a", 0), ("b", 0)], [("c", 0)]]


def test_a_request_that_is_removed_leaves_the_batches_put_back() -> None:
    pool = RowPool(1000)
    pool.add("a", [8, 8])
    pool.add("b", [8, 8])
    pool.put_back(pool.next_batch())
    pool.remove("a")
    assert len(pool) == 1
    assert drain(pool) == [[("b", 1), ("b", 0)]]


def test_a_request_that_is_removed_has_no_rows_left() -> None:
    pool = RowPool(10)
    pool.add("a", [10] * 3)
    pool.add("b", [10])
    pool.next_batch()
    pool.remove("a")
    pool.remove("unknown")
    assert drain(pool) == [[("b", 0)]]
