"""Names as tools of real servers have them, by kind of server: what an alarm about look-alikes must keep quiet about."""

NAMES: dict[str, str] = {
    "code": """
        add_issue_comment create_branch create_issue create_or_update_file create_pull_request create_repository delete_branch
        fork_repository get_commit get_file_contents get_issue get_issue_comments get_me get_pull_request get_pull_request_diff
        get_pull_request_files get_pull_request_reviews get_pull_request_status get_tag list_branches list_commits list_issues
        list_pull_requests list_tags merge_pull_request push_files search_code search_issues search_repositories search_users
        update_issue update_pull_request update_pull_request_branch""",
    "code2": """
        create_branch create_issue create_merge_request create_note create_pipeline create_project cancel_pipeline delete_issue
        delete_label fork_repository get_file_contents get_issue get_label get_merge_request get_merge_request_diffs get_milestone
        get_namespace get_pipeline get_project get_users get_wiki_page list_commits list_group_projects list_issues list_labels
        list_merge_requests list_milestones list_namespaces list_pipelines list_projects push_files retry_pipeline
        search_repositories update_issue update_label update_merge_request upload_markdown verify_namespace""",
    "chat": """
        add_reaction conversations_history conversations_replies conversations_search get_channel_history get_thread_replies
        get_user_profile get_users list_channels open_conversation post_message remove_reaction reply_to_thread schedule_message
        search_messages set_topic upload_file update_message delete_message list_users""",
    "files": """
        copy_file create_directory delete_file directory_tree edit_file get_file_info list_allowed_directories list_directory
        list_directory_with_sizes move_file read_file read_media_file read_multiple_files read_text_file search_files write_file""",
    "data": """
        add_observations create_entities create_relations delete_entities delete_observations delete_relations describe_table
        execute_sql explain_query get_schema insert_rows list_schemas list_tables open_nodes query read_graph read_query
        search_nodes select_rows update_rows write_query analyze_db_health create_table drop_table alter_table list_databases""",
    "web": """
        browser_click browser_close browser_console_messages browser_drag browser_evaluate browser_file_upload browser_fill_form
        browser_hover browser_navigate browser_navigate_back browser_network_requests browser_press_key browser_resize
        browser_select_option browser_snapshot browser_tabs browser_take_screenshot browser_type browser_wait_for fetch search
        web_search crawl extract map scrape fetch_url get_page""",
    "mail": """
        archive_email create_draft create_event create_filter create_label delete_email delete_event delete_filter delete_label
        download_attachment draft_email forward_email get_attachment get_event get_message get_thread list_calendars list_drafts
        list_email_labels list_events list_filters modify_email move_message read_email reply_email search_emails send_draft
        send_email send_message set_vacation update_draft update_event update_label import_message export_message""",
    "clouds": """
        create_bucket create_cluster create_instance delete_bucket delete_cluster delete_instance describe_instances
        enable_service disable_service encrypt decrypt get_bucket get_cluster get_instance get_logs get_metrics get_object
        list_buckets list_clusters list_instances list_objects list_regions list_services put_object restart_instance
        resume_instance start_instance stop_instance suspend_instance scale_up scale_down attach_volume detach_volume lock_account
        unlock_account""",
    "tickets": """
        add_comment add_watcher addComment assign_issue bulk_update create_epic create_sprint create_ticket createIssue
        delete_comment edit_comment get_board get_comments get_epic get_issue get_project get_sprint get_ticket get_transitions
        getIssue link_issues list_boards list_projects list_sprints list_tickets list_users search_tickets transition_issue
        update_ticket update_sprint close_ticket reopen_ticket get_user get_worklog add_worklog""",
    "money": """
        cancel_subscription create_coupon create_customer create_invoice create_invoice_item create_payment_link create_price
        create_product create_refund finalize_invoice list_coupons list_customers list_disputes list_invoices list_payment_intents
        list_prices list_products list_subscriptions retrieve_balance search_documentation update_dispute update_subscription
        get_account get_payment get_payout get_v1 get_v2 search_v1 search_v2""",
}
"""Kind of server to its tools."""


def every_name() -> list[tuple[str, str]]:
    """Server and tool, all of them."""
    return [(server, name) for server, names in NAMES.items() for name in names.split()]
