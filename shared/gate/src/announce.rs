//! What an answer says of the tenant's limit of requests, in the fields of the IETF's draft `RateLimit header fields for
//! HTTP` (draft-ietf-httpapi-ratelimit-headers-10), which are structured fields.
use std::io::{Cursor, Write};
use std::time::Duration;

use http::HeaderValue;

/// The limit's name in both fields.
const NAME: &str = "requests";
/// Two numbers of 64 bits and what stands around them.
const LONGEST: usize = 80;

/// `ratelimit-policy`: `limit` requests in a minute. It changes with the plan only, so it is made once and kept.
pub(crate) fn policy(limit: i64) -> HeaderValue {
    made(|line| write!(line, "\"{NAME}\";q={};w=60", limit.max(0)))
}

/// `ratelimit`: what is believed to be left, and in how many seconds all that counts now is forgotten, or when to try
/// again.
pub(crate) fn state(left: i64, after: Duration) -> HeaderValue {
    let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
    let mut value = made(|line| write!(line, "\"{NAME}\";r={};t={seconds}", left.max(0)));
    // Another value in each answer: kept in the tables of both ends of a connection (HPACK), it would cost time there and
    // push out what comes again.
    value.set_sensitive(true);
    value
}

/// The value itself is the one allocation.
fn made(write: impl FnOnce(&mut Cursor<&mut [u8]>) -> std::io::Result<()>) -> HeaderValue {
    let mut room = [0_u8; LONGEST];
    let mut line = Cursor::new(&mut room[..]);
    write(&mut line).expect("two numbers fit");
    let length = usize::try_from(line.position()).expect("a short line");
    HeaderValue::from_bytes(&room[..length]).expect("digits and letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_are_lists_of_one_string_with_whole_numbers() {
        assert_eq!(policy(100), "\"requests\";q=100;w=60");
        assert_eq!(state(42, Duration::from_millis(12_001)), "\"requests\";r=42;t=13");
        assert_eq!(state(-1, Duration::ZERO), "\"requests\";r=0;t=0");
        assert!(state(i64::MAX, Duration::MAX).len() <= LONGEST && policy(i64::MAX).len() <= LONGEST);
    }
}
