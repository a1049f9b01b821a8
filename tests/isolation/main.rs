//! The walls between tenants: for every method of the contract and every table of the catalogue.
mod catalogue;
mod connections;
mod methods;
mod oracles;
mod pool;
mod refusals;
mod requests;
mod rows;
mod things;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        methods::every_method_keeps_tenants_apart;
        refusals::every_method_admits_whom_the_contract_names_and_nobody_else;
        pool::one_connection_serves_tenants_in_turn_and_none_sees_another;
        oracles::what_is_unique_is_unique_in_its_tenant;
        catalogue::every_table_has_its_wall;
        catalogue::a_dropped_policy_is_found_and_stops_the_servers;
        catalogue::a_second_policy_is_found;
        catalogue::a_table_without_a_tenant_is_found;
        catalogue::a_services_login_sees_only_the_tenant_that_is_set;
        connections::a_pool_of_one_never_carries_a_tenant_over;
    ];
    run_suite(&Plan::default().with_env("BASE_DOMAIN", "example.com"), tests)
}
