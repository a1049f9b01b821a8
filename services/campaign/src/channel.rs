//! Channels as the database keeps them, and as the contract numbers them.
use onekeel_api::Violations;
use onekeel_api::campaign::Channel;

/// The channel's number; an absent or unknown one is a violation of `field`.
pub(crate) fn check(wrong: &mut Violations, field: &str, channel: i32) -> i16 {
    number::<Channel>(wrong, field, channel, "must be EMAIL, SMS, CHAT or VOICE")
}

/// The number of a value of an enum of the contract, in the size in which the database keeps it. Zero means "not
/// given" in every enum, and is a violation of `field` like a number that the contract lacks.
pub(crate) fn number<E: TryFrom<i32>>(wrong: &mut Violations, field: &str, value: i32, description: &str) -> i16 {
    wrong.check(value != 0 && E::try_from(value).is_ok(), field, description);
    i16::try_from(value).unwrap_or_default()
}
