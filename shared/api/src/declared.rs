//! The contract's descriptor set, as far as a server has to know it.
//!
//! `prost-types` drops what it does not know of an option, and so every policy; a message that names the extension as a
//! field of its own reads it, and takes no library that can read any message there is. Numbers are those of
//! `google/protobuf/descriptor.proto`.
use crate::options::MethodPolicy;

/// `FileDescriptorSet`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Contract {
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<File>,
}

/// `FileDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct File {
    #[prost(string, tag = "2")]
    pub package: String,
    #[prost(message, repeated, tag = "6")]
    pub services: Vec<Service>,
}

/// `ServiceDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Service {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub methods: Vec<Method>,
}

/// `MethodDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Method {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "4")]
    pub options: Option<Options>,
    #[prost(bool, tag = "5")]
    pub client_streaming: bool,
    #[prost(bool, tag = "6")]
    pub server_streaming: bool,
}

/// `MethodOptions` with the extension of `onekeel/options/v1`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Options {
    #[prost(message, optional, tag = "50701")]
    pub policy: Option<MethodPolicy>,
}

impl Contract {
    /// Every service with its full name.
    pub fn services(&self) -> impl Iterator<Item = (String, &Service)> {
        let services = self
            .files
            .iter()
            .flat_map(|file| file.services.iter().map(move |service| (file, service)));
        services.map(|(file, service)| (format!("{}.{}", file.package, service.name), service))
    }
}
