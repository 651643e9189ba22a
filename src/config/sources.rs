//! How the sources of the configuration are laid over each other: defaults, file, variables, flags.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::error::{ConfigError, Origin, Problem};
use super::files::{self, Files};
use super::kind::one_of;
use super::names::{DEFAULT_FILE, FILE_VARIABLE, VARIABLE_PREFIX, flag_name, variable_name};
use super::schema::{AnyKey, Config, find, keys};
use super::suggest::{misplaced, nearest};

/// Where a configuration comes from, without having been looked at.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that `--config` names; it must exist.
    pub file: Option<PathBuf>,
    /// Environment variables; those that don't start with `ORGCAST_` are ignored.
    pub env: Vec<(String, String)>,
    /// Key paths such as `auth.allow_insecure` with the text of their flag; the last wins.
    pub flags: Vec<(String, String)>,
    /// What a relative file name is relative to, and where `orgcast.toml` is looked for.
    pub working_dir: PathBuf,
    /// Which of the files that the configuration names are read, to see whether they can be.
    pub files: Files,
}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, as it was named.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// What was read, for an operator who wonders.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => "no file, defaults".to_owned(),
        }
    }
}

/// Lays the sources over each other (defaults, then the file, then the variables, then the
/// flags) and validates what comes out. A list or table of a later source replaces that of an
/// earlier one.
///
/// # Errors
/// [`ConfigError::Unreadable`] and [`ConfigError::Syntax`] for the file;
/// [`ConfigError::Invalid`] with every unknown name and wrong type of all sources, every broken
/// rule of [`Config::validate`] and every file that is of no use.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    let mut file = None;
    if let Some((path, table)) = read_file(sources)? {
        layers.file(&path, table);
        file = Some(path);
    }
    layers.variables(&sources.env);
    layers.flags(&sources.flags);
    let config = layers.finish(sources)?;
    Ok(Loaded { config, file })
}

fn read_file(sources: &Sources) -> Result<Option<(PathBuf, Table)>, ConfigError> {
    let from_variable = || {
        sources
            .env
            .iter()
            .find(|(name, _)| name == FILE_VARIABLE)
            .map(|(_, value)| PathBuf::from(value))
    };
    let named = sources.file.clone().or_else(from_variable);
    let must_exist = named.is_some();
    let path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    match std::fs::read_to_string(sources.working_dir.join(&path)) {
        Ok(text) => match text.parse::<Table>() {
            Ok(table) => Ok(Some((path, table))),
            Err(cause) => {
                let before = &text[..cause.span().map_or(0, |span| span.start.min(text.len()))];
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                Err(ConfigError::Syntax {
                    path,
                    line: before.matches('\n').count() + 1,
                    column: before[line_start..].chars().count() + 1,
                    problem: cause.message().to_owned(),
                })
            }
        },
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(cause) => Err(ConfigError::Unreadable { path, cause }),
    }
}

#[derive(Default)]
struct Layers {
    config: Config,
    origins: BTreeMap<&'static str, Origin>,
    problems: Vec<Problem>,
}

impl Layers {
    fn file(&mut self, path: &Path, table: Table) {
        self.file_table(path, "", table);
    }

    fn file_table(&mut self, path: &Path, group: &str, table: Table) {
        for (name, value) in table {
            let name = if group.is_empty() {
                name
            } else {
                format!("{group}.{name}")
            };
            let origin = Origin::File {
                key: name.clone(),
                path: path.to_owned(),
            };
            match (find(&name), value) {
                (Some(key), value) => self.set(key, origin, &value),
                (None, Value::Table(inner)) if is_group(&name) || !inner.is_empty() => {
                    self.file_table(path, &name, inner);
                }
                (None, value) if is_group(&name) => self.problems.push(Problem::WrongType {
                    origin,
                    value: shown(&value),
                    expected: "a table of keys".to_owned(),
                }),
                (None, _) => {
                    let known = keys().map(|key| key.name().to_owned());
                    let problem = misplaced(&origin).unwrap_or_else(|| Problem::Unknown {
                        origin,
                        nearest: nearest(&name, known).map(|nearest| format!("`{nearest}`")),
                    });
                    self.problems.push(problem);
                }
            }
        }
    }

