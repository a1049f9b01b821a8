//! Why a token is bad: for our metric only. The caller learns nothing of it.
use jsonwebtoken::errors::{Error, ErrorKind};
use onekeel_api::Fault;

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// None at all.
    Missing,
    /// Too long.
    Size,
    /// Not three parts of base64url, or not JSON.
    Form,
    /// A header that asks for what we do not do.
    Header,
    /// An algorithm that no key of ours has.
    Algorithm,
    /// No key may have signed it.
    Key,
    Signature,
    /// Expired, not yet valid, or good for too long.
    Time,
    /// Another issuer or audience, or none.
    Audience,
    /// Claims that say too little, too much, or what the key may not sign.
    Claims,
}

impl Refusal {
    /// Label in the metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Form => "form",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Audience => "audience",
            Self::Claims => "claims",
        }
    }
}

/// Counts a refusal; whoever is refused is told what everybody is told.
pub(crate) fn refused(why: Refusal) -> Fault {
    metrics::counter!("onekeel_token_refusals_total", "why" => why.name()).increment(1);
    Fault::unauthenticated()
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(name) if name != "exp" => Self::Audience,
            ErrorKind::ExpiredSignature
            | ErrorKind::ImmatureSignature
            | ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_) => Self::Time,
            ErrorKind::Base64(_) => Self::Form,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            _ => Self::Claims,
        }
    }
}
