//! The rules of a lead's fields, each stated in the contract and checked here only.
use onekeel_api::lead::{Lead, LeadStatus};
use onekeel_api::{Violations, is_text};
use onekeel_gate::Size;
use phonenumber::country::Id::US;
use phonenumber::{Mode, parse};

const LONGEST_EMAIL: usize = 254;
const LONGEST_PHONE: usize = 64;
const MOST_TAGS: usize = 20;
const LONGEST_TAG: usize = 50;
const HIGHEST_SCORE: i32 = 100;

/// The fields that a caller writes, checked and in the form in which they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub first_name: String,
    pub last_name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub phone_raw: Option<String>,
    pub company: String,
    pub source: String,
    pub status: i16,
    pub score: i32,
    pub tags: Vec<String>,
    pub external_id: Option<String>,
}

impl Fields {
    /// What the lead counts as in its tenant's storage limit.
    pub fn size(&self) -> Size {
        let size = Size::of_row()
            .text(&self.first_name)
            .text(&self.last_name)
            .text(&self.company)
            .text(&self.source);
        size.texts(
            [&self.email, &self.phone, &self.phone_raw, &self.external_id]
                .into_iter()
                .flatten(),
        )
        .texts(&self.tags)
    }

    /// Checks a lead as it came; violations name the fields below `path` (`lead.` or nothing).
    pub fn check(lead: Lead, path: &str, wrong: &mut Violations) -> Self {
        for (field, text, longest) in [
            ("first_name", &lead.first_name, 100),
            ("last_name", &lead.last_name, 100),
            ("company", &lead.company, 200),
            ("source", &lead.source, 100),
            ("external_id", &lead.external_id, 100),
            ("phone_raw", &lead.phone_raw, LONGEST_PHONE),
        ] {
            wrong.text(&format!("{path}{field}"), text, 0..=longest);
        }
        let mut rule =
            |ok: bool, field: &str, description: &str| wrong.check(ok, &format!("{path}{field}"), description);
        let email = lead.email.trim().to_lowercase();
        let shaped = email.len() <= LONGEST_EMAIL && email_address::EmailAddress::is_valid(&email);
        let description = "must be an e-mail address of at most 254 characters, for example ann@example.com";
        rule(
            email.is_empty() || shaped && is_text(&email, LONGEST_EMAIL),
            "email",
            description,
        );
        let tags_fit = lead.tags.iter().all(|tag| !tag.is_empty() && is_text(tag, LONGEST_TAG));
        rule(
            lead.tags.len() <= MOST_TAGS && tags_fit,
            "tags",
            "must be at most 20 of 1 to 50 characters each",
        );
        rule((0..=HIGHEST_SCORE).contains(&lead.score), "score", "must be 0 to 100");
        let status = LeadStatus::try_from(lead.status).ok();
        rule(status.is_some(), "status", "must be a status of the contract");

        let fields = Self {
            email: (!email.is_empty()).then_some(email),
            phone: e164(&lead.phone_raw),
            phone_raw: present(lead.phone_raw),
            external_id: present(lead.external_id),
            first_name: lead.first_name,
            last_name: lead.last_name,
            company: lead.company,
            source: lead.source,
            status: kept_status(status.unwrap_or_default()),
            score: lead.score,
            tags: lead.tags,
        };
        rule(
            fields.can_be_found(),
            "email",
            "one of email, phone_raw and external_id is required",
        );
        fields
    }

    /// Whether the phone could not be read as a number.
    pub fn phone_kept_raw(&self) -> bool {
        self.phone.is_none() && self.phone_raw.is_some()
    }

    fn can_be_found(&self) -> bool {
        self.email.is_some() || self.phone_raw.is_some() || self.external_id.is_some()
    }
}

fn kept_status(status: LeadStatus) -> i16 {
    let status = if status == LeadStatus::Unspecified {
        LeadStatus::New
    } else {
        status
    };
    i16::try_from(i32::from(status)).expect("the contract numbers its statuses from 0 to 5")
}

fn present(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The number in E.164; a national number is read as North American. `None` where it is no possible number.
fn e164(raw: &str) -> Option<String> {
    if raw.is_empty() || !is_text(raw, LONGEST_PHONE) {
        return None;
    }
    let number = parse(Some(US), raw.trim()).ok().filter(phonenumber::is_valid)?;
    Some(number.format().mode(Mode::E164).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Lead {
        Lead {
            first_name: "Ann".to_owned(),
            email: " Ann@Example.COM ".to_owned(),
            phone_raw: "(704)585-7792".to_owned(),
            score: 100,
            ..Lead::default()
        }
    }

    fn broken(change: impl FnOnce(&mut Lead)) -> Vec<String> {
        let mut lead = good();
        change(&mut lead);
        let mut wrong = Violations::new();
        Fields::check(lead, "lead.", &mut wrong);
        wrong.list().iter().map(|(field, _)| field.clone()).collect()
    }

    #[test]
    fn a_good_lead_is_kept_in_its_normal_form() {
        let mut wrong = Violations::new();
        let fields = Fields::check(good(), "lead.", &mut wrong);
        assert!(wrong.list().is_empty());
        assert_eq!(fields.email.as_deref(), Some("ann@example.com"));
        assert_eq!(fields.phone.as_deref(), Some("+17045857792"));
        assert_eq!(fields.phone_raw.as_deref(), Some("(704)585-7792"));
        assert_eq!(fields.status, 1);
    }

    #[test]
    fn each_rule_names_its_field() {
        assert_eq!(broken(|lead| lead.first_name = "x".repeat(101)), ["lead.first_name"]);
        assert_eq!(broken(|lead| lead.company = "a\0b".to_owned()), ["lead.company"]);
        assert_eq!(broken(|lead| lead.email = "ann".to_owned()), ["lead.email"]);
        assert_eq!(
            broken(|lead| lead.email = format!("{}@example.com", "a".repeat(250))),
            ["lead.email"]
        );
        assert_eq!(broken(|lead| lead.score = 101), ["lead.score"]);
        assert_eq!(broken(|lead| lead.score = -1), ["lead.score"]);
        assert_eq!(broken(|lead| lead.status = 99), ["lead.status"]);
        assert_eq!(broken(|lead| lead.tags = vec![String::new()]), ["lead.tags"]);
        assert_eq!(broken(|lead| lead.tags = vec!["a".to_owned(); 21]), ["lead.tags"]);
        let nameless = |lead: &mut Lead| {
            lead.email.clear();
            lead.phone_raw.clear();
        };
        assert_eq!(broken(nameless), ["lead.email"]);
        assert!(
            broken(|lead| lead.first_name = "ä".repeat(100)).is_empty(),
            "characters are counted, not bytes"
        );
    }

    #[test]
    fn phones_are_read_where_they_can_be() {
        for (raw, read) in [
            ("917-584-0243x4606", Some("+19175840243")),
            ("+1-704-585-7792", Some("+17045857792")),
            ("001-704-585-7792", None),
            ("+49 30 901820", Some("+4930901820")),
            ("call me", None),
            ("0", None),
            ("123-456", None),
        ] {
            let number = e164(raw);
            if raw.starts_with("001") {
                assert!(
                    number.is_none() || number.as_deref() == Some("+17045857792"),
                    "{raw}: {number:?}"
                );
            } else {
                assert_eq!(number.as_deref(), read, "{raw}");
            }
        }
    }
}
