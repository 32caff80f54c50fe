//! What a template may cost: allocation, time and stack, measured, for whatever a template says.
//!
//! Each rendering runs on a thread with a small stack, so that deep nesting shows.

#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "what breaks should end the test")]

use std::{
    thread,
    time::{Duration, Instant},
};

use allocation_counter::{AllocationInfo, measure};
use proptest::{collection::vec, prelude::*, sample::select};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use shopify_token_operator::{
    api::{ShopifyTokenSpec, SourceKind},
    core::{
        failure::Failure,
        render::{Data, Values, check, render},
        vocabulary::Reason,
    },
    time::Timestamp,
};

/// Most bytes that a rendering may hold at a time.
const ALLOCATION: u64 = 8 * 1024 * 1024;
/// Longest time of a rendering, with optimisation off and other builds running.
const TIME: Duration = Duration::from_secs(2);
/// Half of what the runtime gives to a thread.
const STACK: usize = 1024 * 1024;
/// Stands for every credential.
const CANARY: &str = "canaryc0ffee";

fn spec(data: &Map<String, Value>) -> ShopifyTokenSpec {
    let secret = json!({"template": {"data": data}});
    serde_json::from_value(json!({"shop": "acme.myshopify.com", "source": {}, "secret": secret})).unwrap()
}

/// Checks and renders within the bounds, or fails.
fn bounded(data: &Map<String, Value>) -> Result<Data, Failure> {
    let spec = spec(data);
    let run = move || {
        let (token, begun) = (SecretString::from(CANARY), Instant::now());
        let values = Values {
            value: &token,
            previous_value: Some(&token),
            older_values: &[],
            shop_domain: "acme.myshopify.com",
            api_version: "2026-10",
            scopes: &["read_orders".into(), "read_products".into()],
            expires_at: Some(Timestamp::default()),
            session: None,
            client: None,
        };
        let (mut checked, mut rendered) = (None, None);
        let of_check = measure(|| checked = Some(check(&spec, SourceKind::Offline)));
        let of_render = measure(|| rendered = Some(render(&spec, SourceKind::Offline, &values)));
        (checked.unwrap(), rendered.unwrap(), of_check, of_render, begun.elapsed())
    };
    let thread = thread::Builder::new().stack_size(STACK).spawn(run).unwrap();
    let (checked, rendered, of_check, of_render, took) = thread.join().expect("a rendering doesn't panic");
    for AllocationInfo { bytes_max, .. } in [of_check, of_render] {
        assert!(bytes_max <= ALLOCATION, "{bytes_max} bytes at a time");
    }
    assert!(took <= 3 * TIME, "{took:?} for a check, which renders twice, and a rendering");
    for failure in checked.as_ref().err().into_iter().chain(rendered.as_ref().err()) {
        assert_eq!(failure.reason, Reason::InvalidTemplate);
        assert!(!failure.message.contains(CANARY), "{}", failure.message);
        assert!(failure.message.len() < 1024, "{} bytes", failure.message.len());
    }
    rendered
}

fn one(template: &str) -> Result<Data, Failure> {
    bounded(&Map::from_iter([("KEY".to_owned(), json!(template))]))
}

/// Each took the process with it, or held a thread for good.
#[test]
fn nothing_multiplies() {
    let cut = |text: String| text.chars().take(65_000).collect::<String>();
    let long = "x".repeat(30_000);
    let doubled: String = (0..400).map(|_| "{% set x = x ~ x %}").collect();
    for template in [
        "{{ access_token|indent(100000000000) }}".to_owned(),
        "{% for a in range(9000) %}{{ ('a' * 20000000)|upper|lower }}{% endfor %}".to_owned(),
        "{{ 'a' * 20000000 == 'a' * 20000000 }}".to_owned(),
        "{{ 'a' * 9223372036854775807 }}".to_owned(),
        "{{ [1] * 1000000000 }}".to_owned(),
        "{{ 9 ** 9 ** 9 ** 9 }}".to_owned(),
        "{{ '%1000000000s'|format(access_token) }}".to_owned(),
        "{{ range(100000)|list|join('aaaaaaaaaaaaaaaaaaa') }}".to_owned(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}".to_owned(),
        format!("{{% set x = '{long}' %}}{doubled}{{{{ x }}}}"),
        format!("{{% set x = '{long}' %}}{}", "{{ x == x }}".repeat(2000)),
        format!("{{% set x = '{long}' %}}{}", "{{ 'xy' in x }}".repeat(2000)),
        format!("{{{{ '{long}'{} }}}}", "|replace('x', 'xxxxxxxx')".repeat(10)),
        format!("{{{{ '{long}'|split('x')|tojson }}}}"),
        format!("{{% set x = '{long}'|split('x') %}}{}{}", "{% for a in x %}".repeat(9), "{% endfor %}".repeat(9)),
        format!("{{% for a in '{}'|split(',') %}}{long}{{% endfor %}}", "a,".repeat(10_000)),
    ] {
        let failure = one(&cut(template.clone())).expect_err(&template[..60.min(template.len())]);
        assert!(failure.message.starts_with("spec.secret.template.data"), "{}", failure.message);
    }
}

