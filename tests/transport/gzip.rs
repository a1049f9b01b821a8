//! Compressed messages, in both directions.
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use onekeel_api::ErrorReason;
use onekeel_api::lead::{CreateLeadRequest, ImportLeadsRequest, Lead, ListLeadsRequest};
use onekeel_tenancy::Role;
use onekeel_tests::{World, is, lead_named};
use prost::Message;
use tonic::Status;
use tonic::codec::CompressionEncoding::Gzip;
use tower::{Service, ServiceExt};

use crate::extra::{Extra, request};

/// A frame of gRPC begins with a flag and a length.
const FRAME: usize = 5;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BOMB: usize = 200 << 20;
/// The server itself takes about 20 MB; a bomb that went off would be ten times that.
const MOST_MEMORY_KB: u64 = 120 << 10;

/// ListLeads with this header besides: the answer's headers and its bytes, as they came.
async fn list_raw(world: &World, bearer: &str, header: (&str, &str)) -> anyhow::Result<(HeaderMap, Bytes)> {
    let message = ListLeadsRequest::default().encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len())?);
    frame.put_slice(&message);
    let call = http::Request::post("/onekeel.lead.v1.LeadService/ListLeads")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("authorization", bearer)
        .header(header.0, header.1);
    let call = call.body(tonic::body::Body::new(
        Full::new(frame.freeze()).map_err(|never| match never {}),
    ))?;
    let mut channel = world.stack.channel("lead", 0)?;
    let answer = channel.ready().await?.call(call).await?;
    let (head, body) = answer.into_parts();
    Ok((head.headers, body.collect().await?.to_bytes()))
}

pub async fn an_answer_is_compressed_for_those_who_ask(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let leads = (0..50).map(|number| lead_named(&format!("lead{number}"))).collect();
    ensure!(member.import(leads).await?.created == 50, "50 leads");
    let bearer = format!("Bearer {}", world.stack.token(Some(member.id), Role::Admin)?);
    let (_, plain) = list_raw(&world, &bearer, ("grpc-accept-encoding", "identity")).await?;
    ensure!(plain[0] == 0, "an answer was compressed though nobody asked");
    ensure!(plain.len() > 4000, "{} bytes", plain.len());
    let (_, packed) = list_raw(&world, &bearer, ("grpc-accept-encoding", "gzip")).await?;
    ensure!(
        packed[0] == 1 && packed[FRAME..].starts_with(&GZIP),
        "{:?}",
        &packed[..8]
    );
    ensure!(
        packed.len() * 2 < plain.len(),
        "{} instead of {} bytes",
        packed.len(),
        plain.len()
    );
    println!("{} bytes instead of {}", packed.len(), plain.len());

    let channel = world.stack.channel("lead", 0)?;
    let mut client = onekeel_api::lead::lead_service_client::LeadServiceClient::new(channel)
        .accept_compressed(Gzip)
        .send_compressed(Gzip);
    let listed = client
        .list_leads(request(&world, &member, ListLeadsRequest::default())?)
        .await?;
    ensure!(
        listed.get_ref().leads.len() == 50,
        "{} leads",
        listed.get_ref().leads.len()
    );
    ensure!(
        *listed.get_ref() == member.list(ListLeadsRequest::default()).await?,
        "not the same leads"
    );
    Ok(())
}

pub async fn a_message_that_unpacks_to_too_much_is_refused(world: Arc<World>) -> anyhow::Result<()> {
    let mut extra = Extra::start(&world, &[]).await?;
    let member = world.member("enterprise").await?;
    let mut client = extra.leads()?.send_compressed(Gzip);
    let bomb = Lead {
        company: "x".repeat(BOMB),
        ..lead_named("bomb")
    };
    let wish = CreateLeadRequest {
        lead: Some(bomb.clone()),
        request_id: String::new(),
    };
    is(
        client.create_lead(request(&world, &member, wish)?).await,
        ErrorReason::InvalidArgument,
    )?;
    let rows = tokio_stream::iter([ImportLeadsRequest { leads: vec![bomb] }]);
    let fault = is(
        client.import_leads(request(&world, &member, rows)?).await,
        ErrorReason::InvalidArgument,
    )?;
    ensure!(fault.violations()[0].0 == "leads", "{:?}", fault.violations());
    let id = extra.server.process().id().context("the server runs")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
    let peak: u64 = peak.context("a peak")?.trim().parse()?;
    ensure!(peak < MOST_MEMORY_KB, "the server took {peak} kB");
    println!(
        "{} MB in two messages; the server took {} MB at most",
        (2 * BOMB) >> 20,
        peak >> 10
    );
    extra.stop().await
}

pub async fn another_compression_is_refused_and_gzip_is_named(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let bearer = format!("Bearer {}", world.stack.token(Some(member.id), Role::Admin)?);
    let (headers, _) = list_raw(&world, &bearer, ("grpc-encoding", "deflate")).await?;
    let named = headers.get("grpc-accept-encoding").map(|value| value.to_str());
    ensure!(
        named.transpose()?.is_some_and(|named| named.contains("gzip")),
        "{headers:?}"
    );
    let status = Status::from_header_map(&headers).context("no status")?;
    is::<()>(Err(status), ErrorReason::Unimplemented)?;
    Ok(())
}
