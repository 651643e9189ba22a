//! The description of the API is what the server does: its routes, and the bodies that are sent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::http::{get, request};
use testkit::plain::Plain;
use testkit::process::Server;

const README: &str = include_str!("../../README.md");
const ROUTER: &str = include_str!("../../src/http/router.rs");

/// Routes of the README that are no routes of the API.
const OTHERS: [&str; 5] = ["/", "/assets/...", "/docs", "/openapi.json", "/ws"];

/// What the server says about itself, and which of it was seen.
struct Description {
    document: Value,
    seen: BTreeSet<(String, String)>,
}

impl Description {
    async fn of(server: &Server) -> Self {
        let mut document = server.get("/openapi.json").await;
        // What is not described must not be sent.
        let schemas = document["components"]["schemas"].as_object_mut().unwrap();
        for schema in schemas.values_mut() {
            if schema.get("properties").is_some() {
                schema["additionalProperties"] = false.into();
            }
        }
        Self {
            document,
            seen: BTreeSet::new(),
        }
    }

    fn operations(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let paths = self.document["paths"].as_object().unwrap();
        paths
            .iter()
            .map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                (path.as_str(), methods.map(String::as_str).collect())
            })
            .collect()
    }

    fn hold(&self, what: &str, schema: &Value, body: &Value) {
        assert!(schema.is_object(), "{what} is not described");
        let problems = self.problems(schema, body);
        assert!(problems.is_empty(), "{what}: {problems:?} in {body}");
    }

    fn problems(&self, schema: &Value, body: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        validator
            .iter_errors(body)
            .map(|problem| format!("{problem} at {}", problem.instance_path()))
            .collect()
    }

    /// Sends a request to a route, which is named as it is described, and holds both bodies against
    /// the description. Returns the answer's.
    async fn ask(
        &mut self,
        server: &Server,
        (method, route, path): (&str, &str, &str),
        body: Option<Value>,
        status: u16,
    ) -> Value {
        let what = format!("{method} {path}");
        let operation = &self.document["paths"][route][method.to_lowercase()];
        assert!(operation.is_object(), "{what} is not described");
        if let Some(body) = &body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            // A shortcut's body is a payload, which may have more members than are described.
            if !route.starts_with("/api/ws/broadcast/") {
                self.hold(&format!("the body of {what}"), schema, body);
            }
        }
        let (found, answer) = server.request(method, path, body.as_ref()).await;
        assert_eq!(found, status, "{what}: {answer}");
        let responses = &operation["responses"];
        let response = responses.get(status.to_string());
        let response = response.unwrap_or(&responses["default"]);
        let schema = &response["content"]["application/json"]["schema"];
        self.hold(&format!("{what} with {status}"), schema, &answer);
        if status == 200 {
            self.seen.insert((method.to_lowercase(), route.to_owned()));
        }
        answer
    }
}

