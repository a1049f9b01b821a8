//! What an answer says of the tenant's limit of requests, in the fields of the IETF's draft `RateLimit header fields for
//! HTTP` (draft-ietf-httpapi-ratelimit-headers-10), which are structured fields.
use std::time::Duration;

use http::HeaderValue;

/// How the fields begin: with the limit's name in both, and what the first number is.
const POLICY: &str = "\"requests\";q=";
const STATE: &str = "\"requests\";r=";
/// Two numbers of 64 bits and what stands around them.
const LONGEST: usize = 80;

/// `ratelimit-policy`: `limit` requests in a minute. It changes with the plan only, so it is made once and kept.
pub(crate) fn policy(limit: i64) -> HeaderValue {
    made([POLICY, itoa::Buffer::new().format(limit.max(0)), ";w=60", ""])
}

/// `ratelimit`: what is believed to be left, and in how many seconds all that counts now is forgotten, or when to try
/// again.
pub(crate) fn state(left: i64, after: Duration) -> HeaderValue {
    let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
    let (mut left_digits, mut seconds_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (left, seconds) = (left_digits.format(left.max(0)), seconds_digits.format(seconds));
    let mut value = made([STATE, left, ";t=", seconds]);
    // Another value in each answer: kept in the tables of both ends of a connection (HPACK), it would cost time there and
    // push out what comes again.
    value.set_sensitive(true);
    value
}

/// The value itself is the one allocation; nearly every call has a new one.
fn made(parts: [&str; 4]) -> HeaderValue {
    let (mut room, mut length) = ([0_u8; LONGEST], 0);
    for part in parts {
        room[length..][..part.len()].copy_from_slice(part.as_bytes());
        length += part.len();
    }
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
