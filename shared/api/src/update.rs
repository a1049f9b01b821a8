//! Updates: which resource, which version of it, which fields, and to what (AIP-134).
use prost_types::FieldMask;
use uuid::Uuid;

use crate::campaign::{Agent, Campaign};
use crate::lead::Lead;
use crate::tenant::{Tenant, TenantSettings};
use crate::{Etag, Fault, Mask, Violations};

/// A resource with fields that an update may change.
pub trait Changeable: Sized {
    /// The fields that an update may name.
    const FIELDS: &'static [&'static str];

    /// The resource's id.
    fn id(&self) -> &str;

    /// The version that the caller read.
    fn etag(&self) -> &str;

    /// This resource, with the fields of `new` that `mask` names.
    #[must_use]
    fn laid_under(self, new: Self, mask: &Mask) -> Self;
}

/// A field whose name is a keyword of Rust, by its name in the contract.
const fn plain(name: &str) -> &str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

macro_rules! changeable {
    ($($message:ty { $($field:ident),+ $(,)? })+) => {$(
        impl Changeable for $message {
            const FIELDS: &'static [&'static str] = &[$(plain(stringify!($field))),+];

            fn id(&self) -> &str {
                &self.id
            }

            fn etag(&self) -> &str {
                &self.etag
            }

            fn laid_under(mut self, new: Self, mask: &Mask) -> Self {
                $(if mask.names(plain(stringify!($field))) {
                    self.$field = new.$field;
                })+
                self
            }
        }
    )+};
}

changeable! {
    Tenant { display_name }
    TenantSettings { time_zone, locale, contact_email, custom }
    Lead { first_name, last_name, email, phone_raw, company, source, status, score, tags, external_id }
    Campaign { name, description, r#type, steps }
    Agent {
        name, r#type, system_prompt, temperature, max_tokens, response_delay, retry_attempts, channel_config,
    }
}

/// A checked wish for an update.
#[derive(Clone, Debug)]
pub struct Update<M> {
    /// Which resource; nil where its id may be left out and was.
    pub id: Uuid,
    /// Which version of it.
    pub etag: Etag,
    mask: Mask,
    new: M,
}

impl<M: Changeable> Update<M> {
    /// Reads an update of the resource that the request carries in `field`.
    pub fn read(field: &str, new: Option<M>, mask: Option<FieldMask>) -> Result<Self, Fault> {
        Self::read_with(field, new, mask, Violations::uuid)
    }

    /// As [`Update::read`], where the id may be left out.
    pub fn read_own(field: &str, new: Option<M>, mask: Option<FieldMask>) -> Result<Self, Fault> {
        Self::read_with(field, new, mask, |wrong, field, text| {
            wrong.optional_uuid(field, text).unwrap_or_default()
        })
    }

    fn read_with(
        field: &str,
        new: Option<M>,
        mask: Option<FieldMask>,
        id: fn(&mut Violations, &str, &str) -> Uuid,
    ) -> Result<Self, Fault> {
        let new = new.ok_or_else(|| Fault::invalid(field, "is required"))?;
        let mut wrong = Violations::new();
        let mask = Mask::read(mask, M::FIELDS, &mut wrong);
        let id = id(&mut wrong, &format!("{field}.id"), new.id());
        wrong.into_result()?;
        Ok(Self {
            id,
            etag: Etag::read(new.etag())?,
            mask,
            new,
        })
    }

    /// What is `kept`, with the fields that this update names.
    pub fn over(self, kept: M) -> M {
        kept.laid_under(self.new, &self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_changes_the_fields_that_it_names_and_no_others() {
        let new = Campaign {
            id: Uuid::now_v7().to_string(),
            name: "new".to_owned(),
            description: "new".to_owned(),
            ..Campaign::default()
        };
        let kept = Campaign {
            name: "old".to_owned(),
            description: "old".to_owned(),
            etag: "7".to_owned(),
            ..Campaign::default()
        };
        let paths = vec!["name".to_owned()];
        let update = Update::read("campaign", Some(new), Some(FieldMask { paths })).expect("an update");
        let changed = update.over(kept);
        assert_eq!(
            (&*changed.name, &*changed.description, &*changed.etag),
            ("new", "old", "7")
        );
    }

    #[test]
    fn the_field_that_is_a_keyword_is_named_as_the_contract_names_it() {
        assert!(Campaign::FIELDS.contains(&"type"), "{:?}", Campaign::FIELDS);
    }

    #[test]
    fn what_is_wrong_with_an_update_is_named_at_once() {
        let fault = Update::read("lead", Some(Lead::default()), None).expect_err("neither id nor mask");
        let fields: Vec<_> = fault.violations().iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["update_mask", "lead.id"]);
        let own = Update::read_own("settings", Some(TenantSettings::default()), None);
        assert_eq!(own.expect_err("no mask").violations().len(), 1);
    }
}
