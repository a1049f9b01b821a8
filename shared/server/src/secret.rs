//! Secrets: read from the environment or from a file, never shown.
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};

/// A secret value. Neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The value itself; never print it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self(value.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A secret as it was configured: its value, or the file that holds it.
#[derive(Clone, Debug)]
pub struct SecretSource<'a> {
    /// Name of the environment variable; `<name>_FILE` names the file.
    pub name: &'a str,
    /// The value.
    pub value: Option<&'a Secret>,
    /// The file.
    pub file: Option<&'a PathBuf>,
}

impl SecretSource<'_> {
    /// The secret, or what to set.
    pub fn required(&self) -> anyhow::Result<Secret> {
        let name = self.name;
        self.optional()?
            .with_context(|| format!("{name} is missing: set it, or {name}_FILE to a file that holds it"))
    }

    /// The secret if one is set.
    pub fn optional(&self) -> anyhow::Result<Option<Secret>> {
        match (self.value, self.file) {
            (Some(_), Some(_)) => bail!("{0} and {0}_FILE are both set; set one of them", self.name),
            (Some(value), None) if value.expose().is_empty() => bail!("{} is empty", self.name),
            (Some(value), None) => Ok(Some(value.clone())),
            (None, Some(file)) => read(self.name, file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn read(name: &str, file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{name}_FILE: cannot read {}", file.display()))?;
    // Editors and `echo` end files with a line break that is no part of the secret.
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("{name}_FILE: {} is empty", file.display());
    }
    Ok(Secret(value.to_owned()))
}
