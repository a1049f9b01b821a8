//! Support: an operator acts inside one tenant, which two headers name with the reason.
use std::ops::RangeInclusive;

use http::HeaderMap;
use onekeel_api::{ClientId, Fault, Policy};

use crate::Caller;

/// The tenant that an operator acts in.
pub const TENANT_HEADER: &str = "x-onekeel-client-id";
/// Why.
pub const REASON_HEADER: &str = "x-onekeel-reason";

const REASON_LENGTH: RangeInclusive<usize> = 10..=500;

/// The caller itself, or where a tenant is named, the operator as one who acts in it. Nobody else may name one: a token
/// that is of a tenant already, or of a server, is not given another by a header.
pub(crate) fn enter(caller: Caller, policy: &Policy, headers: &HeaderMap) -> Result<Caller, Fault> {
    if !headers.contains_key(TENANT_HEADER) {
        return Ok(caller);
    }
    let Caller::Platform(platform) = caller else {
        return Err(Fault::permission_denied());
    };
    if !platform.may_support(policy) {
        return Err(Fault::permission_denied());
    }
    let client = ClientId::parse(TENANT_HEADER, only(headers, TENANT_HEADER).unwrap_or_default())?;
    let reason = only(headers, REASON_HEADER).map(str::trim).unwrap_or_default();
    if !REASON_LENGTH.contains(&reason.len()) {
        let description = "must say once, in 10 to 500 visible ASCII characters, why support acts in this tenant";
        return Err(Fault::invalid(REASON_HEADER, description));
    }
    Ok(Caller::Tenant(platform.support(client, reason)))
}

/// The value of a header that comes once, in visible ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let visible = value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte));
    value.to_str().ok().filter(|_| visible)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use onekeel_api::{Audience, ErrorReason};

    use super::*;
    use crate::caller::{Platform, Tenant};
    use crate::{Permissions, Role};

    fn policy(permission: &str) -> Policy {
        Policy {
            method: "onekeel.lead.v1.LeadService/GetLead".to_owned(),
            permission: permission.to_owned(),
            audiences: vec![Audience::Tenant],
            cost: 1,
            writes: false,
            private: false,
            callers: Vec::new(),
            client_streaming: false,
            server_streaming: false,
        }
    }

    fn operator(role: Role) -> Caller {
        let in_support = Permissions::of(role.in_support().expect("a platform role"));
        Caller::Platform(Platform::verified("olga", role, Permissions::of(role), in_support))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
        }
        headers
    }

    const REASON: (&str, &str) = (REASON_HEADER, "leads are missing after an import");
    const TENANT: (&str, &str) = (TENANT_HEADER, "01a20b12-80ab-7463-a015-80e1156cec5e");

    #[test]
    fn an_operator_acts_in_the_tenant_that_it_names_with_a_reason() {
        let entered = enter(
            operator(Role::PlatformViewer),
            &policy("leads.read"),
            &headers(&[TENANT, REASON]),
        );
        let Ok(Caller::Tenant(tenant)) = entered else {
            panic!("{entered:?}");
        };
        assert_eq!(tenant.id().to_string(), TENANT.1);
        assert_eq!((tenant.user().as_str(), tenant.role()), ("olga", Role::PlatformViewer));
        assert_eq!(tenant.support_reason(), Some(REASON.1));
        assert!(Caller::Tenant(tenant).may(&policy("leads.read")));
    }

    #[test]
    fn a_bad_header_is_named() {
        let long = "x".repeat(501);
        for (pairs, named) in [
            (&[TENANT][..], REASON_HEADER),
            (&[TENANT, (REASON_HEADER, "  short  ")], REASON_HEADER),
            (&[TENANT, (REASON_HEADER, &long)], REASON_HEADER),
            (&[TENANT, (REASON_HEADER, "über den Zaun geschaut")], REASON_HEADER),
            (&[TENANT, (REASON_HEADER, "with\ta tabulator")], REASON_HEADER),
            (&[TENANT, REASON, REASON], REASON_HEADER),
            (&[(TENANT_HEADER, "7"), REASON], TENANT_HEADER),
            (&[TENANT, TENANT, REASON], TENANT_HEADER),
        ] {
            let refused = enter(operator(Role::PlatformAdmin), &policy("leads.read"), &headers(pairs));
            let fault = refused.expect_err("a bad header");
            assert_eq!(fault.violations()[0].0, named, "{pairs:?}");
        }
    }

    #[test]
    fn nobody_else_is_given_a_tenant_by_a_header() {
        let denied = |caller, policy: &Policy| {
            // Without a reason: whoever may not come in is not told about headers.
            let refused = enter(caller, policy, &headers(&[TENANT])).expect_err("refused");
            assert_eq!(refused.reason(), ErrorReason::PermissionDenied);
        };
        let user = Tenant::verified(ClientId::new_v7(), "ann", Role::Admin, Permissions::of(Role::Admin));
        denied(Caller::Tenant(user), &policy("leads.read"));
        denied(operator(Role::PlatformViewer), &policy("leads.write"));
        let private = Policy {
            private: true,
            ..policy("leads.read")
        };
        denied(operator(Role::PlatformAdmin), &private);
        let platform = Policy {
            audiences: vec![Audience::Platform],
            ..policy("tenants.read")
        };
        denied(operator(Role::PlatformAdmin), &platform);
        let without = enter(operator(Role::PlatformAdmin), &platform, &headers(&[REASON]));
        assert!(matches!(without, Ok(Caller::Platform(_))));
    }
}
