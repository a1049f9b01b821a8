//! The database's own fence: what it refuses whoever writes.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::quota::{Lease, ReserveItem, ReserveRequest, Resource};
use onekeel_tests::World;
use sqlx::Connection;
use uuid::Uuid;

use crate::holder::{Holder, Units};

const UNITS: i64 = 10;

pub async fn the_database_refuses_what_a_lease_does_not_cover(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut holder = Holder::new(&world.stack, member.id).await?;
    let lease = holder.reserve(UNITS).await?;
    let units = |first, count| Units {
        lease,
        first,
        count,
        of: UNITS,
    };
    ensure!(holder.write(units(0, 1)).await?.is_row(), "the first unit");
    let twice = holder.write(units(0, 1)).await?;
    ensure!(twice.is_refused_by("charges_pkey"), "a unit spent twice: {twice:?}");
    let beyond = holder.write(units(UNITS - 1, 2)).await?;
    ensure!(
        beyond.is_refused_by("charges_range_check"),
        "a unit beyond the lease: {beyond:?}"
    );
    let larger = Units {
        of: UNITS + 1,
        ..units(UNITS, 1)
    };
    let larger = holder.write(larger).await?;
    ensure!(
        larger.is_refused_by("charges_reservation_fkey"),
        "a lease said to be larger than it is: {larger:?}"
    );
    ensure!(holder.write(units(UNITS - 1, 1)).await?.is_row(), "the last unit");
    ensure!(holder.release(lease).await? == 2, "two units were charged");
    let late = holder.write(units(1, 1)).await?;
    ensure!(
        late.is_refused_by("charges_reservation_fkey"),
        "a charge after the end: {late:?}"
    );
    ensure!(holder.release(lease).await? == 0, "an ended lease ends again");
    let (rows, used) = (world.rows(member.id).await?, world.settle(member.id).await?);
    ensure!((rows, used) == (2, 2), "{rows} rows, {used} used");
    Ok(holder.login.close().await?)
}

pub async fn a_retried_reservation_finds_its_leases_again(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let holder = Holder::new(&world.stack, member.id).await?;
    let item = |resource: Resource| ReserveItem {
        resource: resource.into(),
        min: 1,
        max: 2,
    };
    let wish = ReserveRequest {
        items: vec![item(Resource::Leads), item(Resource::Agents)],
        ttl: None,
        request_id: Uuid::new_v4().to_string(),
    };
    let (first, again) = (holder.ask(wish.clone()).await?, holder.ask(wish.clone()).await?);
    let ids = |leases: &[Lease]| leases.iter().map(|lease| lease.id.clone()).collect::<Vec<_>>();
    ensure!(
        first.len() == 2 && ids(&first) == ids(&again),
        "{first:?} and {again:?}"
    );
    ensure!(first[0].resource() == Resource::Leads, "in the order of the items");
    // An ended lease never comes back to life: the same request id is a new wish now.
    for id in ids(&first) {
        holder.release(Uuid::try_parse(&id)?).await?;
    }
    let fresh = holder.ask(wish).await?;
    ensure!(
        ids(&fresh).iter().all(|id| !ids(&first).contains(id)),
        "an ended lease came back"
    );
    Ok(holder.login.close().await?)
}
