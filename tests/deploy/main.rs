//! What is deployed: the image, the chart, and the containers' command lines as processes.
mod chart;
mod cluster;
mod documented;
mod image;
mod installed;
mod manifests;
mod schemas;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        schemas::every_value_set_is_linted_and_fits_the_schemas_of_kubernetes with helm, kubeconform, kubeschemas;
        schemas::a_misspelt_field_in_a_template_is_refused with helm, kubeconform, kubeschemas;
        schemas::a_misspelt_value_is_refused with helm;
        schemas::the_address_of_a_key_set_is_enough_for_an_installation with helm;
        schemas::values_without_an_issuer_are_refused_with_a_sentence with helm;
        manifests::every_service_of_the_suite_has_its_objects with helm;
        manifests::every_container_is_bounded_probed_and_confined with helm;
        manifests::the_migration_runs_before_everything_else with helm;
        manifests::a_pod_has_more_time_to_end_than_its_calls with helm;
        manifests::secrets_come_as_files_only with helm;
        manifests::a_service_monitor_selects_ports_that_are_there with helm;
        documented::every_value_stands_in_the_readme_with_its_default;
        documented::every_key_that_is_mounted_stands_in_the_readme with helm;
        documented::every_variable_is_a_setting_of_its_program with helm;
        image::the_image_holds_every_program_and_runs_as_nobody;
        image::what_the_image_holds_suffices_to_run;
        image::compose_runs_every_service_with_secrets_as_files;
        installed::an_installation_migrates_serves_and_ends_in_order with helm;
    ];
    run_suite(&Plan::default(), tests)
}