#[tokio::test]
async fn every_body_is_what_its_description_says() {
    let server = Server::start(&[]).await;
    let mut api = Description::of(&server).await;
    let mut client = Plain::connect(&server, "?userId=u1&companyId=org_1").await;
    assert_eq!(client.next().await["event"], "authenticated");
    let place = json!({"channels": ["kpi"], "department_id": "d", "queue_name": "q"});
    client.ask("subscribe", place).await;
    let mut other = Plain::connect(&server, "?userId=u2&companyId=org_1").await;
    assert_eq!(other.next().await["event"], "authenticated");
    let _unknown = Plain::connect(&server, "").await;

    let kpi = json!({
        "event": "kpi:update",
        "data": {"any": ["thing", null]},
        "target": {"organization_id": "org_1", "department_id": "d", "queue_name": "q"},
        "priority": "low",
        "requires_ack": true,
        "cascade": true,
    });
    let at = "/api/ws/broadcast";
    for path in [at, "/api/ws/broadcast?wait_ms=1"] {
        let receipt = api.ask(&server, ("POST", at, path), Some(kpi.clone()), 200);
        assert_eq!(receipt.await["recipients"], 1);
    }
    let notification = json!({"title": "t", "body": "b", "excludeUserIds": ["u2"]});
    let users = json!({"organization_id": "org_1", "user_ids": ["u1"]});
    let event = |target: Value| json!({"event": "notification", "data": 1, "target": target});
    for body in [notification, event(users), event(json!({"all": true}))] {
        api.ask(&server, ("POST", at, at), Some(body), 200).await;
    }
    for name in ["kpi", "backlog", "attendance", "alert"] {
        let at = format!("{at}/{name}");
        let payload = json!({"organization_id": "org_1", "n": 1});
        api.ask(&server, ("POST", &at, &at), Some(payload), 200)
            .await;
    }

    let lists = ["/api/ws/connections", "/api/ws/rooms"];
    for at in lists {
        let first = format!("{at}?limit=1");
        let first = api.ask(&server, ("GET", at, &first), None, 200).await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let next = format!("{at}?organization_id=org_1&cursor={cursor}");
        api.ask(&server, ("GET", at, &next), None, 200).await;
    }
    let found = server.get("/api/ws/connections").await;
    let id = found["connections"][0]["socket_id"].as_str().unwrap();
    let event = event(json!({"socket_ids": [id]}));
    api.ask(&server, ("POST", at, at), Some(event), 200).await;
    let at = "/api/ws/connections/{id}";
    for (id, status) in [(id, 200), ("u1", 200), ("nobody", 404)] {
        let path = format!("/api/ws/connections/{id}");
        api.ask(&server, ("GET", at, &path), None, status).await;
    }
    let at = "/api/ws/stats";
    for path in [at, "/api/ws/stats?organization_id=org_1"] {
        api.ask(&server, ("GET", at, path), None, 200).await;
    }
    for at in ["/api/ws/health", "/healthz", "/readyz"] {
        api.ask(&server, ("GET", at, at), None, 200).await;
    }
    for at in ["/api/ws/history", "/api/ws/latest"] {
        for organization in ["org_1", "nobody"] {
            let path = format!("{at}?organization_id={organization}");
            api.ask(&server, ("GET", at, &path), None, 200).await;
        }
        api.ask(&server, ("GET", at, at), None, 400).await;
    }

    let at = "/api/ws/disconnect/{userId}";
    api.ask(&server, ("POST", at, "/api/ws/disconnect/u2"), None, 200)
        .await;
    let at = "/api/ws/revoke";
    for body in [
        json!({"user_id": "u1", "organization_id": "org_1"}),
        json!({"jti": "t", "expires_at": 4_000_000_000_u64}),
        json!({"jti": "s", "expires_at": "2100-01-01T00:00:00Z"}),
    ] {
        api.ask(&server, ("POST", at, at), Some(body), 200).await;
    }
    let at = "/api/ws/revocations";
    for path in [at, "/api/ws/revocations?limit=1"] {
        api.ask(&server, ("GET", at, path), None, 200).await;
    }
    for status in [200, 404] {
        let path = "/api/ws/revocations?jti=t";
        api.ask(&server, ("DELETE", at, path), None, status).await;
    }

    // Its body is no JSON; the tests of the metrics read it.
    api.seen.insert(("get".to_owned(), "/metrics".to_owned()));
    let described: BTreeSet<(String, String)> = api
        .operations()
        .into_iter()
        .flat_map(|(path, methods)| {
            methods
                .into_iter()
                .map(|method| (method.to_owned(), path.to_owned()))
        })
        .collect();
    assert_eq!(api.seen, described);
}

#[tokio::test]
async fn a_body_that_is_not_as_it_is_described_is_found() {
    let server = Server::start(&[]).await;
    let api = Description::of(&server).await;
    let response = &api.document["paths"]["/api/ws/stats"]["get"]["responses"]["200"];
    let schema = &response["content"]["application/json"]["schema"];
    let good = server.get("/api/ws/stats").await;
    assert_eq!(api.problems(schema, &good), Vec::<String>::new());
    let mut with_more = good.clone();
    with_more["stats"]["more"] = 1.into();
    let mut with_less = good.clone();
    with_less.as_object_mut().unwrap().remove("queueStats");
    let mut of_another_type = good.clone();
    of_another_type["stats"]["deliveries"] = "many".into();
    for bad in [with_more, with_less, of_another_type] {
        assert_ne!(api.problems(schema, &bad), Vec::<String>::new(), "{bad}");
    }
}

