//! The command line: what to do, and the flags as the last source of the configuration.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgMatches, error::ErrorKind, value_parser};
use toml::Value;

use super::demo::{self, DemoOptions};
use super::keygen::{self, Outcome};
use crate::config::error::ConfigError;
use crate::config::files::Files;
use crate::config::names::flag_name;
use crate::config::schema::{Config, keys};
use crate::config::sources::{Loaded, Sources, load};
use crate::domain::time::Clock;
use crate::server::clock::SystemClock;

const FILE_FLAG: &str = "config";

/// What the server was started for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run the server with this valid configuration.
    Serve(Loaded),
    /// Say that this configuration, which would be served, is valid.
    CheckConfig(Loaded),
    /// Print the defaults as a configuration file.
    DefaultConfig,
    ConfigSchema,
    /// Publish made-up data.
    Demo(DemoOptions),
    /// What `gen-key`, `gen-token` or `check-token` came to.
    Tool(Outcome),
}

/// Why there is nothing to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A usage error, or the help or version that was asked for. It knows its exit code and
    /// which stream its text belongs on.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads the command line (the program's name first) and, for the commands that need it, the
/// configuration, with the process's working directory as the place of relative files.
///
/// # Errors
/// [`CliError::Usage`] for help, version and what the command line doesn't know;
/// [`CliError::Config`] if the configuration cannot be loaded or is not valid.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Command, CliError> {
    // A name joined to an empty path stays relative to the process's working directory.
    parse_in(PathBuf::new(), args, env)
}

fn parse_in(
    working_dir: PathBuf,
    args: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Command, CliError> {
    let matches = command().try_get_matches_from(args)?;
    let configuration = |matches: &ArgMatches, files| {
        load(&Sources {
            file: matches.get_one::<PathBuf>(FILE_FLAG).cloned(),
            env: env.into_iter().collect(),
            flags: flags(matches),
            working_dir,
            files,
        })
    };
    match matches.subcommand() {
        Some(("serve", matches)) => Ok(Command::Serve(configuration(matches, Files::ToServe)?)),
        Some(("check-config", matches)) => {
            Ok(Command::CheckConfig(configuration(matches, Files::Named)?))
        }
        Some(("default-config", _)) => Ok(Command::DefaultConfig),
        Some(("config-schema", _)) => Ok(Command::ConfigSchema),
        Some(("demo", matches)) => Ok(match DemoOptions::of(matches) {
            Ok(options) => Command::Demo(options),
            Err(problem) => Command::Tool(Err(problem)),
        }),
        Some(("gen-key", matches)) => Ok(Command::Tool(keygen::gen_key(matches))),
        Some(("gen-token", matches)) => {
            let outcome = keygen::gen_token(
                &configuration(matches, Files::None)?.config,
                matches,
                SystemClock.now(),
            );
            Ok(Command::Tool(outcome))
        }
        Some(("check-token", matches)) => {
            let outcome =
                keygen::check_token(&configuration(matches, Files::None)?.config, matches);
            Ok(Command::Tool(outcome))
        }
        _ => Err(command()
            .error(ErrorKind::MissingSubcommand, "a subcommand is needed")
            .into()),
    }
}

fn flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |key: &str| Some((key.to_owned(), matches.get_one::<String>(key)?.clone()));
    keys().filter_map(|key| given(key.name())).collect()
}

fn command() -> clap::Command {
    clap::Command::new("orgcast")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Socket.IO-compatible real-time server for organizations")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_configuration(
            clap::Command::new("serve").about("Run the server"),
        ))
        .subcommand(with_configuration(
            clap::Command::new("check-config").about(
                "Check the configuration that serve would run with, and every file that it \
                     names, then exit",
            ),
        ))
        .subcommand(
            clap::Command::new("default-config")
                .about("Print every key with its meaning and default as a configuration file"),
        )
        .subcommand(
            clap::Command::new("config-schema")
                .about("Print a JSON schema of the configuration file, for editors"),
        )
        .subcommand(demo::command())
        .subcommand(keygen::gen_key_command())
        .subcommand(with_configuration(keygen::gen_token_args(
            clap::Command::new("gen-token").about("Make a token for a client"),
        )))
        .subcommand(with_configuration(keygen::check_token_args(
            clap::Command::new("check-token")
                .about("Say whether a token would be accepted, and as whom"),
        )))
}

fn with_configuration(command: clap::Command) -> clap::Command {
    let defaults = Config::default();
    let file = Arg::new(FILE_FLAG)
        .long(FILE_FLAG)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file, which must exist [default: ./orgcast.toml if there is one]");
    let flags = keys().filter_map(|key| {
        let default = key.value(&defaults)?;
        Some(key_flag(key.name(), key.doc(), &default))
    });
    command
        .arg(file)
        .args(flags)
        .next_line_help(true)
        .after_help(
            "Later sources win: defaults, the configuration file, ORGCAST_* variables, flags.\n\
         The key max_connections_per_org is the variable ORGCAST_MAX_CONNECTIONS_PER_ORG, and \
         allow_insecure in the group [auth] is ORGCAST_AUTH__ALLOW_INSECURE; ORGCAST_CONFIG \
         names the file.",
        )
}

