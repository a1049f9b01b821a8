//! Processor time of programs, as the kernel counts it.
use std::ops::Sub;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// The kernel counts in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// Whose time is looked at.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The server under test; none while PostgreSQL is asked directly.
    pub server: Option<u32>,
    /// The servers that it asks.
    pub peers: Vec<u32>,
}

/// Seconds of processor time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spent {
    /// Of the server under test, with the processes that it started.
    pub server: f64,
    /// Of the servers that it asks.
    pub peers: f64,
    /// Of the driver itself, which is the caller.
    pub caller: f64,
    /// Of PostgreSQL with all of its processes.
    pub postgres: f64,
    /// Of Redis.
    pub redis: f64,
}

impl Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            server: self.server - before.server,
            peers: self.peers - before.peers,
            caller: self.caller - before.caller,
            postgres: self.postgres - before.postgres,
            redis: self.redis - before.redis,
        }
    }
}

impl Watched {
    /// What has been spent so far.
    pub fn spent(&self) -> anyhow::Result<Spent> {
        let all = everybody()?;
        let own = std::process::id();
        let of = |id: u32| all.iter().find(|one| one.id == id).map_or(0.0, |one| one.own);
        // Children work for their parent; those that have ended are counted by it.
        let with_children = |id: u32| {
            all.iter()
                .filter(|one| one.id == id || one.parent == id)
                .map(|one| one.own)
                .sum()
        };
        let family = |name: &str| -> f64 {
            let heads: Vec<_> = all.iter().filter(|one| one.parent == own && one.name == name).collect();
            let member = |one: &&Process| heads.iter().any(|head| one.id == head.id || one.parent == head.id);
            let alive: f64 = all.iter().filter(member).map(|one| one.own).sum();
            alive + heads.iter().map(|head| head.of_ended).sum::<f64>()
        };
        Ok(Spent {
            server: self.server.map_or(0.0, with_children),
            peers: self.peers.iter().map(|id| of(*id)).sum(),
            caller: of(own),
            postgres: family("postgres"),
            redis: family("redis-server"),
        })
    }
}

struct Process {
    id: u32,
    parent: u32,
    name: String,
    own: f64,
    of_ended: f64,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name stands in brackets, and may hold anything.
        let (head, rest) = stat.rsplit_once(") ")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |place: usize| words.get(place)?.parse::<u32>().ok();
        let seconds = |a: usize, b: usize| Some(TICK.as_secs_f64() * f64::from(ticks(a)? + ticks(b)?));
        Some(Self {
            id,
            parent: ticks(1)?,
            name: head.split_once('(')?.1.to_owned(),
            own: seconds(11, 12)?,
            of_ended: seconds(13, 14)?,
        })
    }
}

fn everybody() -> anyhow::Result<Vec<Process>> {
    let entries = std::fs::read_dir("/proc").context("/proc")?;
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that ends meanwhile is not there.
    Ok(ids.filter_map(Process::read).collect())
}
