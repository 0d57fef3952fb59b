"""Whether a provider or a client can take an endpoint: its address, its label and the names of its tools.

A model provider connects from its own network: an address of this machine or of a private network means nothing there, and Anthropic
takes https alone (platform.claude.com, MCP connector, `url`). Host names are not resolved here.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from customhouse.core.address import AddressClass, class_of
from customhouse.core.exports.selection import ExportFinding, Selection

_ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:\[\]]+)(?::[0-9]+)?(?:/.*)?")
_PRIVATE_NAME = re.compile(r"(?:.*\.)?(?:localhost|local|internal|lan|home\.arpa|test|invalid)|[^.]+", re.IGNORECASE)
"""RFC 6761, RFC 6762, RFC 8375, the private-use name `internal` of ICANN, and names without a dot."""


def cloud_findings(selections: Sequence[Selection], provider: str) -> Iterable[ExportFinding]:
    """What keeps a provider from reaching the endpoints; each of these stops the export."""
    for selection in selections:
        fits = _ADDRESS.fullmatch(selection.url)
        if fits is None or fits["scheme"] != "https":
            sentence = (
                f"{provider} connects over https only, and this is {selection.url}. Set `public_url` to the https address clients use."
            )
            yield ExportFinding(selection.label, sentence, stops=True)
        elif is_private(fits["host"].strip("[]")):
            sentence = f"{provider} connects from its own network, where {selection.url} is nowhere. Set `public_url` to a public address."
            yield ExportFinding(selection.label, sentence, stops=True)


def is_private(host: str) -> bool:
    """Whether a host, by its text alone, is out of reach from the internet."""
    kind = class_of(host)
    if kind is AddressClass.UNREADABLE:
        return _PRIVATE_NAME.fullmatch(host.rstrip(".")) is not None
    return kind is not AddressClass.PUBLIC


def with_fit_names(selection: Selection, pattern: re.Pattern[str], provider: str) -> tuple[Selection, list[ExportFinding]]:
    """The endpoint with those tools whose names a provider takes, and a finding for each other one."""
    fit = tuple(tool for tool in selection.tools if pattern.fullmatch(tool.name))
    sentence = f"Left out: {provider} takes names of the form {pattern.pattern}. Export a portal, where every tool has such a name."
    findings = [ExportFinding(ascii(tool.name), sentence) for tool in selection.tools if tool not in fit]
    return msgspec.structs.replace(selection, tools=fit), findings


def shared_labels(selections: Sequence[Selection]) -> Iterable[ExportFinding]:
    """Labels that two endpoints would share; a client would keep one of them."""
    labels = [selection.label for selection in selections]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield ExportFinding(label, "Two endpoints would have this name in the client. Export them apart, or rename one.", stops=True)


def nothing_left(selections: Sequence[Selection]) -> Iterable[ExportFinding]:
    """Endpoints of which no tool is left; an empty allow-list would be of no use to anybody."""
    for selection in selections:
        if not selection.tools:
            yield ExportFinding(selection.label, "No tool is left to export for this recipient.", stops=True)
