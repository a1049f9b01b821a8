//! How bytes travel: TLS that changes under load, connections that end, compressed messages.
mod ages;
mod dev;
mod extra;
mod files;
mod gzip;
mod handshakes;
mod mutual;
mod rotation;
mod tls;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        tls::servers_reach_one_another_by_tls;
        tls::plain_text_fails_cleanly_where_tls_is_spoken;
        tls::a_certificate_of_another_authority_or_host_is_refused;
        tls::a_server_with_another_authority_reaches_nobody;
        tls::half_a_configuration_is_refused_by_name;
        tls::the_real_grpcurl_trusts_the_authority with grpcurl;
        mutual::a_services_token_is_worth_nothing_without_its_certificate;
        mutual::users_show_no_certificate;
        rotation::certificate_and_authority_change_under_load_without_a_failed_call;
        files::broken_files_leave_the_old_ones_in_use;
        handshakes::silent_connections_hold_nobody_up;
        handshakes::a_caller_that_does_not_begin_http_2_is_no_connection;
        handshakes::more_connections_than_allowed_are_closed_at_once;
        ages::connections_end_gently_and_no_call_fails;
        ages::a_call_that_outlasts_the_grace_is_cut_off;
        gzip::an_answer_is_compressed_for_those_who_ask;
        gzip::a_message_that_unpacks_to_too_much_is_refused;
        dev::the_lines_of_dev_work_as_they_are_printed with grpcurl;
        dev::the_doctor_sees_how_long_a_certificate_is_good;
        gzip::another_compression_is_refused_and_gzip_is_named;
    ];
    run_suite(&Plan::default().with_tls().with("quota", 2), tests)
}
