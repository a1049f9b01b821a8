//! An AI agent: how it comes in, how it stands in the database, how it goes out.

mod repo;
pub(crate) mod service;

use chrono::{DateTime, Utc};
use onekeel_api::campaign::{Agent, CreateAgentRequest};
use onekeel_api::{AgentId, Fault, Violations, structure, timestamp};
use onekeel_gate::Size;
use uuid::Uuid;

use crate::channel;

const USUAL_TEMPERATURE: f64 = 0.7;
const USUAL_TOKENS: i32 = 1024;
const LONGEST_DELAY_SECONDS: i64 = 24 * 3600;
const NANOS_A_MILLISECOND: i32 = 1_000_000;
const LARGEST_CONFIG: usize = 16 * 1024;

/// The fields that a caller writes, checked and in the form in which they are kept.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    name: String,
    kind: i16,
    system_prompt: String,
    temperature: f64,
    max_tokens: i32,
    response_delay_ms: i64,
    retry_attempts: i32,
    channel_config: serde_json::Value,
}

impl Fields {
    /// What the agent counts as in its tenant's storage limit.
    fn size(&self) -> Size {
        Size::of_row()
            .text(&self.name)
            .text(&self.system_prompt)
            .json(&self.channel_config)
    }

    fn check(agent: Agent, wrong: &mut Violations) -> Self {
        wrong.text("agent.name", &agent.name, 1..=200);
        wrong.prose("agent.system_prompt", &agent.system_prompt, 0..=20_000);
        let temperature = agent.temperature.unwrap_or(USUAL_TEMPERATURE);
        wrong.check(
            (0.0..=2.0).contains(&temperature),
            "agent.temperature",
            "must be 0 to 2",
        );
        let max_tokens = agent.max_tokens.unwrap_or(USUAL_TOKENS);
        wrong.check(
            (1..=32_000).contains(&max_tokens),
            "agent.max_tokens",
            "must be 1 to 32,000",
        );
        wrong.check(
            (0..=10).contains(&agent.retry_attempts),
            "agent.retry_attempts",
            "must be 0 to 10",
        );
        Self {
            kind: channel::check(wrong, "agent.type", agent.r#type),
            response_delay_ms: milliseconds(agent.response_delay, wrong),
            channel_config: structure::to_json(agent.channel_config, "agent.channel_config", LARGEST_CONFIG, wrong),
            name: agent.name,
            system_prompt: agent.system_prompt,
            temperature,
            max_tokens,
            retry_attempts: agent.retry_attempts,
        }
    }
}

fn milliseconds(delay: Option<prost_types::Duration>, wrong: &mut Violations) -> i64 {
    let delay = delay.unwrap_or_default();
    let (seconds, nanos) = (delay.seconds, delay.nanos);
    let whole = (0..NANOS_A_MILLISECOND * 1000).contains(&nanos) && nanos % NANOS_A_MILLISECOND == 0;
    let short = (0..LONGEST_DELAY_SECONDS).contains(&seconds) || (seconds, nanos) == (LONGEST_DELAY_SECONDS, 0);
    wrong.check(
        whole && short,
        "agent.response_delay",
        "must be 0 to 24 hours in whole milliseconds, for example 1.500s",
    );
    if whole && short {
        seconds * 1000 + i64::from(nanos / NANOS_A_MILLISECOND)
    } else {
        0
    }
}

/// A checked new agent.
#[derive(Clone, Debug)]
pub(crate) struct NewAgent {
    id: AgentId,
    fields: Fields,
    request_id: Option<Uuid>,
}

impl TryFrom<CreateAgentRequest> for NewAgent {
    type Error = Fault;

