//! A domain: how it comes in, how it stands in the database, how it goes out, and what proves it.
use std::fmt::Write;

use chrono::{DateTime, Utc};
use onekeel_api::tenant::{AddDomainRequest, Domain};
use onekeel_api::{Fault, HostName, timestamp};
use uuid::Uuid;

use crate::host::{HostRules, Named};

/// Below the domain, so that it can be delegated by itself and stands in nobody's way.
const LABEL: &str = "_onekeel";
const KEY: &str = "onekeel-verification";
/// The name of the TXT record has 253 characters at most.
const LONGEST_NAME: usize = 244;
const TOKEN_BYTES: usize = 20;

/// A checked new domain with a token that nobody can guess.
#[derive(Clone, Debug)]
pub(crate) struct NewDomain {
    pub id: Uuid,
    pub name: String,
    pub token: String,
}

impl NewDomain {
    /// Checks a wish; names by which the platform itself is reached are nobody's own.
    pub fn read(wish: &AddDomainRequest, rules: &HostRules) -> Result<Self, Fault> {
        let bad = |mend| Fault::invalid("name", mend);
        let host = HostName::parse(&wish.name).filter(|host| host.as_str().len() <= LONGEST_NAME);
        let host = host.filter(|host| !wish.name.contains(':') && !host.as_str().contains('_'));
        let host = host.filter(|host| {
            host.as_str()
                .split('.')
                .all(|label| !label.starts_with('-') && !label.ends_with('-'))
        });
        let Some(host) = host else {
            return Err(bad(
                "must be a host name of at most 244 characters, for example app.acme.example; write other letters as xn--",
            ));
        };
        if !matches!(rules.names(&host), Named::Domain) {
            return Err(bad("must have a dot and be none of the platform's own names"));
        }
        Ok(Self {
            id: Uuid::now_v7(),
            name: host.to_string(),
            token: new_token()?,
        })
    }
}

fn new_token() -> Result<String, Fault> {
    let mut bytes = [0; TOKEN_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(Fault::internal)?;
    let mut token = String::with_capacity(2 * TOKEN_BYTES);
    for byte in bytes {
        write!(token, "{byte:02x}").expect("a string takes it");
    }
    Ok(token)
}

/// A row of `tenant.domains`.
#[derive(Clone, Debug)]
pub(crate) struct DomainRow {
    pub id: Uuid,
    pub name: String,
    pub token: String,
    pub verified_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

impl DomainRow {
    /// Where the proof is looked for.
    pub fn txt_name(&self) -> String {
        format!("{LABEL}.{}", self.name)
    }

    fn txt_value(&self) -> String {
        format!("{KEY}={}", self.token)
    }

    /// Whether one of these texts is the proof. How long the look at a wrong one takes tells nothing of the right one.
    pub fn is_proved_by(&self, texts: &[Vec<u8>]) -> bool {
        let wanted = self.txt_value();
        let same = |text: &Vec<u8>| aws_lc_rs::constant_time::verify_slices_are_equal(text, wanted.as_bytes()).is_ok();
        texts.iter().any(same)
    }

    /// The refusal of a domain without its proof.
    pub fn unproved(&self) -> Fault {
        let (name, value) = (self.txt_name(), self.txt_value());
        let mend = format!("no TXT record {name} has the text {value}; a new record may take a while to be seen");
        Fault::state_conflict("dns", &mend)
    }

    /// What the API shows of it.
    pub fn shown(&self) -> Domain {
        Domain {
            id: self.id.to_string(),
            name: self.name.clone(),
            txt_name: self.txt_name(),
            txt_value: self.txt_value(),
            create_time: Some(timestamp(self.created_at)),
            verify_time: self.verified_at.map(timestamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> HostRules {
        HostRules::new(Some("example.com".to_owned()), vec!["cluster.local".to_owned()])
    }

    #[test]
    fn only_a_name_that_can_be_a_tenants_own_is_taken() {
        let read = |name: &str| NewDomain::read(&AddDomainRequest { name: name.to_owned() }, &rules());
        assert_eq!(read("App.Acme.example.").expect("a domain").name, "app.acme.example");
        assert_eq!(
            read("xn--bcher-kva.example").expect("a domain").name,
            "xn--bcher-kva.example"
        );
        let long = format!("{}example", "x.".repeat(120));
        for bad in [
            "",
            "acme",
            "192.0.2.1",
            "a b.example",
            "b\u{fc}cher.example",
            "acme.example:443",
            "-a.example",
            "a_b.example",
            "example.com",
            "acme.example.com",
            "a.b.example.com",
            "tenant.ns.svc.cluster.local",
            "*.acme.example",
            &long,
        ] {
            let fault = read(bad).expect_err(bad);
            assert_eq!(fault.violations()[0].0, "name", "{bad}");
        }
    }

    #[test]
    fn only_the_whole_text_is_a_proof() {
        let new = NewDomain::read(
            &AddDomainRequest {
                name: "acme.example".to_owned(),
            },
            &rules(),
        )
        .expect("a domain");
        let row = DomainRow {
            id: new.id,
            name: new.name,
            token: new.token.clone(),
            verified_at: None,
            created_at: Utc::now(),
        };
        assert_eq!(row.txt_name(), "_onekeel.acme.example");
        let right = format!("onekeel-verification={}", new.token).into_bytes();
        assert!(row.is_proved_by(&[b"v=spf1 -all".to_vec(), right.clone()]));
        let (short, long) = (right[..right.len() - 1].to_vec(), [&right[..], b" "].concat());
        assert!(!row.is_proved_by(&[short, long, new.token.clone().into_bytes(), Vec::new()]));
        assert!(!row.is_proved_by(&[]));
        assert_eq!(new.token.len(), 2 * TOKEN_BYTES);
        assert_ne!(new.token, new_token().expect("another"));
    }
}
