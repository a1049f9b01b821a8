//! Tenants come, pause and come back.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::tenant::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, ReactivateTenantRequest,
    ResolveTenantRequest, SetReadOnlyRequest, SuspendTenantRequest, Tenant, TenantState, UndeleteTenantRequest,
    UpdateTenantRequest,
};
use onekeel_tests::{World, fault_of, is, lead_named};
use uuid::Uuid;

fn wish(slug: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        display_name: "Initech".to_owned(),
        slug: slug.to_owned(),
        plan: "basic".to_owned(),
        request_id: Uuid::new_v4().to_string(),
    }
}

pub async fn a_tenant_is_created_once_and_works_at_once(world: Arc<World>) -> anyhow::Result<()> {
    let mut tenants = world.tenants()?;
    let first = tenants
        .create_tenant(world.as_platform(wish("initech"))?)
        .await?
        .into_inner();
    ensure!(
        first.state() == TenantState::Active && first.plan == "basic",
        "{first:?}"
    );
    let mut again = wish("initech");
    is(
        tenants.create_tenant(world.as_platform(again.clone())?).await,
        ErrorReason::AlreadyExists,
    )?;
    again.slug = "initech-two".to_owned();
    let second = tenants
        .create_tenant(world.as_platform(again.clone())?)
        .await?
        .into_inner();
    let retried = tenants.create_tenant(world.as_platform(again)?).await?.into_inner();
    ensure!(
        second.id == retried.id && second.id != first.id,
        "a retry made another tenant"
    );

    let member = world.member("basic").await?;
    member.create(lead_named("ann")).await?;
    let own = member.tenant("").await?;
    ensure!(own.id == member.id.to_string(), "{own:?}");
    Ok(())
}

pub async fn a_bad_tenant_is_refused_with_every_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let bad = CreateTenantRequest {
        slug: "Not A Slug".to_owned(),
        ..CreateTenantRequest::default()
    };
    let fault = is(
        world.tenants()?.create_tenant(world.as_platform(bad)?).await,
        ErrorReason::InvalidArgument,
    )?;
    let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    ensure!(fields == ["display_name", "slug", "plan"], "{fields:?}");
    Ok(())
}

pub async fn a_tenant_with_an_unknown_plan_leaves_nothing_behind(world: Arc<World>) -> anyhow::Result<()> {
    let mut bad = wish("half-done");
    bad.plan = "gold".to_owned();
    let fault = is(
        world.tenants()?.create_tenant(world.as_platform(bad.clone())?).await,
        ErrorReason::InvalidArgument,
    )?;
    let (field, description) = &fault.violations()[0];
    ensure!(
        field == "plan" && description.contains("basic, enterprise, professional"),
        "{description}"
    );
    bad.plan = "basic".to_owned();
    let tenant = world
        .tenants()?
        .create_tenant(world.as_platform(bad)?)
        .await?
        .into_inner();
    ensure!(tenant.slug == "half-done", "the slug was not free again");
    Ok(())
}

pub async fn a_suspended_tenant_is_refused_within_two_seconds_and_comes_back(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    member.create(lead_named("ann")).await?;
    let id = member.id.to_string();
    world
        .tenants()?
        .suspend_tenant(world.as_platform(SuspendTenantRequest { id: id.clone() })?)
        .await?;
    within_two_seconds(async || match fault_of(member.count().await) {
        Ok(fault) => fault.reason() == ErrorReason::TenantSuspended,
        Err(_) => false,
    })
    .await?;
    world
        .tenants()?
        .reactivate_tenant(world.as_platform(ReactivateTenantRequest { id })?)
        .await?;
    within_two_seconds(async || member.count().await.is_ok()).await
}

async fn within_two_seconds(holds: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut round = tokio::time::interval(Duration::from_millis(20));
    while !holds().await {
        ensure!(began.elapsed() < Duration::from_secs(2), "not effective after 2 s");
        round.tick().await;
    }
    Ok(())
}

pub async fn a_read_only_tenant_reads_and_does_not_write(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    let id = member.id.to_string();
    let read_only = world.as_platform(SetReadOnlyRequest { id: id.clone() })?;
    let tenant = world.tenants()?.set_read_only(read_only).await?.into_inner();
    ensure!(tenant.state() == TenantState::ReadOnly, "{tenant:?}");
    within_two_seconds(async || match fault_of(member.create(lead_named("bob")).await) {
        Ok(fault) => fault.reason() == ErrorReason::TenantReadOnly,
        Err(_) => false,
    })
    .await?;
    ensure!(member.get(&lead.id).await? == lead, "reading goes on");
    is(member.delete(&lead.id, "").await, ErrorReason::TenantReadOnly)?;
    world
        .tenants()?
        .reactivate_tenant(world.as_platform(ReactivateTenantRequest { id })?)
        .await?;
    within_two_seconds(async || member.delete(&lead.id, "").await.is_ok()).await
}

