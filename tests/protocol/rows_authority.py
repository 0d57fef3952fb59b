"""Requirements of authorisation, of the registry, and of what was approved."""

from typing import Final

from tests.protocol.requirement import BOTH, MODERN, Requirement

SIGN_IN: Final = "sign-in of users at servers"

AUTHORITY: Final = (
    Requirement(
        name="GW-95",
        says="a request without a good token is challenged with the metadata of its endpoint",
        clause="basic/authorization, Scope Selection",
        revisions=BOTH,
        tests=(
            "cves/test_foreign_pages.py::test_no_endpoint_answers_without_a_token",
            "edge/test_requests.py::test_a_challenge_names_the_metadata_of_its_endpoint_and_the_metadata_name_the_endpoint",
            "gateway/test_endings.py::test_a_401_names_the_metadata_of_its_endpoint_and_the_scopes",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
        ),
    ),
    Requirement(
        name="GW-96",
        says="a token for another resource or in the query string is refused",
        clause="basic/authorization, Token Handling",
        revisions=BOTH,
        tests=(
            "cves/test_tokens.py::test_a_token_for_another_endpoint_is_refused",
            "cves/test_tokens.py::test_a_token_in_the_query_spoils_a_good_one",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
        ),
    ),
    Requirement(
        name="GW-97",
        says="a missing scope is challenged with all of them, and a broader token passes",
        clause="basic/authorization, Scope Challenge Handling",
        revisions=BOTH,
        tests=(
            "gateway/test_endings.py::test_a_missing_scope_is_challenged_with_all_of_them_and_a_broader_token_passes",
            "gateway/test_endings.py::test_each_refusal_is_answered_and_recorded_once_and_reaches_no_server",
        ),
    ),
    Requirement(
        name="GW-98",
        says="the caller's token never reaches a server, and a server's challenge never reaches the caller",
        clause="basic/authorization, Access Token Privilege Restriction",
        revisions=BOTH,
        tests=(
            "cves/test_servers.py::test_each_server_gets_its_own_credential_and_no_callers",
            "gateway/test_endings.py::test_a_server_that_refuses_the_gateways_credential_challenges_no_client",
            "journeys/test_refusals.py::test_the_inbound_token_never_reaches_the_server_and_every_answer_is_recorded_before",
            "upstreams/test_calls.py::test_the_gateways_own_credential_and_no_other_goes_to_the_server",
        ),
    ),
    Requirement(
        name="GW-99",
        says="metadata of another issuer, without PKCE, or an answer of another issuer end the sign-in at a server",
        clause="basic/authorization, Authorization Response Validation",
        revisions=MODERN,
        waits_for=SIGN_IN,
    ),
    Requirement(
        name="GW-100",
        says="discovery does not reach private, loopback or metadata addresses",
        clause="security best practices, Server-Side Request Forgery",
        revisions=BOTH,
        tests=(
            "cves/test_addresses.py::test_an_address_that_an_issuer_names_gets_no_more_than_a_strangers",
            "cves/test_addresses.py::test_a_name_that_resolves_inwards_is_not_asked",
            "cves/test_addresses.py::test_discovery_follows_no_redirect",
        ),
    ),
    Requirement(
        name="GW-101",
        says="a client's credentials at one authorization server are not used at another",
        clause="basic/authorization/client-registration, Authorization Server Binding",
        revisions=MODERN,
        waits_for=SIGN_IN,
    ),
    Requirement(
        name="GW-102",
        says="a sign-in that somebody else finishes is refused, and nothing of it is kept",
        clause="client/elicitation, Phishing",
        revisions=MODERN,
        waits_for=SIGN_IN,
    ),
    Requirement(
        name="GW-103",
        says="before a client that nobody knows is let in, a person agrees at the gateway, once",
        clause="security best practices, Confused Deputy",
        revisions=BOTH,
        waits_for=SIGN_IN,
    ),
    Requirement(
        name="GW-104",
        says="an assertion for somebody else, unsigned, used twice or for more than was granted buys no token",
        clause="enterprise-managed authorization, 7.2.1 to 7.6",
        revisions=MODERN,
        waits_for=SIGN_IN,
    ),
    Requirement(
        name="GW-105",
        says="the catalogue lists what was approved, page by page, and what was withdrawn since",
        clause="registry API, GET /v0.1/servers",
        revisions=BOTH,
        tests=(
            "console/test_registryapi.py::test_a_list_holds_what_was_asked_for",
            "console/test_registryapi.py::test_a_cursor_leads_through_the_whole_list",
            "console/test_registryapi.py::test_the_desktop_program_of_vscode_may_read_and_a_web_page_may_not",
            "core/test_registrylisting.py::test_pages_together_are_the_whole_list_each_entry_once",
        ),
    ),
    Requirement(
        name="GW-106",
        says="the newest version of a server is found under its name",
        clause="registry API, versions/latest",
        revisions=BOTH,
        tests=(
            "console/test_registryapi.py::test_one_version_is_read_by_its_text_or_as_latest",
            "console/test_registryapi.py::test_another_spelling_or_an_unknown_name_is_not_found",
            "core/test_registrylisting.py::test_the_latest_goes_by_flag_then_semantic_version_then_date",
        ),
    ),
    Requirement(
        name="GW-107",
        says="a program is started from a definition with a pinned package alone, in a sandbox, without a shell",
        clause="security best practices, Local MCP Server Compromise",
        revisions=BOTH,
        tests=(
            "config/test_programs.py::test_a_definition_that_would_surprise_somebody_is_refused",
            "sandboxes/test_port.py::test_a_package_that_changed_is_not_started",
            "sandboxes/test_port.py::test_a_machine_without_bubblewrap_starts_nothing",
            "sandboxes/test_port.py::test_arguments_stay_what_they_are_whatever_a_shell_would_make_of_them",
        ),
        lacks="starts of programs are not in the ledger",
    ),
    Requirement(
        name="GW-108",
        says="what differs from what was approved is served as approved, or blocked until a review if callers cannot rely on it",
        clause="requirement of the product",
        revisions=BOTH,
        tests=(
            "gateway/test_deciding.py::test_drift_blocks_and_hides_an_entry_until_it_is_reviewed",
            "control/test_snapshots.py::test_a_changed_or_missing_entry_is_blocked_and_an_unchanged_or_new_one_is_not",
            "control/test_snapshots.py::test_an_entry_that_drifted_and_is_still_compatible_is_served_or_blocked_as_the_operator_wants",
            "cves/test_turncoats.py::test_no_word_that_nobody_approved_reaches_a_client",
        ),
    ),
)
