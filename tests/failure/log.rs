//! The log of grants itself, asked at times that a test would otherwise wait for.
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use fred::prelude::*;
use onekeel_tests::World;
use uuid::Uuid;

const SCRIPT: &str = include_str!("../../services/quota/src/allowance.lua");
const LIMIT: i64 = 1_000;
const WINDOW: Duration = Duration::from_millis(61_500);
const FAR: Duration = Duration::from_secs(4);
const FARTHEST: Duration = Duration::from_secs(59);

/// A log that nobody else has, and the time by which it goes.
struct Log {
    redis: Client,
    keys: [String; 3],
}

/// What was granted, what is left, the time to wait, and by how much longer the grant lives.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    granted: i64,
    left: i64,
    wait: Duration,
    longer: Duration,
}

fn micros(time: Duration) -> anyhow::Result<i64> {
    Ok(time.as_micros().try_into()?)
}

impl Log {
    async fn ask(&self, want: i64, least: i64) -> anyhow::Result<Answer> {
        let arguments = vec![
            LIMIT,
            want,
            least,
            micros(WINDOW)?,
            0,
            0,
            0,
            0,
            micros(FAR)?,
            micros(FARTHEST)?,
        ];
        let answer: Vec<i64> = self.redis.eval(SCRIPT, self.keys.to_vec(), arguments).await?;
        let [granted, left, wait, _time, _stepped, 0, longer] = answer[..] else {
            anyhow::bail!("another shape: {answer:?}");
        };
        Ok(Answer {
            granted,
            left,
            wait: Duration::from_micros(wait.try_into()?),
            longer: Duration::from_micros(longer.try_into()?),
        })
    }

    /// So much later; the script reads its clock with what it was set by.
    async fn later(&self, by: Duration) -> anyhow::Result<()> {
        let _offset: i64 = self.redis.hincrby(self.keys[2].as_str(), "offset", micros(by)?).await?;
        Ok(())
    }
}

pub async fn what_counts_longer_keeps_nothing_else_in_the_log(world: Arc<World>) -> anyhow::Result<()> {
    let redis = Builder::from_config(Config::from_url(&world.backing.redis_url)?).build()?;
    redis.init().await?;
    let own = Uuid::new_v4();
    let log = Log {
        redis,
        keys: ["log", "sum", "redis"].map(|key| format!("test:{own}:{key}")),
    };
    let answer = |granted, left, longer| Answer {
        granted,
        left,
        wait: Duration::ZERO,
        longer,
    };
    let none = Duration::ZERO;
    // Far from the limit, and then a quarter of what is left.
    ensure!(log.ask(10, 1).await? == answer(10, 990, FARTHEST));
    ensure!(log.ask(1_000, 1).await? == answer(247, 743, none));
    log.later(WINDOW).await?;
    let after_a_window = log.ask(1, 1).await?;
    ensure!(after_a_window == answer(1, 989, FAR), "{after_a_window:?}");
    // What was granted last waits behind what counts as long as nothing of it is over, and not longer.
    log.later(FARTHEST).await?;
    let after_all = log.ask(1, 1).await?;
    ensure!(after_all == answer(1, 998, FARTHEST), "{after_all:?}");
    let refused = log.ask(LIMIT, LIMIT - 1).await?;
    // The one of before that waits until the first is over.
    let first_over = refused.wait + FARTHEST;
    let expected = WINDOW + FAR;
    ensure!(
        refused.granted == 0 && first_over <= expected && first_over + Duration::from_secs(5) > expected,
        "{refused:?}"
    );
    log.redis.del::<(), _>(log.keys.to_vec()).await?;
    log.redis.quit().await?;
    Ok(())
}
