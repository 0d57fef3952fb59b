"""What is looked at before a deployment directory is trusted to run; nothing is changed, no secret is shown, no server is called."""

import asyncio
import contextlib
import enum
import errno
import os
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap
from customhouse.adapters.sandboxes.trees import digest_of_tree
from customhouse.adapters.secrets.references import ReferencedSecrets
from customhouse.config.definitions import pin_path, pinned_names, read_definitions, read_pin
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.grants import read_grants
from customhouse.config.load import Loaded, load
from customhouse.config.programs import installed_path
from customhouse.config.tree import Tls
from customhouse.control.webhooks import secret_bytes
from customhouse.core.instants import DAY_SECONDS, moment_text
from customhouse.core.manifest import UNSANDBOXED_STDIO, Pin, ServerDefinition

ENDS_SOON_SECONDS = 7 * DAY_SECONDS
"""How far ahead the end of a grant is told: time to ask for another one."""


class Verdict(enum.Enum):
    """How a check ended."""

    OK = "OK"
    NOTE = "NOTE"
    """The gateway runs; somebody may not expect what it does."""
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    verdict: Verdict
    subject: str
    """What was looked at."""
    sentence: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty where there is nothing to do."""


@dataclass(frozen=True, slots=True)
class _Deployment:
    """Everything that could be read."""

    loaded: Loaded
    definitions: tuple[ServerDefinition, ...]
    environ: Mapping[str, str]


def examine(directory: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    """All checks of a deployment directory. Those that rest on unreadable settings or definitions are left out."""
    try:
        loaded = load(directory, environ)
    except ConfigurationInvalid as invalid:
        yield from _problems("settings", invalid)
        return
    yield Check(Verdict.OK, "settings", f"{loaded.directory} can be used.")
    try:
        definitions = read_definitions(loaded.directory, loaded.settings)
    except ConfigurationInvalid as invalid:
        yield from _problems("definitions", invalid)
        definitions = ()
    deployment = _Deployment(loaded, definitions, environ)
    for look in _LOOKS:
        yield from look(deployment)


def _problems(subject: str, invalid: ConfigurationInvalid) -> Iterator[Check]:
    for finding in invalid.findings:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        where = f"{place}: {finding.key}" if finding.key else place
        yield Check(Verdict.PROBLEM, subject, f"{where}: {finding.problem}", finding.remedy)


def _look_at_callers(deployment: _Deployment) -> Iterator[Check]:
    identity = deployment.loaded.settings.identity
    if identity.development_issuer.enabled:
        sentence = "The development issuer is on: whoever reads the data directory can be anybody."
        yield Check(Verdict.NOTE, "identity", sentence, "Use it for trying things out only.")
    if identity.issuers:
        yield Check(Verdict.OK, "identity", f"Tokens of {', '.join(issuer.issuer for issuer in identity.issuers)} are accepted.")
    elif not identity.development_issuer.enabled:
        remedy = "Add an issuer under `identity.issuers`, or turn on `identity.development_issuer` for trying things out."
        yield Check(Verdict.PROBLEM, "identity", "No issuer is configured, so every call is refused.", remedy)


def _look_at_definitions(deployment: _Deployment) -> Iterator[Check]:
    servers = deployment.loaded.settings.servers_dir
    if not deployment.loaded.path(servers).is_dir():
        yield Check(
            Verdict.PROBLEM, "definitions", f"There is no directory {servers}/.", f"Make it, with a {servers}/<name>.yaml per server."
        )
    for definition in deployment.definitions:
        yield Check(Verdict.OK, f"server {definition.name}", f"{definition.where}, owned by {definition.owner}.")
        for waiver in definition.waivers:
            sentence = f"The rule {waiver.rule} is set aside by {waiver.granted_by}: {waiver.reason}"
            yield Check(Verdict.NOTE, f"server {definition.name}", sentence)


def _look_at_pins(deployment: _Deployment) -> Iterator[Check]:
    loaded = deployment.loaded
    names = {definition.name for definition in deployment.definitions}
    pinned = pinned_names(loaded.directory, loaded.settings)
    for definition in deployment.definitions:
        if definition.name not in pinned:
            remedy = f"Review it and run `customhouse servers pin {definition.name}`."
            yield Check(Verdict.PROBLEM, f"pin {definition.name}", "The server is not pinned, so nothing of it is offered.", remedy)
            continue
        try:
            pin = read_pin(pin_path(loaded.directory, loaded.settings, definition.name))
        except ConfigurationInvalid as invalid:
            yield from _problems(f"pin {definition.name}", invalid)
            continue
        yield from _compare(definition, pin)
    for name in pinned:
        if name not in names:
            sentence = "The pin belongs to no definition that can be read."
            yield Check(Verdict.PROBLEM, f"pin {name}", sentence, f"Correct or restore {name}.yaml, or delete the pin.")


def _compare(definition: ServerDefinition, pin: Pin) -> Iterator[Check]:
    subject = f"pin {definition.name}"
    pinned = {str(tool.get("name")) for tool in pin.manifest.tools}
    yield Check(Verdict.OK, subject, f"{pin.digest}, {len(pinned)} tools.")
    for name in sorted(definition.tools.keys() - pinned):
        remedy = "Correct the name in `tools`, or pin the server again if it offers the tool now."
        yield Check(Verdict.PROBLEM, subject, f"The tool {name!a} has a class but is not in the pin, so it is not offered.", remedy)
    for name in sorted(pinned - definition.tools.keys()):
        remedy = "Review it and give it a class under `tools`, or leave it out on purpose."
        yield Check(Verdict.NOTE, subject, f"The tool {name!a} has no class, so nobody sees it.", remedy)


def _look_at_policies(deployment: _Deployment) -> Iterator[Check]:
    policies = deployment.loaded.settings.policies_dir
    directory = deployment.loaded.path(policies)
    if not directory.is_dir():
        remedy = "Make it and write a policy that grants reads; without one every call is refused."
        yield Check(Verdict.PROBLEM, "policies", f"There is no directory {policies}/.", remedy)
        return
    files = sorted(directory.glob("*.cedar"))
    unreadable = [path for path in files if not os.access(path, os.R_OK)]
    for path in unreadable:
        yield Check(Verdict.PROBLEM, "policies", f"{policies}/{path.name} cannot be read.", "Let the gateway's user read it.")
    if not files:
        yield Check(Verdict.NOTE, "policies", f"{policies}/ holds no policy, so every call is refused.", "Write one that grants reads.")
    elif not unreadable:
        yield Check(Verdict.OK, "policies", f"{policies}/ can be read; it holds {len(files)} of *.cedar.")


def _look_at_grants(deployment: _Deployment) -> Iterator[Check]:
    """Ends are told a week ahead."""
    settings = deployment.loaded.settings
    try:
        portals = {name: portal.servers for name, portal in deployment.loaded.portals.items()}
        grants = read_grants(deployment.loaded.directory, settings.grants_dir, portals)
    except ConfigurationInvalid as invalid:
        yield from _problems("grants", invalid)
        return
    now = time.time()
    for grant in grants:
        if grant.until and grant.until <= now + ENDS_SOON_SECONDS:
            said = "ended" if grant.until <= now else "ends"
            remedy = "Remove it, or give it a new `until`." if grant.until <= now else "Write a new `until` if it shall go on."
            yield Check(Verdict.NOTE, "grants", f"{grant.file}:{grant.line}: {grant.id} {said} {moment_text(grant.until)}.", remedy)
    if grants and settings.control is not None and settings.control.serves == "registry":
        remedy = "Propose them: `customhouse apply`."
        yield Check(Verdict.NOTE, "grants", f"What the registry activated is served, so nothing of {settings.grants_dir}/ is.", remedy)
    elif grants:
        yield Check(Verdict.OK, "grants", f"{settings.grants_dir}/ can be read; it holds {len(grants)} grants.")


def _look_at_data(deployment: _Deployment) -> Iterator[Check]:
    name = deployment.loaded.settings.data_dir
    directory = deployment.loaded.path(name)
    existing = next(path for path in (directory, *directory.parents) if os.access(path, os.F_OK))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Check(Verdict.PROBLEM, "data", f"{existing} cannot be written to.", "Let the gateway's user write there, or set `data_dir`.")
    elif existing != directory:
        yield Check(Verdict.OK, "data", f"{name}/ is made at the first start.")
    elif stat.S_IMODE(directory.stat().st_mode) & 0o007:
        yield Check(Verdict.PROBLEM, "data", f"{name}/ is open to every user of the machine.", f"Run `chmod 700 {directory}`.")
    else:
        yield Check(Verdict.OK, "data", f"{name}/ can be written to.")


def _look_at_secrets(deployment: _Deployment) -> Iterator[Check]:
    secrets = ReferencedSecrets(deployment.loaded.directory, deployment.environ)
    for definition in deployment.definitions:
        for reference in _references(definition):
            try:
                secrets.read(reference)
            except LookupError as missing:
                remedy = "Provide the secret there, or correct the reference."
                yield Check(Verdict.PROBLEM, f"secret {definition.name}", str(missing), remedy)
            else:
                yield Check(Verdict.OK, f"secret {definition.name}", f"{reference} can be read.")
    reference = deployment.loaded.settings.approvals.webhook_key
    if reference:
        yield _key_of_notices(secrets, reference)


def _key_of_notices(secrets: ReferencedSecrets, reference: str) -> Check:
    try:
        secret_bytes(secrets.read(reference))
    except (LookupError, ValueError) as unusable:
        return Check(Verdict.PROBLEM, "secret of notices", str(unusable), "Put the key there that the receiver knows.")
    return Check(Verdict.OK, "secret of notices", f"{reference} can be read.")


def _references(definition: ServerDefinition) -> Iterator[str]:
    if definition.credential is not None:
        yield definition.credential.bearer
    if definition.stdio is not None:
        yield from definition.stdio.secrets.values()


def _look_at_packages(deployment: _Deployment) -> Iterator[Check]:
    loaded = deployment.loaded
    for definition in deployment.definitions:
        if definition.stdio is None:
            continue
        subject = f"package {definition.name}"
        tree = installed_path(definition.stdio, loaded.directory, loaded.settings)
        try:
            found = digest_of_tree(str(tree))
        except OSError as error:
            sentence = f"{error.filename or tree} cannot be read ({error.strerror})."
            yield Check(Verdict.PROBLEM, subject, sentence, "Install the package there, or correct `stdio.installed`.")
            continue
        if found == definition.stdio.package.digest:
            yield Check(Verdict.OK, subject, f"{tree} is what was approved.")
        else:
            remedy = f"Install what was approved, or review it and write what `customhouse servers digest {definition.name}` says."
            yield Check(Verdict.PROBLEM, subject, f"{tree} is not what was approved, so the server is not started.", remedy)


def _look_at_the_sandbox(deployment: _Deployment) -> Iterator[Check]:
    contained = [
        definition.name
        for definition in deployment.definitions
        if definition.stdio is not None and all(waiver.rule != UNSANDBOXED_STDIO for waiver in definition.waivers)
    ]
    if not contained:
        return
    holds = asyncio.run(Bubblewrap().containment())
    if holds.problem:
        sentence = f"No sandbox can be made, so {', '.join(contained)} cannot be started: {holds.problem}"
        yield Check(Verdict.PROBLEM, "sandbox", sentence, "Install bubblewrap and allow user namespaces on this machine.")
        return
    yield Check(Verdict.OK, "sandbox", f"Servers run in namespaces of their own, with the rights of {holds.user}.")
    if not holds.filtered:
        sentence = "System calls are not filtered: the filter is written for x86_64 and aarch64."
        yield Check(Verdict.NOTE, "sandbox", sentence)
    if not holds.grouped:
        sentence = "No control group can be made: memory is bounded for each process of a server, not for all of them together."
        yield Check(
            Verdict.NOTE, "sandbox", sentence, "Run the gateway where it may make control groups, for example with systemd's Delegate=yes."
        )


def _look_at_tls(deployment: _Deployment) -> Iterator[Check]:
    tls = deployment.loaded.settings.listen.tls
    if tls is None:
        return
    certificate, key = deployment.loaded.path(tls.certificate_file), deployment.loaded.path(tls.key_file)
    unreadable = [path for path in (certificate, key) if not (path.is_file() and os.access(path, os.R_OK))]
    for path in unreadable:
        yield Check(Verdict.PROBLEM, "tls", f"{path} cannot be read.", "Put a PEM file there that the gateway's user may read.")
    if unreadable:
        return
    if stat.S_IMODE(key.stat().st_mode) & 0o007:
        yield Check(Verdict.PROBLEM, "tls", f"{tls.key_file} is open to every user of the machine.", f"Run `chmod 600 {key}`.")
    yield _pair(certificate, key, tls)


def _pair(certificate: Path, key: Path, tls: Tls) -> Check:
    try:
        # An encrypted key would ask at the terminal; the empty password makes it an error instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError):
        remedy = "Give the unencrypted private key of that very certificate, both in PEM."
        return Check(Verdict.PROBLEM, "tls", f"{tls.certificate_file} and {tls.key_file} do not belong together.", remedy)
    return Check(Verdict.OK, "tls", f"{tls.certificate_file} and {tls.key_file} belong together.")


def _look_at_port(deployment: _Deployment) -> Iterator[Check]:
    listen = deployment.loaded.settings.listen
    where = f"{listen.host} port {listen.port}"
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((listen.host, listen.port))
            door.listen(1)
        except OSError as error:
            yield Check(
                Verdict.PROBLEM, "port", f"{where} cannot be bound ({error.strerror}).", _PORT_REMEDIES.get(error.errno or 0, _OTHER_PORT)
            )
        else:
            yield Check(Verdict.OK, "port", f"{where} is free.")


_OTHER_PORT = "Set another `listen.host` or `listen.port`."
_PORT_REMEDIES: Mapping[int, str] = {
    errno.EADDRINUSE: "Stop what runs there (the gateway itself?), or set another `listen.port`.",
    errno.EACCES: "Set a `listen.port` of 1024 or more, or allow the gateway's user to bind it.",
    errno.EADDRNOTAVAIL: "Set `listen.host` to an address of this machine.",
}

_LOOKS: tuple[Callable[[_Deployment], Iterator[Check]], ...] = (
    _look_at_callers,
    _look_at_definitions,
    _look_at_pins,
    _look_at_policies,
    _look_at_grants,
    _look_at_data,
    _look_at_secrets,
    _look_at_packages,
    _look_at_the_sandbox,
    _look_at_tls,
    _look_at_port,
)
