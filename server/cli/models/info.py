"""`models info`: what the files of a model say about it."""

from __future__ import annotations

import json
import sys

import rich_click as click

from server.cli._output import fail, size_text

__all__ = ["info"]


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, as_json: bool) -> None:
    """Describe a model on this machine: files, precision, context, memory.

    NAME is what `launch --model-path` accepts: a Hugging Face id, `embedded:ID`, a folder or a `.gguf` file. Nothing
    is downloaded.
    """
    from providers.weights import WeightsError
    from providers.weights.description import Description, describe

    def rows(found: Description) -> list[tuple[str, str]]:
        known = {
            "Model": found.model,
            "Path": str(found.path),
            "Revision": found.revision,
            "Type": found.model_type,
            "Architecture": found.architecture,
            "Precision": found.dtype,
            "Quantisation": found.quantization,
            "Context": f"{found.context_length:,} tokens" if found.context_length is not None else None,
            "Size": f"{size_text(found.size)} in {len(found.files)} files",
            "Memory": f"about {size_text(found.memory)} once it is loaded" if found.memory is not None else None,
            "Licence": found.license,
        }
        return [(label, value) for label, value in known.items() if value is not None]

    try:
        found = describe(name)
    except WeightsError as error:
        fail(str(error))
    if as_json:
        import attrs

        click.echo(json.dumps({**attrs.asdict(found), "path": str(found.path)}, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for label, value in rows(found):
        table.add_row(label, value)
    table.add_row()
    for file, size in found.files.items():
        table.add_row(f"{size:,}", file)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(table)
