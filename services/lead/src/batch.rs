//! Several leads at once: all of them, in the order that was asked for, or none (AIP-231).
use std::collections::HashMap;

use onekeel_api::lead::{BatchGetLeadsRequest, BatchGetLeadsResponse};
use onekeel_api::{Fault, Violations};
use onekeel_store::TenantTx;
use uuid::Uuid;

use crate::repo;

const MOST: usize = 1000;

/// The checked ids of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch(Vec<Uuid>);

impl TryFrom<BatchGetLeadsRequest> for Batch {
    type Error = Fault;

    fn try_from(request: BatchGetLeadsRequest) -> Result<Self, Fault> {
        if !(1..=MOST).contains(&request.ids.len()) {
            return Err(Fault::invalid("ids", &format!("must be 1 to {MOST} ids")));
        }
        let mut wrong = Violations::new();
        let mut places = HashMap::with_capacity(request.ids.len());
        let mut ids = Vec::with_capacity(request.ids.len());
        for (place, text) in request.ids.iter().enumerate() {
            let field = format!("ids[{place}]");
            let id = wrong.uuid(&field, text);
            let before = if id.is_nil() { None } else { places.insert(id, place) };
            if let Some(before) = before {
                wrong.add(&field, format!("is the same as ids[{before}]"));
            }
            ids.push(id);
        }
        wrong.into_result()?;
        Ok(Self(ids))
    }
}

impl Batch {
    /// Reads the leads; `NOT_FOUND` when one of them is not there, whichever it is.
    pub async fn read(&self, tx: &mut TenantTx) -> Result<BatchGetLeadsResponse, Fault> {
        let rows = repo::find_all(tx, &self.0).await?;
        let mut found: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        let leads = self.0.iter().map(|id| found.remove(id).map(Into::into));
        let leads: Option<Vec<_>> = leads.collect();
        Ok(BatchGetLeadsResponse {
            leads: leads.ok_or_else(Fault::not_found)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_named_by_their_places() {
        let id = Uuid::now_v7().to_string();
        let fault = |ids| {
            let fault = Batch::try_from(BatchGetLeadsRequest { ids }).expect_err("a bad batch");
            fault
                .violations()
                .iter()
                .map(|(field, _)| field.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(fault(vec![]), ["ids"]);
        assert_eq!(fault(vec![id.clone(); 1001]), ["ids"]);
        assert_eq!(fault(vec!["7".to_owned(), id.clone(), id]), ["ids[0]", "ids[2]"]);
    }
}
