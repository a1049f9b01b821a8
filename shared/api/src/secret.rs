//! Messages with a secret in them: whoever prints one for a log or an error sees all but that.
use std::fmt;

use crate::tenant::{CreateApiKeyResponse, ExchangeApiKeyRequest, ExchangeApiKeyResponse, RotateApiKeyResponse};

impl fmt::Debug for CreateApiKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateApiKeyResponse")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RotateApiKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateApiKeyResponse")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ExchangeApiKeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeApiKeyRequest").finish_non_exhaustive()
    }
}

impl fmt::Debug for ExchangeApiKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeApiKeyResponse")
            .field("key_id", &self.key_id)
            .field("expire_time", &self.expire_time)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_holds_no_secret() {
        let secret = || "okl_secret".to_owned();
        let printed = [
            format!(
                "{:?}",
                CreateApiKeyResponse {
                    secret: secret(),
                    ..Default::default()
                }
            ),
            format!(
                "{:?}",
                RotateApiKeyResponse {
                    secret: secret(),
                    ..Default::default()
                }
            ),
            format!("{:?}", ExchangeApiKeyRequest { api_key: secret() }),
            format!(
                "{:?}",
                ExchangeApiKeyResponse {
                    access_token: secret(),
                    ..Default::default()
                }
            ),
        ];
        assert!(printed.iter().all(|text| !text.contains("okl_")), "{printed:?}");
    }
}
