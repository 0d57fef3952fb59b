"""`customhouse schema`: JSON Schemas of the files of a deployment, for editors and for checks before a commit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from customhouse.cli.decisiontables import Case
from customhouse.cli.failures import explained
from customhouse.config.fileschemas import FORMS, Form, file_schema

ALL_FORMS: Final[Mapping[str, Form]] = {**FORMS, "decision-table": Form("policies/*.test.yaml", "Decision table", tuple[Case, ...])}


@click.command()
@click.argument("form", required=False, type=click.Choice(tuple(ALL_FORMS)))
@click.option("--to", "directory", type=click.Path(path_type=Path, file_okay=False), help="Write <form>.schema.json into this directory.")
@explained
def schema(form: str | None, directory: Path | None) -> None:
    """Print the JSON Schema of a kind of file, or write all of them.

    Without FORM: list what there is, or, with --to, write every schema.
    """
    chosen = ALL_FORMS if form is None else {form: ALL_FORMS[form]}
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        for name, each in chosen.items():
            path = directory / f"{name}.schema.json"
            path.write_text(schema_text(name, each), encoding="utf-8")
            click.echo(str(path))
    elif form is not None:
        click.echo(schema_text(form, ALL_FORMS[form]), nl=False)
    else:
        for name, each in chosen.items():
            click.echo(f"{name:<16}{each.files}")


def schema_text(name: str, form: Form) -> str:
    """A schema as it lies in a file."""
    return json.dumps(file_schema(name, form), indent=2) + "\n"
