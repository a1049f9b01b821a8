//! Callers that create, read, change and delete leads all the time, each call with a deadline, and remember what was
//! acknowledged.
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_api::lead::{CreateLeadRequest, DeleteLeadRequest, GetLeadRequest, Lead, UpdateLeadRequest};
use onekeel_api::{ErrorReason, Fault};
use onekeel_tests::{Member, keeps_contract, lead_named};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

const CALLERS: usize = 6;
/// What each call tells its server.
const DEADLINE: Duration = Duration::from_secs(2);
/// What a busy machine may need to answer besides.
const SLACK: Duration = Duration::from_millis(750);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// Longer than any outage; a step that is not done by then never will be.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// What callers have been told.
#[derive(Default)]
pub struct Told {
    /// Leads that must be there, with the company that was acknowledged last.
    pub alive: HashMap<uuid::Uuid, String>,
    /// Leads that must be gone.
    pub deleted: Vec<uuid::Uuid>,
    /// Calls that were answered with success.
    pub acknowledged: usize,
    /// Calls that were refused, by reason.
    pub refused: BTreeMap<&'static str, usize>,
    /// Calls that the caller's own clock ended.
    pub given_up: usize,
    /// The longest call.
    pub longest: Duration,
}

/// Running callers.
pub struct Load {
    enough: Arc<AtomicBool>,
    progress: Arc<AtomicUsize>,
    callers: JoinSet<anyhow::Result<Told>>,
}

impl Load {
    /// Starts callers for a user.
    pub fn start(member: &Member) -> Self {
        let mut load = Self {
            enough: Arc::default(),
            progress: Arc::default(),
            callers: JoinSet::new(),
        };
        for number in 0..CALLERS {
            let caller = Caller {
                number,
                member: member.clone(),
                progress: load.progress.clone(),
                told: Told::default(),
            };
            load.callers.spawn(caller.run(load.enough.clone()));
        }
        load
    }

    /// Waits until `more` leads have gone through all steps from now; returns how long that took.
    pub async fn progress(&mut self, more: usize, longest: Duration) -> anyhow::Result<Duration> {
        let (began, before) = (Instant::now(), self.progress.load(Ordering::Acquire));
        let mut round = tokio::time::interval(Duration::from_millis(20));
        while self.progress.load(Ordering::Acquire) < before + more {
            round.tick().await;
            if let Some(ended) = self.callers.try_join_next() {
                ended?.context("a caller")?;
            }
            ensure!(began.elapsed() < longest, "the callers stand still for {longest:?}");
        }
        Ok(began.elapsed())
    }

    /// Ends the callers; returns what all of them were told.
    pub async fn stop(mut self) -> anyhow::Result<Told> {
        self.enough.store(true, Ordering::Release);
        let mut all = Told::default();
        while let Some(told) = self.callers.join_next().await {
            let told = told?.context("a caller")?;
            all.alive.extend(told.alive);
            all.deleted.extend(told.deleted);
            all.acknowledged += told.acknowledged;
            all.given_up += told.given_up;
            all.longest = all.longest.max(told.longest);
            for (reason, calls) in told.refused {
                *all.refused.entry(reason).or_default() += calls;
            }
        }
        Ok(all)
    }
}

struct Caller {
    number: usize,
    member: Member,
    progress: Arc<AtomicUsize>,
    told: Told,
}

impl Caller {
    async fn run(mut self, enough: Arc<AtomicBool>) -> anyhow::Result<Told> {
        for round in 0.. {
            if enough.load(Ordering::Acquire) {
                break;
            }
            let caller = self.number;
            self.one_lead(round)
                .await
                .with_context(|| format!("caller {caller}, lead {round}"))?;
            self.progress.fetch_add(1, Ordering::AcqRel);
        }
        Ok(self.told)
    }

    /// The life of a lead; every third dies.
    async fn one_lead(&mut self, round: usize) -> anyhow::Result<()> {
        let wish = CreateLeadRequest {
            lead: Some(lead_named(&format!("c{}-{round}", self.number))),
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        let made = self
            .until_done(
                wish,
                |mut leads, request| async move { leads.create_lead(request).await },
                None,
            )
            .await?;
        let made: Lead = made.context("a creation is never gone")?;
        let id = uuid::Uuid::parse_str(&made.id)?;
        self.told.alive.insert(id, String::new());

        let wish = GetLeadRequest { id: made.id.clone() };
        let read = self
            .until_done(
                wish,
                |mut leads, request| async move { leads.get_lead(request).await },
                None,
            )
            .await?;
        ensure!(read.as_ref() == Some(&made), "{read:?} was read, {made:?} acknowledged");

        let company = format!("company {round}");
        let wish = UpdateLeadRequest {
            lead: Some(Lead {
                id: made.id.clone(),
                company: company.clone(),
                ..Lead::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["company".to_owned()],
            }),
        };
        self.until_done(
            wish,
            |mut leads, request| async move { leads.update_lead(request).await },
            None,
        )
        .await?;
        self.told.alive.insert(id, company);

        if round.is_multiple_of(3) {
            let wish = DeleteLeadRequest {
                id: made.id,
                etag: String::new(),
            };
            let gone = Some(ErrorReason::NotFound);
            self.until_done(
                wish,
                |mut leads, request| async move { leads.delete_lead(request).await },
                gone,
            )
            .await?;
            self.told.alive.remove(&id);
            self.told.deleted.push(id);
        }
        Ok(())
    }

    /// Calls until the call succeeds, as a client does that is told to try again. `done` is what a call is refused for
    /// when an earlier one, whose answer was lost, has done the work; then there is no answer.
    async fn until_done<Q, A, F>(
        &mut self,
        wish: Q,
        call: impl Fn(LeadServiceClient<Channel>, Request<Q>) -> F,
        done: Option<ErrorReason>,
    ) -> anyhow::Result<Option<A>>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let began = Instant::now();
        let mut tries = tokio::time::interval(BETWEEN_TRIES);
        tries.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for attempt in 0.. {
            tries.tick().await;
            ensure!(began.elapsed() < LONGEST_STEP, "not done after {attempt} tries");
            let mut request = self.member.request(wish.clone());
            request.set_timeout(DEADLINE);
            let sent = Instant::now();
            let answer = tokio::time::timeout(DEADLINE + SLACK, call(self.member.leads(), request)).await;
            self.told.longest = self.told.longest.max(sent.elapsed());
            let answer = answer
                .ok()
                .with_context(|| format!("a call hangs beyond {DEADLINE:?} and {SLACK:?}"))?;
            let status = match answer {
                Ok(answer) => {
                    self.told.acknowledged += 1;
                    return Ok(Some(answer.into_inner()));
                }
                Err(status) => status,
            };
            // The client's own clock, which runs beside the server's.
            let mut causes = std::iter::successors(status.source(), |cause| (*cause).source());
            if causes.any(<dyn Error>::is::<tonic::TimeoutExpired>) {
                self.told.given_up += 1;
                continue;
            }
            let fault: Fault = keeps_contract(&status)?;
            *self.told.refused.entry(fault.reason().name()).or_default() += 1;
            match fault.reason() {
                ErrorReason::Unavailable | ErrorReason::DeadlineExceeded => {}
                reason if attempt > 0 && Some(reason) == done => return Ok(None),
                _ => return Err(status).context("while a part was away"),
            }
        }
        unreachable!("the loop ends by time")
    }
}
