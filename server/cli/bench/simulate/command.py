"""`bench simulate`: how many servers a load of debates needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from server.cli._output import INTERRUPTED, UNUSABLE, fail
from server.cli.bench.reporting.output import Numbers, ServerUrl

if TYPE_CHECKING:
    from server.cli.bench.simulate.costs import Costs
    from server.cli.bench.simulate.debates import Load, Outcome

__all__ = ["simulate"]

_PRESETS = ("cpu", "h200-7b")


def _times(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--preset", type=click.Choice(_PRESETS), help="Times of docs/performance.md. Default: cpu."),
            click.option("--url", type=ServerUrl(), help="Measure this running server, which takes about a minute."),
            click.option(
                "--from-json", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Times that --save wrote, or the output of `bench load --streams 1,… --json`.",
            ),
            click.option(
                "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write the times to this file."
            ),
            click.option("--model", default="default", show_default=True, metavar="NAME", help="Model at --url."),
            click.option("--api-key", envvar="API_KEY", metavar="KEY", help="API key, if the server requires one."),
            click.option(
                "--streams", type=Numbers(1, 1024), default="1,4,8", show_default=True,
                help="Answers to time at --url."
            ),
            click.option("--slots", type=click.IntRange(1, 4096), help="--max-concurrency. Default: of the times."),
            click.option(
                "--speech-factor", type=click.FloatRange(0, min_open=True),
                help="Seconds of synthesis per second of sound. Default: of the times.",
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function


def _load(function: Any) -> Any:
    whole, real = click.IntRange, click.FloatRange
    for option in reversed(
        (
            click.option("--debates", type=whole(1, 10_000), default=100, show_default=True, help="Debates at a time."),
            click.option("--turns", type=whole(1, 100), default=6, show_default=True, help="Statements per debate."),
            click.option("--words", type=whole(2, 4000), default=60, show_default=True, help="Words per statement."),
            click.option(
                "--brief-tokens", type=whole(1, 100_000), default=600, show_default=True, help="First prompt's tokens."
            ),
            click.option(
                "--pace", type=real(0), default=150, show_default=True,
                help="Words per minute that listeners take in; 0: the next turn does not wait for them.",
            ),
            click.option("--pause", type=real(0), default=1, show_default=True, help="Seconds between turns."),
            click.option(
                "--cached", type=real(0, 1), default=0.95, show_default=True,
                help="Share of later turns whose prefix is in the cache of their server.",
            ),
            click.option("--spoken", is_flag=True, help="The same server speaks the statements."),
            click.option(
                "--first-token", type=real(0),
                help="Target, seconds at the 95th percentile. Default: 1, or none with --first-audio.",
            ),
            click.option("--first-audio", type=real(0), help="Target with --spoken, seconds at the 95th percentile."),
            click.option(
                "--replicas", type=Numbers(1, 1000), help="Numbers of replicas to try. Default: as many as it takes."
            ),
            click.option(
                "--replicas-max", type=whole(1, 1000), default=64, show_default=True, help="Largest number to try."
            ),
            click.option("--seed", type=int, default=0, show_default=True, help="Of beginnings and places."),
            click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


@click.command()
@_times
@_load
def simulate(
    preset: str | None,
    url: str | None,
    file: Path | None,
    save: Path | None,
    model: str,
    api_key: str | None,
    streams: tuple[int, ...],
    slots: int | None,
    speech_factor: float | None,
    first_token: float | None,
    first_audio: float | None,
    replicas: tuple[int, ...] | None,
    replicas_max: int,
    as_json: bool,
    **load: Any,
) -> None:
    """Simulate debates on one or more servers, from measured times, and find the least number that meets a target.

    A server computes steps of a batch and prompts between them, as the engine does. See docs/scaling.md.
    """
    import attrs

    from server.cli.bench.simulate.costs import BadCosts
    from server.cli.bench.simulate.debates import Load

    if sum(each is not None for each in (preset, url, file)) > 1:
        fail("--preset, --url and --from-json exclude each other", UNUSABLE)
    if first_audio is not None and not load["spoken"]:
        fail("--first-audio needs --spoken", UNUSABLE)
    try:
        costs = _costs(preset, url, file, model, api_key, streams)
        costs = attrs.evolve(costs, slots=slots or costs.slots, speech=speech_factor or costs.speech)
        if save is not None:
            _save(save, costs)
        target = 1.0 if first_token is None and first_audio is None else first_token
        found = _outcomes(Load(**load), costs, replicas, replicas_max, (target, first_audio))
    except (BadCosts, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    met = _print(found, (target, first_audio), spoken=load["spoken"], as_json=as_json)
    if not met and replicas is None:
        raise SystemExit(1)


def _costs(
    preset: str | None, url: str | None, file: Path | None, model: str, api_key: str | None, streams: tuple[int, ...]
) -> Costs:
    from server.cli.bench.simulate.costs import PRESETS, read_costs

    if url is not None:
        import asyncio

        from rich.console import Console

        from server.cli.bench.simulate.measuring import Target, measure

        with Console(stderr=True).status("measuring") as status:
            return asyncio.run(measure(Target(url=url, model=model, api_key=api_key), streams, status.update))
    return PRESETS[preset or "cpu"] if file is None else read_costs(file)


def _save(path: Path, costs: Costs) -> None:
    from server.cli.bench.reporting.report import as_json

    path.write_bytes(as_json(costs))


def _outcomes(
    load: Load,
    costs: Costs,
    replicas: tuple[int, ...] | None,
    most: int,
    targets: tuple[float | None, float | None],
) -> list[Outcome]:
    from server.cli.bench.simulate import debates

    def run(count: int) -> Outcome:
        return debates.simulate(load, costs, count)

    if replicas is not None:
        return [run(count) for count in replicas]
    tried = debates.fewest(most, lambda outcome: outcome.meets(*targets), run)
    return sorted(tried, key=lambda outcome: outcome.replicas)


def _print(found: list[Outcome], targets: tuple[float | None, float | None], *, spoken: bool, as_json: bool) -> bool:
    """Print the outcomes. Returns whether one of them meets the targets."""
    from server.cli.bench.reporting import report
    from server.cli.bench.reporting.tables import Table, number, seconds

    least = min((outcome.replicas for outcome in found if outcome.meets(*targets)), default=None)
    if as_json:
        click.echo(report.as_json({"outcomes": found, "replicas": least}))
        return least is not None
    sound = ("first audio p50", "p95", "stalled") if spoken else ()
    head = ("replicas", "first token p50", "p95", *sound, "tok/s per stream p50", "p5", "tok/s", "busiest")
    rows = []
    for outcome in found:
        heard = (seconds(outcome.first_sound_p50), seconds(outcome.first_sound_p95), f"{outcome.stalled:.0%}")
        rows.append(
            (
                str(outcome.replicas),
                seconds(outcome.first_token_p50),
                seconds(outcome.first_token_p95),
                *(heard if spoken else ()),
                number(outcome.rate_p50),
                number(outcome.rate_p5),
                number(outcome.tokens_per_second, 0),
                f"{outcome.utilisation:.0%}",
            )
        )
    click.echo(Table(head, rows).markdown())
    wanted = [
        f"first {name} p95 ≤ {value:g} s" for name, value in zip(("token", "audio"), targets, strict=True) if value
    ]
    what = " and ".join(wanted)
    meets = "replica meets" if least == 1 else "replicas meet"
    click.echo(f"\n{least} {meets} {what}." if least is not None else f"\nNone of these meets {what}.")
    return least is not None
