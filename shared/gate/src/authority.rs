//! The way to QuotaService for allowances: who asks at the same time asks in one call, whichever tenant it is for.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onekeel_api::quota::{
    AcquireAllowanceRequest, AcquireAllowanceResponse, AcquireAllowancesRequest, AllowanceGrant, AllowanceWish,
};
use onekeel_api::{Call, Deadline, ErrorReason, Fault};
use onekeel_tenancy::Tenant;
use tokio::sync::oneshot;
use tonic::Code;

use crate::Peers;

const LONGEST_CALL: Duration = Duration::from_millis(900);
/// Of wishes in a call, and of calls at once. What comes meanwhile waits for the next: the more there is to ask, the more
/// goes into one call.
pub(crate) const MOST_TOGETHER: usize = 64;
const MOST_CALLS: usize = 2;

/// Clones are the same way.
#[derive(Clone)]
pub(crate) struct Authority(Arc<Inner>);

struct Inner {
    peers: Peers,
    /// Whether it was away when it was last asked, for whichever tenant.
    away: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// At most one wish for each tenant that is remembered.
#[derive(Default)]
struct Waiting {
    wishes: Vec<Wish>,
    calls: usize,
}

struct Wish {
    tenant: Tenant,
    request: AcquireAllowanceRequest,
    answer: oneshot::Sender<Answer>,
}

/// What came of a wish; `None` when it has to be asked for alone.
type Answer = Result<Option<AcquireAllowanceResponse>, Fault>;

impl Authority {
    pub fn new(peers: Peers) -> Self {
        Self(Arc::new(Inner {
            peers,
            away: AtomicBool::default(),
            waiting: Mutex::default(),
        }))
    }

    /// Asks for the tenant, within the present call's deadline.
    pub async fn ask(
        &self,
        tenant: &Tenant,
        request: AcquireAllowanceRequest,
    ) -> Result<AcquireAllowanceResponse, Fault> {
        // A call that is recorded asks alone, so that its trace shows the whole way.
        let together = if Call::is_recorded() {
            Ok(None)
        } else {
            self.ask_together(tenant, request).await
        };
        let answer = match together {
            Ok(None) => self.ask_alone(tenant, request).await,
            Ok(Some(answer)) => Ok(answer),
            Err(fault) => Err(fault),
        };
        self.note(tenant, answer.as_ref().err());
        answer
    }

    /// Asks for all of these tenants, [`MOST_TOGETHER`] at most, in one call. The answers come in their order; there is none for
    /// a tenant that has to ask alone.
    pub async fn ask_for_all(
        &self,
        wishes: &[(&Tenant, AcquireAllowanceRequest)],
    ) -> Result<Vec<Option<AcquireAllowanceResponse>>, Fault> {
        let grants = self.0.call(wishes).await?;
        Ok(grants.into_iter().map(|grant| grant.allowance).collect())
    }

    async fn ask_alone(
        &self,
        tenant: &Tenant,
        request: AcquireAllowanceRequest,
    ) -> Result<AcquireAllowanceResponse, Fault> {
        let request = self.0.peers.request(tenant, request, LONGEST_CALL)?;
        let answer = self.0.peers.quota().acquire_allowance(request).await;
        Ok(answer.map_err(|status| Fault::from_status(&status))?.into_inner())
    }

    async fn ask_together(&self, tenant: &Tenant, request: AcquireAllowanceRequest) -> Answer {
        let (answer, answered) = oneshot::channel();
        let wish = Wish {
            tenant: tenant.clone(),
            request,
            answer,
        };
        {
            let mut waiting = self.0.waiting();
            waiting.wishes.push(wish);
            if waiting.calls < MOST_CALLS {
                waiting.calls += 1;
                let inner = self.0.clone();
                tokio::spawn(call_again(Running { inner, over: false }));
            }
        }
        let answered = tokio::time::timeout(Deadline::remaining_or(LONGEST_CALL), answered).await;
        let answered = answered.map_err(|_elapsed| Fault::deadline_exceeded())?;
        answered.map_err(|_dropped| Fault::unavailable("the request allowance was not asked for; try again"))?
    }

    /// One line when it goes, and one when it is back, however many calls meet it.
    fn note(&self, tenant: &Tenant, fault: Option<&Fault>) {
        let away = fault
            .is_some_and(|fault| matches!(fault.reason(), ErrorReason::Unavailable | ErrorReason::DeadlineExceeded));
        if self.0.away.swap(away, Ordering::AcqRel) == away {
            return;
        }
        if let (true, Some(fault)) = (away, fault) {
            tracing::warn!(tenant.id = %tenant.id(), %fault, "request allowances cannot be had; the policy of each limit decides");
        } else {
            tracing::info!("request allowances are counted exactly again");
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, wishes: &[(&Tenant, AcquireAllowanceRequest)]) -> Result<Vec<AllowanceGrant>, Fault> {
        let (first, _) = wishes
            .first()
            .ok_or_else(|| Fault::internal("nobody wishes anything"))?;
        let wishes = wishes.iter().map(|(tenant, request)| {
            Ok(AllowanceWish {
                token: self.peers.token_for(tenant)?.to_string(),
                request: Some(*request),
            })
        });
        let message = AcquireAllowancesRequest {
            wishes: wishes.collect::<Result<_, Fault>>()?,
        };
        let request = self.peers.request(first, message, LONGEST_CALL)?;
        match self.peers.quota().acquire_allowances(request).await {
            Ok(answer) => Ok(answer.into_inner().grants),
            // A QuotaService of an earlier version: everybody asks alone.
            Err(status) if status.code() == Code::Unimplemented => Ok(Vec::new()),
            Err(status) => Err(Fault::from_status(&status)),
        }
    }
}

/// A place among the calls that may run at once; free again also when the task that holds it panics.
struct Running {
    inner: Arc<Inner>,
    over: bool,
}

impl Running {
    /// What waits. When nothing does, the place is free from the same moment on, so that no wish is left behind.
    fn next(&mut self) -> Option<Vec<Wish>> {
        let mut waiting = self.inner.waiting();
        // What nobody waits for any more would be granted to nobody.
        waiting.wishes.retain(|wish| !wish.answer.is_closed());
        if waiting.wishes.is_empty() {
            waiting.calls -= 1;
            self.over = true;
            return None;
        }
        let most = waiting.wishes.len().min(MOST_TOGETHER);
        Some(waiting.wishes.drain(..most).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            self.inner.waiting().calls -= 1;
        }
    }
}

async fn call_again(mut running: Running) {
    while let Some(wishes) = running.next() {
        let asked: Vec<_> = wishes.iter().map(|wish| (&wish.tenant, wish.request)).collect();
        let answer = running.inner.call(&asked).await;
        for (place, wish) in wishes.into_iter().enumerate() {
            let allowance = match &answer {
                Ok(grants) => Ok(grants.get(place).and_then(|grant| grant.allowance)),
                Err(fault) => Err(fault.clone()),
            };
            // Whoever went away has nothing to wait for.
            let _gone = wish.answer.send(allowance);
        }
    }
}
