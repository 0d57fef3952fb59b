"""Requirements towards modern clients."""

from typing import Final

from tests.protocol.requirement import BOTH, MODERN, Requirement

RULES: Final = "core/test_envelope.py::test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id"

MODERN_FRONT: Final = (
    Requirement(
        name="GW-11",
        says="a missing MCP-Protocol-Version is a mismatch of headers",
        clause="basic/transports/streamable-http, Server Validation",
        revisions=MODERN,
        tests=(RULES,),
    ),
    Requirement(
        name="GW-12",
        says="an MCP-Protocol-Version that differs from the body is a mismatch",
        clause="basic/transports/streamable-http, Protocol Version Header",
        revisions=MODERN,
        tests=(RULES, "core/test_headers.py::test_the_version_header_repeats_the_body"),
    ),
    Requirement(
        name="GW-13",
        says="Mcp-Method that is missing or spelled in another case is a mismatch; the header's own name counts in any case",
        clause="basic/transports/streamable-http, Case Sensitivity",
        revisions=MODERN,
        tests=(RULES, "edge/test_requests.py::test_the_name_of_a_header_counts_in_any_case"),
    ),
    Requirement(
        name="GW-14",
        says="Mcp-Name that differs from the body is refused, and the body decides",
        clause="basic/transports/streamable-http, Server Validation",
        revisions=MODERN,
        tests=(
            RULES,
            "gateway/test_deciding.py::test_a_header_that_differs_is_refused_before_anything_is_decided",
            "journeys/test_refusals.py::test_a_name_in_the_header_that_differs_from_the_body_is_refused_before_anything_is_decided",
        ),
    ),
    Requirement(
        name="GW-15",
        says="a name that no header can carry is repeated in base64, and malformed base64 is a mismatch",
        clause="basic/transports/streamable-http, Value Encoding",
        revisions=MODERN,
        tests=(
            RULES,
            "core/test_headers.py::test_malformed_values_are_not_read",
            "core/test_headers.py::test_plain_and_base64_forms_are_read",
            "gateway/test_deciding.py::test_an_address_that_no_header_can_carry_is_repeated_in_base64",
        ),
    ),
    Requirement(
        name="GW-16",
        says="a header that decides something and occurs twice is refused",
        clause="RFC 9110 section 5.3",
        revisions=MODERN,
        tests=(
            "edge/test_smuggling.py::test_a_header_that_decides_something_comes_once",
            "cves/test_tokens.py::test_two_credentials_are_none",
        ),
    ),
    Requirement(
        name="GW-17",
        says="a mirrored parameter repeats the body: numbers by value, and nothing where the body has nothing",
        clause="basic/transports/streamable-http, Custom Headers",
        revisions=MODERN,
        tests=(
            "gateway/test_deciding.py::test_a_mirrored_parameter_repeats_the_body",
            "core/test_paramheaders.py::test_a_header_agrees_by_type",
            "core/test_paramheaders.py::test_a_header_that_does_not_repeat_the_body_is_named",
        ),
    ),
    Requirement(
        name="GW-18",
        says="a mirrored parameter that the tool does not declare travels on unchanged",
        clause="basic/transports/streamable-http, Server Behavior for Custom Headers",
        revisions=MODERN,
        tests=("gateway/test_deciding.py::test_a_mirrored_parameter_repeats_the_body",),
    ),
    Requirement(
        name="GW-19",
        says="mirrored headers of a legacy client mean nothing",
        clause="SEP-2243, Trusting Header Values",
        revisions=BOTH,
        tests=("gateway/test_deciding.py::test_a_legacy_clients_mirrored_headers_mean_nothing",),
    ),
    Requirement(
        name="GW-20",
        says="without its version or capabilities a request is not valid; without the client's name it is",
        clause="basic, _meta",
        revisions=MODERN,
        tests=(RULES, "core/test_envelope.py::test_only_client_info_may_be_left_out_of_a_modern_request"),
    ),
    Requirement(
        name="GW-21",
        says="a version that nobody knows is answered with the supported ones and the requested one",
        clause="basic/versioning",
        revisions=MODERN,
        tests=(RULES, "core/test_envelope.py::test_an_unsupported_version_is_told_what_is_supported"),
    ),
    Requirement(
        name="GW-22",
        says="methods that the era does not have are unknown, with 404",
        clause="basic/transports/streamable-http, Protocol Version Header",
        revisions=MODERN,
        tests=(
            "core/test_envelope.py::test_methods_that_the_modern_era_does_not_have_are_unknown",
            "gateway/test_deciding.py::test_a_method_that_is_not_of_the_modern_era_is_404_and_unknown",
        ),
    ),
    Requirement(
        name="GW-23",
        says="GET and DELETE without a legacy session are 405 with Allow",
        clause="basic/transports/streamable-http, Earlier Revisions",
        revisions=BOTH,
        tests=(
            "edge/test_requests.py::test_an_endpoint_takes_post_alone",
            "edge/test_streams.py::test_without_a_legacy_session_there_is_nothing_but_post",
        ),
    ),
    Requirement(
        name="GW-24",
        says="a session id and the id of a last event mean nothing of a modern client and are not repeated",
        clause="basic/transports/streamable-http, Earlier Revisions",
        revisions=MODERN,
        tests=(
            "core/test_envelope.py::test_session_and_resumption_headers_mean_nothing_to_a_modern_request",
            "gateway/test_sessions.py::test_a_modern_client_has_no_session_whatever_it_sends",
            "edge/test_streams.py::test_without_a_legacy_session_there_is_nothing_but_post",
        ),
    ),
    Requirement(
        name="GW-25",
        says="an answer or an array is no message of a modern client",
        clause="basic/transports/streamable-http, Sending Messages 4",
        revisions=MODERN,
        tests=(
            "core/test_envelope.py::test_an_answer_of_a_modern_client_is_refused",
            "core/test_envelope.py::test_what_is_no_single_request_or_notification_is_refused_without_an_id",
            "gateway/test_batches.py::test_there_is_no_batch_without_a_session",
        ),
    ),
    Requirement(
        name="GW-26",
        says="a notification is taken and cancels nothing",
        clause="basic/patterns/cancellation",
        revisions=MODERN,
        tests=(
            "gateway/test_endings.py::test_a_modern_notification_is_taken_and_cancels_nothing",
            "core/test_envelope.py::test_a_notification_needs_no_more_than_its_method",
        ),
    ),
    Requirement(
        name="GW-27",
        says="every result says its type, and those that can be kept how long and for whom",
        clause="server/utilities/caching",
        revisions=MODERN,
        tests=(
            "core/test_results.py::test_a_modern_client_gets_a_result_type_and_the_gateways_own_name",
            "core/test_results.py::test_what_was_filtered_for_one_caller_is_cached_for_this_caller_alone",
            "core/test_results.py::test_results_of_the_gateways_own_are_stamped_like_a_servers",
            "core/test_translation.py::test_a_modern_client_gets_a_valid_modern_result_of_a_legacy_server",
        ),
    ),
    Requirement(
        name="GW-28",
        says="a missing resource is -32602 and a demanded page a question: no code of the other era leaves",
        clause="basic, Error Codes",
        revisions=MODERN,
        tests=(
            "core/test_results.py::test_a_servers_error_has_the_code_and_status_of_the_clients_era",
            "core/test_translation.py::test_a_code_that_the_clients_revision_has_no_meaning_for_never_leaves",
            "gateway/test_asking.py::test_a_missing_resource_has_the_code_of_the_clients_era",
            "gateway/test_asking.py::test_a_page_that_a_legacy_server_demands_is_asked_for_and_the_call_made_anew",
        ),
    ),
    Requirement(
        name="GW-29",
        says="a caller that closes its stream, or leaves before it began, cancels the call at the server",
        clause="basic/patterns/cancellation",
        revisions=MODERN,
        tests=(
            "edge/test_turns.py::test_leaving_cancels_a_modern_call_and_no_legacy_one",
            "gateway/test_endings.py::test_a_modern_caller_that_leaves_is_recorded_as_such",
            "upstreams/test_calls.py::test_a_cancelled_modern_call_closes_its_connection_within_100_ms",
            "journeys/test_door.py::test_a_modern_client_that_leaves_cancels_its_call_within_100_milliseconds",
        ),
    ),
    Requirement(
        name="GW-30",
        says="a stream tells proxies not to buffer it and is kept alive with comments",
        clause="basic/transports/streamable-http, Receiving Messages",
        revisions=MODERN,
        tests=(
            "edge/test_turns.py::test_progress_comes_as_events_before_the_answer_and_the_connection_lives_on",
            "edge/test_turns.py::test_a_long_call_begins_its_stream_with_comments",
            "edge/test_streams.py::test_a_listen_stream_is_kept_open_with_comments_and_ends_with_a_result",
        ),
    ),
    Requirement(
        name="GW-31",
        says="discovery is answered from what was approved, names modern versions only, and gathers the instructions of servers",
        clause="server/discover",
        revisions=MODERN,
        tests=(
            "gateway/test_deciding.py::test_discovery_names_modern_versions_only_and_no_server_of_others",
            "core/test_listing.py::test_a_greeting_offers_what_the_servers_offer_and_the_gateway_relays",
        ),
    ),
    Requirement(
        name="GW-32",
        says="a list is the same for the same caller, in the same order",
        clause="server/tools, Capabilities",
        revisions=MODERN,
        tests=(
            "gateway/test_deciding.py::test_a_list_is_the_same_bytes_again_for_whoever_asks_from_the_same_context",
            "core/test_listing.py::test_a_list_is_in_order_and_holds_what_the_caller_may_see",
        ),
    ),
    Requirement(
        name="GW-33",
        says="callers with different grants see different lists, each for this caller alone",
        clause="server/tools, Capabilities",
        revisions=MODERN,
        tests=(
            "cves/test_callers.py::test_two_people_in_turns_on_one_connection_keep_their_own",
            "gateway/test_deciding.py::test_a_caller_sees_what_some_call_of_its_own_could_reach",
            "gateway/test_deciding.py::test_a_list_is_the_same_bytes_again_for_whoever_asks_from_the_same_context",
        ),
    ),
    Requirement(
        name="GW-34",
        says="a list comes whole, so any cursor is made up and refused; a server's pages are followed, an empty cursor too",
        clause="server/utilities/pagination",
        revisions=BOTH,
        tests=(
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
            "control/test_snapshots.py::test_a_capture_holds_everything_in_order_and_reads_all_pages",
        ),
    ),
)
