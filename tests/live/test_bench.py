"""`bench` against real servers and with the real engine. The tests check measurements, but no speed."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.live.harness import COMMAND, LiveServer, clean_environment

SMALL = ("--max-tokens", "4", "--prompt-words", "3", "--json")


def bench(*arguments: str) -> Any:
    """Run the command, which must succeed. Returns the JSON that it prints."""
    ended = subprocess.run(
        [str(COMMAND), "bench", *arguments], capture_output=True, text=True, check=False, env=clean_environment()
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_two_servers_are_compared(server: LiveServer, echo_server: LiveServer) -> None:
    compared = ("--url", echo_server.url, "--compare", server.url)
    data = bench("load", *compared, "--streams", "1,2", "--requests", "2", "--shared-prefix", "5", *SMALL)

    results = [run["result"] for run in data["runs"]]
    assert len(results) == 4
    assert all(result["errors"] == 0 and 0 < result["tokens"] <= 8 for result in results)
    assert all(not result["counted_chunks"] and result["prompt_tokens"] > 0 for result in results)
    assert all(ratio["ratio"] > 0 for ratio in data["ratios"] if ratio["metric"] == "tokens_per_second")


def test_the_bare_engine_is_measured_beside_a_server(server: LiveServer) -> None:
    data = bench("engine", "--compare", server.url, "--streams", "1,2", "--rounds", "1", *SMALL)

    by_streams: dict[int, list[dict[str, Any]]] = {}
    for run in data["runs"]:
        by_streams.setdefault(run["case"]["streams"], []).append(run["result"])
    assert list(by_streams) == [1, 2]
    for streams, (inside, through) in by_streams.items():
        assert inside["requests"] == through["requests"] == streams
        # The same prompts, and greedy answers of the same length.
        assert (inside["prompt_tokens"], inside["tokens"]) == (through["prompt_tokens"], through["tokens"])


def test_a_debate_reuses_the_server_s_prefix_cache(server: LiveServer) -> None:
    data = bench("debate", "--url", server.url, "--turns", "2", "--max-tokens", "4", "--sentences", "4", "--json")

    turns = data["debates"][0]["result"]["turns"]
    assert [turn["debater"] for turn in turns] == [0, 1, 0, 1]
    assert all(
        later["cached_tokens"] >= first["prompt_tokens"] - 1 for first, later in zip(turns, turns[2:], strict=False)
    )


def test_a_server_s_times_are_measured_and_simulated(echo_server: LiveServer) -> None:
    data = bench(
        "simulate", "--url", echo_server.url, "--streams", "1", "--debates", "4", "--replicas", "1,4", "--json"
    )

    one, four = data["outcomes"]
    assert (one["replicas"], four["replicas"]) == (1, 4)
    assert one["first_token_p95"] > 0
    assert 0 < one["rate_p5"] <= one["rate_p50"]
