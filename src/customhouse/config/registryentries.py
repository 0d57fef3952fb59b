"""One server.json of a registry, read into a draft.

Source: server.json, schema 2025-12-11 (`remotes`, `packages`, arguments, `isSecret`). A remote goes before a package, since it needs
nothing installed. Public values of variables that are no secrets are copied; secrets have no value there in the first place.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from customhouse.config.cliententries import program_draft, referenced, remote_draft
from customhouse.config.drafts import Draft
from customhouse.config.packagecommands import PackageCommand, Unimportable, exact_package
from customhouse.core.likelysecrets import is_likely_secret, names_secret

_OFFICIAL = "io.modelcontextprotocol.registry/official"


def registry_draft(name: str, source: str, value: Mapping[str, Any]) -> Draft:
    """The draft of an entry `{"server": ..., "_meta": ...}`. Raises `Unimportable`."""
    server = value["server"]
    status = _member(_member(value, "_meta", dict), _OFFICIAL, dict).get("status", "")
    if status == "deleted":
        raise Unimportable("The registry has deleted it.")
    notes = ["The registry calls it deprecated."] if status == "deprecated" else []
    description = " ".join(str(server.get("description", "")).split())
    remotes, packages = _objects(server, "remotes"), _objects(server, "packages")
    if remotes:
        return _remote(name, source, remotes, (*notes, *_others(len(remotes) - 1, len(packages))), description)
    runnable = [package for package in packages if package.get("registryType") in ("npm", "pypi")]
    if not runnable:
        raise Unimportable("It has neither an address nor a package of npm or pypi.")
    return _package(name, source, runnable[0], (*notes, *_others(0, len(packages) - 1)), description)


def _others(remotes: int, packages: int) -> Iterator[str]:
    if remotes + packages:
        yield f"Left out: {remotes} further remotes and {packages} packages of the same entry."


def _remote(name: str, source: str, remotes: Sequence[Mapping[str, Any]], notes: Sequence[str], description: str) -> Draft:
    chosen = next((remote for remote in remotes if remote.get("type") == "streamable-http"), remotes[0])
    if chosen.get("type") not in ("streamable-http", "sse"):
        raise Unimportable("It speaks over a transport that the gateway does not know.")
    headers = {str(header.get("name", "")): _as_header(header) for header in _objects(chosen, "headers")}
    return remote_draft(name, source, chosen.get("url"), headers, notes, description)


def _as_header(header: Mapping[str, Any]) -> str:
    """A secret Authorization header is a bearer token unless it says otherwise."""
    value = str(header.get("value", ""))
    return value or ("Bearer ?" if header.get("isSecret") else "")


def _package(name: str, source: str, package: Mapping[str, Any], notes: Sequence[str], description: str) -> Draft:
    if _member(package, "transport", dict).get("type") != "stdio":
        raise Unimportable("The package listens on an address by itself. Run it elsewhere and define the server by `url`.")
    ecosystem, identifier, version = package["registryType"], str(package.get("identifier", "")), str(package.get("version", ""))
    exact_package(ecosystem, identifier, version)
    said = [*notes]
    if package.get("registryBaseUrl"):
        said.append("The entry names the registry that its package comes from; look whether it is the one you install from.")
    if package.get("runtimeArguments"):
        said.append("Left out: arguments of the runtime.")
    if package.get("fileSha256"):
        said.append("The entry has a hash of the package's file; compare it when you install. It is not the digest of the tree.")
    arguments = [word for argument in _objects(package, "packageArguments") for word in _words(argument, said)]
    public, secrets = _variables(_objects(package, "environmentVariables"))
    references, told = referenced(name, secrets)
    guess = "The name of the program is a guess; look it up in the installed tree."
    command = PackageCommand(ecosystem, identifier, version, identifier.rpartition("/")[2], tuple(arguments), (guess,))
    return program_draft(name, source, command, references, (*said, *told), description=description, environment=tuple(public.items()))


def _words(argument: Mapping[str, Any], said: list[str]) -> Iterator[str]:
    """The words of an argument; one without a value is left for the operator."""
    value = argument.get("value", argument.get("default"))
    if argument.get("isSecret") or (isinstance(value, str) and "{" in value):
        raise Unimportable("An argument is a secret or has to be filled in. Write the definition by hand.")
    if not isinstance(value, str):
        said += ["An argument that it needs has no value in the entry; add it to `argv`."] * bool(argument.get("isRequired"))
        return
    if argument.get("type") == "named":
        yield str(argument.get("name", ""))
    yield value


def _variables(inputs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Public values, and the names of what is secret or has no value."""
    public: dict[str, str] = {}
    secret: dict[str, str] = {}
    for variable in inputs:
        name, value = str(variable.get("name", "")), variable.get("value", variable.get("default"))
        if variable.get("isSecret") or names_secret(name) or not isinstance(value, str) or is_likely_secret(value) or "{" in value:
            if variable.get("isRequired") or variable.get("isSecret"):
                secret[name] = ""
        else:
            public[name] = value
    return public, secret


def _objects(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = _member(value, key, list)
    if not all(isinstance(each, dict) for each in listed):
        raise Unimportable(f"`{key}` is not a list of objects.")
    return listed


def _member(value: Mapping[str, Any], key: str, kind: type) -> Any:
    found = value.get(key)
    found = kind() if found is None else found
    if not isinstance(found, kind):
        raise Unimportable(f"`{key}` is not of the kind that a server.json has there.")
    return found
