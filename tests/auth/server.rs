//! A server that checks tokens, and its keys.

use std::net::SocketAddr;
use std::process::Stdio;

use orgcast::auth::api_key::{KeyHash, key_of};
use testkit::process;

use testkit::tokens::SECRET;

/// Keys that every server of these tests accepts.
pub struct Keys {
    pub operator: String,
    pub read_only: String,
    /// All scopes, for the organization `victim`.
    pub victim: String,
    /// All scopes, for the organization `evil`.
    pub evil: String,
    pub evil_reader: String,
    pub evil_sender: String,
}

pub struct Server {
    _process: process::Server,
    pub address: SocketAddr,
    pub keys: Keys,
    _dir: tempfile::TempDir,
}

pub fn keys() -> Keys {
    let key = |n: u8| key_of([n; 32]);
    Keys {
        operator: key(1),
        read_only: key(2),
        victim: key(3),
        evil: key(4),
        evil_reader: key(5),
        evil_sender: key(6),
    }
}

fn key_lines(keys: &Keys) -> String {
    let all = r#"["broadcast", "read", "admin"]"#;
    let rows = [
        ("operator", &keys.operator, "operator = true", all),
        (
            "read_only",
            &keys.read_only,
            "operator = true",
            r#"["read"]"#,
        ),
        ("victim", &keys.victim, r#"organization = "victim""#, all),
        ("evil", &keys.evil, r#"organization = "evil""#, all),
        (
            "evil_reader",
            &keys.evil_reader,
            r#"organization = "evil""#,
            r#"["read"]"#,
        ),
        (
            "evil_sender",
            &keys.evil_sender,
            r#"organization = "evil""#,
            r#"["broadcast"]"#,
        ),
    ];
    let tables = rows.map(|(name, key, reach, scopes)| {
        let hash = KeyHash::of(key);
        format!("[api_keys.{name}]\nhash = \"{hash}\"\n{reach}\nscopes = {scopes}\n")
    });
    tables.concat()
}

impl Server {
    /// Starts a server that checks tokens with [`SECRET`]. `top` are further keys of the
    /// configuration, `auth` further keys of its group `auth`.
    pub async fn start(top: &str, auth: &str) -> Self {
        let keys = keys();
        let text = format!(
            "max_connections_total = 0\nmax_connections_per_org = 0\n\
             rate_limit_messages_per_second = 0\n{top}\n{}\n\
             [auth]\njwt_secret = \"{SECRET}\"\n{auth}\n",
            key_lines(&keys)
        );
        Self::start_with(&text, keys).await
    }

    /// Starts a server with this configuration.
    pub async fn start_with(text: &str, keys: Keys) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("orgcast.toml"), text).unwrap();
        let file = dir.path().join("orgcast.toml");
        let flags = ["--config", file.to_str().unwrap()];
        let process = process::Server::start_logging("error", Stdio::inherit(), &flags).await;
        Self {
            address: process.address,
            _process: process,
            keys,
            _dir: dir,
        }
    }
}
