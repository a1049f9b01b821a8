//! What operators see: traces through a real collector, metrics as Prometheus scrapes them, log lines.
mod collector;
mod logs;
mod metrics;
mod traces;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        traces::a_creation_is_one_trace_over_three_servers with otelcol;
        traces::a_collector_that_is_away_costs_only_spans with otelcol;
        traces::dev_shows_the_journey_of_a_creation;
        logs::a_refused_call_is_one_line_with_the_trace_its_caller_got;
        metrics::a_scrape_shows_every_call_by_method_code_and_tenant;
    ];
    run_suite(&Plan::default().with_env("LOG_FORMAT", "json").with_metrics(), tests)
}
