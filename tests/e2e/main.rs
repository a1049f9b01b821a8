//! The suite as its users see it.
mod campaigns;
mod commands;
mod conversations;
mod doctor;
mod identity;
mod leads;
mod limits;
mod lists;
mod operations;
mod readme;
mod settings;
mod tenants;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        tenants::a_tenant_is_created_once_and_works_at_once;
        tenants::a_bad_tenant_is_refused_with_every_field_named;
        tenants::a_tenant_with_an_unknown_plan_leaves_nothing_behind;
        tenants::a_suspended_tenant_is_refused_within_two_seconds_and_comes_back;
        tenants::a_read_only_tenant_reads_and_does_not_write;
        tenants::a_deleted_tenant_is_gone_for_its_users_and_comes_back_as_it_was;
        tenants::tenants_are_listed_page_by_page;
        tenants::a_tenant_is_renamed_by_version;
        tenants::a_host_below_the_base_domain_finds_its_tenant;
        leads::a_lead_lives_from_its_creation_to_its_deletion;
        leads::a_retried_creation_returns_the_first_result_also_at_the_limit;
        leads::a_bad_lead_is_refused_with_every_field_named;
        leads::an_old_etag_is_refused_and_nothing_changes;
        leads::pages_show_every_lead_once;
        leads::an_import_answers_every_row;
        leads::a_message_that_is_too_large_is_refused_for_good;
        leads::a_deleted_lead_comes_back_and_is_charged_again;
        leads::a_batch_is_all_or_nothing;
        lists::a_filter_and_an_order_decide_what_a_list_shows;
        lists::pages_in_the_order_of_changes_show_every_lead_once;
        lists::a_filter_that_cannot_be_read_is_refused_by_name;
        campaigns::a_campaign_lives_from_its_creation_to_its_return;
        campaigns::an_agent_keeps_what_it_is_told;
        campaigns::campaigns_and_agents_stop_at_the_plans_limit;
        campaigns::a_retried_creation_makes_one_campaign;
        conversations::a_conversation_numbers_its_messages_without_a_gap;
        conversations::a_retried_message_is_appended_once;
        conversations::a_conversation_needs_what_it_names;
        settings::a_tenant_keeps_its_settings_by_version;
        settings::bad_settings_are_refused_with_every_field_named;
        limits::an_import_stops_exactly_at_the_limit_and_goes_on_after_an_upgrade;
        limits::a_deleted_lead_makes_room_for_another;
        limits::a_plan_below_what_is_in_use_is_refused_with_each_excess;
        limits::the_request_limit_refuses_with_a_time_to_retry;
        limits::every_answer_tells_what_is_left_of_the_request_limit;
        limits::plans_and_quotas_show_the_failure_policy;
        identity::a_call_without_a_good_token_is_refused;
        identity::a_role_does_what_its_permissions_say;
        identity::service_methods_accept_service_tokens_only;
        operations::health_and_reflection_need_no_token;
        operations::an_unknown_method_keeps_the_error_contract;
        operations::what_the_transport_refuses_keeps_the_error_contract;
        operations::a_deadline_keeps_the_error_contract;
        operations::a_server_ends_in_order_on_sigterm;
        operations::a_server_refuses_what_it_cannot_run_with;
        operations::migrations_run_twice_at_once;
        operations::the_real_grpcurl_lists_describes_and_calls with grpcurl;
        operations::a_given_server_keeps_the_passwords_of_its_logins;
        operations::the_demo_keeps_its_promises;
        readme::the_readmes_tour_works_literally with grpcurl;
        commands::permissions_name_every_method_once;
        commands::completions_are_a_script_that_bash_reads;
        commands::data_are_printed_as_json;
        commands::wrong_usage_ends_with_2_and_failure_with_1;
        doctor::a_healthy_deployment_has_no_failure;
        doctor::a_login_that_sees_little_says_so;
        doctor::a_broken_policy_or_schema_is_found;
        doctor::a_mighty_role_is_found;
        doctor::a_redis_that_forgets_is_found;
        doctor::what_cannot_be_reached_is_a_failure_without_a_secret;
    ];
    run_suite(&Plan::default().with_env("BASE_DOMAIN", "example.com"), tests)
}
