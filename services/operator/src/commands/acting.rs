//! Calls inside of one tenant: by its own administrator, or by an operator who says in which and why.
use clap::Args;
use onekeel_api::{ErrorReason, Fault};
use onekeel_tenancy::{REASON_HEADER, TENANT_HEADER};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::WrongUsage;
use super::remote::Remote;

/// Who calls TenantService, where, and for whom.
#[derive(Args)]
pub struct Acting {
    /// The tenant's id, for an operator.
    #[arg(long, value_name = "UUID", requires = "reason")]
    tenant: Option<MetadataValue<Ascii>>,
    /// Why an operator acts in the tenant, 10 to 500 characters; the tenant's trail tells it.
    #[arg(long, requires = "tenant")]
    reason: Option<MetadataValue<Ascii>>,
    /// TenantService, as `http://host:port` or `https://host:port`.
    #[arg(long, env = "TENANT_ADDR", value_name = "URL")]
    server: String,
    #[command(flatten)]
    remote: Remote,
}

impl Acting {
    /// A channel to TenantService.
    pub fn channel(&self) -> anyhow::Result<Channel> {
        self.remote.channel("--server", &self.server)
    }

    /// A request of the caller, in the tenant that it names.
    pub fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = self.remote.request(message)?;
        for (name, value) in [(TENANT_HEADER, &self.tenant), (REASON_HEADER, &self.reason)] {
            if let Some(value) = value {
                request.metadata_mut().insert(name, value.clone());
            }
        }
        Ok(request)
    }
}

/// The answer, or its refusal in the words of the command line: `flag` names the option behind a field.
pub fn answer<T>(answered: Result<Response<T>, Status>, flag: fn(&str) -> Option<&'static str>) -> anyhow::Result<T> {
    let fault = match answered {
        Ok(answer) => return Ok(answer.into_inner()),
        Err(status) => Fault::from_status(&status),
    };
    if fault.reason() != ErrorReason::InvalidArgument {
        anyhow::bail!("{}: {}", fault.reason().name(), fault.message());
    }
    let flag = |field: &str| match field {
        TENANT_HEADER => "--tenant".to_owned(),
        REASON_HEADER => "--reason".to_owned(),
        other => flag(other).map_or_else(|| other.to_owned(), str::to_owned),
    };
    let wrong = fault
        .violations()
        .iter()
        .map(|(field, why)| format!("{}: {why}", flag(field)));
    Err(WrongUsage(wrong.collect::<Vec<_>>().join("; ")).into())
}
