//! Every reason for which a call can fail, as the contract's own comments tell it.
use std::fmt::Write;

use anyhow::Context;
use clap::Command;
use onekeel_api::{ErrorReason, FILE_DESCRIPTOR_SET, Fault};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

const FILE: &str = "onekeel/common/v1/error.proto";
const PREFIX: &str = "ERROR_REASON_";
/// Numbers of fields in `google/protobuf/descriptor.proto`: a file's enums, and an enum's values.
const ENUMS: i32 = 5;
const VALUES: i32 = 2;

const HEAD: &str = "# Errors

Every call that fails is answered with a gRPC code, a sentence for people, and details for programs:

- `google.rpc.ErrorInfo` with a `reason` from this table, the domain `onekeel`, and facts in its `metadata`. Switch on the
  reason, never on the sentence.
- `google.rpc.RequestInfo` with the trace id of the call: it finds the cause in the logs.
- where it helps, once each: `BadRequest` (every field that is wrong, and how to mend it), `QuotaFailure`,
  `PreconditionFailure`, `ResourceInfo`, `RetryInfo` (when a retry makes sense).

Nothing of the inside (SQL, paths, other tenants' data) is ever in an answer. An id of another tenant gets the same
`NOT_FOUND` as an id that never was, to the last byte but for the trace id.

Made from the contract by `cargo onekeel docs`.

| reason | gRPC code | when | what to do |
|---|---|---|---|
";

pub(super) fn render(_onekeel: &Command) -> anyhow::Result<String> {
    let contract = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
    let file = contract.file.into_iter().find(|file| file.name() == FILE);
    let file = file.with_context(|| format!("the contract has no {FILE}"))?;
    let mut page = HEAD.to_owned();
    for (place, value) in file.enum_type[0].value.iter().enumerate().skip(1) {
        let name = value.name();
        let reason = ErrorReason::from_str_name(name).with_context(|| format!("{name} is unknown"))?;
        let comment = comment(&file, &[ENUMS, 0, VALUES, i32::try_from(place)?]);
        let (when, what) = comment
            .split_once("Do: ")
            .with_context(|| format!("the comment on {name} does not say what to do"))?;
        let code = Fault::new(reason, "").code();
        let name = name.trim_start_matches(PREFIX);
        let row = format!(
            "| `{name}` | `{code:?}` | {} | {} |",
            plain(when),
            capital(&plain(what))
        );
        writeln!(page, "{row}")?;
    }
    Ok(page)
}

/// The comment before an element, on one line.
fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let locations = file.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
    let found = locations.iter().find(|location| location.path == path);
    let words = found.map_or("", |location| location.leading_comments());
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn plain(text: &str) -> String {
    text.trim().trim_end_matches('.').replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
