//! `onekeel prepare`
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use clap::Args;
use onekeel_operator::private::Backing;
use onekeel_operator::stack::Database;

use super::build::cargo;

const COMMITTED: &str = ".sqlx";
/// Crates that hold SQL; their queries are only looked at when they are compiled anew.
const WITH_SQL: [&str; 6] = [
    "shared/store",
    "shared/gate",
    "services/quota",
    "services/tenant",
    "services/lead",
    "services/campaign",
];

/// Checks every query against a freshly migrated database and writes `.sqlx`, which builds without a database read.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo onekeel prepare
  cargo onekeel prepare --check")]
pub struct Prepare {
    /// Changes nothing; fails when `.sqlx` is not what the queries and the schema say.
    #[arg(long)]
    check: bool,
}

impl Prepare {
    pub async fn run(self) -> anyhow::Result<()> {
        let backing = Backing::start().await?;
        let database = Database::create(&backing.database_url).await?;
        let fresh = tempfile::tempdir()?;
        let folder = fresh
            .path()
            .to_str()
            .context("the temporary folder's name is no text")?;
        for name in WITH_SQL {
            let root = Path::new(name).join("src/lib.rs");
            let file = std::fs::File::options().append(true).open(&root);
            let file =
                file.with_context(|| format!("cannot open {}; run this in the project's root", root.display()))?;
            file.set_modified(SystemTime::now())?;
        }
        let environment = [
            ("DATABASE_URL", database.admin_url.as_str()),
            ("SQLX_OFFLINE", "false"),
            ("SQLX_OFFLINE_DIR", folder),
        ];
        let checked = cargo(&["check", "--quiet", "--workspace", "--all-targets"], &environment).await;
        database.remove().await?;
        checked?;
        let (new, old) = (read(fresh.path())?, read(Path::new(COMMITTED))?);
        if new == old {
            println!("{COMMITTED} is fresh: {} queries", new.len());
            return Ok(());
        }
        anyhow::ensure!(
            !self.check,
            "{COMMITTED} is stale; run `cargo onekeel prepare` and commit it"
        );
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            std::fs::remove_file(Path::new(COMMITTED).join(name))?;
        }
        for (name, text) in &new {
            std::fs::write(Path::new(COMMITTED).join(name), text)?;
        }
        println!("{COMMITTED} written: {} queries", new.len());
        Ok(())
    }
}

fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut queries = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            queries.insert(name, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(queries)
}
