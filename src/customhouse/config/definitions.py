"""Server definitions and pins: `servers/<name>.yaml`, written by an operator, and `servers/<name>.pin.json`, written by the gateway.

A definition that leaves something out that somebody will need at 3 a.m. (owner, contact, tenant) is refused, and so is one that lets a
server take unauthenticated calls that change things, unless a waiver says so in plain sight.
A pin is RFC 8785 canonical JSON with a newline at the end. It is read strictly: any other layout, a digest that differs from its manifest,
or an unknown formula is refused, since somebody edited it by hand.
"""

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from customhouse.config.addresses import WebAddress, web_address
from customhouse.config.conversion import Complaint, Conversion, Rule, Rules, converted
from customhouse.config.document import Document, Entry, Fields, Node, Scalar, read_document, read_file
from customhouse.config.findings import ConfigurationInvalid, Finding, Key, Place, found
from customhouse.config.placing import put, settle
from customhouse.config.programs import PROGRAM_RULES, REFERENCE, exposed
from customhouse.config.rules import NAME_REMEDY, bad_networks
from customhouse.config.tree import Settings
from customhouse.core.manifest import (
    DIGEST_FORMULA,
    UNAUTHENTICATED_WRITES,
    UNSANDBOXED_STDIO,
    BearerCredential,
    Pin,
    ServerDefinition,
    ToolReview,
    Waiver,
    canonical_bytes,
    digest_of,
    in_order,
)
from customhouse.core.naming import SERVER_NAME
from customhouse.core.redaction import NAMES as DETECTORS
from customhouse.core.screening import Screening

MAX_PIN_BYTES = 67_108_864
"""512 tools with schemas of 64 KiB and as much text again."""
MAX_CALL_TIMEOUT_SECONDS = 3_600.0
MAX_CONNECT_TIMEOUT_SECONDS = 60.0

_SUFFIX = ".yaml"
_PIN_SUFFIX = ".pin.json"
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""RFC 6749, section 3.3: scope-token."""
_SECRET_PARAMETER = re.compile(r"token|secret|passw|key|auth|sig|credential|session|jwt", re.IGNORECASE)


def read_definitions(directory: Path, settings: Settings) -> tuple[ServerDefinition, ...]:
    """All server definitions of a deployment directory, in name order. Raises `ConfigurationInvalid` with every finding."""
    definitions: list[ServerDefinition] = []
    findings: list[Finding] = []
    names: dict[str, str] = {}
    for path in definition_files(directory / settings.servers_dir, settings.servers_dir):
        file = f"{settings.servers_dir}/{path.name}"
        wrong = tuple(wrong_name(path, file, names))
        definition, unfit = read_definition(path, file, directory, settings)
        findings += (*wrong, *unfit)
        names.setdefault(path.stem.lower(), file)
        if isinstance(definition, ServerDefinition):
            definitions.append(definition)
    if findings:
        raise ConfigurationInvalid(findings)
    return tuple(sorted(definitions, key=lambda definition: definition.name))


def text_findings(data: bytes, file: str, name: str) -> tuple[Finding, ...]:
    """What keeps the text of a definition from being one; `file` names it in findings."""
    written = read_document(data, file)
    return (*written.findings, *converted(_named(written.root, name), ServerDefinition, DEFINITION_RULES).findings)


def pin_path(directory: Path, settings: Settings, name: str) -> Path:
    """Where the pin of a server lies."""
    return directory / settings.servers_dir / f"{name}{_PIN_SUFFIX}"


def pinned_names(directory: Path, settings: Settings) -> tuple[str, ...]:
    """The names that have a pin, with a definition or without, in order."""
    servers = directory / settings.servers_dir
    return tuple(sorted(path.name.removesuffix(_PIN_SUFFIX) for path in servers.glob(f"*{_PIN_SUFFIX}"))) if servers.is_dir() else ()


def read_pin(path: Path) -> Pin:
    """The pin in a file. Raises `ConfigurationInvalid` if it is not exactly what `write_pin` wrote."""
    try:
        return _checked_pin(_pin_data(path), path.name)
    except _PinUnusable as unusable:
        raise ConfigurationInvalid([unusable.finding(str(path))]) from None


def pin_in(data: bytes, file: str) -> Pin:
    """The pin in the bytes of a file of this name. Raises `ConfigurationInvalid` like `read_pin`."""
    try:
        return _checked_pin(data, file.rpartition("/")[2])
    except _PinUnusable as unusable:
        raise ConfigurationInvalid([unusable.finding(file)]) from None


def write_pin(path: Path, pin: Pin) -> None:
    """Put a pin in place in one step: a reader sees the old one or the new one, also after a crash.

    Raises `ValueError` for a manifest that has no canonical form (a number beyond 2^53, a lone surrogate) and `OSError`.
    """
    put(path, pin_bytes(pin))
    settle(path.parent)


def pin_bytes(pin: Pin) -> bytes:
    """A pin as it lies on disk."""
    return canonical_bytes(msgspec.structs.replace(pin, manifest=in_order(pin.manifest))) + b"\n"


def definition_files(servers: Path, shown: str) -> list[Path]:
    """The files of definitions in a directory, in name order. Raises `ConfigurationInvalid` for a directory that cannot be listed."""
    try:
        return sorted(path for path in servers.iterdir() if path.suffix in {_SUFFIX, ".yml"})
    except FileNotFoundError:
        return []
    except OSError as error:
        problem = f"The definitions cannot be listed ({error.strerror})."
        raise ConfigurationInvalid([found(Place(shown), (), problem, "Make it a directory that this user may read.")]) from None


def wrong_name(path: Path, file: str, names: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the name of a definition's file; `names` are those in use, in lower case, with their files."""
    if path.suffix != _SUFFIX:
        yield found(Place(file), (), "The name of a definition ends in .yaml.", f"Rename it to {path.stem}.yaml.")
    if SERVER_NAME.fullmatch(path.stem) is None:
        yield found(Place(file), ("name",), "The name of the file cannot be the name of a server.", NAME_REMEDY)
    if path.stem.lower() in names:
        yield found(Place(file), ("name",), f"{names[path.stem.lower()]} has the same name.", "Rename one of them.")


