"""The table of public advisories that Customhouse is tested against, and of what the rest of them waits for.

A test names its advisories with `@advisory(...)`; `test_the_table.py` holds table, tests and the page of the manual together.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

HERE = Path(__file__).parent
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Case:
    """One advisory: whose product, what went wrong there, what holds here, and what of it cannot be tested yet."""

    product: str
    fault: str
    holds: str
    waits: str = ""
    """The capability whose absence leaves the case, or a part of it, without an object; empty where nothing is left."""


SANDBOX: Final = "starting local servers in a sandbox"
SIGN_IN: Final = "signing users in at servers (OAuth client and consent)"
REGISTRY: Final = "importing servers from a registry"
CONSOLE: Final = "pages for operators"
INTROSPECTION: Final = "looking opaque tokens up at their issuer"
BROKERING: Final = "credentials per caller at servers"
GOLDEN_CALLS: Final = "replaying recorded calls against a server"
PROXIES: Final = "a list of trusted proxies"

GROUPS: Final[Mapping[str, Mapping[str, Case]]] = {
    "Web pages that talk to a local gateway": {
        "CVE-2025-49596": Case(
            "MCP Inspector",
            "a local proxy without authentication could be driven from a web page to start programs",
            "Whatever is not a known route is refused and starts no process; the known ones refuse a foreign Host or Origin.",
            CONSOLE,
        ),
        "CVE-2025-59163": Case(
            "vet",
            "an event stream answered whoever rebound a DNS name",
            "A stream is guarded before it begins: asking for one under a foreign Host or Origin is 403.",
        ),
        "CVE-2025-59956": Case(
            "coder/agentapi", "reading was not guarded, so a rebound page read the chat", "Routes that only read have the same guard."
        ),
        "CVE-2025-64443": Case(
            "docker/mcp-gateway",
            "the streaming modes of the transport lacked the guard",
            "The guard is the same for every method, endpoint and era.",
        ),
        "CVE-2025-66414": Case(
            "MCP TypeScript SDK", "protection against rebinding had to be switched on", "Settings that say nothing about hosts protect."
        ),
        "CVE-2025-66416": Case(
            "MCP Python SDK",
            "the same, in another language",
            "The guard is Customhouse's own: no SDK is loaded, and only listed hosts pass.",
        ),
        "CVE-2026-9739": Case("mcp-toolbox", "rebinding", "A Host that merely resembles the gateway's is refused on every route."),
        "CVE-2026-33252": Case(
            "MCP Go SDK",
            "a cross-site form post ran a tool",
            "A call needs the JSON content type, and one that a browser marks as cross-site is refused, with a valid token too.",
        ),
        "CVE-2026-34742": Case(
            "MCP Go SDK", "listening on localhost counted as protection", "A loopback connection is held to the same hosts."
        ),
        "CVE-2026-34227": Case(
            "Sliver",
            "any origin was allowed, and nobody had to sign in",
            "No answer carries a CORS header, preflights included; every endpoint asks for a token.",
        ),
    },
    "Paths and Host": {
        "CVE-2026-33032": Case(
            "nginx-ui", "one of two MCP paths skipped authentication", "No spelling of an endpoint's path answers without a token."
        ),
        "CVE-2026-48710": Case(
            "Starlette",
            "the Host header could change the path that was authorised",
            "The path is the request target's; a Host with a path is refused; addresses in answers come from `public_url`.",
        ),
        "CF #3891": Case(
            "ContextForge", "an unknown virtual server stood for all servers", "An unknown endpoint is 404, and what is no name is nothing."
        ),
        "CVE-2026-44427": Case(
            "MCP Registry",
            "a path that began with two slashes became a redirect to another site",
            "No path of any spelling is answered with a redirect.",
            CONSOLE,
        ),
    },
    "Two readers, two messages": {
        "CVE-2026-27896": Case(
            "MCP Go SDK",
            "keys matched whatever their case",
            "A key that differs from a known one by case or width is 400; nothing is sent.",
        ),
        "GHSA-q382-vc8q-7jhj": Case("MCP Go SDK", "NUL in a key split readers", "A key with NUL is 400 at any depth."),
        "GHSA-4gph-2hhr-5mwg": Case(
            "Envoy AI Gateway",
            "what was judged and what was forwarded could differ",
            "Servers get bytes written anew from the judged value; ambiguous JSON and ambiguous framing are refused.",
        ),
        "docker/mcp-gateway #414": Case(
            "docker/mcp-gateway",
            "a case variant of a field slipped past the authorisation check",
            "Nested parameters and arguments are held against the names that are known there.",
        ),
        "CVE-2026-47427": Case(
            "GitHub MCP server",
            "completion without its members crashed the process",
            "Absent, null and odd members of any method are errors of the caller, never of the gateway.",
        ),
        "CVE-2026-0621": Case(
            "MCP TypeScript SDK",
            "matching a URI template took exponential time",
            "Matching takes at most one step per character and position.",
        ),
    },
    "Tokens": {
        "CVE-2026-11717": Case(
            "mcp-toolbox", "an opaque token was not checked in full", "Opaque tokens are refused at every endpoint.", INTROSPECTION
        ),
        "CVE-2026-11718": Case(
            "mcp-toolbox",
            "a second way around the same check",
            "Whatever is not a signed token of a known issuer is refused.",
            INTROSPECTION,
        ),
        "CVE-2026-11719": Case(
            "mcp-toolbox", "handlers of older revisions skipped authorisation", "Five revisions, one decision: with and without a grant."
        ),
        "CVE-2026-44428": Case(
            "MCP Registry",
            "deployments shared an audience, so one's tokens worked at another",
            "The audience is the endpoint's own URL; another deployment's or endpoint's token is 401.",
        ),
        "CVE-2026-59822": Case(
            "LiteLLM",
            "a made-up bearer token fell back to a mode without checks",
            "A failed validation ends the call, whatever other credentials come along.",
        ),
        "CVE-2026-45781": Case(
            "MCP Registry",
            "a check of ownership was skipped when the source refused to answer",
            "Keys that cannot be read verify nothing: the token is refused.",
            REGISTRY,
        ),
        "CVE-2026-27124": Case("FastMCP", "another browser could complete a sign-in", "", SIGN_IN),
        "GHSA-6x8h-498w-gv8c": Case("FastMCP", "a client metadata document hid who would get the token", "", SIGN_IN),
    },
    "Callers": {
        "GHSA-vw82-7fv8-r6gp": Case(
            "Obot",
            "whoever knew a server's id could use it",
            "A grant is asked for on every call; another tenant's server answers like none.",
        ),
        "GHSA-g53w-w6mj-hrpp": Case(
            "Kuadrant", "an internal header switched authentication off", "No header changes who calls, and none travels to a server."
        ),
        "CF #5737": Case(
            "ContextForge",
            "a forwarded loopback address with an unsigned context became an administrator",
            "Forwarded and context headers mean nothing, with a token and without.",
            PROXIES,
        ),
        "CVE-2026-25536": Case(
            "MCP TypeScript SDK", "a shared instance mixed up equal ids of two clients", "Equal ids at the same time get their own answers."
        ),
        "CVE-2026-48529": Case(
            "GitHub MCP server",
            "a process-wide singleton kept one user's view for the next",
            "Two people in turns on one connection keep their own lists, decisions and records.",
        ),
    },
    "What a server says after it was approved": {
        "Invariant Labs, 2025-04-01": Case(
            "MCP clients",
            "the description of a tool carried instructions that the model obeyed and nobody read",
            "Clients see the approved words alone; what a reader cannot see, or takes for something else, blocks its entry and is shown "
            "by number to the reviewer.",
        ),
        "Trail of Bits, 2025-04-29": Case(
            "MCP clients",
            "terminal escape codes hid parts of a description",
            "Such entries are not served, and nothing of a server reaches a terminal as a control character.",
        ),
        "CF #5471": Case(
            "ContextForge",
            "ten tools that a server rewrote were served at once",
            "New words reach nobody before a review. A tool on which callers cannot rely any more is blocked, a new one disabled.",
        ),
        "postmark-mcp 1.0.16": Case(
            "postmark-mcp",
            "a new release behind the same definition sent a copy of each mail to a stranger",
            "",
            GOLDEN_CALLS,
        ),
    },
    "Servers": {
        "CVE-2026-30856": Case(
            "WeKnora",
            "an ambiguous name ran another server's tool",
            "Names are looked up, never split; two that meet are refused; a new name that poses as another is shown to its reviewer.",
        ),
        "CVE-2026-34476": Case("SkyWalking MCP", "a request header chose the backend", "No header and no query chooses where a call goes."),
        "CVE-2026-26118": Case(
            "Azure MCP Server",
            "a request could carry the server's own credential to a stranger",
            "Credentials go to the host of the definition; a redirect is refused.",
            BROKERING,
        ),
        "CVE-2026-50158": Case(
            "yutu",
            "a tool argument named any file to write",
            "A rule can limit an argument to listed values; no other spelling passes.",
            SANDBOX,
        ),
        "CVE-2026-44429": Case(
            "MCP Registry",
            "an address in a server's data broke out of an HTML attribute",
            "Addresses of icons are https or data; no answer is HTML; a server's own introduction is not passed on.",
            CONSOLE,
        ),
        "CVE-2025-6514": Case(
            "mcp-remote",
            "a discovered address reached a shell",
            "Addresses that metadata name are fetched over https or not at all, and never executed.",
            SIGN_IN,
        ),
    },
    "Commands": {
        "CVE-2026-22688": Case(
            "WeKnora",
            "testing a server definition ran its command",
            "A definition cannot name a command, and examining one runs nothing.",
            SANDBOX,
        ),
        "CVE-2026-30861": Case(
            "WeKnora",
            "validating a definition ran a part of it",
            "Text of a definition is data: shell syntax in any field runs nothing.",
            SANDBOX,
        ),
        "CVE-2026-42271": Case(
            "LiteLLM",
            "a route for trying servers out ran the command it was given",
            "There is no such route: a command in a request, with the right to call or without, starts no process.",
            SANDBOX,
        ),
        "CVE-2026-55887": Case("docker/mcp-gateway", "a label of an image added arguments", "", SANDBOX),
        "GHSA-qg2g-g9w3-m5h8": Case("ToolHive", "an isolated server reached the host's loopback", "", SANDBOX),
    },
    "What results carry, and what arguments take out": {
        "GitHub MCP 2025-05-26": Case(
            "GitHub MCP server",
            "an issue that strangers wrote made an agent copy private repositories into a public one (Invariant Labs)",
            "A rule over what a conversation has read denies the sink, whatever session, token or trace the client begins anew.",
        ),
        "CVE-2025-32711": Case(
            "Microsoft 365 Copilot",
            "a mail made an assistant show an image whose address carried out what it had read",
            "An image or a link of a host that is not listed cannot be fetched or followed, in results and in what comes before them.",
        ),
        "WhatsApp MCP 2025-04-07": Case(
            "WhatsApp MCP server",
            "messages left in an argument, behind so much white space that nobody saw them (Invariant Labs)",
            "A planted marker ends the call, behind any white space and in base64 too.",
        ),
        "OWASP MCP01": Case(
            "MCP servers",
            "results carried keys and tokens to the model and its logs",
            "Secrets in results, structured content, errors and messages are replaced before they leave.",
        ),
        "AISVS 10.4.1": Case(
            "MCP servers",
            "results were not what the tool declared",
            "A result that does not fit the pinned output schema is withheld; a schema that points elsewhere is never fetched.",
        ),
        "AISVS 10.4.2": Case(
            "MCP servers",
            "results held text that a person does not see, or links that run a script",
            "Characters without a place of their own are removed; scripts in links are written so that nothing runs.",
        ),
    },
    "Addresses": {
        "CVE-2026-44430": Case(
            "MCP Registry",
            "6to4, NAT64 and site-local forms were connected to",
            "An embedded IPv4 address decides, and site-local is private.",
        ),
        "CVE-2026-54450": Case("ToolHive", "the prefixes of NAT64 were missing", "Both prefixes are judged by what they carry."),
        "CVE-2026-58196": Case(
            "ToolHive",
            "discovery of an issuer reached internal services",
            "Every document of an issuer comes through the guarded client; an address it names gets no more than a stranger's.",
        ),
        "CF #4281": Case("ContextForge", "a test endpoint fetched any address", "An address is judged again when it is connected to."),
        "CF #5601": Case(
            "ContextForge",
            "addresses inside an OAuth configuration were not checked",
            "Every field that holds an address is checked when it is read.",
        ),
    },
    "Classes of the threat model: people who approve calls": {
        "T14": Case(
            "any approval by a person",
            "a recipient behind white space, or turned around by characters of no width, leaves with a call that somebody approved",
            "An approver is shown every character of every argument; what is too long says so, and a yes to it has to say that, too.",
        ),
        "T21": Case(
            "any approval by a person",
            "people are asked until they say yes to all, or are shown a title that a server or a model wrote",
            "Questions are limited per caller and per group, an equal call is no second one, and a title is made of names in quotes alone.",
        ),
    },
}

CASES: Final[Mapping[str, Case]] = {name: case for group in GROUPS.values() for name, case in group.items()}


def advisory(*names: str) -> Callable[[F], F]:
    """Says which advisories a test is for."""
    unknown = [name for name in names if name not in CASES]
    assert names, "a test is for some advisory"
    assert not unknown, unknown
    return lambda test: test


def tests_by_advisory() -> dict[str, list[str]]:
    """The node ids of the tests of each advisory, in the order of the files, read from the source."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for test, names in _marked(ast.parse(path.read_text(encoding="utf-8"))):
            for name in names:
                found.setdefault(name, []).append(f"{path.name}::{test}")
    return found


def unmarked_tests() -> list[str]:
    """Tests of a case file that name no advisory."""
    files = [path for path in sorted(HERE.glob("test_*.py")) if path.name != "test_the_table.py"]
    return [f"{path.name}::{test}" for path in files for test, names in _marked(ast.parse(path.read_text(encoding="utf-8"))) if not names]


def _marked(module: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, [name for decorator in node.decorator_list for name in _names(decorator)]


def _names(decorator: ast.expr) -> list[str]:
    if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "advisory":
        return [argument.value for argument in decorator.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
    return []
