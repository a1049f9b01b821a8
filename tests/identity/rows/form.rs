//! Texts that are no token, or not quite the one that was signed.
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

use super::{Material, Rows};
use crate::forge::encoded;

pub fn add(of: &Material, rows: &mut Rows) -> anyhow::Result<()> {
    let good = of.rsa.token(of.rsa.header(Some("rsa")), of.claims())?;
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else {
        anyhow::bail!("a token has three parts");
    };
    for (name, token) in [
        ("nothing", String::new()),
        ("one part", "token".to_owned()),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{good}.{signature}")),
        (
            "five parts, as an encrypted token",
            format!("{good}.{signature}.{body}"),
        ),
        ("a dot before", format!(".{good}")),
        ("a dot behind", format!("{good}.")),
        ("dots only", "..".to_owned()),
        ("no body", format!("{head}..{signature}")),
        ("no signature", format!("{head}.{body}.")),
        ("a head that is no base64url", format!("{{}}.{body}.{signature}")),
        ("a padded head", format!("{head}==.{body}.{signature}")),
        ("a padded signature", format!("{head}.{body}.{signature}==")),
        (
            "a signature in another alphabet",
            format!("{head}.{body}.+/{}", &signature[2..]),
        ),
        (
            "a blank in the signature",
            format!("{head}.{body}.{} {}", &signature[..9], &signature[9..]),
        ),
        ("two tokens", format!("{good}, {good}")),
        ("the scheme twice", format!("Bearer {good}")),
    ] {
        rows.add("form", name, token);
    }
    rows.add("header", "no head", format!(".{body}.{signature}"));
    rows.add("size", "longer than 8 KiB", "x".repeat(8193));
    rows.add(
        "size",
        "a good token with a tail of 10 KiB",
        format!("{good}{}", "A".repeat(10_240)),
    );
    rows.add("form", "bytes that are no text", vec![0xff; 64]);
    rows.add("form", "letters of another script", "токен.токен.токен");
    altered(rows, head, body, signature)?;
    let padded = URL_SAFE.encode(of.claims().to_string() + " ");
    let message = format!("{head}.{padded}=");
    let signed = encoded(of.rsa.sign(message.as_bytes())?);
    rows.add(
        "form",
        "a padded body, signed as it stands",
        format!("{message}.{signed}"),
    );
    rows.add("header", "a head that is no JSON", of.rsa.token("alg", of.claims())?);
    rows.add(
        "header",
        "a head that is a list",
        of.rsa.token(r#"["RS256","JWT","rsa"]"#, of.claims())?,
    );
    rows.add(
        "header",
        "a head that is a text",
        of.rsa.token(r#""RS256""#, of.claims())?,
    );
    Ok(())
}

/// Every part of a good token, a little changed or shortened.
fn altered(rows: &mut Rows, head: &str, body: &str, signature: &str) -> anyhow::Result<()> {
    let flipped = |text: &str, place: usize| -> anyhow::Result<String> {
        let mut bytes = text.as_bytes().to_vec();
        let byte = bytes.get_mut(place).context("a byte")?;
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        Ok(String::from_utf8(bytes)?)
    };
    for place in [0, 1, signature.len() / 2, signature.len() - 3] {
        let other = flipped(signature, place)?;
        rows.add(
            "signature",
            format!("the signature changed at {place}"),
            format!("{head}.{body}.{other}"),
        );
    }
    for (name, cut) in [
        ("its last byte", signature.len() - 2),
        ("half", signature.len() / 2 / 4 * 4),
    ] {
        let cut = &signature[..cut];
        rows.add(
            "signature",
            format!("a signature without {name}"),
            format!("{head}.{body}.{cut}"),
        );
    }
    rows.add(
        "signature",
        "a signature with more",
        format!("{head}.{body}.{}AAAA", &signature[..signature.len() - 2]),
    );
    let cut = &body[..body.len() / 2 / 4 * 4];
    rows.add("signature", "half a body", format!("{head}.{cut}.{signature}"));
    rows.add(
        "signature",
        "a changed body",
        format!("{head}.{}.{signature}", flipped(body, body.len() / 2)?),
    );
    // 256 bytes leave four bits of the last letter unused: they must be zero.
    let last = signature.chars().last().context("a letter")?;
    let twin = (('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']))
        .skip_while(|letter| *letter != last)
        .nth(1)
        .context("a letter after it")?;
    let twin = format!("{}{twin}", &signature[..signature.len() - 1]);
    rows.add(
        "form",
        "the same signature in other letters",
        format!("{head}.{body}.{twin}"),
    );
    Ok(())
}