def definition_in(written: Document, name: str) -> tuple[ServerDefinition | None, tuple[Finding, ...]]:
    """The definition in a document, by itself: what it shows of the machine is for `read_definition` to judge."""
    conversion, findings = _converted(written, name)
    return conversion.value, findings


def read_definition(path: Path, file: str, directory: Path, settings: Settings) -> tuple[ServerDefinition | None, tuple[Finding, ...]]:
    """The definition in a file of a deployment directory, with what is wrong with it; `file` names it in findings."""
    conversion, findings = _converted(read_file(path, file), path.stem)
    definition = conversion.value
    if isinstance(definition, ServerDefinition) and definition.stdio is not None and not findings:
        for complaint in exposed(definition.stdio, directory, settings):
            key: Key = ("stdio", *complaint.key)
            findings += (found(conversion.place_of(key), key, complaint.problem, complaint.remedy),)
    return definition, findings


def _converted(written: Document, name: str) -> tuple[Conversion, tuple[Finding, ...]]:
    conversion = converted(_named(written.root, name), ServerDefinition, DEFINITION_RULES)
    definition = conversion.value
    findings = (*written.findings, *conversion.findings)
    if isinstance(definition, ServerDefinition) and definition.name != name:
        remedy = f"Remove `name`, or write {name}."
        findings += (found(conversion.place_of(("name",)), ("name",), "The name differs from the name of the file.", remedy),)
    return conversion, findings


def _named(root: Node, name: str) -> Node:
    """The definition with the name of its file, where it does not say it itself."""
    if isinstance(root, Scalar) and root.value is None:
        root = Fields((), root.place)
    if not isinstance(root, Fields) or any(entry.key == "name" for entry in root.entries):
        return root
    return Fields((Entry("name", Scalar(name, root.place), root.place), *root.entries), root.place)


def _filled_in(value: msgspec.Struct, names: tuple[str, ...], remedy: str) -> Iterator[Complaint]:
    for name in names:
        if not getattr(value, name).strip():
            yield Complaint((name,), "The text is blank.", remedy)


def _who_answers(definition: ServerDefinition) -> Iterator[Complaint]:
    return _filled_in(definition, ("owner", "contact", "tenant"), "Write it out: every server has an owner, a contact and a tenant.")


def _review_day(definition: ServerDefinition) -> Iterator[Complaint]:
    return _a_day("review_by", definition.review_by)


def _last_day(credential: BearerCredential) -> Iterator[Complaint]:
    return _a_day("expires_on", credential.expires_on)


def _a_day(name: str, text: str) -> Iterator[Complaint]:
    try:
        written = not text or datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        written = False
    if not written:
        yield Complaint((name,), "This is not a day.", "Write it as YYYY-MM-DD, for example 2027-06-30.")


def _one_way_in(definition: ServerDefinition) -> Iterator[Complaint]:
    if definition.stdio is None and not definition.url:
        yield Complaint(("url",), "The key is missing.", "Add it: it holds the MCP endpoint. Or add `stdio`, for a program to be started.")
    if definition.stdio is None:
        return
    for name, given in (("url", definition.url), ("networks", definition.networks), ("credential", definition.credential)):
        if given:
            problem = "The server is started by the gateway (`stdio`), so nothing is connected to."
            yield Complaint((name,), problem, "Keep `stdio`, with secrets under `stdio.secrets`, or keep `url`.")


