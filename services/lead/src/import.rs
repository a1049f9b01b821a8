//! An import: rows come in a stream, each gets its own outcome, and the limit stops it exactly.
use std::collections::HashSet;

use onekeel_api::lead::{ImportLeadsRequest, ImportLeadsResponse, ImportOutcome, ImportResult, ImportViolation, Lead};
use onekeel_api::quota::Resource;
use onekeel_api::{ErrorReason, Fault, Violations};
use onekeel_gate::{Charge, Gate};
use onekeel_store::{Store, TenantTx};
use onekeel_tenancy::Tenant;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::fields::Fields;
use crate::import_repo as repo;
use crate::lead::NewLead;

const MOST_ROWS_A_MESSAGE: usize = 1000;
const MOST_ROWS: usize = 20_000;
/// Rows that share a commit; more do not pay, and a transaction should be short.
const BATCH: usize = 500;
/// Tries of one batch whose lease is ended under it.
const MOST_FENCES: u32 = 8;

/// One running import.
pub(crate) struct Import {
    store: Store,
    gate: Gate,
    tenant: Tenant,
    results: Vec<ImportResult>,
    /// Why the remaining rows are not tried: the limit, or a part that is not reachable.
    stopped: Option<ImportOutcome>,
}

/// A valid row and its place in the results.
struct Row {
    place: usize,
    new: NewLead,
}

impl Import {
    pub fn new(store: Store, gate: Gate, tenant: Tenant) -> Self {
        Self {
            store,
            gate,
            tenant,
            results: Vec::new(),
            stopped: None,
        }
    }

    /// Reads the stream to its end and answers every row. What was created stays, also when the stream breaks off.
    pub async fn run(mut self, mut stream: Streaming<ImportLeadsRequest>) -> Result<ImportLeadsResponse, Fault> {
        while let Some(message) = stream.message().await.map_err(unreadable)? {
            if message.leads.len() > MOST_ROWS_A_MESSAGE {
                return Err(Fault::invalid("leads", "must be at most 1,000 rows in a message"));
            }
            if self.results.len() + message.leads.len() > MOST_ROWS {
                return Err(Fault::invalid(
                    "leads",
                    "must be at most 20,000 rows in a stream; start another one",
                ));
            }
            let mut leads = message.leads.into_iter();
            while leads.len() > 0 {
                let batch: Vec<Lead> = leads.by_ref().take(BATCH).collect();
                self.batch(batch).await;
            }
        }
        Ok(self.answer())
    }

    async fn batch(&mut self, leads: Vec<Lead>) {
        let mut rows = self.validate(leads);
        if let Err(fault) = self.drop_known(&mut rows).await {
            self.stop(ImportOutcome::NotTried, &fault);
        }
        let (mut fences, mut most) = (0, rows.len());
        while !rows.is_empty() && self.stopped.is_none() {
            let lead = match self
                .gate
                .take(&self.tenant, Resource::Leads, count(most.min(rows.len())))
                .await
            {
                Ok(charge) => charge,
                Err(fault) => {
                    self.refused(&fault);
                    break;
                }
            };
            let units = usize::try_from(lead.row().units).unwrap_or_default();
            let chosen = take_distinct(&mut rows, units, &mut self.results);
            if chosen.is_empty() {
                lead.refund();
                continue;
            }
            let size = chosen.iter().map(|row| row.new.fields.size().bytes()).sum();
            let bytes = match self.gate.take_exactly(&self.tenant, Resource::StorageBytes, size).await {
                Ok(charge) => charge,
                Err(fault) => {
                    lead.refund();
                    // Fewer rows may still find room.
                    most = chosen.len() / 2;
                    if most == 0 || fault.reason() != ErrorReason::QuotaExceeded {
                        self.refused(&fault);
                    }
                    rows.splice(0..0, chosen);
                    continue;
                }
            };
            if let Err((unwritten, fault)) = self.write([lead, bytes], chosen, fences).await {
                rows.splice(0..0, unwritten);
                fences += 1;
                if fences == MOST_FENCES {
                    self.stop(ImportOutcome::NotTried, &fault);
                }
            }
        }
        let left = self.stopped.unwrap_or(ImportOutcome::NotTried);
        for row in rows {
            self.results[row.place].outcome = left.into();
        }
    }

    /// Gives every row a place in the results, and returns those that keep the rules.
    fn validate(&mut self, leads: Vec<Lead>) -> Vec<Row> {
        let mut rows = Vec::with_capacity(leads.len());
        for lead in leads {
            let place = self.results.len();
            let mut wrong = Violations::new();
            let fields = Fields::check(lead, "", &mut wrong);
            let violations = wrong.list().iter().map(|(field, description)| ImportViolation {
                field: field.clone(),
                description: description.clone(),
            });
            let violations: Vec<_> = violations.collect();
            let valid = violations.is_empty();
            self.results.push(ImportResult {
                row: i64::try_from(place).unwrap_or(i64::MAX),
                outcome: if valid {
                    ImportOutcome::NotTried
                } else {
                    ImportOutcome::Invalid
                }
                .into(),
                violations,
                ..ImportResult::default()
            });
            if valid {
                let new = NewLead::new(fields, None);
                rows.push(Row { place, new });
            }
        }
        rows
    }

