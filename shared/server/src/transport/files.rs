//! Files that change while the server runs, as secrets of Kubernetes do, and what was made of them last.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// No certificate or bundle is larger.
const LARGEST_FILE: u64 = 1 << 20;

/// What the files said last; it is always whole.
pub(crate) type Watched<T> = watch::Receiver<Arc<T>>;

/// Something that is good until a certain time.
pub(crate) trait Dated {
    fn expires(&self) -> SystemTime;
}

/// Files that belong together, and what is made of their contents.
pub(crate) struct Files<T> {
    /// Label in metrics and logs.
    pub of: &'static str,
    /// Name of the setting, and the path.
    pub paths: Vec<(&'static str, PathBuf)>,
    /// Makes the value; its errors name the setting.
    pub parse: fn(&[Vec<u8>]) -> anyhow::Result<T>,
}

impl<T: Dated + Send + Sync + 'static> Files<T> {
    /// The value at present, which must be good; from then on the files are looked at until nobody holds the value.
    pub async fn follow(self, every: Duration) -> anyhow::Result<Watched<T>> {
        let contents = self.read().await?;
        let value = Arc::new((self.parse)(&contents)?);
        let (sender, receiver) = watch::channel(value);
        tokio::spawn(self.keep_looking(contents, sender, every));
        Ok(receiver)
    }

    async fn keep_looking(self, mut taken: Vec<Vec<u8>>, sender: watch::Sender<Arc<T>>, every: Duration) {
        let mut seen = taken.clone();
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(every) => {}
            }
            match self.look(&taken, &mut seen).await {
                Ok(None) => complaint.clear(),
                Ok(Some(value)) => {
                    taken.clone_from(&seen);
                    complaint.clear();
                    sender.send_replace(Arc::new(value));
                    metrics::counter!("onekeel_tls_reloads_total", "of" => self.of).increment(1);
                    tracing::info!(tls.of = self.of, "new TLS files are in use");
                }
                Err(error) => {
                    // Grows as long as the files are broken, so that an alarm stays; the log says it once.
                    metrics::counter!("onekeel_tls_reload_failures_total", "of" => self.of).increment(1);
                    let said = format!("{error:#}");
                    if said != complaint {
                        tracing::error!(tls.of = self.of, error = %said, "new TLS files are refused; the old ones stay in use");
                        complaint = said;
                    }
                }
            }
            self.report_expiry(&sender.borrow());
        }
    }

    /// The new value, when there is one. A file that is written in pieces, or a pair whose key comes later, looks
    /// broken for a moment or, worse, whole: so a change counts when two looks see the same.
    async fn look(&self, taken: &[Vec<u8>], seen: &mut Vec<Vec<u8>>) -> anyhow::Result<Option<T>> {
        let contents = self.read().await?;
        let settled = contents == *seen;
        *seen = contents;
        if !settled || *seen == taken {
            return Ok(None);
        }
        (self.parse)(seen).map(Some)
    }

    async fn read(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut contents = Vec::new();
        for (setting, path) in &self.paths {
            let read = read_bounded(path).await;
            contents.push(read.with_context(|| format!("{setting}: cannot read {}", path.display()))?);
        }
        Ok(contents)
    }

    fn report_expiry(&self, value: &T) {
        let left = value.expires().duration_since(SystemTime::now());
        let left = left.map_or_else(|past| -past.duration().as_secs_f64(), |left| left.as_secs_f64());
        metrics::gauge!("onekeel_tls_certificate_expiry_seconds", "of" => self.of).set(left);
    }
}

async fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut contents).await?;
    if contents.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("the file is larger than 1 MiB"));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's contents as they are; good for ever.
    struct Text(String);

    impl Dated for Text {
        fn expires(&self) -> SystemTime {
            SystemTime::now() + Duration::from_secs(3600)
        }
    }

    fn parse(contents: &[Vec<u8>]) -> anyhow::Result<Text> {
        let text = String::from_utf8(contents.concat())?;
        anyhow::ensure!(!text.contains("broken"), "the file is broken");
        Ok(Text(text))
    }

    #[tokio::test]
    async fn what_is_still_being_written_is_not_taken_and_what_is_broken_never() {
        let every = Duration::from_millis(60);
        let path = std::env::temp_dir().join(format!("onekeel-files-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, "first").unwrap();
        let files = Files {
            of: "certificate",
            paths: vec![("TLS_CERT_FILE", path.clone())],
            parse,
        };
        let mut watched = files.follow(every).await.unwrap();
        // Each look sees other contents than the one before, so none of them counts.
        let mut pieces = tokio::time::interval(every / 6);
        for piece in 0..40 {
            pieces.tick().await;
            std::fs::write(&path, format!("piece {piece}")).unwrap();
            assert_eq!(watched.borrow().0, "first");
        }
        for (contents, taken) in [("broken", None), ("last", Some("last"))] {
            std::fs::write(&path, contents).unwrap();
            let changed = tokio::time::timeout(every * 10, watched.changed()).await;
            assert_eq!(changed.is_ok(), taken.is_some(), "{contents}");
            assert_eq!(watched.borrow_and_update().0, taken.unwrap_or("first"));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_missing_or_too_large_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("onekeel-large-{}", uuid::Uuid::new_v4()));
        let files = || Files {
            of: "authority",
            paths: vec![("TLS_CA_FILE", path.clone())],
            parse,
        };
        let said = async || format!("{:#}", files().follow(Duration::from_secs(1)).await.err().unwrap());
        assert!(said().await.contains("TLS_CA_FILE: cannot read"));
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(said().await.contains("larger than 1 MiB"));
        std::fs::remove_file(&path).unwrap();
    }
}
