//! Which collector, and what of OpenTelemetry's environment variables can't be done here.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use url::Url;

/// The flag, and the variable of the same meaning.
const ENDPOINT: &str = "--otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// OpenTelemetry's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// How a collector is reached.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Settings {
    /// Where spans are posted to.
    pub endpoint: Url,
    /// For one request.
    pub timeout: Duration,
    /// PEM file with certificate authorities to trust in addition.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// What the flag and OpenTelemetry's variables say; `None` where there is no collector, or shouldn't be one. A variable
    /// for traces goes before the one for everything.
    ///
    /// # Errors
    /// The name of what is wrong, and what to write instead; never the text, which may hold a password.
    pub(super) fn read(flag: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let said = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let exporter = said("OTEL_TRACES_EXPORTER");
        let disabled = said("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if disabled || exporter.as_deref() == Some("none") {
            return Ok(None);
        }
        let endpoint = match (said(TRACES_ENDPOINT), flag.map(str::trim).filter(|text| !text.is_empty())) {
            (Some(text), _) => address(&text).context(TRACES_ENDPOINT)?,
            (None, Some(text)) => below(address(text).context(ENDPOINT)?),
            (None, None) => return Ok(None),
        };
        let by_otlp = exporter.is_none_or(|name| name == "otlp");
        ensure!(by_otlp, "OTEL_TRACES_EXPORTER: traces are sent by OTLP alone: write otlp, or none");
        // As OpenTelemetry has it, what is said of traces alone goes before what is said of everything.
        let of_exporter = |what: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
            names.into_iter().find_map(|name| said(&name).map(|text| (name, text)))
        };
        if let Some((name, text)) = of_exporter("PROTOCOL") {
            ensure!(
                text == "http/protobuf",
                "{name}: only http/protobuf is spoken: leave it out, and name the collector's port for HTTP, mostly 4318"
            );
        }
        let timeout = match of_exporter("TIMEOUT") {
            Some((name, text)) => Duration::from_millis(
                text.parse().with_context(|| format!("{name}: it is a number of milliseconds, such as 10000"))?,
            ),
            None => TIMEOUT,
        };
        sampler(said("OTEL_TRACES_SAMPLER").as_deref(), said("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
        let ca_file = of_exporter("CERTIFICATE").map(|(_, path)| PathBuf::from(path));
        Ok(Some(Self { endpoint, timeout, ca_file }))
    }
}

fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.context("it isn't the address of a collector: write http://HOST:4318, or https://HOST")?;
    let bare = url.username().is_empty() && url.password().is_none();
    ensure!(bare, "it holds a user or a password: put them into OTEL_EXPORTER_OTLP_HEADERS, as a Secret of the pod");
    Ok(url)
}

/// Where traces go at a collector for everything.
fn below(mut url: Url) -> Url {
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// The SDK reads it, and would take all traces, without a word, where it can't.
fn sampler(name: Option<&str>, argument: Option<&str>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    ensure!(SAMPLERS.contains(&name), "OTEL_TRACES_SAMPLER: write one of {}", SAMPLERS.join(", "));
    if name.ends_with("traceidratio") {
        let ratio = argument.and_then(|text| text.parse::<f64>().ok());
        let given = ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio));
        ensure!(given, "OTEL_TRACES_SAMPLER_ARG: {name} wants the share of traces to take, from 0 to 1, such as 0.1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Settings>> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Settings::read(flag, variable)
    }

    fn endpoint(flag: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        read(flag, variables).unwrap().map(|settings| settings.endpoint.to_string())
    }

    #[test]
    fn nothing_is_traced_unless_a_collector_is_named() {
        assert_eq!(read(None, &[]).unwrap(), None);
        assert_eq!(read(Some(" "), &[(TRACES_ENDPOINT, "")]).unwrap(), None);
        // Nor is anything refused then: the variables are other processes', too.
        assert_eq!(read(None, &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap(), None);
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
            for endpoint in ["http://collector:4318", "collector"] {
                assert_eq!(read(Some(endpoint), &[off]).unwrap(), None, "{off:?}");
            }
        }
    }

    #[test]
    fn traces_have_a_path_of_their_own() {
        for (flag, posted) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example.com/otlp", "https://otlp.example.com/otlp/v1/traces"),
        ] {
            assert_eq!(endpoint(Some(flag), &[]).unwrap(), posted);
        }
        let only = [(TRACES_ENDPOINT, "http://traces:4318/here")];
        assert_eq!(endpoint(Some("http://collector:4318"), &only).unwrap(), "http://traces:4318/here");
    }

    #[test]
    fn what_is_said_of_traces_goes_before_what_is_said_of_everything() {
        let said = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/all.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/traces.pem"),
        ];
        let settings = read(Some("https://collector"), &said).unwrap().unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert_eq!(settings.ca_file, Some("/traces.pem".into()));
    }

    #[test]
    fn what_is_wrong_is_named_and_never_quoted() {
        let collector = Some("http://collector:4318");
        for (flag, variable, named) in [
            (Some("collector:4318"), ("", ""), "--otlp-endpoint"),
            (Some("canary"), ("", ""), "write http://HOST:4318"),
            (Some("http://user:canary@collector:4318"), ("", ""), "OTEL_EXPORTER_OTLP_HEADERS"),
            (None, (TRACES_ENDPOINT, "ftp://canary"), TRACES_ENDPOINT),
            (collector, ("OTEL_TRACES_EXPORTER", "canary"), "OTEL_TRACES_EXPORTER"),
            (collector, ("OTEL_TRACES_EXPORTER", "otlp,console"), "write otlp, or none"),
            (collector, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf"),
            (collector, ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "OTEL_EXPORTER_OTLP_TIMEOUT: it is a number"),
            (collector, ("OTEL_TRACES_SAMPLER", "canary"), "OTEL_TRACES_SAMPLER: write one of"),
            (collector, ("OTEL_TRACES_SAMPLER", "traceidratio"), "OTEL_TRACES_SAMPLER_ARG: traceidratio wants"),
        ] {
            let told = format!("{:#}", read(flag, &[variable]).unwrap_err());
            assert!(told.contains(named) && !told.contains("canary"), "{told}");
        }
        let half = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
        assert!(read(collector, &half).unwrap().is_some());
        let twice = [half[0], ("OTEL_TRACES_SAMPLER_ARG", "2")];
        assert!(read(collector, &twice).is_err());
    }
}
