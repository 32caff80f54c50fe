//! A bearer token in a file that is written anew from time to time, as every pod has one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use http::{HeaderValue, Request, header::AUTHORIZATION};
use kube::{client::Body, config::AuthInfo};

/// How long a token is used before its file is read again: client-go's minute, less its leeway.
const FRESH: Duration = Duration::from_secs(50);

/// Puts the file's token on every call. kube would do so with the newline at its end, which no header can hold.
#[derive(Clone)]
pub(super) struct TokenFile(Arc<Mutex<Cache>>);

struct Cache {
    path: PathBuf,
    header: HeaderValue,
    read: Instant,
}

impl TokenFile {
    /// Takes the file out of `user`, unless there is something that comes before it.
    ///
    /// # Errors
    /// The file can't be read, or holds no token.
    pub(super) fn take_from(user: &mut AuthInfo) -> Result<Option<Self>> {
        let basic = user.username.is_some() && user.password.is_some();
        if basic || user.token.is_some() || user.auth_provider.is_some() {
            return Ok(None);
        }
        let Some(path) = user.token_file.take().filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        user.exec = None;
        Self::new(path.into()).map(Some)
    }

    fn new(path: PathBuf) -> Result<Self> {
        let header = read(&path)?;
        Ok(Self(Arc::new(Mutex::new(Cache { path, header, read: Instant::now() }))))
    }

    /// The call with the token.
    pub(super) fn authorize(&self, mut request: Request<Body>) -> Request<Body> {
        request.headers_mut().insert(AUTHORIZATION, self.header(Instant::now()));
        request
    }

    /// The last token is kept while the file can't be read: it may be gone on purpose once it was read.
    fn header(&self, now: Instant) -> HeaderValue {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(cache.read) >= FRESH {
            match read(&cache.path) {
                Ok(header) => cache.header = header,
                Err(error) => tracing::warn!("the last token for the API server stays: {error:#}"),
            }
            cache.read = now;
        }
        cache.header.clone()
    }
}

fn read(path: &Path) -> Result<HeaderValue> {
    let text = fs::read_to_string(path).with_context(|| format!("the tokenFile {} can't be read", path.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty(), "the tokenFile {} is empty", path.display());
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .ok()
        .with_context(|| format!("the tokenFile {} has characters that no token has", path.display()))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(path: &Path) -> AuthInfo {
        AuthInfo { token_file: Some(path.to_str().unwrap().to_owned()), ..AuthInfo::default() }
    }

    #[test]
    fn a_new_token_is_read_within_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let token = TokenFile::take_from(&mut user(&path)).unwrap().unwrap();
        let start = Instant::now();
        assert_eq!(token.header(start), "Bearer first");
        fs::write(&path, "\tsecond\r\n").unwrap();
        assert_eq!(token.header(start), "Bearer first");
        assert_eq!(token.header(start + FRESH), "Bearer second");
        assert!(token.header(start + FRESH).is_sensitive());

        fs::remove_file(&path).unwrap();
        assert_eq!(token.header(start + FRESH * 2), "Bearer second", "it may be gone on purpose");
        fs::write(&path, "third").unwrap();
        assert_eq!(token.header(start + FRESH * 2), "Bearer second");
        assert_eq!(token.header(start + FRESH * 3), "Bearer third");
    }

    #[test]
    fn what_holds_no_token_is_named_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for (text, said) in [(None, "can't be read"), (Some(" \n"), "is empty"), (Some("canary\ntwo"), "characters")] {
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            let told = format!("{:#}", TokenFile::take_from(&mut user(&path)).err().unwrap());
            assert!(told.contains(path.to_str().unwrap()) && told.contains(said), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn what_comes_first_stays_first() {
        let absent = Path::new("/absent");
        let token = Some("inline".to_owned().into());
        let password = Some("p".to_owned().into());
        for mut user in [
            AuthInfo { token, ..user(absent) },
            AuthInfo { username: Some("u".to_owned()), password, ..user(absent) },
            AuthInfo::default(),
        ] {
            assert!(TokenFile::take_from(&mut user).unwrap().is_none());
        }
    }
}
