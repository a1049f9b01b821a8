//! What is believed of whom.
use onekeel_api::ErrorReason;

use super::*;

/// A call over a connection from `peer`, with headers, to `lead.example.com`.
fn origin(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> Result<(String, String), Fault> {
    let networks = trusted.iter().map(|network| network.parse().expect("a network"));
    let mut request = Request::new(());
    *request.uri_mut() = "http://Lead.example.com:50051/onekeel.lead.v1.LeadService/GetLead"
        .parse()
        .expect("an address");
    request.extensions_mut().insert(Peer {
        address: Some(peer.parse().expect("an address")),
        ..Peer::default()
    });
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header");
        request.headers_mut().append(*name, value);
    }
    let origin = Origins::trusting(networks.collect()).of(&request)?;
    let host = origin.host.map(|host| host.to_string());
    Ok((origin.address.expect("a peer").to_string(), host.unwrap_or_default()))
}

fn address_of(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
    let headers: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    origin(trusted, peer, &headers).expect("well-formed").0
}

const PROXIES: &[&str] = &["10.0.0.0/8", "2001:db8::/32"];

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    for lines in [
        &["203.0.113.7"][..],
        &["10.0.0.9"],
        &["nonsense"],
        &["a, b", "\u{fc}"],
        &["x,"; 100],
    ] {
        assert_eq!(address_of(&[], "10.0.0.1", lines), "10.0.0.1");
        assert_eq!(address_of(PROXIES, "198.51.100.1", lines), "198.51.100.1");
    }
    let forged = origin(PROXIES, "198.51.100.1", &[("x-forwarded-host", "acme.example.com")]);
    assert_eq!(forged.expect("not read").1, "lead.example.com");
}

#[test]
fn the_nearest_address_that_is_no_proxy_is_the_callers() {
    for (peer, lines, caller) in [
        ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", &["203.0.113.7", "10.0.0.2,10.0.0.3"], "203.0.113.7"),
        ("::ffff:10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
        ("2001:db8::1", &["2001:db9::7"], "2001:db9::7"),
        ("10.0.0.1", &["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", &["[2001:db9::7]:4711"], "2001:db9::7"),
        ("10.0.0.1", &["[2001:db9::7]"], "2001:db9::7"),
        // What the caller wrote itself stands left of its address, and is not read.
        ("10.0.0.1", &["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["nonsense, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", &["10.0.0.9", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        // Only proxies: the farthest, or the connection itself.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &[], "10.0.0.1"),
    ] {
        assert_eq!(address_of(PROXIES, peer, lines), caller, "{peer} {lines:?}");
    }
}

#[test]
fn a_trusted_proxy_that_cannot_be_read_is_refused() {
    let long = format!("203.0.113.7, {}", "10.0.0.2, ".repeat(300));
    let many = "10.0.0.2, ".repeat(MOST_HOPS) + "10.0.0.2";
    for line in [
        "",
        "nonsense",
        "203.0.113.7,",
        "203.0.113.7, 1.2.3",
        "unknown",
        "\u{fc}",
        "1.2.3.4 5.6.7.8",
        &long,
        &many,
    ] {
        let fault = origin(PROXIES, "10.0.0.1", &[("x-forwarded-for", line)]).expect_err(line);
        assert_eq!(fault.reason(), ErrorReason::InvalidArgument);
        assert_eq!(fault.violations()[0].0, "x-forwarded-for");
    }
    for hosts in [
        &["a.example, b.example"][..],
        &["a.example", "a.example"],
        &[""],
        &["a b"],
        &["a.example/x"],
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("x-forwarded-host", *host)).collect();
        let fault = origin(PROXIES, "10.0.0.1", &headers).expect_err("not one host");
        assert_eq!(fault.violations()[0].0, "x-forwarded-host", "{hosts:?}");
    }
}

#[test]
fn the_host_is_the_one_that_was_called() {
    let host = |headers: &[(&'static str, &str)]| origin(PROXIES, "10.0.0.1", headers).expect("well-formed").1;
    assert_eq!(host(&[]), "lead.example.com");
    assert_eq!(
        host(&[("host", "other.example.com")]),
        "lead.example.com",
        "the authority wins"
    );
    assert_eq!(
        host(&[("x-forwarded-host", "ACME.example.com:443")]),
        "acme.example.com"
    );
    assert_eq!(
        host(&[("x-forwarded-host", "192.0.2.1")]),
        "",
        "an address names nobody"
    );
}
