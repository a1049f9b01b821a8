//! Every metric of the suite with its meaning: `/metrics` shows it as HELP, and `docs/metrics.md` is made of it.
use std::fmt::Write;

use Kind::{Counter, Gauge, Histogram};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub fn name(self) -> &'static str {
        match self {
            Counter => "counter",
            Gauge => "gauge",
            Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels, with commas between.
    pub labels: &'static str,
    /// One sentence.
    pub meaning: &'static str,
}

/// Metrics of one area.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Its heading.
    pub name: &'static str,
    /// Its metrics.
    pub metrics: &'static [Metric],
}

const fn metric(name: &'static str, kind: Kind, labels: &'static str, meaning: &'static str) -> Metric {
    Metric {
        name,
        kind,
        labels,
        meaning,
    }
}

/// All of them.
#[rustfmt::skip]
pub const CATALOGUE: &[Area] = &[
    Area { name: "Calls", metrics: &[
        metric("onekeel_rpc_requests_total", Counter, "method, code, tenant", "Calls that have ended, with the tenants that call most one by one; `other` are all other tenants, `none` are calls without a tenant."),
        metric("onekeel_rpc_duration_seconds", Histogram, "method, code", "How long calls took, from the first byte of the request to the head of the answer."),
        metric("onekeel_tenant_rpc_duration_seconds", Histogram, "tenant", "How long calls took for the tenants that call most, over all methods."),
        metric("onekeel_rpc_running", Gauge, "", "Calls that run now."),
        metric("onekeel_rpc_shed_total", Counter, "", "Calls refused because as many ran as the server takes."),
        metric("onekeel_rpc_panics_total", Counter, "", "Calls whose handler panicked."),
        metric("onekeel_streams_refused_total", Counter, "reason", "Open streams that ended because their caller would not be let in any more, by the reason that it was told."),
        metric("onekeel_rpc_client_duration_seconds", Histogram, "method", "How long calls to other services took."),
    ] },
    Area { name: "Connections", metrics: &[
        metric("onekeel_connections", Gauge, "", "Callers' connections that are open now."),
        metric("onekeel_connections_total", Counter, "", "Callers' connections that were taken."),
        metric("onekeel_connections_refused_total", Counter, "", "Connections closed at once because there were too many."),
        metric("onekeel_connections_cut_off_total", Counter, "", "Connections cut off because their calls outlasted the grace."),
        metric("onekeel_handshake_failures_total", Counter, "", "Connections that never became any."),
        metric("onekeel_accept_failures_total", Counter, "", "Failed attempts to take a connection, for want of file descriptors for example."),
        metric("onekeel_unshown_services_total", Counter, "", "Calls with a service's token that came without that service's certificate; alarm on any growth."),
        metric("onekeel_calls_resent_total", Counter, "", "Calls to other services that met the end of a connection and went to the next."),
        metric("onekeel_tls_certificate_expiry_seconds", Gauge, "of", "Seconds until the certificate in use expires, or the last of the authorities; alarm below two weeks."),
        metric("onekeel_tls_reloads_total", Counter, "of", "New certificates or authorities that were taken."),
        metric("onekeel_tls_reload_failures_total", Counter, "of", "Looks that found files which must not be taken; alarm on any growth."),
    ] },
    Area { name: "Database", metrics: &[
        metric("onekeel_db_transactions_total", Counter, "name, outcome", "Transactions by name, with COMMITTED or the reason of their failure."),
        metric("onekeel_db_transaction_seconds", Histogram, "name", "How long transactions took, with the wait for a connection and repetitions."),
        metric("onekeel_db_statement_seconds", Histogram, "name", "How long single statements took, with the wait for a connection."),
        metric("onekeel_db_lost_races_total", Counter, "name", "Transactions repeated because another one was faster."),
        metric("onekeel_db_dropped_transactions_total", Counter, "", "Transactions rolled back because their call went away."),
        metric("onekeel_db_connections", Gauge, "state", "Connections of this process: `open`, `idle`, and the `most` that it may open."),
        metric("onekeel_db_waiting", Gauge, "", "Calls that wait for a connection now."),
        metric("onekeel_db_lane_waits_total", Counter, "outcome", "Calls that found their tenant at its share of the connections and `waited`, or were `refused` because too many waited."),
        metric("onekeel_db_acquire_seconds", Histogram, "", "How long calls waited for a connection."),
    ] },
    Area { name: "Limits", metrics: &[
        metric("onekeel_quota_leases_total", Counter, "resource", "Leases of units that this server was granted."),
        metric("onekeel_quota_open_leases", Gauge, "", "Leases that this server holds now."),
        metric("onekeel_quota_fenced_total", Counter, "resource", "Charges that the database refused because their lease had ended; each is tried again."),
        metric("onekeel_quota_unknown_commits_total", Counter, "", "Commits whose outcome is not known; the end of the lease finds out."),
        metric("onekeel_quota_release_failures_total", Counter, "", "Leases that could not be given back and are left to the sweeper."),
        metric("onekeel_quota_reserve_seconds", Histogram, "outcome", "How long QuotaService took to grant a lease, or to refuse it, by the reason of the refusal."),
        metric("onekeel_quota_reserve_batches_total", Counter, "", "Transactions that answered Reserve calls; calls of one tenant that wait together share one."),
        metric("onekeel_quota_swept_leases_total", Counter, "", "Leases that the sweeper ended."),
        metric("onekeel_quota_sweep_failures_total", Counter, "", "Tenants that could not be swept in a round."),
        metric("onekeel_quota_fold_failures_total", Counter, "", "Failures to fold what deleted rows gave back; more than a few need a person."),
        metric("onekeel_quota_overspent_leases_total", Counter, "", "Leases with more charges than units; must stay 0."),
        metric("onekeel_quota_drifts_total", Counter, "resource", "Accounts that a verification found to differ from the rows; must stay 0."),
        metric("onekeel_quota_watch_seconds", Histogram, "", "How long a look of a watch at the thresholds took."),
        metric("onekeel_allowance_grants_total", Counter, "outcome", "Slices of request allowance by what became of the wish: `granted`, `refused`, or `uncertain` because Redis forgot what a closed limit must know."),
        metric("onekeel_allowance_granted_requests_total", Counter, "", "Requests in the slices that were granted."),
        metric("onekeel_allowance_store_failures_total", Counter, "", "Slices that could not be counted because Redis did not answer."),
        metric("onekeel_allowance_clock_steps_total", Counter, "", "Times that the clock of Redis was found set; grants age by their own time all the same."),
        metric("onekeel_allowance_fallbacks_total", Counter, "policy, outcome", "Calls that no allowance could be had for, because QuotaService or Redis was away: `admitted` or `refused` by the limit's failure policy, `unknown` where it was never learned."),
    ] },
    Area { name: "Usage", metrics: &[
        metric("onekeel_usage_early_rounds_total", Counter, "", "Rounds that wrote down what tenants used before it was time, because so many tenants called."),
        metric("onekeel_usage_write_failures_total", Counter, "", "Failures to write down what a tenant used; the next round tries again."),
        metric("onekeel_usage_lost_requests_total", Counter, "reason", "Requests that are in no usage report: too many tenants at once while the database was away (`CROWDED`), an outcome that nobody knows (`UNKNOWN_COMMIT`), a tenant that is not there (`NO_TENANT`), no database at the end (`SHUTDOWN`)."),
    ] },
    Area { name: "Tokens and keys", metrics: &[
        metric("onekeel_token_refusals_total", Counter, "why", "Bad tokens by what was wrong with them, which no caller learns: `missing`, `size`, `form`, `header`, `algorithm`, `key`, `signature`, `time`, `audience`, `claims`."),
        metric("onekeel_keys", Gauge, "of", "Keys that verify tokens: of `users` (and operators), and of `services`."),
        metric("onekeel_key_set_age_seconds", Gauge, "source", "Seconds since the source (`public_keys`, `jwks_file`, `jwks_url`, `peers`, `service_key`) last confirmed the keys in use; alarm on a multiple of JWT_JWKS_REFRESH_SECONDS."),
        metric("onekeel_key_reloads_total", Counter, "source", "Keys taken from their source: for `jwks_url` each time that it was fetched, else when files changed."),
        metric("onekeel_api_key_exchanges_total", Counter, "outcome", "Exchanges of API keys: `given` a token, or the reason of the refusal; alarm on many `UNAUTHENTICATED`."),
        metric("onekeel_api_key_uses_lost_total", Counter, "", "Uses of API keys that are not written down because too many waited while the database was away."),
        metric("onekeel_ended_key_refusals_total", Counter, "", "Calls with a token of an API key that was revoked or rotated since."),
        metric("onekeel_key_reload_failures_total", Counter, "source", "Looks that found keys which must not be taken, or none at all; the old ones stay in use. Alarm on any growth."),
    ] },
    Area { name: "Caches", metrics: &[
        metric("onekeel_cache_reads_total", Counter, "outcome", "Reads through the tenants' cache: answered by it (`hit`), by the database (`miss`, or `first` when the row is asked for the first time and not kept), by a read of another call that was under way (`shared`), or by the database because Redis is away (`away`)."),
        metric("onekeel_cache_fills_total", Counter, "outcome", "Values that readers offered to Redis: `kept`, `outdated` because something newer was known, `no_room` because the tenant holds as many as its plan allows, or `away`."),
        metric("onekeel_cache_failures_total", Counter, "", "Commands of the cache that Redis did not answer; after each, nothing is asked for half a second."),
        metric("onekeel_cache_breaks_total", Counter, "", "Times that changes may have been missed, so that everything near was forgotten."),
        metric("onekeel_cache_doubts_total", Counter, "", "Rows that are not cached for a while because nobody knows whether their change was committed."),
        metric("onekeel_cache_untold_total", Counter, "", "Changes that Redis could not be told; old values may be read until their ttl ends."),
        metric("onekeel_newest_pages_total", Counter, "outcome", "Newest pages of leads that were asked for: sent again because PostgreSQL said that they are the `same`, or read because they had `changed` or were `unknown` to this process."),
        metric("onekeel_cache_near_bytes", Gauge, "", "Bytes of cached values that this process holds itself."),
        metric("onekeel_token_cache_total", Counter, "outcome", "Tokens found verified (`hit`) or verified afresh (`miss`)."),
        metric("onekeel_tenant_context_cache_total", Counter, "outcome", "Tenants whose state was known (`hit`), asked for (`miss`), or found in Redis while nobody could be asked (`kept`)."),
        metric("onekeel_tenant_context_failures_total", Counter, "", "Questions for a tenant's state or a host that TenantService did not answer, or in QuotaService for a rate that the database did not."),
        metric("onekeel_rate_cache_total", Counter, "outcome", "Tenants whose limit of requests QuotaService knew (`hit`) or read from the database (`miss`)."),
        metric("onekeel_host_cache_total", Counter, "outcome", "Hosts that are not the tenant's own by whose they are: known (`hit`) or asked for (`miss`)."),
        metric("onekeel_dns_questions_total", Counter, "outcome", "Questions to DNS for the proof of a domain that were `answered` or `failed`."),
    ] },
    Area { name: "Background work", metrics: &[
        metric("onekeel_background_rounds_total", Counter, "task, outcome", "Rounds of background work that went well (`done`) or not (`failed`)."),
        metric("onekeel_background_round_seconds", Histogram, "task", "How long a round took."),
        metric("onekeel_chore_failures_total", Counter, "task", "Tenants for which background work failed in a round."),
        metric("onekeel_chore_rows_total", Counter, "task", "Rows that background work wrote or deleted: those that are purged, and audit events that were kept for long enough."),
        metric("onekeel_background_restarts_total", Counter, "task", "Background work that ended or panicked and was started again."),
        metric("onekeel_tenant_settle_failures_total", Counter, "", "Interrupted changes of plan that are still on their way after a try."),
    ] },
    Area { name: "Telemetry", metrics: &[
        metric("onekeel_trace_spans_total", Counter, "outcome", "Spans `sent` to the receiver, or `lost` because it did not take them."),
        metric("onekeel_log_lines_left_out_total", Counter, "", "Lines about refused calls beyond what one second may log."),
    ] },
    Area { name: "Process", metrics: &[
        metric("onekeel_ready", Gauge, "", "1 while the server is ready for calls."),
        metric("onekeel_build_info", Gauge, "service, version", "Always 1; says what runs."),
        metric("process_cpu_seconds_total", Counter, "", "Processor time, in seconds."),
        metric("process_resident_memory_bytes", Gauge, "", "Memory that is really used."),
        metric("process_virtual_memory_bytes", Gauge, "", "Memory that is mapped."),
        metric("process_virtual_memory_max_bytes", Gauge, "", "Memory that may be mapped."),
        metric("process_open_fds", Gauge, "", "Files and sockets that are open."),
        metric("process_max_fds", Gauge, "", "Files and sockets that may be open."),
        metric("process_start_time_seconds", Gauge, "", "When the process started, in seconds since 1970."),
        metric("process_threads", Gauge, "", "Threads of the process."),
    ] },
];