pub async fn a_deleted_tenant_is_gone_for_its_users_and_comes_back_as_it_was(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    let id = member.id.to_string();
    let get = || world.as_platform(GetTenantRequest { id: id.clone() });
    let before = world.tenants()?.get_tenant(get()?).await?.into_inner();
    let delete = |etag: &str| {
        world.as_platform(DeleteTenantRequest {
            id: id.clone(),
            etag: etag.to_owned(),
        })
    };
    is(
        world.tenants()?.delete_tenant(delete("99")?).await,
        ErrorReason::EtagMismatch,
    )?;
    let deleted = world
        .tenants()?
        .delete_tenant(delete(&before.etag)?)
        .await?
        .into_inner();
    let days = deleted
        .purge_time
        .zip(deleted.delete_time)
        .map(|(purge, delete)| purge.seconds - delete.seconds);
    ensure!(
        deleted.state() == TenantState::Deleted && days == Some(30 * 24 * 3600),
        "{deleted:?}"
    );
    ensure!(
        world.tenants()?.delete_tenant(delete("")?).await?.into_inner() == deleted,
        "a repetition changes nothing"
    );
    within_two_seconds(async || match fault_of(member.get(&lead.id).await) {
        Ok(fault) => fault.reason() == ErrorReason::PermissionDenied,
        Err(_) => false,
    })
    .await?;
    let suspend = world.as_platform(SuspendTenantRequest { id: id.clone() })?;
    is(
        world.tenants()?.suspend_tenant(suspend).await,
        ErrorReason::StateConflict,
    )?;
    is(world.change_plan(member.id, "basic").await?, ErrorReason::StateConflict)?;

    let undelete = || world.as_platform(UndeleteTenantRequest { id: id.clone() });
    let back = world.tenants()?.undelete_tenant(undelete()?).await?.into_inner();
    ensure!(
        back.state() == TenantState::Active && back.purge_time.is_none(),
        "{back:?}"
    );
    is(
        world.tenants()?.undelete_tenant(undelete()?).await,
        ErrorReason::AlreadyExists,
    )?;
    within_two_seconds(async || member.get(&lead.id).await.is_ok_and(|found| found == lead)).await
}

pub async fn tenants_are_listed_page_by_page(world: Arc<World>) -> anyhow::Result<()> {
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.create_tenant("basic").await?.id);
    }
    let delete = DeleteTenantRequest {
        id: made[2].clone(),
        etag: String::new(),
    };
    world.tenants()?.delete_tenant(world.as_platform(delete)?).await?;
    for show_deleted in [false, true] {
        let mut wish = ListTenantsRequest {
            page_size: 2,
            show_deleted,
            ..ListTenantsRequest::default()
        };
        let mut listed: Vec<Tenant> = Vec::new();
        loop {
            let page = world
                .tenants()?
                .list_tenants(world.as_platform(wish.clone())?)
                .await?
                .into_inner();
            ensure!(page.tenants.len() <= 2, "a page of {}", page.tenants.len());
            listed.extend(page.tenants);
            if page.next_page_token.is_empty() {
                break;
            }
            wish.page_token = page.next_page_token;
        }
        let ids: Vec<&str> = listed.iter().map(|tenant| tenant.id.as_str()).collect();
        ensure!(ids.is_sorted_by(|one, next| one < next), "not in order, or twice");
        for id in &made {
            let shown = ids.contains(&id.as_str());
            ensure!(shown == (show_deleted || *id != made[2]), "{id} is shown: {shown}");
        }
        wish.show_deleted = !show_deleted;
        is(
            world.tenants()?.list_tenants(world.as_platform(wish)?).await,
            ErrorReason::InvalidArgument,
        )?;
    }
    Ok(())
}

pub async fn a_tenant_is_renamed_by_version(world: Arc<World>) -> anyhow::Result<()> {
    let tenant = world.create_tenant("basic").await?;
    let rename = |etag: &str, name: &str| {
        world.as_platform(UpdateTenantRequest {
            tenant: Some(Tenant {
                id: tenant.id.clone(),
                display_name: name.to_owned(),
                etag: etag.to_owned(),
                ..Tenant::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["display_name".to_owned()],
            }),
        })
    };
    let renamed = world
        .tenants()?
        .update_tenant(rename(&tenant.etag, " Globex ")?)
        .await?
        .into_inner();
    ensure!(
        renamed.display_name == "Globex" && renamed.etag != tenant.etag,
        "{renamed:?}"
    );
    is(
        world.tenants()?.update_tenant(rename(&tenant.etag, "Initech")?).await,
        ErrorReason::EtagMismatch,
    )?;
    let fault = is(
        world.tenants()?.update_tenant(rename("", " ")?).await,
        ErrorReason::InvalidArgument,
    )?;
    ensure!(
        fault.violations()[0].0 == "tenant.display_name",
        "{:?}",
        fault.violations()
    );
    Ok(())
}

pub async fn a_host_below_the_base_domain_finds_its_tenant(world: Arc<World>) -> anyhow::Result<()> {
    let tenant = world.create_tenant("basic").await?;
    let resolve = async |host: String| {
        let request = world.as_platform(ResolveTenantRequest { host })?;
        anyhow::Ok(world.tenants()?.resolve_tenant(request).await)
    };
    let host = format!("{}.example.com", tenant.slug);
    let found = resolve(format!("{}:443", host.to_uppercase())).await??.into_inner();
    ensure!(found == tenant, "{found:?}");
    is(resolve("nobody.example.com".to_owned()).await?, ErrorReason::NotFound)?;
    is(
        resolve(format!("{}.example.org", tenant.slug)).await?,
        ErrorReason::NotFound,
    )?;
    is(resolve("a b".to_owned()).await?, ErrorReason::InvalidArgument)?;
    let delete = DeleteTenantRequest {
        id: tenant.id,
        etag: String::new(),
    };
    world.tenants()?.delete_tenant(world.as_platform(delete)?).await?;
    is(resolve(host).await?, ErrorReason::NotFound)?;
    Ok(())
}