def _address(definition: ServerDefinition) -> Iterator[Complaint]:
    if not definition.url:
        return
    try:
        address = web_address(definition.url)
    except ValueError as unreadable:
        yield Complaint(("url",), str(unreadable), "Write the MCP endpoint, for example https://notes.example/mcp.")
        return
    for problem, remedy in _address_problems(address):
        yield Complaint(("url",), problem, remedy)


def _address_problems(address: WebAddress) -> Iterator[tuple[str, str]]:
    if address.scheme == "http" and not address.on_loopback:
        yield "Plain http is for servers on this machine only.", "Write an https address."
    if address.userinfo:
        yield "The address carries a user name or a password.", "Remove it, and name a `credential` by reference."
    if address.fragment:
        yield "The address carries a fragment.", "Remove the # and what follows it."
    for name in address.query_names:
        if _SECRET_PARAMETER.search(name):
            yield "The address seems to carry a secret in its query.", "Remove it, and name a `credential` by reference."


def _references(credential: BearerCredential) -> Iterator[Complaint]:
    if REFERENCE.fullmatch(credential.bearer) is None:
        # The text is not repeated: it may be the secret itself.
        yield Complaint(
            ("bearer",), "This is not a reference to a secret.", "Write env:NAME or file:PATH; the secret itself never stands here."
        )


def _networks(definition: ServerDefinition) -> Iterator[Complaint]:
    return bad_networks(definition.networks)


def _bounds(definition: ServerDefinition) -> Iterator[Complaint]:
    if definition.connect_timeout_seconds > MAX_CONNECT_TIMEOUT_SECONDS:
        yield _too_much(("connect_timeout_seconds",), "a number of seconds", MAX_CONNECT_TIMEOUT_SECONDS)
    if definition.call_timeout_seconds > MAX_CALL_TIMEOUT_SECONDS:
        yield _too_much(("call_timeout_seconds",), "a number of seconds", MAX_CALL_TIMEOUT_SECONDS)


def _too_much(key: Key, what: str, most: float) -> Complaint:
    return Complaint(key, "The value is out of range.", f"Write {what} up to {most:g}.")


def _tool_names(definition: ServerDefinition) -> Iterator[Complaint]:
    for name in definition.tools:
        if not name.strip():
            yield Complaint(("tools", name), "The name of the tool is blank.", "Write the server's own name of the tool.")


def _tool_bounds(review: ToolReview) -> Iterator[Complaint]:
    if review.call_timeout_seconds is not None and review.call_timeout_seconds > MAX_CALL_TIMEOUT_SECONDS:
        yield _too_much(("call_timeout_seconds",), "a number of seconds", MAX_CALL_TIMEOUT_SECONDS)


def _tool_scopes(review: ToolReview) -> Iterator[Complaint]:
    for index, scope in enumerate(review.scopes):
        if SCOPE.fullmatch(scope) is None:
            yield Complaint(("scopes", index), "This is not an OAuth scope.", "Write one scope without spaces, quotes and backslashes.")


def _waiver(waiver: Waiver) -> Iterator[Complaint]:
    if waiver.rule not in {UNAUTHENTICATED_WRITES, UNSANDBOXED_STDIO}:
        remedy = f"There are `{UNAUTHENTICATED_WRITES}` and `{UNSANDBOXED_STDIO}`."
        yield Complaint(("rule",), "There is no such rule to set aside.", remedy)
    yield from _filled_in(waiver, ("reason", "granted_by"), "Write it out: a waiver has a reason and a person who answers for it.")


def _pointless_waivers(definition: ServerDefinition) -> Iterator[Complaint]:
    for index, waiver in enumerate(definition.waivers):
        if waiver.rule == (UNSANDBOXED_STDIO if definition.stdio is None else UNAUTHENTICATED_WRITES):
            yield Complaint(("waivers", index), "The rule does not hold for this server, so nothing is set aside.", "Remove the waiver.")


def _unauthenticated_writes(definition: ServerDefinition) -> Iterator[Complaint]:
    if definition.stdio is not None:
        return  # nobody but the gateway holds its stdin
    if definition.credential is not None or any(waiver.rule == UNAUTHENTICATED_WRITES for waiver in definition.waivers):
        return
    for name, review in definition.tools.items():
        if review.effect.changes_things:
            problem = "The tool changes things, but the server takes calls without a credential."
            remedy = (
                "Name a `credential`, class the tool `read` if it is one, or add to `waivers`: "
                f"{{rule: {UNAUTHENTICATED_WRITES}, reason: WHY, granted_by: WHO}}."
            )
            yield Complaint(("tools", name), problem, remedy)


