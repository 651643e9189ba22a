//! What an attacker tries, as tables.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use orgcast::auth::key::Algorithm;
use serde_json::{Map, Value, json};

use super::server::Server;
use testkit::tokens::{
    RSA_PRIVATE, RSA_PUBLIC, claims, now_seconds, sign, sign_pem, sign_with, token,
};

/// What must never be heard outside `victim`.
pub const TREASURE: &str = "treasure-of-the-victim";

/// The claims of a token that is accepted, with `extra` over them.
pub fn good(extra: Value) -> Map<String, Value> {
    let mut claims = claims(
        "mallory",
        "evil",
        json!({"iss": "https://id.example", "aud": "orgcast"}),
    );
    if let Value::Object(extra) = extra {
        for (name, value) in extra {
            if value.is_null() {
                claims.remove(&name);
            } else {
                claims.insert(name, value);
            }
        }
    }
    claims
}

fn forged(header: &Value, claims: &Map<String, Value>, signature: &str) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let claims = Value::Object(claims.clone()).to_string();
    format!("{}.{}.{signature}", part(header.to_string()), part(claims))
}

/// HMAC with the text of a public key as its secret.
fn confused(claims: &Map<String, Value>) -> String {
    let unsigned = forged(&json!({"alg": "HS256"}), claims, "");
    let message = unsigned.trim_end_matches('.');
    let key = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Tokens that must be refused, each with its reason.
#[rustfmt::skip]
pub fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let now = now_seconds();
    let fine = sign(&good(json!({})));
    let (message, signature) = fine.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let other_payload = forged(
        &json!({"alg": "HS256"}),
        &good(json!({"organization_id": "victim"})),
        "",
    );
    let other_payload = other_payload.split('.').nth(1).unwrap().to_owned();
    let signed = |extra| sign(&good(extra));
    let none =
        |alg: &str, signature: &str| forged(&json!({"alg": alg}), &good(json!({})), signature);
    vec![
        ("words", "let me in".into(), "token_malformed"),
        ("two parts", message.to_owned(), "token_malformed"),
        ("four parts", format!("{fine}.x"), "token_malformed"),
        ("five parts (JWE)", "a.b.c.d.e".into(), "token_malformed"),
        ("a truncated header", format!("{}.{payload}.{signature}", &header[..header.len() - 3]), "token_malformed"),
        ("a truncated signature", fine[..fine.len() - 2].to_owned(), "signature_invalid"),
        ("no signature", format!("{message}."), "signature_invalid"),
        ("another payload under the signature", format!("{header}.{other_payload}.{signature}"), "signature_invalid"),
        ("a flipped signature", format!("{message}.{}", signature.chars().rev().collect::<String>()), "signature_invalid"),
        ("17 KiB", format!("{fine}{}", "x".repeat(17 * 1024)), "token_malformed"),
        ("critical extensions", forged(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &good(json!({})), signature), "token_malformed"),
        ("a kid that is no string", forged(&json!({"alg": "HS256", "kid": {"$ne": 1}}), &good(json!({})), signature), "token_malformed"),
        ("none", none("none", ""), "algorithm_refused"),
        ("None", none("None", ""), "algorithm_refused"),
        ("nOnE with a signature", none("nOnE", signature), "algorithm_refused"),
        ("no algorithm", forged(&json!({}), &good(json!({})), signature), "algorithm_refused"),
        ("an algorithm in a list", forged(&json!({"alg": ["HS256"]}), &good(json!({})), signature), "algorithm_refused"),
        ("RS256 where only secrets are", sign_pem(RSA_PRIVATE, Algorithm::RS256, None, &good(json!({}))), "algorithm_refused"),
        ("an HMAC by the public key", confused(&good(json!({}))), "signature_invalid"),
        ("another secret", sign_with(&"s".repeat(40), Algorithm::HS256, &good(json!({}))), "signature_invalid"),
        ("expired", signed(json!({"exp": now - 10.0})), "token_expired"),
        ("expired in 1970", signed(json!({"exp": 1})), "token_expired"),
        ("not yet valid", signed(json!({"nbf": now + 60.0})), "token_not_yet_valid"),
        ("no end", signed(json!({"exp": null})), "claim_invalid"),
        ("an end in words", signed(json!({"exp": "2099-01-01"})), "claim_invalid"),
        ("an end before time", signed(json!({"exp": -5})), "claim_invalid"),
        ("another issuer", signed(json!({"iss": "https://id.example.evil"})), "issuer_refused"),
        ("no issuer", signed(json!({"iss": null})), "issuer_refused"),
        ("another audience", signed(json!({"aud": "elsewhere"})), "audience_refused"),
        ("no audience", signed(json!({"aud": null})), "audience_refused"),
        ("no organization", signed(json!({"organization_id": null})), "claim_invalid"),
        ("no user", signed(json!({"sub": null})), "claim_invalid"),
        ("two organizations", signed(json!({"tenant_id": "victim"})), "claim_invalid"),
        ("two users", signed(json!({"user_id": "admin"})), "claim_invalid"),
        ("an organization in a list", signed(json!({"organization_id": ["evil", "victim"]})), "claim_invalid"),
        ("an empty organization", signed(json!({"organization_id": ""})), "claim_invalid"),
        ("an organization with NUL", signed(json!({"organization_id": "victim\u{0}"})), "claim_invalid"),
        ("an organization of 10 KB", signed(json!({"organization_id": "v".repeat(10_000)})), "claim_invalid"),
        ("grants in a list", signed(json!({"grants": ["kpi"]})), "claim_invalid"),
        ("a misspelt grant", signed(json!({"grants": {"chanels": ["kpi"]}})), "claim_invalid"),
    ]
}

