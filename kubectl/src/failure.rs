//! What goes wrong, as a person is told it and as a script sees it.

use std::{error::Error, fmt, io, process::ExitCode};

use kube::core::Status;

use crate::call::Call;

/// What a script can tell by the exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// The cluster, a right, or an answer that can't be used.
    Failed = 1,
    /// The command line is wrong, as clap ends it too.
    Usage = 2,
    /// There is no such object, or several of that name.
    NotFound = 3,
    /// A person has to act: Stalled, refused by Shopify, or found wrong by `check`.
    Attention = 4,
    /// Not within `--timeout`.
    Timeout = 5,
}

/// An end that isn't the one wished for. Holds no credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// For scripts.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if anything is known.
    pub remedy: Option<String>,
}

/// What a command comes to.
pub type Result<T> = std::result::Result<T, Failure>;

/// How the CustomResourceDefinitions get into a cluster.
pub const INSTALL: &str = "install the operator: its chart by helm install, or install.yaml of a release by kubectl apply --server-side -f \
                           install.yaml (in its repository: -k deploy/base)";

impl Failure {
    /// A failure about which nothing more is known.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: None }
    }

    /// The same with what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }

    /// What the API server, or the way to it, has refused.
    #[must_use]
    pub fn of(error: &kube::Error, call: &Call<'_>) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status, call),
            kube::Error::Auth(_) => Self::new(Code::Failed, format!("no credentials for the cluster: {}", told(error)))
                .remedy("sign in again, as the kubeconfig's user does it; `kubectl get namespaces` has to work"),
            _ => Self::new(
                Code::Failed,
                format!("{call}: the API server gave no answer that can be used: {}", told(error)),
            )
            .remedy("look whether `kubectl version` works, and whether the context is the right one (--context)"),
        }
    }

    fn of_status(status: &Status, call: &Call<'_>) -> Self {
        match status.code {
            401 => Self::new(Code::Failed, "the API server doesn't take the kubeconfig's credentials (401)")
                .remedy("sign in again; `kubectl get namespaces` has to work"),
            403 => Self::new(Code::Failed, format!("you may not {call}: {}", status.message)).remedy(call.role()),
            404 if call.is_ours() && is_unserved(status) => Self::new(
                Code::Failed,
                "this cluster serves no ShopifyTokens: its CustomResourceDefinitions are missing",
            )
            .remedy(format!("{INSTALL}; or choose another cluster with --context")),
            404 => Self::new(Code::NotFound, format!("{} not found", call.object()))
                .remedy(format!("`{}` lists what is there", call.listing())),
            _ => Self::new(Code::Failed, format!("{call}: {}", status.message)),
        }
    }

    /// A write of what the command prints has failed. Who has stopped reading isn't told.
    #[must_use]
    pub fn of_output(error: &io::Error) -> Self {
        Self::new(Code::Failed, format!("nobody takes what is printed: {error}"))
    }
}

/// A path that isn't served, and not an object that isn't there: only of the latter is the name told.
fn is_unserved(status: &Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// An error with its causes, each told once.
fn told(error: &kube::Error) -> String {
    let error: &dyn Error = match error {
        kube::Error::Service(error) => &**error,
        error => error,
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "\n  do: {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    fn status(code: u16, message: &str, name: &str) -> Status {
        let details: StatusDetails = serde_json::from_value(serde_json::json!({"name": name})).unwrap();
        Status { code, message: message.into(), details: Some(details), ..Status::default() }
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let get = Call::of("get", "shopifytokens", Some("shop"), Some("web"));
        let list = Call::of("list", "shopifytokens", None, None);
        let secret = Call::of("get", "secrets", Some("shop"), Some("none"));
        let app = Call::of("get", "shopifyapps", None, Some("acme"));
        for (call, status, code, said) in [
            (&get, status(404, "shopifytokens \"web\" not found", "web"), Code::NotFound, "shop/web not found"),
            (
                &secret,
                status(404, "secrets \"none\" not found", "none"),
                Code::NotFound,
                "`kubectl get secrets -n shop` lists",
            ),
            (&app, status(404, "not found", "acme"), Code::NotFound, "`kubectl get shopifyapps -A` lists"),
            (&list, status(404, "the server could not find the requested resource", ""), Code::Failed, "kubectl apply"),
            (
                &get,
                status(403, "User \"u\" cannot", "web"),
                Code::Failed,
                "you may not get shopifytokens in namespace shop",
            ),
            (&get, status(403, "User \"u\" cannot", "web"), Code::Failed, "ClusterRole view"),
            (&list, status(401, "Unauthorized", ""), Code::Failed, "sign in again"),
            (
                &list,
                status(500, "etcd is gone", ""),
                Code::Failed,
                "list shopifytokens in every namespace: etcd is gone",
            ),
        ] {
            let failure = Failure::of(&kube::Error::Api(status.boxed()), call);
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.to_string().contains(said), "{failure}");
        }
    }
}
