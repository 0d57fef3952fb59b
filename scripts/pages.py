"""The pages of the manual that are printed from the source, so that they cannot say something else.

`scripts/docs` writes them; `tests/docs` compares them. Meaning and reason of a field are the docstring below it, type and default are what
msgspec reads from the annotation.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import click
import msgspec

from customhouse.config.meanings import field_meanings

ROOT: Final = Path(__file__).parents[1]
MANUAL: Final = ROOT / "docs" / "manual"

NOTE: Final = "<!-- Printed from the source by scripts/docs: change the source, not this page. -->\n\n"

Struct = type[msgspec.Struct]


# --- Settings -----------------------------------------------------------------------------------------------------------

SETTINGS_HEAD = """\
# Settings

`customhouse.yaml` in the deployment directory. Every setting has a default unless this page says *required*; a file is only
needed for what differs. An unknown key, a value of the wrong kind and a combination that cannot work are refused with file, line,
key and what would be right.

A variable of the environment stands above the file: `CUSTOMHOUSE_` and the key in capitals with two underscores for each dot, such as
`CUSTOMHOUSE_LISTEN__PORT=9000` for `listen.port`. `customhouse config explain` prints every effective value and where it came from.

A `[]` in a key stands for each entry of a list, `<name>` for each key of a table.
"""


def settings_page() -> str:
    """All settings, one section per group."""
    module = importlib.import_module("customhouse.config.tree")
    return NOTE + SETTINGS_HEAD + "".join(sections("", module.Settings, top="At the top"))


# --- Server definitions and records -------------------------------------------------------------------------------------

DEFINITION_HEAD = """\
# Fields of a server definition

`servers/<name>.yaml` describes one MCP server; [definitions](definitions.md) shows how to write one. Unknown keys are refused.
A `<name>` in a key stands for each key of a table, `[]` for each entry of a list.
"""

RECORD_HEAD = """\
# Fields of a record

One entry of the audit log. [Audit](audit.md) says when records are written and how the log is verified.
"""


def definition_page() -> str:
    """The fields of `servers/<name>.yaml`."""
    module = importlib.import_module("customhouse.core.manifest")
    return NOTE + DEFINITION_HEAD + "".join(sections("", module.ServerDefinition, top="The server"))


GRANT_HEAD = """\
# Fields of a grant

`grants/*.yaml` hold lists of grants; [grants](grants.md) shows how to write them. Unknown keys are refused. A `<name>` in a key
stands for the name of an argument.
"""


def grant_page() -> str:
    """The fields of one entry of `grants/*.yaml`."""
    module = importlib.import_module("customhouse.core.policygrants")
    return NOTE + GRANT_HEAD + "".join(sections("", module.WrittenGrant, top="The grant"))


def record_page() -> str:
    """The fields of one entry of the ledger."""
    module = importlib.import_module("customhouse.core.record")
    return NOTE + RECORD_HEAD + "".join(sections("", module.Record, top="The record"))


def sections(path: str, struct: Struct, *, top: str = "") -> Iterator[str]:
    """The section of a struct, then those of the structs in it, each by its path."""
    name = f"`{path}`" if path else top
    yield f"\n## {name}\n\n{docstring_of(struct)}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    meanings = field_meanings(struct)
    inner: list[tuple[str, Struct]] = []
    for field in msgspec.structs.fields(struct):
        shape = msgspec.inspect.type_info(field.type)
        yield row(f"`{field.encode_name}`", kind_of(shape), default_of(field), meanings.get(field.name, ""))
        inner += [(join(path, field.encode_name) + suffix, found) for suffix, found in structs_in(shape)]
    for at, found in inner:
        yield from sections(at, found)


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def structs_in(shape: msgspec.inspect.Type) -> list[tuple[str, Struct]]:
    """The structs that a value of this shape holds, with what stands for the way there."""
    match shape:
        case msgspec.inspect.StructType(cls=struct):
            return [("", struct)]
        case msgspec.inspect.CollectionType(item_type=item):
            return [("[]" + suffix, struct) for suffix, struct in structs_in(item)]
        case msgspec.inspect.DictType(value_type=value):
            return [(".<name>" + suffix, struct) for suffix, struct in structs_in(value)]
        case msgspec.inspect.UnionType(types=types):
            return [found for one in types for found in structs_in(one)]
        case _:
            return []


def kind_of(shape: msgspec.inspect.Type) -> str:
    """What may stand there, in words."""
    match shape:
        case msgspec.inspect.Metadata(type=inner):
            return kind_of(inner)
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            kind = "whole number" if isinstance(shape, msgspec.inspect.IntType) else "number"
            return " ".join([kind, *bounds_of(shape)])
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case msgspec.inspect.EnumType(cls=members):
            return " or ".join(f"`{member.value}`" for member in members)
        case msgspec.inspect.CollectionType(item_type=item):
            return f"list of {kind_of(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"table of {kind_of(value)}"
        case msgspec.inspect.StructType():
            return "group, see below"
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(kind_of(one) for one in types if not isinstance(one, msgspec.inspect.NoneType))
        case _:
            return "any JSON value"


def bounds_of(shape: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> list[str]:
    bounds = (("from", shape.ge), ("above", shape.gt), ("to", shape.le), ("below", shape.lt))
    return [f"{word} {number(bound)}" for word, bound in bounds if bound is not None]


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """The default as one would write it in the file."""
    if field.required:
        return "*required*"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    match value:
        case None:
            return "absent"
        case "" | () | {} | frozenset():
            return "empty"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{number(value)}`"
        case tuple():
            return ", ".join(f"`{entry}`" for entry in value)
        case msgspec.Struct():
            return "see below"
        case _:
            return f"`{value}`"


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def docstring_of(struct: Struct) -> str:
    return inspect.getdoc(struct) or ""


# --- Refusals -----------------------------------------------------------------------------------------------------------

REFUSALS_HEAD = """\
# Refusals

