//! The fields in which a system reads its events, by how its token spells the organization.

use std::time::SystemTime;

use orgcast::auth::key::Algorithm;
use serde_json::{Map, Value, json};

use testkit::plain::Plain;
use testkit::process::Server;
use testkit::tokens::sign_with;

const SECRET: &str = "a secret of at least 32 bytes, for this test";

fn token(claim: &str, organization: &Value) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = Map::from_iter([
        ("sub".to_owned(), json!("u")),
        ("exp".to_owned(), json!(now + 600)),
        ("grants".to_owned(), json!({"events": ["kpi:update"]})),
        (claim.to_owned(), organization.clone()),
    ]);
    sign_with(SECRET, Algorithm::HS256, &claims)
}

/// What a client hears that sends these, the event that it publishes itself and the answers.
async fn heard(server: &Server, query: &str, messages: &[Value]) -> Vec<Value> {
    let mut client = Plain::connect(server, query).await;
    let mut heard = Vec::new();
    if query.contains("token=") {
        heard.push(client.next().await);
    }
    for message in messages {
        client.send(&message.to_string()).await;
        heard.push(client.next().await);
    }
    heard.push(client.next().await);
    heard
}

#[tokio::test]
async fn a_token_s_spelling_of_the_organization_decides_as_the_client_s_own_does() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let flags = ["--auth.jwt-secret-file", secret.to_str().unwrap()];
    let server = Server::start(&flags).await;
    let claim_path = ["--auth.organization-claims", "app.tenant_id"];
    let by_path = Server::start(&[&flags[..], &claim_path].concat()).await;
    let path = json!({"tenant_id": "o"});
    for (server, member, claim, value, is_text, tenant) in [
        (
            &server,
            "payload",
            "tenant_id",
            json!("o"),
            true,
            "tenant_id",
        ),
        (
            &server,
            "payload",
            "tenantId",
            json!("o"),
            true,
            "tenant_id",
        ),
        (
            &server,
            "payload",
            "companyId",
            json!("o"),
            false,
            "companyId",
        ),
        (&server, "data", "storeId", json!("o"), true, "storeId"),
        (&server, "data", "tenant_id", json!("o"), false, "companyId"),
        (&by_path, "payload", "app", path, true, "tenant_id"),
    ] {
        let token = token(claim, &value);
        let say = |kind: &str, data: Value| json!({"type": kind, member: data});
        let rest = [
            say("subscribe", json!({"channels": ["kpi"]})),
            say("publish", json!({"event": "kpi:update", "data": 1})),
        ];
        let envelope = format!("?envelope=type_{member}");
        let by_query = heard(server, &format!("{envelope}&token={token}"), &rest).await;
        let first = say("authenticate", json!({ "token": token }));
        let by_message = heard(server, &envelope, &[&[first], &rest[..]].concat()).await;
        for all in [by_query, by_message] {
            let kinds: Vec<_> = all.iter().map(|message| message["type"].as_str()).collect();
            let expected = [
                "authenticated",
                "client:subscribe",
                "kpi:update",
                "client:publish",
            ];
            assert_eq!(kinds, expected.map(Some));
            for message in &all {
                assert_eq!(
                    message["timestamp"].is_string(),
                    is_text,
                    "{claim}: {message}"
                );
            }
            assert_eq!(all[2][tenant], "o", "{claim}: {}", all[2]);
        }
    }
}
