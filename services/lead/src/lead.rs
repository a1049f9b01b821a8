//! A lead: how it comes in, how it stands in the database, how it goes out.
use chrono::{DateTime, SubsecRound, Utc};
use onekeel_api::lead::{CreateLeadRequest, Lead};
use onekeel_api::{Fault, LeadId, Violations, timestamp};
use onekeel_store::{Kind, TenantTx};
use uuid::Uuid;

use crate::fields::Fields;

/// A checked new lead.
#[derive(Clone, Debug)]
pub(crate) struct NewLead {
    pub id: LeadId,
    pub fields: Fields,
    pub request_id: Option<Uuid>,
    /// By this server's clock, as the time in its id, so that the row is known before it is written.
    pub created_at: DateTime<Utc>,
}

impl NewLead {
    pub fn new(fields: Fields, request_id: Option<Uuid>) -> Self {
        Self {
            id: LeadId::new_v7(),
            fields,
            request_id,
            // The database keeps no more.
            created_at: Utc::now().trunc_subsecs(6),
        }
    }

    /// What the API shows of it.
    pub fn shown(&self) -> Lead {
        let fields = self.fields.clone();
        LeadRow {
            id: self.id.uuid(),
            stored_bytes: fields.size().bytes(),
            first_name: fields.first_name,
            last_name: fields.last_name,
            email: fields.email,
            phone: fields.phone,
            phone_raw: fields.phone_raw,
            company: fields.company,
            source: fields.source,
            status: fields.status,
            score: fields.score,
            tags: fields.tags,
            external_id: fields.external_id,
            version: 1,
            created_at: self.created_at,
            updated_at: self.created_at,
        }
        .into()
    }
}

impl TryFrom<CreateLeadRequest> for NewLead {
    type Error = Fault;

    fn try_from(request: CreateLeadRequest) -> Result<Self, Fault> {
        let lead = request.lead.ok_or_else(|| Fault::invalid("lead", "is required"))?;
        let mut wrong = Violations::new();
        let fields = Fields::check(lead, "lead.", &mut wrong);
        let request_id = wrong.optional_uuid("request_id", &request.request_id);
        wrong.into_result()?;
        Ok(Self::new(fields, request_id))
    }
}

/// How leads are cached: the version is the etag.
pub(crate) const CACHED: Kind<Lead> = Kind::new("lead", |lead| lead.etag.parse().unwrap_or_default());

/// A row of `lead.leads`.
#[derive(Clone, Debug)]
pub(crate) struct LeadRow {
    pub id: Uuid,
    pub first_name: String,
    pub last_name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub phone_raw: Option<String>,
    pub company: String,
    pub source: String,
    pub status: i16,
    pub score: i32,
    pub tags: Vec<String>,
    pub external_id: Option<String>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub stored_bytes: i64,
}

impl LeadRow {
    /// Tells the cache what this row is now.
    pub fn changed(&self, tx: &mut TenantTx) {
        let version = self.version.unsigned_abs();
        tx.changed(&CACHED, &self.id.to_string(), version, Some(&self.shown()));
    }

    /// What the API shows of it.
    pub fn shown(&self) -> Lead {
        self.clone().into()
    }
}

impl From<LeadRow> for Lead {
    fn from(row: LeadRow) -> Self {
        Self {
            id: row.id.to_string(),
            first_name: row.first_name,
            last_name: row.last_name,
            email: row.email.unwrap_or_default(),
            phone: row.phone.unwrap_or_default(),
            phone_raw: row.phone_raw.unwrap_or_default(),
            company: row.company,
            source: row.source,
            status: row.status.into(),
            score: row.score,
            tags: row.tags,
            external_id: row.external_id.unwrap_or_default(),
            create_time: Some(timestamp(row.created_at)),
            update_time: Some(timestamp(row.updated_at)),
            etag: row.version.to_string(),
        }
    }
}
