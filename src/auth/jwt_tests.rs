use serde_json::json;

use super::*;
use crate::auth::sign::SigningKey;

const SECRET: &str = "a secret for tests, long enough for all";
const NOW: UnixMillis = UnixMillis(1_000_000_000_000);
const NOW_S: u64 = NOW.0 / 1000;

fn claims(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(claims) => claims,
        other => panic!("{other}"),
    }
}

fn token(value: Value) -> String {
    SigningKey::from_secret(SECRET)
        .unwrap()
        .sign(Algorithm::HS256, None, &claims(value))
        .unwrap()
}

fn check(token: &str, rules: &TokenRules) -> Result<Principal, ClientError> {
    let key = VerifyKey::from_secret(SECRET).unwrap();
    verify(&Parts::of(token)?, &[&key], rules, NOW)
}

fn reason_of(outcome: Result<Principal, ClientError>) -> &'static str {
    outcome.unwrap_err().reason.unwrap()
}

fn with(extra: Value) -> Value {
    let mut all = json!({"sub": "u", "org_id": "o", "exp": NOW_S + 60});
    for (name, value) in claims(extra) {
        all[name] = value;
    }
    all
}

#[test]
fn a_good_token_becomes_a_pass() {
    let value = with(json!({
        "iat": NOW_S - 5, "jti": "t1", "grants": {"channels": ["kpi"]}
    }));
    let principal = check(&token(value), &TokenRules::default()).unwrap();
    assert_eq!(principal.identity.user.as_str(), "u");
    assert_eq!(principal.identity.organization.as_str(), "o");
    assert_eq!(principal.expires_at, Some(UnixMillis(NOW.0 + 60_000)));
    assert_eq!(principal.issued_at, Some(UnixMillis(NOW.0 - 5000)));
    assert_eq!(principal.token_id.as_deref(), Some("t1"));
    assert_eq!(principal.grants.channels.unwrap().len(), 1);
}

#[test]
fn times_hold_to_the_second_with_the_leeway_beyond() {
    let rules = TokenRules {
        leeway_ms: 5000,
        ..TokenRules::default()
    };
    let ends = |exp: Value| check(&token(with(json!({ "exp": exp }))), &rules);
    // Within the leeway the connection lasts until the leeway is over.
    assert_eq!(
        ends(json!(NOW_S - 4)).unwrap().expires_at,
        Some(UnixMillis(NOW.0 + 1000))
    );
    assert_eq!(reason_of(ends(json!(NOW_S - 5))), reason::TOKEN_EXPIRED);
    assert!(ends(json!(1e300)).is_ok());
    for bad in [json!("soon"), json!(-1), json!([]), json!(true)] {
        assert_eq!(reason_of(ends(bad.clone())), reason::CLAIM_INVALID, "{bad}");
    }
    assert_eq!(reason_of(ends(json!(null))), reason::CLAIM_INVALID);
    for claim in ["nbf", "iat"] {
        let starts = |at: u64| check(&token(with(json!({ claim: at }))), &rules);
        assert!(starts(NOW_S + 5).is_ok());
        let early = reason_of(starts(NOW_S + 6));
        assert_eq!(early, reason::TOKEN_NOT_YET_VALID, "{claim}");
    }
}

#[test]
fn a_token_without_an_end_is_accepted_only_where_that_is_allowed() {
    let endless = token(json!({"sub": "u", "org_id": "o"}));
    assert!(check(&endless, &TokenRules::default()).is_err());
    let rules = TokenRules {
        require_exp: false,
        ..TokenRules::default()
    };
    assert_eq!(check(&endless, &rules).unwrap().expires_at, None);
}

#[test]
fn issuer_and_audience_must_be_among_those_asked_for() {
    let rules = TokenRules {
        issuers: vec!["https://id.example".into()],
        audiences: vec!["orgcast".into(), "rt".into()],
        ..TokenRules::default()
    };
    let outcome =
        |iss: Value, aud: Value| check(&token(with(json!({"iss": iss, "aud": aud}))), &rules);
    let good = json!("https://id.example");
    assert!(outcome(good.clone(), json!("rt")).is_ok());
    assert!(outcome(good.clone(), json!(["x", "orgcast"])).is_ok());
    for aud in [
        json!("other"),
        json!([]),
        json!(null),
        json!(7),
        json!("orgcas"),
    ] {
        let outcome = outcome(good.clone(), aud.clone());
        assert_eq!(reason_of(outcome), reason::AUDIENCE_REFUSED, "{aud}");
    }
    for iss in [json!("https://id.example/"), json!(null), json!([good])] {
        let outcome = outcome(iss.clone(), json!("rt"));
        assert_eq!(reason_of(outcome), reason::ISSUER_REFUSED, "{iss}");
    }
}

