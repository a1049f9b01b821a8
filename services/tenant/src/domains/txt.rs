//! TXT records, asked for by DNS. The resolver is made for one question and gone after it, so that a server which nobody
//! asks keeps nothing of it in memory.
use std::net::SocketAddr;
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::{Name, Rtype};
use domain::rdata::Txt;
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use onekeel_api::{Deadline, Fault};
use tokio::sync::Semaphore;

const LONGEST_QUESTION: Duration = Duration::from_secs(5);
const MOST_QUESTIONS: usize = 16;
/// Of an answer, however long; a name with more has its proof among the first.
const MOST_TEXTS: usize = 100;

/// Asks for texts.
pub(super) struct Texts {
    /// Instead of those in `/etc/resolv.conf`.
    server: Option<SocketAddr>,
    places: Semaphore,
}

impl Texts {
    pub fn new(server: Option<SocketAddr>) -> Self {
        Self {
            server,
            places: Semaphore::new(MOST_QUESTIONS),
        }
    }

    /// The texts at a name; none where there is no such name.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no DNS server gives an answer in time, or too many ask at once.
    pub async fn at(&self, name: &str) -> Result<Vec<Vec<u8>>, Fault> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Fault::unavailable("too many domains are being looked up; try again"));
        };
        let limit = Deadline::remaining_or(LONGEST_QUESTION).min(LONGEST_QUESTION);
        let asked = tokio::time::timeout(limit, ask(self.configuration(), name)).await;
        let outcome = match &asked {
            Ok(Ok(_)) => "answered",
            _ => "failed",
        };
        metrics::counter!("onekeel_dns_questions_total", "outcome" => outcome).increment(1);
        let away = || Fault::unavailable("DNS gives no answer for the domain; try again");
        asked.map_err(|_| away())?.map_err(|cause| away().cause(cause))
    }

    fn configuration(&self) -> ResolvConf {
        let Some(server) = self.server else {
            return ResolvConf::default();
        };
        let mut configuration = ResolvConf::new();
        configuration.servers.push(ServerConf::new(server, Transport::UdpTcp));
        configuration.finalize();
        configuration
    }
}

async fn ask(configuration: ResolvConf, name: &str) -> Result<Vec<Vec<u8>>, String> {
    // The final dot keeps it from being looked for below a domain of ours.
    let name: Name<Vec<u8>> = Name::vec_from_str(&format!("{name}.")).map_err(|error| error.to_string())?;
    let resolver = StubResolver::from_conf(configuration);
    let answer = resolver
        .query((name, Rtype::TXT))
        .await
        .map_err(|error| error.to_string())?;
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Ok(Vec::new()),
        other => return Err(format!("the DNS server answers {other}")),
    }
    let records = answer.answer().map_err(|error| error.to_string())?;
    let texts = records.limit_to::<Txt<_>>().take(MOST_TEXTS);
    let texts = texts.map(|record| Ok(record.map_err(|error| error.to_string())?.data().text()));
    texts.collect()
}
