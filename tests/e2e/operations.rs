//! What those see who run the suite.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use onekeel_api::ErrorReason;
use onekeel_api::lead::lead_service_client::LeadServiceClient;
use onekeel_operator::stack::{Database, Plan};
use onekeel_tenancy::Role;
use onekeel_tests::{World, is, lead_named, output, program};
use serde_json::Value;
use sqlx::migrate::MigrateDatabase;
use sqlx::{Connection, PgConnection, Postgres};
use tokio::process::Command;
use tonic::{Request, Status};

pub async fn health_and_reflection_need_no_token(world: Arc<World>) -> anyhow::Result<()> {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    for service in ["", "live", "onekeel.lead.v1.LeadService"] {
        let mut health = HealthClient::new(world.stack.channel("lead", 0)?);
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let status = health.check(request).await?.into_inner().status;
        ensure!(status == 1, "{service:?} is {status}");
    }
    Ok(())
}

pub async fn an_unknown_method_keeps_the_error_contract(world: Arc<World>) -> anyhow::Result<()> {
    for path in [
        "/onekeel.lead.v1.LeadService/Nothing",
        "/onekeel.none.v1.NoService/Nothing",
    ] {
        let mut client = tonic::client::Grpc::new(world.stack.channel("lead", 0)?);
        client.ready().await?;
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let answer: Result<tonic::Response<()>, Status> = client.unary(Request::new(()), path.parse()?, codec).await;
        is(answer, ErrorReason::Unimplemented)?;
    }
    Ok(())
}

/// Bytes as they are, for requests that no client of the contract would send.
#[derive(Clone, Default)]
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = tonic_prost::ProstDecoder<()>;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        tonic_prost::ProstDecoder::new(tonic::codec::BufferSettings::default())
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        std::io::Write::write_all(&mut bytes::BufMut::writer(buffer), &bytes)?;
        Ok(())
    }
}

pub async fn what_the_transport_refuses_keeps_the_error_contract(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let send = async |bytes: Vec<u8>, encoding: Option<&'static str>| {
        let mut client = tonic::client::Grpc::new(world.stack.channel("lead", 0)?);
        client.ready().await?;
        let mut request = member.request(bytes);
        if let Some(encoding) = encoding {
            request.metadata_mut().insert("grpc-encoding", encoding.parse()?);
        }
        let path = "/onekeel.lead.v1.LeadService/CreateLead".parse()?;
        anyhow::Ok(client.unary(request, path, Raw).await)
    };
    is(
        send(b"\xff no protobuf".to_vec(), None).await?,
        ErrorReason::InvalidArgument,
    )?;
    is(send(vec![0; 5 << 20], None).await?, ErrorReason::InvalidArgument)?;
    is(send(Vec::new(), Some("zstd")).await?, ErrorReason::Unimplemented)?;
    is(send(Vec::new(), None).await?, ErrorReason::InvalidArgument)?;
    Ok(())
}

pub async fn a_deadline_keeps_the_error_contract(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    let lead = member.create(lead_named("ann")).await?;
    let mut blocker = world.behind.acquire().await?;
    sqlx::raw_sql("begin").execute(&mut *blocker).await?;
    sqlx::query("select 1 from lead.leads where client_id = $1 for update")
        .bind(member.id.uuid())
        .execute(&mut *blocker)
        .await?;
    let mut request = Request::new(onekeel_api::lead::DeleteLeadRequest {
        id: lead.id.clone(),
        etag: String::new(),
    });
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse()?);
    // As a caller in another language would set it; tonic's own client would end the wait by itself.
    request.metadata_mut().insert("grpc-timeout", "300m".parse()?);
    let refused = LeadServiceClient::new(world.stack.channel("lead", 0)?)
        .delete_lead(request)
        .await;
    sqlx::raw_sql("rollback").execute(&mut *blocker).await?;
    is(refused, ErrorReason::DeadlineExceeded)?;
    ensure!(
        member.get(&lead.id).await? == lead,
        "the deletion happened all the same"
    );
    Ok(())
}

