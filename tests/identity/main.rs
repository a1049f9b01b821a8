//! Who calls: tokens that must not pass, keys that change under load, sources that break.
mod bad;
mod command;
mod extra;
mod files;
mod forge;
mod provider;
mod rotation;
mod rows;
mod services;
mod sources;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        bad::every_bad_token_gets_one_and_the_same_answer;
        bad::no_bad_token_takes_longer_than_a_bad_signature;
        rotation::a_providers_keys_change_under_load_without_a_refused_call;
        files::a_removed_key_is_refused_in_two_replicas_within_two_seconds;
        files::broken_files_leave_the_old_keys_in_use;
        sources::an_address_that_breaks_leaves_the_old_keys_in_use;
        sources::keys_that_nobody_confirms_are_given_up;
        sources::unknown_keys_cause_one_look_and_no_more;
        sources::a_server_does_not_start_without_the_keys_that_it_was_promised;
        services::a_services_key_is_rotated_under_load_by_the_command;
        services::a_method_for_services_admits_its_callers_only;
        services::a_wish_for_a_tenant_brings_the_callers_own_proof;
        command::keys_are_made_for_their_owner_and_never_shown;
    ];
    run_suite(&Plan::default(), tests)
}