#[tokio::test]
async fn refusals_are_what_their_description_says() {
    let server = Server::start(&["--max-message-size-bytes", "2048"]).await;
    let mut api = Description::of(&server).await;
    let at = "/api/ws/broadcast";
    for (path, body, status) in [
        ("/api/ws/broadcast?nothing=1", json!({}), 400),
        (
            at,
            json!({"event": "unheard:of", "target": {"all": true}}),
            400,
        ),
        (at, json!({"title": "t".repeat(4096)}), 413),
    ] {
        api.ask(&server, ("POST", at, path), Some(body), status)
            .await;
    }
    let at = "/api/ws/rooms";
    let path = "/api/ws/rooms?cursor=no";
    let refused = api.ask(&server, ("GET", at, path), None, 400).await;
    assert_eq!(refused["error"]["code"], "INVALID_MESSAGE");
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so_as_it_is_described() {
    let mut server = Server::start(&["--drain-delay-ms", "3000"]).await;
    let mut api = Description::of(&server).await;
    server.send_signal("TERM");
    let draining = async {
        while get(server.address, "/readyz").await.status != 503 {
            tokio::task::yield_now().await;
        }
    };
    testkit::wait::within("the end", draining).await;
    for at in ["/api/ws/health", "/readyz"] {
        let answer = api.ask(&server, ("GET", at, at), None, 503).await;
        assert_eq!(answer["status"], "draining");
    }
    server.child.kill().await.unwrap();
}

#[tokio::test]
async fn every_route_of_the_api_is_described_and_takes_the_described_methods_alone() {
    let server = Server::start(&[]).await;
    let api = Description::of(&server).await;
    for (route, described) in api.operations() {
        let path = route.replace(['{', '}'], "");
        for method in ["get", "post", "put", "patch", "delete"] {
            let name = method.to_uppercase();
            let answer = request(server.address, &name, &path, "", "").await;
            if described.contains(method) {
                assert_ne!(answer.status, 405, "{name} {path}");
                assert!(!answer.body.contains("there is no"), "{name} {path}");
                continue;
            }
            assert_eq!(answer.status, 405, "{name} {path}");
            let allowed: BTreeSet<&str> = answer.header("allow").unwrap().split(',').collect();
            let mut expected = described.clone();
            if described.contains("get") {
                expected.insert("head");
            }
            assert_eq!(allowed, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_route_knows_the_parameters_that_are_described() {
    let server = Server::start(&[]).await;
    let api = Description::of(&server).await;
    for (route, methods) in api.operations() {
        // Probes are asked with whatever a prober puts there.
        if route.ends_with('z') || route == "/api/ws/health" {
            continue;
        }
        for method in methods {
            let parameters = api.document["paths"][route][method]["parameters"].as_array();
            let described: BTreeSet<&str> = parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let path = format!("{route}?nothing=1").replace(['{', '}'], "");
            let (status, refused) = server.send(&method.to_uppercase(), &path, "").await;
            let message = refused["error"]["message"].as_str().unwrap();
            let (_, known) = message.split_once("unknown `nothing`; ").unwrap();
            let known = known.strip_prefix("known are ").unwrap_or_default();
            let known: BTreeSet<&str> = known.split(", ").filter(|name| !name.is_empty()).collect();
            assert_eq!((status, known), (400, described), "{method} {path}");
        }
    }
}

#[test]
fn nothing_is_served_that_is_not_described_but_what_is_not_json() {
    // Other routes come with their handler's description, and the pages from a file of their own.
    let known = ["path,", "&format!(\"{path}/\"),"];
    let (_, rest) = ROUTER.split_once(".route(").unwrap();
    for route in rest.split(".route(") {
        let route = route.trim_start();
        assert!(
            known.iter().any(|path| route.starts_with(path)),
            "{}",
            route.lines().next().unwrap()
        );
    }
}

#[tokio::test]
async fn the_readme_lists_the_described_routes_and_no_others() {
    let server = Server::start(&[]).await;
    let api = Description::of(&server).await;
    let described: BTreeSet<String> = api
        .operations()
        .into_iter()
        .flat_map(|(path, methods)| {
            methods
                .into_iter()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let (_, routes) = README.split_once("\n## Routes\n").unwrap();
    let (routes, _) = routes.split_once("\n## ").unwrap();
    let listed: BTreeSet<String> = routes
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(route, _)| route.to_owned())
        .filter(|route| !OTHERS.contains(&route.split(' ').next_back().unwrap()))
        .collect();
    assert_eq!(listed, described);
}

#[tokio::test]
async fn the_description_and_its_page_have_the_guards_of_every_route() {
    let server = Server::start(&[]).await;
    for (path, content_type) in [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/page.css", "text/css; charset=utf-8"),
        ("/docs/page.js", "text/javascript; charset=utf-8"),
    ] {
        let ask = |method, headers| request(server.address, method, path, headers, "");
        let answer = ask("GET", "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
        for foreign in ["http://", "https://", "//"] {
            let is_page = path != "/openapi.json" && path != "/docs/page.js";
            assert!(!is_page || !answer.body.contains(foreign), "{path}");
        }
        let head = ask("HEAD", "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        // The test's reader puts heads into small letters.
        let again = ask("GET", "If-None-Match: *\r\n").await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        let posted = ask("POST", "").await;
        assert_eq!(posted.status, 405);
        assert_eq!(posted.header("allow"), Some("get,head"));
        let (status, refused) = server.send("GET", &format!("{path}?x=1"), "").await;
        assert_eq!(status, 400, "{refused}");
        let rebound = ask("GET", "Origin: http://elsewhere.example\r\n").await;
        assert_eq!(rebound.status, 403);
    }
    assert_eq!(get(server.address, "/docs/").await.status, 200);
    let plain = Server::start(&["--dashboard", "false"]).await;
    assert_eq!(get(plain.address, "/docs").await.status, 404);
    assert_eq!(get(plain.address, "/openapi.json").await.status, 200);
}
