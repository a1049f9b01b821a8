//! Connections to the other services: made when first needed, kept alive, and found again after a restart.
use std::time::Duration;

use anyhow::Context;
use tonic::transport::{Channel, Endpoint};

const LONGEST_CONNECT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(3);

/// A channel to one address, or one that spreads calls over several. `what` names the setting in errors.
pub(crate) fn open(what: &str, addresses: &[String]) -> anyhow::Result<Channel> {
    let endpoint = |address: &String| -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::from_shared(address.clone());
        let endpoint =
            endpoint.with_context(|| format!("{what}: {address} is no address such as http://host:50051"))?;
        Ok(endpoint
            .connect_timeout(LONGEST_CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true))
    };
    let endpoints = addresses.iter().map(endpoint).collect::<anyhow::Result<Vec<_>>>()?;
    match <[Endpoint; 1]>::try_from(endpoints) {
        Ok([only]) => Ok(only.connect_lazy()),
        Err(several) => Ok(Channel::balance_list(several.into_iter())),
    }
}