#[test]
fn every_alias_names_user_and_organization_and_two_that_differ_are_refused() {
    let rules = TokenRules::default();
    for user in USER.0 {
        for organization in ORGANIZATION.0 {
            let value = json!({*user: "u", *organization: "o", "exp": NOW_S + 60});
            let principal = check(&token(value), &rules).unwrap();
            assert_eq!(principal.identity.organization.as_str(), "o");
        }
    }
    let two = with(json!({"tenant_id": "p"}));
    assert_eq!(reason_of(check(&token(two), &rules)), reason::CLAIM_INVALID);
}

#[test]
fn claim_names_can_be_chosen_and_may_lead_into_objects() {
    let rules = TokenRules {
        user_claims: vec!["https://a.example/uid".into(), "sub".into()],
        organization_claims: vec!["app.org".into()],
        grants_claim: "https://a.example/can".into(),
        ..TokenRules::default()
    };
    let value = json!({
        "sub": "other", "https://a.example/uid": 7, "app": {"org": "o"}, "org_id": "ignored",
        "https://a.example/can": {"queues": ["q"]}, "exp": NOW_S + 60,
    });
    let principal = check(&token(value), &rules).unwrap();
    assert_eq!(principal.identity.user.as_str(), "7");
    assert_eq!(principal.identity.organization.as_str(), "o");
    assert!(principal.grants.nodes.is_some());
    let missing = with(json!({}));
    assert_eq!(
        reason_of(check(&token(missing), &rules)),
        reason::CLAIM_INVALID
    );
}

#[test]
fn what_is_not_a_token_is_told_so() {
    let good = token(with(json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let header_of = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let rules = TokenRules::default();
    for bad in [
        String::new(),
        "..".into(),
        "a.b".into(),
        "a.b.c.d.e".into(),
        good.replace('.', " "),
        format!("{header}=.{payload}.{signature}"),
        format!("{}.{payload}.{signature}", header_of(json!([]))),
        format!(
            "{}.{payload}.{signature}",
            header_of(json!({"alg": "HS256", "crit": ["exp"]}))
        ),
        "x".repeat(20_000),
    ] {
        assert_eq!(
            reason_of(check(&bad, &rules)),
            reason::TOKEN_MALFORMED,
            "{bad}"
        );
    }
    for algorithm in ["none", "None", "NONE", "hs256", "HS257", "", "RS256"] {
        let bad = format!(
            "{}.{payload}.{signature}",
            header_of(json!({"alg": algorithm}))
        );
        let outcome = check(&bad, &rules);
        assert_eq!(reason_of(outcome), reason::ALGORITHM_REFUSED, "{algorithm}");
    }
    for bad in [
        format!("{message}."),
        format!("{message}.{}", &signature[..signature.len() - 1]),
        format!("{header}.{}.{signature}", header_of(json!({"sub": "root"}))),
        format!("{message}.{signature}=="),
    ] {
        assert_eq!(
            reason_of(check(&bad, &rules)),
            reason::SIGNATURE_INVALID,
            "{bad}"
        );
    }
}

#[test]
fn an_algorithm_that_is_not_allowed_is_refused_although_a_key_suits_it() {
    let rules = TokenRules {
        algorithms: vec![Algorithm::HS512],
        ..TokenRules::default()
    };
    let outcome = check(&token(with(json!({}))), &rules);
    assert_eq!(reason_of(outcome), reason::ALGORITHM_REFUSED);
}

#[test]
fn parts_of_a_millisecond_neither_end_a_token_early_nor_make_it_later() {
    let part = 0.0004;
    #[expect(clippy::cast_precision_loss, reason = "it has fewer bits")]
    let now = NOW_S as f64;
    let value = with(json!({ "exp": now + 60.0 + part, "iat": now - 5.0 + part }));
    let principal = check(&token(value), &TokenRules::default()).unwrap();
    assert_eq!(principal.expires_at, Some(UnixMillis(NOW.0 + 60_001)));
    assert_eq!(principal.issued_at, Some(UnixMillis(NOW.0 - 5000)));
}