pub async fn a_server_ends_in_order_on_sigterm(world: Arc<World>) -> anyhow::Result<()> {
    let other = World::start(&Plan::default()).await?;
    let member = other.member("basic").await?;
    member.create(lead_named("ann")).await?;
    let id = member.id;
    let mut stack = other.stack;
    ensure!(
        stack.server("lead", 0)?.stop().await?,
        "the lead server did not end by itself"
    );
    // It gave its lease back on the way out, so that nothing waits for the sweeper.
    let reserved: i64 =
        sqlx::query_scalar("select reserved from quota.usage where client_id = $1 and resource = 'leads'")
            .bind(id.uuid())
            .fetch_one(&other.behind)
            .await?;
    ensure!(reserved == 0, "{reserved} units are still reserved");
    other.behind.close().await;
    drop(world);
    stack.stop().await
}

pub async fn a_server_refuses_what_it_cannot_run_with(world: Arc<World>) -> anyhow::Result<()> {
    let database = Database::create(&world.backing.database_url).await?;
    let secrets = &world.stack.secrets.folder;
    let own_url = database.url_for("lead")?;
    let check = |url: &str, without: &'static str| {
        let mut command = Command::new(program("onekeel-lead").expect("the tests were built"));
        command
            .arg("--check")
            .env("DATABASE_URL", url)
            .env("REDIS_URL", &world.backing.redis_url)
            .env("JWT_SECRET_FILE", secrets.join("jwt"))
            .env("JWT_ISSUER", "test")
            .env("SERVICE_KEY_FILE", secrets.join("lead.key"))
            .env("SERVICE_PEERS_DIR", secrets.join("peers"))
            .env("PAGE_TOKEN_SECRET_FILE", secrets.join("page-token"))
            .env("QUOTA_ADDR", "http://127.0.0.1:1")
            .env("TENANT_ADDR", "http://127.0.0.1:1");
        if !without.is_empty() {
            command.env_remove(without);
        }
        command
    };
    let (good, said) = output(&mut check(&own_url, "")).await?;
    ensure!(good && said.contains("onekeel.lead.v1.LeadService"), "{said}");
    for variable in [
        "JWT_SECRET_FILE",
        "JWT_ISSUER",
        "SERVICE_KEY_FILE",
        "PAGE_TOKEN_SECRET_FILE",
        "QUOTA_ADDR",
    ] {
        let (good, said) = output(&mut check(&own_url, variable)).await?;
        let named = variable.trim_end_matches("_FILE");
        ensure!(
            !good && said.to_uppercase().replace('-', "_").contains(named),
            "without {variable}: {said}"
        );
    }
    let (good, said) = output(&mut check(&database.admin_url, "")).await?;
    ensure!(!good && said.contains("superuser"), "as a superuser: {said}");
    ensure!(
        !said.contains(&*world.backing.database_url),
        "the refusal shows an address: {said}"
    );
    let mut owner = PgConnection::connect(&database.admin_url).await?;
    sqlx::raw_sql("drop policy tenant_isolation on quota.charges")
        .execute(&mut owner)
        .await?;
    owner.close().await?;
    let (good, said) = output(&mut check(&own_url, "")).await?;
    ensure!(
        !good && said.contains("quota.charges has no policy"),
        "without a policy: {said}"
    );
    database.remove().await
}

pub async fn migrations_run_twice_at_once(world: Arc<World>) -> anyhow::Result<()> {
    let own = &world.stack.database.admin_url;
    let name = format!("onekeel_{}", uuid::Uuid::new_v4().simple());
    let url = own.replace(own.rsplit('/').next().context("a database's name")?, &name);
    Postgres::create_database(&url).await?;
    let migrate = || {
        let mut command = Command::new(program("onekeel").expect("the tests were built"));
        command.arg("migrate").env("DATABASE_URL", &url);
        command
    };
    let (mut first, mut second) = (migrate(), migrate());
    let (one, two) = tokio::try_join!(output(&mut first), output(&mut second))?;
    ensure!(one.0 && two.0, "{} {}", one.1, two.1);
    let applied = |said: &str| !said.starts_with("0 of ");
    ensure!(
        applied(&one.1) != applied(&two.1),
        "both or none applied them: {} {}",
        one.1,
        two.1
    );
    let (good, said) = output(&mut migrate()).await?;
    ensure!(good && said.starts_with("0 of "), "a repetition: {said}");
    Ok(Postgres::drop_database(&url).await?)
}

