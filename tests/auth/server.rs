//! The real server as a child process on a free port.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use orgcast::auth::api_key::{KeyHash, key_of};

use super::tokens::SECRET;

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
    child: Child,
    pub port: u16,
    pub keys: Keys,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    pub fn start(top: &str, auth: &str) -> Self {
        let keys = keys();
        let text = format!(
            "max_connections_total = 0\nmax_connections_per_org = 0\n\
             rate_limit_messages_per_second = 0\n{top}\n{}\n\
             [auth]\njwt_secret = \"{SECRET}\"\n{auth}\n",
            key_lines(&keys)
        );
        Self::start_with(&text, keys)
    }

    /// Starts a server with this configuration.
    pub fn start_with(text: &str, keys: Keys) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("orgcast.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgcast"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORGCAST_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["serve", "--port", "0", "--log", "error"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.ok()?;
                let (_, rest) = line.split_once("listening on http://127.0.0.1:")?;
                rest.split('/').next()?.parse().ok()
            })
            .expect("the server says where it listens");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || for _ in lines {});
        Self {
            child,
            port,
            keys,
            _dir: dir,
        }
    }
}
