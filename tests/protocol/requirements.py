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
        "GW-04",
        "a modern request is served without a session, whatever id it sends",
        "basic/transports/streamable-http, Earlier Revisions",
        MODERN,
        ("gateway/test_sessions.py::test_a_modern_client_has_no_session_whatever_it_sends",),
    ),
    Requirement(
        "GW-05",
        "initialize opens a session with an id of visible ASCII that nobody can guess",
        "2025-11-25, basic/transports, Session Management",
        LEGACY,
        (
            "gateway/test_sessions.py::test_initialize_opens_a_session_that_speaks_what_was_agreed",
            "gateway/test_sessionids.py::test_an_id_is_visible_ascii_and_never_longer_than_a_kilobyte",
        ),
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
        "GW-10",
        "progress comes back under the caller's own token",
        "basic/utilities/progress",
        BOTH,
        ("gateway/test_deciding.py::test_progress_comes_back_under_the_callers_own_token",),
    ),
    Requirement(
        "GW-11",
        "a modern request without a version header is refused, and nothing looks like a session",
        "basic/transports/streamable-http, Server Validation",
        MODERN,
        ("core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",),
    ),
    Requirement(
        "GW-12",
        "a version header that differs from the body is refused",
        "basic/transports/streamable-http, Protocol Version Header",
        MODERN,
        ("core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",),
    ),
    Requirement(
        "GW-13",
        "Mcp-Method is there and repeats the method to the letter",
        "basic/transports/streamable-http, Case Sensitivity",
        MODERN,
        ("core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",),
    ),
    Requirement(
        "GW-14",
        "Mcp-Name that differs from the body is refused, and the body decides",
        "basic/transports/streamable-http, Server Validation",
        MODERN,
        ("journeys/test_refusals.py::test_a_name_in_the_header_that_differs_from_the_body_is_refused_before_anything_is_decided",),
    ),
    Requirement(
        "GW-15",
        "a mirrored name in base64 is decoded before it is compared",
        "basic/transports/streamable-http, Value Encoding",
        MODERN,
        (
            "core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",
            "core/test_headers.py::test_plain_and_base64_forms_are_read",
        ),
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
        "GW-18",
        "an unknown mirrored parameter is passed on as it came",
        "basic/transports/streamable-http, Server Behavior for Custom Headers",
        MODERN,
        ("gateway/test_deciding.py::test_a_mirrored_parameter_repeats_the_body",),
    ),
    Requirement(
        "GW-19",
        "a legacy client's mirrored headers mean nothing",
        "SEP-2243, Trusting Header Values",
        LEGACY,
        ("gateway/test_deciding.py::test_a_legacy_clients_mirrored_headers_mean_nothing",),
    ),
    Requirement(
        "GW-20",
        "a modern request has its version and capabilities; only the client's name may be left out",
        "basic, _meta",
        MODERN,
        (
            "core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",
            "core/test_envelope.py::test_only_client_info_may_be_left_out_of_a_modern_request",
        ),
    ),
    Requirement(
        "GW-21",
        "an unsupported version is told what is supported",
        "basic/versioning",
        MODERN,
        ("core/test_envelope.py::test_an_unsupported_version_is_told_what_is_supported",),
    ),
    Requirement(
        "GW-22",
        "methods of the legacy era are unknown to the modern one",
        "basic/transports/streamable-http, Protocol Version Header",
        MODERN,
        ("core/test_envelope.py::test_methods_that_the_modern_era_does_not_have_are_unknown",),
    ),
    Requirement(
        "GW-23",
        "GET and DELETE without a legacy session are 405 with Allow",
        "basic/transports/streamable-http, Earlier Revisions",
        BOTH,
        (
            "edge/test_requests.py::test_an_endpoint_takes_post_alone",
            "edge/test_streams.py::test_without_a_legacy_session_there_is_nothing_but_post",
        ),
    ),
    Requirement(
        "GW-24",
        "a modern client's session header is ignored and never echoed",
        "basic/transports/streamable-http, Earlier Revisions",
        MODERN,
        (
            "gateway/test_sessions.py::test_a_modern_client_has_no_session_whatever_it_sends",
            "edge/test_streams.py::test_without_a_legacy_session_there_is_nothing_but_post",
        ),
    ),
    Requirement(
        "GW-25",
        "a modern client's response or array is 400",
        "basic/transports/streamable-http, Sending Messages 4",
        MODERN,
        (
            "gateway/test_batches.py::test_there_is_no_batch_without_a_session",
            "core/test_envelope.py::test_an_answer_of_a_modern_client_is_refused",
        ),
    ),
    Requirement(
        "GW-26",
        "a notification is taken and cancels nothing",
        "basic/patterns/cancellation",
        MODERN,
        ("gateway/test_endings.py::test_a_modern_notification_is_taken_and_cancels_nothing",),
    ),
    Requirement(
        "GW-27",
        "a result has its type, and how long it may be kept where it can be",
        "basic, ResultType; server/utilities/caching",
        MODERN,
        (
            "core/test_results.py::test_a_modern_client_gets_a_result_type_and_the_gateways_own_name",
            "core/test_results.py::test_what_was_filtered_for_one_caller_is_cached_for_this_caller_alone",
        ),
    ),
    Requirement(
        "GW-28",
        "errors have the codes of the client's era",
        "basic, Error Codes",
        BOTH,
        ("core/test_results.py::test_a_servers_error_has_the_code_and_status_of_the_clients_era",),
    ),
    Requirement(
        "GW-29",
        "a caller that closes its stream cancels the call",
        "basic/patterns/cancellation",
        MODERN,
        ("edge/test_turns.py::test_leaving_cancels_a_modern_call_and_no_legacy_one",),
    ),
    Requirement(
        "GW-30",
        "a stream is not buffered and kept open with comments",
        "basic/transports/streamable-http, Receiving Messages",
        BOTH,
        (
            "edge/test_turns.py::test_progress_comes_as_events_before_the_answer_and_the_connection_lives_on",
            "edge/test_streams.py::test_a_get_opens_a_stream_that_begins_with_an_id_and_no_data",
        ),
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
        "GW-34",
        "lists come whole, so a cursor is none of the gateway's",
        "server/utilities/pagination",
        BOTH,
        ("gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",),
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
        "GW-36",
        "an unknown, a foreign and an ended session are one 404; what needs a session is 400 without",
        "2025-11-25, basic/transports, Session Management 3 and 4",
        LEGACY,
        (
            "gateway/test_sessions.py::test_a_foreign_an_ended_an_expired_and_a_made_up_id_are_refused_alike",
            "gateway/test_listening.py::test_a_subscription_is_decided_like_a_read",
        ),
    ),
    Requirement(
        "GW-37",
        "DELETE ends a session, its streams and its subscriptions",
        "2025-11-25, basic/transports, Session Management 5",
        ("2025-11-25", "2025-06-18", "2025-03-26"),
        (
            "edge/test_streams.py::test_delete_ends_the_session_and_its_streams",
            "gateway/test_listening.py::test_the_end_of_a_session_ends_its_streams_and_subscriptions",
            "gateway/test_sessions.py::test_ending_a_session_needs_that_very_session",
        ),
    ),
    Requirement(
        "GW-38",
        "within a session the negotiated version counts where the header is absent; an unknown one is 400",
        "2025-11-25, basic/transports, Protocol Version Header",
        LEGACY,
        (
            "gateway/test_sessions.py::test_initialize_opens_a_session_that_speaks_what_was_agreed",
            "gateway/test_sessions.py::test_a_revision_that_nobody_knows_is_refused_in_a_session_too",
        ),
    ),
    Requirement(
        "GW-39",
        "each message of a batch is decided, metered and recorded alone; initialize is never in one",
        "2025-03-26, basic, Batching",
        ("2025-03-26",),
        (
            "gateway/test_batches.py::test_each_message_of_a_batch_is_decided_and_recorded_on_its_own",
            "gateway/test_batches.py::test_each_message_of_a_batch_counts_against_the_rate",
            "gateway/test_batches.py::test_what_is_no_batch_is_refused_and_nothing_of_it_happens",
        ),
    ),
    Requirement(
        "GW-40",
        "later revisions have no batches",
        "2025-06-18, changelog 1",
        ("2025-11-25", "2025-06-18"),
        ("gateway/test_batches.py::test_other_revisions_have_no_batches",),
    ),
    Requirement(
        "GW-41",
        "a lost connection cancels nothing, and what came meanwhile is replayed, of that stream alone",
        "2025-11-25, basic/transports, Resumability and Redelivery",
        ("2025-11-25", "2025-06-18", "2025-03-26"),
        (
            "edge/test_streams.py::test_a_call_of_a_session_is_resumable_once_it_takes_long_and_its_answer_is_kept",
            "gateway/test_listening.py::test_the_answer_of_a_call_whose_client_lost_its_connection_is_kept_for_it",
            "gateway/test_listening.py::test_what_came_while_a_client_was_away_is_there_when_it_comes_back_and_nothing_else",
            "gateway/test_listening.py::test_events_that_are_gone_or_of_another_session_are_refused",
        ),
    ),
    Requirement(
        "GW-42",
        "notifications/cancelled ends the call of its own session",
        "2025-11-25, basic/utilities/cancellation",
        LEGACY,
        (
            "gateway/test_sessions.py::test_a_cancellation_reaches_the_call_of_its_own_session_alone",
            "gateway/test_endings.py::test_a_legacy_cancellation_ends_the_call_of_that_id_without_an_answer",
            "edge/test_pairs.py::test_a_cancellation_reaches_a_call_of_the_pair",
        ),
    ),
    Requirement(
        "GW-43",
        "an unknown method is no 404 for a legacy client, which would take its session for ended",
        "2025-11-25, basic/transports, Session Management 4",
        LEGACY,
        (
            "core/test_results.py::test_a_servers_error_has_the_code_and_status_of_the_clients_era",
            "edge/test_pairs.py::test_a_message_is_taken_with_202_and_answered_on_the_stream_and_recorded",
        ),
    ),
    Requirement(
        "GW-44",
        "what happens outside of calls is told on one stream of a session",
        "2025-11-25, basic/transports, Multiple Connections",
        ("2025-11-25", "2025-06-18", "2025-03-26"),
        ("gateway/test_listening.py::test_a_get_opens_the_stream_of_a_session_and_tells_it_what_changed",),
    ),
    Requirement(
        "GW-45",
        "the first event of the stream of 2024-11-05 is an address at the same origin that is the caller's own",
        "2024-11-05, basic/transports, HTTP with SSE",
        ("2024-11-05",),
        (
            "edge/test_pairs.py::test_the_first_event_names_an_address_at_the_same_origin",
            "edge/test_pairs.py::test_the_address_is_worth_nothing_without_the_token_or_the_stream",
            "journeys/test_real_clients.py::test_the_official_sdk_1_lists_and_calls_over_the_transport_of_2024",
        ),
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
        "GW-83",
        "a listen stream is acknowledged first, tagged, and a resource is subscribed once for all who listen",
        "basic/patterns/subscriptions",
        MODERN,
        (
            "gateway/test_listening.py::test_a_listen_stream_is_acknowledged_first_with_what_is_honoured_of_it",
            "gateway/test_listening.py::test_a_list_that_shows_something_else_is_told_once_and_tagged",
            "gateway/test_listening.py::test_a_resource_is_subscribed_once_at_its_server_however_many_listen",
        ),
    ),
    Requirement(
        "GW-84",
        "a legacy session is told of the resources it subscribed, on its own stream",
        "2025-11-25, server/resources, Subscriptions",
        ("2025-11-25", "2025-06-18", "2025-03-26"),
        ("gateway/test_listening.py::test_a_session_hears_of_the_resources_it_subscribed",),
    ),
    Requirement(
        "GW-85",
        "a gateway that stops ends listen streams with their result",
        "basic/patterns/subscriptions, Graceful Closure",
        MODERN,
        (
            "gateway/test_listening.py::test_a_drain_ends_a_listen_stream_with_its_result",
            "edge/test_streams.py::test_a_listen_stream_is_kept_open_with_comments_and_ends_with_a_result",
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
