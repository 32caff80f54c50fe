//! `check`: each thing that has to be there, and what to do where it isn't.

mod crds;
mod operator;
mod rights;
mod tokens;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use crate::{
    call::Call,
    cli::CheckOptions,
    cluster::Cluster,
    failure::{Code, Failure, Result},
    screen::print,
    view::checklist::{Finding, Grade},
};

/// Looks at all, and ends with [`Code::Attention`] if something is wrong.
pub(super) async fn run(cluster: &Cluster, options: &CheckOptions) -> Result<()> {
    let mut report = Report { wrong: 0 };
    let answer = api_server(cluster).await;
    let reached = answer.grade == Grade::Fine;
    report.add(&answer)?;
    if !reached {
        return report.end();
    }
    let served = crds::served(cluster).await;
    let is_served = served.grade == Grade::Fine;
    report.add(&served)?;
    if is_served {
        for finding in crds::current(cluster).await {
            report.add(&finding)?;
        }
    }
    let chosen = (!options.all_namespaces).then_some(cluster.namespace.as_str());
    let missing = match chosen {
        Some(name) => namespace(cluster, name).await,
        None => None,
    };
    match missing {
        Some(missing) => report.add(&missing)?,
        None => {
            for finding in rights::all(cluster, chosen).await? {
                report.add(&finding)?;
            }
        }
    }
    let operators = operator::all(cluster, options).await;
    for finding in &operators.findings {
        report.add(finding)?;
    }
    if is_served {
        for finding in tokens::all(cluster, chosen, operators.may_work).await {
            report.add(&finding)?;
        }
    }
    report.end()
}

struct Report {
    wrong: usize,
}

impl Report {
    fn add(&mut self, finding: &Finding) -> Result<()> {
        self.wrong += usize::from(finding.grade == Grade::Wrong);
        print(&finding.line())
    }

    fn end(self) -> Result<()> {
        match self.wrong {
            0 => Ok(()),
            1 => Err(Failure::new(Code::Attention, "one thing is wrong, see above")),
            several => Err(Failure::new(Code::Attention, format!("{several} things are wrong, see above"))),
        }
    }
}

async fn api_server(cluster: &Cluster) -> Finding {
    const SUBJECT: &str = "API server";
    match cluster.client.apiserver_version().await {
        Ok(version) => Finding::fine(SUBJECT, format!("{} at {}", version.git_version, cluster.server)),
        Err(error) => of(SUBJECT, &Failure::of(&error, &Call::of("get", "version", None, None))),
    }
}

/// Says that the namespace isn't there, to whoever may know.
async fn namespace(cluster: &Cluster, name: &str) -> Option<Finding> {
    const SUBJECT: &str = "namespace";
    match Api::<Namespace>::all(cluster.client.clone()).get_opt(name).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(Finding::wrong(
            SUBJECT,
            format!("there is no namespace {name}"),
            format!("name another one with -n, or make it: kubectl create namespace {name}"),
        )),
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => Some(of(SUBJECT, &Failure::of(&error, &Call::of("get", "namespaces", None, Some(name))))),
    }
}

/// What couldn't be asked at all.
fn of(subject: &'static str, failure: &Failure) -> Finding {
    let remedy = failure.remedy.as_deref().unwrap_or("try again; if it stays, the API server's log says why");
    Finding::wrong(subject, failure.message.clone(), remedy)
}
