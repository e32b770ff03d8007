"""`config`: what the file of `launch --config` may hold."""

from __future__ import annotations

import rich_click as click

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show what the file of `launch --config` may hold."""


@click.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors.

    Write it to a file, and name that in the first line of the YAML file:

    # yaml-language-server: $schema=models.schema.json
    """
    from server.settings.schema import schema_text

    click.echo(schema_text(), nl=False)


config.add_command(schema)
