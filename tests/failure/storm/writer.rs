//! A user who creates, changes, deletes and brings back its own leads, and remembers what it was told.
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CreateLeadRequest, DeleteLeadRequest, Lead, UndeleteLeadRequest, UpdateLeadRequest};
use onekeel_api::{ErrorReason, Fault};
use onekeel_tests::{Member, lead_named};
use rand::RngExt;
use rand::rngs::StdRng;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::told::Told;

const DEADLINE: Duration = Duration::from_secs(2);
/// What a busy machine may need to answer besides.
const SLACK: Duration = Duration::from_secs(3);
/// Callers that go away in the middle, one in so many, within so many microseconds.
const ONE_GOES_AWAY_OF: u32 = 25;
const GOES_AWAY_WITHIN: u64 = 8000;
/// Tries of a creation whose outcome is not known.
const TRIES: usize = 3;

/// What a call came to.
enum Answer<T> {
    Done(T),
    Refused(ErrorReason),
    /// It may have happened, or not, or may still happen.
    Unknown,
}

pub struct Writer {
    pub name: String,
    pub member: Member,
    pub rng: StdRng,
    /// Milliseconds between two calls at most.
    pub pace: u64,
    pub told: Told,
}

impl Writer {
    pub async fn run(mut self, enough: Arc<AtomicBool>) -> anyhow::Result<Told> {
        for number in 0.. {
            if enough.load(Ordering::Acquire) {
                break;
            }
            let name = self.name.clone();
            self.step(number)
                .await
                .with_context(|| format!("writer {name}, step {number}"))?;
            let pace = Duration::from_millis(self.rng.random_range(0..=self.pace));
            tokio::time::sleep(pace).await;
        }
        Ok(self.told)
    }

    async fn step(&mut self, number: usize) -> anyhow::Result<()> {
        let own = self.told.alive.keys().min().copied();
        let (dice, own) = (self.rng.random_range(0..100), own.filter(|_| number > 0));
        match (dice, own) {
            (0..55, _) | (_, None) => self.create(number).await,
            (55..70, Some(id)) => self.update(id, number).await,
            (70..95, Some(id)) => self.delete(id).await,
            (_, Some(_)) => self.undelete().await,
        }
    }

    async fn create(&mut self, number: usize) -> anyhow::Result<()> {
        let wish = CreateLeadRequest {
            lead: Some(lead_named(&format!("{}-{number}", self.name))),
            request_id: Uuid::from_u128(self.rng.random()).to_string(),
        };
        for _ in 0..TRIES {
            let create =
                |mut leads: LeadServiceClient<Channel>, request| async move { leads.create_lead(request).await };
            match self.call(wish.clone(), create).await? {
                Answer::Done(lead) => {
                    self.told.created(Uuid::try_parse(&lead.id)?);
                    return Ok(());
                }
                Answer::Refused(ErrorReason::QuotaExceeded | ErrorReason::Conflict) => return Ok(()),
                Answer::Refused(reason) => bail!("a creation was refused as {}", reason.name()),
                // Tried again as a client would, or given up: then it may be there or not.
                Answer::Unknown if self.rng.random_bool(0.3) => return Ok(()),
                Answer::Unknown => {}
            }
        }
        Ok(())
    }

    async fn update(&mut self, id: Uuid, number: usize) -> anyhow::Result<()> {
        let company = format!("company {number}");
        let wish = UpdateLeadRequest {
            lead: Some(Lead {
                id: id.to_string(),
                company: company.clone(),
                ..Lead::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["company".to_owned()],
            }),
        };
        let update = |mut leads: LeadServiceClient<Channel>, request| async move { leads.update_lead(request).await };
        match self.call(wish, update).await? {
            Answer::Done(_) => {
                self.told.updates += 1;
                self.told.alive.insert(id, Some(company));
            }
            Answer::Refused(ErrorReason::Conflict) => {}
            Answer::Refused(reason) => bail!("the change of {id} was refused as {}", reason.name()),
            Answer::Unknown => {
                self.told.alive.insert(id, None);
            }
        }
        Ok(())
    }

    async fn delete(&mut self, id: Uuid) -> anyhow::Result<()> {
        let wish = DeleteLeadRequest {
            id: id.to_string(),
            etag: String::new(),
        };
        let delete = |mut leads: LeadServiceClient<Channel>, request| async move { leads.delete_lead(request).await };
        match self.call(wish, delete).await? {
            Answer::Done(()) => {
                self.told.deletes += 1;
                self.told.alive.remove(&id);
                self.told.deleted.insert(id);
            }
            Answer::Refused(ErrorReason::Conflict) => {}
            Answer::Refused(reason) => bail!("the deletion of {id} was refused as {}", reason.name()),
            Answer::Unknown => self.told.doubt(id),
        }
        Ok(())
    }

    async fn undelete(&mut self) -> anyhow::Result<()> {
        let Some(id) = self.told.deleted.iter().min().copied() else {
            return Ok(());
        };
        let wish = UndeleteLeadRequest { id: id.to_string() };
        let undelete =
            |mut leads: LeadServiceClient<Channel>, request| async move { leads.undelete_lead(request).await };
        match self.call(wish, undelete).await? {
            Answer::Done(_) => {
                self.told.undeletes += 1;
                self.told.deleted.remove(&id);
                self.told.alive.insert(id, None);
            }
            Answer::Refused(ErrorReason::Conflict | ErrorReason::QuotaExceeded) => {}
            Answer::Refused(reason) => bail!("the return of {id} was refused as {}", reason.name()),
            Answer::Unknown => self.told.doubt(id),
        }
        Ok(())
    }

    async fn call<Q, A, F>(
        &mut self,
        wish: Q,
        call: impl FnOnce(LeadServiceClient<Channel>, Request<Q>) -> F,
    ) -> anyhow::Result<Answer<A>>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = self.member.request(wish);
        request.set_timeout(DEADLINE);
        let goes_away = self.rng.random_ratio(1, ONE_GOES_AWAY_OF);
        let patience = if goes_away {
            Duration::from_micros(self.rng.random_range(0..GOES_AWAY_WITHIN))
        } else {
            DEADLINE + SLACK
        };
        let status = match tokio::time::timeout(patience, call(self.member.leads(), request)).await {
            Ok(Ok(answer)) => return Ok(Answer::Done(answer.into_inner())),
            Ok(Err(status)) => status,
            Err(_) => {
                ensure!(goes_away, "a call hangs beyond {DEADLINE:?} and {SLACK:?}");
                self.told.unknown += 1;
                return Ok(Answer::Unknown);
            }
        };
        let mut causes = std::iter::successors(status.source(), |cause| (*cause).source());
        // The connection's end, or the client's own clock, say nothing about the call.
        if status.get_details_error_info().is_none() || causes.any(<dyn Error>::is::<tonic::TimeoutExpired>) {
            self.told.unknown += 1;
            return Ok(Answer::Unknown);
        }
        let reason = Fault::from_status(&status).reason();
        self.told.refused(reason.name());
        match reason {
            ErrorReason::Unavailable | ErrorReason::DeadlineExceeded => {
                self.told.unknown += 1;
                Ok(Answer::Unknown)
            }
            ErrorReason::QuotaExceeded | ErrorReason::Conflict => Ok(Answer::Refused(reason)),
            _ => Err(status).context("only the limit and the storm may refuse"),
        }
    }
}
