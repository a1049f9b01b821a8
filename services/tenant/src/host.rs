//! Host names: which of them name a tenant, and which one?
use onekeel_api::tenant::HostOwner;
use onekeel_api::{Fault, HostName};
use onekeel_store::{Single, Store};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::repo;
use crate::tenant::is_slug;

/// What the platform's own names are.
#[derive(Debug)]
pub(crate) struct HostRules {
    base_domain: Option<String>,
    service_hosts: Vec<String>,
}

/// What a host says of tenants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// Nothing: a name of the platform itself, by which every tenant may call.
    Platform,
    /// The tenant with this slug.
    Slug(&'a str),
    /// A tenant that cannot be there.
    Nobody,
    /// The tenant that has proved this domain, if one has.
    Domain,
}

impl HostRules {
    pub fn new(base_domain: Option<String>, service_hosts: Vec<String>) -> Self {
        Self {
            base_domain,
            service_hosts,
        }
    }

    /// What `host` says. The names of services come first, so that a shared name below the base domain stays one.
    pub fn names<'a>(&self, host: &'a HostName) -> Named<'a> {
        if host.is_local() || self.service_hosts.iter().any(|own| host.is_in(own)) {
            return Named::Platform;
        }
        let Some(base) = self.base_domain.as_deref().filter(|base| host.is_in(base)) else {
            return Named::Domain;
        };
        match host.below(base) {
            None => Named::Platform,
            Some(slug) if is_slug(slug) => Named::Slug(slug),
            Some(_) => Named::Nobody,
        }
    }

    /// The host that a tenant has below the base domain.
    pub fn host_of(&self, slug: &str) -> Option<String> {
        self.base_domain.as_ref().map(|base| format!("{slug}.{base}"))
    }
}

/// Reads the host of a request.
pub(crate) fn parse(host: &str) -> Result<HostName, Fault> {
    let bad = || Fault::invalid("host", "must be a host name, for example acme.example.com");
    HostName::parse(host).ok_or_else(bad)
}

/// The tenant that a host names.
pub(crate) async fn find(store: &Store, rules: &HostRules, host: &HostName) -> Result<Option<Uuid>, Fault> {
    match rules.names(host) {
        Named::Platform | Named::Nobody => Ok(None),
        Named::Slug(slug) => {
            let find = async |single: &mut Single| repo::find_slug(single, slug).await;
            store.catalogue("find_slug", find).await
        }
        Named::Domain => {
            let find = async |single: &mut Single| repo::find_host(single, host.as_str()).await;
            store.catalogue("find_host", find).await
        }
    }
}

/// Whose a host is, as far as it concerns `tenant`: whose else, nobody is told.
pub(crate) async fn owner(
    store: &Store,
    rules: &HostRules,
    host: &HostName,
    tenant: &Tenant,
) -> Result<HostOwner, Fault> {
    let names = rules.names(host);
    if names == Named::Platform {
        return Ok(HostOwner::Nobody);
    }
    Ok(match find(store, rules, host).await? {
        Some(id) if id == tenant.id().uuid() => HostOwner::Caller,
        None if names == Named::Domain => HostOwner::Nobody,
        // A slug that is free is as foreign as one that is taken, so that nobody learns which are.
        Some(_) | None => HostOwner::Other,
    })
}

#[cfg(test)]
mod tests {
    use onekeel_api::ErrorReason;

    use super::*;

    #[test]
    fn a_host_names_a_tenant_the_platform_or_a_domain() {
        let services = vec!["api.example.com".to_owned(), "svc".to_owned()];
        let rules = HostRules::new(Some("example.com".to_owned()), services);
        for (host, expected) in [
            ("acme.example.com", Named::Slug("acme")),
            ("ACME.example.COM:443", Named::Slug("acme")),
            ("acme.example.com.", Named::Slug("acme")),
            ("a.acme.example.com", Named::Nobody),
            ("-x-.example.com", Named::Nobody),
            ("example.com", Named::Platform),
            ("api.example.com", Named::Platform),
            ("eu.api.example.com", Named::Platform),
            ("onekeel-lead", Named::Platform),
            ("onekeel-lead.prod.svc:50051", Named::Platform),
            ("acme.example.org", Named::Domain),
            ("acmeexample.com", Named::Domain),
        ] {
            let name = parse(host).expect(host);
            let names = rules.names(&name);
            match (&names, &expected) {
                (Named::Slug(slug), Named::Slug(wanted)) => assert_eq!(slug, wanted),
                _ => assert_eq!(names, expected, "{host}"),
            }
        }
        let without = HostRules::new(None, Vec::new());
        let name = parse("acme.example.com").expect("a name");
        assert_eq!(without.names(&name), Named::Domain);
        assert_eq!(
            (without.host_of("acme"), rules.host_of("acme").as_deref()),
            (None, Some("acme.example.com"))
        );
    }

    #[test]
    fn what_is_no_host_is_refused_by_name() {
        for bad in [
            "",
            "a b.example.com",
            "a..example.com",
            "acme.example.com/x",
            &"x".repeat(300),
            "192.0.2.1",
        ] {
            assert_eq!(parse(bad).expect_err(bad).reason(), ErrorReason::InvalidArgument);
        }
    }
}
