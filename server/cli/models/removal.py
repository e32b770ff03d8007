"""`models rm`: delete weights from the caches."""

from __future__ import annotations

import rich_click as click

from server.cli._output import fail, size_text

__all__ = ["rm"]

_DEFAULT_URL = "http://127.0.0.1:8000"
_LOOK_SECONDS = 0.5


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def rm(names: tuple[str, ...], yes: bool) -> None:
    """Delete models from this server's cache and from the Hugging Face cache.

    NAME is `embedded:ID`, a Hugging Face id, or one revision of it: `org/name@revision`. Your own folders and files
    are never deleted.
    """
    from providers.weights import WeightsError
    from providers.weights.removal import plan_removal

    try:
        plans = [plan_removal(name) for name in dict.fromkeys(names)]
        for plan in plans:
            click.echo(f"{plan.model}: {plan.what}, {size_text(plan.size)} in {plan.path}")
        served = _served()
        for plan in plans:
            if served & {plan.model, plan.model.partition("@")[0], plan.model.removeprefix("embedded:")}:
                note = "keeps its open files, and fetches the model again when it loads it"
                click.echo(f"{plan.model} is served at {_DEFAULT_URL}: that server {note}.")
        if not yes:
            click.confirm("Delete?" if len(plans) == 1 else f"Delete these {len(plans)} models?", abort=True)
        for plan in plans:
            plan.execute()
            click.echo(f"{plan.model} is deleted: {size_text(plan.size)} are free.")
    except WeightsError as error:
        fail(str(error))


def _served() -> set[str]:
    """Ids of the models of a server at the default address; none where there is no answer."""
    import httpx

    try:
        answer = httpx.get(f"{_DEFAULT_URL}/v1/models", timeout=_LOOK_SECONDS, trust_env=False).json()
        return {str(model["id"]) for model in answer["data"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return set()