    fn variables(&mut self, env: &[(String, String)]) {
        for (name, text) in env {
            if !name.starts_with(VARIABLE_PREFIX) || name == FILE_VARIABLE {
                continue;
            }
            let origin = Origin::Variable(name.clone());
            if let Some(key) = keys().find(|key| variable_name(key.name()) == *name) {
                self.set(key, origin, &key.from_text(text));
            } else {
                let known = keys()
                    .map(|key| variable_name(key.name()))
                    .chain([FILE_VARIABLE.to_owned()]);
                self.problems.push(Problem::Unknown {
                    origin,
                    nearest: nearest(name, known),
                });
            }
        }
    }

    fn flags(&mut self, flags: &[(String, String)]) {
        for (name, text) in flags {
            let origin = Origin::Flag(format!("--{}", flag_name(name)));
            if let Some(key) = find(name) {
                self.set(key, origin, &key.from_text(text));
            } else {
                let nearest = nearest(&flag_name(name), keys().map(|key| flag_name(key.name())));
                self.problems.push(Problem::Unknown {
                    origin,
                    nearest: nearest.map(|nearest| format!("--{nearest}")),
                });
            }
        }
    }

    fn set(&mut self, key: AnyKey, origin: Origin, value: &Value) {
        if key.set(&mut self.config, value) {
            self.origins.insert(key.name(), origin);
        } else if !self.has_strays(key, &origin, value) {
            let value = if key.is_secret() {
                "not shown here".to_owned()
            } else {
                shown(value)
            };
            self.problems.push(Problem::WrongType {
                origin,
                value,
                expected: key.expected(),
            });
        }
    }

    /// Reports what doesn't belong into the tables of a key whose tables an operator names, which
    /// the types alone say nothing helpful about, and looks at what is left.
    fn has_strays(&mut self, key: AnyKey, origin: &Origin, value: &Value) -> bool {
        let known = key.members();
        let Value::Table(entries) = value else {
            return false;
        };
        if known.is_empty() {
            return false;
        }
        let before = self.problems.len();
        let mut rest = entries.clone();
        for (entry, members) in entries {
            let path = format!("{}.{entry}", key.name());
            let Value::Table(members) = members else {
                if let Some(problem) = misplaced(&origin.beneath(&path)) {
                    self.problems.push(problem);
                    rest.remove(entry);
                }
                continue;
            };
            for member in members
                .keys()
                .filter(|name| !known.contains(&name.as_str()))
            {
                let origin = origin.beneath(&format!("{path}.{member}"));
                let problem = misplaced(&origin).unwrap_or_else(|| Problem::UnknownMember {
                    origin,
                    expected: one_of(&known),
                });
                self.problems.push(problem);
                if let Some(Value::Table(members)) = rest.get_mut(entry) {
                    members.remove(member);
                }
            }
        }
        let has_some = self.problems.len() > before;
        if has_some {
            self.set(key, origin.clone(), &Value::Table(rest));
        }
        has_some
    }

    fn finish(self, sources: &Sources) -> Result<Config, ConfigError> {
        let Self {
            config,
            origins,
            mut problems,
        } = self;
        let mut broken = Vec::new();
        // They say nothing of use while one of the keys may be missing for another problem's sake.
        if problems.is_empty() {
            broken.extend(config.broken_together());
        }
        broken.extend(config.broken_alone());
        broken.extend(files::problems(
            &config,
            &sources.working_dir,
            sources.files,
        ));
        for problem in &mut broken {
            if let Problem::Rule { key, origin, .. } | Problem::File { key, origin, .. } = problem {
                *origin = origins.get(key).cloned();
            }
        }
        problems.append(&mut broken);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }
}

/// Whether keys stand in a group of this name.
fn is_group(name: &str) -> bool {
    keys().any(|key| {
        let rest = key.name().strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    })
}

fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    // TOML writes some strings over several lines, and a problem is one line.
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string().replace('\n', "\\n"),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::{LogFormat, default_values};
    use crate::protocol::envelope::Envelope;

    struct Case {
        dir: tempfile::TempDir,
        sources: Sources,
    }

    impl Case {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let sources = Sources {
                working_dir: dir.path().to_owned(),
                ..Sources::default()
            };
            Self { dir, sources }
        }

        fn file(self, name: &str, text: &str) -> Self {
            std::fs::write(self.dir.path().join(name), text).unwrap();
            self
        }

        fn config(mut self, name: &str) -> Self {
            self.sources.file = Some(name.into());
            self
        }

        fn env(mut self, name: &str, value: &str) -> Self {
            self.sources.env.push((name.to_owned(), value.to_owned()));
            self
        }

        fn flag(mut self, key: &str, value: &str) -> Self {
            self.sources.flags.push((key.to_owned(), value.to_owned()));
            self
        }

        fn loaded(&self) -> Config {
            let loaded = load(&self.sources).unwrap_or_else(|error| panic!("{error}"));
            loaded.config
        }

        fn refused(&self) -> String {
            load(&self.sources).unwrap_err().to_string()
        }
    }

    fn leaves(prefix: &str, table: &Table, found: &mut Vec<String>) {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                Value::Table(inner) if find(&path).is_none() => leaves(&path, inner, found),
                _ => found.push(path),
            }
        }
    }

    #[test]
    fn the_table_of_keys_is_exactly_the_configuration_in_its_order() {
        let mut found = Vec::new();
        leaves("", &default_values(), &mut found);
        assert_eq!(found, keys().map(AnyKey::name).collect::<Vec<_>>());
        assert!(
            keys()
                .map(AnyKey::doc)
                .all(|doc| doc.ends_with('.') && !doc.contains('\n'))
        );
    }

    #[test]
    fn every_key_has_a_variable_and_a_flag_of_its_own() {
        let mut variables: Vec<_> = keys().map(|key| variable_name(key.name())).collect();
        variables.push(FILE_VARIABLE.to_owned());
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), keys().count() + 1);
        assert_eq!(
            variable_name("max_connections_per_org"),
            "ORGCAST_MAX_CONNECTIONS_PER_ORG"
        );
        assert_eq!(
            variable_name("auth.allow_insecure"),
            "ORGCAST_AUTH__ALLOW_INSECURE"
        );
        assert_eq!(
            flag_name("max_connections_per_org"),
            "max-connections-per-org"
        );
        assert_eq!(flag_name("auth.allow_insecure"), "auth.allow-insecure");
    }

    #[test]
    fn with_no_source_at_all_the_defaults_are_used() {
        assert_eq!(Case::new().loaded(), Config::default());
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_the_defaults() {
        let mut case = Case::new();
        assert_eq!(case.loaded().port, 5000);
        case = case.file(
            "orgcast.toml",
            "port = 5001\nroom_max_size = 1\n[auth]\nallow_insecure = true\n",
        );
        assert_eq!(case.loaded().port, 5001);
        assert!(case.loaded().auth.allow_insecure);
        case = case
            .env("ORGCAST_PORT", "5002")
            .env("ORGCAST_AUTH__ALLOW_INSECURE", "false");
        assert_eq!(case.loaded().port, 5002);
        assert!(!case.loaded().auth.allow_insecure);
        case = case
            .flag("port", "5003")
            .flag("auth.allow_insecure", "true");
        let config = case.loaded();
        assert_eq!(config.port, 5003);
        assert!(config.auth.allow_insecure);
        assert_eq!(config.room_max_size, 1);
        assert_eq!(case.flag("port", "5004").loaded().port, 5004);
    }

    #[test]
    fn text_is_read_by_the_type_of_the_default() {
        let config = Case::new()
            .env("ORGCAST_LOG", "true")
            .env("ORGCAST_PATH", "/5000")
            .env("ORGCAST_HOST", "::1")
            .env("ORGCAST_AUTH_REQUIRED", "false")
            .env("ORGCAST_CORS_ORIGINS", "http://a:1, https://b")
            .env("ORGCAST_CHANNELS", r#"["orders", "shifts"]"#)
            .env(
                "ORGCAST_EVENTS",
                r#"{ "order.created" = "orders", note = "" }"#,
            )
            .env("ORGCAST_DEFAULT_ENVELOPE", "type_data")
            .env("ORGCAST_LOG_FORMAT", "json")
            .loaded();
        assert_eq!(config.log, "true");
        assert_eq!(config.path, "/5000");
        assert!(config.host.is_loopback() && config.host.is_ipv6());
        assert!(!config.auth_required);
        assert_eq!(config.cors_origins, ["http://a:1", "https://b"]);
        assert_eq!(config.channels, ["orders", "shifts"]);
        assert_eq!(config.events["order.created"], "orders");
        assert_eq!(config.events["note"], "");
        assert_eq!(config.default_envelope, Envelope::TypeData);
        assert_eq!(config.log_format, LogFormat::Json);
    }

    #[test]
    fn an_empty_list_can_be_written_as_text() {
        assert!(
            Case::new()
                .env("ORGCAST_CORS_ORIGINS", "")
                .loaded()
                .cors_origins
                .is_empty()
        );
    }

    #[test]
    fn a_later_source_replaces_a_list_or_table_as_a_whole() {
        let case = Case::new()
            .file(
                "orgcast.toml",
                "channels = [\"a\", \"b\"]\n[events]\nx = \"a\"\n",
            )
            .flag("channels", "c")
            .env("ORGCAST_EVENTS", "{ y = \"c\" }");
        assert_eq!(case.loaded().channels, ["c"]);
        assert_eq!(case.loaded().events.keys().collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn variables_of_other_programs_are_ignored() {
        assert_eq!(
            Case::new()
                .env("PATH", "/bin")
                .env("ORGCASTX", "1")
                .loaded(),
            Config::default()
        );
    }

    #[test]
    fn the_flag_names_the_file_before_the_variable_and_that_before_the_working_directory() {
        let mut case = Case::new()
            .file("orgcast.toml", "port = 1")
            .file("variable.toml", "port = 2")
            .file("flag.toml", "port = 3");
        assert_eq!(case.loaded().port, 1);
        case = case.env("ORGCAST_CONFIG", "variable.toml");
        assert_eq!(case.loaded().port, 2);
        assert_eq!(case.config("flag.toml").loaded().port, 3);
    }

    #[test]
    fn a_named_file_must_exist() {
        let by_flag = Case::new().config("absent.toml");
        let by_variable = Case::new().env("ORGCAST_CONFIG", "absent.toml");
        for case in [by_flag, by_variable] {
            assert!(matches!(
                load(&case.sources),
                Err(ConfigError::Unreadable { .. })
            ));
            assert!(
                case.refused()
                    .starts_with("cannot read the configuration file absent.toml: ")
            );
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused_with_the_place() {
        let case = Case::new().file("orgcast.toml", "port = 1\nhost = \n");
        assert!(matches!(
            load(&case.sources),
            Err(ConfigError::Syntax { .. })
        ));
        let text = case.refused();
        assert!(
            text.contains("orgcast.toml") && text.contains("line 2"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_key_names_the_file_and_the_nearest_key() {
        let refused = |text| Case::new().file("orgcast.toml", text).refused();
        assert_eq!(
            refused("prot = 1"),
            "unknown key `prot` in orgcast.toml; did you mean `port`?"
        );
        assert_eq!(
            refused("[auth]\nalow_insecure = true"),
            "unknown key `auth.alow_insecure` in orgcast.toml; did you mean `auth.allow_insecure`?"
        );
        assert_eq!(
            refused("[auht]\nallow_insecure = true"),
            "unknown key `auht.allow_insecure` in orgcast.toml; did you mean `auth.allow_insecure`?"
        );
        assert_eq!(
            refused("[nonsense]"),
            "unknown key `nonsense` in orgcast.toml; `orgcast default-config` prints every key"
        );
        assert_eq!(
            Case::new().file("orgcast.toml", "[auth]").loaded(),
            Config::default()
        );
    }

    #[test]
    fn an_unknown_variable_names_the_nearest_variable() {
        let refused = |name| Case::new().env(name, "1").refused();
        assert_eq!(
            refused("ORGCAST_PROT"),
            "unknown variable ORGCAST_PROT; did you mean ORGCAST_PORT?"
        );
        assert_eq!(
            refused("ORGCAST_CONFG"),
            "unknown variable ORGCAST_CONFG; did you mean ORGCAST_CONFIG?"
        );
        assert_eq!(
            refused("ORGCAST_AUTH_ALLOW_INSECURE"),
            "unknown variable ORGCAST_AUTH_ALLOW_INSECURE; did you mean ORGCAST_AUTH__ALLOW_INSECURE?"
        );
        assert_eq!(
            refused("ORGCAST_port"),
            "unknown variable ORGCAST_port; did you mean ORGCAST_PORT?"
        );
        for far in [
            "ORGCAST_FOO",
            "ORGCAST_KEY",
            "ORGCAST_",
            "ORGCAST_SERVICE_HOST",
        ] {
            assert_eq!(
                refused(far),
                format!("unknown variable {far}; `orgcast default-config` prints every key")
            );
        }
    }

    #[test]
    fn an_unknown_flag_names_the_nearest_flag() {
        let text = Case::new().flag("room_max_sise", "1").refused();
        assert_eq!(
            text,
            "unknown flag --room-max-sise; did you mean --room-max-size?"
        );
    }

    #[test]
    fn a_wrong_type_names_source_key_value_and_expectation() {
        let file = |text| Case::new().file("orgcast.toml", text).refused();
        assert_eq!(
            file("port = \"http\""),
            "key `port` in orgcast.toml is \"http\"; expected a whole number from 0 to 65535"
        );
        assert_eq!(
            file("port = 65536"),
            "key `port` in orgcast.toml is 65536; expected a whole number from 0 to 65535"
        );
        assert_eq!(
            file("room_max_size = -1"),
            "key `room_max_size` in orgcast.toml is -1; expected a whole number, 0 or more"
        );
        assert_eq!(
            file("channels = [1]"),
            "key `channels` in orgcast.toml is [1]; expected a list of strings, such as [\"a\", \"b\"]"
        );
        assert_eq!(
            file("auth = true"),
            "key `auth` in orgcast.toml is true; expected a table of keys"
        );
        assert_eq!(
            file("path = 5"),
            "key `path` in orgcast.toml is 5; expected a string"
        );
        let env = |name, value| Case::new().env(name, value).refused();
        assert_eq!(
            env("ORGCAST_AUTH_REQUIRED", "yes"),
            "variable ORGCAST_AUTH_REQUIRED is \"yes\"; expected true or false"
        );
        assert_eq!(
            env("ORGCAST_HOST", "localhost"),
            "variable ORGCAST_HOST is \"localhost\"; expected an IP address, such as 127.0.0.1 or ::1"
        );
        assert_eq!(
            env("ORGCAST_EVENTS", "a=b"),
            "variable ORGCAST_EVENTS is \"a=b\"; expected a table of strings, such as { \"name\" = \"value\" }"
        );
        assert_eq!(
            env("ORGCAST_DEFAULT_ENVELOPE", "xml"),
            "variable ORGCAST_DEFAULT_ENVELOPE is \"xml\"; expected one of `event`, `type_data`, `type_payload`"
        );
        let flag = |key, value| Case::new().flag(key, value).refused();
        assert_eq!(
            flag("rate_limit_burst", "many"),
            "flag --rate-limit-burst is \"many\"; expected a whole number from 0 to 4294967295"
        );
        assert_eq!(
            flag("log_format", "xml"),
            "flag --log-format is \"xml\"; expected `text` or `json`"
        );
    }

    #[test]
    fn an_error_is_one_line_whatever_the_name_or_value_holds() {
        for text in ["\"a\\nb\" = 1", "port = \"a\\nb\"", "port = [\"a\\n\\nb\"]"] {
            let refused = Case::new().file("orgcast.toml", text).refused();
            assert_eq!(refused.lines().count(), 1, "{refused}");
        }
    }

    #[test]
    fn a_long_value_is_shortened_in_the_error() {
        let text = Case::new().env("ORGCAST_PORT", &"é".repeat(5000)).refused();
        assert!(text.len() < 300, "{text}");
    }

    #[test]
    fn the_mistakes_of_all_sources_are_reported_together() {
        let text = Case::new()
            .file("orgcast.toml", "prot = 1\nport = true\n")
            .env("ORGCAST_PROT", "1")
            .env("ORGCAST_PORT", "x")
            .flag("port", "y")
            .refused();
        let starts: Vec<_> = text
            .lines()
            .map(|line| line.split(';').next().unwrap())
            .collect();
        assert_eq!(
            starts,
            [
                "unknown key `prot` in orgcast.toml",
                "key `port` in orgcast.toml is true",
                "unknown variable ORGCAST_PROT",
                "variable ORGCAST_PORT is \"x\"",
                "flag --port is \"y\"",
            ]
        );
    }

    #[test]
    fn broken_rules_are_reported_beside_other_mistakes_unless_these_may_be_their_cause() {
        let text = Case::new()
            .file(
                "orgcast.toml",
                "prot = 1\nlog = \"a=b=c\"\ncors_origins = [\"nowhere\"]\nhost = \"0.0.0.0\"\n\
                 [auth]\njwt_secret = 7\n",
            )
            .refused();
        for part in [
            "`prot`",
            "`auth.jwt_secret`",
            "`log` is",
            "`cors_origins` is",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn a_line_that_a_table_swallowed_is_named_with_the_table() {
        let key = "[api_keys.crm]\nhash = \"sha256:0\"\noperator = true\nscopes = [\"read\"]\n";
        let refused = |more: &str| {
            let text = [key, more].concat();
            Case::new().file("orgcast.toml", &text).refused()
        };
        let text = refused("port = 5600\n");
        let (stray, rest) = text.split_once('\n').unwrap();
        assert_eq!(
            stray,
            "key `api_keys.crm.port` in orgcast.toml is `port` below the header [api_keys.crm]: \
             TOML takes every line below a header into its table; put `port` above the first header"
        );
        // What else is wrong with the key is said with it.
        assert!(rest.starts_with("`api_keys` is key \"crm\": "), "{text}");
        let text = refused("scope = [\"read\"]\n");
        let (stray, _) = text.split_once('\n').unwrap();
        assert!(
            stray.starts_with("unknown key `api_keys.crm.scope` in orgcast.toml; expected one of")
                && stray.contains("`scopes`"),
            "{text}"
        );
        for (file, table) in [
            ("[auth]\nport = 1", "auth"),
            ("[api_keys]\nport = 1", "api_keys"),
            ("[org_limits.a]\nport = 1", "org_limits.a"),
            ("[org_limits]\nport = 1", "org_limits"),
        ] {
            let text = Case::new().file("orgcast.toml", file).refused();
            assert!(
                text.contains(&format!("`port` below the header [{table}]")),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        let text = Case::new()
            .env("ORGCAST_API_KEYS", "{ crm = { port = 1 } }")
            .refused();
        assert!(
            text.starts_with("unknown variable ORGCAST_API_KEYS (`api_keys.crm.port`); expected"),
            "{text}"
        );
    }

    #[test]
    fn a_broken_rule_names_the_source_that_set_the_value() {
        let text = Case::new()
            .file("orgcast.toml", "path = \"/\"\nchannels = [\"A\", \"B\"]\n")
            .env("ORGCAST_PING_INTERVAL_MS", "0")
            .flag("host", "0.0.0.0")
            .refused();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].ends_with("(set by flag --host)"), "{text}");
        assert!(
            lines[1].ends_with("(set by key `path` in orgcast.toml)"),
            "{text}"
        );
        assert!(
            lines[2].ends_with("(set by variable ORGCAST_PING_INTERVAL_MS)"),
            "{text}"
        );
        assert!(
            lines[3].ends_with("(set by key `channels` in orgcast.toml)"),
            "{text}"
        );
        assert!(
            lines[4].ends_with("(set by key `channels` in orgcast.toml)"),
            "{text}"
        );
    }

    #[test]
    fn the_default_file_loads_as_the_defaults() {
        let case = Case::new().file("orgcast.toml", &Config::default().to_toml());
        assert_eq!(case.loaded(), Config::default());
    }
}
