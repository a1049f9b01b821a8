//! Allowances of several tenants in one call: each wish brings the proof that the calling service acts for its tenant.
use std::sync::Arc;

use futures_util::future::join_all;
use onekeel_api::Fault;
use onekeel_api::quota::{AcquireAllowancesRequest, AcquireAllowancesResponse, AllowanceGrant, AllowanceWish};
use onekeel_tenancy::{Caller, Service, Verifier};

use crate::allowance::{Allowances, Wish};

const MOST_WISHES: usize = 100;

/// What each wish is granted; nothing where it has to be made alone, also because it failed: what is wrong with one tenant's
/// keys is not another one's trouble. Where all fail the store is away, and nobody need ask again.
pub(crate) async fn acquire(
    allowances: &Allowances,
    verifier: &Arc<Verifier>,
    caller: &Service,
    request: AcquireAllowancesRequest,
) -> Result<AcquireAllowancesResponse, Fault> {
    if !(1..=MOST_WISHES).contains(&request.wishes.len()) {
        return Err(Fault::invalid("wishes", "must be 1 to 100"));
    }
    let grants = request
        .wishes
        .iter()
        .map(async |wish| match proven(verifier, caller, wish) {
            Some((service, wish)) => allowances.acquire_known(service.tenant(), wish).await,
            None => Ok(None),
        });
    let mut granted = join_all(grants).await;
    if granted.iter().all(Result::is_err)
        && let Some(Err(fault)) = granted.pop()
    {
        return Err(fault);
    }
    let grants = granted.into_iter().map(|granted| AllowanceGrant {
        allowance: granted.unwrap_or_default(),
    });
    Ok(AcquireAllowancesResponse {
        grants: grants.collect(),
    })
}

/// The wish, if it is in order and the same service as the caller proves that it acts for its tenant.
fn proven(verifier: &Verifier, caller: &Service, wish: &AllowanceWish) -> Option<(Service, Wish)> {
    let Ok(Caller::Service(service)) = verifier.verify(&wish.token) else {
        return None;
    };
    let request = Wish::try_from(wish.request?).ok()?;
    (service.name() == caller.name()).then_some((service, request))
}
