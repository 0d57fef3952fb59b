"""What settings must be together, beyond the type of each: one row per sentence.

Sources: RFC 8414 section 2 (an issuer is an https URL without query and fragment), RFC 8707 section 2 (a resource has no fragment),
RFC 6454 section 6 (an origin is scheme, host and port), RFC 9700 section 2.6 (TLS end to end).
"""

import re
from collections.abc import Iterable, Iterator

from customhouse.config.addresses import is_host, is_ip_address, is_network, names_loopback, web_address
from customhouse.config.conversion import Complaint, Rule, Rules
from customhouse.config.findings import Key
from customhouse.config.secretowners import misread_secrets
from customhouse.config.tree import Approvals, ClaimNames, Control, Identity, Issuer, Listen, RegistryApi, Settings, Tls
from customhouse.core.naming import SERVER_NAME

NAME_REMEDY = "Use 1 to 40 characters of a-z, 0-9 and single hyphens between them."
_ENDPOINT = re.compile(r"/mcp|/mcp/(?P<portal>[^/]+)|/servers/(?P<server>[^/]+)/mcp")
_PORT = re.compile(r":[0-9]{1,5}\Z")


def endpoint_names(path: str) -> tuple[str, str] | None:
    """The portal or the server that an endpoint path names, the other one empty; None: it is no endpoint's path."""
    fits = _ENDPOINT.fullmatch(path)
    if fits is None:
        return None
    return ("", fits["server"]) if fits["server"] else (fits["portal"] or "default", "")


def listens_on_loopback(settings: Settings) -> bool:
    return names_loopback(settings.listen.host)


def is_public_address_local(settings: Settings) -> bool:
    return web_address(settings.public_url).on_loopback


def _host_to_bind(listen: Listen) -> Iterator[Complaint]:
    if not is_ip_address(listen.host) and listen.host != "localhost":
        remedy = "Write an IP address to bind, such as 127.0.0.1 or 0.0.0.0, or localhost."
        yield Complaint(("host",), "The host is not an IP address.", remedy)


def _host_headers(listen: Listen) -> Iterator[Complaint]:
    for index, text in enumerate(listen.allowed_hosts):
        host = _PORT.sub("", text)
        if host.startswith("[") != host.endswith("]") or not is_host(host.strip("[]")) or (":" in host and not host.startswith("[")):
            yield Complaint(("allowed_hosts", index), "This is not a host.", "Write a name or an address, with a port where one is sent.")


def _web_origins(listen: Listen) -> Iterator[Complaint]:
    remedy = "Write scheme, host and port alone, for example https://app.example."
    for index, text in enumerate(listen.allowed_origins):
        key: Key = ("allowed_origins", index)
        try:
            origin = web_address(text)
        except ValueError:
            yield Complaint(key, "This is not a web origin.", remedy)
            continue
        if text != f"{origin.scheme}://{origin.authority}":
            yield Complaint(key, "A web origin has no path, no default port and no capitals.", remedy)


def _certificate_paths(tls: Tls) -> Iterator[Complaint]:
    for name in ("certificate_file", "key_file"):
        if not getattr(tls, name).strip():
            yield Complaint((name,), "The path is blank.", "Name a PEM file, or leave `tls` out.")


def _issuer_address(issuer: Issuer) -> Iterator[Complaint]:
    remedy = "Write the issuer exactly as its tokens and its metadata do, for example https://idp.example."
    for problem in _address_problems(issuer.issuer):
        yield Complaint(("issuer",), problem, remedy)


def _jwks_address(issuer: Issuer) -> Iterator[Complaint]:
    if not issuer.jwks_url:
        return
    for problem in _address_problems(issuer.jwks_url, query=True):
        yield Complaint(("jwks_url",), problem, "Write the https address of the key set, or leave the key out to discover it.")


def _address_problems(text: str, *, query: bool = False, what: str = "Keys of an issuer are never fetched") -> Iterator[str]:
    try:
        address = web_address(text)
    except ValueError as unreadable:
        yield str(unreadable)
        return
    if address.scheme == "http" and not address.on_loopback:
        yield f"{what} over plain http, except on loopback."
    if address.userinfo:
        yield "The address carries a user name or a password."
    if address.fragment or (address.query and not query):
        yield "The address carries a query or a fragment."


