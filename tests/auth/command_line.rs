//! `gen-key`, `gen-token` and `check-token`, and where secrets must not appear.

use std::process::Output;

use orgcast::auth::api_key::KeyHash;
use serde_json::Value;

use testkit::tokens::SECRET;

fn orgcast(args: &[&str], env: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let mut command = testkit::process::orgcast(args);
    let command = command.as_std_mut().current_dir(dir.path());
    command.envs(env.iter().copied()).output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn a_generated_key_is_accepted_by_the_lines_that_come_with_it() {
    let output = orgcast(
        &[
            "gen-key",
            "--name",
            "crm",
            "--organization",
            "org \"1\"",
            "--scopes",
            "read,admin",
        ],
        &[],
    );
    assert!(output.status.success(), "{}", text(&output));
    // The output may go into a file, which the key itself must not.
    let notes = String::from_utf8(output.stderr).unwrap();
    let (said, key) = notes.trim().split_once("\nock_").unwrap();
    assert!(said.contains("shown this once") && said.lines().count() == 1);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(key) && !text.contains("ock_"), "{text}");
    let table: toml::Table = text.parse().unwrap();
    let entry = &table["api_keys"]["crm"];
    assert_eq!(
        entry["hash"].as_str().unwrap(),
        KeyHash::of(&format!("ock_{key}")).to_string()
    );
    assert_eq!(entry["organization"].as_str(), Some("org \"1\""));
    assert_eq!(entry["scopes"].as_array().unwrap().len(), 2);
    for bad in [
        &["gen-key"][..],
        &["gen-key", "--operator", "--organization", "o"],
        &["gen-key", "--operator", "--scopes", "write"],
    ] {
        assert!(!orgcast(bad, &[]).status.success(), "{bad:?}");
    }
    let nobodys = orgcast(&["gen-key"], &[]);
    let nobodys = String::from_utf8(nobodys.stderr).unwrap();
    for flag in ["--operator", "--organization"] {
        assert!(nobodys.contains(flag), "{nobodys}");
    }
}

#[test]
fn a_generated_token_is_checked_as_the_server_would() {
    let env = [("ORGCAST_AUTH__JWT_SECRET", SECRET)];
    let output = orgcast(
        &[
            "gen-token",
            "--user",
            "u",
            "--organization",
            "o",
            "--grant-channels",
            "kpi,alerts",
        ],
        &env,
    );
    assert!(output.status.success(), "{}", text(&output));
    let token = text(&output).trim().to_owned();
    let output = orgcast(&["check-token", &token], &env);
    assert!(output.status.success(), "{}", text(&output));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["valid"], true);
    assert_eq!(verdict["organization_id"], "o");
    assert_eq!(verdict["grants"]["channels"].as_array().unwrap().len(), 2);
    let other = [(
        "ORGCAST_AUTH__JWT_SECRET",
        "another secret, as long as it needs to be",
    )];
    let output = orgcast(&["check-token", &token], &other);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("signature_invalid"));
    let output = orgcast(&["gen-token", "--user", "u", "--organization", "o"], &[]);
    assert!(text(&output).contains("auth.jwt_secret"));
}

#[test]
fn a_channel_that_is_not_configured_is_warned_of() {
    let secret = ("ORGCAST_AUTH__JWT_SECRET", SECRET);
    let user = ["gen-token", "--user", "u", "--organization", "o"];
    let granted = |channels: &str, env: &[(&str, &str)]| {
        let output = orgcast(&[&user[..], &["--grant-channels", channels]].concat(), env);
        assert!(output.status.success(), "{}", text(&output));
        let token = String::from_utf8(output.stdout).unwrap();
        (token, String::from_utf8(output.stderr).unwrap())
    };
    let (token, warning) = granted("kpi,nope", &[secret]);
    let checked = orgcast(&["check-token", token.trim()], &[secret]);
    assert!(checked.status.success(), "{}", text(&checked));
    let checked = String::from_utf8(checked.stderr).unwrap();
    for warning in [&warning, &checked] {
        assert_eq!(warning.lines().count(), 1, "{warning}");
        for part in ["warning", "`nope`", "alerts, all, attendance"] {
            assert!(warning.contains(part), "{part} is not in {warning}");
        }
    }
    let configured = ("ORGCAST_CHANNELS", "nope");
    for channels in ["nope", "all", "kpi,backlog"] {
        assert_eq!(granted(channels, &[secret, configured]).1, "");
    }
}

