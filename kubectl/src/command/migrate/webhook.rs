//! From a `Webhook` generator of External Secrets (<https://external-secrets.io/latest/api/generator/webhook>), which asks
//! Shopify for tokens, and its users: objects of kind `ExternalSecret`.

use serde_json::{Value, json};

use super::draft::{Carried, Draft, copied, secret_spec};
use crate::{
    cli::MigrateOptions,
    failure::{Code, Failure, Result},
};

/// What takes the generator's place, and a token for each `ExternalSecret` that uses it.
pub(super) fn draft(generator: &Value, external: &[Value], options: &MigrateOptions) -> Result<Draft> {
    let generator_name = text(&generator["metadata"]["name"]);
    let namespace = generator["metadata"]["namespace"].as_str();
    let spec = &generator["spec"];
    let (url, body) = (text(&spec["url"]), text(&spec["body"]));
    let asked = format!("{url} {body}");
    let wrong = |message: &str| Failure::new(Code::Failed, format!("Webhook {generator_name} {message}"));
    if !asked.contains("client_credentials") {
        let remedy = "the operator's documentation says which source to take (docs/sources.md)";
        return Err(
            wrong("doesn't ask for a client-credentials grant, the one kind that can be migrated").remedy(remedy)
        );
    }
    let shop = options.shop.clone().or_else(|| domain(&url)).ok_or_else(|| {
        Failure::new(Code::Usage, format!("the url of Webhook {generator_name} names no domain under myshopify.com"))
            .remedy("say it with --shop")
    })?;
    let name = options.name.clone().unwrap_or_else(|| generator_name.clone());
    let id = reference(&asked, "client_id", spec);
    let secret = reference(&asked, "client_secret", spec);

    let mut draft = Draft::default();
    draft.say(format!(
        "In place of generator {generator_name} of External Secrets. Review it, then: kubectl apply -f FILE"
    ));
    draft.say("Move your applications to the new Secrets, then delete the ExternalSecrets and the generator.");
    let app = format!("{name}-app");
    let credentials = match (id, secret) {
        (Some(id), Some(secret)) if id.0 == secret.0 && (&*id.1, &*secret.1) == ("client_id", "client_secret") => id.0,
        (Some(id), Some(secret)) if id.0 == secret.0 => {
            let keys = [("client_id", id.1.as_str()), ("client_secret", secret.1.as_str())];
            draft.first(&[copied(&id.0, &app, namespace.unwrap_or_default(), &keys)?]);
            app
        }
        _ => {
            draft.say(format!(
                "First put client id and client secret, which don't stand in one Secret, into Secret {app}:"
            ));
            draft.say("under the keys client_id and client_secret.");
            app
        }
    };
    draft.object("ShopifyApp", &name, namespace, &json!({"credentialsRef": {"name": credentials}}));
    let users: Vec<&Value> = external.iter().filter(|external| uses(external, &generator_name)).collect();
    let source = json!({"clientCredentials": {"appRef": {"name": name}}});
    if users.is_empty() {
        draft.say("No ExternalSecret uses it: name the Secret that applications shall read.");
        let secret = secret_spec(&format!("{name}-shopify"), &[]);
        draft.object("ShopifyToken", &name, namespace, &json!({"shop": shop, "source": source, "secret": secret}));
    }
    for user in users {
        let own = text(&user["metadata"]["name"]);
        let target = user["spec"]["target"]["name"].as_str().unwrap_or(&own);
        let (carried, lost) = keys(user);
        draft.say(format!("In place of ExternalSecret {own}, which writes Secret {target}."));
        if !lost.is_empty() {
            draft.say(format!(
                "Not in the new Secret, for want of a template that the operator takes: {}.",
                lost.join(", ")
            ));
        }
        let secret = secret_spec(&format!("{target}-shopify"), &carried);
        draft.object("ShopifyToken", &own, namespace, &json!({"shop": shop, "source": source, "secret": secret}));
    }
    Ok(draft)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The shop that a URL is of.
fn domain(url: &str) -> Option<String> {
    let host = url.split("://").nth(1)?.split(['/', '?', ':']).next()?;
    let shop = host.strip_suffix(".myshopify.com")?;
    (!shop.is_empty() && shop.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
        .then(|| host.to_owned())
}

/// Secret and key of the expression that a parameter is filled with, as in `client_id={{ .auth.id }}`.
fn reference(asked: &str, parameter: &str, spec: &Value) -> Option<(String, String)> {
    let after = &asked[asked.find(parameter)? + parameter.len()..];
    let expression = after.split_once("{{")?.1.split_once("}}")?.0;
    let path = expression.split_whitespace().find_map(|word| word.strip_prefix('.'))?;
    let (name, key) = path.split_once('.')?;
    let secrets = spec["secrets"].as_array()?;
    let found = secrets.iter().find(|secret| secret["name"] == name)?;
    Some((found["secretRef"]["name"].as_str()?.to_owned(), key.to_owned()))
}

/// Whether an `ExternalSecret` takes its values from the generator.
fn uses(external: &Value, generator: &str) -> bool {
    let sources = external["spec"]["dataFrom"].as_array().into_iter().flatten();
    sources.map(|source| &source["sourceRef"]["generatorRef"]).any(|r| r["kind"] == "Webhook" && r["name"] == generator)
}

/// The keys that applications know, with our template for them, and those that have none.
fn keys(external: &Value) -> (Vec<Carried>, Vec<String>) {
    let (mut carried, mut lost) = (Vec::new(), Vec::new());
    let Some(data) = external["spec"]["target"]["template"]["data"].as_object() else {
        // Without a template they are those of Shopify's answer.
        carried.push(Carried { key: "scope".to_owned(), template: "{{ scopes }}".to_owned() });
        return (carried, vec!["expires_in".to_owned()]);
    };
    for (key, value) in data {
        match value.as_str().and_then(translated) {
            Some(template) => carried.push(Carried { key: key.clone(), template }),
            None => lost.push(key.clone()),
        }
    }
    (carried, lost)
}

/// A template of Go's in ours, if it says nothing but values of Shopify's answer; what has a `{{` of its own is left out.
fn translated(go: &str) -> Option<String> {
    let mut ours = String::new();
    let mut rest = go;
    while let Some((before, after)) = rest.split_once("{{") {
        let (expression, end) = after.split_once("}}")?;
        let value = match expression.trim_matches('-').trim() {
            ".access_token" => "{{ access_token }}",
            ".scope" => "{{ scopes }}",
            _ => return None,
        };
        ours.extend([before, value]);
        rest = end;
    }
    Some(ours + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MigrateOptions {
        MigrateOptions { from: "webhook/shopify".into(), filename: None, shop: None, name: None }
    }

    fn generator(body: &str) -> Value {
        json!({"metadata": {"name": "shopify", "namespace": "shop"}, "spec": {
            "url": "https://acme.myshopify.com/admin/oauth/access_token", "method": "POST", "body": body,
            "headers": {"Content-Type": "application/x-www-form-urlencoded"}, "result": {"jsonPath": "$"},
            "secrets": [{"name": "auth", "secretRef": {"name": "shopify-creds"}}],
        }})
    }

    fn external(name: &str, target: &Value) -> Value {
        let source = json!({"sourceRef": {"generatorRef": {"kind": "Webhook", "name": "shopify"}}});
        json!({"metadata": {"name": name}, "spec": {"target": target, "dataFrom": [source], "refreshInterval": "12h"}})
    }

    #[test]
    fn a_generator_and_what_uses_it() {
        let generator = generator(
            "grant_type=client_credentials&client_id={{ .auth.id }}&client_secret={{ .auth.secret | urlquery }}",
        );
        let template = json!({"name": "web-env", "template": {"data": {
            "SHOPIFY_TOKEN": "{{ .access_token }}", "HEADER": "X-Token: {{ .access_token }}", "UNTIL": "{{ add .expires_in 5 }}",
        }}});
        let other = json!({"metadata": {"name": "other"}, "spec": {"dataFrom": [{"sourceRef": {"generatorRef": {"kind": "Password", "name": "shopify"}}}]}});
        let all = [external("web", &template), external("plain", &json!({})), other];
        insta::assert_snapshot!(draft(&generator, &all, &options()).unwrap().text().unwrap());
    }

    #[test]
    fn one_whose_keys_fit_needs_no_copy() {
        let generator = generator(
            r#"{"grant_type": "client_credentials", "client_id": "{{ .auth.client_id }}", "client_secret": "{{ .auth.client_secret }}"}"#,
        );
        let text = draft(&generator, &[], &options()).unwrap().text().unwrap();
        assert!(text.contains("name: shopify-creds") && !text.contains("First"), "{text}");
        assert!(text.contains("No ExternalSecret uses it"), "{text}");
    }

    #[test]
    fn what_cant_be_migrated_is_told() {
        let failure = draft(&generator("grant_type=password"), &[], &options()).unwrap_err();
        assert!(failure.to_string().contains("doesn't ask for a client-credentials grant"), "{failure}");
        let mut templated = generator("client_credentials");
        templated["spec"]["url"] = json!("https://{{ .auth.shop }}/admin/oauth/access_token");
        assert!(draft(&templated, &[], &options()).unwrap_err().to_string().contains("--shop"));
        let mut hostile =
            generator("grant_type=client_credentials&client_id={{ .auth.id }}&client_secret={{ .auth.s }}");
        hostile["spec"]["secrets"][0]["secretRef"]["name"] = json!("x; rm -rf /");
        assert!(
            draft(&hostile, &[], &options()).unwrap_err().to_string().contains("has signs that none in Kubernetes")
        );
    }
}
