//! `demo`: made-up data for a first look, published as a backend publishes.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use clap::{Arg, ArgMatches, value_parser};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::demo_feed::Feed;
use crate::auth::https::{HttpClient, client};
use crate::config::Secret;
use crate::domain::identity::OrganizationId;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What is published where, and how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoOptions {
    /// Of the server, without a slash at the end.
    url: String,
    organization: OrganizationId,
    api_key: Option<Secret>,
    interval: Duration,
    /// 0 is without end.
    rounds: u64,
}

pub fn command() -> clap::Command {
    let text = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    clap::Command::new("demo")
        .about("Publish made-up data through a running server's API, for the dashboard to show")
        .arg(text("url", "URL", "The server").default_value("http://127.0.0.1:5000"))
        .arg(text("organization-id", "ID", "Where to publish").default_value("org_123"))
        .arg(text(
            "api-key",
            "KEY",
            "A key with the scope broadcast; - reads it from standard input",
        ))
        .arg(
            text("interval-ms", "NUMBER", "Milliseconds between two rounds")
                .value_parser(value_parser!(u64).range(100..=3_600_000))
                .default_value("1000"),
        )
        .arg(
            text(
                "rounds",
                "NUMBER",
                "How often to publish; 0 goes on until it is stopped",
            )
            .value_parser(value_parser!(u64))
            .default_value("0"),
        )
}

impl DemoOptions {
    /// Fails with a text for the user.
    pub fn of(matches: &ArgMatches) -> Result<Self, String> {
        let one = |name| matches.get_one::<String>(name).map(String::as_str);
        let url = one("url").unwrap_or_default().trim_end_matches('/');
        check_url(url)?;
        let organization = OrganizationId::new(one("organization-id").unwrap_or_default())
            .map_err(|error| format!("--organization-id: {error}"))?;
        let api_key = match one("api-key") {
            Some("-") => {
                let mut key = String::new();
                std::io::stdin()
                    .read_to_string(&mut key)
                    .map_err(|error| format!("failed to read the key: {error}"))?;
                Some(Secret::new(key.trim()))
            }
            key => key.map(Secret::new),
        };
        Ok(Self {
            url: url.to_owned(),
            organization,
            api_key,
            interval: Duration::from_millis(number(matches, "interval-ms")),
            rounds: number(matches, "rounds"),
        })
    }
}

fn number(matches: &ArgMatches, name: &str) -> u64 {
    matches.get_one(name).copied().unwrap_or_default()
}

fn check_url(url: &str) -> Result<(), String> {
    let uri: Option<Uri> = url.parse().ok();
    let is_server = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if is_server {
        return Ok(());
    }
    Err(format!(
        "--url is \"{url}\"; it is like http://127.0.0.1:5000"
    ))
}

/// Publishes round after round. A server that goes away is waited for; one that was never there, or
/// that refuses, is an error with a text for the user.
pub async fn run(options: &DemoOptions) -> Result<(), String> {
    let uri: Uri = options
        .url
        .parse()
        .map_err(|error| format!("--url: {error}"))?;
    let client = client(&uri)
        .map_err(|error| format!("failed to load the system's certificates: {error}"))?;
    let mut feed = Feed::new(options.organization.clone());
    let mut pace = tokio::time::interval(options.interval);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut is_known, mut is_away) = (false, false);
    let mut round = 0;
    while options.rounds == 0 || round < options.rounds {
        pace.tick().await;
        round += 1;
        match publish(&client, options, feed.next()).await {
            Ok(()) if !is_known => {
                is_known = true;
                say(&format!(
                    "publishing for {1}; watch it at {0}/?organization_id={1}",
                    options.url, options.organization
                ));
            }
            Ok(()) if is_away => {
                is_away = false;
                say("the server is back");
            }
            Ok(()) => {}
            Err(Failure::Away(why)) if is_known => {
                if !is_away {
                    say(&format!("{why}; trying again"));
                }
                is_away = true;
            }
            Err(Failure::Away(why)) => return Err(format!("{why}; does the server run there?")),
            Err(Failure::Refused(why)) => return Err(why),
        }
    }
    Ok(())
}

fn say(text: &str) {
    // A closed standard output is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{text}");
}

enum Failure {
    /// It may be there again in a moment.
    Away(String),
    /// It will say the same the next time.
    Refused(String),
}

/// One after the other: a slow server is not overrun.
async fn publish(
    client: &HttpClient<Full<Bytes>>,
    options: &DemoOptions,
    posts: Vec<(&'static str, Value)>,
) -> Result<(), Failure> {
    for (route, body) in posts {
        let sending = post(client, options, route, &body);
        tokio::time::timeout(TIMEOUT, sending)
            .await
            .unwrap_or_else(|_| {
                let seconds = TIMEOUT.as_secs();
                let why = format!("{} did not answer within {seconds} s", options.url);
                Err(Failure::Away(why))
            })?;
    }
    Ok(())
}

async fn post(
    client: &HttpClient<Full<Bytes>>,
    options: &DemoOptions,
    route: &str,
    body: &Value,
) -> Result<(), Failure> {
    let url = &options.url;
    let mut request = Request::post(format!("{url}/api/ws/broadcast/{route}"))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = &options.api_key {
        request = request.header("x-api-key", key.reveal());
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| Failure::Refused(format!("the request can't be made: {error}")))?;
    let response = client.request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(String::new, |cause| format!(": {cause}"));
        Failure::Away(format!("failed to reach {url}{cause}"))
    })?;
    let status = response.status();
    if status.is_success() {
        // Read to its end, so that the connection serves the next one.
        let _ = Limited::new(response, MAX_ANSWER_BYTES).collect().await;
        return Ok(());
    }
    let answer = Limited::new(response, MAX_ANSWER_BYTES).collect().await;
    let answer = answer
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let message = answer["error"]["message"]
        .as_str()
        .unwrap_or("no reason given");
    let why = format!("{url} answered {status}: {message}");
    Err(match status {
        StatusCode::UNAUTHORIZED if options.api_key.is_none() => {
            Failure::Refused(format!("{why} (give one with --api-key)"))
        }
        StatusCode::FORBIDDEN if options.api_key.is_some() => Failure::Refused(format!(
            "{why} (the key of --api-key was used for `{}`, see --organization-id)",
            options.organization
        )),
        StatusCode::TOO_MANY_REQUESTS => Failure::Away(why),
        status if status.is_server_error() => Failure::Away(why),
        _ => Failure::Refused(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_server_is_a_url() {
        for good in [
            "http://127.0.0.1:5000",
            "https://rt.example",
            "http://rt.example/below",
        ] {
            assert_eq!(check_url(good), Ok(()));
        }
        for bad in [
            "",
            "127.0.0.1:5000",
            "ws://127.0.0.1:5000",
            "http://",
            "http://a?b=c",
            "/ws",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
