"""Requirements of the door, for clients of either era."""

from typing import Final

from tests.protocol.requirement import BOTH, HTTP, MODERN, Requirement

DOOR: Final = (
    Requirement(
        name="GW-01",
        says="a present Origin that is not listed is 403 and goes no further",
        clause="basic/transports/streamable-http, Security",
        revisions=BOTH,
        tests=(
            "cves/test_foreign_pages.py::test_a_cross_site_call_calls_nothing",
            "cves/test_foreign_pages.py::test_the_guard_is_the_same_in_every_revision",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
        ),
    ),
    Requirement(
        name="GW-02",
        says="without a setting the gateway listens on loopback, and without TLS and a real issuer nowhere else",
        clause="basic/transports/streamable-http, Security 2",
        revisions=BOTH,
        tests=(
            "config/test_load.py::test_by_default_nothing_is_exposed_and_nobody_is_let_in",
            "journeys/test_lifecycle.py::test_a_gateway_that_others_can_reach_needs_tls_and_a_real_issuer",
        ),
    ),
    Requirement(
        name="GW-03",
        says="a request without Origin is processed",
        clause="basic/transports/streamable-http, Security 1",
        revisions=BOTH,
        tests=("cves/test_tokens.py::test_a_grant_counts_in_every_revision",),
    ),
    Requirement(
        name="GW-04",
        says="a request that says its modern version itself is served without a session",
        clause="basic/versioning",
        revisions=MODERN,
        tests=(
            "core/test_envelope.py::test_a_modern_request_is_read_with_its_meta",
            "gateway/test_sessions.py::test_a_modern_client_has_no_session_whatever_it_sends",
        ),
    ),
    Requirement(
        name="GW-05",
        says="initialize at the same endpoint opens a session, whose id is visible ASCII that nobody can guess",
        clause="2025-11-25, basic/transports, Session Management 1",
        revisions=HTTP,
        tests=(
            "gateway/test_sessions.py::test_initialize_opens_a_session_that_speaks_what_was_agreed",
            "gateway/test_sessionids.py::test_an_id_is_visible_ascii_and_never_longer_than_a_kilobyte",
            "sealers/test_aead.py::test_the_same_is_never_sealed_to_the_same_text",
        ),
    ),
    Requirement(
        name="GW-06",
        says="a body that is not declared as JSON, or an answer that the client cannot read in both forms, is refused",
        clause="basic/transports/streamable-http, Sending Messages 2",
        revisions=BOTH,
        tests=(
            "cves/test_foreign_pages.py::test_a_form_post_calls_nothing",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
        ),
    ),
    Requirement(
        name="GW-07",
        says="a body or head above its limit is refused before it is read",
        clause="SEP-2243, No size limit",
        revisions=BOTH,
        tests=(
            "edge/test_requests.py::test_a_large_head_is_refused",
            "edge/test_requests.py::test_a_large_body_is_refused_by_its_length_before_it_comes",
            "edge/test_requests.py::test_a_large_body_is_refused_while_its_chunks_come",
        ),
    ),
    Requirement(
        name="GW-08",
        says="what is no JSON or no JSON-RPC request is 400",
        clause="basic, Requests",
        revisions=BOTH,
        tests=(
            "cves/test_readers.py::test_json_that_two_parsers_read_differently_is_refused",
            "cves/test_readers.py::test_a_body_is_one_message_and_nothing_else",
            "core/test_envelope.py::test_what_is_no_single_request_or_notification_is_refused_without_an_id",
            "core/test_envelope.py::test_what_is_no_strict_json_is_refused_first",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
        ),
    ),
    Requirement(
        name="GW-09",
        says="clients with the same ids get their own answers, under an id of the same type",
        clause="basic, Requests",
        revisions=BOTH,
        tests=(
            "cves/test_callers.py::test_equal_ids_at_the_same_time_get_their_own_answers",
            "journeys/test_many_clients.py::test_two_hundred_clients_with_colliding_ids_never_hear_each_other",
            "core/test_results.py::test_an_answer_keeps_the_type_of_the_id",
        ),
    ),
    Requirement(
        name="GW-10",
        says="clients with one progress token hear of their own calls, each under its own token, and of none that is over",
        clause="basic/patterns/progress",
        revisions=BOTH,
        tests=(
            "gateway/test_deciding.py::test_progress_comes_back_under_the_callers_own_token",
            "gateway/test_deciding.py::test_clients_with_one_progress_token_hear_of_their_own_calls_alone",
            "upstreams/test_calls.py::test_an_answer_as_a_stream_passes_on_progress_and_logs_of_this_call_only",
            "upstreams/test_stdio_calls.py::test_progress_reaches_the_call_whose_token_it_carries",
        ),
    ),
)