async fn grpcurl(arguments: &[&str]) -> anyhow::Result<String> {
    let program = onekeel_tests::tool("grpcurl").context("the tests were started without grpcurl")?;
    let (good, text) = output(Command::new(program).arg("-plaintext").args(arguments)).await?;
    ensure!(good, "grpcurl {arguments:?}: {text}");
    Ok(text)
}

pub async fn the_real_grpcurl_lists_describes_and_calls(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let address = world.stack.address("lead", 0)?;
    let listed = grpcurl(&[&address, "list"]).await?;
    ensure!(
        listed.contains("onekeel.lead.v1.LeadService") && listed.contains("grpc.health.v1.Health"),
        "{listed}"
    );
    let described = grpcurl(&[&address, "describe", "onekeel.lead.v1.LeadService.CreateLead"]).await?;
    ensure!(described.contains("Creates a lead and charges one unit"), "{described}");
    let bearer = format!(
        "authorization: Bearer {}",
        world.stack.token(Some(member.id), Role::Admin)?
    );
    let lead = r#"{"lead": {"first_name": "Ann", "email": "ann@example.com"}}"#;
    let created = grpcurl(&[
        "-H",
        &bearer,
        "-d",
        lead,
        &address,
        "onekeel.lead.v1.LeadService/CreateLead",
    ])
    .await?;
    let created: Value = serde_json::from_str(&created)?;
    ensure!(created["email"] == "ann@example.com", "{created}");
    let refused = grpcurl(&["-d", lead, &address, "onekeel.lead.v1.LeadService/CreateLead"]).await;
    let refused = format!("{:?}", refused.err().context("a call without a token passed")?);
    ensure!(
        refused.contains("Unauthenticated") && refused.contains("onekeel"),
        "{refused}"
    );
    Ok(())
}

pub async fn a_given_server_keeps_the_passwords_of_its_logins(world: Arc<World>) -> anyhow::Result<()> {
    let mut command = Command::new(program("onekeel")?);
    command
        .arg("demo")
        .env("DATABASE_URL", &world.backing.database_url)
        .env("REDIS_URL", &world.backing.redis_url);
    command.env_remove("CARGO").env_remove("ONEKEEL_LEAD_PASSWORD");
    let (good, said) = output(&mut command).await?;
    ensure!(!good && said.contains("has the logins onekeel_lead already"), "{said}");
    ensure!(said.contains("set ONEKEEL_LEAD_PASSWORD"), "{said}");
    Ok(())
}

pub async fn the_demo_keeps_its_promises(world: Arc<World>) -> anyhow::Result<()> {
    let mut files: Vec<Option<PathBuf>> = vec![None];
    // Real input, where this checkout lies beside some.
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/leads-10000.csv");
    files.extend(real.is_file().then_some(Some(real)));
    for file in files {
        let mut command = Command::new(program("onekeel")?);
        command
            .arg("demo")
            .env("DATABASE_URL", &world.backing.database_url)
            .env("REDIS_URL", &world.backing.redis_url);
        command.env_remove("CARGO");
        if let Some(file) = &file {
            command.arg("--csv").arg(file);
        }
        let (good, said) = output(&mut command).await?;
        ensure!(good, "{file:?}: {said}");
        for promise in [
            "created 1000",
            "created 9000",
            "CountLeads 10000 = GetQuota.used 10000",
            "is suspended",
        ] {
            ensure!(said.contains(promise), "{file:?}: no {promise:?} in {said}");
        }
        if file.is_some() {
            ensure!(
                said.contains("over quota 9000") && said.contains("duplicate 1000"),
                "{said}"
            );
        }
    }
    Ok(())
}
