"""Requirements where eras meet: servers that ask, what is told unasked, words that one side has not, and what may be kept."""

from typing import Final

from tests.protocol.requirement import BOTH, HTTP, LEGACY, MODERN, Requirement

CROSSING: Final = (
    Requirement(
        name="GW-67",
        says="a server is told what the client can be asked, and never more",
        clause="basic, _meta",
        revisions=BOTH,
        tests=(
            "core/test_translation_offers.py::test_no_server_is_told_more_than_the_client_declared",
            "core/test_translation_interaction.py::test_what_the_client_did_not_declare_is_never_asked",
            "gateway/test_asking.py::test_a_client_that_declares_nothing_is_asked_nothing",
            "gateway/test_asking.py::test_a_client_without_a_session_is_asked_nothing",
            "upstreams/test_eras.py::test_fifty_calls_at_once_open_one_session",
        ),
    ),
    Requirement(
        name="GW-68",
        says="a question in a mode that the client did not declare never reaches it",
        clause="client/elicitation, Capabilities",
        revisions=BOTH,
        tests=(
            "core/test_era_detection.py::test_a_question_needs_its_kind_and_mode_declared",
            "core/test_translation_interaction.py::test_what_the_client_did_not_declare_is_never_asked",
            "gateway/test_asking.py::test_what_the_client_did_not_declare_never_reaches_it",
            "upstreams/test_stdio_calls.py::test_what_was_not_declared_is_answered_without_the_caller",
        ),
    ),
    Requirement(
        name="GW-69",
        says="what a modern server asks is a request on the stream of a legacy client's call; the call is made again with its exact state",
        clause="basic/patterns/mrtr, Client Requirements",
        revisions=BOTH,
        tests=(
            "core/test_translation_interaction.py::test_a_call_made_again_carries_the_exact_state_or_none",
            "gateway/test_asking.py::test_a_modern_server_that_asks_a_legacy_client_gets_the_answers_and_its_exact_state",
        ),
    ),
    Requirement(
        name="GW-70",
        says="a person who declines is heard, an error counts as cancelled, and without a completion or roots the call fails",
        clause="client/elicitation, Response Actions",
        revisions=BOTH,
        tests=(
            "core/test_translation_interaction.py::test_an_answer_reaches_the_server_in_either_form",
            "core/test_translation_interaction.py::test_a_person_who_was_not_asked_counts_as_cancelled",
            "core/test_translation_interaction.py::test_an_error_instead_of_a_completion_or_roots_ends_the_call",
            "gateway/test_asking.py::test_a_modern_server_that_asks_a_legacy_client_gets_the_answers_and_its_exact_state",
            "gateway/test_asking.py::test_a_model_that_cannot_be_asked_ends_the_call_of_a_legacy_client",
        ),
    ),
    Requirement(
        name="GW-71",
        says="a state without a question is sent again after a pause, and no call asks for ever",
        clause="basic/patterns/mrtr",
        revisions=BOTH,
        tests=(
            "core/test_translation_interaction.py::test_a_state_alone_and_questions_alone_are_enough",
            "gateway/test_asking.py::test_a_state_without_questions_is_sent_again_after_a_pause",
            "gateway/test_asking.py::test_a_server_cannot_ask_for_ever",
        ),
    ),
    Requirement(
        name="GW-72",
        says="a server that asks where nothing can be asked breaks the protocol, and no client hears of it",
        clause="basic/patterns/mrtr, Supported Requests",
        revisions=MODERN,
        tests=(
            "core/test_results.py::test_a_result_that_asks_where_nothing_can_be_asked_is_not_valid",
            "core/test_translation_interaction.py::test_a_result_that_asks_where_nothing_can_be_asked_is_refused",
            "gateway/test_asking.py::test_a_result_that_asks_where_nothing_can_be_asked_is_a_fault_of_the_server",
        ),
    ),
    Requirement(
        name="GW-73",
        says="a state of another caller, of another request, of another time, or changed is refused before the server hears of it",
        clause="basic/patterns/mrtr, Server Requirements 4 and 5",
        revisions=MODERN,
        tests=(
            "core/test_requeststate.py::test_a_state_is_bound_to_the_caller_and_to_the_request",
            "core/test_requeststate.py::test_an_expired_state_is_refused",
            "gateway/test_requeststates.py::test_whatever_is_wrong_it_is_one_refusal",
            "gateway/test_asking.py::test_a_state_counts_for_its_caller_its_arguments_and_its_time_alone",
        ),
    ),
    Requirement(
        name="GW-74",
        says="at another replica with the same keys a state counts; a call that waits elsewhere, or nowhere any more, is never run again",
        clause="basic/patterns/mrtr",
        revisions=MODERN,
        tests=(
            "gateway/test_asking.py::test_a_state_of_a_modern_server_counts_at_every_replica_with_the_same_keys",
            "gateway/test_asking.py::test_a_waiting_call_is_gone_at_another_replica_and_never_run_again",
            "gateway/test_asking.py::test_a_round_that_is_sent_again_fails_and_runs_nothing",
            "gateway/test_rounds.py::test_after_a_restart_a_waiting_call_is_gone_and_does_not_run_again",
        ),
    ),
    Requirement(
        name="GW-75",
        says="a server whose bridge is off is told that nobody can be asked",
        clause="2025-11-25, basic/lifecycle, Capability Negotiation",
        revisions=BOTH,
        tests=(
            "gateway/test_asking.py::test_a_server_whose_bridge_is_off_is_told_that_nobody_can_be_asked",
            "upstreams/test_eras.py::test_fifty_calls_at_once_open_one_session",
            "upstreams/test_stdio_eras.py::test_what_a_server_says_of_itself_is_read_in_its_era",
        ),
    ),
    Requirement(
        name="GW-76",
        says="a waiting call that nobody takes up hears that its person left, is cancelled at its server, and is forgotten",
        clause="basic/patterns/mrtr, Server Requirements 8",
        revisions=BOTH,
        tests=(
            "gateway/test_asking.py::test_a_call_that_nobody_takes_up_is_declined_and_ends",
            "gateway/test_parking.py::test_an_expired_call_hears_that_its_person_left_and_may_end_in_its_own_words",
            "gateway/test_parking.py::test_an_expired_call_that_does_not_end_is_cancelled_at_its_server",
        ),
    ),
    Requirement(
        name="GW-77",
        says="the questions of calls that go on at once never cross on a shared channel",
        clause="2025-11-25, basic/transports, stdio",
        revisions=LEGACY,
        tests=(
            "upstreams/test_stdio_calls.py::test_the_questions_of_two_calls_never_cross",
            "upstreams/test_stdio_calls.py::test_calls_of_one_conversation_go_one_after_the_other_and_those_of_two_beside_each_other",
        ),
    ),
    Requirement(
        name="GW-78",
        says="a question that belongs to no call is answered by the gateway",
        clause="SEP-2260, For Client Implementers",
        revisions=LEGACY,
        tests=(
            "upstreams/test_stdio_calls.py::test_a_question_that_belongs_to_no_call_is_answered_by_the_gateway",
            "upstreams/test_calls.py::test_a_request_of_a_legacy_server_is_answered_here",
        ),
    ),
    Requirement(
        name="GW-79",
        says="a page that a legacy server demands becomes a question without an id of its own",
        clause="2025-11-25, client/elicitation, URL Elicitation Required Error",
        revisions=BOTH,
        tests=(
            "core/test_translation_interaction.py::test_pages_that_an_error_asks_for_become_questions_without_ids",
            "gateway/test_asking.py::test_a_page_that_a_legacy_server_demands_is_asked_for_and_the_call_made_anew",
        ),
    ),
    Requirement(
        name="GW-80",
        says="who is asked to open a page learns which server wants it; the gateway only carries the address",
        clause="client/elicitation, Safe URL Handling",
        revisions=BOTH,
        tests=(
            "core/test_translation_interaction.py::test_the_message_of_a_page_names_the_server",
            "gateway/test_asking.py::test_a_person_who_is_shown_a_page_learns_whose_it_is",
        ),
    ),
    Requirement(
        name="GW-81",
        says="a modern client hears the log of its own call from the level that it asked for, and nothing without one",
        clause="server/utilities/logging",
        revisions=BOTH,
        tests=(
            "core/test_translation_subscriptions.py::test_nobody_who_wants_log_messages_means_no_level",
            "gateway/test_deciding.py::test_a_modern_client_hears_logs_only_from_the_level_it_asked_for",
        ),
    ),
    Requirement(
        name="GW-82",
        says="the level that a legacy client set counts for its own session",
        clause="2025-11-25, server/utilities/logging",
        revisions=BOTH,
        tests=(
            "gateway/test_deciding.py::test_a_legacy_client_hears_logs_from_the_level_it_set_and_nobody_else_does",
            "gateway/test_sessions.py::test_the_log_level_is_the_sessions_own",
        ),
    ),
    Requirement(
        name="GW-83",
        says="a client that listens is told first what it will hear, and all under its own id; a resource is subscribed to once",
        clause="basic/patterns/subscriptions",
        revisions=MODERN,
        tests=(
            "core/test_translation_subscriptions.py::test_what_a_legacy_server_can_tell_is_acknowledged",
            "gateway/test_listening.py::test_a_listen_stream_is_acknowledged_first_with_what_is_honoured_of_it",
            "gateway/test_listening.py::test_a_list_that_shows_something_else_is_told_once_and_tagged",
            "gateway/test_listening.py::test_a_resource_is_subscribed_once_at_its_server_however_many_listen",
            "gateway/test_listening.py::test_an_update_reaches_whoever_subscribed_it_and_may_read_it",
        ),
    ),
    Requirement(
        name="GW-84",
        says="a legacy client that subscribed to a resource of a modern server hears of it on its stream",
        clause="2025-11-25, server/resources, Subscriptions",
        revisions=HTTP,
        tests=(
            "core/test_translation_subscriptions.py::test_a_legacy_subscription_stands_if_the_modern_server_acknowledged_it",
            "gateway/test_listening.py::test_a_session_hears_of_the_resources_it_subscribed",
        ),
    ),
    Requirement(
        name="GW-85",
        says="a gateway that drains ends what listens with a result",
        clause="basic/patterns/subscriptions, Graceful Closure",
        revisions=MODERN,
        tests=(
            "gateway/test_listening.py::test_a_drain_ends_a_listen_stream_with_its_result",
            "edge/test_streams.py::test_a_listen_stream_is_kept_open_with_comments_and_ends_with_a_result",
        ),
    ),
    Requirement(
        name="GW-86",
        says="a result that is no object is told to legacy clients as text, and their tool has no schema of it",
        clause="2025-11-25, schema, Tool",
        revisions=LEGACY,
        tests=(
            "core/test_translation.py::test_a_result_reaches_the_client_in_its_revision",
            "core/test_translation_offers.py::test_a_tool_is_listed_in_the_clients_revision",
            "gateway/test_deciding.py::test_lists_are_worded_for_the_revision",
        ),
    ),
    Requirement(
        name="GW-87",
        says="servers with one tool name are two tools with stable names, which clients accept and no server can choose",
        clause="server/tools, Tool Names",
        revisions=BOTH,
        tests=(
            "cves/test_servers.py::test_one_name_at_two_servers_is_two_tools",
            "cves/test_servers.py::test_a_name_stands_for_one_tool_of_one_server",
            "core/test_naming.py::test_every_alias_is_what_clients_accept_and_begins_with_its_server",
            "core/test_naming.py::test_the_suffix_never_changes_between_versions",
        ),
    ),
    Requirement(
        name="GW-88",
        says="what a server says in the protocol's own name is not passed on; what vendors and traces say is",
        clause="basic, _meta",
        revisions=BOTH,
        tests=(
            "core/test_results.py::test_forged_connection_keys_are_stripped_and_vendor_and_trace_keys_kept",
            "core/test_translation.py::test_no_connection_key_of_a_server_reaches_a_client",
            "core/test_translation_interaction.py::test_no_connection_key_of_a_server_is_in_a_question",
            "core/test_translation_subscriptions.py::test_a_notification_says_nothing_about_a_connection_that_is_not_its_own",
        ),
    ),
    Requirement(
        name="GW-89",
        says="the trace that a client names is in the record and reaches the server",
        clause="basic, OpenTelemetry Trace Context",
        revisions=BOTH,
        tests=(
            "core/test_tracing.py::test_a_valid_traceparent_names_the_trace",
            "gateway/test_deciding.py::test_the_trace_of_the_client_is_in_the_record",
            "gateway/test_deciding.py::test_the_server_hears_its_own_name_and_nothing_of_the_callers_connection",
        ),
        lacks="spans of its own",
    ),
    Requirement(
        name="GW-90",
        says="a tool that works as a task alone is not shown to a client that has none of its kind, and a call of it is told why",
        clause="2025-11-25, basic/utilities/tasks, Tool-Level Negotiation",
        revisions=BOTH,
        tests=(
            "core/test_translation_offers.py::test_a_tool_that_is_a_task_alone_is_callable_in_its_own_revision",
            "gateway/test_asking.py::test_a_tool_that_is_a_task_alone_is_neither_listed_nor_called_where_there_are_none",
        ),
        lacks="no tasks",
    ),
    Requirement(
        name="GW-91",
        says="what was answered to one caller is never answered to another: no answer is kept",
        clause="server/utilities/caching, Cache Scope",
        revisions=BOTH,
        tests=("gateway/test_freshness.py::test_a_read_asks_the_server_each_time_however_long_its_answer_may_be_kept",),
    ),
    Requirement(
        name="GW-92",
        says="a list is filtered for each caller, and what changed is taken in at once",
        clause="server/utilities/caching, Notifications",
        revisions=BOTH,
        tests=(
            "gateway/test_freshness.py::test_a_list_is_filtered_for_each_caller_and_takes_a_change_in_at_once",
            "gateway/test_listening.py::test_a_list_that_shows_something_else_is_told_once_and_tagged",
            "gateway/test_listening.py::test_only_those_are_told_whose_list_shows_something_else",
        ),
    ),
    Requirement(
        name="GW-93",
        says="a call that carries a person's answers always reaches the server",
        clause="server/utilities/caching, Cache Key",
        revisions=MODERN,
        tests=("gateway/test_freshness.py::test_a_call_with_answers_of_a_person_is_not_answered_from_memory",),
    ),
    Requirement(
        name="GW-94",
        says="a list of a legacy server says to modern clients how long it counts, and that it is for them alone",
        clause="SEP-2549, Backward Compatibility",
        revisions=MODERN,
        tests=("gateway/test_freshness.py::test_a_list_of_a_legacy_server_is_a_modern_clients_own_and_stale_at_once",),
    ),
)
