"""What an endpoint shows a recipient, picked out of the catalogue for an export.

The names are those of the endpoint's own table, so each stands in a pin and can be called there. What no call of the recipient could reach
is not picked and not mentioned; what is left out for another reason is a finding, never a silence.
A provider only warns of an unknown name in an allow-list (platform.claude.com, MCP connector), so nobody should write them by hand.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from customhouse.core.catalogue import Endpoint, Tool
from customhouse.core.manifest import Effect
from customhouse.core.policy import ActionRef, Policy
from customhouse.core.protocol.entries import needs_task

DEFAULT_LABEL = "customhouse"
"""What the portal `default` is called in a client, where `default` would say nothing."""


class ExportFinding(msgspec.Struct, frozen=True):
    """Something that whoever exports has to know."""

    about: str
    """The endpoint, or the tool at it."""
    sentence: str
    stops: bool = False
    """Whether nothing can be exported while it holds."""

    def __str__(self) -> str:
        return f"{self.about}: {self.sentence}"


class ExportedTool(msgspec.Struct, frozen=True):
    """A tool by its name at the endpoint, as it is pinned and reviewed."""

    name: str
    definition: Mapping[str, Any]
    effect: Effect
    scopes: tuple[str, ...] = ()


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint as a recipient sees it."""

    label: str
    """The portal's or the server's name, or `customhouse` for the portal `default`."""
    url: str
    description: str = ""
    tools: tuple[ExportedTool, ...] = ()
    findings: tuple[ExportFinding, ...] = ()


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever exports asks for beyond the format's plain form."""

    writes: bool = False
    """Whether tools that change things are wanted too."""
    defer: bool = False
    """Whether tools are loaded by the provider's tool search instead of at once."""
    sign_in: bool = False
    """Whether the client finds the authorization server by itself (RFC 9728), so that no token is asked for."""
    denied_urls: tuple[str, ...] = ()
    """Addresses that clients must not use past the gateway."""


class Export(msgspec.Struct, frozen=True):
    """A rendered document, or none if a finding stops it."""

    document: dict[str, Any] | None
    findings: tuple[ExportFinding, ...] = ()


def select(endpoint: Endpoint, tenant: str, reached: Callable[[Tool], bool], *, writes: bool) -> Selection:
    """The tools that callers of a tenant reach by `reached`; those that change things only if `writes` are asked for."""
    seen = [(name, tool) for name, tool in sorted(endpoint.tools.items()) if tool.server.tenant == tenant and reached(tool)]
    as_tasks = [name for name, tool in seen if needs_task(tool.definition)]
    changing = [f"{name} ({tool.entry.effect})" for name, tool in seen if tool.entry.changes_things and name not in as_tasks]
    findings = [ExportFinding(name, "Left out: it works as a task alone, and the gateway relays no such tasks.") for name in as_tasks]
    if changing and not writes:
        findings.append(
            ExportFinding(endpoint.path, f"Left out, since they change things and writes were not asked for: {_list(changing)}.")
        )
    picked = [(name, tool) for name, tool in seen if name not in as_tasks and (writes or not tool.entry.changes_things)]
    return Selection(
        label=label_of(endpoint),
        url=endpoint.resource,
        description="" if endpoint.portal or not picked else picked[0][1].server.description,
        tools=tuple(ExportedTool(name, tool.definition, tool.review.effect, tool.review.scopes) for name, tool in picked),
        findings=(*findings, *_scope_findings(picked)),
    )


def _scope_findings(picked: list[tuple[str, Tool]]) -> list[ExportFinding]:
    return [
        ExportFinding(name, f"A token for it needs the scope {', '.join(tool.review.scopes)}.")
        for name, tool in picked
        if tool.review.scopes
    ]


def label_of(endpoint: Endpoint) -> str:
    """What a client calls the endpoint."""
    if endpoint.portal:
        return DEFAULT_LABEL if endpoint.portal == "default" else endpoint.portal
    return next(iter(endpoint.servers))


def grantable(policy: Policy, ref: ActionRef) -> bool:
    """Whether the policy lets anybody at all do this: some permit covers it, and no forbid covers it whoever asks and whatever is asked.

    Rules with conditions are taken for their best, so a yes is a perhaps and a no is a no.
    """
    actions, resources = ref.actions, ref.resources
    covering = [
        rule for rule in policy.rules if rule.action.matches(ref.action, actions) and rule.resource.matches(ref.resource, resources)
    ]
    for_all = [
        rule for rule in covering if rule.principal.anchors is None and not rule.principal.entity_type and not rule.syntax.get("conditions")
    ]
    return any(rule.permits for rule in covering) and all(rule.permits for rule in for_all)


def finished(document: dict[str, Any], findings: list[ExportFinding]) -> Export:
    """The export: without its document if something stops it."""
    return Export(None if any(finding.stops for finding in findings) else document, tuple(findings))


def _list(names: list[str]) -> str:
    return ", ".join(names)
