//! Which cluster, as whom, and by which way: as kubectl finds it.

use std::{env, io, path::PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use http::Uri;
use kube::{
    Config,
    config::{ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use url::Url;

use crate::proxy::{self, Proxies};

/// What is taken in place of what kubectl would take without its flags of the same names.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The kubeconfig: this file alone, which has to be there.
    pub kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig's context.
    pub context: Option<String>,
}

/// The cluster that kubectl would talk to: the kubeconfig's, or where there is none that around this pod.
///
/// # Errors
/// There is neither, or what there is can't be read.
pub fn config(choice: &Choice, proxies: &Proxies) -> Result<Config> {
    let mut config = match kubeconfig(choice).context("the kubeconfig can't be read")? {
        Some(kubeconfig) => of(kubeconfig)?,
        // kube's words have those of the cause in them.
        None => Config::incluster().map_err(|error| anyhow!("{}: {error}", nowhere(&looked_for(choice))))?,
    };
    // A pod's comes from a file.
    let namespace = config.default_namespace.trim().to_owned();
    config.default_namespace = namespace;
    config.apply_debug_overrides();
    let config = through(config, proxies)?;
    if let Some(proxy) = &config.proxy_url {
        tracing::info!(
            proxy = shown(proxy),
            server = shown(&config.cluster_url),
            "reaches the API server through a proxy"
        );
    }
    Ok(config)
}

/// The kubeconfig's own proxy is always taken, the environment's unless `NO_PROXY` names the API server.
fn through(mut config: Config, proxies: &Proxies) -> Result<Config> {
    if config.proxy_url.is_none() {
        config.proxy_url = proxies.toward(&config.cluster_url).map(for_kube).transpose()?;
    }
    Ok(config)
}

/// The file that is named, or else those of `KUBECONFIG` merged, or else `~/.kube/config`. `None` if none is there, or none
/// chooses a context.
fn kubeconfig(choice: &Choice) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let context = choice.context.as_deref();
    if let Some(path) = &choice.kubeconfig {
        return merged([Ok(Kubeconfig::read_from(path)?)], context);
    }
    let files = listed();
    if files.is_empty() {
        return merged([Kubeconfig::read()], context);
    }
    merged(files.into_iter().map(Kubeconfig::read_from), context)
}

/// The files that were looked for.
fn looked_for(choice: &Choice) -> Vec<PathBuf> {
    let files = choice.kubeconfig.clone().map_or_else(listed, |file| vec![file]);
    if files.is_empty() { env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect() } else { files }
}

/// Those of `KUBECONFIG`.
fn listed() -> Vec<PathBuf> {
    let list = env::var_os("KUBECONFIG").unwrap_or_default();
    env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// What these files don't say.
fn nowhere(files: &[PathBuf]) -> String {
    let (there, absent): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(|file| file.exists());
    let names = |files: &[&PathBuf]| files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let what = match (there.as_slice(), absent.as_slice()) {
        ([], []) => "there is no kubeconfig".to_owned(),
        ([], absent) => format!("no kubeconfig is there ({})", names(absent)),
        (there, _) => format!("no context is chosen in {} (current-context)", names(there)),
    };
    format!("{what}, and no cluster around this process")
}

/// What a file says first holds. A file that isn't there says nothing, as with kubectl.
fn merged(
    files: impl IntoIterator<Item = Result<Kubeconfig, KubeconfigError>>,
    context: Option<&str>,
) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let mut merged = Kubeconfig::default();
    for file in files {
        let mut next = match file {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if is_absence(&error) => {
                tracing::debug!(%error, "a kubeconfig isn't there");
                continue;
            }
            Err(error) => return Err(error),
        };
        next.current_context.take_if(|name| name.is_empty());
        merged = merged.merge(next)?;
    }
    merged.current_context = context.map(str::to_owned).or(merged.current_context);
    Ok(Some(merged).filter(|kubeconfig| kubeconfig.current_context.is_some()))
}

fn is_absence(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// What the kubeconfig's current context says.
///
/// kube's own reading takes `NO_PROXY` for a rule about the proxy's address, and ends where an entry is none to it.
fn of(kubeconfig: Kubeconfig) -> Result<Config> {
    let name = kubeconfig.current_context.unwrap_or_default();
    let context = kubeconfig
        .contexts
        .into_iter()
        .find(|context| context.name == name)
        .and_then(|context| context.context)
        .with_context(|| format!("the kubeconfig has no context {name:?}"))?;
    let mut cluster = kubeconfig
        .clusters
        .into_iter()
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster)
        .with_context(|| format!("the kubeconfig has no cluster {:?}", context.cluster))?;
    // Who isn't there is nobody.
    let user = kubeconfig.auth_infos.into_iter().find(|user| Some(&user.name) == context.user.as_ref());
    let server = cluster.server.as_deref().with_context(|| format!("no server in cluster {:?}", context.cluster))?;

    let mut config =
        Config::new(server.parse().with_context(|| format!("the server {:?} isn't a URL", without_user(server)))?);
    cluster.certificate_authority_data.take_if(|data| data.is_empty());
    let told = ExecAuthCluster::try_from(&cluster)?;
    config.root_cert = told.certificate_authority_data.as_deref().map(certificates).transpose()?;
    config.proxy_url = match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(text) => Some(for_kube(&proxy::url(text).context("proxy-url of the kubeconfig")?)?),
        None => None,
    };
    config.auth_info = user.and_then(|user| user.auth_info).unwrap_or_default();
    if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(told);
    }
    if let Some(namespace) = context.namespace {
        config.default_namespace = namespace;
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.disable_compression = cluster.disable_compression.unwrap_or_default();
    config.tls_server_name = cluster.tls_server_name;
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.context("the certificate authority in the kubeconfig isn't PEM")?;
    ensure!(!certificates.is_empty(), "the certificate authority in the kubeconfig has no certificate");
    Ok(certificates.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// kube's name for a SOCKS proxy that looks names up itself; it has none for one that asks for a password.
fn for_kube(proxy: &Url) -> Result<Uri> {
    let text = proxy.as_str();
    let text = match text.strip_prefix("socks5h://") {
        Some(_) if proxy.username() != "" || proxy.password().is_some() => {
            bail!("the API server can't be reached through a SOCKS proxy that wants a password: take an HTTP proxy")
        }
        Some(rest) => format!("socks5://{rest}"),
        None => text.to_owned(),
    };
    text.parse().context("the URL of the proxy can't be used")
}

/// A URL without the user's name and password.
#[must_use]
pub fn shown(url: &Uri) -> String {
    without_user(&url.to_string())
}

fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let between = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{between}{address}{path}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn proxies() -> Proxies {
        Proxies::read(|name| match name {
            "HTTPS_PROXY" => Some("http://user:p%40ss@proxy:3128".to_owned()),
            "NO_PROXY" => Some(".svc,10.96.0.0/12,".to_owned()),
            _ => None,
        })
        .unwrap()
    }

    fn read(cluster: &Value) -> Result<Config> {
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
            "current-context": "x",
        });
        through(of(Kubeconfig::from_yaml(&text.to_string())?)?, &proxies())
    }

    #[test]
    fn a_kubeconfig_is_read_as_kubectl_reads_it() {
        let config = read(&json!({
            "server": "https://10.96.0.1",
            "tls-server-name": "api",
            "insecure-skip-tls-verify": true,
            "certificate-authority-data": "",
        }))
        .unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://10.96.0.1/");
        assert_eq!(config.default_namespace, "shop");
        assert_eq!(config.tls_server_name.as_deref(), Some("api"));
        assert!(config.accept_invalid_certs);
        assert!(config.auth_info.token.is_some());
        assert_eq!(config.root_cert, None, "as good as absent");

        let key = rcgen::generate_simple_self_signed(["api".to_owned()]).unwrap();
        let pem = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key.cert.pem());
        let config = read(&json!({"server": "https://10.96.0.1", "certificate-authority-data": pem})).unwrap();
        assert_eq!(config.root_cert.unwrap(), [key.cert.der().to_vec()]);
    }

    #[test]
    fn files_that_arent_there_say_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str, context: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, json!({"current-context": context}).to_string()).unwrap();
            Kubeconfig::read_from(path)
        };
        let absent = || Kubeconfig::read_from(dir.path().join("absent"));
        let chosen = |files: Vec<_>| merged(files, None).unwrap().map(|kubeconfig| kubeconfig.current_context.unwrap());
        assert_eq!(chosen(vec![absent(), read("b", ""), read("a", "x"), read("c", "y"), absent()]).unwrap(), "x");
        assert_eq!(chosen(vec![absent()]), None);
        assert_eq!(chosen(vec![read("b", "")]), None);
        let of_choice = merged([read("a", "x")], Some("z")).unwrap().unwrap();
        assert_eq!(of_choice.current_context.unwrap(), "z");
        let named = Choice { kubeconfig: Some(dir.path().join("absent")), ..Choice::default() };
        assert!(kubeconfig(&named).is_err(), "one that is named has to be there");

        let path = dir.path().join("broken");
        std::fs::write(&path, "clusters: [").unwrap();
        assert!(merged([absent(), Kubeconfig::read_from(path), read("a", "x")], None).is_err());
        assert!(merged([Kubeconfig::read_from(dir.path())], None).is_err(), "a directory is there");
    }

    #[test]
    fn the_files_that_were_looked_for_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let (a, b) = (file("a"), file("b"));
        let told = nowhere(&[a.clone(), b.clone()]);
        let both = format!("no kubeconfig is there ({}, {}), and no cluster", a.display(), b.display());
        assert!(told.starts_with(&both), "{told}");
        std::fs::write(&b, "{}").unwrap();
        let told = nowhere(&[a, b.clone()]);
        assert!(told.starts_with(&format!("no context is chosen in {} (current-context)", b.display())), "{told}");
        assert!(nowhere(&[]).starts_with("there is no kubeconfig, "));
    }

    #[test]
    fn what_is_wrong_in_a_kubeconfig_is_named() {
        let no_certificate = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "no PEM");
        for (cluster, said) in [
            (json!({}), "no server in cluster \"c\""),
            (json!({"server": "https://a b"}), "the server \"https://a b\" isn't a URL"),
            (json!({"server": "https://a", "certificate-authority-data": no_certificate}), "has no certificate"),
            (json!({"server": "https://a", "proxy-url": "ftp://proxy"}), "proxy-url of the kubeconfig: isn't the URL"),
            (json!({"server": "https://a", "proxy-url": "socks5://u:p@proxy"}), "wants a password"),
        ] {
            let error = read(&cluster).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }

    #[test]
    fn the_proxy_is_the_kubeconfigs_or_the_environments() {
        let own = "http://own:8080/";
        for (server, own, proxy) in [
            ("https://api.example", None, Some("http://user:p%40ss@proxy:3128/")),
            ("https://10.96.0.1", None, None),
            ("https://kubernetes.default.svc", None, None),
            ("https://127.0.0.1:6443", None, None),
            ("https://api.example", Some(own), Some(own)),
            ("https://10.96.0.1", Some(own), Some(own)),
            ("https://127.0.0.1:6443", Some(own), Some(own)),
            ("https://10.96.0.1", Some("socks5://own"), Some("socks5://own:1080/")),
            ("https://10.96.0.1", Some(""), None),
        ] {
            let config = read(&json!({"server": server, "proxy-url": own})).unwrap();
            assert_eq!(config.proxy_url.map(|url| url.to_string()).as_deref(), proxy, "{server} {own:?}");
        }
    }

    #[test]
    fn passwords_arent_shown() {
        for (url, told) in [
            ("http://user:p%40ss@proxy:3128", "http://proxy:3128/"),
            ("http://proxy", "http://proxy/"),
            ("https://user:pass@rancher.example/k8s/c-1@a", "https://rancher.example/k8s/c-1@a"),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), told);
        }
        let error = read(&json!({"server": "https://user:pass@a b"})).unwrap_err();
        assert!(format!("{error:#}").starts_with("the server \"https://a b\" isn't a URL"), "{error:#}");
    }
}
