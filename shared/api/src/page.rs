//! Page tokens: opaque, signed, and good only for the tenant and the list they were made for.
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use uuid::Uuid;

use crate::{ClientId, Fault};

const DEFAULT_SIZE: i32 = 50;
const LARGEST_SIZE: i32 = 1000;
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

    /// Reads a wish for a page of the list that `scope` describes: 0 rows mean 50, more than 1,000 mean 1,000.
    pub fn page(&self, client: ClientId, scope: impl Into<String>, size: i32, token: &str) -> Result<Page, Fault> {
        let size = match size {
            0 => DEFAULT_SIZE,
            size if size < 0 => return Err(Fault::invalid("page_size", "must not be negative")),
            size => size.min(LARGEST_SIZE),
        };
        let scope = scope.into();
        let after = match token {
            "" => None,
            token => Some(self.open(client, &scope, token)?),
        };
        let key = self.clone();
        Ok(Page {
            key,
            client,
            scope,
            size,
            after,
        })
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

/// A checked wish for one page of a list that is read by keyset: the cost of a page does not grow with its place.
pub struct Page {
    key: PageKey,
    client: ClientId,
    scope: String,
    size: i32,
    after: Option<Vec<u8>>,
}

impl Page {
    /// Rows to read: one more than the page shows, to know whether another page follows.
    pub fn rows(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// Position of the last row of the page before; `None` on the first page.
    pub fn after(&self) -> Option<&[u8]> {
        self.after.as_deref()
    }

    /// The last row's id, where the position is one.
    pub fn after_id(&self) -> Result<Option<Uuid>, Fault> {
        self.after()
            .map(|id| Uuid::from_slice(id).map_err(Fault::internal))
            .transpose()
    }

    /// Cuts off the row too many and signs the token of the next page, if there is one; `position` is that of a row.
    pub fn finish<T, P: AsRef<[u8]>>(&self, mut rows: Vec<T>, position: impl FnOnce(&T) -> P) -> (Vec<T>, String) {
        let size = usize::try_from(self.size).expect("the size was checked");
        if rows.len() <= size {
            return (rows, String::new());
        }
        rows.truncate(size);
        let last = rows.last().map(|row| self.token_after(position(row)));
        (rows, last.unwrap_or_default())
    }

    /// The token of a page that begins after this position, for a page that ends before it is full.
    pub fn token_after(&self, position: impl AsRef<[u8]>) -> String {
        self.key.sign(self.client, &self.scope, position.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_the_next_begins() {
        let (key, client) = (PageKey::new(b"a secret of the replicas"), ClientId::new_v7());
        let page = |size, token: &str| key.page(client, "leads", size, token);
        assert_eq!(page(0, "").expect("the default").rows(), 51);
        assert_eq!(page(5000, "").expect("the largest").rows(), 1001);
        assert!(page(-1, "").is_err());
        let first = page(2, "").expect("a page");
        let (rows, token) = first.finish(vec![b"a", b"b", b"c"], |row| **row);
        assert_eq!(rows, [b"a", b"b"]);
        let second = page(2, &token).expect("the next page");
        assert_eq!(second.after(), Some(&b"b"[..]));
        assert_eq!(second.finish(vec![b"c"], |row| **row), (vec![b"c"], String::new()));
    }

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