fn key_flag(key: &'static str, doc: &str, default: &Value) -> Arg {
    let flag = Arg::new(key)
        .long(flag_name(key))
        .help(format!("{doc} [default: {default}]"))
        .allow_negative_numbers(true);
    match default {
        Value::Boolean(_) => flag
            .value_name("BOOL")
            .num_args(0..=1)
            .default_missing_value("true"),
        Value::Integer(_) | Value::Float(_) => flag.value_name("NUMBER"),
        Value::Array(_) => flag.value_name("LIST"),
        Value::Table(_) => flag.value_name("TABLE"),
        Value::String(_) | Value::Datetime(_) => flag.value_name("TEXT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str], env: &[(&str, &str)]) -> Result<Command, CliError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("named.toml"),
            "port = 7000\nroom_max_size = 7\n",
        )
        .unwrap();
        let args = ["orgcast"].iter().chain(args).map(OsString::from);
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse_in(dir.path().to_owned(), args, env)
    }

    fn loaded(args: &[&str], env: &[(&str, &str)]) -> Loaded {
        match run(args, env) {
            Ok(Command::Serve(loaded)) => loaded,
            other => panic!("{other:?}"),
        }
    }

    fn served(args: &[&str], env: &[(&str, &str)]) -> Config {
        loaded(args, env).config
    }

    fn usage(args: &[&str]) -> clap::Error {
        match run(args, &[]) {
            Err(CliError::Usage(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn one_line(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        command().debug_assert();
        assert!(keys().all(|key| key.name() != FILE_FLAG));
    }

    #[test]
    fn serve_without_anything_runs_the_defaults() {
        assert_eq!(served(&["serve"], &[]), Config::default());
    }

    #[test]
    fn flags_win_over_variables_and_these_over_the_named_file() {
        let config = served(
            &[
                "serve",
                "--config",
                "named.toml",
                "--port",
                "0",
                "--max-connections-per-org=500",
            ],
            &[
                ("ORGCAST_PORT", "6000"),
                ("ORGCAST_ROOM_MAX_SIZE", "8"),
                ("HOME", "/"),
            ],
        );
        assert_eq!(
            (
                config.port,
                config.room_max_size,
                config.max_connections_per_org
            ),
            (0, 8, 500)
        );
        let config = served(&["serve"], &[("ORGCAST_CONFIG", "named.toml")]);
        assert_eq!((config.port, config.room_max_size), (7000, 7));
    }

    #[test]
    fn a_boolean_flag_alone_is_true_and_takes_a_value() {
        let allowed = |args: &[&str]| served(args, &[]).auth.allow_insecure;
        assert!(allowed(&["serve", "--auth.allow-insecure"]));
        assert!(allowed(&["serve", "--auth.allow-insecure", "--port", "0"]));
        assert!(allowed(&["serve", "--auth.allow-insecure", "true"]));
        assert!(!allowed(&["serve", "--auth.allow-insecure=false"]));
        assert!(!served(&["serve", "--auth-required", "false"], &[]).auth_required);
    }

    #[test]
    fn check_config_takes_the_same_sources_as_serve() {
        let args = ["--config", "named.toml", "--host", "::1"];
        let env = [("ORGCAST_LOG", "debug")];
        let served = loaded(&[&["serve"], &args[..]].concat(), &env);
        assert_eq!(served.file, Some("named.toml".into()));
        assert_eq!(
            run(&[&["check-config"], &args[..]].concat(), &env).unwrap(),
            Command::CheckConfig(served)
        );
    }

    #[test]
    fn default_config_looks_at_no_source() {
        assert_eq!(
            run(&["default-config"], &[("ORGCAST_PROT", "1")]).unwrap(),
            Command::DefaultConfig
        );
    }

    #[test]
    fn no_subcommand_is_the_help_with_exit_code_2() {
        let error = usage(&[]);
        assert_eq!(error.exit_code(), 2);
        for name in [
            "serve",
            "check-config",
            "default-config",
            "config-schema",
            "demo",
            "gen-key",
            "gen-token",
            "check-token",
        ] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn the_help_of_serve_and_check_config_lists_every_flag_with_meaning_and_default() {
        let defaults = Config::default();
        for subcommand in ["serve", "check-config"] {
            let error = usage(&[subcommand, "--help"]);
            assert_eq!(error.exit_code(), 0);
            // Where lines break depends on the terminal.
            let help = one_line(&error.to_string());
            assert!(help.contains("--config <FILE>"), "{help}");
            for key in keys() {
                let flag = format!("--{} ", flag_name(key.name()));
                let default = key.value(&defaults).unwrap();
                let meaning = one_line(&format!("{} [default: {default}]", key.doc()));
                assert!(
                    help.contains(&flag) && help.contains(&meaning),
                    "{flag} is not in {help}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_flag_names_the_nearest_one() {
        let error = usage(&["serve", "--prot", "1"]);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--port"), "{error}");
    }

    #[test]
    fn a_bad_value_of_a_flag_is_a_configuration_error_that_names_the_flag() {
        for (value, shown) in [("x", "\"x\""), ("-1", "-1")] {
            let Err(CliError::Config(error)) = run(&["serve", "--port", value], &[]) else {
                panic!("{value}")
            };
            let expected =
                format!("flag --port is {shown}; expected a whole number from 0 to 65535");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn serve_beyond_loopback_is_refused_until_it_is_allowed() {
        assert!(matches!(
            run(&["serve", "--host", "0.0.0.0"], &[]),
            Err(CliError::Config(_))
        ));
        assert!(
            run(
                &["serve", "--host", "0.0.0.0", "--auth.allow-insecure"],
                &[]
            )
            .is_ok()
        );
    }
}
