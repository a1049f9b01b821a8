//! An identity provider of the tests' own: it publishes a key set, or does whatever else such an address may do.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use onekeel_operator::stack::Authority;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// What the address does.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Answers with a status and a text.
    Text(u16, String),
    /// Leads to another address.
    Redirect(String),
    /// Announces a body of 100 MB and sends it, or sends as much without saying how much it will be.
    Large { announced: bool },
    /// Takes the question and is silent.
    Silent,
    /// Sends a byte now and then.
    Slow,
    /// Ends in the middle of the set.
    Cut(String),
    /// Is no HTTP at all.
    Noise,
}

pub struct Provider {
    pub url: String,
    answer: watch::Sender<Answer>,
    asked: Arc<AtomicUsize>,
    _served: JoinSet<()>,
}

impl Provider {
    /// By plain HTTP on the loopback interface.
    pub async fn start(answer: Answer) -> anyhow::Result<Self> {
        Self::serve(answer, None).await
    }

    /// By TLS with a certificate of this authority.
    pub async fn start_secure(answer: Answer, authority: &Authority) -> anyhow::Result<Self> {
        let pair = authority.issue("identity provider")?;
        let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Self::serve(answer, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(answer: Answer, tls: Option<TlsAcceptor>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/keys", listener.local_addr()?);
        let (sender, answers) = watch::channel(answer);
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let mut served = JoinSet::new();
        served.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while open.try_join_next().is_some() {}
                let (answers, counter, tls) = (answers.clone(), counter.clone(), tls.clone());
                open.spawn(async move {
                    let work = async {
                        match tls {
                            None => reply(stream, &answers, &counter).await,
                            Some(tls) => reply(tls.accept(stream).await?, &answers, &counter).await,
                        }
                    };
                    // A caller that hangs up is part of most tests.
                    let _ended = tokio::time::timeout(LONGEST_ANSWER, work).await;
                });
            }
        });
        Ok(Self {
            url,
            answer: sender,
            asked,
            _served: served,
        })
    }

    /// Does something else from now on.
    pub fn set(&self, answer: Answer) {
        self.answer.send_replace(answer);
    }

    pub fn publish(&self, set: String) {
        self.set(Answer::Text(200, set));
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn reply<S>(mut stream: S, answers: &watch::Receiver<Answer>, asked: &AtomicUsize) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        head.push(stream.read_u8().await?);
    }
    asked.fetch_add(1, Ordering::Relaxed);
    let answer = answers.borrow().clone();
    match answer {
        Answer::Text(status, text) => {
            let length = text.len();
            let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(text.as_bytes()).await?;
        }
        Answer::Redirect(to) => {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        }
        Answer::Large { announced } => {
            let length = if announced { "content-length: 104857600\r\n" } else { "" };
            let head = format!("HTTP/1.1 200 OK\r\n{length}connection: close\r\n\r\n{{\"keys\":[");
            stream.write_all(head.as_bytes()).await?;
            let blanks = vec![b' '; 65_536];
            for _ in 0..1600 {
                stream.write_all(&blanks).await?;
            }
        }
        Answer::Silent => std::future::pending().await,
        Answer::Slow => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
                .await?;
            let mut pace = tokio::time::interval(Duration::from_millis(200));
            loop {
                pace.tick().await;
                stream.write_all(b" ").await?;
                stream.flush().await?;
            }
        }
        Answer::Cut(text) => {
            let length = text.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&text.as_bytes()[..length / 2]).await?;
        }
        Answer::Noise => stream.write_all(&[0xff; 512]).await?,
    }
    Ok(stream.shutdown().await?)
}
