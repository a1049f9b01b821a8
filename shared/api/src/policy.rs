//! What each method asks of its caller, read from the contract's own options.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use prost::Message;

use crate::declared::{Contract, Method};
use crate::options::{Audience, MethodPolicy};

/// The declared policy of one method.
#[expect(clippy::struct_excessive_bools, reason = "each is a declaration of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The method's full name, for example `onekeel.lead.v1.LeadService/GetLead`.
    pub method: String,
    /// Permission that the caller's role must grant, as `<resource>.<verb>`.
    pub permission: String,
    /// Who may call; never empty.
    pub audiences: Vec<Audience>,
    /// Requests that one call counts as in the tenant's rate limit.
    pub cost: u32,
    /// Whether the method changes something.
    pub writes: bool,
    /// Whether platform support is kept out.
    pub private: bool,
    /// Services that may call; never empty where the audience is services, and empty elsewhere.
    pub callers: Vec<String>,
    /// Whether the caller sends a stream.
    pub client_streaming: bool,
    /// Whether the server sends a stream.
    pub server_streaming: bool,
}

impl Policy {
    /// Whether a success leaves an event in the tenant's audit trail: it changes something, and for somebody. What servers
    /// ask of one another (leases, allowances) comes with every call and changes nothing that a person asked for.
    pub fn is_audited(&self) -> bool {
        self.writes && !self.audiences.contains(&Audience::Service) && !self.audiences.contains(&Audience::Public)
    }

    /// Whether messages may follow one another, on either side.
    pub fn is_stream(&self) -> bool {
        self.client_streaming || self.server_streaming
    }

    /// Whether an operator may call it inside a tenant, for support.
    pub fn admits_support(&self) -> bool {
        self.audiences.contains(&Audience::Tenant) && !self.private
    }
}

/// Why a server may not start with this contract; names the method.
#[derive(Debug)]
pub struct PolicyError(String);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

/// The policies of the methods that a server serves, by path.
#[derive(Debug, Clone, Default)]
pub struct Policies(HashMap<String, Arc<Policy>>);

impl Policies {
    /// Reads the policies of `services` (full names) from an encoded descriptor set.
    /// Fails when a service is unknown or one of its methods has no complete policy.
    pub fn load(descriptor_set: &[u8], services: &[&str]) -> Result<Self, PolicyError> {
        let contract = decode(descriptor_set)?;
        let mut policies = HashMap::new();
        for name in services {
            let service = contract.services().find(|(known, _)| known == name);
            let (_, service) = service.ok_or_else(|| PolicyError(format!("the contract has no service {name}")))?;
            for method in &service.methods {
                let policy = read(name, method).map_err(|why| PolicyError(format!("{name}.{}: {why}", method.name)))?;
                policies.insert(format!("/{name}/{}", method.name), Arc::new(policy));
            }
        }
        Ok(Self(policies))
    }

    /// Full names of the suite's services in an encoded descriptor set, in alphabetical order.
    pub fn services(descriptor_set: &[u8]) -> Result<Vec<String>, PolicyError> {
        let contract = decode(descriptor_set)?;
        let names = contract.services().map(|(name, _)| name);
        let mut own: Vec<_> = names.filter(|name| name.starts_with("onekeel.")).collect();
        own.sort();
        Ok(own)
    }

    /// The policy of the method at an HTTP path, for example `/onekeel.lead.v1.LeadService/GetLead`.
    pub fn get(&self, path: &str) -> Option<&Arc<Policy>> {
        self.0.get(path)
    }

    /// Every path with its policy, in no order.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<Policy>)> {
        self.0.iter().map(|(path, policy)| (path.as_str(), policy))
    }
}

fn decode(descriptor_set: &[u8]) -> Result<Contract, PolicyError> {
    Contract::decode(descriptor_set).map_err(|error| PolicyError(format!("the descriptor set is broken: {error}")))
}

fn read(service: &str, method: &Method) -> Result<Policy, String> {
    let declared = method.options.as_ref().and_then(|options| options.policy.clone());
    let declared = declared.ok_or("the method declares no policy; add option (onekeel.options.v1.policy)")?;
    check(declared, service, method)
}

fn check(declared: MethodPolicy, name: &str, method: &Method) -> Result<Policy, String> {
    let audiences: Vec<_> = declared.audiences().collect();
    let service = audiences.contains(&Audience::Service);
    if audiences.is_empty() || audiences.contains(&Audience::Unspecified) {
        return Err("the policy names no audience".to_owned());
    }
    if audiences.len() > 1 && (service || audiences.contains(&Audience::Public)) {
        return Err("the audiences service and public stand alone".to_owned());
    }
    if declared.permission.is_empty() && !audiences.contains(&Audience::Public) {
        return Err("the policy names no permission".to_owned());
    }
    if declared.cost == 0 && audiences.contains(&Audience::Tenant) {
        return Err("a method for tenants costs at least 1".to_owned());
    }
    if declared.private && !audiences.contains(&Audience::Tenant) {
        return Err("only a method for tenants can be private".to_owned());
    }
    if service == declared.callers.is_empty() {
        return Err("a method for services names its callers, and no other method does".to_owned());
    }
    Ok(Policy {
        method: format!("{name}/{}", method.name),
        permission: declared.permission,
        audiences,
        cost: declared.cost,
        writes: declared.writes,
        private: declared.private,
        callers: declared.callers,
        client_streaming: method.client_streaming,
        server_streaming: method.server_streaming,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FILE_DESCRIPTOR_SET;

    #[test]
    fn every_method_of_the_contract_declares_its_policy() {
        let names = Policies::services(FILE_DESCRIPTOR_SET).expect("a contract");
        let services: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(services.len() >= 6, "{services:?}");
        let policies = Policies::load(FILE_DESCRIPTOR_SET, &services).expect("a complete contract");
        let import = policies.get("/onekeel.lead.v1.LeadService/ImportLeads").expect("known");
        assert!(import.writes && import.client_streaming && import.cost == 10);
        assert_eq!(import.audiences, [Audience::Tenant]);
    }

    #[test]
    fn a_method_without_a_policy_is_refused_by_name() {
        // A plain prost struct drops the extension, and so every policy.
        let mut contract = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("a contract");
        let lead = contract
            .file
            .iter_mut()
            .find(|file| file.package() == "onekeel.lead.v1")
            .expect("its file");
        let methods: Vec<_> = lead.service[0]
            .method
            .iter()
            .map(|method| method.name().to_owned())
            .collect();
        let refused = Policies::load(&contract.encode_to_vec(), &["onekeel.lead.v1.LeadService"]);
        let said = refused.expect_err("no policy").to_string();
        assert!(
            said.contains(&format!("onekeel.lead.v1.LeadService.{}", methods[0])),
            "{said}"
        );
    }

    #[test]
    fn a_service_that_the_contract_lacks_is_refused_by_name() {
        let without = Policies::load(FILE_DESCRIPTOR_SET, &["none.Service"]);
        assert!(
            without
                .expect_err("unknown service")
                .to_string()
                .contains("none.Service")
        );
    }
}