#[test]
fn a_token_can_be_signed_with_a_private_key() {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/auth/keys");
    for (algorithm, name) in [("RS256", "rsa"), ("ES256", "p256"), ("EdDSA", "ed25519")] {
        let private = format!("{keys}/{name}.private.pem");
        let public = format!("[\"{keys}/{name}.public.pem\"]");
        let env = [("ORGCAST_AUTH__JWT_KEY_FILES", public.as_str())];
        let output = orgcast(
            &[
                "gen-token",
                "--user",
                "u",
                "--organization",
                "o",
                "--private-key",
                &private,
                "--algorithm",
                algorithm,
            ],
            &env,
        );
        assert!(output.status.success(), "{algorithm}: {}", text(&output));
        let token = text(&output).trim().to_owned();
        let output = orgcast(&["check-token", &token], &env);
        assert!(output.status.success(), "{algorithm}: {}", text(&output));
    }
}

#[test]
fn no_error_and_no_output_holds_a_secret() {
    let secret = "hush-hush-hush";
    let long = format!("{secret}-{}", "x".repeat(40));
    let hash = format!("{{ a = {{ hash = \"{secret}\", operator = true }} }}");
    let list = format!("[1, \"{secret}\"]");
    let pem = format!("-----BEGIN PRIVATE KEY-----{secret}");
    for env in [
        ("ORGCAST_AUTH__JWT_SECRET", secret),
        ("ORGCAST_AUTH__JWT_PREVIOUS_SECRETS", secret),
        ("ORGCAST_AUTH__JWT_PREVIOUS_SECRETS", &list),
        ("ORGCAST_AUTH__JWT_PUBLIC_KEYS", &pem),
        ("ORGCAST_API_KEYS", &hash),
        ("ORGCAST_API_KEYS", secret),
        ("ORGCAST_AUTH__JWKS", &format!("ftp://user:{secret}@host/")),
    ] {
        let output = orgcast(&["check-config"], &[env]);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{}: {}",
            env.0,
            text(&output)
        );
        assert!(!text(&output).contains(secret), "{}", text(&output));
    }
    let output = orgcast(&["check-config"], &[("ORGCAST_AUTH__JWT_SECRET", &long)]);
    assert!(output.status.success() && !text(&output).contains(secret));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.toml");
    std::fs::write(&file, format!("[auth]\njwt_secret = \"{secret}\n")).unwrap();
    let output = orgcast(&["check-config", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("line 2") && !text(&output).contains(secret));
}

#[test]
fn an_address_beyond_loopback_needs_a_key_or_the_word_that_it_is_wanted() {
    let host = ("ORGCAST_HOST", "0.0.0.0");
    let secret = ("ORGCAST_AUTH__JWT_SECRET", SECRET);
    let asserted = ("ORGCAST_AUTH__ALLOW_ASSERTED", "true");
    let insecure = ("ORGCAST_AUTH__ALLOW_INSECURE", "true");
    let open = orgcast(&["check-config"], &[host, insecure]);
    assert!(text(&open).contains("warning: asserted identities on an address"));
    for (env, allowed) in [
        (&[host][..], false),
        (&[host, secret], true),
        (&[host, secret, asserted], false),
        (&[host, secret, asserted, insecure], true),
        (&[host, insecure], true),
    ] {
        let output = orgcast(&["check-config"], env);
        assert_eq!(
            output.status.success(),
            allowed,
            "{env:?}: {}",
            text(&output)
        );
    }
}
