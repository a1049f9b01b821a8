//! Digests of resources, for the audit trail: whoever holds a resource can tell whether it is the one that was recorded.
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use prost::Message;
use uuid::Uuid;

const LENGTH: usize = 32;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; LENGTH]);

impl Digest {
    /// Of a resource as the contract shows it, in the binary encoding of protobuf with its fields in the order of their
    /// numbers. No message of the contract has a map but `Struct`, which keeps its keys in order.
    pub fn of(resource: &impl Message) -> Self {
        Self::sha256([resource.encode_to_vec().as_slice()])
    }

    /// Of several new resources by their ids alone: 16 bytes each, in ascending order.
    pub fn of_ids(ids: impl IntoIterator<Item = Uuid>) -> Self {
        let mut ids: Vec<Uuid> = ids.into_iter().collect();
        ids.sort_unstable();
        Self::sha256(ids.iter().map(|id| &id.as_bytes()[..]))
    }

    /// As it is stored.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        let mut digest = [0; LENGTH];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

/// In hexadecimal, as it is sent and stored.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::Lead;

    #[test]
    fn a_digest_is_the_sha_256_of_the_encoded_resource() {
        let lead = Lead {
            id: "abc".to_owned(),
            ..Lead::default()
        };
        // printf '\x0a\x03abc' | sha256sum
        let known = "8ab7a6c5e74737878ac73863cb76739d15d4666de44e5756bf55a2f9e9ab5f44";
        assert_eq!(Digest::of(&lead).to_string(), known);
        let changed = Lead {
            score: 1,
            ..lead.clone()
        };
        assert_ne!(Digest::of(&lead), Digest::of(&changed));
        assert_eq!(Digest::of(&lead), Digest::of(&lead.clone()));
    }

    #[test]
    fn the_order_of_ids_does_not_matter() {
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(Digest::of_ids([a, b]), Digest::of_ids([b, a]));
        assert_ne!(Digest::of_ids([a]), Digest::of_ids([a, b]));
    }
}
