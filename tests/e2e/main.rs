//! The suite as its users see it.
mod commands;
mod doctor;
mod identity;
mod leads;
mod limits;
mod operations;
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
        leads::a_lead_lives_from_its_creation_to_its_deletion;
        leads::a_retried_creation_returns_the_first_result_also_at_the_limit;
        leads::a_bad_lead_is_refused_with_every_field_named;
        leads::an_old_etag_is_refused_and_nothing_changes;
        leads::pages_show_every_lead_once;
        leads::an_import_answers_every_row;
        leads::a_message_that_is_too_large_is_refused_for_good;
        limits::an_import_stops_exactly_at_the_limit_and_goes_on_after_an_upgrade;
        limits::a_deleted_lead_makes_room_for_another;
        limits::a_plan_below_what_is_in_use_is_refused_with_each_excess;
        limits::the_request_limit_refuses_with_a_time_to_retry;
        identity::a_call_without_a_good_token_is_refused;
        identity::a_role_does_what_its_permissions_say;
        identity::service_methods_accept_service_tokens_only;
        operations::health_and_reflection_need_no_token;
        operations::an_unknown_method_keeps_the_error_contract;
        operations::a_deadline_keeps_the_error_contract;
        operations::a_server_ends_in_order_on_sigterm;
        operations::a_server_refuses_what_it_cannot_run_with;
        operations::migrations_run_twice_at_once;
        operations::the_real_grpcurl_lists_describes_and_calls with grpcurl;
        operations::a_given_server_keeps_the_passwords_of_its_logins;
        operations::the_demo_keeps_its_promises;
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
    run_suite(&Plan::default(), tests)
}
