use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

static NONE: LazyLock<Counter> = LazyLock::new(Counter::noop);

/// A short one, as a machine may not have been up for as long as the usual one.
const RENEWED: Duration = Duration::from_secs(40);

fn moment() -> Moment<u8, usize> {
    Moment::new(10, RENEWED, &NONE, &NONE)
}

/// What is asked for so is a new number each time.
async fn counted(asked: &AtomicUsize) -> Result<usize, Fault> {
    tokio::task::yield_now().await;
    Ok(asked.fetch_add(1, Ordering::Relaxed))
}

async fn hear(moment: &Moment<u8, usize>, changes: &[(u8, i64)], complete: bool) -> Option<Vec<u8>> {
    hear_of(1, moment, changes, complete).await
}

async fn hear_of(run: i64, moment: &Moment<u8, usize>, changes: &[(u8, i64)], complete: bool) -> Option<Vec<u8>> {
    let heard = Heard {
        changes: changes.to_vec(),
        next: 7,
        complete,
        run,
    };
    moment.hear(async |_cursor| Ok(heard)).await.expect("heard")
}

/// As if more than [`FRESH`] had passed for what is known.
fn age(moment: &Moment<u8, usize>) {
    age_by(moment, FRESH);
}

fn age_by(moment: &Moment<u8, usize>, time: Duration) {
    let earlier = |at: Instant| at.checked_sub(time).expect("the machine is up for longer");
    let slot = moment.slots.get(&1).expect("a slot");
    let mut state = slot.state();
    state.in_vain = state.in_vain.map(earlier);
    if let Some(known) = &mut state.known {
        known.asked = earlier(known.asked);
        known.again = earlier(known.again);
    }
}

#[tokio::test]
async fn one_asks_for_all_that_wait() {
    let (moment, asked) = (moment(), AtomicUsize::new(0));
    let all = futures_util::future::join_all((0..20).map(|_| moment.get(&1, counted(&asked)))).await;
    assert!(all.into_iter().all(|answer| answer.expect("an answer") == 0));
    assert_eq!(moment.get(&2, counted(&asked)).await.expect("another key"), 1);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn without_an_answer_nothing_is_made_up() {
    let (moment, gone) = (moment(), async || Err(Fault::unavailable("gone")));
    assert_eq!(
        moment.get(&1, gone()).await.expect_err("unknown").reason(),
        ErrorReason::Unavailable
    );
    let answer = async || Ok(7);
    let asked = moment.get(&1, answer()).await;
    assert_eq!(
        asked.expect_err("asked in vain a moment ago").reason(),
        ErrorReason::Unavailable
    );
    age_by(&moment, PAUSE);
    assert_eq!(moment.get(&1, answer()).await.expect("an answer"), 7);
    assert_eq!(moment.get(&1, gone()).await.expect("not asked again"), 7);
    age(&moment);
    assert_eq!(moment.get(&1, gone()).await.expect("known of late"), 7);
    age_by(&moment, KNOWN);
    moment.get(&1, gone()).await.expect_err("known too long ago");
}

#[tokio::test]
async fn what_the_news_cover_is_asked_for_again_in_time() {
    let (moment, asked) = (moment(), AtomicUsize::new(0));
    hear(&moment, &[], true).await;
    moment.get(&1, counted(&asked)).await.expect("an answer");
    age_by(&moment, RENEWED);
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("asked anew"), 1);
}

#[test]
fn what_was_asked_for_together_is_asked_for_again_one_by_one() {
    let millis = |asked| spread(Duration::from_secs(400), asked).as_millis();
    assert_eq!(
        [millis(0), millis(500), millis(999), millis(1000)],
        [400_000, 300_000, 200_200, 400_000]
    );
}

