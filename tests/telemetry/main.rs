//! What is seen of the suite from outside: traces at a real collector, metrics, logs.
mod collector;
mod journey;
mod logs;
mod metrics;
mod traces;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        traces::one_trace_shows_the_whole_way_of_a_creation with otelcol;
        traces::a_collector_that_comes_back_gets_spans_again with otelcol;
        traces::calls_that_are_not_sampled_send_nothing;
        traces::a_call_that_fails_by_a_fault_of_the_suite_has_a_span_all_the_same;
        traces::a_collector_that_is_away_holds_nothing_up;
        metrics::calls_are_counted_and_timed_by_method_code_and_tenant;
        metrics::every_metric_that_is_shown_is_in_the_catalogue;
        logs::a_failed_call_is_one_line_with_the_trace_id_that_its_caller_got;
        logs::no_secret_and_nothing_of_a_person_is_in_a_log;
        journey::one_command_shows_the_journey_of_a_creation;
    ];
    run_suite(&Plan::default().with_env("LOG_FORMAT", "json"), tests)
}
