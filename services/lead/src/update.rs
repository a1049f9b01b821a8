//! An update: which fields of a lead change, and to what.
use onekeel_api::lead::{Lead, UpdateLeadRequest};
use onekeel_api::{Fault, LeadId, Violations};
use onekeel_store::TenantTx;

use crate::fields::Fields;
use crate::lead::{LeadRow, etag_mismatch, version};
use crate::repo;

const FIELDS: [&str; 10] = [
    "first_name",
    "last_name",
    "email",
    "phone_raw",
    "company",
    "source",
    "status",
    "score",
    "tags",
    "external_id",
];

/// A checked update.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    id: LeadId,
    version: Option<i64>,
    lead: Lead,
    mask: Vec<&'static str>,
}

impl TryFrom<UpdateLeadRequest> for Update {
    type Error = Fault;

    fn try_from(request: UpdateLeadRequest) -> Result<Self, Fault> {
        let lead = request.lead.ok_or_else(|| Fault::invalid("lead", "is required"))?;
        let mut wrong = Violations::new();
        let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        wrong.check(
            !paths.is_empty(),
            "update_mask",
            "is required; name the fields to change, for example company,score",
        );
        let mut mask = Vec::with_capacity(paths.len().min(FIELDS.len()));
        for path in &paths {
            match FIELDS.into_iter().find(|field| field == path) {
                Some(field) => mask.push(field),
                None => wrong.add(
                    "update_mask",
                    format!("{path:?} is no field that can be changed; {}", FIELDS.join(", ")),
                ),
            }
        }
        let id = LeadId::parse("lead.id", &lead.id);
        wrong.check(id.is_ok(), "lead.id", "must be the id of the lead, a UUID");
        wrong.into_result()?;
        Ok(Self {
            id: id?,
            version: version(&lead.etag)?,
            lead,
            mask,
        })
    }
}

impl Update {
    /// Locks the lead, lays the named fields over it, checks the whole and writes it.
    pub async fn run(self, tx: &mut TenantTx) -> Result<LeadRow, Fault> {
        let id = self.id;
        let row = repo::lock(tx, id).await?;
        if self.version.is_some_and(|version| version != row.version) {
            return Err(etag_mismatch());
        }
        let mut wrong = Violations::new();
        let fields = Fields::check(self.laid_over(row.into()), "lead.", &mut wrong);
        wrong.into_result()?;
        repo::update(tx, id, &fields).await
    }

    fn laid_over(self, mut kept: Lead) -> Lead {
        let new = self.lead;
        if self.mask.contains(&"first_name") {
            kept.first_name = new.first_name;
        }
        if self.mask.contains(&"last_name") {
            kept.last_name = new.last_name;
        }
        if self.mask.contains(&"email") {
            kept.email = new.email;
        }
        if self.mask.contains(&"phone_raw") {
            kept.phone_raw = new.phone_raw;
        }
        if self.mask.contains(&"company") {
            kept.company = new.company;
        }
        if self.mask.contains(&"source") {
            kept.source = new.source;
        }
        if self.mask.contains(&"status") {
            kept.status = new.status;
        }
        if self.mask.contains(&"score") {
            kept.score = new.score;
        }
        if self.mask.contains(&"tags") {
            kept.tags = new.tags;
        }
        if self.mask.contains(&"external_id") {
            kept.external_id = new.external_id;
        }
        kept
    }
}