    fn try_from(request: CreateAgentRequest) -> Result<Self, Fault> {
        let agent = request.agent.ok_or_else(|| Fault::invalid("agent", "is required"))?;
        let mut wrong = Violations::new();
        let fields = Fields::check(agent, &mut wrong);
        let request_id = wrong.optional_uuid("request_id", &request.request_id);
        wrong.into_result()?;
        Ok(Self {
            id: AgentId::new_v7(),
            fields,
            request_id,
        })
    }
}

/// A row of `campaign.agents`.
#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    id: Uuid,
    name: String,
    kind: i16,
    system_prompt: String,
    temperature: f64,
    max_tokens: i32,
    response_delay_ms: i64,
    retry_attempts: i32,
    channel_config: serde_json::Value,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    stored_bytes: i64,
}

impl AgentRow {
    /// What the API shows of it.
    pub fn shown(&self) -> Agent {
        self.clone().into()
    }
}

impl From<AgentRow> for Agent {
    fn from(row: AgentRow) -> Self {
        let nanos = i32::try_from(row.response_delay_ms % 1000).unwrap_or_default() * NANOS_A_MILLISECOND;
        Self {
            id: row.id.to_string(),
            name: row.name,
            r#type: row.kind.into(),
            system_prompt: row.system_prompt,
            temperature: Some(row.temperature),
            max_tokens: Some(row.max_tokens),
            response_delay: Some(prost_types::Duration {
                seconds: row.response_delay_ms / 1000,
                nanos,
            }),
            retry_attempts: row.retry_attempts,
            channel_config: structure::from_json(row.channel_config),
            create_time: Some(timestamp(row.created_at)),
            update_time: Some(timestamp(row.updated_at)),
            etag: row.version.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use onekeel_api::campaign::Channel;

    use super::*;

    fn good() -> Agent {
        Agent {
            name: "Ada".to_owned(),
            r#type: Channel::Chat.into(),
            ..Agent::default()
        }
    }

    fn broken(change: impl FnOnce(&mut Agent)) -> Vec<String> {
        let mut agent = good();
        change(&mut agent);
        let mut wrong = Violations::new();
        Fields::check(agent, &mut wrong);
        wrong.list().iter().map(|(field, _)| field.clone()).collect()
    }

    #[test]
    fn each_rule_names_its_field() {
        assert!(broken(|_| ()).is_empty());
        assert_eq!(broken(|agent| agent.name.clear()), ["agent.name"]);
        assert_eq!(broken(|agent| agent.r#type = 5), ["agent.type"]);
        assert_eq!(
            broken(|agent| agent.system_prompt = "x".repeat(20_001)),
            ["agent.system_prompt"]
        );
        for bad in [-0.1, 2.1, f64::NAN] {
            assert_eq!(broken(|agent| agent.temperature = Some(bad)), ["agent.temperature"]);
        }
        for bad in [0, 32_001] {
            assert_eq!(broken(|agent| agent.max_tokens = Some(bad)), ["agent.max_tokens"]);
        }
        assert_eq!(broken(|agent| agent.retry_attempts = 11), ["agent.retry_attempts"]);
    }

    #[test]
    fn a_delay_is_kept_to_the_millisecond() {
        let delay = |seconds, nanos| {
            let mut wrong = Violations::new();
            let kept = milliseconds(Some(prost_types::Duration { seconds, nanos }), &mut wrong);
            (kept, wrong.list().len())
        };
        assert_eq!(delay(1, 500_000_000), (1500, 0));
        assert_eq!(delay(LONGEST_DELAY_SECONDS, 0), (86_400_000, 0));
        for (seconds, nanos) in [
            (-1, 0),
            (0, -1_000_000),
            (0, 1),
            (LONGEST_DELAY_SECONDS, 1_000_000),
            (i64::MAX, 0),
        ] {
            assert_eq!(delay(seconds, nanos), (0, 1), "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn what_is_left_out_of_a_new_agent_is_usual() {
        let fields = Fields::check(good(), &mut Violations::new());
        assert_eq!(fields.max_tokens, USUAL_TOKENS);
        assert!((fields.temperature - USUAL_TEMPERATURE).abs() < f64::EPSILON);
        let cold = Agent {
            temperature: Some(0.0),
            ..good()
        };
        assert!(
            Fields::check(cold, &mut Violations::new()).temperature < f64::EPSILON,
            "zero is a choice"
        );
    }
}
