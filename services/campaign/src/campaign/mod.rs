//! A campaign: how it comes in, how it stands in the database, how it goes out.

mod repo;
pub(crate) mod service;

use chrono::{DateTime, Utc};
use onekeel_api::campaign::{Campaign, CampaignStep, CampaignType, CreateCampaignRequest};
use onekeel_api::{CampaignId, Fault, Violations, timestamp};
use onekeel_gate::Size;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use crate::channel;

const MOST_STEPS: usize = 50;
const LONGEST_DELAY_SECONDS: i64 = 365 * 24 * 3600;

/// The fields that a caller writes, checked and in the form in which they are kept.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    name: String,
    description: String,
    kind: i16,
    steps: Vec<Step>,
}

/// A step as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    channel: i16,
    delay_seconds: i64,
    template: String,
}

impl Fields {
    /// What the campaign counts as in its tenant's storage limit.
    fn size(&self) -> Size {
        let templates = self.steps.iter().map(|step| &step.template);
        Size::of_row().text(&self.name).text(&self.description).texts(templates)
    }

    fn check(campaign: Campaign, wrong: &mut Violations) -> Self {
        wrong.text("campaign.name", &campaign.name, 1..=200);
        wrong.prose("campaign.description", &campaign.description, 0..=2000);
        let kind = channel::number::<CampaignType>(
            wrong,
            "campaign.type",
            campaign.r#type,
            "must be DRIP, BLAST or TRIGGER",
        );
        wrong.check(
            campaign.steps.len() <= MOST_STEPS,
            "campaign.steps",
            format!("must be at most {MOST_STEPS}"),
        );
        let steps = campaign.steps.into_iter().take(MOST_STEPS).enumerate();
        Self {
            steps: steps.map(|(place, step)| Step::check(step, place, wrong)).collect(),
            name: campaign.name,
            description: campaign.description,
            kind,
        }
    }
}

impl Step {
    fn check(step: CampaignStep, place: usize, wrong: &mut Violations) -> Self {
        let path = |field| format!("campaign.steps[{place}].{field}");
        let delay = step.delay.unwrap_or_default();
        wrong.check(
            (0..=LONGEST_DELAY_SECONDS).contains(&delay.seconds) && delay.nanos == 0,
            &path("delay"),
            "must be 0 to 365 days in whole seconds, for example 3600s",
        );
        wrong.prose(&path("template"), &step.template, 1..=10_000);
        Self {
            channel: channel::check(wrong, &path("channel"), step.channel),
            delay_seconds: delay.seconds,
            template: step.template,
        }
    }
}

impl From<Step> for CampaignStep {
    fn from(step: Step) -> Self {
        Self {
            channel: step.channel.into(),
            delay: Some(prost_types::Duration {
                seconds: step.delay_seconds,
                nanos: 0,
            }),
            template: step.template,
        }
    }
}

/// A checked new campaign.
#[derive(Clone, Debug)]
pub(crate) struct NewCampaign {
    id: CampaignId,
    fields: Fields,
    request_id: Option<Uuid>,
}

impl TryFrom<CreateCampaignRequest> for NewCampaign {
    type Error = Fault;

    fn try_from(request: CreateCampaignRequest) -> Result<Self, Fault> {
        let campaign = request
            .campaign
            .ok_or_else(|| Fault::invalid("campaign", "is required"))?;
        let mut wrong = Violations::new();
        let fields = Fields::check(campaign, &mut wrong);
        let request_id = wrong.optional_uuid("request_id", &request.request_id);
        wrong.into_result()?;
        Ok(Self {
            id: CampaignId::new_v7(),
            fields,
            request_id,
        })
    }
}

/// A row of `campaign.campaigns`.
#[derive(Clone, Debug)]
pub(crate) struct CampaignRow {
    id: Uuid,
    name: String,
    description: String,
    kind: i16,
    steps: Json<Vec<Step>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    stored_bytes: i64,
}

impl CampaignRow {
    /// What the API shows of it.
    pub fn shown(&self) -> Campaign {
        self.clone().into()
    }
}

impl From<CampaignRow> for Campaign {
    fn from(row: CampaignRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            description: row.description,
            r#type: row.kind.into(),
            steps: row.steps.0.into_iter().map(Into::into).collect(),
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

    fn good() -> Campaign {
        Campaign {
            name: "Spring".to_owned(),
            r#type: CampaignType::Drip.into(),
            steps: vec![CampaignStep {
                channel: Channel::Email.into(),
                delay: None,
                template: "Hello\nthere".to_owned(),
            }],
            ..Campaign::default()
        }
    }

    fn broken(change: impl FnOnce(&mut Campaign)) -> Vec<String> {
        let mut campaign = good();
        change(&mut campaign);
        let mut wrong = Violations::new();
        Fields::check(campaign, &mut wrong);
        wrong.list().iter().map(|(field, _)| field.clone()).collect()
    }

    #[test]
    fn each_rule_names_its_field() {
        assert!(broken(|_| ()).is_empty());
        assert_eq!(broken(|campaign| campaign.name.clear()), ["campaign.name"]);
        assert_eq!(broken(|campaign| campaign.name = "x".repeat(201)), ["campaign.name"]);
        assert_eq!(
            broken(|campaign| campaign.description = "\0".to_owned()),
            ["campaign.description"]
        );
        for number in [-1, 0, 4] {
            assert_eq!(broken(|campaign| campaign.r#type = number), ["campaign.type"]);
        }
        assert_eq!(
            broken(|campaign| campaign.steps = vec![campaign.steps[0].clone(); 51]),
            ["campaign.steps"]
        );
        let step = |change: fn(&mut CampaignStep)| broken(|campaign| change(&mut campaign.steps[0]));
        assert_eq!(step(|step| step.channel = 0), ["campaign.steps[0].channel"]);
        assert_eq!(step(|step| step.template.clear()), ["campaign.steps[0].template"]);
        let delay = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        for bad in [delay(-1, 0), delay(LONGEST_DELAY_SECONDS + 1, 0), delay(1, 1)] {
            assert_eq!(
                broken(|campaign| campaign.steps[0].delay = bad),
                ["campaign.steps[0].delay"]
            );
        }
    }
}
