//! The secret of a key: `okl_`, 48 letters and digits, `_`, and 6 more by which a typo is told from a wrong secret.
//!
//! The prefix is for scanners of leaked secrets. The 48 carry 285 bits of chance, of which the hint shows 24; nobody guesses
//! that, so one round of SHA-256 keeps it as well as any slow hash would. Whoever knows the form can compute the check by
//! itself, so that a refusal for it tells nothing.
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use onekeel_api::Fault;
use uuid::Uuid;

const PREFIX: &str = "okl_";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM: usize = 48;
const CHECK: usize = 6;
/// The prefix and four characters after it.
const HINT: usize = PREFIX.len() + 4;
/// Bytes from here on are drawn again: with them, some characters would come more often than others.
const UNFAIR: u8 = 248;

/// A secret that was just made. Only its maker's answer shows it.
#[derive(Clone)]
pub(super) struct NewSecret {
    pub id: Uuid,
    text: String,
}

impl NewSecret {
    /// A secret that nobody had before.
    pub fn make() -> Result<Self, Fault> {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM + 1 + CHECK);
        text.push_str(PREFIX);
        let mut bytes = [0; 2 * RANDOM];
        while text.len() < PREFIX.len() + RANDOM {
            aws_lc_rs::rand::fill(&mut bytes).map_err(Fault::internal)?;
            let fair = bytes.iter().filter(|byte| **byte < UNFAIR);
            let left = PREFIX.len() + RANDOM - text.len();
            text.extend(fair.take(left).map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
        }
        let check = check_of(&text);
        text.push('_');
        text.push_str(&check);
        Ok(Self {
            id: Uuid::now_v7(),
            text,
        })
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.text)
    }

    /// Its first characters, by which people know it again.
    pub fn hint(&self) -> &str {
        &self.text[..HINT]
    }

    /// The secret itself, for the answer.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSecret({})", self.id)
    }
}

/// The hash of what a caller shows; nothing where it has not the form of a secret.
pub(super) fn hash_of(shown: &str) -> Option<[u8; 32]> {
    let (before, check) = shown.rsplit_once('_')?;
    let random = before.strip_prefix(PREFIX)?;
    let fits = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (fits && check_of(before) == check).then(|| sha256(shown))
}

/// CRC-32 of the text, as six digits to the base of 62.
fn check_of(text: &str) -> String {
    let mut left = crc32fast::hash(text.as_bytes());
    let mut digits = [0; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(left % 62) as usize];
        left /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_secret_has_the_documented_form() {
        let made = NewSecret::make().expect("a secret");
        let (hash, hint) = (made.hash(), made.hint().to_owned());
        assert!(!format!("{made:?}").contains("okl_"));
        let text = made.into_text();
        assert_eq!(text.len(), 4 + 48 + 1 + 6);
        assert!(text.starts_with(&hint) && hint.len() == 8);
        assert_eq!(hash_of(&text), Some(hash));
    }

    #[test]
    fn the_check_is_what_other_programs_compute() {
        // The check value that the standard gives for CRC-32: 0xCBF43926.
        assert_eq!(check_of("123456789"), "3jZRME");
        assert_eq!(check_of(""), "000000");
    }

    #[test]
    fn whatever_is_no_secret_has_no_hash() {
        let good = NewSecret::make().expect("a secret").into_text();
        for place in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(bytes).expect("letters");
            assert_eq!(hash_of(&typo), None, "character {place}");
            assert_eq!(hash_of(&good[..place]), None, "cut at {place}");
        }
        let swapped = format!("{}{}{}", &good[..10], &good[11..12], &good[10..11]) + &good[12..];
        assert!(swapped == good || hash_of(&swapped).is_none());
        for bad in [
            "",
            "_",
            "okl_",
            "okl__",
            &format!("{good} "),
            &format!(" {good}"),
            &good.to_uppercase(),
            "okl_\u{fc}_",
        ] {
            assert_eq!(hash_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_two_are_alike_and_every_character_comes() {
        let made: HashSet<String> = (0..500)
            .map(|_| NewSecret::make().expect("a secret").into_text())
            .collect();
        assert_eq!(made.len(), 500);
        let mut counts = [0; 256];
        for byte in made.iter().flat_map(|text| text[4..52].bytes()) {
            counts[usize::from(byte)] += 1;
        }
        // 24,000 characters: 387 of each, and chance adds or takes a hundred at the very most.
        for byte in ALPHABET {
            let count = counts[usize::from(*byte)];
            assert!((270..=510).contains(&count), "{} came {count} times", char::from(*byte));
        }
    }
}
