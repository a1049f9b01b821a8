//! What calls cost, by method, code and tenant, with a number of series that no caller can raise.
//!
//! | metric | labels | at most, of m methods and n tenants with a seat |
//! |---|---|---|
//! | `onekeel_rpc_requests_total` | method, code, tenant | (m + 1) × 17 × (n + 2), and only pairs that happened |
//! | `onekeel_rpc_duration_seconds` | method, code | (m + 1) × 17 histograms |
//! | `onekeel_tenant_rpc_duration_seconds` | tenant | n + 2 histograms |
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;
use std::time::Duration;

use tonic::Code;
use uuid::Uuid;

use crate::catalogue;
use crate::codes::{CODES, number};
use crate::histogram::Histogram;
use crate::series::Series;
use crate::tenants::Tenants;

const REQUESTS: &str = "onekeel_rpc_requests_total";
const DURATIONS: &str = "onekeel_rpc_duration_seconds";
const TENANT_DURATIONS: &str = "onekeel_tenant_rpc_duration_seconds";
/// Of tenants that do not call enough for series of their own.
const OTHERS: &str = "other";
/// Of calls without a tenant: operators', and those that were refused before anybody knew whose they were.
const NOBODY: &str = "none";
const UNKNOWN: &str = "unknown";

/// A method of the contract, found once for each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(usize);

/// Counts calls.
pub struct Calls {
    numbers: HashMap<String, Method>,
    names: Vec<String>,
    durations: Vec<OnceLock<Box<Histogram>>>,
    tenants: Tenants,
    nobody: Series,
}

impl Calls {
    /// Counts calls of `methods` (paths), and shows the `most_tenants` that call most one by one.
    pub fn new(methods: impl IntoIterator<Item = String>, most_tenants: usize) -> Self {
        let mut paths: Vec<String> = methods.into_iter().collect();
        paths.sort_unstable();
        paths.insert(0, UNKNOWN.to_owned());
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.trim_start_matches('/').to_owned())
            .collect();
        let numbers = paths.into_iter().enumerate().map(|(place, path)| (path, Method(place)));
        Self {
            numbers: numbers.collect(),
            durations: (0..names.len() * CODES.len()).map(|_| OnceLock::new()).collect(),
            tenants: Tenants::new(most_tenants, names.len()),
            nobody: Series::new(names.len()),
            names,
        }
    }

    /// The method at a path; every path that the contract does not know is one and the same.
    pub fn method(&self, path: &str) -> Method {
        self.numbers.get(path).copied().unwrap_or(Method(0))
    }

    /// Its name, as `onekeel.lead.v1.LeadService/CreateLead`; none where the contract knows none.
    pub fn name(&self, method: Method) -> Option<&str> {
        (method.0 > 0).then(|| self.names[method.0].as_str())
    }

    /// Counts a call that has ended.
    pub fn record(&self, method: Method, code: Code, tenant: Option<Uuid>, took: Duration) {
        let code = number(code);
        let durations = &self.durations[method.0 * CODES.len() + code];
        durations.get_or_init(Box::default).record(took);
        match tenant {
            Some(tenant) => self
                .tenants
                .record(tenant, |series| series.record(method.0, code, took)),
            None => self.nobody.record(method.0, code, took),
        }
    }

    /// Gives the series to the tenants that call most, by the calls of each since this was told last; a few times a minute.
    pub fn weigh(&self, calls: impl IntoIterator<Item = (Uuid, u64)>) {
        self.tenants.round(calls);
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self, text: &mut String) {
        let seated = self.tenants.seated();
        let named: Vec<(String, &Series)> = seated
            .iter()
            .map(|(tenant, series)| (tenant.to_string(), &**series))
            .chain([
                (OTHERS.to_owned(), &self.tenants.others),
                (NOBODY.to_owned(), &self.nobody),
            ])
            .collect();
        head(REQUESTS, text);
        for (tenant, series) in &named {
            series.render_calls(REQUESTS, &self.names, tenant, text);
        }
        head(DURATIONS, text);
        for (place, durations) in self.durations.iter().enumerate() {
            let (method, code) = (&self.names[place / CODES.len()], CODES[place % CODES.len()]);
            if let Some(durations) = durations.get() {
                durations.render(DURATIONS, &format!("method=\"{method}\",code=\"{code}\""), text);
            }
        }
        head(TENANT_DURATIONS, text);
        for (tenant, series) in &named {
            series.render_durations(TENANT_DURATIONS, tenant, text);
        }
    }
}

