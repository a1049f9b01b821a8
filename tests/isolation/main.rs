//! The walls between tenants: for every method of the contract and every table of the catalogue.
mod audited;
mod blind;
mod catalogue;
mod connections;
mod keyed;
mod methods;
mod oracles;
mod pool;
mod refusals;
mod requests;
mod rows;
mod states;
mod things;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        methods::every_method_keeps_tenants_apart;
        refusals::every_method_admits_whom_the_contract_names_and_nobody_else;
        audited::every_change_leaves_one_event_and_every_refusal_none;
        pool::one_connection_serves_tenants_in_turn_and_none_sees_another;
        oracles::what_is_unique_is_unique_in_its_tenant;
        oracles::cached::what_one_tenant_caches_another_never_reads;
        oracles::timing::a_foreign_thing_takes_as_long_as_an_absent_one;
        oracles::words::no_log_line_and_no_metric_holds_what_tenants_wrote;
        oracles::streams::a_watch_is_told_of_its_own_tenant;
        oracles::workers::work_for_one_tenant_leaves_another_alone;
        blind::every_proof_sees_when_its_walls_are_gone;
        catalogue::every_table_has_its_wall;
        catalogue::a_dropped_policy_is_found_and_stops_the_servers;
        catalogue::a_second_policy_is_found;
        catalogue::a_table_without_a_tenant_is_found;
        catalogue::what_spans_tenants_reads_directories_only;
        catalogue::a_services_login_sees_only_the_tenant_that_is_set;
        connections::a_connection_goes_from_call_to_call;
        connections::a_pool_of_one_never_carries_a_tenant_over;
    ];
    run_suite(&plan(), tests)
}

fn plan() -> Plan {
    let plan = Plan::default().with_env("BASE_DOMAIN", "example.com");
    // So that no token of a key ends while every method is called with it.
    let plan = plan.with_env("API_KEY_TOKEN_SECONDS", "900");
    // So that a test can come from any address and by any host.
    plan.with_env("TRUSTED_PROXIES", "127.0.0.0/8")
}