def _permitted(screening: Screening) -> Iterator[Complaint]:
    for index, one in enumerate(screening.permitted):
        if one not in DETECTORS and _VALUE_DIGEST.fullmatch(one) is None:
            remedy = f"Write sha256: and 64 hexadecimal digits of a value, or one of {', '.join(DETECTORS)}."
            yield Complaint(("permitted", index), "There is no detector of this name.", remedy)


def _listed_hosts(screening: Screening) -> Iterator[Complaint]:
    for name, hosts in (("links", screening.links), ("images", screening.images)):
        for index, host in enumerate(hosts or ()):
            if _LISTED_HOST.fullmatch(host) is None:
                yield Complaint(
                    (name, index), "This is not the name of a host.", "Write docs.example.org, or *.example.org for all below it."
                )


_VALUE_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_LISTED_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.IGNORECASE)

DEFINITION_RULES: Rules = {
    **PROGRAM_RULES,
    BearerCredential: (Rule((("bearer",),), _references), Rule((("expires_on",),), _last_day)),
    ToolReview: (
        Rule((("call_timeout_seconds",),), _tool_bounds),
        Rule((("scopes",),), _tool_scopes),
    ),
    Screening: (
        Rule((("permitted",),), _permitted),
        Rule((("links",), ("images",)), _listed_hosts),
    ),
    Waiver: (Rule((("rule",), ("reason",), ("granted_by",)), _waiver),),
    ServerDefinition: (
        Rule((("owner",), ("contact",), ("tenant",)), _who_answers),
        Rule((("review_by",),), _review_day),
        Rule((("url",), ("stdio",), ("networks",), ("credential",)), _one_way_in),
        Rule((("url",),), _address),
        Rule((("networks",),), _networks),
        Rule((("connect_timeout_seconds",), ("call_timeout_seconds",)), _bounds),
        Rule((("tools",),), _tool_names),
        Rule((("stdio",), ("waivers",)), _pointless_waivers),
        Rule((("tools",), ("credential",), ("waivers",), ("stdio",)), _unauthenticated_writes),
    ),
}


class _PinUnusable(Exception):
    """A pin that was not written by the gateway, or not for this server."""

    def __init__(self, problem: str, *, key: str = "", line: int = 0) -> None:
        super().__init__(problem)
        self.key = key
        self.line = line

    def finding(self, file: str) -> Finding:
        """What an operator is told."""
        remedy = "Review the server again: `customhouse servers diff`, then `customhouse servers pin`."
        return Finding(file, self.line, self.key, str(self), remedy)


def _pin_data(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PIN_BYTES + 1)
    except OSError as error:
        raise _PinUnusable(f"The pin cannot be read ({error.strerror}).") from None
    if len(data) > MAX_PIN_BYTES:
        raise _PinUnusable(f"The pin is larger than {MAX_PIN_BYTES} bytes.")
    return data


def _pin(data: bytes) -> Pin:
    try:
        value = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
        pin = msgspec.convert(value, Pin)
        if pin_bytes(pin) == data:
            return pin
    except json.JSONDecodeError as error:
        raise _PinUnusable("The pin is not JSON.", line=error.lineno) from None
    except msgspec.ValidationError as error:
        raise _PinUnusable(f"The pin does not hold what a pin holds: {error}.") from None
    except (ValueError, RecursionError) as error:
        raise _PinUnusable(f"The pin is not canonical JSON: {str(error)[:120]}.") from None
    # What it says is looked at first: a changed manifest is the more important news.
    if pin.digest_formula == DIGEST_FORMULA and digest_of(pin.manifest) != pin.digest:
        raise _PinUnusable("The digest does not belong to the manifest: somebody changed the pin.", key="digest")
    raise _PinUnusable("The pin is not in the canonical form it was written in: somebody edited it.")


def _checked_pin(data: bytes, file_name: str) -> Pin:
    pin = _pin(data)
    if pin.digest_formula != DIGEST_FORMULA:
        raise _PinUnusable(f"The formula of the digest is unknown; this version knows {DIGEST_FORMULA}.", key="digest_formula")
    if digest_of(pin.manifest) != pin.digest:
        raise _PinUnusable("The digest does not belong to the manifest: somebody changed the pin.", key="digest")
    if pin.server != file_name.removesuffix(_PIN_SUFFIX):
        raise _PinUnusable("The pin was made for another server.", key="server")
    if not pin.revision:
        raise _PinUnusable("The pin does not say which protocol revision it was captured in.", key="revision")
    return pin


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return made


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
