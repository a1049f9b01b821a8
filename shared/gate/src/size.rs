//! How many bytes a row counts as in its tenant's storage limit.
//!
//! One measure for every table, independent of how the database lays rows out: [`ROW`] for the keys, numbers and times of
//! a row, and the length of each text in UTF-8; JSON counts in its compact form. Living rows count, deleted ones do not.
use serde_json::Value;

/// Keys, numbers and times of a row.
const ROW: usize = 128;

/// The size of a row, put together field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(usize);

impl Size {
    /// A row without any text.
    pub fn of_row() -> Self {
        Self(ROW)
    }

    /// With a text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        Self(self.0 + text.len())
    }

    /// With texts that may be there.
    #[must_use]
    pub fn texts<'a>(self, texts: impl IntoIterator<Item = &'a String>) -> Self {
        texts.into_iter().fold(self, |size, text| size.text(text))
    }

    /// With a JSON document.
    #[must_use]
    pub fn json(self, document: &Value) -> Self {
        self.text(&document.to_string())
    }

    /// The bytes, as they are charged.
    pub fn bytes(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_counts_its_texts_in_utf_8_and_its_json_compact() {
        let size = Size::of_row().text("é").texts(&Some("ab".to_owned())).texts(&None);
        assert_eq!(size.json(&json!({"a": [1, 2]})).bytes(), 128 + 2 + 2 + 11);
    }
}