#[tokio::test]
async fn what_the_news_cover_goes_on_for_as_long_after_them_without_the_authority() {
    let (mut moment, gone) = (moment(), async || Err(Fault::unavailable("gone")));
    moment.news = News::default().aged(KNOWN + FRESH);
    hear(&moment, &[], true).await;
    moment.get(&1, async { Ok(7) }).await.expect("an answer");
    age_by(&moment, KNOWN);
    let heard = |ago| {
        let at = Instant::now().checked_sub(ago).expect("the machine is up for longer");
        moment.news.go_on(7, at);
    };
    heard(KNOWN / 2);
    assert_eq!(moment.get(&1, gone()).await.expect("true for so long"), 7);
    age_by(&moment, PAUSE);
    heard(KNOWN);
    moment.get(&1, gone()).await.expect_err("nobody has told for too long");
    heard(Duration::ZERO);
    hear(&moment, &[], false).await;
    age_by(&moment, PAUSE);
    moment.get(&1, gone()).await.expect_err("not all was told");
}

#[tokio::test]
async fn what_no_news_cover_ages() {
    let (moment, asked) = (moment(), AtomicUsize::new(0));
    moment.get(&1, counted(&asked)).await.expect("an answer");
    // The first look says where to begin: it covers nothing that was asked for before.
    hear(&moment, &[], true).await;
    age(&moment);
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("asked anew"), 1);
}

#[tokio::test]
async fn what_the_news_cover_is_true_until_they_tell_a_change_of_it() {
    let (moment, asked) = (moment(), AtomicUsize::new(0));
    hear(&moment, &[], true).await;
    moment.get(&1, counted(&asked)).await.expect("an answer");
    age(&moment);
    hear(&moment, &[(2, 5)], true).await;
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("known"), 0);
    assert_eq!(hear(&moment, &[(1, 5)], true).await, Some(vec![1]));
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("asked anew"), 1);
    age(&moment);
    assert_eq!(hear(&moment, &[(1, 5)], true).await, Some(vec![]), "told before");
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("told before"), 1);
    hear(&moment, &[], false).await;
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("not all was told"), 2);
}

#[tokio::test]
async fn another_run_of_the_database_tells_all_anew() {
    let (moment, asked) = (moment(), AtomicUsize::new(0));
    hear_of(1, &moment, &[], true).await;
    assert_eq!(hear_of(1, &moment, &[(1, 5)], true).await, Some(vec![1]));
    moment.get(&1, counted(&asked)).await.expect("an answer");
    age(&moment);
    assert_eq!(hear_of(2, &moment, &[], true).await, None, "all may have changed");
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("of the run before"), 1);
    age(&moment);
    // The change of this number was undone; this is another one.
    assert_eq!(hear_of(2, &moment, &[(1, 5)], true).await, Some(vec![1]));
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("asked anew"), 2);
}

#[tokio::test]
async fn silence_covers_nothing() {
    let (mut moment, asked) = (moment(), AtomicUsize::new(0));
    moment.news = News::default().aged(2 * News::LONGEST_SILENCE);
    hear(&moment, &[], true).await;
    moment.get(&1, counted(&asked)).await.expect("an answer");
    age(&moment);
    let long_ago = Instant::now().checked_sub(News::LONGEST_SILENCE);
    moment.news.go_on(7, long_ago.expect("the machine is up for longer"));
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("asked anew"), 1);
}

#[tokio::test]
async fn an_answer_that_changed_on_its_way_is_not_kept() {
    let (moment, asked) = (moment(), AtomicUsize::new(0));
    hear(&moment, &[], true).await;
    let changes_meanwhile = async {
        hear(&moment, &[(1, 5)], true).await;
        Ok(10)
    };
    assert_eq!(moment.get(&1, changes_meanwhile).await.expect("true when asked"), 10);
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("asked anew"), 0);
    let all_meanwhile = async {
        hear(&moment, &[], false).await;
        Ok(11)
    };
    moment.forget(&1);
    assert_eq!(moment.get(&1, all_meanwhile).await.expect("true when asked"), 11);
    age(&moment);
    assert_eq!(moment.get(&1, counted(&asked)).await.expect("covered by no news"), 1);
}