def _tenant_of_issuer(issuer: Issuer) -> Iterator[Complaint]:
    if issuer.tenant and (issuer.tenant_claim or issuer.tenants):
        yield Complaint(
            ("tenant",), "The issuer has one tenant and a claim for the tenant.", "Keep `tenant`, or `tenant_claim` with `tenants`."
        )
    elif not issuer.tenant.strip() and not issuer.tenant_claim:
        remedy = "Add `tenant: NAME`, or `tenant_claim` with the table `tenants`."
        yield Complaint((), "The issuer is mapped to no tenant.", remedy)
    elif issuer.tenant_claim and not issuer.tenants:
        remedy = "Add `tenants: {claim value: tenant}`; a value that is not listed is refused."
        yield Complaint(("tenant_claim",), "The values of the tenant claim are mapped to no tenant.", remedy)
    for value, tenant in issuer.tenants.items():
        if not value.strip() or not tenant.strip():
            yield Complaint(("tenants", value), "A claim value or its tenant is blank.", "Write both out.")


def _networks_of_issuer(issuer: Issuer) -> Iterator[Complaint]:
    return bad_networks(issuer.networks)


def bad_networks(networks: Iterable[str]) -> Iterator[Complaint]:
    for index, text in enumerate(networks):
        if not is_network(text):
            remedy = "Write an address and a prefix length without host bits, for example 10.20.0.0/16."
            yield Complaint(("networks", index), "This is not a network.", remedy)


def _audiences_of_issuer(issuer: Issuer) -> Iterator[Complaint]:
    remedy = "Write endpoint paths: /mcp, /mcp/<portal> or /servers/<name>/mcp."
    for audience, paths in issuer.audiences.items():
        if not audience.strip():
            yield Complaint(("audiences", audience), "The audience is blank.", "Write the `aud` value of the issuer's tokens.")
        if not paths:
            yield Complaint(("audiences", audience), "The audience opens no endpoint.", remedy)
        for index, path in enumerate(paths):
            if endpoint_names(path) is None:
                yield Complaint(("audiences", audience, index), "This is not the path of an endpoint.", remedy)


def _algorithms_of_issuer(issuer: Issuer) -> Iterator[Complaint]:
    if not issuer.algorithms:
        yield Complaint(("algorithms",), "No algorithm is accepted, so no token is.", "List at least one, or leave the key out.")


def _claims_that_name_somebody(claims: ClaimNames) -> Iterator[Complaint]:
    if not claims.person.strip() and not claims.workload.strip():
        yield Complaint((), "No claim names the person or the workload.", "Fill `person`, `workload` or both.")
    if not claims.client.strip():
        yield Complaint(("client",), "No claim names the client.", "Write the claim, for example client_id.")


def _issuers_once(identity: Identity) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, issuer in enumerate(identity.issuers):
        if issuer.issuer in first:
            problem = f"The issuer is listed already, as number {first[issuer.issuer] + 1}."
            yield Complaint(("issuers", index, "issuer"), problem, "Keep one entry per issuer.")
        first.setdefault(issuer.issuer, index)


def _ages_of_keys(identity: Identity) -> Iterator[Complaint]:
    if identity.jwks_max_stale_seconds < identity.jwks_max_age_seconds:
        problem = "Keys would be too old to serve before they are old enough to be fetched again."
        yield Complaint(
            ("jwks_max_stale_seconds",), problem, f"Write at least {identity.jwks_max_age_seconds:g}, the value of jwks_max_age_seconds."
        )


def approvers_audience(settings: Settings) -> str:
    """The audience of tokens with which people decide about calls: the operators' API, or an address that is no endpoint where there is
    none. Never that of an endpoint, or an agent could approve with its own token."""
    return control_url(settings) if settings.control is not None else settings.public_url + "/approvals"


def _console_of_approvals(approvals: Approvals) -> Iterator[Complaint]:
    if approvals.console_url:
        for problem in _address_problems(approvals.console_url, what="Approvers are never sent"):
            yield Complaint(("console_url",), problem, "Write an https address, or leave the key out.")
        if approvals.console_url.endswith("/"):
            yield Complaint(("console_url",), "The address ends with a slash.", "Leave the slash out.")


