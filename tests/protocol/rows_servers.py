"""Requirements towards servers: which era one speaks, and how it is talked to over each transport."""

from typing import Final

from tests.protocol.requirement import BOTH, HTTP, LEGACY, MODERN, Requirement

HTTP_VERDICT: Final = "upstreams/test_eras.py::test_what_a_server_says_to_discovery_decides_its_era"
STDIO_VERDICT: Final = "upstreams/test_stdio_eras.py::test_what_a_server_says_to_discovery_decides_its_era"

SERVERS: Final = (
    Requirement(
        name="GW-47",
        says="a server that answers with a recognised modern error is spoken to at a revision it names, a modern one without a greeting",
        clause="basic/transports/streamable-http, Backward Compatibility",
        revisions=MODERN,
        tests=(
            HTTP_VERDICT,
            STDIO_VERDICT,
            "core/test_era_detection.py::test_a_recognised_error_is_modern",
            "upstreams/test_eras.py::test_a_modern_server_that_turns_legacy_is_called_again_in_its_session",
        ),
    ),
    Requirement(
        name="GW-48",
        says="a server that answers discovery with another 400, 404 or 405 is greeted, or looked for behind a stream if it takes no POST",
        clause="basic/transports/streamable-http, Backward Compatibility",
        revisions=LEGACY,
        tests=(
            HTTP_VERDICT,
            "upstreams/test_transports.py::test_a_server_that_takes_no_post_is_found_behind_its_stream",
            "upstreams/test_transports.py::test_a_server_that_is_of_no_transport_is_refused_with_what_it_said_first",
        ),
    ),
    Requirement(
        name="GW-49",
        says="refusals, outages and silence over HTTP decide no era",
        clause="basic/versioning",
        revisions=BOTH,
        tests=(
            "upstreams/test_eras.py::test_refusals_and_outages_decide_nothing",
            "upstreams/test_eras.py::test_silence_decides_nothing",
            "upstreams/test_eras.py::test_a_greeting_that_is_refused_says_nothing_of_the_era",
            "upstreams/test_transports.py::test_refused_credentials_are_no_reason_to_look_for_a_stream",
        ),
    ),
    Requirement(
        name="GW-50",
        says="a server on stdio that ends on discovery is greeted once, on another process",
        clause="basic/transports/stdio, Backward Compatibility",
        revisions=LEGACY,
        tests=(
            STDIO_VERDICT,
            "upstreams/test_stdio_eras.py::test_a_server_that_ends_on_the_question_is_greeted_once_on_another_process",
        ),
    ),
    Requirement(
        name="GW-51",
        says="a server on stdio that is silent on discovery is greeted in time; the verdict is kept once the greeting succeeded",
        clause="basic/transports/stdio, Backward Compatibility",
        revisions=LEGACY,
        tests=(
            STDIO_VERDICT,
            "upstreams/test_stdio_eras.py::test_silence_is_no_verdict_until_the_greeting_succeeded",
            "upstreams/test_stdio_eras.py::test_a_verdict_ages",
        ),
    ),
    Requirement(
        name="GW-52",
        says="a discovery that lists no modern version is the advertisement of a legacy server",
        clause="basic/versioning",
        revisions=LEGACY,
        tests=(HTTP_VERDICT, STDIO_VERDICT, "core/test_era_detection.py::test_a_result_is_modern_if_it_lists_a_modern_version"),
    ),
    Requirement(
        name="GW-53",
        says="headers towards a modern server repeat the message that goes there, under the server's own names",
        clause="basic/transports/streamable-http, Client Behavior",
        revisions=MODERN,
        tests=(
            "upstreams/test_calls.py::test_a_modern_request_is_made_anew_with_the_gateways_own_envelope",
            "core/test_paramheaders.py::test_what_is_sent_upstream_agrees_with_its_body",
        ),
    ),
    Requirement(
        name="GW-54",
        says="a tool whose mirrored parameters break a rule is left out alone, and the reason is told",
        clause="basic/transports/streamable-http, Schema Extension",
        revisions=MODERN,
        tests=(
            "core/test_paramheaders.py::test_an_annotation_that_breaks_a_rule_is_refused",
            "core/test_limits.py::test_a_defective_tool_is_taken_out_and_the_others_are_served",
            "control/test_snapshots.py::test_an_entry_with_a_defect_is_left_out_and_the_reason_is_told",
        ),
    ),
    Requirement(
        name="GW-55",
        says="a session that its server ended is opened again once, for one more try",
        clause="2025-11-25, basic/transports, Session Management 4",
        revisions=LEGACY,
        tests=(
            "upstreams/test_eras.py::test_a_session_that_ended_is_opened_again_once_for_all_that_wait",
            "upstreams/test_eras.py::test_a_server_that_forgets_every_session_fails_the_call_after_one_more",
        ),
    ),
    Requirement(
        name="GW-56",
        says="a stream that a server broke off behind an event with an id is taken up again, no sooner than the server wants",
        clause="2025-11-25, basic/transports, Sending Messages 6",
        revisions=HTTP,
        tests=(
            "upstreams/test_standing_streams.py::test_a_stream_that_was_lost_after_an_event_id_is_taken_up_again",
            "upstreams/test_standing_streams.py::test_a_lost_stream_waits_as_long_as_the_server_said",
            "upstreams/test_standing_streams.py::test_a_stream_that_is_lost_again_and_again_is_given_up",
            "upstreams/test_standing_streams.py::test_a_stream_without_event_ids_is_not_taken_up_again",
            "upstreams/test_official_servers.py::test_a_stream_that_it_closed_is_taken_up_again",
        ),
    ),
    Requirement(
        name="GW-57",
        says="what a server cannot tell is not acknowledged to a client that listens",
        clause="basic/patterns/subscriptions, Acknowledgment",
        revisions=BOTH,
        tests=(
            "core/test_translation_subscriptions.py::test_without_a_downlink_nothing_is_acknowledged",
            "gateway/test_listening.py::test_a_server_that_does_not_let_subscribe_is_not_in_the_acknowledgement",
            "upstreams/test_standing_streams.py::test_a_server_without_a_stream_is_not_subscribed_to_and_not_asked_again",
        ),
    ),
    Requirement(
        name="GW-58",
        says="an endpoint at another origin than its stream is refused",
        clause="2024-11-05, basic/transports, HTTP with SSE",
        revisions=("2024-11-05",),
        tests=(
            "upstreams/test_eventsource.py::test_any_other_endpoint_is_refused",
            "upstreams/test_eventsource.py::test_nothing_is_sent_to_an_endpoint_elsewhere",
            "upstreams/test_transports.py::test_a_stream_that_names_another_origin_is_not_followed",
        ),
    ),
    Requirement(
        name="GW-59",
        says="a server on stdio that writes rubbish or dies fails what is in flight once, rests, and is listened to again",
        clause="basic/transports/stdio, Unexpected Termination",
        revisions=BOTH,
        tests=(
            "upstreams/test_stdio_calls.py::test_a_flood_of_rubbish_ends_the_process_and_fails_what_is_in_flight_once",
            "upstreams/test_stdio_calls.py::test_a_server_that_ends_fails_everything_in_flight_once_and_is_started_again",
            "upstreams/test_stdio_calls.py::test_a_server_that_crashes_again_and_again_rests_before_it_is_started_again",
            "upstreams/test_stdio_processes.py::test_what_was_subscribed_to_is_subscribed_to_again_after_a_crash",
            "upstreams/test_stdio_processes.py::test_a_modern_server_that_died_watches_again",
            "sandboxes/test_port.py::test_megabytes_on_stderr_neither_block_a_server_nor_pile_up",
        ),
    ),
    Requirement(
        name="GW-60",
        says="a gateway that ends takes the processes of its servers along, in three steps",
        clause="basic/transports/stdio, Shutdown",
        revisions=BOTH,
        tests=(
            "upstreams/test_stdio_processes.py::test_nothing_stays_when_the_gateway_ends",
            "upstreams/test_stdio_processes.py::test_a_server_that_heeds_nothing_is_killed",
            "sandboxes/test_port.py::test_a_server_is_ended_in_three_steps",
            "sandboxes/test_port.py::test_nothing_that_a_server_started_outlives_it",
        ),
    ),
    Requirement(
        name="GW-61",
        says="a result without a type is complete, and one of an unknown type fails its call",
        clause="basic, ResultType",
        revisions=BOTH,
        tests=(
            "core/test_results.py::test_a_modern_client_gets_a_result_type_and_the_gateways_own_name",
            "core/test_results.py::test_a_result_that_is_not_complete_and_valid_is_refused",
        ),
    ),
    Requirement(
        name="GW-62",
        says="an entry of a list that is malformed is left out alone, and the reason is told",
        clause="server/tools, Capabilities",
        revisions=BOTH,
        tests=(
            "control/test_snapshots.py::test_entries_without_a_name_are_left_out_and_reported",
            "control/test_snapshots.py::test_an_entry_that_is_no_strict_json_is_left_out_alone",
            "core/test_limits.py::test_a_defective_tool_is_taken_out_and_the_others_are_served",
        ),
    ),
    Requirement(
        name="GW-63",
        says="content of unknown types, members of vendors and explicit nulls arrive as they were sent",
        clause="basic, Messages",
        revisions=BOTH,
        tests=(
            "core/test_results.py::test_whatever_else_a_result_holds_survives_json_equal",
            "core/test_results.py::test_unknown_content_explicit_nulls_and_vendor_fields_survive",
            "core/test_translation.py::test_unknown_members_unknown_content_and_explicit_nulls_survive",
        ),
    ),
    Requirement(
        name="GW-64",
        says="a server that wants rest is a refusal with its hint",
        clause="RFC 9110 section 10.2.3",
        revisions=BOTH,
        tests=("upstreams/test_calls.py::test_a_server_that_wants_rest_is_heard",),
        lacks="circuit breaker",
    ),
    Requirement(
        name="GW-65",
        says="a call that is late is cancelled at its server, whatever progress it reports; while a person is asked its clock stands",
        clause="basic/patterns/cancellation, Timeouts",
        revisions=BOTH,
        tests=(
            "upstreams/test_calls.py::test_a_server_that_hangs_is_given_up_at_the_deadline",
            "upstreams/test_calls.py::test_progress_without_end_does_not_move_the_deadline",
            "upstreams/test_calls.py::test_a_legacy_call_that_timed_out_is_cancelled_at_the_server",
            "upstreams/test_stdio_calls.py::test_a_call_that_is_late_is_cancelled_at_the_server",
            "upstreams/test_questions.py::test_the_clock_stands_still_while_somebody_is_asked_and_runs_on_afterwards",
        ),
    ),
    Requirement(
        name="GW-66",
        says="a remote $ref is never fetched, and depth and work are bounded",
        clause="basic, JSON Schema Usage",
        revisions=BOTH,
        tests=(
            "schemas/test_nothing_is_fetched.py::test_no_schema_makes_a_connection",
            "core/test_schemas.py::test_the_retriever_of_last_resort_refuses_everything",
            "core/test_schemas.py::test_a_schema_nested_too_deep_is_refused_without_recursion",
        ),
    ),
)
