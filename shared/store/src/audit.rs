//! Events of the audit trail: what a transaction did, for whom, written with its commit.
use std::fmt;

use onekeel_api::{Call, Digest, Fault};
use onekeel_tenancy::Tenant;
use prost::Message;
use uuid::Uuid;

use crate::{Store, TenantTx};

/// What a transaction did. Who did it, by which method, in which trace and from where, is added when it is written.
#[derive(Clone, Debug)]
pub struct Event {
    resource: Option<(&'static str, Option<String>)>,
    resources: usize,
    before: Option<Digest>,
    after: Option<Digest>,
}

impl Event {
    /// Something happened to the resource with this id, of a kind such as `lead`. Say what it was before, and what it is.
    pub fn of(kind: &'static str, id: impl fmt::Display) -> Self {
        Self {
            resource: Some((kind, Some(id.to_string()))),
            resources: 1,
            before: None,
            after: None,
        }
    }

    /// Several resources of a kind were created together.
    pub fn of_new(kind: &'static str, ids: &[Uuid]) -> Self {
        Self {
            resource: Some((kind, None)),
            resources: ids.len(),
            before: None,
            after: Some(Digest::of_ids(ids.iter().copied())),
        }
    }

    /// Support looked.
    fn of_access() -> Self {
        Self {
            resource: None,
            resources: 0,
            before: None,
            after: None,
        }
    }

    /// What the resource was; not at all without this.
    #[must_use]
    pub fn before(mut self, resource: &impl Message) -> Self {
        self.before = Some(Digest::of(resource));
        self
    }

    /// What the resource is now; not at all without this.
    #[must_use]
    pub fn after(mut self, resource: &impl Message) -> Self {
        self.after = Some(Digest::of(resource));
        self
    }

    /// The event with all that is added to it: who did it, by which method or else transaction, in which trace, from where.
    pub(crate) fn note(&self, tenant: &Tenant, transaction: &str) -> Note {
        let call = Call::current();
        let call = call.as_deref();
        let method = call.and_then(Call::policy).map_or(transaction, |policy| &policy.method);
        let (kind, id) = self.resource.as_ref().map(|(kind, id)| (*kind, id.as_deref())).unzip();
        Note {
            id: Uuid::now_v7(),
            caller_kind: i16::try_from(i32::from(tenant.kind())).unwrap_or_default(),
            caller: plain(tenant.user().as_str()),
            role: tenant.role().name(),
            method: method.to_owned(),
            resource_type: kind,
            resource_id: id.flatten().map(plain),
            resources: i32::try_from(self.resources).unwrap_or(i32::MAX),
            before: self.before,
            after: self.after,
            trace: call.map(|call| Uuid::from_u128(call.context().trace_id.0)),
            source: call
                .and_then(|call| call.origin().address)
                .map(|address| address.to_string()),
            reason: tenant.support_reason().map(plain),
        }
    }
}

/// PostgreSQL has no text with U+0000 in it.
fn plain(text: &str) -> String {
    text.replace('\0', "")
}

/// What `audit.note` writes, beside the tenant.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are the columns of `audit.events`")]
pub struct Note {
    pub id: Uuid,
    pub caller_kind: i16,
    pub caller: String,
    pub role: &'static str,
    pub method: String,
    pub resource_type: Option<&'static str>,
    pub resource_id: Option<String>,
    pub resources: i32,
    pub before: Option<Digest>,
    pub after: Option<Digest>,
    pub trace: Option<Uuid>,
    pub source: Option<String>,
    pub reason: Option<String>,
}

impl Note {
    /// The statement that writes the event. It travels in one message with COMMIT, which takes no parameters: whatever
    /// is text stands in it as hexadecimal digits.
    pub(crate) fn statement(&self, client: Uuid) -> String {
        format!(
            "select audit.note('{client}', '{}', {}::smallint, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
            self.id,
            self.caller_kind,
            Text(Some(&self.caller)),
            Text(Some(self.role)),
            Text(Some(&self.method)),
            Text(self.resource_type),
            Text(self.resource_id.as_deref()),
            self.resources,
            Bytes(self.before),
            Bytes(self.after),
            Id(self.trace),
            Text(self.source.as_deref()),
            Text(self.reason.as_deref()),
        )
    }
}

/// A text as a literal that no text can break out of.
struct Text<'a>(Option<&'a str>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.0 else {
            return f.write_str("null");
        };
        f.write_str("convert_from('\\x")?;
        text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("', 'UTF8')")
    }
}

struct Bytes(Option<Digest>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(digest) => write!(f, "'\\x{digest}'"),
            None => f.write_str("null"),
        }
    }
}

struct Id(Option<Uuid>);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "'{id}'"),
            None => f.write_str("null"),
        }
    }
}

impl Store {
    /// Writes that support looks into the tenant, before it does.
    pub async fn note_access(&self, tenant: &Tenant) -> Result<(), Fault> {
        let note = async |tx: &mut TenantTx| {
            tx.audit(Event::of_access());
            Ok(())
        };
        self.run(tenant, "note_access", note).await
    }
}

#[cfg(test)]
mod tests {
    use onekeel_api::ClientId;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is written here reaches no database")]
    fn no_text_leaves_its_literal() {
        let tenant = Tenant::for_background(ClientId::new_v7(), "'; drop table audit.events; --");
        let note = Event::of("lead", "x'), null); rollback; --").note(&tenant, "a\\'b");
        let statement = note.statement(tenant.id().uuid());
        let plain = |char: char| char.is_ascii_alphanumeric() || " .,:()'\\-_".contains(char);
        assert!(statement.chars().all(plain), "{statement}");
        for word in ["drop", "rollback", "--", ";", "a\\'b"] {
            assert!(!statement.contains(word), "{word} in {statement}");
        }
        assert!(statement.contains("convert_from('\\x6c656164', 'UTF8')"), "{statement}");
    }
}
