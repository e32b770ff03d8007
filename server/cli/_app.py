"""The command group. The commands' modules are light; they import heavy modules when the command runs."""

from __future__ import annotations

import rich_click as click

from server.cli.bench.command import bench
from server.cli.chat import chat
from server.cli.config import config
from server.cli.debate.command import debate
from server.cli.doctor.command import doctor
from server.cli.image import image
from server.cli.launch import launch
from server.cli.models.command import models
from server.cli.speak import speak
from server.cli.talk.command import talk

__all__ = ["cli"]

DISTRIBUTION = "mlx-openai-server-lab"


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"mlx-openai-server {version(DISTRIBUTION)}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    """An OpenAI-compatible server for MLX models.

    `mlx-openai-server launch` downloads and serves small models. `mlx-openai-server chat` talks to a running server,
    `mlx-openai-server talk` does so aloud, `mlx-openai-server speak` synthesizes speech with it,
    `mlx-openai-server image` paints with it, and `mlx-openai-server debate` lets two speakers argue.
    """


for _command in (launch, chat, talk, speak, image, debate, models, config, doctor, bench):
    cli.add_command(_command)