fn head(name: &str, text: &mut String) {
    let metric = catalogue::find(name).expect("the catalogue holds every metric");
    writeln!(
        text,
        "# HELP {name} {}\n# TYPE {name} {}",
        metric.meaning,
        metric.kind.name()
    )
    .expect("a string takes it");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const METHODS: [&str; 2] = ["/a.A/One", "/a.A/Two"];

    fn calls(most_tenants: usize) -> Calls {
        Calls::new(METHODS.map(str::to_owned), most_tenants)
    }

    fn rendered(calls: &Calls) -> String {
        let mut text = String::new();
        calls.render(&mut text);
        text
    }

    /// Calls by the label `tenant`.
    fn by_tenant(text: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with(REQUESTS)) {
            let tenant = line.split("tenant=\"").nth(1).and_then(|rest| rest.split('"').next());
            let count: u64 = line
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse().ok())
                .expect("a count");
            *counts.entry(tenant.expect("a tenant").to_owned()).or_default() += count;
        }
        counts
    }

    #[test]
    fn ten_thousand_tenants_have_fifty_series_and_nothing_is_lost() {
        let calls = calls(50);
        let one = calls.method("/a.A/One");
        let mut made = 0;
        for round in 0..5_u128 {
            let mut made_by = Vec::new();
            for tenant in 1..=10_000_u128 {
                // The last twenty call a hundred times as often as the rest, and the rest differ a little.
                let times = if tenant > 9_980 {
                    200
                } else {
                    1 + u64::try_from((tenant + round) % 3).unwrap()
                };
                for _ in 0..times {
                    let tenant = Some(Uuid::from_u128(tenant));
                    calls.record(one, Code::Ok, tenant, Duration::from_millis(1));
                }
                made += times;
                made_by.push((Uuid::from_u128(tenant), times));
            }
            let before = by_tenant(&rendered(&calls));
            assert!(before.len() <= 51, "{} tenants in round {round}", before.len());
            calls.weigh(made_by);
            let after = by_tenant(&rendered(&calls));
            assert!(after.len() <= 51, "{} tenants after round {round}", after.len());
        }
        let text = rendered(&calls);
        let counts = by_tenant(&text);
        for tenant in 9_981..=10_000 {
            let tenant = Uuid::from_u128(tenant).to_string();
            assert!(
                counts.get(&tenant).is_some_and(|count| *count >= 800),
                "{tenant} of the heaviest"
            );
        }
        assert!(counts[OTHERS] > 50_000, "the rest is one: {}", counts[OTHERS]);
        let total = text
            .lines()
            .find(|line| line.starts_with("onekeel_rpc_duration_seconds_count"));
        assert_eq!(
            total.and_then(|line| line.rsplit(' ').next()),
            Some(made.to_string().as_str()),
            "by method, every call is there"
        );
        let lines = text.lines().count();
        assert!(lines < 1000, "{lines} lines");
    }

    #[test]
    fn a_call_is_counted_by_method_code_and_tenant() {
        let calls = calls(2);
        let (one, unknown) = (calls.method("/a.A/One"), calls.method("/made/Up"));
        assert_eq!((calls.name(one), calls.name(unknown)), (Some("a.A/One"), None));
        let tenant = Uuid::from_u128(7);
        calls.record(one, Code::NotFound, Some(tenant), Duration::from_millis(1));
        calls.record(unknown, Code::Unauthenticated, None, Duration::ZERO);
        let text = rendered(&calls);
        for line in [
            format!("{REQUESTS}{{method=\"a.A/One\",code=\"NOT_FOUND\",tenant=\"{tenant}\"}} 1"),
            format!("{REQUESTS}{{method=\"unknown\",code=\"UNAUTHENTICATED\",tenant=\"none\"}} 1"),
            format!("{TENANT_DURATIONS}_count{{tenant=\"{tenant}\"}} 1"),
            format!("# TYPE {REQUESTS} counter"),
            format!("# TYPE {DURATIONS} histogram"),
        ] {
            assert!(text.lines().any(|own| own == line), "no {line} in {text}");
        }
    }
}
