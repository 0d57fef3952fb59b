"""Requirements towards legacy clients."""

from typing import Final

from tests.protocol.requirement import HTTP, LEGACY, Requirement

LEGACY_FRONT: Final = (
    Requirement(
        name="GW-35",
        says="each legacy version is greeted with itself, an unknown one with the newest",
        clause="2025-11-25, basic/lifecycle, Version Negotiation",
        revisions=LEGACY,
        tests=(
            "gateway/test_deciding.py::test_each_legacy_revision_is_greeted_with_itself",
            "gateway/test_deciding.py::test_any_other_revision_is_answered_with_the_newest_legacy_one",
        ),
    ),
    Requirement(
        name="GW-36",
        says="an unknown session and another caller's are the same 404, recorded; what needs none is served without, the rest is 400",
        clause="2025-11-25, basic/transports, Session Management 2 and 3",
        revisions=HTTP,
        tests=(
            "gateway/test_sessions.py::test_a_foreign_an_ended_an_expired_and_a_made_up_id_are_refused_alike",
            "gateway/test_sessions.py::test_a_legacy_client_without_an_id_is_served_without_a_session",
            "gateway/test_sessionids.py::test_foreign_expired_and_never_existing_ids_are_refused_alike",
            "gateway/test_asking.py::test_an_answer_needs_a_session",
            "gateway/test_listening.py::test_a_subscription_is_decided_like_a_read",
        ),
    ),
    Requirement(
        name="GW-37",
        says="DELETE ends a session for good, with its streams and whatever servers keep for it",
        clause="2025-11-25, basic/transports, Session Management 5",
        revisions=HTTP,
        tests=(
            "gateway/test_sessions.py::test_ending_a_session_needs_that_very_session",
            "gateway/test_sessions.py::test_a_notification_of_a_session_that_ended_is_told_so",
            "gateway/test_listening.py::test_the_end_of_a_session_ends_its_streams_and_subscriptions",
            "edge/test_streams.py::test_delete_ends_the_session_and_its_streams",
            "upstreams/test_eras.py::test_what_was_kept_for_a_conversation_alone_ends_with_it",
            "upstreams/test_stdio_calls.py::test_the_process_of_a_conversation_ends_with_it",
        ),
    ),
    Requirement(
        name="GW-38",
        says="within a session the agreed version counts; a version that nobody knows is 400",
        clause="2025-11-25, basic/transports, Protocol Version Header",
        revisions=HTTP,
        tests=(
            "core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",
            "gateway/test_sessions.py::test_initialize_opens_a_session_that_speaks_what_was_agreed",
            "gateway/test_sessions.py::test_a_revision_that_nobody_knows_is_refused_in_a_session_too",
        ),
    ),
    Requirement(
        name="GW-39",
        says="each message of a batch is answered, authorised and metered on its own, and a greeting is none of them",
        clause="2025-03-26, basic, Batching",
        revisions=("2025-03-26",),
        tests=(
            "gateway/test_batches.py::test_each_message_of_a_batch_is_decided_and_recorded_on_its_own",
            "gateway/test_batches.py::test_each_message_of_a_batch_counts_against_the_rate",
            "gateway/test_batches.py::test_what_is_no_batch_is_refused_and_nothing_of_it_happens",
        ),
    ),
    Requirement(
        name="GW-40",
        says="a batch is refused",
        clause="2025-06-18, changelog 1",
        revisions=("2025-11-25", "2025-06-18"),
        tests=(
            "cves/test_readers.py::test_a_body_is_one_message_and_nothing_else",
            "core/test_envelope.py::test_what_is_no_single_request_or_notification_is_refused_without_an_id",
            "gateway/test_batches.py::test_other_revisions_have_no_batches",
        ),
    ),
    Requirement(
        name="GW-41",
        says="a call whose client lost its stream goes on; who comes back gets what that stream missed, and of no other",
        clause="2025-11-25, basic/transports, Sending Messages 6, Resumability and Redelivery",
        revisions=HTTP,
        tests=(
            "gateway/test_endings.py::test_a_legacy_caller_that_leaves_does_not_end_the_call",
            "gateway/test_listening.py::test_the_answer_of_a_call_whose_client_lost_its_connection_is_kept_for_it",
            "gateway/test_listening.py::test_what_came_while_a_client_was_away_is_there_when_it_comes_back_and_nothing_else",
            "gateway/test_listening.py::test_events_that_are_gone_or_of_another_session_are_refused",
            "edge/test_streams.py::test_a_client_that_comes_back_gets_what_it_missed_on_a_new_connection",
            "edge/test_turns.py::test_leaving_cancels_a_modern_call_and_no_legacy_one",
            "edge/test_streams.py::test_a_call_of_a_session_is_resumable_once_it_takes_long_and_its_answer_is_kept",
        ),
    ),
    Requirement(
        name="GW-42",
        says="a legacy cancellation ends its call without an answer, at the server too; a greeting is never cancelled",
        clause="2025-11-25, basic/utilities/cancellation",
        revisions=LEGACY,
        tests=(
            "gateway/test_endings.py::test_a_legacy_cancellation_ends_the_call_of_that_id_without_an_answer",
            "gateway/test_sessions.py::test_a_cancellation_reaches_the_call_of_its_own_session_alone",
            "upstreams/test_calls.py::test_a_cancelled_legacy_call_is_told_with_the_gateways_own_id",
            "upstreams/test_stdio_calls.py::test_a_cancelled_call_is_cancelled_at_the_server_and_its_late_answer_dropped",
            "upstreams/test_stdio_calls.py::test_a_greeting_is_never_cancelled",
            "edge/test_pairs.py::test_a_cancellation_reaches_a_call_of_the_pair",
        ),
    ),
    Requirement(
        name="GW-43",
        says="an unknown method is an error with 200, since a 404 would end the session",
        clause="2025-11-25, basic/transports, Session Management 3",
        revisions=LEGACY,
        tests=(
            "core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id",
            "core/test_results.py::test_a_servers_error_has_the_code_and_status_of_the_clients_era",
            "core/test_results.py::test_every_refusal_is_worded_in_both_eras",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
            "gateway/test_sessions.py::test_a_session_survives_a_method_that_nobody_knows",
        ),
    ),
    Requirement(
        name="GW-44",
        says="a message that no call waits for is sent on one stream of its session",
        clause="2025-11-25, basic/transports, Multiple Connections",
        revisions=HTTP,
        tests=("gateway/test_listening.py::test_a_get_opens_the_stream_of_a_session_and_tells_it_what_changed",),
    ),
    Requirement(
        name="GW-45",
        says="the stream of the oldest transport begins with an address at its own origin that serves its caller alone",
        clause="2024-11-05, basic/transports, HTTP with SSE",
        revisions=("2024-11-05",),
        tests=(
            "edge/test_pairs.py::test_the_first_event_names_an_address_at_the_same_origin",
            "edge/test_pairs.py::test_the_address_is_worth_nothing_without_the_token_or_the_stream",
            "edge/test_pairs.py::test_a_session_ends_with_its_stream",
            "journeys/test_real_clients.py::test_the_official_sdk_1_lists_and_calls_over_the_transport_of_2024",
        ),
    ),
    Requirement(
        name="GW-46",
        says="ping is answered here",
        clause="2025-11-25, basic/utilities/ping",
        revisions=LEGACY,
        tests=("gateway/test_deciding.py::test_ping_and_log_levels_are_answered_here",),
    ),
)
