"""Optional values of switches: `--x`, `--no-x`, `--x true`, `--x=off`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import rich_click as click

from server.settings.parsers import boolean

__all__ = ["SwitchesWithValues"]


class SwitchesWithValues(click.RichCommand):
    """A command whose switches take a value if one is given. Click's take none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite switches with values to the form that click knows, and parse."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        switches = {name: option for option in options if option.is_flag for name in _names(option)}
        needs_value = [option for option in options if not (option.is_flag or isinstance(option.flag_value, str))]
        takes_value = {name for option in needs_value for name in _names(option)}
        return super().parse_args(ctx, list(_rewritten(args, switches, takes_value)))


def _names(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _rewritten(args: Sequence[str], switches: dict[str, click.Option], takes_value: set[str]) -> Iterator[str]:
    rest = iter(range(len(args)))
    for at in rest:
        name, equals, value = args[at].partition("=")
        following = args[at + 1] if at + 1 < len(args) else None
        if args[at] == "--":
            yield from args[at:]
            return
        if name in switches and equals:
            yield from _plain(name, value, switches[name])
        elif name in switches and following is not None and _is_boolean(following):
            next(rest)
            yield from _plain(name, following, switches[name])
        else:
            yield args[at]
            if args[at] in takes_value and following is not None:
                # The value of another option, whatever it looks like.
                yield args[next(rest)]


def _is_boolean(word: str) -> bool:
    try:
        boolean(word)
    except ValueError:
        return False
    return True


def _plain(name: str, value: str, option: click.Option) -> list[str]:
    """The switch without its value; nothing if its value turns off a switch that has no negative form.

    Raises:
        click.UsageError: the value is not that of a switch.
    """
    try:
        wanted = boolean(value) == (name in option.opts)
    except ValueError as error:
        raise click.UsageError(f"{name} {error}") from None
    return (option.opts if wanted else option.secondary_opts)[:1]
