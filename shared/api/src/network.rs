//! Networks in CIDR notation, of IPv4 and IPv6, and which addresses lie in them.
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Bits of an IPv6 address before an IPv4 address that is written as one (`::ffff:203.0.113.7`).
const MAPPED: u8 = 96;

/// A network in its one canonical form: no bits behind the prefix, and IPv4 never written as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address lies in it. An IPv4 address counts as such, also where it is written as IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads a network or a single address. The error says how to mend it.
    fn from_str(text: &str) -> Result<Self, String> {
        let single = text.parse::<IpAddr>().map(IpNet::from);
        let Ok(net) = single.or_else(|_| text.parse::<IpNet>()) else {
            return Err("must be a network such as 203.0.113.0/24 or 2001:db8::/32, or an address".to_owned());
        };
        if net.addr() != net.network() {
            let (whole, one) = (net.trunc(), IpNet::from(net.addr()));
            return Err(format!(
                "has bits behind its prefix; write {whole}, or {one} for the one address"
            ));
        }
        Ok(Self(folded(net)))
    }
}

/// IPv4 as IPv4.
fn folded(net: IpNet) -> IpNet {
    let IpNet::V6(six) = net else {
        return net;
    };
    let four = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(MAPPED));
    let four = four.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    four.map_or(net, IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_form() {
        for (written, kept) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(written.parse::<Network>().expect(written).to_string(), kept);
        }
        for bad in [
            "",
            "x",
            "203.0.113.0/33",
            "203.0.113.0/",
            "203.0.113/24",
            "2001:db8::/129",
            "1.2.3.4:80",
            " ::1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let mended = "203.0.113.7/24".parse::<Network>().expect_err("bits behind the prefix");
        assert!(mended.contains("write 203.0.113.0/24, or 203.0.113.7/32"), "{mended}");
    }

    #[test]
    fn an_address_lies_in_its_networks_however_it_is_written() {
        let lies = |address: &str, network: &str| {
            let address = address.parse().expect(address);
            network.parse::<Network>().expect(network).contains(address)
        };
        assert!(lies("203.0.113.7", "203.0.113.0/24"));
        assert!(lies("::ffff:203.0.113.7", "203.0.113.0/24"));
        assert!(lies("2001:db8::1", "2001:db8::/32"));
        assert!(!lies("203.0.114.7", "203.0.113.0/24"));
        assert!(!lies("203.0.113.7", "::/0"), "all of IPv6 is nothing of IPv4");
        assert!(!lies("2001:db9::1", "2001:db8::/32"));
    }
}