/// As deep as 64 KiB allow.
#[test]
fn nothing_is_too_deep() {
    let many = |open: &str, close: &str| {
        let count = 65_000 / (open.len() + close.len());
        format!("{}{}", open.repeat(count), close.repeat(count))
    };
    for template in [
        "{{ ".to_owned() + &many("(", ")") + " }}",
        "{{ ".to_owned() + &many("[", "]") + " }}",
        "{{ ".to_owned() + &many("{1:", "}") + " }}",
        "{{ ".to_owned() + &many("not ", "") + "a }}",
        "{{ ".to_owned() + &many("-", "") + "1 }}",
        "{{ 1 ".to_owned() + &many("if 1 else 1 ", "") + "}}",
        "{{ 1".to_owned() + &many("|f", "") + " }}",
        "{{ 1".to_owned() + &many("~1", "") + " }}",
        "{{ 1".to_owned() + &many(" is f", "") + " }}",
        "{{ a".to_owned() + &many(".a", "") + " }}",
        "{{ a".to_owned() + &many("()", "") + " }}",
        "{% set ".to_owned() + &many("(", ")") + " = 1 %}",
        "{% if a %}".to_owned() + &many("{% elif a %}", "") + "{% endif %}",
        many("{% if a %}", "{% endif %}"),
        many("{% for a in b %}", "{% endfor %}"),
        many("{% filter upper %}", "{% endfilter %}"),
        many("{% if a %}", ""),
        many("{% set a %}", ""),
        many("{% set a|f(b=1) %}", ""),
        many("{% for a in b %}", ""),
    ] {
        one(&template).expect_err(&template[..40]);
    }
}

/// The sum counts, and it counts while it grows.
#[test]
fn many_large_keys_are_refused_before_they_are_held() {
    let text = "x".repeat(60_000);
    let large: Map<String, Value> = (0..64).map(|n| (format!("K{n}"), json!(text))).collect();
    assert!(bounded(&large).unwrap_err().message.contains("1 MiB"));
    // 30,000 bytes, made 1 MiB in each key.
    let made = format!("{{% set x = '{}' %}}{}{{{{ x }}}}", "x".repeat(30_000), "{% set x = x ~ x %}".repeat(5));
    let made: Map<String, Value> = (0..64).map(|n| (format!("K{n}"), json!(made))).collect();
    assert!(bounded(&made).is_err());
    let few: Map<String, Value> = (0..15).map(|n| (format!("K{n}"), json!(text))).collect();
    assert_eq!(bounded(&few).unwrap()["K7"].0.len(), 60_000);
}

/// Numbers that make something large, or nothing at all.
const NUMBERS: [&str; 8] =
    ["0", "1", "-1", "7", "20000000", "9223372036854775807", "340282366920938463463374607431768211455", "1e308"];
/// Names, real and not.
const NAMES: [&str; 9] =
    ["access_token", "previous_access_token", "scopes", "shop_domain", "expires_at", "a", "b", "loop", "self"];
