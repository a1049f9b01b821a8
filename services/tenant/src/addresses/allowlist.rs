//! A list of networks: how it comes in, how it stands in the database, how it goes out.
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use onekeel_api::tenant::{IpAllowlist, SetIpAllowlistRequest};
use onekeel_api::{Etag, Fault, Network, Violations, timestamp};
use onekeel_tenancy::Caller;
use uuid::Uuid;

const MOST_NETWORKS: usize = 100;
const FIELD: &str = "allowlist.networks";

/// A checked new list.
#[derive(Clone, Debug)]
pub(crate) struct NewAllowlist {
    /// The tenant as the request names it.
    pub client_id: String,
    pub etag: Etag,
    pub validate_only: bool,
    allow_lockout: bool,
    networks: Vec<Network>,
}

impl TryFrom<SetIpAllowlistRequest> for NewAllowlist {
    type Error = Fault;

    fn try_from(request: SetIpAllowlistRequest) -> Result<Self, Fault> {
        let list = request
            .allowlist
            .ok_or_else(|| Fault::invalid("allowlist", "is required"))?;
        let mut wrong = Violations::new();
        wrong.check(
            list.networks.len() <= MOST_NETWORKS,
            FIELD,
            "must be at most 100 networks; join neighbours to larger ones",
        );
        let mut networks = Vec::with_capacity(list.networks.len().min(MOST_NETWORKS));
        for (place, text) in list.networks.iter().take(MOST_NETWORKS).enumerate() {
            match text.parse() {
                Ok(network) => networks.push(network),
                Err(mend) => wrong.add(&format!("{FIELD}[{place}]"), mend),
            }
        }
        wrong.into_result()?;
        networks.sort_unstable();
        networks.dedup();
        Ok(Self {
            client_id: list.client_id,
            etag: Etag::read(&list.etag)?,
            validate_only: request.validate_only,
            allow_lockout: request.allow_lockout,
            networks,
        })
    }
}

impl NewAllowlist {
    /// The networks as they are kept.
    pub fn networks(&self) -> Vec<String> {
        self.networks.iter().map(ToString::to_string).collect()
    }

    /// Refuses a list that would keep its own caller from taking it back. Operators come in from anywhere.
    pub fn refuse_lockout(&self, caller: &Caller, address: Option<IpAddr>) -> Result<(), Fault> {
        let bound = matches!(caller, Caller::Tenant(tenant) if tenant.support_reason().is_none());
        if !bound || self.allow_lockout || self.networks.is_empty() {
            return Ok(());
        }
        let Some(address) = address else {
            let mend = "would lock you out: your address is not known; set allow_lockout if that is meant";
            return Err(Fault::invalid(FIELD, mend));
        };
        if self.networks.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        let mend = format!("would lock you out: add your own address {address}, or set allow_lockout if that is meant");
        Err(Fault::invalid(FIELD, &mend))
    }
}

/// A row of `tenant.allowlists`, or what a tenant without one has.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowlistRow {
    pub networks: Vec<String>,
    pub version: i64,
    pub updated_at: Option<DateTime<Utc>>,
}

impl AllowlistRow {
    /// The list as the contract sends it.
    pub fn of(self, client: Uuid) -> IpAllowlist {
        IpAllowlist {
            client_id: client.to_string(),
            networks: self.networks,
            update_time: self.updated_at.map(timestamp),
            etag: self.version.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(networks: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let list = IpAllowlist {
            networks: networks.iter().map(|network| (*network).to_owned()).collect(),
            ..IpAllowlist::default()
        };
        let request = SetIpAllowlistRequest {
            allowlist: Some(list),
            ..SetIpAllowlistRequest::default()
        };
        let read = NewAllowlist::try_from(request);
        read.map(|new| new.networks())
            .map_err(|fault| fault.violations().iter().map(|(field, _)| field.clone()).collect())
    }

    #[test]
    fn networks_are_kept_in_order_each_once_and_in_one_form() {
        let kept = read(&["2001:DB8::/32", "203.0.113.7", "10.0.0.0/8", "::ffff:10.0.0.0/104"]);
        assert_eq!(
            kept,
            Ok(["10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32"]
                .map(str::to_owned)
                .to_vec())
        );
        assert_eq!(read(&[]), Ok(Vec::new()));
    }

    #[test]
    fn every_bad_network_is_named_by_its_place() {
        let wrong = read(&["10.0.0.0/8", "10.0.0.1/8", "all", ""]).expect_err("three are wrong");
        assert_eq!(
            wrong,
            [
                "allowlist.networks[1]",
                "allowlist.networks[2]",
                "allowlist.networks[3]"
            ]
        );
        assert_eq!(read(&["::1"; 101]), Err(vec!["allowlist.networks".to_owned()]));
        assert_eq!(read(&["::1"; 100]), Ok(vec!["::1/128".to_owned()]));
        let without = NewAllowlist::try_from(SetIpAllowlistRequest::default()).expect_err("no list");
        assert_eq!(without.violations()[0].0, "allowlist");
    }
}
