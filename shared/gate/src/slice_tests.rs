use onekeel_api::ErrorReason;
use onekeel_api::quota::FailurePolicy;

use super::*;

fn slice(granted: i64, limit: i64, fallback_per_minute: i64) -> AcquireAllowanceResponse {
    AcquireAllowanceResponse {
        granted,
        life: prost_types::Duration::try_from(LIFE).ok(),
        limit,
        remaining: 0,
        retry_after: None,
        fallback_per_minute,
        failure_policy: FailurePolicy::Bounded.into(),
        uncertain: false,
    }
}

#[test]
fn a_slice_is_spent_once_and_not_after_its_life() {
    let mut state = Slice::default();
    assert!(!state.spend(1, Instant::now()), "nothing was granted yet");
    state
        .refill(&slice(3, 100, 100), Instant::now(), 0, 1)
        .expect("one of three");
    assert!(
        state.spend(2, Instant::now()) && !state.spend(1, Instant::now()),
        "three in all"
    );
    let late = Instant::now()
        .checked_sub(LIFE)
        .expect("a clock that runs for a second");
    state
        .refill(&slice(3, 100, 100), late, 0, 1)
        .expect("an answer after the slice's life is none: the policy for such times decides");
    assert!(
        !state.spend(1, Instant::now()),
        "nothing is left of a slice that came too late"
    );
    assert_eq!(state.untold(), 1, "spent of the share");
}

#[test]
fn slices_follow_the_demand_and_at_most_double() {
    let mut state = Slice::default();
    assert_eq!(state.next_want(1), 1);
    state
        .refill(&slice(8, 100, 100), Instant::now(), 0, 8)
        .expect("granted");
    assert_eq!(state.next_want(1), 16, "used up at once");
    state.granted_at = Instant::now().checked_sub(LIFE);
    assert_eq!(state.next_want(1), 2, "eight in a second are two in a quarter");
    assert_eq!(state.next_want(10), 10, "never less than a call costs");
}

#[test]
fn far_from_the_limit_a_slice_is_meant_to_last() {
    const LONG: Duration = Duration::from_secs(5);
    let want_with = |remaining, granted, life| {
        let mut state = Slice::default();
        let answer = AcquireAllowanceResponse {
            remaining,
            life: prost_types::Duration::try_from(life).ok(),
            ..slice(granted, 1000, 1000)
        };
        state.refill(&answer, Instant::now(), 0, 8).expect("enough");
        state.granted_at = Instant::now().checked_sub(LIFE);
        state.next_want(1)
    };
    assert_eq!(want_with(756, 10, LIFE), 2, "eight in a second are two in a quarter");
    assert_eq!(
        want_with(757, 10, LIFE),
        7,
        "and seven in nine tenths, with 750 of 1,000 left then"
    );
    assert_eq!(want_with(784, 10, LONG), 2);
    let around = want_with(786, 10, LONG);
    assert!((35..=36).contains(&around), "36 in four and a half: {around}");
    assert_eq!(want_with(1000, 8, LONG), 32, "four times the last one");
    let mut state = Slice::default();
    let answer = AcquireAllowanceResponse {
        remaining: 99_999,
        life: prost_types::Duration::try_from(LONG).ok(),
        ..slice(1, 100_000, 100_000)
    };
    state.refill(&answer, Instant::now(), 0, 1).expect("enough");
    assert_eq!(state.next_want(1), 100, "a thousandth of the limit");
}

#[test]
fn a_slice_of_a_limit_that_may_have_changed_is_not_spent() {
    let mut state = Slice::default();
    state
        .refill(&slice(3, 100, 100), Instant::now(), 0, 1)
        .expect("granted");
    state.end();
    assert!(!state.spend(1, Instant::now()), "two were left");

    let long = AcquireAllowanceResponse {
        life: prost_types::Duration::try_from(LONGEST_LIFE).ok(),
        ..slice(3, 1000, 1000)
    };
    let ends_after = |state: &Slice, asked| state.until.expect("granted").saturating_duration_since(asked);
    let asked = Instant::now();
    state.refill(&long, asked, 0, 1).expect("granted");
    assert_eq!(
        ends_after(&state, asked),
        LIFE,
        "it may be granted by the limit of before"
    );
    state.end();
    state.ended = asked.checked_sub(UNSETTLED);
    state.refill(&long, asked, 0, 1).expect("granted");
    assert_eq!(ends_after(&state, asked), LONGEST_LIFE);
}

#[test]
fn without_the_authority_only_the_share_of_a_known_limit_is_spent() {
    let gone = || Fault::unavailable("gone");
    let mut state = Slice::default();
    let unknown = state.fall_back(1, gone()).expect_err("no limit is known");
    assert_eq!(unknown.reason(), ErrorReason::Unavailable);
    state.refill(&slice(1, 100, 5), Instant::now(), 0, 1).expect("granted");
    for _ in 0..5 {
        state.fall_back(1, gone()).expect("within the share");
    }
    let beyond = state.fall_back(1, gone()).expect_err("beyond the share");
    assert_eq!(beyond.reason(), ErrorReason::RateLimited);
    assert_eq!(state.untold(), 5, "the authority is told when it is back");
}