/// Filters of the operator, of Jinja, and of nobody.
const FILTERS: [&str; 22] = [
    "b64encode",
    "default",
    "first",
    "join",
    "last",
    "length",
    "lower",
    "quote",
    "replace",
    "split",
    "tojson",
    "trim",
    "upper",
    "urlencode",
    "indent",
    "format",
    "list",
    "batch",
    "map",
    "int",
    "safe",
    "nothing",
];
/// What stands between two values.
const OPERATORS: [&str; 20] = [
    "~", "*", "**", "+", "-", "/", "//", "%", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "is", "|",
];
/// Statements, some without an end.
const STATEMENTS: [&str; 14] = [
    "else",
    "endif",
    "endfor",
    "endset",
    "raw",
    "endraw",
    "block x",
    "macro m()",
    "include a",
    "import a as b",
    "filter upper",
    "with a = 1",
    "autoescape true",
    "do a()",
];

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&NUMBERS[..]).prop_map(str::to_owned),
        select(&NAMES[..]).prop_map(str::to_owned),
        ("[a-zA-Zß,🐍İ]{1,4}", 1_usize..2000).prop_map(|(text, times)| format!("'{}'", text.repeat(times))),
        Just("range(1000000)".to_owned()),
        Just("[1, 'a', [a]]".to_owned()),
        Just("{'a': 1}".to_owned()),
        Just("loop.index".to_owned()),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    literal().prop_recursive(6, 64, 3, |inner| {
        prop_oneof![
            (inner.clone(), select(&OPERATORS[..]), inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (inner.clone(), select(&FILTERS[..])).prop_map(|(a, filter)| format!("{a}|{filter}")),
            (inner.clone(), select(&FILTERS[..]), inner.clone())
                .prop_map(|(a, filter, b)| format!("{a}|{filter}({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}|replace('a', {b})|replace({a}, {b})")),
            inner.clone().prop_map(|a| format!("{a}|split(',')|join({a})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}:]")),
            inner.clone().prop_map(|a| format!("not {a}.upper(*{a})")),
            (inner, 1_usize..30).prop_map(|(a, deep)| format!("{}{a}{}", "(".repeat(deep), ")".repeat(deep))),
        ]
    })
}

fn template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        expression().prop_map(|a| format!("{{{{ {a} }}}}")),
        expression().prop_map(|a| format!("{{% set a = {a} %}}")),
        Just("{% set a = a|default('x') ~ a|default('x') %}".to_owned()),
        select(&STATEMENTS[..]).prop_map(|statement| format!("{{% {statement} %}}")),
        "[ -~]{0,20}",
        any::<String>(),
    ];
    piece.prop_recursive(5, 128, 8, |inner| {
        prop_oneof![
            (expression(), vec(inner.clone(), 0..8))
                .prop_map(|(a, body)| format!("{{% if {a} %}}{}{{% endif %}}", body.concat())),
            (expression(), vec(inner.clone(), 0..8))
                .prop_map(|(a, body)| format!("{{% for a in {a}|split('a') %}}{}{{% endfor %}}", body.concat())),
            (vec(inner.clone(), 0..4), 1_usize..100).prop_map(|(body, times)| body.concat().repeat(times)),
            vec(inner, 0..8).prop_map(|body| body.concat()),
        ]
    })
}

/// A text, in the words that there are.
fn sound() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just("scopes".to_owned()),
        Just("access_token".to_owned()),
        Just("a|default(shop_domain)".to_owned()),
        ("[a-z,ß🐍İ\u{7}]{1,4}", 1_usize..60).prop_map(|(text, times)| format!("'{}'", text.repeat(times))),
    ];
    text.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), select(&["b64encode", "lower", "quote", "tojson", "trim", "upper", "urlencode"][..]))
                .prop_map(|(a, filter)| format!("({a})|{filter}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})|replace('a', {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})|split(',')|join({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) ~ ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) if ({b}) in ({a}) else ({b}))")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} or {b})")),
        ]
    })
}

/// A template that is sound, but for its size.
fn sound_template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        sound().prop_map(|a| format!("{{{{ {a} }}}}")),
        sound().prop_map(|a| format!("{{% set a = {a} %}}")),
        Just("{% set a = a|default('x') ~ a|default('x') %}".to_owned()),
    ];
    piece
        .prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                (sound(), vec(inner.clone(), 1..6))
                    .prop_map(|(a, body)| format!("{{% for b in ({a})|split('a') %}}{}{{% endfor %}}", body.concat())),
                (sound(), vec(inner.clone(), 1..6))
                    .prop_map(|(a, body)| format!("{{% if {a} %}}{}{{% endif %}}", body.concat())),
                (vec(inner, 1..6), 1_usize..20).prop_map(|(body, times)| body.concat().repeat(times)),
            ]
        })
        .prop_map(|text| format!("{{% set a = 'a' %}}{text}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_template_says(templates in vec(prop_oneof![template(), sound_template()], 1..4)) {
        let of = |(n, text): (usize, String)| (format!("K{n}"), json!(text.chars().take(65_000).collect::<String>()));
        if let Ok(data) = bounded(&templates.into_iter().enumerate().map(of).collect()) {
            let size: usize = data.iter().map(|(key, value)| key.len() + value.0.len()).sum();
            prop_assert!(size <= 1024 * 1024);
        }
    }
}
