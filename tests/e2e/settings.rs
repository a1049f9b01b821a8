//! What a tenant chooses for itself.
use std::sync::Arc;

use anyhow::ensure;
use onekeel_api::ErrorReason;
use onekeel_api::tenant::{GetTenantSettingsRequest, TenantSettings, UpdateTenantSettingsRequest};
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, is};
use prost_types::value::Kind;
use prost_types::{FieldMask, Struct, Value};
use tonic::Status;

async fn update(member: &Member, settings: TenantSettings, fields: &[&str]) -> Result<TenantSettings, Status> {
    let paths = fields.iter().map(|field| (*field).to_owned()).collect();
    let request = member.request(UpdateTenantSettingsRequest {
        settings: Some(settings),
        update_mask: Some(FieldMask { paths }),
    });
    Ok(member.tenants().update_tenant_settings(request).await?.into_inner())
}

async fn get(member: &Member) -> Result<TenantSettings, Status> {
    let request = member.request(GetTenantSettingsRequest::default());
    Ok(member.tenants().get_tenant_settings(request).await?.into_inner())
}

fn custom(text: &str) -> Struct {
    let value = Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    Struct {
        fields: [("theme".to_owned(), value)].into(),
    }
}

pub async fn a_tenant_keeps_its_settings_by_version(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("basic").await?;
    let first = get(&admin).await?;
    ensure!(
        (first.time_zone.as_str(), first.locale.as_str(), first.etag.as_str()) == ("UTC", "en", "0"),
        "{first:?}"
    );
    let wish = TenantSettings {
        time_zone: "Europe/Vienna".to_owned(),
        locale: "de-at".to_owned(),
        custom: Some(custom("dark")),
        etag: first.etag,
        ..TenantSettings::default()
    };
    let changed = update(&admin, wish.clone(), &["time_zone", "custom"]).await?;
    ensure!(
        changed.time_zone == "Europe/Vienna" && changed.locale == "en" && changed.custom == Some(custom("dark")),
        "{changed:?}"
    );
    ensure!(changed.etag == "1" && get(&admin).await? == changed, "reading back");
    is(
        update(&admin, wish.clone(), &["locale"]).await,
        ErrorReason::EtagMismatch,
    )?;
    let wish = TenantSettings {
        etag: changed.etag,
        ..wish
    };
    let again = update(&admin, wish.clone(), &["locale"]).await?;
    ensure!(again.locale == "de-AT" && again.etag == "2", "{again:?}");

    let manager = Member::new(&world.stack, admin.id, Role::Manager, 0)?;
    ensure!(get(&manager).await? == again, "everyone in the tenant reads");
    is(update(&manager, wish, &["locale"]).await, ErrorReason::PermissionDenied)?;
    let request = GetTenantSettingsRequest {
        id: admin.id.to_string(),
    };
    let seen = world
        .tenants()?
        .get_tenant_settings(world.as_platform(request)?)
        .await?;
    ensure!(seen.into_inner() == again, "an operator reads");
    Ok(())
}

pub async fn bad_settings_are_refused_with_every_field_named(world: Arc<World>) -> anyhow::Result<()> {
    let admin = world.member("basic").await?;
    let bad = TenantSettings {
        time_zone: "Mars/Base".to_owned(),
        locale: "not a locale".to_owned(),
        contact_email: "ann".to_owned(),
        custom: Some(custom(&"x".repeat(40_000))),
        ..TenantSettings::default()
    };
    let fault = is(update(&admin, bad, &["*"]).await, ErrorReason::InvalidArgument)?;
    let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
    let expected = [
        "settings.time_zone",
        "settings.locale",
        "settings.contact_email",
        "settings.custom",
    ];
    ensure!(fields == expected, "{fields:?}");
    let fault = is(
        update(&admin, TenantSettings::default(), &["etag"]).await,
        ErrorReason::InvalidArgument,
    )?;
    ensure!(fault.violations()[0].0 == "update_mask", "{:?}", fault.violations());
    ensure!(get(&admin).await?.etag == "0", "nothing changed");
    Ok(())
}
