//! The keys of a tenant. The braces keep all of them in one slot of a Redis cluster.
use onekeel_api::ClientId;

/// The keys that one entry needs.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// What every key of the tenant begins with.
    pub prefix: String,
    /// Where the generation stands that entries must belong to.
    pub generation: String,
    /// Where the names of entries stand by their end, so that they can be counted and found.
    pub index: String,
    /// The entry.
    pub entry: String,
}

impl Names {
    pub fn of_tenant(tenant: ClientId) -> Self {
        let prefix = format!("onekeel:{{{tenant}}}:");
        Self {
            generation: format!("{prefix}generation"),
            index: format!("{prefix}index"),
            entry: String::new(),
            prefix,
        }
    }

    pub fn of(tenant: ClientId, kind: &str, key: &str) -> Self {
        let names = Self::of_tenant(tenant);
        Self {
            entry: format!("{}{kind}:{key}", names.prefix),
            ..names
        }
    }

    /// The entry's name within its tenant.
    pub fn name(&self) -> &str {
        &self.entry[self.prefix.len()..]
    }

    pub fn all(&self) -> [&str; 3] {
        [&self.entry, &self.generation, &self.index]
    }
}
