//! What callers ask of the peer, each answer compared with what it must be.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use serde_json::Value;
use tokio::sync::Mutex;

use super::http::{Asked, Connection};
use crate::load::{Dice, Job};
use crate::world::{Bearer, Sizes, World, lead_id, tenant_of};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A new lead.
    Create,
    /// A lead by its id.
    Get,
    /// The newest fifty.
    List,
}

/// Callers of the peer; connections wait here while nobody uses them.
pub struct Asks {
    what: What,
    address: String,
    tokens: Arc<[Bearer]>,
    sizes: Sizes,
    idle: Mutex<Vec<Connection>>,
}

impl Asks {
    /// Callers of the peer at `host:port`.
    pub fn new(world: &World, address: &str, what: What) -> Self {
        Self {
            what,
            address: address.to_owned(),
            tokens: world.tokens.clone(),
            sizes: world.sizes,
            idle: Mutex::default(),
        }
    }

    /// One question of a tenant by its number.
    pub async fn ask(&self, tenant: u32, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, Value)> {
        let idle = self.idle.lock().await.pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.address).await?,
        };
        let authorization = self.tokens[tenant as usize].to_str()?;
        let answer = connection
            .ask(Asked {
                method,
                path,
                authorization,
                body,
            })
            .await?;
        self.idle.lock().await.push(connection);
        Ok(answer)
    }
}

/// A new lead as JSON, and its address.
pub fn new_lead() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let email = format!("peer{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed));
    let lead = serde_json::json!({
        "first_name": "Ann", "last_name": "Example", "email": email, "phone": "+17045857792", "company": "Example, Inc.",
        "source": "web", "score": 10, "tags": ["bench"],
    });
    (lead.to_string(), email)
}

impl Job for Asks {
    async fn call(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        let number = self.sizes.any_lead(dice, u32::MAX);
        let tenant = tenant_of(number, self.sizes);
        match self.what {
            What::Create => {
                let (lead, email) = new_lead();
                let (status, answer) = self.ask(tenant, "POST", "/leads", &lead).await?;
                ensure!(status == 201 && answer["email"] == email, "{status}: {answer}");
            }
            What::Get => {
                let id = lead_id(number).to_string();
                let (status, answer) = self.ask(tenant, "GET", &format!("/leads/{id}"), "").await?;
                ensure!(status == 200 && answer["id"] == id, "{status}: {answer}");
            }
            What::List => {
                let (status, answer) = self.ask(tenant, "GET", "/leads", "").await?;
                let count = answer["leads"].as_array().map(Vec::len);
                ensure!(status == 200 && count == Some(50), "{status}: {count:?} leads");
            }
        }
        Ok(1)
    }
}
