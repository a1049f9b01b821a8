//! Log lines, as a log store reads them.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use onekeel_tenancy::Role;
use onekeel_tests::{World, lead_named};
use serde_json::Value;
use tonic_types::StatusExt;

const LONGEST_WRITE: Duration = Duration::from_secs(5);

pub async fn a_failed_call_is_one_line_with_the_trace_id_that_its_caller_got(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("enterprise").await?;
    // A fault of ours, made behind the servers' backs: an internal error has a cause, and the cause has a line.
    sqlx::raw_sql("alter function lead.count_leads(uuid) rename to count_leads_away")
        .execute(&world.behind)
        .await?;
    let refused = member.count().await;
    sqlx::raw_sql("alter function lead.count_leads_away(uuid) rename to count_leads")
        .execute(&world.behind)
        .await?;
    let status = refused.err().context("the call succeeded without its function")?;
    let trace = status.get_details_request_info().context("no trace id")?.request_id;
    let server = world.stack.servers().find(|server| server.service() == "lead");
    let log = server.context("no lead server")?.log();
    let deadline = tokio::time::Instant::now() + LONGEST_WRITE;
    let mut round = tokio::time::interval(Duration::from_millis(20));
    let lines = loop {
        round.tick().await;
        let text = std::fs::read_to_string(log)?;
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let own: Vec<Value> = lines
            .into_iter()
            .filter(|line| line["trace_id"] == trace.as_str())
            .collect();
        if !own.is_empty() {
            break own;
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "no line has the trace id {trace}:\n{text}"
        );
    };
    ensure!(lines.len() == 1, "{lines:#?}");
    let line = lines[0].to_string();
    let tenant = member.id.to_string();
    for told in [
        tenant.as_str(),
        "onekeel.lead.v1.LeadService/CountLeads",
        "INTERNAL",
        "42883",
    ] {
        ensure!(line.contains(told), "{told} is not in {line}");
    }
    Ok(())
}

pub async fn no_secret_and_nothing_of_a_person_is_in_a_log(world: Arc<World>) -> anyhow::Result<()> {
    let member = world.member("basic").await?;
    let mut lead = lead_named("very-private-person");
    lead.company = "a-company-nobody-may-know".to_owned();
    let lead = member.create(lead).await?;
    drop(member.create(lead.clone()).await);
    drop(member.get("not-an-id-very-private").await);
    drop(member.delete(&lead.id, "").await);
    let token = world.stack.token(Some(member.id), Role::Admin)?;
    let secrets = &world.stack.secrets;
    let page_secret = std::fs::read_to_string(secrets.folder.join("page-token"))?;
    let password = world.stack.database.url_for("lead")?;
    let password = password.split([':', '@']).nth(2).context("a password")?.to_owned();
    let mut read = 0;
    for server in world.stack.servers() {
        let log = std::fs::read_to_string(server.log())?;
        read += log.lines().count();
        let said = log.to_lowercase();
        for private in [
            "very-private-person",
            "a-company-nobody-may-know",
            "not-an-id-very-private",
            &token.to_lowercase(),
            &secrets.jwt.to_lowercase(),
            &page_secret.to_lowercase(),
            &password.to_lowercase(),
            "bearer ",
        ] {
            ensure!(
                !said.contains(private),
                "{private:?} is in the log of {}",
                server.service()
            );
        }
    }
    ensure!(read > 4, "only {read} lines were read");
    Ok(())
}
