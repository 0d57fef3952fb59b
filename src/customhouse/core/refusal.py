"""Every way to say no, as rows of one table.

A row says whose fault it is, whether the same call may succeed later, how it looks on the wire and in one sentence
what happened. Application codes stay outside -32768..-32000, which JSON-RPC and MCP keep for themselves
(MCP 2026-07-28, basic, Error Codes). The manual's page of refusals is printed from this table.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Fault(enum.Enum):
    """Who has to change something."""

    CALLER = "caller"
    OPERATOR = "operator"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to say no. `code` is the JSON-RPC error code, `status` the HTTP status of a refusal before or beside the envelope."""

    fault: Fault
    retryable: bool
    code: int
    status: int
    sentence: str
    next_step: str = ""
    """What the caller or the operator can do about it; empty where nothing can be done."""


@enum.unique
class Reason(enum.Enum):
    """The reasons, in the order in which a call meets them."""

    # The frame: HTTP before JSON.
    MALFORMED_HTTP = Row(Fault.CALLER, False, -32600, 400, "The HTTP request is not well formed.", "Send HTTP/1.1 as in RFC 9112.")
    HEADERS_TOO_LARGE = Row(
        Fault.CALLER, False, -32600, 431, "The request headers are larger than allowed.", "Send fewer or shorter headers."
    )
    BODY_TOO_LARGE = Row(Fault.CALLER, False, -32600, 413, "The request body is larger than allowed.", "Send less in one call.")
    REQUEST_TOO_SLOW = Row(Fault.CALLER, True, -32600, 408, "The request did not arrive in time.", "Send the request again without pauses.")
    EXPECTATION_FAILED = Row(
        Fault.CALLER, False, -32600, 417, "The expectation in the request is not supported.", "Send Expect: 100-continue or none."
    )
    LENGTH_REQUIRED = Row(Fault.CALLER, False, -32600, 411, "The request has no body length.", "Send Content-Length or chunked encoding.")
    UNKNOWN_PATH = Row(
        Fault.CALLER, False, -32601, 404, "There is nothing at this address.", "Look up the endpoint with `customhouse servers list`."
    )
    METHOD_NOT_ALLOWED = Row(Fault.CALLER, False, -32601, 405, "This address takes POST requests only.", "Send a POST.")
    FOREIGN_HOST = Row(
        Fault.CALLER,
        False,
        -32600,
        403,
        "The Host header does not name this gateway.",
        "Use the public URL, or let the operator list the host under `listen.allowed_hosts`.",
    )
    FOREIGN_ORIGIN = Row(
        Fault.CALLER,
        False,
        -32600,
        403,
        "Requests from this web origin are not allowed.",
        "Let the operator list the origin under `listen.allowed_origins`.",
    )
    WRONG_CONTENT_TYPE = Row(
        Fault.CALLER, False, -32600, 415, "The request body must be application/json.", "Send Content-Type: application/json."
    )
    NOT_ACCEPTABLE = Row(
        Fault.CALLER,
        False,
        -32600,
        406,
        "The answer may be JSON or an event stream; both must be acceptable.",
        "Send Accept: application/json, text/event-stream.",
    )

    # Who is asking.
    NO_TOKEN = Row(
        Fault.CALLER,
        False,
        -32600,
        401,
        "The request carries no access token.",
        "Get a token from an authorization server named in the protected resource metadata.",
    )
    TOKEN_IN_QUERY = Row(
        Fault.CALLER, False, -32600, 401, "An access token in the query string is never accepted.", "Send it in the Authorization header."
    )
    INVALID_TOKEN = Row(
        Fault.CALLER,
        False,
        -32600,
        401,
        "The access token is not valid for this endpoint.",
        "Get a new token whose audience is this endpoint.",
    )
    ISSUER_UNAVAILABLE = Row(Fault.OPERATOR, True, -32603, 503, "The keys of the token's issuer cannot be read.", "Try again later.")
    RATE_LIMITED = Row(Fault.CALLER, True, 1429, 429, "Too many requests.", "Wait as long as Retry-After says.")

    # The message.
    MALFORMED_JSON = Row(
        Fault.CALLER,
        False,
        -32700,
        400,
        "The body is not strict JSON.",
        "Send UTF-8 JSON without duplicate keys, NaN, lone surrogates or a byte order mark.",
    )
    INVALID_MESSAGE = Row(
        Fault.CALLER,
        False,
        -32600,
        400,
        "The body is not one JSON-RPC 2.0 request or notification.",
        "Send a single message with a string or integer id.",
    )
    INVALID_PARAMS = Row(
        Fault.CALLER, False, -32602, 400, "The parameters of the request are not valid.", "See the message for the parameter."
    )
    HEADER_MISMATCH = Row(
        Fault.CALLER,
        False,
        -32020,
        400,
        "A header and the body of the request disagree.",
        "Send headers that repeat what the body says; refresh tools/list.",
    )
    UNSUPPORTED_VERSION = Row(
        Fault.CALLER, False, -32022, 400, "This protocol version is not supported.", "Use one of the supported versions."
    )
    UNKNOWN_METHOD = Row(Fault.CALLER, False, -32601, 404, "This method is not offered here.", "")
    MISSING_CAPABILITY = Row(
        Fault.CALLER, False, -32021, 400, "The call needs a capability that the client did not declare.", "Declare the capability."
    )

    # Where the conversation stands.
    SESSION_REQUIRED = Row(
        Fault.CALLER, False, -32600, 400, "The request carries no session id.", "Send initialize, then repeat the Mcp-Session-Id of its answer."
    )
    SESSION_UNKNOWN = Row(Fault.CALLER, False, -32600, 404, "There is no such session.", "Send initialize again.")
    TOO_MANY_SESSIONS = Row(
        Fault.GATEWAY, True, 1503, 503, "As many sessions are open as the gateway may hold.", "Try again later, or end sessions with DELETE."
    )
    TOO_MANY_SUBSCRIPTIONS = Row(
        Fault.CALLER, False, 1429, 200, "The session is subscribed to as many resources as it may be.", "Unsubscribe from some."
    )
    TOO_MANY_STREAMS = Row(
        Fault.CALLER, True, 1429, 429, "The caller has as many listening streams open as it may have.", "Close some, or listen to more on one."
    )
    EVENTS_GONE = Row(
        Fault.CALLER,
        False,
        -32600,
        410,
        "The events after this one are no longer kept.",
        "Open a new stream; a write may have happened, so check before you repeat it.",
    )
    INVALID_REQUEST_STATE = Row(
        Fault.CALLER, False, -32602, 200, "The requestState is not valid for this request.", "Send the original request again without it."
    )
    UNKNOWN_TASK = Row(
        Fault.CALLER, False, -32602, 200, "There is no such task for this caller.", "If the task was to write, check before you repeat the call."
    )
    PARKED_CALL_GONE = Row(
        Fault.GATEWAY,
        False,
        1410,
        200,
        "The call that waited for this answer is no longer there.",
        "A write may have happened: check before you repeat the original request.",
    )
    PARKING_FULL = Row(
        Fault.GATEWAY,
        True,
        1503,
        200,
        "As many calls wait for an answer of their caller as may.",
        "Answer the ones that wait, or try again later.",
    )

    # What the name means, and whether it is allowed.
    UNKNOWN_NAME = Row(Fault.CALLER, False, -32602, 200, "There is no such name here for this caller.", "List what is offered.")
    DRIFTED = Row(
        Fault.OPERATOR,
        False,
        1409,
        200,
        "The server changed this entry after it was approved, so it is blocked until somebody reviews it.",
        "Tell the owner of the server; `customhouse servers diff` shows what changed.",
    )
    INVALID_ARGUMENTS = Row(
        Fault.CALLER, False, -32602, 200, "The arguments do not fit the approved input schema of the tool.", "Correct the arguments."
    )
    NOT_PERMITTED = Row(Fault.CALLER, False, 1403, 200, "Policy does not allow this call.", "Ask the owner of the server for a grant.")
    POLICY_BROKE = Row(
        Fault.OPERATOR,
        False,
        1500,
        200,
        "The policy could not be evaluated, so the call is refused.",
        "Tell the operator; `customhouse policy explain` shows the rule.",
    )
    CANARY_FOUND = Row(
        Fault.CALLER,
        False,
        1403,
        200,
        "The arguments carry a marker that must not leave.",
        "Find out what made the call: the marker was planted where nobody should read it.",
    )
    APPROVAL_NEEDED = Row(
        Fault.CALLER,
        True,
        1402,
        200,
        "A person has to approve this very call first.",
        "Tell somebody of the group, then send the same call again, with the same arguments, after retryAfterSeconds.",
    )
    APPROVAL_DENIED = Row(
        Fault.CALLER,
        False,
        1403,
        200,
        "A person was asked to approve this call and said no.",
        "Do not repeat it before expiresAt; talk to the group, or ask for something else.",
    )
    TOO_MANY_APPROVALS = Row(
        Fault.CALLER,
        True,
        1429,
        200,
        "As many calls wait for a person's approval as may.",
        "Wait until some of them are decided.",
    )
    INSUFFICIENT_SCOPE = Row(
        Fault.CALLER,
        False,
        1401,
        403,
        "The access token lacks a scope that this call needs.",
        "Get a token with the scopes of the challenge.",
    )
    ERA_UNSUPPORTED = Row(
        Fault.CALLER,
        False,
        1505,
        200,
        "The server behind this name does not speak the protocol era of the client.",
        "Use a client of the other era.",
    )
    FEATURE_UNSUPPORTED = Row(
        Fault.GATEWAY, False, 1501, 200, "The server asked for an interactive feature that the gateway does not relay.", ""
    )
    TASK_NOT_CARRIED = Row(
        Fault.CALLER,
        False,
        1505,
        200,
        "Tasks have no common form in the protocol revisions of the client and the server, so they are not carried between them.",
        "Call without a task, or use a client of the server's revision.",
    )
    INPUT_NOT_GIVEN = Row(
        Fault.CALLER,
        False,
        1506,
        200,
        "The server asked the client for input that it did not give, so the call cannot go on.",
        "See the message for what was asked.",
    )

    # May it come in now, and can it be written down.
    BUSY = Row(Fault.GATEWAY, True, 1503, 200, "The server has as many calls in flight as it may have.", "Try again shortly.")
    OVERLOADED = Row(Fault.GATEWAY, True, 1503, 503, "The gateway has as many requests in flight as it may have.", "Try again shortly.")
    LEDGER_UNAVAILABLE = Row(Fault.OPERATOR, True, -32603, 503, "The call cannot be recorded, so it is refused.", "Tell the operator.")
    DRAINING = Row(Fault.GATEWAY, True, -32603, 503, "The gateway is shutting down.", "Try again; another instance may answer.")

    # The upstream.
    PACKAGE_CHANGED = Row(
        Fault.OPERATOR,
        False,
        1409,
        200,
        "What is installed for this server is not what was approved, so it is not started.",
        "Tell the owner of the server; `customhouse servers digest` shows what is installed.",
    )
    SANDBOX_UNAVAILABLE = Row(
        Fault.OPERATOR,
        False,
        1502,
        200,
        "The server cannot be contained on this machine, so it is not started.",
        "Tell the operator; `customhouse doctor` says what is missing.",
    )
    SERVER_NOT_STARTED = Row(
        Fault.OPERATOR, True, 1502, 200, "The program of the server could not be started.", "Tell the owner of the server."
    )
    UPSTREAM_UNREACHABLE = Row(
        Fault.UPSTREAM, True, 1502, 200, "The server cannot be reached.", "Try again later, or tell the owner of the server."
    )
    UPSTREAM_TIMED_OUT = Row(
        Fault.UPSTREAM, True, 1504, 200, "The server did not answer in time.", "Try again later; a write may have happened."
    )
    UPSTREAM_DIED = Row(
        Fault.UPSTREAM,
        False,
        1502,
        200,
        "The server ended the connection before it answered.",
        "A write may have happened: check before you repeat it.",
    )
    UPSTREAM_BROKE_PROTOCOL = Row(
        Fault.UPSTREAM, False, 1502, 200, "The server sent something that is not a valid MCP answer.", "Tell the owner of the server."
    )
    UPSTREAM_REDIRECTED = Row(
        Fault.UPSTREAM, False, 1502, 200, "The server answered with a redirect, which is never followed.", "Tell the owner of the server."
    )
    UPSTREAM_REFUSED_CREDENTIAL = Row(
        Fault.OPERATOR, False, 1502, 200, "The server did not accept the gateway's credential.", "Tell the owner of the server."
    )
    UPSTREAM_FAILED = Row(Fault.UPSTREAM, True, 1502, 200, "The server answered with an HTTP error.", "Try again later.")
    UPSTREAM_OVERLOADED = Row(
        Fault.UPSTREAM, True, 1503, 200, "The server asks to be called less often.", "Wait as long as retryAfterSeconds says."
    )
    ADDRESS_REFUSED = Row(
        Fault.OPERATOR,
        False,
        1502,
        200,
        "The address of the server is in a network that the gateway does not connect to.",
        "List the network in the server definition.",
    )
    OUTPUT_INVALID = Row(
        Fault.UPSTREAM,
        False,
        1502,
        200,
        "The result is not what the tool's approved output schema declares, so it is withheld.",
        "A write may have happened: check before you repeat it. Tell the owner of the server.",
    )
    RESULT_TOO_LARGE = Row(Fault.UPSTREAM, False, 1413, 200, "The answer of the server is larger than allowed.", "Ask for less.")
    GATEWAY_BROKE = Row(Fault.GATEWAY, False, -32603, 500, "The gateway failed to handle this request.", "Tell the operator the trace id.")

    # The operators' door.
    NOT_YOUR_ROLE = Row(
        Fault.CALLER, False, 1403, 403, "None of your roles allows this here.", "Ask an admin for a role, or somebody who has one."
    )
    NOTHING_OF_THAT_NAME = Row(Fault.CALLER, False, 1404, 404, "There is nothing of that name.", "List what there is.")
    CONTENT_INVALID = Row(Fault.CALLER, False, 1422, 422, "What was sent cannot be governed as it is.", "See the findings.")
    NOBODY_ANSWERS = Row(
        Fault.CALLER,
        False,
        1422,
        422,
        "The definition leaves out who answers for the server.",
        "Write the fields that are named; review_by lies in the future.",
    )
    STEP_NOT_ALLOWED = Row(
        Fault.CALLER, False, 1409, 409, "From the state it is in, this step leads nowhere.", "Take one of the possible steps."
    )
    SELF_REVIEW = Row(Fault.CALLER, False, 1403, 403, "Whoever proposed something cannot review it.", "Ask somebody else.")
    ONLY_PEOPLE_REVIEW = Row(
        Fault.CALLER, False, 1403, 403, "A program gives no verdict, on nobody's behalf.", "Review with a token of your own."
    )
    REVIEWS_MISSING = Row(Fault.CALLER, False, 1409, 409, "Not enough people accept it.", "Ask for the reviews that are missing.")
    DIGEST_DIFFERS = Row(
        Fault.CALLER, False, 1409, 409, "The digest is not that of the version.", "Look at the version again, then name its digest."
    )
    SELF_APPROVAL = Row(Fault.CALLER, False, 1403, 403, "Whoever asked for a call cannot approve it.", "Ask somebody else of the group.")
    NOT_AN_APPROVER = Row(
        Fault.CALLER, False, 1403, 403, "You cannot decide about this call.", "Ask a person of a group that is asked."
    )
    APPROVAL_OVER = Row(
        Fault.CALLER, False, 1409, 409, "This request for an approval is not waiting any more.", "Look at what became of it."
    )
    ARGUMENTS_CUT = Row(
        Fault.CALLER,
        False,
        1422,
        422,
        "Not every character of the arguments is shown.",
        "Look at them elsewhere, then say that you approve what is not shown.",
    )
    REASON_MISSING = Row(Fault.CALLER, False, 1422, 422, "A yes to a destructive call needs a reason.", "Say why, in a note.")
    CHANGED_MEANWHILE = Row(Fault.CALLER, True, 1409, 409, "Somebody else changed it meanwhile.", "Look at it again.")
    STORE_UNAVAILABLE = Row(
        Fault.OPERATOR, True, 1503, 503, "The store of the control plane cannot be used.", "Tell the operator; the gateway goes on serving."
    )

    @property
    def row(self) -> Row:
        row: Row = self.value
        return row


class Refused(Exception):
    """A call is refused. `detail` is what the caller may see (JSON values); `note` is for the ledger and the operator alone."""

    def __init__(
        self,
        reason: Reason,
        detail: Mapping[str, object] | None = None,
        *,
        message: str = "",
        note: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.detail: Mapping[str, object] = detail or {}
        self.message = message
        """One more sentence for the caller, about this very case."""
        self.note = note
        self.headers = headers
        """Response headers that belong to the refusal, such as WWW-Authenticate."""

    @property
    def sentence(self) -> str:
        """What the caller reads: the row's sentence, then what is special about this case."""
        return f"{self.reason.row.sentence} {self.message}".rstrip()
