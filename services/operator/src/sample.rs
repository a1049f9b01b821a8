//! A sample of leads as sales teams keep them: 10,000 that are good, with messy phones, and traps between them.
use std::path::Path;

const GOOD: usize = 10_000;
/// One row in so many is followed by a copy of an earlier one, or by one with a bad e-mail address.
const DUPLICATE_EVERY: usize = 250;
const BAD_EVERY: usize = 400;
const FIRST: [&str; 12] = [
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Eun-ji",
    "Farah",
    "Grace",
    "Hồng",
    "Imani",
    "José",
    "Katarzyna",
    "Leilani",
];
const LAST: [&str; 10] = [
    "O'Neil",
    "Łukasik",
    "Meyer-Schmidt",
    "Nakamura",
    "Okafor",
    "Peña",
    "Quinn",
    "Rossi",
    "Şahin",
    "Turner",
];
const SOURCE: [&str; 5] = ["Cold Call", "Trade Show", "Referral", "LinkedIn Outreach", "Web Form"];
const BAD: [&str; 5] = [
    "no-at-sign.example.com",
    "two@@example.com",
    "@example.com",
    "blank in@example.com",
    "a@",
];

/// Writes the sample with a header; the same bytes each time.
pub fn write(path: &Path) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record([
        "Index",
        "First Name",
        "Last Name",
        "Company",
        "Phone 1",
        "Email 1",
        "Source",
        "Notes",
    ])?;
    let mut index = 0;
    for number in 0..GOOD {
        write_row(&mut writer, &mut index, number, &email(number))?;
        if number % DUPLICATE_EVERY == DUPLICATE_EVERY - 1 {
            // In capitals and with blanks around: the same address all the same.
            let again = format!(" {} ", email(number / 2).to_uppercase());
            write_row(&mut writer, &mut index, number, &again)?;
        }
        if number % BAD_EVERY == BAD_EVERY - 1 {
            write_row(&mut writer, &mut index, number, BAD[number / BAD_EVERY % BAD.len()])?;
        }
    }
    Ok(writer.flush()?)
}

fn email(number: usize) -> String {
    format!("lead{number:05}@company{:03}.example", number % 997)
}

fn write_row(
    writer: &mut csv::Writer<std::fs::File>,
    index: &mut usize,
    number: usize,
    email: &str,
) -> anyhow::Result<()> {
    *index += 1;
    let notes = "says \"call me, please\", then hangs up";
    let row = [
        &index.to_string(),
        FIRST[number % FIRST.len()],
        LAST[number / 7 % LAST.len()],
        &format!("Company {}, Inc.", number % 997),
        &phone(number),
        email,
        SOURCE[number % SOURCE.len()],
        notes,
    ];
    Ok(writer.write_record(row)?)
}

/// The same North American numbers in the ways in which people write them, and some that are none.
fn phone(number: usize) -> String {
    let (line, extension) = (number % 10_000, number % 89 + 10);
    let (area, office) = (["917", "704", "415", "312"][number % 4], 200 + number / 13 % 700);
    match number % 8 {
        0 => format!("{area}-{office}-{line:04}"),
        1 => format!("({area}){office}-{line:04}"),
        2 => format!("+1-{area}-{office}-{line:04}x{extension}"),
        3 => format!("{area}.{office}.{line:04}"),
        4 => format!("001-{area}-{office}-{line:04}"),
        5 => format!("{area}{office}{line:04}"),
        6 => format!("{area}-{office}-{line:04}x{extension}"),
        _ => format!("{:03}-{office}-{line:04}", number % 200),
    }
}
