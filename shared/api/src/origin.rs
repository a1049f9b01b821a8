//! Where a call comes from, and by which name its caller reached us.
use std::fmt;
use std::net::IpAddr;

/// The longest name that DNS knows (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// What the outermost layer found out about a call's way here. Whatever is decided by address or host is decided by this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The caller's address, IPv4 always as such; `None` where it is not known.
    pub address: Option<IpAddr>,
    /// The host that was called; `None` where that is an address or nothing.
    pub host: Option<HostName>,
}

/// A DNS name in lower case, without a port or a final dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

impl HostName {
    /// Reads a host as a browser sends it, for example `Acme.example.com:443`. An IP address is no name.
    pub fn parse(host: &str) -> Option<Self> {
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        let name = name.strip_suffix('.').unwrap_or(name);
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if name.len() > LONGEST_NAME || port.len() > 5 || !number(port) || !name.split('.').all(is_label) {
            return None;
        }
        // RFC 1123, section 2.1: what ends in a number is an address.
        if name.rsplit('.').next().is_some_and(number) {
            return None;
        }
        Some(Self(name.to_ascii_lowercase().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `domain`, or a name below it.
    pub fn is_in(&self, domain: &str) -> bool {
        self.0
            .strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// What stands before `domain`, for a name below it.
    pub fn below(&self, domain: &str) -> Option<&str> {
        self.0.strip_suffix(domain)?.strip_suffix('.')
    }

    /// Whether the name has no dot, as only names of a machine's own network have.
    pub fn is_local(&self) -> bool {
        !self.0.contains('.')
    }
}

/// Underscores are in no host name, but in names of services inside of a cluster.
fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(inner)
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_however_it_is_written() {
        for (host, name) in [
            ("acme.example.com", "acme.example.com"),
            ("ACME.example.COM:443", "acme.example.com"),
            ("acme.example.com.", "acme.example.com"),
            ("localhost:50051", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(HostName::parse(host).expect(host).as_str(), name);
        }
        let long = "x".repeat(64);
        for none in [
            "",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:80",
            "::1",
            "a b.example",
            "a..b",
            "a.b/x",
            "a.b:x",
            &long,
        ] {
            assert_eq!(HostName::parse(none), None, "{none}");
        }
        assert!(HostName::parse(&"x.".repeat(127)).is_some(), "253 characters");
        assert_eq!(HostName::parse(&"x.".repeat(128)), None, "255 characters");
    }

    #[test]
    fn a_name_below_a_domain_is_no_name_that_only_ends_like_it() {
        let host = |name| HostName::parse(name).expect(name);
        assert!(host("a.example.com").is_in("example.com") && host("example.com").is_in("example.com"));
        assert!(!host("aexample.com").is_in("example.com"));
        assert_eq!(host("a.b.example.com").below("example.com"), Some("a.b"));
        assert_eq!(host("example.com").below("example.com"), None);
        assert_eq!(host("aexample.com").below("example.com"), None);
        assert!(host("onekeel-lead").is_local() && !host("a.example.com").is_local());
    }
}
