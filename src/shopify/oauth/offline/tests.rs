//! Canned answers to the three calls, and what they mean.

use secrecy::SecretString;

use super::*;
use crate::{
    core::vocabulary::Reason,
    shopify::{
        Surface, Word,
        stub::{Reply, Stub, reply, shop},
    },
};

const PAIR: &str = r#"{"access_token":"shpat_1","expires_in":3600,"refresh_token":"shprt_1","refresh_token_expires_in":7776000,"scope":"write_orders,read_products"}"#;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Code { expiring: bool },
    Refresh,
    Migrate,
}

const CALLS: [Call; 4] = [Call::Code { expiring: true }, Call::Code { expiring: false }, Call::Refresh, Call::Migrate];

fn now() -> Timestamp {
    Timestamp::from_timestamp_millis(1_000_000_900).unwrap()
}

async fn ask(stub: &Stub, call: Call) -> Result<Grant, GrantError> {
    let (client, shop) = (stub.client(), shop());
    let [secret, presented] = ["shpss_canary", "canary&x"].map(SecretString::from);
    match call {
        Call::Code { expiring } => client.exchange_code(&shop, "id", &secret, &presented, expiring, now()).await,
        Call::Refresh => client.refresh(&shop, "id", &secret, &presented, now()).await,
        Call::Migrate => client.migrate(&shop, "id", &secret, &presented, now()).await,
    }
}

async fn answered(call: Call, status: u16, body: &str) -> Result<Grant, GrantError> {
    ask(&Stub::always(status, "retry-after: 7\r\n", body).await, call).await
}

