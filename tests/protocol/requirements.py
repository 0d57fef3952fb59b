"""Requirements of the protocol that hold: what each says, where it comes from, for which revisions, and the tests that show it.

A clause without another revision before it is one of MCP 2026-07-28. What is not here is not claimed; the page
of limits in the manual says what is missing.
"""

from dataclasses import dataclass
from typing import Final

from customhouse.core.protocol.revisions import LEGACY_REVISIONS, MODERN_REVISIONS

MODERN: Final = MODERN_REVISIONS
LEGACY: Final = LEGACY_REVISIONS
BOTH: Final = MODERN + LEGACY


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement."""

    name: str
    holds: str
    clause: str
    revisions: tuple[str, ...]
    tests: tuple[str, ...]
    """Below `tests/`: file, two colons, function."""


REQUIREMENTS: Final = (
    Requirement(
        "GW-01",
        "a present Origin that is not listed is 403 and goes no further",
        "basic/transports/streamable-http, Security",
        BOTH,
        (
            "cves/test_foreign_pages.py::test_a_cross_site_call_calls_nothing",
            "cves/test_foreign_pages.py::test_the_guard_is_the_same_in_every_revision",
        ),
    ),
    Requirement(
        "GW-03",
        "a request without Origin is processed",
        "basic/transports/streamable-http, Security 1",
        BOTH,
        ("cves/test_tokens.py::test_a_grant_counts_in_every_revision",),
    ),
    Requirement(
        "GW-06",
        "a body that is not declared as JSON is refused",
        "basic/transports/streamable-http, Sending Messages 2",
        BOTH,
        ("cves/test_foreign_pages.py::test_a_form_post_calls_nothing",),
    ),
    Requirement(
        "GW-07",
        "a body or head above its limit is refused before it is read",
        "SEP-2243, No size limit",
        BOTH,
        (
            "edge/test_requests.py::test_a_large_head_is_refused",
            "edge/test_requests.py::test_a_large_body_is_refused_by_its_length_before_it_comes",
            "edge/test_requests.py::test_a_large_body_is_refused_while_its_chunks_come",
        ),
    ),
    Requirement(
        "GW-08",
        "what is no JSON or no JSON-RPC request is 400",
        "basic, Requests",
        BOTH,
        (
            "cves/test_readers.py::test_json_that_two_parsers_read_differently_is_refused",
            "cves/test_readers.py::test_a_body_is_one_message_and_nothing_else",
        ),
    ),
    Requirement(
        "GW-09",
        "clients with the same ids get their own answers",
        "basic, Requests",
        BOTH,
        (
            "cves/test_callers.py::test_equal_ids_at_the_same_time_get_their_own_answers",
            "journeys/test_many_clients.py::test_two_hundred_clients_with_colliding_ids_never_hear_each_other",
        ),
    ),
    Requirement(
        "GW-14",
        "Mcp-Name that differs from the body is refused, and the body decides",
        "basic/transports/streamable-http, Server Validation",
        MODERN,
        ("journeys/test_refusals.py::test_a_name_in_the_header_that_differs_from_the_body_is_refused_before_anything_is_decided",),
    ),
    Requirement(
        "GW-16",
        "a header that decides something and occurs twice is refused",
        "RFC 9110 section 5.3",
        MODERN,
        (
            "edge/test_smuggling.py::test_a_header_that_decides_something_comes_once",
            "cves/test_tokens.py::test_two_credentials_are_none",
        ),
    ),
    Requirement(
        "GW-17",
        "a mirrored parameter repeats the body",
        "basic/transports/streamable-http, Custom Headers",
        MODERN,
        ("gateway/test_deciding.py::test_a_mirrored_parameter_repeats_the_body",),
    ),
    Requirement(
        "GW-23",
        "GET on an endpoint is 405 with Allow",
        "basic/transports/streamable-http, Earlier Revisions",
        BOTH,
        ("edge/test_requests.py::test_an_endpoint_takes_post_alone",),
    ),
    Requirement(
        "GW-26",
        "a notification is taken and cancels nothing",
        "basic/patterns/cancellation",
        MODERN,
        ("gateway/test_endings.py::test_a_modern_notification_is_taken_and_cancels_nothing",),
    ),
    Requirement(
        "GW-29",
        "a caller that closes its stream cancels the call",
        "basic/patterns/cancellation",
        MODERN,
        ("edge/test_turns.py::test_leaving_cancels_a_modern_call_and_no_legacy_one",),
    ),
    Requirement(
        "GW-31",
        "discovery names modern versions only",
        "server/discover",
        MODERN,
        ("gateway/test_deciding.py::test_discovery_names_modern_versions_only_and_no_server_of_others",),
    ),
    Requirement(
        "GW-32",
        "a list is the same for the same caller",
        "server/tools, Capabilities",
        MODERN,
        ("gateway/test_deciding.py::test_a_list_is_the_same_bytes_again_for_whoever_asks_from_the_same_context",),
    ),
    Requirement(
        "GW-33",
        "callers with different grants see different lists",
        "server/tools, Capabilities",
        MODERN,
        ("cves/test_callers.py::test_two_people_in_turns_on_one_connection_keep_their_own",),
    ),
    Requirement(
        "GW-35",
        "each legacy version is greeted with itself, an unknown one with the newest",
        "2025-11-25, basic/lifecycle, Version Negotiation",
        LEGACY,
        (
            "gateway/test_deciding.py::test_each_legacy_revision_is_greeted_with_itself",
            "gateway/test_deciding.py::test_any_other_revision_is_answered_with_the_newest_legacy_one",
        ),
    ),
    Requirement(
        "GW-40",
        "a batch is refused",
        "2025-06-18, changelog 1",
        ("2025-11-25",),
        ("cves/test_readers.py::test_a_body_is_one_message_and_nothing_else",),
    ),
    Requirement(
        "GW-42",
        "a legacy cancellation ends its call without an answer",
        "2025-11-25, basic/utilities/cancellation",
        LEGACY,
        ("gateway/test_endings.py::test_a_legacy_cancellation_ends_the_call_of_that_id_without_an_answer",),
    ),
    Requirement(
        "GW-46",
        "ping is answered here",
        "2025-11-25, basic/utilities/ping",
        LEGACY,
        ("gateway/test_deciding.py::test_ping_and_log_levels_are_answered_here",),
    ),
    Requirement(
        "GW-47",
        "an upstream that answers with a recognised modern error is spoken to at a revision it names, without a greeting if that is modern",
        "basic/transports/streamable-http, Backward Compatibility",
        MODERN,
        (
            "upstreams/test_eras.py::test_a_modern_server_that_turns_legacy_is_called_again_in_its_session",
            "upstreams/test_eras.py::test_what_a_server_says_to_discovery_decides_its_era",
            "upstreams/test_stdio_eras.py::test_what_a_server_says_to_discovery_decides_its_era",
            "core/test_era_detection.py::test_a_recognised_error_is_modern",
        ),
    ),
    Requirement(
        "GW-48",
        "an upstream that answers 400, 404 or 405 with anything else is greeted, and looked for behind a stream of HTTP+SSE",
        "basic/transports/streamable-http, Backward Compatibility",
        LEGACY,
        (
            "upstreams/test_eras.py::test_what_a_server_says_to_discovery_decides_its_era",
            "upstreams/test_transports.py::test_a_server_that_takes_no_post_is_found_behind_its_stream",
            "upstreams/test_transports.py::test_a_server_that_is_of_no_transport_is_refused_with_what_it_said_first",
        ),
    ),
    Requirement(
        "GW-49",
        "refusals, outages and silence over HTTP decide no era",
        "basic/versioning",
        BOTH,
        (
            "upstreams/test_eras.py::test_refusals_and_outages_decide_nothing",
            "upstreams/test_eras.py::test_silence_decides_nothing",
            "upstreams/test_eras.py::test_a_greeting_that_is_refused_says_nothing_of_the_era",
            "upstreams/test_transports.py::test_refused_credentials_are_no_reason_to_look_for_a_stream",
        ),
    ),
    Requirement(
        "GW-50",
        "a server on stdio that ends on discovery is greeted once, on another process",
        "basic/transports/stdio, Backward Compatibility",
        LEGACY,
        ("upstreams/test_stdio_eras.py::test_a_server_that_ends_on_the_question_is_greeted_once_on_another_process",),
    ),
    Requirement(
        "GW-51",
        "a server on stdio that is silent on discovery is greeted in time; the verdict is kept once the greeting succeeded",
        "basic/transports/stdio, Backward Compatibility",
        LEGACY,
        (
            "upstreams/test_stdio_eras.py::test_what_a_server_says_to_discovery_decides_its_era",
            "upstreams/test_stdio_eras.py::test_silence_is_no_verdict_until_the_greeting_succeeded",
            "upstreams/test_stdio_eras.py::test_a_verdict_ages",
        ),
    ),
    Requirement(
        "GW-52",
        "a discovery that lists no modern version is the advertisement of a legacy server",
        "basic/versioning",
        LEGACY,
        (
            "core/test_era_detection.py::test_a_result_is_modern_if_it_lists_a_modern_version",
            "upstreams/test_stdio_eras.py::test_what_a_server_says_to_discovery_decides_its_era",
        ),
    ),
    Requirement(
        "GW-53",
        "every header of a forwarded call is made anew from the body that goes out",
        "basic/transports/streamable-http, Request Metadata",
        MODERN,
        ("upstreams/test_calls.py::test_a_modern_request_is_made_anew_with_the_gateways_own_envelope",),
    ),
    Requirement(
        "GW-54",
        "a tool whose x-mcp-header annotations cannot be used is left out, the others are served",
        "basic/transports/streamable-http, Schema Extension",
        MODERN,
        (
            "core/test_limits.py::test_a_defective_tool_is_taken_out_and_the_others_are_served",
            "core/test_paramheaders.py::test_an_annotation_that_breaks_a_rule_is_refused",
        ),
    ),
    Requirement(
        "GW-55",
        "a session that its server ended is opened again once, for one more try",
        "2025-11-25, basic/transports, Session Management 4",
        LEGACY,
        (
            "upstreams/test_eras.py::test_a_session_that_ended_is_opened_again_once_for_all_that_wait",
            "upstreams/test_eras.py::test_a_server_that_forgets_every_session_fails_the_call_after_one_more",
        ),
    ),
    Requirement(
        "GW-56",
        "a stream of a call that was lost after an event id is taken up again after the pause that its server asked for",
        "2025-11-25, basic/transports, Resumability and Redelivery",
        LEGACY,
        (
            "upstreams/test_standing_streams.py::test_a_stream_that_was_lost_after_an_event_id_is_taken_up_again",
            "upstreams/test_standing_streams.py::test_a_lost_stream_waits_as_long_as_the_server_said",
            "upstreams/test_official_servers.py::test_a_stream_that_it_closed_is_taken_up_again",
        ),
    ),
    Requirement(
        "GW-57",
        "a legacy server without a GET stream is not subscribed to, and no change that nobody could tell is acknowledged",
        "basic/patterns/subscriptions, Acknowledgment",
        BOTH,
        (
            "upstreams/test_standing_streams.py::test_a_server_without_a_stream_is_not_subscribed_to_and_not_asked_again",
            "core/test_translation_subscriptions.py::test_without_a_downlink_nothing_is_acknowledged",
        ),
    ),
    Requirement(
        "GW-58",
        "an endpoint at another origin than its stream is refused",
        "2024-11-05, basic/transports, HTTP with SSE",
        ("2024-11-05",),
        (
            "upstreams/test_eventsource.py::test_any_other_endpoint_is_refused",
            "upstreams/test_eventsource.py::test_nothing_is_sent_to_an_endpoint_elsewhere",
        ),
    ),
    Requirement(
        "GW-59",
        "a server on stdio that writes rubbish or dies fails what is in flight once, rests, and is listened to again",
        "basic/transports/stdio, Unexpected Termination",
        BOTH,
        (
            "upstreams/test_stdio_calls.py::test_a_flood_of_rubbish_ends_the_process_and_fails_what_is_in_flight_once",
            "upstreams/test_stdio_calls.py::test_a_server_that_ends_fails_everything_in_flight_once_and_is_started_again",
            "upstreams/test_stdio_calls.py::test_a_server_that_crashes_again_and_again_rests_before_it_is_started_again",
            "upstreams/test_stdio_processes.py::test_what_was_subscribed_to_is_subscribed_to_again_after_a_crash",
        ),
    ),
    Requirement(
        "GW-60",
        "a gateway that ends takes the processes of its servers along",
        "basic/transports/stdio, Shutdown",
        BOTH,
        (
            "upstreams/test_stdio_processes.py::test_nothing_stays_when_the_gateway_ends",
            "upstreams/test_stdio_processes.py::test_a_server_that_heeds_nothing_is_killed",
        ),
    ),
    Requirement(
        "GW-61",
        "a result without a type is complete in the legacy era, one of an unknown type fails its call in the modern one",
        "basic, ResultType",
        BOTH,
        ("core/test_results.py::test_a_result_that_is_not_complete_and_valid_is_refused",),
    ),
    Requirement(
        "GW-62",
        "a malformed tool is left out and reported, the others are served",
        "server/tools",
        BOTH,
        (
            "control/test_snapshots.py::test_entries_without_a_name_are_left_out_and_reported",
            "control/test_snapshots.py::test_an_entry_with_a_defect_is_left_out_and_the_reason_is_told",
        ),
    ),
    Requirement(
        "GW-63",
        "unknown content, vendor members and explicit nulls arrive as they were sent",
        "basic, Results",
        BOTH,
        (
            "core/test_results.py::test_whatever_else_a_result_holds_survives_json_equal",
            "core/test_results.py::test_unknown_content_explicit_nulls_and_vendor_fields_survive",
            "core/test_translation.py::test_unknown_members_unknown_content_and_explicit_nulls_survive",
        ),
    ),
    Requirement(
        "GW-64",
        "an overloaded upstream is refused with the rest it asks for",
        "RFC 9110 section 10.2.3",
        BOTH,
        ("upstreams/test_calls.py::test_a_server_that_wants_rest_is_heard",),
    ),
    Requirement(
        "GW-65",
        "a call ends at its deadline, whatever its server says until then; the clock stands still while somebody is asked",
        "basic/patterns/cancellation, Timeouts",
        BOTH,
        (
            "upstreams/test_calls.py::test_a_server_that_hangs_is_given_up_at_the_deadline",
            "upstreams/test_calls.py::test_progress_without_end_does_not_move_the_deadline",
            "upstreams/test_calls.py::test_a_legacy_call_that_timed_out_is_cancelled_at_the_server",
            "upstreams/test_questions.py::test_the_clock_stands_still_while_somebody_is_asked_and_runs_on_afterwards",
        ),
    ),
    Requirement(
        "GW-66",
        "a remote $ref is never fetched",
        "basic, JSON Schema Usage",
        BOTH,
        ("schemas/test_nothing_is_fetched.py::test_no_schema_makes_a_connection",),
    ),
    Requirement(
        "GW-67",
        "a server is told what the client of the call can do, and no more",
        "basic, _meta",
        BOTH,
        (
            "upstreams/test_eras.py::test_a_modern_request_declares_what_its_client_does_and_no_more",
            "upstreams/test_eras.py::test_a_legacy_session_declares_what_its_clients_do_and_is_theirs_alone",
            "core/test_translation_offers.py::test_no_server_is_told_more_than_the_client_declared",
        ),
    ),
    Requirement(
        "GW-68",
        "a question in a mode that the client did not declare never reaches it",
        "2025-11-25, client/elicitation, Capabilities",
        LEGACY,
        (
            "upstreams/test_questions.py::test_what_was_not_declared_is_never_asked",
            "upstreams/test_stdio_calls.py::test_what_was_not_declared_is_answered_without_the_caller",
        ),
    ),
    Requirement(
        "GW-77",
        "the questions of calls that go on at once never cross on a shared channel",
        "2025-11-25, basic/transports, stdio",
        LEGACY,
        (
            "upstreams/test_stdio_calls.py::test_the_questions_of_two_calls_never_cross",
            "upstreams/test_stdio_calls.py::test_calls_of_one_conversation_go_one_after_the_other_and_those_of_two_beside_each_other",
        ),
    ),
    Requirement(
        "GW-78",
        "a question that belongs to no call is answered by the gateway",
        "SEP-2260, For Client Implementers",
        LEGACY,
        (
            "upstreams/test_stdio_calls.py::test_a_question_that_belongs_to_no_call_is_answered_by_the_gateway",
            "upstreams/test_standing_streams.py::test_a_question_that_belongs_to_no_one_call_is_answered_here",
        ),
    ),
    Requirement(
        "GW-87",
        "servers with one tool name are two tools with stable names",
        "server/tools, Tool Names",
        BOTH,
        (
            "cves/test_servers.py::test_one_name_at_two_servers_is_two_tools",
            "cves/test_servers.py::test_a_name_stands_for_one_tool_of_one_server",
        ),
    ),
    Requirement(
        "GW-95",
        "a request without a good token is challenged with the metadata of its endpoint",
        "basic/authorization, Scope Selection",
        BOTH,
        (
            "cves/test_foreign_pages.py::test_no_endpoint_answers_without_a_token",
            "gateway/test_endings.py::test_a_401_names_the_metadata_of_its_endpoint_and_the_scopes",
        ),
    ),
    Requirement(
        "GW-96",
        "a token for another resource or in the query string is refused",
        "basic/authorization, Token Handling",
        BOTH,
        (
            "cves/test_tokens.py::test_a_token_for_another_endpoint_is_refused",
            "cves/test_tokens.py::test_a_token_in_the_query_spoils_a_good_one",
        ),
    ),
    Requirement(
        "GW-97",
        "a missing scope is challenged with all of them",
        "basic/authorization, Scope Challenge Handling",
        ("2025-11-25",),
        ("gateway/test_endings.py::test_a_missing_scope_is_challenged_with_all_of_them_and_a_broader_token_passes",),
    ),
    Requirement(
        "GW-98",
        "the caller's token never reaches a server",
        "basic/authorization, Access Token Privilege Restriction",
        MODERN,
        (
            "cves/test_servers.py::test_each_server_gets_its_own_credential_and_no_callers",
            "journeys/test_refusals.py::test_the_inbound_token_never_reaches_the_server_and_every_answer_is_recorded_before",
        ),
    ),
    Requirement(
        "GW-100",
        "discovery does not reach private, loopback or metadata addresses",
        "security best practices, Server-Side Request Forgery",
        BOTH,
        (
            "cves/test_addresses.py::test_an_address_that_an_issuer_names_gets_no_more_than_a_strangers",
            "cves/test_addresses.py::test_a_name_that_resolves_inwards_is_not_asked",
            "cves/test_addresses.py::test_discovery_follows_no_redirect",
        ),
    ),
    Requirement(
        "GW-108",
        "a definition that differs from what was approved is blocked until it is reviewed",
        "requirement of the product",
        BOTH,
        ("gateway/test_deciding.py::test_drift_blocks_and_hides_an_entry_until_it_is_reviewed",),
    ),
)
