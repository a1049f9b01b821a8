//! Servers of a running deployment, called as the user whose token is given.
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onekeel_operator::stack::endpoint;
use onekeel_server::{Secret, SecretSource};
use tonic::Request;
use tonic::transport::{Channel, Uri};

use super::WrongUsage;

const LONGEST_CALL: Duration = Duration::from_secs(30);

/// Who calls, and whom it trusts.
#[derive(Args)]
pub struct Remote {
    /// The caller's token.
    #[arg(long, env = "ONEKEEL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Secret>,
    /// File that holds ONEKEEL_TOKEN.
    #[arg(long, env = "ONEKEEL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authorities in PEM that sign the certificates of `https://` servers.
    #[arg(long, env = "TLS_CA_FILE", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Remote {
    /// A channel to the server at `address`, which the option `name` gave; it connects with the first call.
    pub fn channel(&self, name: &str, address: &str) -> anyhow::Result<Channel> {
        let uri: Option<Uri> = address.parse().ok().filter(|uri: &Uri| uri.port_u16().is_some());
        let scheme = uri.as_ref().and_then(Uri::scheme_str);
        let trusted = match scheme {
            Some("http") => None,
            Some("https") => {
                let path = self.ca.as_ref();
                let path = path.ok_or_else(|| WrongUsage(format!("{name} {address}: https:// needs --ca")))?;
                let read = std::fs::read_to_string(path);
                Some(read.map_err(|error| WrongUsage(format!("--ca: cannot read {}: {error}", path.display())))?)
            }
            _ => {
                let wrong = format!("{name} {address}: must be http://host:port or https://host:port");
                return Err(WrongUsage(wrong).into());
            }
        };
        let place = uri
            .as_ref()
            .and_then(Uri::authority)
            .map(ToString::to_string)
            .unwrap_or_default();
        Ok(endpoint(&place, trusted.as_deref())?.connect_lazy())
    }

    /// A request with the token and a deadline.
    pub fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let token = SecretSource {
            name: "ONEKEEL_TOKEN",
            value: self.token.as_ref(),
            file: self.token_file.as_ref(),
        };
        let token = token.required().map_err(|error| WrongUsage(format!("{error:#}")))?;
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", token.expose());
        let bearer = bearer
            .parse()
            .map_err(|_| WrongUsage("ONEKEEL_TOKEN is no token".to_owned()))?;
        request.metadata_mut().insert("authorization", bearer);
        request.set_timeout(LONGEST_CALL);
        Ok(request)
    }
}