#[tokio::test]
async fn asks_as_documented_and_reads_the_pair() {
    const TYPE: &str = "urn%3Ashopify%3Aparams%3Aoauth%3Atoken-type%3Aoffline-access-token";
    let exchange = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=canary%26x\
         &subject_token_type={TYPE}&requested_token_type={TYPE}&expiring=1"
    );
    for (call, operation, parameters) in [
        (Call::Code { expiring: true }, "authorization_code", "code=canary%26x&expiring=1"),
        (Call::Code { expiring: false }, "authorization_code", "code=canary%26x&expiring=0"),
        (Call::Refresh, "refresh_token", "grant_type=refresh_token&refresh_token=canary%26x"),
        (Call::Migrate, "token_migration", &exchange),
    ] {
        let stub = Stub::always(200, "", PAIR).await;
        let Grant { credential, refresh } = ask(&stub, call).await.unwrap();
        assert_eq!(credential.value.expose_secret(), "shpat_1");
        assert_eq!(credential.scopes, ["read_products", "write_orders"]);
        assert_eq!(credential.issued_at.timestamp_millis(), 1_000_000_000);
        assert_eq!(credential.expires_at.unwrap().timestamp_millis(), 1_003_600_000);
        assert_eq!((credential.token_id, credential.warning), (None, None));
        let refresh = refresh.unwrap();
        assert_eq!(refresh.value.expose_secret(), "shprt_1");
        assert_eq!(refresh.expires_at.unwrap().timestamp_millis(), 1_000_000_000 + 7_776_000_000);

        let request = stub.request(0);
        assert!(request.starts_with("POST /admin/oauth/access_token HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("accept: application/json\r\n"), "{request}");
        let body = format!("\r\n\r\n{parameters}&client_id=id&client_secret=shpss_canary");
        assert!(request.ends_with(&body), "{request}");
        assert_eq!(stub.codes(), [format!("{operation} 200")]);
    }
}

#[tokio::test]
async fn a_lifetime_that_cannot_be_believed_is_the_documented_one() {
    for (stated, seconds, usual) in [
        (r#""expires_in":60,"#, 60, true),
        (r#""expires_in":"60","#, 60, true),
        ("", 3600, false),
        (r#""expires_in":null,"#, 3600, false),
        (r#""expires_in":0,"#, 3600, false),
        (r#""expires_in":-1,"#, 3600, false),
        (r#""expires_in":1e99,"#, 3600, false),
        (r#""expires_in":"soon","#, 3600, false),
    ] {
        for (beside, days, usual_beside) in [
            (r#""refresh_token_expires_in":86400,"#, 1, true),
            ("", 90, false),
            (r#""refresh_token_expires_in":0,"#, 90, false),
            (r#""refresh_token_expires_in":[],"#, 90, false),
        ] {
            let body = format!(r#"{{{stated}{beside}"refresh_token":"shprt_1","access_token":"shpat_1"}}"#);
            // A refresh token beside it: it expires, whatever was asked for.
            for call in CALLS {
                let Grant { credential, refresh } = answered(call, 200, &body).await.unwrap();
                let lifetime = credential.expires_at.unwrap() - credential.issued_at;
                assert_eq!(lifetime.num_seconds(), seconds, "{call:?} {body}");
                let lifetime = refresh.unwrap().expires_at.unwrap() - credential.issued_at;
                assert_eq!(lifetime.num_days(), days, "{call:?} {body}");
                let told = credential.warning.unwrap_or_default();
                assert_eq!((told.contains("60 minutes"), told.contains("90 days")), (!usual, !usual_beside), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn only_what_was_asked_for_without_an_expiry_has_none() {
    let lone = r#"{"access_token":"shpat_1","scope":"read_orders"}"#;
    for call in CALLS {
        for refresh_token in ["", r#","refresh_token":null"#] {
            let body = lone.replace('}', &format!("{refresh_token}}}"));
            let Grant { credential, refresh } = answered(call, 200, &body).await.unwrap();
            let lasts = call == Call::Code { expiring: false };
            assert_eq!((credential.expires_at.is_none(), credential.warning.is_none()), (lasts, lasts), "{call:?}");
            assert!(refresh.is_none(), "{call:?}");
        }
        let body = lone.replace('}', r#","expires_in":60}"#);
        let credential = answered(call, 200, &body).await.unwrap().credential;
        assert_eq!((credential.expires_at.unwrap() - credential.issued_at).num_seconds(), 60, "{call:?}");
    }
}

#[tokio::test]
async fn an_answer_whose_values_cannot_be_any_is_no_answer() {
    for body in [
        "",
        "{}",
        "<html>canary</html>",
        r#"{"access_token":"","refresh_token":"canary"}"#,
        r#"{"access_token":"can ary","refresh_token":"canary"}"#,
        r#"{"access_token":"canary","refresh_token":""}"#,
        r#"{"access_token":"canary","refresh_token":"canary\n"}"#,
        r#"{"access_token":"canary","refresh_token":42}"#,
    ] {
        for call in CALLS {
            let error = answered(call, 200, body).await.unwrap_err();
            let GrantError::Failed(failure) = error else { panic!("{call:?} {body}: {error:?}") };
            assert_eq!((failure.reason, failure.unsure), (Reason::BackingOff, true), "{call:?} {body}");
            assert!(!failure.message.contains("canary"), "{}", failure.message);
        }
    }
}

/// The reason for which each of code, refresh token and token is dead; `None` where it isn't for sure.
type Verdicts = [Option<Reason>; 3];

#[tokio::test]
async fn what_is_dead_for_sure_and_what_is_not() {
    use Reason::{ConsentRequired, RefreshTokenDead, TokenRejected};
    const ALL: Verdicts = [Some(ConsentRequired), Some(RefreshTokenDead), Some(TokenRejected)];
    const CODE: Verdicts = [Some(ConsentRequired), None, None];
    const REFRESH: Verdicts = [None, Some(RefreshTokenDead), None];
    const TOKEN: Verdicts = [None, None, Some(TokenRejected)];
    const NONE: Verdicts = [None; 3];
    let said = |code: &str, words: &str| format!(r#"{{"error":"{code}","error_description":"{words}"}}"#);
    let page = |title: &str, words: &str| {
        format!("<!DOCTYPE html><html><head><title>{title}</title></head><body><p>{words}</p></body></html>")
    };
    let (used, active) =
        ("The authorization code was not found or was already used", "This request requires an active refresh_token");
    let title = "unauthorized - Oauth error invalid_request";
    for (status, body, verdicts) in [
        (400, said("invalid_grant", ""), ALL),
        (401, said("invalid_grant", ""), ALL),
        (400, said("invalid_request", used), CODE),
        (400, page("400 - Oauth error invalid_request", used), CODE),
        (401, said("invalid_request", active), REFRESH),
        (401, page(title, active), REFRESH),
        (401, said("invalid_request", "canary"), REFRESH),
        (400, said("invalid_request", active), REFRESH),
        (400, said("invalid_subject_token", "canary"), TOKEN),
        // These may mean the client's credentials, or an installation.
        (400, said("invalid_request", "canary"), NONE),
        (400, said("invalid_request", ""), NONE),
        (400, said("invalid_client", used), [Some(ConsentRequired), None, None]),
        (401, said("invalid_client", ""), NONE),
        (400, said("application_cannot_be_found", ""), NONE),
        (400, said("app_not_installed", ""), NONE),
        // In Shopify's form, and not of these statuses.
        (403, said("invalid_grant", used), NONE),
        (404, said("invalid_grant", active), NONE),
        (429, said("invalid_grant", active), NONE),
        (503, said("invalid_grant", active), NONE),
        // In nobody's form.
        (401, page("canary", active), NONE),
        (400, active.to_owned(), NONE),
        (401, format!(r#"{{"message":"{active}"}}"#), NONE),
        (401, String::new(), NONE),
    ] {
        for (call, verdict) in [Call::Code { expiring: true }, Call::Refresh, Call::Migrate].into_iter().zip(verdicts) {
            let error = answered(call, status, &body).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("canary") && shown.contains("(x-request-id ab-1)"), "{shown}");
            match (error, verdict) {
                (GrantError::Dead(failure), Some(reason)) => assert_eq!(failure.reason, reason, "{call:?} {body}"),
                (GrantError::Failed(failure), None) => {
                    let other = [ConsentRequired, RefreshTokenDead, TokenRejected].contains(&failure.reason);
                    assert!(!other, "{call:?} {status} {body}: {failure:?}");
                }
                (error, verdict) => panic!("{call:?} {status} {body}: {error:?}, not {verdict:?}"),
            }
        }
    }
}

#[tokio::test]
async fn other_verdicts_have_their_own_reasons() {
    use Reason::{AppNotInstalled, BackingOff, CredentialsRejected, MigrationRequired, ShopNotFound, ShopUnavailable};
    let non_expiring = "[API] Non-expiring access tokens are no longer accepted for the Admin API.";
    for (status, body, reason) in [
        (400, r#"{"error":"invalid_client"}"#.to_owned(), CredentialsRejected),
        (400, r#"{"error":"application_cannot_be_found"}"#.to_owned(), CredentialsRejected),
        (400, r#"{"error":"app_not_installed"}"#.to_owned(), AppNotInstalled),
        (403, format!(r#"{{"errors":"{non_expiring}"}}"#), MigrationRequired),
        (400, format!(r#"{{"error":"invalid_request","error_description":"{non_expiring}"}}"#), MigrationRequired),
        (402, r#"{"errors":"Unavailable Shop"}"#.to_owned(), ShopUnavailable),
        (404, "<html>Store unavailable</html>".to_owned(), ShopNotFound),
        (401, r#"{"error":"unauthorized"}"#.to_owned(), BackingOff),
    ] {
        for call in CALLS {
            let error = answered(call, status, &body).await.unwrap_err();
            assert!(matches!(&error, GrantError::Failed(f) if f.reason == reason), "{call:?} {body}: {error:?}");
        }
    }
    for (call, words) in [
        (CALLS[0], "authorization code is dead"),
        (Call::Refresh, "refresh token is"),
        (Call::Migrate, "to migrate is"),
    ] {
        let Err(GrantError::Failed(failure)) = answered(call, 400, r#"{"error":"invalid_request"}"#).await else {
            panic!("{call:?}");
        };
        assert!(failure.ambiguous && failure.message.contains(words), "{call:?}: {}", failure.message);
    }
}

#[tokio::test]
async fn faults_limits_and_pages_are_no_verdict() {
    for (status, unsure) in [(429, false), (408, true), (500, true), (502, true), (503, true), (520, true), (524, true)]
    {
        for body in ["", "<html>canary</html>", r#"{"error":"invalid_grant"}"#, r#"{"errors":"canary"}"#] {
            for call in CALLS {
                let error = answered(call, status, body).await.unwrap_err();
                let GrantError::Failed(failure) = error else { panic!("{call:?} {status} {body}: {error:?}") };
                assert_eq!((failure.reason, failure.unsure), (Reason::BackingOff, unsure), "{status} {body}");
                assert_eq!(failure.retry_after, Some(TimeDelta::seconds(7)), "{status} {body}");
            }
        }
    }
    for call in CALLS {
        let stub = Stub::start(|_, _| Reply::Raw(Vec::new())).await;
        let error = ask(&stub, call).await.unwrap_err();
        assert!(matches!(&error, GrantError::Failed(f) if f.unsure && f.unreachable), "{call:?}: {error:?}");
        assert_eq!(stub.count(), 1, "it isn't sent again: {call:?}");
    }
}

#[tokio::test]
async fn the_token_endpoint_is_what_was_heard_of() {
    for (status, word) in [(200, Word::Success), (401, Word::Refusal), (520, Word::Silence)] {
        let stub = Stub::start(move |_, _| reply(status, "", PAIR)).await;
        let (client, heard) = stub.client().listening();
        let [secret, token] = ["shpss_canary", "canary"].map(SecretString::from);
        let outcome = client.refresh(&shop(), "id", &secret, &token, now()).await;
        assert_eq!((outcome.is_ok(), heard.surfaces(false)), (status == 200, vec![(Surface::TokenEndpoint, word)]));
    }
}

#[tokio::test]
async fn debug_hides_the_values() {
    let body = r#"{"access_token":"canary1","expires_in":60,"refresh_token":"canary2"}"#;
    let grant = answered(Call::Refresh, 200, body).await.unwrap();
    assert!(!format!("{grant:?}").contains("canary"));
}
