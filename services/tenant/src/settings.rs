//! What a tenant chose for itself: the settings that the suite knows, and a part that is the tenant's own.
use chrono::{DateTime, Utc};
use icu_locale_core::Locale;
use onekeel_api::tenant::TenantSettings;
use onekeel_api::{Fault, Update, Violations, structure, timestamp};
use onekeel_store::{DbResult, Event, Single, TenantTx};
use uuid::Uuid;

use crate::repo::lock;

const LARGEST_CUSTOM: usize = 32 * 1024;
const LONGEST_EMAIL: usize = 254;

/// A row of `tenant.settings`, or what a tenant without one has.
#[derive(Clone, Debug)]
pub(crate) struct SettingsRow {
    time_zone: String,
    locale: String,
    contact_email: String,
    custom: serde_json::Value,
    version: i64,
    updated_at: Option<DateTime<Utc>>,
}

impl Default for SettingsRow {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            locale: "en".to_owned(),
            contact_email: String::new(),
            custom: serde_json::Value::Object(serde_json::Map::new()),
            version: 0,
            updated_at: None,
        }
    }
}

impl SettingsRow {
    /// The settings as the contract sends them.
    pub fn of(self, client: Uuid) -> TenantSettings {
        TenantSettings {
            id: client.to_string(),
            time_zone: self.time_zone,
            locale: self.locale,
            contact_email: self.contact_email,
            custom: structure::from_json(self.custom),
            update_time: self.updated_at.map(timestamp),
            etag: self.version.to_string(),
        }
    }

    /// Checks settings as they came; an empty time zone or locale is the one of a new tenant.
    fn check(settings: TenantSettings, wrong: &mut Violations) -> Self {
        let usual = Self::default();
        let or = |text: String, usual: String| if text.is_empty() { usual } else { text };
        let time_zone = or(settings.time_zone, usual.time_zone);
        wrong.check(
            time_zone.parse::<chrono_tz::Tz>().is_ok(),
            "settings.time_zone",
            "must be a time zone of the IANA database, for example Europe/Berlin",
        );
        let locale = or(settings.locale, usual.locale);
        let parsed = Locale::try_from_str(&locale);
        wrong.check(
            parsed.is_ok(),
            "settings.locale",
            "must be a BCP 47 language tag, for example de-AT",
        );
        let email = settings.contact_email.trim().to_lowercase();
        wrong.check(
            email.is_empty() || email.len() <= LONGEST_EMAIL && email_address::EmailAddress::is_valid(&email),
            "settings.contact_email",
            "must be an e-mail address of at most 254 characters, or empty",
        );
        Self {
            time_zone,
            locale: parsed.map(|locale| locale.to_string()).unwrap_or_default(),
            contact_email: email,
            custom: structure::to_json(settings.custom, "settings.custom", LARGEST_CUSTOM, wrong),
            version: 0,
            updated_at: None,
        }
    }
}

/// The tenant's settings, in one round trip.
pub(crate) async fn find(single: &mut Single) -> Result<Option<SettingsRow>, sqlx::Error> {
    let client = single.client_id();
    sqlx::query_as!(
        SettingsRow,
        r#"select time_zone as "time_zone!", locale as "locale!", contact_email as "contact_email!",
            custom as "custom!", version as "version!", updated_at
        from tenant.get_settings($1)"#,
        client
    )
    .fetch_optional(single.conn())
    .await
}

/// Lays the named settings over those that are kept, checks the whole and writes it.
pub(crate) async fn change(tx: &mut TenantTx, update: Update<TenantSettings>) -> Result<SettingsRow, Fault> {
    let (client, name) = (tx.client_id(), tx.name());
    // The tenant's own row stands for settings that are not there yet: two first changes wait for one another.
    lock(tx).await?.refuse_deleted()?;
    let kept = sqlx::query_as!(
        SettingsRow,
        r#"select time_zone, locale, contact_email, custom, version, updated_at as "updated_at?"
        from tenant.settings where client_id = $1"#,
        client
    );
    let kept = kept.fetch_optional(tx.conn()).await.db()?.unwrap_or_default();
    update.etag.check(kept.version)?;
    let before = (kept.version > 0).then(|| kept.clone().of(client));
    let mut wrong = Violations::new();
    let new = SettingsRow::check(update.over(kept.of(client)), &mut wrong);
    wrong.into_result()?;
    let written = sqlx::query_as!(
        SettingsRow,
        r#"insert into tenant.settings as kept
            (client_id, time_zone, locale, contact_email, custom, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, now(), $6)
        on conflict (client_id) do update set time_zone = excluded.time_zone, locale = excluded.locale,
            contact_email = excluded.contact_email, custom = excluded.custom, version = kept.version + 1,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by
        returning time_zone, locale, contact_email, custom, version, updated_at as "updated_at?""#,
        client,
        new.time_zone,
        new.locale,
        new.contact_email,
        new.custom,
        name
    );
    let row = written.fetch_one(tx.conn()).await.db()?;
    let event = Event::of("tenant_settings", client).after(&row.clone().of(client));
    tx.audit(match before {
        Some(before) => event.before(&before),
        None => event,
    });
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut TenantSettings)) -> (SettingsRow, Vec<String>) {
        let mut settings = TenantSettings::default();
        change(&mut settings);
        let mut wrong = Violations::new();
        let row = SettingsRow::check(settings, &mut wrong);
        (row, wrong.list().iter().map(|(field, _)| field.clone()).collect())
    }

    #[test]
    fn each_rule_names_its_field() {
        assert!(check(|_| ()).1.is_empty());
        assert_eq!(
            check(|own| own.time_zone = "Mars/Base".to_owned()).1,
            ["settings.time_zone"]
        );
        assert_eq!(
            check(|own| own.locale = "german".to_owned() + &"x".repeat(9)).1,
            ["settings.locale"]
        );
        assert_eq!(
            check(|own| own.contact_email = "ann".to_owned()).1,
            ["settings.contact_email"]
        );
    }

    #[test]
    fn settings_are_kept_in_their_normal_form() {
        let (row, wrong) = check(|own| {
            own.time_zone = "Europe/Berlin".to_owned();
            own.locale = "de-at".to_owned();
            own.contact_email = " Ann@Example.com".to_owned();
        });
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!((&*row.locale, &*row.contact_email), ("de-AT", "ann@example.com"));
        assert_eq!(check(|_| ()).0.time_zone, "UTC");
    }
}
