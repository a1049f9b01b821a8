//! Calls of any method of the contract, by its name and with JSON: for tests that must not forget one.
use std::sync::Arc;

use anyhow::Context;
use onekeel_api::{FILE_DESCRIPTOR_SET, Policies, Policy};
use onekeel_operator::stack::Stack;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};

use crate::world::with_token;

/// A method of the contract with its policy.
#[derive(Clone, Debug)]
pub struct Method {
    descriptor: MethodDescriptor,
    /// What it declares about itself.
    pub policy: Arc<Policy>,
}

/// Every method of the suite, in the order of the contract.
pub fn contract() -> anyhow::Result<Vec<Method>> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
    let ours: Vec<_> = pool
        .services()
        .filter(|service| service.full_name().starts_with("onekeel."))
        .collect();
    let names: Vec<&str> = ours.iter().map(prost_reflect::ServiceDescriptor::full_name).collect();
    let policies = Policies::load(FILE_DESCRIPTOR_SET, &names)?;
    let methods = ours.iter().flat_map(prost_reflect::ServiceDescriptor::methods);
    let with_policies = methods.map(|descriptor| {
        let path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
        let policy = policies.get(&path).with_context(|| format!("{path} has no policy"))?;
        Ok(Method {
            descriptor,
            policy: policy.clone(),
        })
    });
    with_policies.collect()
}

impl Method {
    /// For example `onekeel.lead.v1.LeadService/GetLead`.
    pub fn name(&self) -> String {
        format!(
            "{}/{}",
            self.descriptor.parent_service().full_name(),
            self.descriptor.name()
        )
    }

    /// The server that has it, for example `lead`.
    pub fn server(&self) -> &str {
        let package = self.descriptor.parent_service().full_name();
        package.split('.').nth(1).unwrap_or_default()
    }

    /// Whether its request has a field of this name.
    pub fn asks_for(&self, field: &str) -> bool {
        self.descriptor.input().get_field_by_name(field).is_some()
    }

    /// Whether its answer has a field of this name.
    pub fn answers_with(&self, field: &str) -> bool {
        self.descriptor.output().get_field_by_name(field).is_some()
    }

    /// Calls the method on the first process of its server, without a token if it is empty; a stream of requests has the
    /// one message, of a stream of answers the first counts. The answer is JSON.
    pub async fn call(&self, stack: &Stack, token: &str, request: &Value) -> anyhow::Result<Result<Value, Status>> {
        self.call_with(stack, token, &[], request).await
    }

    /// As [`Method::call`], with more headers.
    pub async fn call_with(
        &self,
        stack: &Stack,
        token: &str,
        headers: &[(&'static str, &str)],
        request: &Value,
    ) -> anyhow::Result<Result<Value, Status>> {
        let message = DynamicMessage::deserialize(self.descriptor.input(), request)
            .with_context(|| format!("{} takes no {request}", self.name()))?;
        let mut request: Request<DynamicMessage> = if token.is_empty() {
            Request::new(message)
        } else {
            with_token(message, token)?
        };
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse()?);
        }
        let mut client = tonic::client::Grpc::new(stack.channel(self.server(), 0)?);
        client.ready().await?;
        let codec = DynamicCodec(self.descriptor.output());
        let path = format!("/{}", self.name()).parse()?;
        let answer = if self.policy.client_streaming {
            let request = request.map(tokio_stream::once);
            client.client_streaming(request, path, codec).await
        } else if self.policy.server_streaming {
            first_message(client.server_streaming(request, path, codec).await).await
        } else {
            client.unary(request, path, codec).await
        };
        Ok(match answer {
            Ok(answer) => Ok(serde_json::to_value(answer.into_inner())?),
            Err(status) => Err(status),
        })
    }
}

async fn first_message(
    answer: Result<Response<Streaming<DynamicMessage>>, Status>,
) -> Result<Response<DynamicMessage>, Status> {
    let first = answer?.into_inner().message().await?;
    let first = first.ok_or_else(|| Status::data_loss("the stream ended without a message"))?;
    Ok(Response::new(first))
}

/// Messages as descriptors know them.
#[derive(Clone)]
struct DynamicCodec(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message
            .encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