    /// Takes out the rows whose e-mail address or external id a living lead has.
    async fn drop_known(&mut self, rows: &mut Vec<Row>) -> Result<(), Fault> {
        let fields: Vec<&Fields> = rows.iter().map(|row| &row.new.fields).collect();
        let keys = repo::Keys::of(&fields);
        let find = async |tx: &mut TenantTx| repo::find_known(tx, &keys).await;
        let known = self.store.run(&self.tenant, "find_known_leads", find).await?;
        rows.retain(|row| {
            let duplicate = known.contains(&row.new.fields);
            if duplicate {
                self.results[row.place].outcome = ImportOutcome::Duplicate.into();
            }
            !duplicate
        });
        Ok(())
    }

    /// Why no units could be had ends the import.
    fn refused(&mut self, fault: &Fault) {
        let full = fault.reason() == ErrorReason::QuotaExceeded;
        let outcome = if full {
            ImportOutcome::OverQuota
        } else {
            ImportOutcome::NotTried
        };
        self.stop(outcome, fault);
    }

    /// Writes rows and their charges in one transaction. Gives the rows back when the lease was settled under it: they
    /// need other units.
    async fn write(
        &mut self,
        [lead, bytes]: [Charge; 2],
        rows: Vec<Row>,
        fences: u32,
    ) -> Result<(), (Vec<Row>, Fault)> {
        let leads: Vec<&NewLead> = rows.iter().map(|row| &row.new).collect();
        let units = [lead.row(), bytes.row()];
        let insert = async |tx: &mut TenantTx| repo::insert_all(tx, &leads, units).await;
        let written = match self.store.run(&self.tenant, "import_leads", insert).await {
            Ok((written, size)) => {
                lead.spent_only(count(written.len()));
                bytes.spent_only(size);
                written
            }
            Err(fault) => {
                lead.failed_as(0, fences, &fault);
                bytes.failed_as(1, fences, &fault);
                if fault.is_fenced() {
                    return Err((rows, fault));
                }
                self.stop(ImportOutcome::NotTried, &fault);
                self.find_out(&leads).await
            }
        };
        for row in rows {
            let result = &mut self.results[row.place];
            if written.contains(&row.new.id.uuid()) {
                result.outcome = ImportOutcome::Created.into();
                result.lead_id = row.new.id.to_string();
                result.phone_kept_raw = row.new.fields.phone_kept_raw();
            } else if self.stopped.is_none() {
                // Another call created it between our look and our insert.
                result.outcome = ImportOutcome::Duplicate.into();
            }
        }
        Ok(())
    }

    /// After a failure, which may be that of a commit: asks which rows are there.
    async fn find_out(&self, leads: &[&NewLead]) -> HashSet<Uuid> {
        let find = async |tx: &mut TenantTx| repo::find_written(tx, leads).await;
        let found = self.store.run(&self.tenant, "find_imported_leads", find).await;
        found.unwrap_or_else(|fault| {
            tracing::warn!(tenant.id = %self.tenant.id(), %fault, "the outcome of a part of an import is not known");
            HashSet::new()
        })
    }

    fn stop(&mut self, outcome: ImportOutcome, fault: &Fault) {
        if outcome == ImportOutcome::NotTried {
            tracing::warn!(tenant.id = %self.tenant.id(), %fault, "an import stopped");
        }
        self.stopped = Some(outcome);
    }

    fn answer(self) -> ImportLeadsResponse {
        let of =
            |outcome: ImportOutcome| count(self.results.iter().filter(|result| result.outcome() == outcome).count());
        ImportLeadsResponse {
            created: of(ImportOutcome::Created),
            duplicate: of(ImportOutcome::Duplicate),
            invalid: of(ImportOutcome::Invalid),
            over_quota: of(ImportOutcome::OverQuota),
            not_tried: of(ImportOutcome::NotTried),
            phones_kept_raw: count(self.results.iter().filter(|result| result.phone_kept_raw).count()),
            results: self.results,
        }
    }
}

/// A message that is too large stays so when it is sent again; anything else may have been the connection.
fn unreadable(status: Status) -> Fault {
    // The second is what a message gets that is too large when it is unpacked.
    if matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) {
        return Fault::invalid("leads", "a message must be at most 4 MiB; send fewer rows in each").cause(status);
    }
    Fault::unavailable("the stream broke off").cause(status)
}

/// Takes up to `most` rows out of `rows`, in order, no two with one e-mail address or external id; the later of two
/// such rows is a duplicate of a row that is about to be written.
fn take_distinct(rows: &mut Vec<Row>, most: usize, results: &mut [ImportResult]) -> Vec<Row> {
    let mut chosen: Vec<Row> = Vec::with_capacity(most.min(rows.len()));
    let mut keys: HashSet<(bool, String)> = HashSet::new();
    let mut left = Vec::new();
    for row in std::mem::take(rows) {
        let fields = &row.new.fields;
        let own: Vec<_> = fields
            .email
            .iter()
            .map(|email| (true, email.clone()))
            .chain(fields.external_id.iter().map(|id| (false, id.clone())))
            .collect();
        if own.iter().any(|key| keys.contains(key)) {
            results[row.place].outcome = ImportOutcome::Duplicate.into();
        } else if chosen.len() < most {
            keys.extend(own);
            chosen.push(row);
        } else {
            left.push(row);
        }
    }
    *rows = left;
    chosen
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