#[test]
fn a_store_that_forgot_is_no_limit_that_is_reached() {
    let answer = AcquireAllowanceResponse {
        uncertain: true,
        retry_after: prost_types::Duration::try_from(WINDOW).ok(),
        ..slice(0, 100, 100)
    };
    let refused = Slice::default().refill(&answer, Instant::now(), 0, 1);
    let refused = refused.expect_err("nothing was granted");
    assert_eq!(refused.reason(), ErrorReason::Unavailable);
    assert_eq!(refused.retry_delay(), Some(WINDOW));
}

#[test]
fn answers_tell_what_is_left_here_and_there() {
    let mut state = Slice::default();
    assert!(state.announce(None, Instant::now()).is_none(), "nothing is known");
    let answer = AcquireAllowanceResponse {
        remaining: 40,
        ..slice(3, 100, 50)
    };
    state.refill(&answer, Instant::now(), 0, 1).expect("one of three");
    let told = state.announce(None, Instant::now()).expect("known");
    assert_eq!(told.policy, "\"requests\";q=100;w=60");
    assert_eq!(told.state.expect("counted"), "\"requests\";r=42;t=61");
    let refused = state
        .announce(Some(Duration::from_secs(7)), Instant::now())
        .expect("known");
    assert_eq!(refused.state.expect("counted"), "\"requests\";r=42;t=7");
    state.note_in_vain(Instant::now());
    state.until = None;
    let alone = state.announce(None, Instant::now()).expect("known");
    assert_eq!(alone.state.expect("counted"), "\"requests\";r=50;t=60");
}

#[test]
fn a_slice_that_lives_long_says_once_that_it_ends_soon() {
    let answer = |life| AcquireAllowanceResponse {
        life: prost_types::Duration::try_from(life).ok(),
        remaining: 1000,
        ..slice(10, 1000, 1000)
    };
    let (mut state, asked) = (Slice::default(), Instant::now());
    assert!(!state.ends_soon(asked), "there is none");
    state.refill(&answer(LONGEST_LIFE), asked, 0, 1).expect("granted");
    let (half, last_part) = (asked + LONGEST_LIFE / 2, asked + LONGEST_LIFE * 19 / 20);
    let before = half.checked_sub(Duration::from_millis(1)).expect("a time");
    assert!(!state.ends_soon(before));
    assert!(state.ends_soon(last_part) && !state.ends_soon(last_part), "once");
    let none = AcquireAllowanceResponse {
        granted: 0,
        ..answer(LONGEST_LIFE)
    };
    state.renew(&none, last_part).expect("none for now");
    let old = (9, Some(asked + LONGEST_LIFE));
    assert_eq!((state.left, state.until), old, "the old one goes on");
    state.renew(&answer(LONGEST_LIFE), last_part).expect("granted");
    let new = (10, Some(last_part + LONGEST_LIFE));
    assert_eq!((state.left, state.until), new, "in its place");
    assert!(state.ends_soon(last_part + LONGEST_LIFE), "each once");
    state.refill(&answer(LIFE), asked, 0, 1).expect("granted");
    assert!(!state.ends_soon(asked + LIFE), "it lives short");
}

#[test]
fn what_was_refused_is_not_asked_for_again_before_there_may_be_room() {
    let refusal = AcquireAllowanceResponse {
        retry_after: prost_types::Duration::try_from(Duration::from_millis(500)).ok(),
        ..slice(0, 100, 100)
    };
    let refused = |change: fn(&mut Slice)| {
        let (mut state, asked) = (Slice::default(), Instant::now());
        state.refill(&refusal, asked, 0, 1).expect_err("nothing was granted");
        change(&mut state);
        state.refused(1, asked)
    };
    let fault = refused(|_same| ()).expect("it cannot have another answer yet");
    assert_eq!(fault.reason(), ErrorReason::RateLimited);
    assert!(refused(Slice::end).is_none(), "the limit may be another one");
    let granted = |state: &mut Slice| {
        let granted = state.refill(&slice(1, 100, 100), Instant::now(), 0, 1);
        granted.expect("one of one");
    };
    assert!(refused(granted).is_none(), "there was room");
    let mut state = Slice::default();
    state.end();
    state
        .refill(&refusal, Instant::now(), 0, 1)
        .expect_err("by either limit");
    assert!(
        state.refused(1, Instant::now()).is_none(),
        "it may be the limit of before"
    );
    let mut state = Slice::default();
    let uncertain = AcquireAllowanceResponse {
        uncertain: true,
        ..refusal
    };
    state
        .refill(&uncertain, Instant::now(), 0, 1)
        .expect_err("nobody knows");
    assert!(state.refused(1, Instant::now()).is_none(), "that is no refusal");
}
