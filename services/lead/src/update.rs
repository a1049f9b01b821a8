//! An update: the lead as it is, with the named fields laid over it, checked as a whole.
use onekeel_api::lead::Lead;
use onekeel_api::{Fault, LeadId, Update, Violations};
use onekeel_gate::{ChargeRow, Resized};
use onekeel_store::TenantTx;

use crate::fields::Fields;
use crate::lead::LeadRow;
use crate::repo;

/// Locks the lead, lays the named fields over it, checks the whole and writes it.
pub(crate) async fn change(
    tx: &mut TenantTx,
    update: Update<Lead>,
    bytes: Option<ChargeRow>,
) -> Result<Resized<LeadRow>, Fault> {
    let id = LeadId::from(update.id);
    let row = repo::lock(tx, id).await?;
    update.etag.check(row.version)?;
    let mut wrong = Violations::new();
    let fields = Fields::check(update.over(row.clone().into()), "lead.", &mut wrong);
    wrong.into_result()?;
    repo::update(tx, &row, &fields, bytes).await
}
