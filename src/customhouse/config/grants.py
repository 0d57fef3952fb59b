"""Grants as an operator writes them: `grants/*.yaml`, each a list of who may use what, within which arguments and until when.

What a grant alone can be wrong about is found here, with its key and line; what it names is looked up when policies are compiled.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from customhouse.config.conversion import Complaint, Rule, Rules, converted
from customhouse.config.definitions import SCOPE
from customhouse.config.document import Document, Items, Node, Scalar, read_file
from customhouse.config.findings import ConfigurationInvalid, Finding, Place, found
from customhouse.core.content import GrantsContent
from customhouse.core.instants import read_moment
from customhouse.core.naming import GRANTS_NAME
from customhouse.core.policygrants import Constraint, Grant, Granted, Grantee, WrittenGrant, grant_of

_SUFFIX = ".yaml"
GRANT_FILE_REMEDY = "Write a-z and 0-9 with single dots, hyphens and underscores between, and .yaml at the end."
_DOMAIN = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::\d{1,5})?")


Portals = Mapping[str, Collection[str]]
"""The servers of each portal. One that is named `default` and not here holds all."""


def read_grant_files(directory: Path, grants_dir: str) -> tuple[dict[str, GrantsContent], tuple[Finding, ...]]:
    """The files of grants as contents, by stem, and what is wrong with each by itself."""
    contents: dict[str, GrantsContent] = {}
    findings: list[Finding] = []
    for path in _files(directory / grants_dir):
        written, unfit = written_grants(read_file(path, f"{grants_dir}/{path.name}"))
        findings += (*wrong_grant_file(path, f"{grants_dir}/{path.name}"), *unfit)
        contents[path.stem] = GrantsContent(grants=written)
    return contents, tuple(findings)


def written_grants(document: Document) -> tuple[tuple[WrittenGrant, ...], tuple[Finding, ...]]:
    """The entries of a document, and what is wrong with it."""
    entries, findings = _entries(document)
    return tuple(written for written, _ in entries), findings


def read_grants(directory: Path, grants_dir: str, portals: Portals) -> tuple[Grant, ...]:
    """All grants of a deployment directory, in the order of files and entries. Raises `ConfigurationInvalid` with every finding."""
    grants: list[Grant] = []
    findings: list[Finding] = []
    for path in _files(directory / grants_dir):
        read, unfit = _read(path, f"{grants_dir}/{path.name}", portals)
        grants += read
        findings += unfit
    if findings:
        raise ConfigurationInvalid(findings)
    return tuple(grants)


def _files(grants: Path) -> tuple[Path, ...]:
    return tuple(sorted(path for path in grants.iterdir() if path.suffix in {_SUFFIX, ".yml"})) if grants.is_dir() else ()


def _read(path: Path, file: str, portals: Portals) -> tuple[list[Grant], list[Finding]]:
    entries, unfit = _entries(read_file(path, file))
    findings = [*wrong_grant_file(path, file), *unfit]
    grants = []
    for number, (written, node) in enumerate(entries, 1):
        findings += _unknown_portal(written, node, portals)
        grants.append(grant_of(written, path.stem, number, file, node.place.line))
    return grants, findings


def wrong_grant_file(path: Path, file: str) -> Iterator[Finding]:
    """What is wrong with the name of a file of grants."""
    if path.suffix != _SUFFIX or GRANTS_NAME.fullmatch(path.stem) is None:
        yield found(Place(file), (), "The name of the file cannot be part of the ids of its grants.", GRANT_FILE_REMEDY)


def _entries(document: Document) -> tuple[list[tuple[WrittenGrant, Node]], tuple[Finding, ...]]:
    findings = list(document.findings)
    if isinstance(document.root, Scalar) and document.root.value is None:
        return [], tuple(findings)
    if not isinstance(document.root, Items):
        findings.append(found(document.root.place, (), "A file of grants is a list.", "Begin each grant with a dash."))
        return [], tuple(findings)
    entries = []
    for node in document.root.nodes:
        conversion = converted(node, WrittenGrant, GRANT_RULES)
        findings += conversion.findings
        if isinstance(conversion.value, WrittenGrant) and not conversion.findings:
            entries.append((conversion.value, node))
    return entries, tuple(findings)


def _unknown_portal(written: WrittenGrant, node: Node, portals: Portals) -> Iterator[Finding]:
    name = written.on.portal
    server = written.on.server or written.on.tool.partition("/")[0]
    known = {"default", *portals}
    if name and name not in known:
        yield found(node.place, ("on", "portal"), f"There is no portal {name!a}.", f"Known here: {', '.join(sorted(known))}.")
    if name in portals and server and server not in portals[name]:
        problem = f"The portal {name} does not offer the server {server!a}."
        yield found(node.place, ("on", "portal"), problem, "Add the server to the portal, or name another one.")


def _somebody(to: Grantee) -> Iterator[Complaint]:
    if not (to.group or to.person or to.workload or to.client):
        yield Complaint((), "Nobody is named.", "Name a group, a person, a workload or a client.")
    for name in ("group", "person", "workload"):
        tenant, slash, rest = getattr(to, name).partition("/")
        if getattr(to, name) and not (tenant and slash and rest):
            yield Complaint((name,), "The tenant is missing.", f"Write tenant/{name}.")


def _something(on: Granted) -> Iterator[Complaint]:
    if on.tool and (on.server or on.classes):
        yield Complaint((), "A single tool is named, and more beside it.", "Keep `tool`, or name a server and its classes.")
    if on.tool and not all(on.tool.partition("/")):
        yield Complaint(("tool",), "The server is missing.", "Write server/tool.")
    if not on.tool and not on.classes:
        remedy = "Add `classes`, for example [read]; or name one `tool`."
        yield Complaint((), "It does not say what may be done.", remedy)


def _constraint(constraint: Constraint) -> Iterator[Complaint]:
    if constraint == Constraint(or_absent=constraint.or_absent):
        yield Complaint((), "Nothing is asked of the argument.", "Add one of one_of, prefix, domain_of, under, at_most, at_least.")
    for index, domain in enumerate(constraint.domain_of):
        if _DOMAIN.fullmatch(domain) is None:
            yield Complaint(("domain_of", index), "This is not a domain.", "Write it in lower case, as example.org or *.example.org.")
    for name in ("one_of", "prefix", "under"):
        for index, text in enumerate(getattr(constraint, name)):
            if not text:
                yield Complaint((name, index), "The text is empty.", "Write it out: an empty text would let everything in.")
    for index, path in enumerate(constraint.under):
        if ".." in path or "\\" in path:
            yield Complaint(("under", index), "The path holds `..` or a backslash.", "Write the path that it leads to.")


def _only_for_tools(written: WrittenGrant) -> Iterator[Complaint]:
    if written.arguments and not written.on.tool:
        remedy = "Name one `tool`: the arguments of different tools have different meanings."
        yield Complaint(("arguments",), "Arguments of many tools at once cannot be constrained.", remedy)


def _timely(written: WrittenGrant) -> Iterator[Complaint]:
    try:
        if written.until:
            read_moment(written.until)
    except ValueError:
        yield Complaint(("until",), "This is not a day or a moment.", "Write it as 2027-01-31 or 2027-01-31T18:00:00Z.")


def _scopes(written: WrittenGrant) -> Iterator[Complaint]:
    for index, scope in enumerate(written.scopes):
        if SCOPE.fullmatch(scope) is None:
            yield Complaint(("scopes", index), "This is not an OAuth scope.", "Write one scope without spaces, quotes and backslashes.")


GRANT_RULES: Rules = {
    Grantee: (Rule((("group",), ("person",), ("workload",), ("client",)), _somebody),),
    Granted: (Rule((("tool",), ("server",), ("portal",), ("classes",)), _something),),
    Constraint: (Rule((("one_of",), ("prefix",), ("domain_of",), ("under",), ("at_most",), ("at_least",)), _constraint),),
    WrittenGrant: (
        Rule((("arguments",), ("on",)), _only_for_tools),
        Rule((("until",),), _timely),
        Rule((("scopes",),), _scopes),
    ),
}