def _webhook_of_approvals(approvals: Approvals) -> Iterator[Complaint]:
    for problem in _address_problems(approvals.webhook_url, query=True, what="Notices are never sent") if approvals.webhook_url else ():
        yield Complaint(("webhook_url",), problem, "Write an https address, or leave the key out.")
    if approvals.webhook_url and not approvals.webhook_key.startswith(("env:", "file:")):
        remedy = "Add `webhook_key: env:NAME` or `file:PATH`; the value is `whsec_` and base64 of 24 to 64 bytes."
        yield Complaint(("webhook_key",), "Notices would go out without a signature.", remedy)
    if approvals.webhook_key and not approvals.webhook_url:
        yield Complaint(("webhook_url",), "There is a key for notices and no address.", "Add `webhook_url`, or leave `webhook_key` out.")


def _networks_of_webhook(approvals: Approvals) -> Iterator[Complaint]:
    for complaint in bad_networks(approvals.webhook_networks):
        yield Complaint(("webhook_networks", *complaint.key[1:]), complaint.problem, complaint.remedy)


def _public_address(settings: Settings) -> Iterator[Complaint]:
    try:
        address = web_address(settings.public_url)
    except ValueError as unreadable:
        yield Complaint(("public_url",), str(unreadable), "Write the address that callers use, for example https://mcp.example.")
        return
    if settings.public_url != f"{address.scheme}://{address.authority}":
        remedy = f"Write {address.scheme}://{address.authority}: tokens name this text exactly."
        yield Complaint(("public_url",), "The address has a path, a query, a user, a default port, capitals or a slash at the end.", remedy)


def _public_scheme(settings: Settings) -> Iterator[Complaint]:
    address = web_address(settings.public_url)
    if settings.listen.tls is not None and address.scheme == "http":
        yield Complaint(("public_url",), "The gateway serves TLS, but the address says http.", f"Write https://{address.authority}.")
    elif address.scheme == "http" and not address.on_loopback:
        remedy = "Write an https address, and give `listen.tls` or a proxy on this machine the certificate."
        yield Complaint(("public_url",), "Tokens would travel over plain http.", remedy)


def _public_host(settings: Settings) -> Iterator[Complaint]:
    if is_public_address_local(settings) and not listens_on_loopback(settings):
        remedy = "Set `public_url` to the address that callers use, for example https://mcp.example."
        yield Complaint(("public_url",), "The gateway listens to other machines, but its address is this machine's own.", remedy)


def _exposed_without_tls(settings: Settings) -> Iterator[Complaint]:
    if not listens_on_loopback(settings) and settings.listen.tls is None:
        remedy = "Add `listen.tls` with certificate_file and key_file, or bind 127.0.0.1."
        yield Complaint(("listen", "host"), "The gateway listens to other machines without TLS.", remedy)


def _exposed_with_development_issuer(settings: Settings) -> Iterator[Complaint]:
    if settings.identity.development_issuer.enabled and not (listens_on_loopback(settings) and is_public_address_local(settings)):
        remedy = "Set it to false and list a real issuer under `identity.issuers`, or stay on loopback."
        problem = "The development issuer is on, but the gateway serves other machines."
        yield Complaint(("identity", "development_issuer", "enabled"), problem, remedy)


def _exposed_without_issuer(settings: Settings) -> Iterator[Complaint]:
    if not listens_on_loopback(settings) and not settings.identity.issuers:
        yield Complaint(
            ("listen", "host"),
            "The gateway listens to other machines without an issuer.",
            "Add one under `identity.issuers`, or bind 127.0.0.1.",
        )


def control_url(settings: Settings) -> str:
    """The address of the operators' API. Raises `ValueError` where there is no control process."""
    control = settings.control
    if control is None:
        raise ValueError("there is no control process")
    scheme = "http" if control.tls is None else "https"
    host = f"[{control.host}]" if ":" in control.host else control.host
    return control.public_url or f"{scheme}://{host}:{control.port}"


def _host_of_control(control: Control) -> Iterator[Complaint]:
    if not is_ip_address(control.host) and control.host != "localhost":
        yield Complaint(("host",), "The host is not an IP address.", "Write an IP address to bind, or localhost.")
    elif not names_loopback(control.host) and control.tls is None:
        remedy = "Add `tls` with certificate_file and key_file, or bind 127.0.0.1."
        yield Complaint(("host",), "The operators' API listens to other machines without TLS.", remedy)


