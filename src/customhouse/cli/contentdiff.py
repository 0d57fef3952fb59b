"""Two contents of one thing for the terminal: what changed in meaning, and the entries of a pin side by side."""

import shutil
from collections.abc import Iterator

from customhouse.cli.display import line
from customhouse.cli.planning import plan_text
from customhouse.cli.sidebyside import side_by_side
from customhouse.core.comparison import compared
from customhouse.core.content import Content, ServerContent
from customhouse.core.entries import differing
from customhouse.core.manifest import Manifest
from customhouse.core.plan import plan
from customhouse.core.review import Kind

NOTHING = Manifest(server_info={}, capabilities={})


def differences(kind: Kind, name: str, before: Content | None, after: Content | None) -> Iterator[str]:
    """The lines."""
    files = {(kind, name): after} if after is not None else {}
    stored = {(kind, name): before} if before is not None else {}
    yield plan_text(plan(files, stored, ""), coloured=False)
    width = shutil.get_terminal_size().columns
    for pair in differing(_manifest(before), _manifest(after)):
        yield ""
        yield line(f"{pair.kind} {pair.name}")
        yield from side_by_side(compared(pair), width)


def _manifest(content: Content | None) -> Manifest:
    return content.pin.manifest if isinstance(content, ServerContent) and content.pin is not None else NOTHING
