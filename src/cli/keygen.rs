//! `gen-key`, `gen-token` and `check-token`: keys and tokens on the command line.

use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches};
use serde_json::{Map, Value, json};

use crate::auth::api_key::{KeyHash, Scope, key_of};
use crate::auth::key::Algorithm;
use crate::auth::sign::SigningKey;
use crate::config::Config;
use crate::config::auth::AuthOptions;
use crate::config::options::catalogue;
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::room::Channel;
use crate::domain::time::{Clock, UnixMillis};
use crate::server::clock::SystemClock;

/// What became of a command: what it says, or why it failed.
pub type Outcome = Result<Said, String>;

/// What a command says where. Standard output may be sent on into a file or another program.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// For standard output.
    pub output: String,
    /// Lines for standard error, for whoever sits there.
    pub notes: Vec<String>,
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// `gen-key`
pub fn gen_key_command() -> clap::Command {
    clap::Command::new("gen-key")
        .about("Make an API key, and the lines of the configuration that accept it")
        .arg(
            text("name", "NAME", "Its name in the configuration and in logs")
                .default_value("backend"),
        )
        .arg(text(
            "organization",
            "ID",
            "The organization that it acts in",
        ))
        .arg(
            Arg::new("operator")
                .long("operator")
                .action(ArgAction::SetTrue)
                .help("It acts in every organization"),
        )
        .group(
            ArgGroup::new("reach")
                .args(["organization", "operator"])
                .required(true),
        )
        .arg(
            text("scopes", "LIST", "Out of broadcast, read and admin")
                .value_delimiter(',')
                .default_value("broadcast,read"),
        )
}

/// `gen-token`, beside the flags of the configuration.
pub fn gen_token_args(command: clap::Command) -> clap::Command {
    let list = |name, help| text(name, "LIST", help).value_delimiter(',');
    command
        .arg(text("user", "ID", "Whom the token is for").required(true))
        .arg(text("organization", "ID", "The user's organization").required(true))
        .arg(text("expires-in", "TIME", "How long it holds: 90s, 15m, 8h, 30d").default_value("1h"))
        .arg(list("grant-channels", "Channels that may be subscribed to"))
        .arg(list(
            "grant-departments",
            "Departments that may be subscribed to",
        ))
        .arg(list("grant-queues", "Queues that may be subscribed to"))
        .arg(list("grant-events", "Events that the client may publish"))
        .arg(text("claims", "JSON", "More claims, as an object"))
        .arg(text(
            "private-key",
            "FILE",
            "Sign with this PEM key, not with auth.jwt_secret",
        ))
        .arg(text(
            "algorithm",
            "NAME",
            "HS256 if not given, RS256 with a private key",
        ))
        .arg(text("kid", "ID", "The key's name in the token's header"))
}

/// `check-token`, beside the flags of the configuration.
pub fn check_token_args(command: clap::Command) -> clap::Command {
    command.arg(
        Arg::new("TOKEN")
            .required(true)
            .help("The token, or - to read it from standard input"),
    )
}

/// Makes an API key. The lines of the configuration are the output, so that they can be appended to
/// a file; the key itself is a note, so that it does not get there too.
pub fn gen_key(matches: &ArgMatches) -> Outcome {
    let one = |name| matches.get_one::<String>(name).map(String::as_str);
    let scopes: Vec<&str> = matches
        .get_many::<String>("scopes")
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if let Some(unknown) = scopes.iter().find(|scope| Scope::parse(scope).is_none()) {
        return Err(format!(
            "there is no scope `{unknown}`; there are {}",
            Scope::NAMES
        ));
    }
    let reach = match one("organization") {
        Some(id) => {
            OrganizationId::new(id).map_err(|error| format!("--organization: {error}"))?;
            format!("organization = {}", toml::Value::from(id))
        }
        None => "operator = true".to_owned(),
    };
    let key = key_of(rand::random());
    let name = toml::Value::from(one("name").unwrap_or("backend"));
    let output = format!(
        "\n[api_keys.{name}]\nhash = \"{}\"\n{reach}\nscopes = {}\n",
        KeyHash::of(&key),
        toml::Value::from(scopes),
    );
    let notes = vec![
        "The key, which is shown this once; the lines of the configuration have its hash only:"
            .to_owned(),
        key,
    ];
    Ok(Said { output, notes })
}

/// Makes a token with the configured secret, or with a private key.
pub fn gen_token(config: &Config, matches: &ArgMatches, now: UnixMillis) -> Outcome {
    let one = |name| matches.get_one::<String>(name).map(String::as_str);
    let (algorithm, key) = signing_key(config, one("private-key"), one("algorithm"))?;
    let claims = claims(config, matches, now)?;
    let output = key
        .sign(algorithm, one("kid"), &claims)
        .map_err(|error| error.to_string())?;
    let channels = matches.get_many::<String>("grant-channels");
    let channels = channels.into_iter().flatten().map(String::as_str);
    let notes = unknown_channels(config, channels)?;
    Ok(Said { output, notes })
}

/// Warns of channels that nobody could subscribe to. That is no error: the server that the token is
/// for may be configured differently.
fn unknown_channels<'a>(
    config: &Config,
    granted: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    let catalogue = catalogue(config).map_err(|error| error.to_string())?;
    let known: Vec<&str> = catalogue.channels().map(Channel::as_str).collect();
    Ok(granted
        .filter(|channel| !known.contains(channel))
        .map(|channel| {
            format!(
                "orgcast: warning: there is no channel `{}` in this configuration; there are {}",
                channel.escape_debug(),
                known.join(", ")
            )
        })
        .collect())
}