Every way to say no, in the order in which a request meets them. The name stands in the ledger and, in lower case, in the `reason`
of the error's `data`.

*Status* is the HTTP status of a refusal before or beside the message; 200 means that the message was read and the refusal is its
JSON-RPC answer. *Whose* says who has to change something; *again* says whether the same request may succeed later.
"""


def refusals_page() -> str:
    """The table of refusals, in the groups that comments form in the source."""
    module = importlib.import_module("customhouse.core.refusal")
    return NOTE + REFUSALS_HEAD + "".join(refusal_groups(module))


def refusal_groups(module: ModuleType) -> Iterator[str]:
    lines = inspect.getsource(module.Reason).splitlines()
    for line in lines:
        if group := re.fullmatch(r"    # (.+?)\.?", line):
            yield f"\n## {group[1]}\n\n{row('name', 'status', 'code', 'whose', 'again', 'what is said', 'what to do')}|{'---|' * 7}\n"
        elif member := re.match(r"    ([A-Z_]+) = Row\(", line):
            yield refusal_row(member[1], module.Reason[member[1]].row)


def refusal_row(name: str, refusal: Any) -> str:
    again = "yes" if refusal.retryable else "no"
    return row(f"`{name}`", str(refusal.status), str(refusal.code), refusal.fault.value, again, refusal.sentence, refusal.next_step)


# --- Commands -----------------------------------------------------------------------------------------------------------

COMMANDS_HEAD = """\
# Commands

What `--help` says of each command. Where a command takes `--dir`, it means the deployment directory.
"""


def commands_page() -> str:
    """The help of every command, in the order of the tree."""
    return NOTE + COMMANDS_HEAD + "".join(help_text(path, command) for path, command in commands())


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that is not hidden, by the words that lead to it."""
    yield from commands_below("customhouse", importlib.import_module("customhouse.cli.main").main)


def commands_below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            if not child.hidden:
                yield from commands_below(f"{path} {name}", child)


def help_text(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    return f"\n## `{path}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


# --- All of them --------------------------------------------------------------------------------------------------------

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "definition.md": definition_page,
    "grant.md": grant_page,
    "record.md": record_page,
    "refusals.md": refusals_page,
    "commands.md": commands_page,
}
"""File below docs/manual to what prints it."""


def write_all() -> None:
    """Write every page anew."""
    for name, page in PAGES.items():
        (MANUAL / name).write_text(page(), encoding="utf-8")
        print(f"docs/manual/{name}")


if __name__ == "__main__":
    write_all()
