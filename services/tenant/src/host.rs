//! Host names: whose is `<slug>.<base domain>`?
use onekeel_api::Fault;

use crate::tenant::is_slug;

/// The longest name that DNS knows (RFC 1035, section 2.3.4), and a port.
const LONGEST_HOST: usize = 253 + 6;

/// The slug in a host name as a browser sends it.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no host name; `NOT_FOUND` for one outside of the base domain; `STATE_CONFLICT` when
/// this server knows no base domain.
pub(crate) fn slug(host: &str, base_domain: Option<&str>) -> Result<String, Fault> {
    let name = host.split_once(':').map_or(host, |(name, _port)| name);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if host.len() > LONGEST_HOST || !name.split('.').all(label) {
        return Err(Fault::invalid(
            "host",
            "must be a host name, for example acme.example.com",
        ));
    }
    let base = base_domain.ok_or_else(|| {
        let mend = "the platform has no base domain; set BASE_DOMAIN of the tenant server";
        Fault::state_conflict("base_domain", mend)
    })?;
    let slug = name.strip_suffix(base).and_then(|slug| slug.strip_suffix('.'));
    slug.filter(|slug| is_slug(slug))
        .map(str::to_owned)
        .ok_or_else(Fault::not_found)
}

#[cfg(test)]
mod tests {
    use onekeel_api::ErrorReason;

    use super::*;

    #[test]
    fn a_host_below_the_base_domain_names_its_slug() {
        let of = |host| slug(host, Some("example.com"));
        for host in ["acme.example.com", "ACME.example.COM:443", "acme.example.com."] {
            assert_eq!(of(host).expect(host), "acme");
        }
        for foreign in [
            "example.com",
            "acme.example.org",
            "a.acme.example.com",
            "acmeexample.com",
            "-x-.example.com",
        ] {
            assert_eq!(of(foreign).expect_err(foreign).reason(), ErrorReason::NotFound);
        }
        for bad in [
            "",
            "a b.example.com",
            "a..example.com",
            "acme.example.com/x",
            &"x".repeat(300),
        ] {
            assert_eq!(of(bad).expect_err(bad).reason(), ErrorReason::InvalidArgument);
        }
        let without = slug("acme.example.com", None).expect_err("no base domain");
        assert_eq!(without.reason(), ErrorReason::StateConflict);
    }
}