/// Messages of an attacker who is a member of `evil`, each with the code that answers it.
#[rustfmt::skip]
pub fn bad_messages() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let victims = || sign(&good(json!({"sub": "alice", "organization_id": "victim"})));
    let own = || sign(&good(json!({})));
    let mut cases = vec![
        ("says to be another", "authenticate", json!({"user_id": "alice", "organization_id": "victim"}), "AUTH_FAILED"),
        ("says who it is", "authenticate", json!({"user_id": "mallory", "organization_id": "evil"}), "AUTH_FAILED"),
        ("becomes another", "authenticate", json!({"token": victims()}), "UNAUTHORIZED"),
        ("another organization beside the token", "authenticate", json!({"token": own(), "organization_id": "victim"}), "UNAUTHORIZED"),
        ("another user beside the token", "authenticate", json!({"token": own(), "user_id": "alice"}), "UNAUTHORIZED"),
        ("a token that is no string", "authenticate", json!({"token": {"alg": "none"}}), "INVALID_MESSAGE"),
        ("nothing", "authenticate", json!({}), "AUTH_FAILED"),
        ("the room of the organization as a channel", "subscribe", json!({"channels": ["org:victim"]}), "SUBSCRIPTION_FAILED"),
        ("a room's whole name as a channel", "subscribe", json!({"channels": ["kpi:org:victim"]}), "SUBSCRIPTION_FAILED"),
        ("the channel org", "subscribe", json!({"channels": ["org"]}), "SUBSCRIPTION_FAILED"),
        ("a star", "subscribe", json!({"channels": ["*"]}), "SUBSCRIPTION_FAILED"),
        ("a pattern", "subscribe", json!({"channels": ["kpi*"]}), "SUBSCRIPTION_FAILED"),
        ("a channel in capitals", "subscribe", json!({"channels": ["KPI"]}), "SUBSCRIPTION_FAILED"),
        ("a channel with NUL", "subscribe", json!({"channels": ["kpi\u{0}"]}), "SUBSCRIPTION_FAILED"),
        ("every organization", "subscribe", json!({"channels": ["kpi"], "organization_id": "*"}), "UNAUTHORIZED"),
        ("an organization with a separator", "subscribe", json!({"channels": ["kpi"], "organization_id": "evil:org:victim"}), "UNAUTHORIZED"),
        ("an encoded organization", "subscribe", json!({"channels": ["kpi"], "organization_id": "%76ictim"}), "UNAUTHORIZED"),
        ("an organization in capitals", "subscribe", json!({"channels": ["kpi"], "organization_id": "VICTIM"}), "UNAUTHORIZED"),
        ("an organization with NUL", "subscribe", json!({"channels": ["kpi"], "organization_id": "victim\u{0}"}), "INVALID_MESSAGE"),
        ("an organization of 10 KB", "subscribe", json!({"channels": ["kpi"], "organization_id": "v".repeat(10_000)}), "INVALID_MESSAGE"),
        ("an organization in a list", "subscribe", json!({"channels": ["kpi"], "organization_id": ["victim"]}), "INVALID_MESSAGE"),
        ("an organization inside filters", "subscribe", json!({"channels": ["kpi"], "filters": {"companyId": "victim"}}), "UNAUTHORIZED"),
        ("one outside, another inside filters", "subscribe", json!({"channels": ["kpi"], "org_id": "evil", "filters": {"org_id": "victim"}}), "INVALID_MESSAGE"),
        ("two that differ", "subscribe", json!({"channels": ["kpi"], "org_id": "evil", "storeId": "victim"}), "INVALID_MESSAGE"),
        ("leaves another's room", "unsubscribe", json!({"channels": ["all"], "organization_id": "victim"}), "UNAUTHORIZED"),
        ("publishes", "publish", json!({"event": "kpi:update", "data": TREASURE}), "UNAUTHORIZED"),
        ("publishes elsewhere", "publish", json!({"event": "kpi:update", "target": {"organization_id": "victim"}}), "UNAUTHORIZED"),
        ("publishes to connections", "publish", json!({"event": "kpi:update", "target": {"socket_ids": ["x"]}}), "INVALID_MESSAGE"),
        ("publishes to all", "publish", json!({"event": "kpi:update", "target": {"all": true}}), "INVALID_MESSAGE"),
        ("sends a server's event", "kpi:update", json!({"organization_id": "victim"}), "INVALID_MESSAGE"),
        ("acknowledges what it did not get", "ack", json!({"id": "01890000-0000-7000-8000-000000000000"}), "INVALID_MESSAGE"),
    ];
    for name in [
        "organization_id",
        "organizationId",
        "org_id",
        "orgId",
        "company_id",
        "companyId",
        "tenant_id",
        "tenantId",
        "store_id",
        "storeId",
    ] {
        let subscription = json!({"channels": ["all"], name: "victim"});
        cases.push((
            "another organization by an alias",
            "subscribe",
            subscription,
            "UNAUTHORIZED",
        ));
    }
    cases
}