/// The metric `name`.
pub fn find(name: &str) -> Option<&'static Metric> {
    CATALOGUE
        .iter()
        .flat_map(|area| area.metrics)
        .find(|metric| metric.name == name)
}

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for metric in CATALOGUE.iter().flat_map(|area| area.metrics) {
        match metric.kind {
            Counter => metrics::describe_counter!(metric.name, metric.meaning),
            Gauge => metrics::describe_gauge!(metric.name, metric.meaning),
            Histogram => metrics::describe_histogram!(metric.name, metric.meaning),
        }
    }
}

/// The catalogue as a page in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What a server shows at `/metrics` when `METRICS_LISTEN` is set. Made from the code by `cargo onekeel docs`.\n\n\
         The label `tenant` holds the ids of the tenants that call most, `METRICS_TENANTS` of them (50), chosen anew \
         every few seconds by calls whose weight halves each time. All other tenants share `other`; calls without a \
         tenant are `none`. A tenant that falls out loses its series, and one that comes back starts at zero, which \
         `rate()` takes for a restart. Whatever callers do, a server with m methods and n such tenants has at most \
         (m + 1) × 17 × (n + 2) counters of calls, of which only those that happened exist, (m + 1) × 17 histograms by \
         method and code, and n + 2 by tenant.\n",
    );
    for area in CATALOGUE {
        write!(
            page,
            "\n## {}\n\n| name | type | labels | meaning |\n|---|---|---|---|\n",
            area.name
        )
        .expect("a string takes it");
        for metric in area.metrics {
            let labels = metric
                .labels
                .split(", ")
                .filter(|label| !label.is_empty())
                .map(|label| format!("`{label}`"))
                .collect::<Vec<_>>()
                .join(", ");
            writeln!(
                page,
                "| `{}` | {} | {labels} | {} |",
                metric.name,
                metric.kind.name(),
                metric.meaning
            )
            .expect("a string takes it");
        }
    }
    page
}
