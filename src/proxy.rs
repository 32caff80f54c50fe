//! The proxy of the environment: `HTTPS_PROXY` and what `NO_PROXY` takes out, as kubectl and curl read them.

use std::{env, fmt};

use anyhow::{Context, Result};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// This machine is always reached without the environment's proxy, as with kubectl.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];
/// What `*` stands for, spelled out: the matcher takes a `*` for all names, but for no address.
const EVERYTHING: [&str; 3] = ["*", "0.0.0.0/0", "::/0"];
/// The port of a SOCKS proxy whose URL has none.
const SOCKS: u16 = 1080;

/// The proxy that the environment wants for `https` URLs. The default is none.
#[derive(Clone, Default)]
pub struct Proxies {
    https: Option<Url>,
    /// Entries of `NO_PROXY`.
    except: Vec<String>,
}

impl Proxies {
    /// Reads `HTTPS_PROXY` and `NO_PROXY`, or else `https_proxy` and `no_proxy`. An empty variable counts as absent.
    ///
    /// # Errors
    /// The proxy's URL isn't one, or of a scheme other than `http`, `https` and `socks5`.
    pub fn from_env() -> Result<Self> {
        Self::read(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.trim().is_empty())?)))
        };
        let https = match first(["HTTPS_PROXY", "https_proxy"]) {
            None => None,
            Some((name, value)) => Some(url(&value).context(name)?),
        };
        let list = first(["NO_PROXY", "no_proxy"]).map(|(_, list)| list).unwrap_or_default();
        let entries = list.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty());
        Ok(Self { https, except: entries.map(str::to_owned).collect() })
    }

    /// The proxy between us and `server`; `None` where the connection goes direct.
    #[must_use]
    pub fn toward(&self, server: &Uri) -> Option<&Url> {
        let proxy = self.https.as_ref()?;
        let except = self.except(server.port_u16().unwrap_or(443));
        let matcher = Matcher::builder().https(proxy.as_str()).no(except).build();
        matcher.intercept(server).map(|_| proxy)
    }

    /// The same as a rule for a client of servers at port 443.
    pub(crate) fn rule(&self) -> reqwest::Result<Option<reqwest::Proxy>> {
        let except = reqwest::NoProxy::from_string(&self.except(443));
        let proxy = self.https.as_ref().map(|proxy| reqwest::Proxy::https(proxy.as_str())).transpose()?;
        Ok(proxy.map(|proxy| proxy.no_proxy(except)))
    }

    /// The proxy's host.
    pub(crate) fn host(&self) -> Option<String> {
        self.https.as_ref()?.host_str().map(str::to_owned)
    }

    /// What is reached without the proxy at `port`, in the matcher's words: it knows neither ports nor `*.`.
    fn except(&self, port: u16) -> String {
        let mut list = LOOPBACK.to_vec();
        for entry in &self.except {
            match entry.rsplit_once(':') {
                _ if entry == "*" => list.extend(EVERYTHING),
                Some((host, of)) if of.parse() == Ok(port) && is_host(host) => list.push(bare(host)),
                Some((host, _)) if is_host(host) => {}
                _ => list.push(bare(entry)),
            }
        }
        list.join(",")
    }
}

/// The user's name and password in it are nobody's business.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let https = self.https.as_ref().map(shown);
        f.debug_struct("Proxies").field("https", &https).field("except", &self.except).finish()
    }
}

/// Whether what stands before the last colon is a whole host, rather than the start of an IPv6 address.
fn is_host(text: &str) -> bool {
    !text.contains(':') || text.starts_with('[') && text.ends_with(']')
}

fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host)
}

/// A proxy's URL. Without a scheme it is `http`; a SOCKS proxy looks the names up itself (`socks5h`).
///
/// # Errors
/// What is allowed; never the text, which can hold a password.
pub(crate) fn url(text: &str) -> Result<Url> {
    let text = text.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    known(&text).context(
        "isn't the URL of a proxy: write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT; \
         USER:PASSWORD@ before HOST percent-encoded",
    )
}

fn known(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    match url.scheme() {
        "http" | "https" => {}
        "socks5" | "socks5h" => {
            url.set_scheme("socks5h").ok()?;
            url.set_port(url.port().or(Some(SOCKS))).ok()?;
        }
        _ => return None,
    }
    // The matcher would pass over, without a word, what it can't read.
    let matcher = Matcher::builder().all(url.as_str()).build();
    matcher.intercept(&Uri::from_static("https://example.com")).map(|_| url)
}

