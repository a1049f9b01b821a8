//! Page tokens: opaque, signed, and good only for the tenant and the list they were made for.
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{ClientId, Fault};

const TAG_LEN: usize = 16;
const LONGEST_TOKEN: usize = 512;

/// Signs and opens page tokens (HMAC-SHA-256, truncated to 128 bits as RFC 2104 section 5 allows).
#[derive(Clone)]
pub struct PageKey(hmac::Key);

impl PageKey {
    /// A key from a secret that all replicas share.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A token for `position` in the list that `scope` describes (method, filter and order).
    pub fn sign(&self, client: ClientId, scope: &str, position: &[u8]) -> String {
        let mut bytes = self.tag(client, scope, position);
        bytes.extend_from_slice(position);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in `token`; a token of another tenant, another filter or another maker is `INVALID_ARGUMENT`.
    pub fn open(&self, client: ClientId, scope: &str, token: &str) -> Result<Vec<u8>, Fault> {
        let fault = || {
            Fault::invalid(
                "page_token",
                "must be the next_page_token of the same list with the same filter",
            )
        };
        if token.len() > LONGEST_TOKEN {
            return Err(fault());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| fault())?;
        let (tag, position) = bytes.split_at_checked(TAG_LEN).ok_or_else(fault)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, &self.tag(client, scope, position))
            .map_err(|_| fault())?;
        Ok(position.to_vec())
    }

    fn tag(&self, client: ClientId, scope: &str, position: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(client.uuid().as_bytes());
        context.update(&(scope.len() as u64).to_be_bytes());
        context.update(scope.as_bytes());
        context.update(position);
        context.sign().as_ref()[..TAG_LEN].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_opens_only_for_its_tenant_and_its_list() {
        let key = PageKey::new(b"a secret of the replicas");
        let (a, b) = (ClientId::new_v7(), ClientId::new_v7());
        let token = key.sign(a, "leads", b"position");
        assert_eq!(key.open(a, "leads", &token).expect("own token"), b"position");
        assert!(key.open(b, "leads", &token).is_err(), "another tenant");
        assert!(key.open(a, "leads?status=1", &token).is_err(), "another filter");
        assert!(PageKey::new(b"other").open(a, "leads", &token).is_err(), "another key");
        assert!(key.open(a, "leads", &token[1..]).is_err(), "a cut token");
    }
}
