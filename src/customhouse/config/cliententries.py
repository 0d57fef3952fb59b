"""One entry of a client's configuration file, read into a draft.

A value of the environment or of a header is never copied. `${NAME}` and `${env:NAME}` keep their variable; anything else becomes a
variable of the gateway's environment that carries the server's name, since two servers may each have an `API_KEY`.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from customhouse.config.addresses import web_address
from customhouse.config.drafts import Draft
from customhouse.config.packagecommands import PackageCommand, Unimportable, checked_arguments, package_command, program_name
from customhouse.core.likelysecrets import is_likely_secret

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FROM_ENVIRONMENT = re.compile(r"\$\{(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-[^}]*)?\}")
_BEARER = re.compile(r"bearer\s+(?P<token>.*)", re.IGNORECASE | re.DOTALL)
_BRIDGE = re.compile(r"mcp-remote(?:@.*)?")
_FETCHING = frozenset({"npx", "npm", "exec", "x", "pnpx", "pnpm", "dlx", "yarn", "bunx", "bun"})
_NAME = re.compile(r"[A-Za-z$][A-Za-z0-9_.$-]{0,63}")
_ADDRESS_KEYS = ("url", "serverUrl", "httpUrl")
_KINDS = {"stdio", "local", "http", "sse", "streamable-http", "streamableHttp", "remote", ""}
_READ_KEYS = {*_ADDRESS_KEYS, "type", "transport", "command", "args", "env", "headers"}


def client_draft(name: str, source: str, value: Any) -> Draft:
    """The draft of an entry. Raises `Unimportable`."""
    entry = _table(value, "The entry")
    kind = entry.get("type", entry.get("transport", ""))
    if kind not in _KINDS:
        raise Unimportable("It speaks over a transport that the gateway does not know.")
    addresses = [key for key in _ADDRESS_KEYS if entry.get(key)]
    if len(addresses) + bool(entry.get("command")) != 1:
        raise Unimportable("It needs either a command or one address, and has neither or both.")
    left = sorted(_tellable(key) for key in entry if key not in _READ_KEYS)
    notes = (f"Left out, since they mean something to the client alone: {', '.join(left)}.",) if left else ()
    if addresses:
        return remote_draft(name, source, entry[addresses[0]], _texts(entry.get("headers"), "headers"), notes)
    argv = _argv(entry)
    if bridged := _bridged(argv):
        return remote_draft(name, source, *bridged, (*notes, "`mcp-remote` was only a bridge, so this is the server behind it."))
    command = package_command(argv)
    references, said = referenced(name, _texts(entry.get("env"), "env"))
    return program_draft(name, source, command, references, (*notes, *said))


def remote_draft(name: str, source: str, address: object, headers: Mapping[str, str], notes: Sequence[str], description: str = "") -> Draft:
    """The draft of a server with an address. Raises `Unimportable`."""
    url = _checked_address(address)
    bearer = ""
    said: list[str] = []
    for header, value in headers.items():
        token = _BEARER.fullmatch(value)
        if header.lower() == "authorization" and (token is not None or _FROM_ENVIRONMENT.fullmatch(value)):
            bearer = _reference(name, "TOKEN", token["token"] if token else "")
            said.append(f"The token was not copied: the gateway reads it from {bearer.removeprefix('env:')} in its environment.")
        else:
            said.append(f"The header {_tellable(header)} was left out: the gateway's credential is a bearer token.")
    if not bearer:
        said.append("It has no credential, so it can have no tools that change things.")
    return Draft(name=name, source=source, description=description, url=url, bearer=bearer, notes=(*notes, *said))


def program_draft(
    name: str, source: str, command: PackageCommand, references: Sequence[tuple[str, str]], notes: Sequence[str], **more: Any
) -> Draft:
    """The draft of a server that the gateway starts. Raises `Unimportable`."""
    copied = checked_arguments(command.arguments)
    said = ("The arguments were copied as they stand; look through them.",) if copied else ()
    return Draft(name=name, source=source, command=command, secrets=tuple(references), notes=(*notes, *command.notes, *said), **more)


def referenced(name: str, environment: Mapping[str, str]) -> tuple[list[tuple[str, str]], list[str]]:
    """References for the variables of a program, and what to say of them. Raises `Unimportable`."""
    if any(_VARIABLE.fullmatch(variable) is None for variable in environment):
        raise Unimportable("It sets an environment variable whose name is none.")
    references = [(variable, _reference(name, variable, value)) for variable, value in environment.items()]
    if not references:
        return [], []
    sources = ", ".join(reference.removeprefix("env:") for _, reference in references)
    return references, [f"Values were not copied: the gateway reads them from {sources}. What is no secret may stand under `environment`."]


def _reference(name: str, variable: str, value: str) -> str:
    kept = _FROM_ENVIRONMENT.fullmatch(value.strip())
    return f"env:{kept['name']}" if kept else f"env:MCP_{name.upper().replace('-', '_')}_{variable.upper()}"


def _checked_address(address: object) -> str:
    if not isinstance(address, str):
        raise Unimportable("Its address is not a text.")
    if "{" in address or "$" in address:
        raise Unimportable("Its address is filled in by the client. Write the definition by hand.")
    if is_likely_secret(address):
        raise Unimportable("Its address seems to carry a secret. Write the definition by hand, with a `credential` by reference.")
    try:
        web_address(address)
    except ValueError as unfit:
        raise Unimportable(str(unfit)) from None
    return address


def _argv(entry: Mapping[str, Any]) -> list[str]:
    command, arguments = entry["command"], entry.get("args", [])
    words = [*(command if isinstance(command, list) else [command]), *(arguments if isinstance(arguments, list) else [None])]
    if not all(isinstance(word, str) for word in words) or not words[0].strip():
        raise Unimportable("Its command or its arguments are not texts.")
    return words


def _bridged(argv: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """Address and headers where the command is nothing but the bridge `mcp-remote`."""
    place = next((index for index, word in enumerate(argv) if _BRIDGE.fullmatch(word)), len(argv))
    fetching = program_name(argv[0]) in _FETCHING and all(word.startswith("-") or word in _FETCHING for word in argv[1:place])
    if not fetching or len(argv) < place + 2:
        return None
    given = [following for word, following in itertools.pairwise(argv[place + 2 :]) if word == "--header" and ":" in following]
    return argv[place + 1], {header.strip(): value.strip() for header, _, value in (each.partition(":") for each in given)}


def _tellable(name: str) -> str:
    """A name of the file for a note, if it is plainly a name."""
    return name if _NAME.fullmatch(name) and not is_likely_secret(name) else "(another)"


def _texts(value: Any, what: str) -> dict[str, str]:
    table = _table({} if value is None else value, f"`{what}`")
    return {name: each if isinstance(each, str) else "" for name, each in table.items()}


def _table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unimportable(f"{what} is not an object.")
    return value
