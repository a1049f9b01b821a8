//! Side by side with a peer: the same job as a first version in Node.js does it, on the same database.
mod http;
mod jobs;
mod limit;
mod node;

use std::time::Instant;

use onekeel_operator::bench::Options;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Plan;

use self::jobs::{Asks, What};
use self::node::{Peer, find};
use crate::bench::Bench;
use crate::jobs::{Create, Get, List};
use crate::load::Measured;
use crate::outcome::{Goal, Outcome};
use crate::processor::Watched;
use crate::report::Report;
use crate::rows::control;
use crate::variant::Variant;
use crate::world::{DURABLE, Sizes, World};

/// Measures both, where Node.js is there, and tells.
pub async fn peer(options: Options) -> anyhow::Result<bool> {
    let (Some(node), Some(npm)) = (find("node"), find("npm")) else {
        println!("peer: not run, since node or npm is not on the PATH");
        return Ok(true);
    };
    let began = Instant::now();
    let backing = Backing::start_private_with(DURABLE).await?;
    let sizes = Sizes::wanted(&options);
    let world = World::start(&backing, sizes, Plan::default()).await?;
    limit::prepare(&world).await?;
    let folder = tempfile::tempdir()?;
    let peer = Peer::start(&node, &npm, folder.path(), &world).await?;
    let mut bench = Bench {
        world,
        options: options.clone(),
    };
    let mut report = Report::begin(&bench).await?;
    report.add(control(&mut bench).await?);
    for what in [What::Create, What::Get, What::List] {
        report.add(side_by_side(&mut bench, &peer, what).await?);
    }
    report.add(limit::over_admission(&bench, &peer).await?);
    peer.stop().await?;
    bench.world.stop().await?;
    report.finish(&options, began.elapsed())
}

async fn side_by_side(bench: &mut Bench, peer: &Peer, what: What) -> anyhow::Result<Vec<Outcome>> {
    let (callers, watched) = (bench.callers(), bench.world.watched("lead", 0)?);
    let leads = bench.leads(0)?;
    if matches!(what, What::Create) {
        bench.touch(Create::uncounted(leads.clone())).await?;
    }
    let ours = match what {
        What::Create => Variant::calls("CreateLead", Create::uncounted(leads), callers, &watched),
        What::Get => Variant::calls("GetLead", Get::any(leads), callers, &watched),
        What::List => Variant::calls("ListLeads", List { leads }, callers, &watched),
    };
    let watched = Watched {
        server: peer.id(),
        peers: Vec::new(),
    };
    let theirs = Variant::calls("peer", Asks::new(&bench.world, &peer.address, what), callers, &watched);
    let (name, label) = match what {
        What::Create => ("create", "CreateLead / the peer's"),
        What::Get => ("get", "GetLead / the peer's"),
        What::List => ("list", "ListLeads of 50 / the peer's"),
    };
    let (rate, ours, theirs) = bench.compare((name, label, Goal::None), &ours, &theirs).await?;
    let server = ours.ratios(&theirs, Measured::server_micros);
    let all = ours.ratios(&theirs, Measured::all_micros);
    Ok(vec![
        rate,
        Outcome::new(
            name,
            "processor time of the server for each call",
            "×",
            Goal::None,
            server,
        ),
        Outcome::new(name, "processor time of everything for each call", "×", Goal::None, all),
    ])
}
