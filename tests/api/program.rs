//! The program: what it prints, how it fails, how it ends.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use testkit::plain::Plain;
use testkit::process::{Server, orgcast};
use testkit::wait::soon;

async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = orgcast(arguments)
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let output = soon("the program", output).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_default_configuration_is_printed_and_accepted() {
    let (code, printed, _) = run(&["default-config"]).await;
    assert_eq!(code, Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orgcast.toml");
    std::fs::write(&file, &printed).unwrap();
    let (code, out, err) = run(&["check-config", "--config", file.to_str().unwrap()]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("http://127.0.0.1:5000/ws"), "{out}");
    assert!(
        out.contains(&format!("settings: {}", file.display())),
        "{out}"
    );
}

#[tokio::test]
async fn editors_get_a_schema_of_the_file() {
    let (code, printed, _) = run(&["config-schema"]).await;
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(schema, orgcast::config::json_schema());
    let port = &schema["properties"]["port"];
    assert_eq!(
        (&port["default"], &port["maximum"]),
        (&5000.into(), &65535.into())
    );
}

#[tokio::test]
async fn what_was_read_and_what_it_lacks_is_said_by_serve_and_check_config() {
    let folder = tempfile::tempdir().unwrap();
    let shut = "no API key is configured: the HTTP API refuses every call";
    for (file, settings) in [
        (None, "no file, defaults"),
        (Some("port = 0\n"), "orgcast.toml"),
    ] {
        if let Some(text) = file {
            std::fs::write(folder.path().join("orgcast.toml"), text).unwrap();
        }
        for secret in [
            &[][..],
            &["--auth.jwt-secret", "a secret of at least 32 bytes, here"],
        ] {
            let mut check = orgcast(&[&["check-config"], secret].concat());
            let output = check.current_dir(folder.path()).output().await.unwrap();
            let out = String::from_utf8(output.stdout).unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{err}");
            assert!(out.contains(&format!("settings: {settings}\n")), "{out}");
            assert_eq!(err.contains(shut), !secret.is_empty(), "{err}");

            let mut serve = orgcast(&[&["serve", "--port", "0"], secret].concat());
            let mut child = serve
                .current_dir(folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let line = loop {
                let line = soon("the banner", lines.next_line()).await.unwrap();
                let line = line.expect("the banner says what was read");
                if line.starts_with("Settings:") {
                    break line;
                }
            };
            assert_eq!(line, format!("Settings:  {settings}"));
        }
    }
}

#[tokio::test]
async fn every_line_of_a_refusal_says_whose_it_is() {
    let (code, _, err) = run(&[
        "check-config",
        "--log",
        "a=b=c",
        "--cors-origins",
        "nowhere",
        "--ping-interval-ms",
        "0",
    ])
    .await;
    assert_eq!(code, Some(2), "{err}");
    assert_eq!(err.lines().count(), 3, "{err}");
    assert!(
        err.lines().all(|line| line.starts_with("orgcast: `")),
        "{err}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_configuration_is_said_before_a_port_is_opened() {
    for (arguments, problem) in [
        (vec!["serve", "--prot", "1"], "--port"),
        (vec!["serve", "--port", "many"], "flag --port"),
        (vec!["serve", "--host", "0.0.0.0"], "allow_insecure"),
        (vec!["serve", "--path", "ws"], "`path`"),
        (
            vec!["check-config", "--config", "nowhere.toml"],
            "nowhere.toml",
        ),
    ] {
        let (code, _, err) = run(&arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(err.contains(problem), "{arguments:?}: {err}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orgcast.toml");
    std::fs::write(&file, "max_conections_total = 5\n").unwrap();
    let (code, _, err) = run(&["serve", "--config", file.to_str().unwrap()]).await;
    assert_eq!(code, Some(2));
    assert!(
        err.contains("did you mean `max_connections_total`?"),
        "{err}"
    );
    let mut command = orgcast(&["check-config"]);
    let output = command.env("ORGCAST_PROT", "1").output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("ORGCAST_PORT"), "{err}");
}

#[tokio::test]
async fn a_taken_port_is_a_failure_that_names_it() {
    let server = Server::start(&[]).await;
    let port = server.address.port();
    let (code, _, err) = run(&["serve", "--port", &port.to_string()]).await;
    assert_eq!(code, Some(1));
    assert!(
        err.contains(&format!("failed to listen on 127.0.0.1:{port}")),
        "{err}"
    );
}

#[tokio::test]
async fn a_signal_closes_every_client_with_1001_and_ends_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]).await;
        let mut client = Plain::connect(&server, "?userId=u&companyId=c").await;
        client.next().await;
        let (code, close) = tokio::join!(server.signal(signal), client.close_code());
        assert_eq!((code, close), (Some(0), 1001), "{signal}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_answered_in_json() {
    let server = Server::start(&[]).await;
    let (status, body) = server.request("GET", "/api/ws/nothing", None).await;
    assert_eq!((status, &body["error"]["code"]), (404, &"NOT_FOUND".into()));
    let (status, body) = server.request("GET", "/api/ws/broadcast", None).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (405, &"METHOD_NOT_ALLOWED".into())
    );
    for (path, key, value) in [
        ("/healthz", "status", "ok"),
        ("/readyz", "status", "ready"),
        ("/api/ws/health", "status", "healthy"),
    ] {
        assert_eq!(server.get(path).await[key], value, "{path}");
    }
}

#[test]
fn what_is_fuzzed_is_built_with_the_versions_that_are_served() {
    let versions = |lock: &str| -> std::collections::BTreeSet<(String, String)> {
        let lock: toml::Table = lock.parse().unwrap();
        let packages = lock["package"].as_array().unwrap().iter();
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        packages
            .map(|package| (text(&package["name"]), text(&package["version"])))
            .collect()
    };
    let served = versions(include_str!("../../Cargo.lock"));
    let names: Vec<_> = served.iter().map(|(name, _)| name).collect();
    let other: Vec<_> = versions(include_str!("../../fuzz/Cargo.lock"))
        .into_iter()
        .filter(|package| names.contains(&&package.0) && !served.contains(package))
        .collect();
    assert!(
        other.is_empty(),
        "{other:?}; run: cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml --format-version 1"
    );
}
