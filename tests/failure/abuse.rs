//! Callers that mean harm: what they send is bounded, ends with a clear error, and hinders nobody else.
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request};
use onekeel_api::ErrorReason;
use onekeel_api::lead::ImportLeadsRequest;
use onekeel_tenancy::Role;
use onekeel_tests::{Member, World, is, lead_named};
use rand::{Rng, RngExt, SeedableRng};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::Status;

const QUICK: Duration = Duration::from_secs(5);
const GET: &str = "/onekeel.lead.v1.LeadService/GetLead";
/// A server holds no more than this beside what it held before, in kilobytes.
const MOST_GROWTH: u64 = 48 * 1024;

/// A raw connection to LeadService.
async fn connect(world: &World) -> anyhow::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(world.stack.address("lead", 0)?).await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    // It ends with the server's refusal or with the sender.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender.ready().await?)
}

fn call(path: &str, headers: HeaderMap) -> anyhow::Result<Request<()>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://lead{path}"))
        .body(())?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn grpc(token: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    Ok(headers)
}

fn resident(world: &World) -> anyhow::Result<u64> {
    let server = world.stack.servers().find(|server| server.service() == "lead");
    server.context("no lead server")?.resident()
}

/// Does harm while another caller reads; returns how long its slowest call took.
async fn beside(
    world: &World,
    other: &Member,
    harm: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Duration> {
    let lead = other.create(lead_named("ann")).await?;
    let before = resident(world)?;
    let mut harm = std::pin::pin!(harm);
    let mut slowest = Duration::ZERO;
    loop {
        let began = Instant::now();
        tokio::select! {
            done = &mut harm => { done?; break }
            got = other.get(&lead.id) => { got.context("another caller")?; }
        }
        slowest = slowest.max(began.elapsed());
        ensure!(slowest < QUICK, "another caller waited {slowest:?}");
    }
    let growth = resident(world)?.saturating_sub(before);
    ensure!(growth < MOST_GROWTH, "the server grew by {growth} kB");
    Ok(slowest)
}

pub async fn a_flood_of_headers_is_refused(world: Arc<World>) -> anyhow::Result<()> {
    let other = world.member("enterprise").await?;
    let token = world.stack.token(Some(other.id), Role::Admin)?;
    let harm = async {
        for (count, length) in [(2000, 100), (1, 200_000), (20_000, 1)] {
            let mut headers = grpc(&token)?;
            for number in 0..count {
                let name: http::HeaderName = format!("x-flood-{number}").parse()?;
                headers.insert(name, "x".repeat(length).parse()?);
            }
            let mut sender = connect(&world).await?;
            let refused = async {
                let (answer, _body) = sender.send_request(call(GET, headers)?, true)?;
                anyhow::Ok(answer.await?.status())
            };
            let refused = tokio::time::timeout(QUICK, refused)
                .await
                .context("a flood is not answered")?;
            ensure!(
                refused.as_ref().map_or(true, |status| status.as_u16() == 431),
                "{count} headers of {length} bytes: {refused:?}"
            );
        }
        Ok(())
    };
    beside(&world, &other, harm).await?;
    Ok(())
}

pub async fn rapid_resets_end_their_connection_only(world: Arc<World>) -> anyhow::Result<()> {
    const RESETS: usize = 20_000;
    let other = world.member("enterprise").await?;
    world.limit(other.id, "requests_per_minute", 10_000_000).await?;
    let token = world.stack.token(Some(other.id), Role::Admin)?;
    let harm = async {
        let (mut connections, mut sent) = (0, 0);
        while sent < RESETS {
            let mut sender = connect(&world).await?;
            connections += 1;
            while sent < RESETS {
                let Ok(ready) = tokio::time::timeout(QUICK, sender.ready())
                    .await
                    .context("a connection hangs")?
                else {
                    break;
                };
                sender = ready;
                let Ok((answer, mut body)) = sender.send_request(call(GET, grpc(&token)?)?, false) else {
                    break;
                };
                body.send_reset(h2::Reason::CANCEL);
                drop(answer);
                sent += 1;
                if sent % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        ensure!(connections > 1, "{RESETS} resets on one connection were taken");
        println!("{RESETS} resets ended {connections} connections");
        Ok(())
    };
    let slowest = beside(&world, &other, harm).await?;
    println!("the slowest call of another caller took {slowest:?}");
    Ok(())
}

pub async fn a_stream_that_stalls_ends_at_its_deadline_with_what_it_sent(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let message = ImportLeadsRequest {
        leads: vec![lead_named("ann"), lead_named("bob")],
    };
    let stalls = tokio_stream::iter([message]).chain(tokio_stream::pending());
    let mut request = member.request(stalls);
    request.set_timeout(Duration::from_secs(2));
    let began = Instant::now();
    is(
        member.leads().import_leads(request).await,
        ErrorReason::DeadlineExceeded,
    )?;
    ensure!(began.elapsed() < QUICK, "it took {:?}", began.elapsed());
    // What came whole may be there, whole and charged, and nothing hangs.
    let used = world.settle(member.id).await?;
    let rows = world.rows(member.id).await?;
    ensure!(rows == used && [0, 2].contains(&rows), "{rows} rows and {used} used");

    // A message whose bytes never come.
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    let mut headers = grpc(&token)?;
    headers.insert("grpc-timeout", HeaderValue::from_static("2S"));
    let mut sender = connect(&world).await?;
    let (answer, mut body) = sender.send_request(call("/onekeel.lead.v1.LeadService/CreateLead", headers)?, false)?;
    body.send_data(Bytes::from_static(&[0, 0, 0, 255, 255, 7]), false)?;
    let answer = tokio::time::timeout(QUICK, answer)
        .await
        .context("half a message holds the server")??;
    let status = Status::from_header_map(answer.headers()).context("no status")?;
    is(Err::<(), _>(status), ErrorReason::DeadlineExceeded)?;
    Ok(())
}

/// Headers that mean something to us, with any bytes; a seed that the test prints makes them again.
pub async fn headers_of_any_content_get_an_answer(world: Arc<World>) -> anyhow::Result<()> {
    const NAMES: [&str; 12] = [
        "authorization",
        "content-type",
        "grpc-timeout",
        "grpc-encoding",
        "grpc-accept-encoding",
        "traceparent",
        "tracestate",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-onekeel-client-id",
        "x-onekeel-reason",
        "user-agent",
    ];
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let member = world.member("enterprise").await?;
    world.limit(member.id, "requests_per_minute", 10_000_000).await?;
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    let mut sender = connect(&world).await?;
    for number in 0..2000 {
        let mut headers = grpc(&token)?;
        for _ in 0..random.random_range(1..4) {
            let length = random.random_range(0..80);
            let value: Vec<u8> = (0..length).map(|_| any_byte(&mut random)).collect();
            let name = NAMES[random.random_range(0..NAMES.len())];
            if random.random() {
                headers.append(name, HeaderValue::from_bytes(&value)?);
            } else {
                headers.insert(name, HeaderValue::from_bytes(&value)?);
            }
        }
        let answered = async {
            sender = sender.clone().ready().await?;
            let (answer, mut body) = sender.send_request(call(GET, headers.clone())?, false)?;
            // An empty message: whatever is wrong, the handler would refuse it at last. Who is refused before has ended
            // its stream, and this fails.
            let _sent = body.send_data(Bytes::from_static(&[0; 5]), true);
            let answer = answer.await?;
            if answer.status() != http::StatusCode::OK {
                return Ok(());
            }
            let status = match Status::from_header_map(answer.headers()) {
                Some(status) => status,
                None => {
                    let mut body = answer.into_body();
                    while body.data().await.transpose()?.is_some() {}
                    let trailers = body.trailers().await?.context("neither data nor trailers")?;
                    Status::from_header_map(&trailers).context("no status")?
                }
            };
            if [tonic::Code::Ok, tonic::Code::Internal, tonic::Code::Unknown].contains(&status.code()) {
                bail!("{status:?}");
            }
            anyhow::Ok(())
        };
        let answered = tokio::time::timeout(QUICK, answered).await;
        let answered = answered.with_context(|| format!("call {number} with {headers:?} hangs"))?;
        answered.with_context(|| format!("call {number} with {headers:?}"))?;
    }
    member.count().await?;
    Ok(())
}

/// Visible characters mostly, and every other byte that a header may hold.
fn any_byte(random: &mut impl Rng) -> u8 {
    match random.random_range(0..10) {
        0 => random.random_range(128..=255),
        1 => b',',
        2 => b'-',
        _ => random.random_range(32..127),
    }
}
