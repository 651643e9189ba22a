//! `check-config` reads every file that the configuration names.

use std::fs;
use std::path::Path;
use std::process::Output;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use testkit::process::orgcast;
use testkit::wait::within;

async fn run(command: &str, folder: &Path, text: &str) -> (Option<i32>, String) {
    fs::write(folder.join("orgcast.toml"), text).unwrap();
    let output = orgcast(&[command]).current_dir(folder).output();
    let Output {
        status,
        stdout,
        stderr,
    } = within("the end of the program", output).await.unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

async fn check(folder: &Path, text: &str) -> (Option<i32>, String) {
    run("check-config", folder, text).await
}

/// Writes a certificate that is valid in these years, and its key.
fn certify(folder: &Path, name: &str, years: (i32, i32)) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

const PUBLIC: &str = include_str!("../auth/keys/p256.public.pem");
const GOOD: &str = "[tls]\ncert_file = \"good.pem\"\nkey_file = \"good.key\"\n\
    [auth]\njwt_secret_file = \"secrets\"\njwt_key_files = [\"public.pem\"]\n";

/// A folder in which everything that [`GOOD`] names is good.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "good", (2020, 2990));
    let secrets = format!(
        "{}\n\n{}\n",
        "first-secret-".repeat(3),
        "other-secret-".repeat(3)
    );
    fs::write(folder.path().join("secrets"), secrets).unwrap();
    fs::write(folder.path().join("public.pem"), PUBLIC).unwrap();
    folder
}

#[tokio::test]
async fn files_that_can_be_used_are_nothing_to_speak_of() {
    let folder = folder();
    let (code, said) = check(folder.path(), GOOD).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("the configuration is valid: https://"),
        "{said}"
    );
    assert!(!said.contains("certificate"), "{said}");
    // What was not looked at is said.
    let elsewhere = [GOOD, "jwks = \"https://user:password@keys.example/\"\n"].concat();
    let (code, said) = check(folder.path(), &elsewhere).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: auth.jwks is a URL"), "{said}");
    assert!(!said.contains("password"), "{said}");
}

#[tokio::test]
async fn everything_that_is_wrong_with_them_is_said_at_once() {
    let folder = folder();
    let path = folder.path();
    let secret = "a-secret-that-is-too-short";
    fs::write(
        path.join("secrets"),
        format!("{}\n{secret}\nx\n", "s".repeat(32)),
    )
    .unwrap();
    fs::write(
        path.join("broken.pem"),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n",
    )
    .unwrap();
    fs::write(path.join("set.json"), r#"{"keys":[{"kty":"none"}]}"#).unwrap();
    fs::write(path.join("no.key"), "nothing").unwrap();
    let text = "prot = 1\nmax_headers = 1\n[tls]\ncert_file = \"absent.pem\"\nkey_file = \"no.key\"\n\
        [auth]\njwt_secret_file = \"secrets\"\n\
        jwt_key_files = [\"broken.pem\", \"public.pem\", \"set.json\", \"absent.key\"]\n\
        jwks = \"absent.json\"\n";
    let (code, said) = check(path, text).await;
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        "unknown key `prot`",
        "`max_headers` is 1",
        "`tls.cert_file`: absent.pem: it can't be read: ",
        "`tls.key_file`: no.key: there is no private key in it (set by key `tls.key_file` in orgcast.toml)",
        "`auth.jwt_secret_file`: secrets: line 2: the secret has 26 bytes",
        "`auth.jwt_secret_file`: secrets: line 3: the secret has 1 bytes",
        "`auth.jwt_key_files`: broken.pem: it is not the PEM text",
        "`auth.jwt_key_files`: set.json: there is no key in it",
        "`auth.jwt_key_files`: absent.key: it can't be read: ",
        "`auth.jwks`: its file: it can't be read: ",
    ];
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("orgcast: {expected}")), "{line}");
    }
    assert!(!said.contains(secret), "{said}");
}

#[tokio::test]
async fn a_certificate_is_checked_with_its_key_and_its_time() {
    let folder = folder();
    let path = folder.path();
    certify(path, "other", (2020, 2990));
    certify(path, "old", (1999, 2001));
    certify(path, "early", (2980, 2990));
    let with = |certificate: &str, key: &str| {
        format!("[tls]\ncert_file = \"{certificate}.pem\"\nkey_file = \"{key}.key\"\n")
    };
    let (code, said) = check(path, &with("good", "other")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("other.key: it is not the key of the certificate"),
        "{said}"
    );
    for (certificate, problem) in [("old", "expired at"), ("early", "is not valid before")] {
        let (code, said) = check(path, &with(certificate, certificate)).await;
        assert_eq!(code, Some(0), "{said}");
        let warning = format!("warning: certificate 1 in {certificate}.pem {problem}");
        assert!(said.contains(&warning), "{said}");
    }
    let good = fs::read_to_string(path.join("good.pem")).unwrap();
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(path.join("junk.pem"), [&good, junk].concat()).unwrap();
    let (code, said) = check(path, &with("junk", "good")).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("its certificate 2 is not one of X.509"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_no_file_with_an_end_is_not_waited_for() {
    let folder = folder();
    let path = folder.path();
    let pipe = std::process::Command::new("mkfifo")
        .arg(path.join("pipe"))
        .status();
    assert!(pipe.unwrap().success());
    fs::write(path.join("long"), vec![b'x'; 1024 * 1024 + 1]).unwrap();
    for (name, problem) in [
        ("pipe", "it is not a regular file"),
        (".", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        ("long", "it holds more than 1 MiB"),
    ] {
        for key in ["jwt_secret_file = ", "jwks = "] {
            let (code, said) = check(path, &format!("[auth]\n{key}\"{name}\"\n")).await;
            assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
            assert!(said.contains(problem), "{said}");
        }
        let tls = format!("[tls]\ncert_file = \"{name}\"\nkey_file = \"{name}\"\n");
        for command in ["check-config", "serve"] {
            let (code, said) = run(command, path, &tls).await;
            assert_eq!(
                (code, said.matches(problem).count()),
                (Some(2), 2),
                "{said}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_can_not_start_says_as_much() {
    let folder = folder();
    fs::remove_file(folder.path().join("public.pem")).unwrap();
    fs::remove_file(folder.path().join("good.key")).unwrap();
    let (code, said) = run("serve", folder.path(), GOOD).await;
    assert_eq!((code, said.lines().count()), (Some(2), 2), "{said}");
    for part in [
        "`tls.key_file`: good.key",
        "`auth.jwt_key_files`: public.pem",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
