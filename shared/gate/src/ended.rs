//! API keys that were revoked or rotated: tokens that were given for them before count no more.
use std::time::{Duration, Instant};

use onekeel_api::tenant::EndedSecret;
use onekeel_api::{Call, Fault, Policy};
use onekeel_tenancy::Tenant;
use uuid::Uuid;

use crate::Gate;

/// Secrets of a tenant's keys that end, or ended so lately that their tokens may still look good; each with its moment, by the
/// clock of this process, so that no two clocks have to agree.
#[derive(Debug, Default)]
pub(crate) struct EndedSecrets(Vec<(Uuid, Instant)>);

impl EndedSecrets {
    /// Reads what TenantService says; what cannot be read is an error, since a token could slip through it.
    pub fn read(told: &[EndedSecret]) -> Result<Self, uuid::Error> {
        let now = Instant::now();
        let read = |told: &EndedSecret| {
            let left = told.remaining.and_then(|left| Duration::try_from(left).ok());
            Ok((Uuid::try_parse(&told.id)?, now + left.unwrap_or_default()))
        };
        told.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Refuses a caller whose token was given for one of them, as if the token were bad.
    pub fn check(&self, tenant: &Tenant) -> Result<(), Fault> {
        match tenant.api_key() {
            Some(key) if self.has_ended(key.secret) => {
                metrics::counter!("onekeel_ended_key_refusals_total").increment(1);
                Err(Fault::unauthenticated())
            }
            _ => Ok(()),
        }
    }

    fn has_ended(&self, secret: Uuid) -> bool {
        let ended = |(id, at): &(Uuid, Instant)| *id == secret && *at <= Instant::now();
        self.0.iter().any(ended)
    }
}

impl Gate {
    /// Whether a program that shows an API key may have a token: what a call of its tenant would be refused for, this is
    /// refused for too, and it counts in the tenant's limit of requests.
    pub async fn admit_key(&self, holder: &Tenant, policy: &Policy) -> Result<(), Fault> {
        Call::with_current(|call| call.note_tenant(holder.id()));
        self.check_tenant(holder, policy).await?;
        self.allowances.spend(holder, policy.cost.into()).await
    }
}

#[cfg(test)]
mod tests {
    use onekeel_api::{ClientId, ErrorReason};
    use onekeel_tenancy::ApiKeyId;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nobody's key is looked up")]
    fn only_the_tokens_of_an_ended_secret_are_refused() {
        let (key, secret) = (Uuid::now_v7(), Uuid::now_v7());
        let shown = |secret| Tenant::for_shown_key(ClientId::new_v7(), ApiKeyId { key, secret });
        let told = |id: &str, seconds| EndedSecret {
            id: id.to_owned(),
            remaining: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        let ended = EndedSecrets::read(&[told(&secret.to_string(), 0)]).expect("an id");
        let refused = ended.check(&shown(secret)).expect_err("it ended");
        assert_eq!(refused.reason(), ErrorReason::Unauthenticated);
        ended.check(&shown(Uuid::now_v7())).expect("the key's next secret");
        ended
            .check(&Tenant::for_background(ClientId::new_v7(), "test"))
            .expect("nobody's key");
        EndedSecrets::read(&[told("all", 0)]).expect_err("no id");
        let later = EndedSecrets::read(&[told(&secret.to_string(), 60)]).expect("an id");
        later.check(&shown(secret)).expect("it has a minute left");
    }
}
