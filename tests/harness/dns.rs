//! A DNS server with the TXT records that a test gives it: UDP and the real wire format.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype, Ttl};
use domain::rdata::Txt;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const LARGEST_QUESTION: usize = 1500;

type Records = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// A running server; dropped, it ends.
pub struct Dns {
    /// Where it listens.
    pub address: SocketAddr,
    records: Records,
    task: JoinHandle<()>,
}

impl Dns {
    /// Starts a server without records.
    pub async fn start() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let (address, records) = (socket.local_addr()?, Records::default());
        let known = records.clone();
        let task = tokio::spawn(async move {
            let mut question = [0; LARGEST_QUESTION];
            while let Ok((length, asker)) = socket.recv_from(&mut question).await {
                if let Ok(Some(answer)) = answer(&question[..length], &known) {
                    let _ = socket.send_to(&answer, asker).await;
                }
            }
        });
        Ok(Self { address, records, task })
    }

    /// Puts these texts at a name; `fails` in their place has the server fail.
    pub fn put(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(name.to_owned(), texts);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a question; nothing to what `silent` stands at.
fn answer(question: &[u8], records: &Records) -> anyhow::Result<Option<Vec<u8>>> {
    let question = Message::from_octets(question)?;
    let asked = question.sole_question()?;
    let name = asked.qname().to_string().to_ascii_lowercase();
    let records = records.lock().unwrap_or_else(PoisonError::into_inner);
    let texts = records.get(name.trim_end_matches('.'));
    let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
    let rcode = match texts[..] {
        ["silent"] => return Ok(None),
        ["fails"] => Rcode::SERVFAIL,
        [] => Rcode::NXDOMAIN,
        _ => Rcode::NOERROR,
    };
    let mut answer = MessageBuilder::new_vec().start_answer(&question, rcode)?;
    if rcode == Rcode::NOERROR && asked.qtype() == Rtype::TXT {
        for text in texts {
            let text = Txt::<Vec<u8>>::build_from_slice(text.as_bytes())
                .ok()
                .context("a short text")?;
            answer.push((asked.qname(), Ttl::from_secs(1), text))?;
        }
    }
    Ok(Some(answer.finish()))
}