def _address_of_control(control: Control) -> Iterator[Complaint]:
    if not control.public_url:
        return
    try:
        address = web_address(control.public_url)
    except ValueError as unreadable:
        yield Complaint(("public_url",), str(unreadable), "Write the address that operators use, for example https://control.example.")
        return
    if control.public_url != f"{address.scheme}://{address.authority}":
        yield Complaint(("public_url",), "The address is not an origin.", f"Write {address.scheme}://{address.authority}.")
    elif address.scheme == "http" and not address.on_loopback:
        yield Complaint(("public_url",), "Tokens of operators would travel over plain http.", "Write an https address.")


def _roles_of_control(control: Control) -> Iterator[Complaint]:
    for index, one in enumerate(control.roles):
        for name in ("groups", "people"):
            for position, text in enumerate(getattr(one, name)):
                tenant, slash, rest = text.partition("/")
                if not tenant or not slash or not rest:
                    key: Key = ("roles", index, name, position)
                    yield Complaint(key, "This names nobody.", "Write `tenant/group`, or `tenant/person` under `people`.")
        if not one.groups and not one.people:
            yield Complaint(("roles", index), "The role is given to nobody.", "Add `groups` or `people`.")


_NAMESPACE = re.compile(r"(?=.{1,120}\Z)[a-zA-Z0-9]+(-+[a-zA-Z0-9]+)*(\.[a-zA-Z0-9]+(-+[a-zA-Z0-9]+)*)+")


def _namespace_of_registry(registry: RegistryApi) -> Iterator[Complaint]:
    if _NAMESPACE.fullmatch(registry.namespace) is None:
        yield Complaint(("namespace",), "This is not a domain name in reverse.", "Write it like com.example.mcp.")


def _portal_names(settings: Settings) -> Iterator[Complaint]:
    for name in settings.portals:
        if SERVER_NAME.fullmatch(name) is None:
            yield Complaint(("portals", name), "This cannot be the name of a portal.", NAME_REMEDY)


def _portal_servers(settings: Settings) -> Iterator[Complaint]:
    for name, portal in settings.portals.items():
        for index, server in enumerate(portal.servers):
            if server in portal.servers[:index]:
                yield Complaint(("portals", name, "servers", index), "The server is listed twice.", "Keep it once.")


_HOST: Key = ("listen", "host")
_PUBLIC: Key = ("public_url",)
_TLS: Key = ("listen", "tls")

SETTINGS_RULES: Rules = {
    Listen: (
        Rule((("host",),), _host_to_bind, spoils=True),
        Rule((("allowed_hosts",),), _host_headers),
        Rule((("allowed_origins",),), _web_origins),
    ),
    Tls: (Rule((("certificate_file",), ("key_file",)), _certificate_paths),),
    Issuer: (
        Rule((("issuer",),), _issuer_address),
        Rule((("jwks_url",),), _jwks_address),
        Rule((("tenant",), ("tenant_claim",), ("tenants",)), _tenant_of_issuer),
        Rule((("networks",),), _networks_of_issuer),
        Rule((("audiences",),), _audiences_of_issuer),
        Rule((("algorithms",),), _algorithms_of_issuer),
    ),
    ClaimNames: (Rule((("person",), ("workload",), ("client",)), _claims_that_name_somebody),),
    Identity: (
        Rule((("issuers",),), _issuers_once),
        Rule((("jwks_max_age_seconds",), ("jwks_max_stale_seconds",)), _ages_of_keys),
    ),
    Control: (
        Rule((("host",), ("tls",)), _host_of_control, spoils=True),
        Rule((("public_url",),), _address_of_control),
        Rule((("roles",),), _roles_of_control),
        Rule((("secrets",),), misread_secrets),
    ),
    RegistryApi: (Rule((("namespace",),), _namespace_of_registry),),
    Approvals: (
        Rule((("console_url",),), _console_of_approvals),
        Rule((("webhook_url",), ("webhook_key",)), _webhook_of_approvals),
        Rule((("webhook_networks",),), _networks_of_webhook),
    ),
    Settings: (
        Rule((_PUBLIC,), _public_address, spoils=True),
        Rule((_PUBLIC, _HOST), _public_host, spoils=True),
        Rule((_PUBLIC, _TLS), _public_scheme),
        Rule((_HOST, _TLS), _exposed_without_tls),
        Rule((_HOST, _PUBLIC, ("identity", "development_issuer")), _exposed_with_development_issuer),
        Rule((_HOST, ("identity", "issuers")), _exposed_without_issuer),
        Rule((("portals",),), _portal_names),
        Rule((("portals",),), _portal_servers),
    ),
}