/// Calls of the API with a key of `evil`, or with a wrong one, and how they end.
#[rustfmt::skip]
pub fn bad_calls(server: &Server, victim: &str) -> Vec<(&'static str, String, String, Value, u16)> {
    let keys = &server.keys;
    let post = "POST /api/ws/broadcast";
    let event =
        |target: Value| json!({"event": "kpi:update", "data": "from evil", "target": target});
    let (all, reader, sender) = (&keys.evil, &keys.evil_reader, &keys.evil_sender);
    let connection = format!("GET /api/ws/connections/{victim}");
    let rows: Vec<(&'static str, &str, &String, Value, u16)> = vec![
        ("broadcasts elsewhere", post, all, event(json!({"organization_id": "victim"})), 403),
        ("to a department elsewhere", post, all, event(json!({"companyId": "victim", "deptId": "d"})), 403),
        ("to users elsewhere", post, all, event(json!({"org_id": "victim", "user_ids": ["alice"]})), 403),
        ("to connections elsewhere", post, all, event(json!({"org_id": "victim", "socket_ids": [victim]})), 403),
        ("to everyone", post, all, event(json!({"all": true})), 403),
        ("shortcut elsewhere", "POST /api/ws/broadcast/kpi", all, json!({"organization_id": "victim"}), 403),
        ("alert elsewhere", "POST /api/ws/broadcast/alert", all, json!({"tenantId": "victim"}), 403),
        ("lists another's connections", "GET /api/ws/connections?organization_id=victim", all, json!(null), 403),
        ("the same by an alias", "GET /api/ws/connections?storeId=victim", all, json!(null), 403),
        ("lists another's rooms", "GET /api/ws/rooms?orgId=victim", all, json!(null), 403),
        ("another's connection", &connection, all, json!(null), 404),
        ("another's user", "GET /api/ws/connections/alice", all, json!(null), 404),
        ("revokes another's user", "POST /api/ws/revoke", all, json!({"user_id": "alice", "organization_id": "victim"}), 403),
        ("reads with a sender's key", "GET /api/ws/stats", sender, json!(null), 403),
        ("lists with a sender's key", "GET /api/ws/connections", sender, json!(null), 403),
        ("sends with a reader's key", post, reader, event(json!({"organization_id": "evil"})), 403),
        ("revokes with a reader's key", "POST /api/ws/revoke", reader, json!({"user_id": "mallory"}), 403),
        ("revokes with a sender's key", "POST /api/ws/revoke", sender, json!({"user_id": "mallory"}), 403),
        ("sends with an operator's reading key", post, &keys.read_only, event(json!({"all": true})), 403),
    ];
    let mut calls: Vec<_> = rows
        .into_iter()
        .map(|(what, route, key, body, status)| (what, route.to_owned(), key.clone(), body, status))
        .collect();
    for key in [
        String::new(),
        "ock_".into(),
        keys.victim[..keys.victim.len() - 1].to_owned(),
        keys.victim.to_uppercase(),
        "sha256:0000".into(),
        token("alice", "victim"),
    ] {
        let body = event(json!({"organization_id": "victim"}));
        calls.push(("a wrong key", post.to_owned(), key, body, 401));
    }
    calls
}

/// Origins that are not `http://localhost:3000`.
pub const ORIGINS: [&str; 9] = [
    "null",
    "http://localhost:3001",
    "http://localhost",
    "https://localhost:3000",
    "http://localhost:3000.evil.example",
    "http://evil-localhost:3000",
    "http://localhost:30000",
    "http://user@localhost:3000",
    "file://",
];