/// A proxy without the user's name and password.
pub(crate) fn shown(proxy: &Url) -> String {
    let mut authority = proxy.host_str().unwrap_or_default().to_owned();
    if let Some(port) = proxy.port_or_known_default() {
        authority = format!("{authority}:{port}");
    }
    format!("{}://{authority}", proxy.scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies> {
        Proxies::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn proxied(except: &str, server: &str) -> bool {
        let proxies = read(&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", except)]).unwrap();
        proxies.toward(&server.parse().unwrap()).is_some()
    }

    #[test]
    fn capitals_come_first_and_what_is_empty_is_absent() {
        let server = Uri::from_static("https://10.96.0.1");
        for (variables, proxy) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", ""), ("https_proxy", " ")], None),
            (&[("HTTPS_PROXY", "http://upper:1"), ("https_proxy", "http://lower:1")], Some("http://upper:1/")),
            (&[("HTTPS_PROXY", ""), ("https_proxy", "http://lower:1")], Some("http://lower:1/")),
            (&[("HTTPS_PROXY", "proxy:3128")], Some("http://proxy:3128/")),
            (&[("HTTPS_PROXY", "https://u:p%40@proxy")], Some("https://u:p%40@proxy/")),
            (&[("HTTPS_PROXY", "socks5://proxy")], Some("socks5h://proxy:1080")),
            (&[("HTTPS_PROXY", "socks5h://[::1]:1081")], Some("socks5h://[::1]:1081")),
            (&[("HTTPS_PROXY", "http://proxy:1"), ("no_proxy", "10.96.0.1")], None),
            (
                &[("HTTPS_PROXY", "http://proxy:1"), ("NO_PROXY", "x"), ("no_proxy", "10.96.0.1")],
                Some("http://proxy:1/"),
            ),
            (&[("HTTP_PROXY", "http://proxy:1"), ("ALL_PROXY", "http://proxy:1")], None),
        ] {
            let proxies = read(variables).unwrap();
            assert_eq!(proxies.toward(&server).map(Url::as_str), proxy, "{variables:?}");
        }
    }

    #[test]
    fn what_is_named_goes_direct() {
        for (except, server, direct) in [
            ("", "https://10.96.0.1", false),
            ("10.96.0.1", "https://10.96.0.1:443", true),
            ("10.96.0.1", "https://10.96.0.10", false),
            ("10.96.0.0/12", "https://10.96.0.1:443", true),
            ("10.96.0.0/12", "https://10.112.0.1:443", false),
            ("fd00::/8", "https://[fd00:10::1]:443", true),
            ("fd00:10::1", "https://[fd00:10::1]:443", true),
            ("[fd00:10::1]:443", "https://[fd00:10::1]", true),
            ("fd00:10::1", "https://[fd00:10::2]:443", false),
            (".svc", "https://kubernetes.default.svc", true),
            ("*.svc", "https://kubernetes.default.svc", true),
            ("svc", "https://kubernetes.default.svc", true),
            ("default.svc", "https://kubernetes.notdefault.svc", false),
            ("KUBERNETES.default.svc", "https://kubernetes.default.svc", true),
            ("a.example, , 10.96.0.1,", "https://10.96.0.1", true),
            ("a.example 10.96.0.1", "https://10.96.0.1", true),
            ("10.96.0.1:6443", "https://10.96.0.1:6443", true),
            ("10.96.0.1:6443", "https://10.96.0.1", false),
            ("api.example:443", "https://api.example", true),
            ("api.example:444", "https://api.example", false),
            ("*", "https://10.96.0.1", true),
            ("*", "https://[fd00::1]", true),
            ("*", "https://api.example", true),
            ("", "https://localhost:6443", true),
            ("", "https://127.0.0.1:6443", true),
            ("", "https://[::1]:6443", true),
            ("", "http://10.96.0.1:8080", true),
        ] {
            assert_eq!(proxied(except, server), !direct, "NO_PROXY={except:?} {server}");
        }
    }

    #[test]
    fn what_isnt_a_proxy_is_refused_without_being_shown() {
        for value in
            ["http://u:canary@", "ftp://u:canary@proxy:21", "http://u:canary@proxy:x", "u:canary@", "://canary"]
        {
            let error = read(&[("https_proxy", value)]).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.contains("https_proxy: isn't the URL of a proxy: write"), "{value}: {told}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn passwords_arent_shown() {
        let proxies = read(&[("HTTPS_PROXY", "http://user:canary@proxy:3128")]).unwrap();
        assert_eq!(format!("{proxies:?}"), r#"Proxies { https: Some("http://proxy:3128"), except: [] }"#);
    }
}
