"""Whose secret a reference names: which of the gateway's secrets the proposals of a tenant may have sent to a server.

Whoever names a secret in a definition has it sent to an address of their choice, so a proposal is held to what `control.secrets` lists for
its tenant. The files of the directory are written by whoever runs the deployment, and whose secrets those are is no question.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from customhouse.config.conversion import Complaint
from customhouse.config.environment import PREFIX
from customhouse.config.findings import Key
from customhouse.config.tree import Control, Settings
from customhouse.core.manifest import ServerDefinition

SECRETS_DIR: Final = "secrets"
"""Where files of secrets lie that need no listing, below the deployment directory."""

ALL_OF_ONE: Final = ("env:*", f"file:{SECRETS_DIR}/*")
"""What belongs to the one tenant of a deployment that lists nothing."""

_LISTED = re.compile(r"env:(?:[A-Za-z_][A-Za-z0-9_]*\*?|\*)|file:/?[^\x00/*]+(?:/[^\x00/*]+)*(?:/\*)?")


def tenants_vouched_for(settings: Settings) -> frozenset[str]:
    """The tenants that some issuer vouches for."""
    identity = settings.identity
    named = {tenant for issuer in identity.issuers for tenant in (issuer.tenant, *issuer.tenants.values())}
    if identity.development_issuer.enabled:
        named.add(identity.development_issuer.tenant)
    return frozenset(named - {""})


def owned_by(settings: Settings) -> Mapping[str, Sequence[str]]:
    """References, and beginnings that end in `*`, by tenant. Nothing listed: all for the one tenant there is, nothing for one of many."""
    listed = settings.control.secrets if settings.control is not None else {}
    tenants = tenants_vouched_for(settings)
    return listed or (dict.fromkeys(tenants, ALL_OF_ONE) if len(tenants) == 1 else {})


def foreign_secrets(definition: ServerDefinition, directory: Path, settings: Settings) -> Iterator[Complaint]:
    """The references in a proposed definition that are not its tenant's. The text is not repeated: it may tell of somebody else's."""
    owned = owned_by(settings).get(definition.tenant, ())
    for key, reference in _references(definition):
        if not _is_owned(reference, owned) or _is_the_gateways(reference, directory, settings):
            remedy = "Name one of its own; `control.secrets` in the settings lists them."
            yield Complaint(key, f"The tenant {definition.tenant!a} has no such secret.", remedy)


def directories_of_secrets(directory: Path, settings: Settings) -> Iterator[Path]:
    """Where the files of tenants' secrets lie: no server is shown them whole."""
    yield directory / SECRETS_DIR
    for references in owned_by(settings).values():
        for reference in references:
            if reference.startswith("file:"):
                yield directory / reference.removeprefix("file:").removesuffix("/*")


def misread_secrets(control: Control) -> Iterator[Complaint]:
    """Entries of `control.secrets` that name nothing, or more than somebody meant."""
    for tenant, references in control.secrets.items():
        if not tenant.strip():
            yield Complaint(("secrets", tenant), "The name of a tenant is blank.", "Write it out.")
        for index, reference in enumerate(references):
            if _LISTED.fullmatch(reference) is None or _is_crooked(reference):
                # The text is not repeated: it may be the secret itself.
                remedy = "Write env:NAME, env:BEGINNING*, file:PATH or file:DIRECTORY/*, without empty parts, `.` and `..`."
                yield Complaint(("secrets", tenant, index), "This is no reference to a secret and no beginning of some.", remedy)


def _references(definition: ServerDefinition) -> Iterator[tuple[Key, str]]:
    if definition.credential is not None:
        yield ("credential", "bearer"), definition.credential.bearer
    if definition.stdio is not None:
        for name, reference in definition.stdio.secrets.items():
            yield ("stdio", "secrets", name), reference


def _is_owned(reference: str, owned: Sequence[str]) -> bool:
    """A path that could lead elsewhere is nobody's, however it begins."""
    return not _is_crooked(reference) and any(
        reference.startswith(one[:-1]) and reference != one[:-1] if one.endswith("*") else reference == one for one in owned
    )


def _is_crooked(reference: str) -> bool:
    scheme, _, path = reference.partition(":")
    return scheme == "file" and any(part in {"", ".", ".."} for part in path.removeprefix("/").split("/"))


def _is_the_gateways(reference: str, directory: Path, settings: Settings) -> bool:
    """What the settings name for the gateway itself, whatever is listed: no tenant's."""
    scheme, _, name = reference.partition(":")
    if reference == settings.approvals.webhook_key:
        return True
    if scheme == "env":
        return name.startswith(PREFIX)
    path, data = (directory / name).resolve(), (directory / settings.data_dir).resolve()
    own = {(directory / file).resolve() for file in _own_files(settings)}
    return path == data or data in path.parents or path in own


def _own_files(settings: Settings) -> Iterator[str]:
    yield "customhouse.yaml"
    if settings.approvals.webhook_key.startswith("file:"):
        yield settings.approvals.webhook_key.removeprefix("file:")
    for tls in (settings.listen.tls, settings.control.tls if settings.control is not None else None):
        if tls is not None:
            yield tls.key_file
    if settings.screening.canaries_file:
        yield settings.screening.canaries_file
