//! Update masks: which fields of a resource change (AIP-134, AIP-161).
use prost_types::FieldMask;

use crate::Violations;

/// Names every field that can be changed.
const ALL: &str = "*";

/// The fields that an update names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<&'static str>);

impl Mask {
    /// Reads `update_mask`; an absent one, and a name that is none of `fields`, is a violation.
    pub fn read(mask: Option<FieldMask>, fields: &'static [&'static str], wrong: &mut Violations) -> Self {
        let paths = mask.map(|mask| mask.paths).unwrap_or_default();
        wrong.check(
            !paths.is_empty(),
            "update_mask",
            format!("is required; name the fields to change, for example {}", fields[0]),
        );
        if paths.iter().any(|path| path == ALL) {
            wrong.check(paths.len() == 1, "update_mask", "`*` stands alone");
            return Self(fields.to_vec());
        }
        let mut named = Vec::with_capacity(paths.len().min(fields.len()));
        for path in &paths {
            match fields.iter().find(|field| *field == path) {
                Some(field) => named.push(*field),
                None => wrong.add(
                    "update_mask",
                    format!("{path:?} is no field that can be changed; {}", fields.join(", ")),
                ),
            }
        }
        Self(named)
    }

    /// Whether the update names `field`.
    pub fn names(&self, field: &str) -> bool {
        self.0.contains(&field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[&str]) -> (Mask, usize) {
        let mut wrong = Violations::new();
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let mask = Mask::read(Some(FieldMask { paths }), &["name", "score"], &mut wrong);
        (mask, wrong.list().len())
    }

    #[test]
    fn a_mask_names_known_fields_or_all_of_them() {
        assert_eq!(read(&["score"]), (Mask(vec!["score"]), 0));
        assert_eq!(read(&["*"]), (Mask(vec!["name", "score"]), 0));
        for bad in [&[][..], &["id"], &["*", "name"], &["Name"]] {
            assert_eq!(read(bad).1, 1, "{bad:?}");
        }
    }
}
