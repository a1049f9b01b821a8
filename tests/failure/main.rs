//! What survives: races for the last units, dropped calls, killed processes, servers that come back.
mod abuse;
mod cached;
mod cancelled;
mod caps;
mod changes;
mod clocks;
mod fence;
mod flow;
mod gone;
mod hammer;
mod holder;
mod kept;
mod killed;
mod lanes;
mod load;
mod once;
mod policies;
mod protocol;
mod races;
mod restart;
mod same_row;
mod storm;
mod together;
mod watch;

use std::process::ExitCode;

use onekeel_operator::stack::Plan;
use onekeel_tests::{run_suite, tests};

fn main() -> ExitCode {
    let tests = tests![
        fence::the_database_refuses_what_a_lease_does_not_cover;
        fence::a_retried_reservation_finds_its_leases_again;
        races::sixteen_writers_over_two_processes_get_exactly_the_last_hundred;
        races::a_busy_lease_does_not_keep_others_from_the_last_units;
        races::importers_and_writers_share_a_limit_to_the_unit;
        together::wishes_that_wait_together_share_a_transaction;
        together::a_repeated_wish_among_others_finds_its_leases;
        together::what_a_dropped_wish_was_granted_is_free_at_once;
        caps::a_plan_lowered_while_a_grant_waits_is_obeyed;
        caps::two_overrides_at_once_leave_the_newest_one;
        caps::an_override_that_ends_while_a_grant_waits_counts_no_more;
        caps::a_downgrade_put_back_over_an_upgrade_restores_nothing_old;
        changes::a_change_that_overlaps_another_is_told_when_it_is_committed;
        kept::a_server_that_never_asked_knows_what_others_were_told;
        protocol::any_sequence_of_lease_steps_keeps_the_accounts;
        same_row::deletions_and_returns_of_one_lead_count_once;
        same_row::a_lead_that_is_deleted_while_it_returns_is_counted_as_it_ends;
        same_row::two_imports_of_the_same_rows_at_once_write_each_once;
        same_row::resizes_of_one_lead_charge_its_last_size;
        abuse::a_flood_of_headers_is_refused;
        abuse::rapid_resets_end_their_connection_only;
        abuse::a_stream_that_stalls_ends_at_its_deadline_with_what_it_sent;
        abuse::headers_of_any_content_get_an_answer;
        cached::door::what_is_asked_for_twice_is_kept;
        cached::door::a_slow_reader_never_puts_an_old_value_back;
        cached::door::what_is_invalidated_stays_away;
        cached::door::a_tenant_keeps_no_more_than_its_share;
        cached::door::many_who_ask_at_once_read_once;
        cached::door::a_redis_that_is_flushed_is_noticed;
        cached::newest::a_remembered_page_is_what_is_there_in_every_replica;
        cached::servers::replicas_that_race_read_what_was_acknowledged;
        cached::servers::dropped_writes_leave_no_old_value_behind;
        cached::servers::without_redis_reads_are_right_and_caching_returns;
        cancelled::calls_dropped_at_every_moment_leave_nothing_behind;
        gone::without_redis_a_known_tenant_goes_on_within_its_share;
        gone::without_the_authority_reads_go_on_and_creations_are_refused;
        policies::each_policy_decides_while_the_authority_is_away;
        policies::a_redis_that_forgets_admits_a_closed_limit_once_and_others_twice;
        flow::no_minute_admits_more_than_the_limit_at_four_processes;
        flow::a_clock_of_redis_that_is_set_by_hours_admits_no_more_and_no_less with faketime;
        clocks::servers_whose_clocks_are_hours_apart_admit_no_more_than_the_limit with faketime;
        lanes::slow_calls_of_one_tenant_leave_connections_to_another;
        once::a_lost_connection_is_found_out;
        once::an_attempt_that_still_commits_is_waited_for;
        once::a_lost_race_is_run_again_and_a_taken_key_refused;
        once::a_statement_without_its_tenant_writes_nothing;
        once::creations_whose_session_ends_are_made_once;
        killed::an_import_survives_the_kill_of_every_server;
        restart::postgres_ends_under_load_and_nothing_acknowledged_is_lost;
        storm::no_limit_is_exceeded_and_nothing_is_lost_in_a_storm;
        storm::without_the_foreign_key_the_storm_finds_a_row_too_many;
        restart::postgres_cut_off_ten_times_leaves_no_orphan_and_no_drift;
        restart::redis_ends_under_load_and_readiness_does_not_fall;
    ];
    run_suite(&Plan::default().with("lead", 2).with("quota", 2), tests)
}
