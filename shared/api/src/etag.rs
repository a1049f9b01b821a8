//! Etags: the version of what was read, given back with a change so that nobody's change is lost (AIP-154).
use crate::{ErrorReason, Fault};

/// The version that a caller expects; an empty etag expects any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag(Option<i64>);

impl Etag {
    /// Reads the etag of a request. A malformed one was never given out, so it is a wrong one: `ETAG_MISMATCH`.
    pub fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|version| Self(Some(version))).map_err(|_| mismatch())
    }

    /// Fails with `ETAG_MISMATCH` unless `version` is what the caller expects.
    pub fn check(self, version: i64) -> Result<(), Fault> {
        if self.0.is_none_or(|expected| expected == version) {
            return Ok(());
        }
        Err(mismatch())
    }
}

fn mismatch() -> Fault {
    Fault::new(
        ErrorReason::EtagMismatch,
        "it changed since it was read; read it again and repeat the change",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_version_passes() {
        let etag = |text| Etag::read(text).expect("well-formed");
        assert!(etag("").check(7).is_ok());
        assert!(etag("7").check(7).is_ok());
        for fault in [etag("6").check(7), Etag::read("seven").map(|_| ())] {
            assert_eq!(fault.expect_err("a wrong etag").reason(), ErrorReason::EtagMismatch);
        }
    }
}