fn signing_key(
    config: &Config,
    file: Option<&str>,
    algorithm: Option<&str>,
) -> Result<(Algorithm, SigningKey), String> {
    let default = if file.is_some() { "RS256" } else { "HS256" };
    let name = algorithm.unwrap_or(default);
    let algorithm =
        Algorithm::parse(name).ok_or_else(|| format!("there is no algorithm `{name}`"))?;
    let is_hmac = matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    );
    let key = match file {
        Some(_) if is_hmac => return Err(format!("{name} needs auth.jwt_secret, no private key")),
        Some(file) => {
            let pem = std::fs::read_to_string(file)
                .map_err(|error| format!("failed to read {file}: {error}"))?;
            SigningKey::from_pem(&pem, algorithm)
        }
        None if !is_hmac => return Err(format!("{name} needs a --private-key")),
        None if config.auth.jwt_secret.is_empty() => {
            return Err(
                "auth.jwt_secret is not set; set it (ORGCAST_AUTH__JWT_SECRET), or give a \
                 --private-key"
                    .to_owned(),
            );
        }
        None => SigningKey::from_secret(config.auth.jwt_secret.reveal()),
    };
    key.map(|key| (algorithm, key))
        .map_err(|error| error.to_string())
}

fn claims(
    config: &Config,
    matches: &ArgMatches,
    now: UnixMillis,
) -> Result<Map<String, Value>, String> {
    let one = |name| matches.get_one::<String>(name).map(String::as_str);
    let required = |name| one(name).unwrap_or_default();
    let (user, organization) = (required("user"), required("organization"));
    UserId::new(user).map_err(|error| format!("--user: {error}"))?;
    OrganizationId::new(organization).map_err(|error| format!("--organization: {error}"))?;
    let seconds = now.0 / 1000;
    let lifetime = duration(required("expires-in"))?;
    let first =
        |names: &[String], default: &str| names.first().map_or(default, String::as_str).to_owned();
    let mut claims = Map::from_iter([
        (first(&config.auth.user_claims, "sub"), json!(user)),
        (
            first(&config.auth.organization_claims, "organization_id"),
            json!(organization),
        ),
        ("iat".to_owned(), json!(seconds)),
        (
            "exp".to_owned(),
            json!(seconds.saturating_add(lifetime.as_secs())),
        ),
        (
            "jti".to_owned(),
            json!(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())),
        ),
    ]);
    for (name, values) in [
        ("iss", &config.auth.issuers),
        ("aud", &config.auth.audiences),
    ] {
        if let Some(value) = values.first() {
            claims.insert(name.to_owned(), json!(value));
        }
    }
    let mut grants = Map::new();
    for name in ["channels", "departments", "queues", "events"] {
        if let Some(values) = matches.get_many::<String>(&format!("grant-{name}")) {
            grants.insert(name.to_owned(), values.cloned().collect());
        }
    }
    if !grants.is_empty() {
        claims.insert(config.auth.grants_claim.clone(), Value::Object(grants));
    }
    if let Some(more) = one("claims") {
        let more: Map<String, Value> =
            serde_json::from_str(more).map_err(|error| format!("--claims: {error}"))?;
        claims.extend(more);
    }
    Ok(claims)
}

/// A number with `s`, `m`, `h` or `d`; without one of them seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    digits
        .parse::<u64>()
        .map(|number| Duration::from_secs(number.saturating_mul(unit)))
        .map_err(|_| format!("`{text}` is no time; try 90s, 15m, 8h or 30d"))
}

/// Says whether the server would accept a token, and as whom.
pub fn check_token(config: &Config, matches: &ArgMatches) -> Outcome {
    let mut token = matches
        .get_one::<String>("TOKEN")
        .cloned()
        .unwrap_or_default();
    if token == "-" {
        token.clear();
        std::io::stdin()
            .take(64 * 1024)
            .read_to_string(&mut token)
            .map_err(|error| format!("failed to read the token: {error}"))?;
    }
    let options =
        AuthOptions::of(&config.auth, &config.api_keys).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("failed to start the runtime: {error}"))?;
    let started = runtime.block_on(options.start());
    // A file that is being read may never answer.
    runtime.shutdown_background();
    let authenticator = started.map_err(|error| error.to_string())?.authenticator;
    let now = SystemClock.now();
    let principal = authenticator
        .verify_token(token.trim(), now)
        .map_err(|error| match error.reason {
            Some(reason) => format!("the token is refused ({reason}): {}", error.message),
            None => format!("the token is refused: {}", error.message),
        })?;
    let grants = &principal.grants;
    let verdict = json!({
        "valid": true,
        "user_id": principal.identity.user,
        "organization_id": principal.identity.organization,
        "expires_at": principal.expires_at,
        "jti": principal.token_id,
        "grants": {
            "channels": grants.channels,
            "departments": grants.nodes.as_ref().map(|nodes| &nodes.departments),
            "queues": grants.nodes.as_ref().map(|nodes| &nodes.queues),
            "events": grants.events,
        },
    });
    let output = serde_json::to_string_pretty(&verdict).map_err(|error| error.to_string())?;
    let channels = grants.channels.iter().flatten().map(Channel::as_str);
    let notes = unknown_channels(config, channels)?;
    Ok(Said { output, notes })
}
