//! Reads leads from a CSV file whose header names the columns.
use std::path::Path;

use anyhow::Context;
use onekeel_api::lead::Lead;

/// Column names that are understood without being told, in lower case and without anything but letters and digits.
const KNOWN: [(&str, Field); 12] = [
    ("firstname", Field::FirstName),
    ("lastname", Field::LastName),
    ("email", Field::Email),
    ("email1", Field::Email),
    ("phone", Field::Phone),
    ("phone1", Field::Phone),
    ("phoneraw", Field::Phone),
    ("company", Field::Company),
    ("source", Field::Source),
    ("accountid", Field::ExternalId),
    ("externalid", Field::ExternalId),
    ("customerid", Field::ExternalId),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    FirstName,
    LastName,
    Email,
    Phone,
    Company,
    Source,
    ExternalId,
}

/// Leads of a file, and what was made of its columns.
pub struct Spreadsheet {
    /// The rows in order.
    pub leads: Vec<Lead>,
    /// Columns that were taken over, as `Column → field`.
    pub mapped: Vec<String>,
    /// Columns that were left out.
    pub ignored: Vec<String>,
}

/// Reads a CSV file. `mapping` adds to the known columns, as `Column=field`; the first column of a field counts.
pub fn read(path: &Path, mapping: &[String]) -> anyhow::Result<Spreadsheet> {
    let shown = path.display();
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {shown}"))?;
    let header = reader
        .headers()
        .with_context(|| format!("{shown} has no header"))?
        .clone();
    let told = mapping
        .iter()
        .map(|pair| parse_pair(pair))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut columns: Vec<(usize, Field)> = Vec::new();
    let (mut mapped, mut ignored) = (Vec::new(), Vec::new());
    for (place, name) in header.iter().enumerate() {
        let name = name.trim_start_matches('\u{feff}');
        let wanted = told.iter().find(|(column, _)| *column == name).map(|(_, field)| *field);
        let field = wanted
            .or_else(|| field_of(name))
            .filter(|field| columns.iter().all(|(_, taken)| taken != field));
        match field {
            Some(field) => {
                columns.push((place, field));
                mapped.push(format!("{name} → {field:?}"));
            }
            None => ignored.push(name.to_owned()),
        }
    }
    anyhow::ensure!(
        !columns.is_empty(),
        "{shown}: no column is known; name them with --map 'Column=email'"
    );
    let mut leads = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.with_context(|| format!("{shown}, row {}", row + 2))?;
        let mut lead = Lead::default();
        for (place, field) in &columns {
            set(&mut lead, *field, record.get(*place).unwrap_or_default().trim());
        }
        leads.push(lead);
    }
    Ok(Spreadsheet { leads, mapped, ignored })
}

fn parse_pair(pair: &str) -> anyhow::Result<(&str, Field)> {
    let (column, name) = pair
        .split_once('=')
        .with_context(|| format!("--map {pair}: write Column=field"))?;
    let field = field_of(name).with_context(|| {
        format!("--map {pair}: {name} is none of first_name, last_name, email, phone, company, source, external_id")
    })?;
    Ok((column, field))
}

fn field_of(name: &str) -> Option<Field> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_lowercase();
    KNOWN.iter().find(|(known, _)| *known == plain).map(|(_, field)| *field)
}

fn set(lead: &mut Lead, field: Field, value: &str) {
    let place = match field {
        Field::FirstName => &mut lead.first_name,
        Field::LastName => &mut lead.last_name,
        Field::Email => &mut lead.email,
        Field::Phone => &mut lead.phone_raw,
        Field::Company => &mut lead.company,
        Field::Source => &mut lead.source,
        Field::ExternalId => &mut lead.external_id,
    };
    value.clone_into(place);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_file_is_leads_or_an_error(
            bytes in prop_oneof![
                vec(any::<u8>(), 0..400),
                "(Email|First Name|x|\"a\nb\")(,(Phone 1|Company|\"))?\n([^\u{0}]{0,30}(,|\n)){0,8}".prop_map(String::into_bytes),
            ],
            mapping in vec(".{0,20}|x=email|x=nothing", 0..3)
        ) {
            let file = tempfile::NamedTempFile::new()?;
            std::fs::write(file.path(), &bytes)?;
            if let Ok(sheet) = read(file.path(), &mapping) {
                prop_assert!(!sheet.mapped.is_empty());
                let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
                prop_assert!(sheet.leads.len() <= lines, "{} leads of {lines} lines", sheet.leads.len());
            }
        }
    }
}
