//! The program: command line, configuration, server, shutdown.

mod accept;
mod auth_config;
pub mod cli;
pub mod config;
pub mod demo;
mod demo_feed;
mod descriptors;
pub mod files;
mod keygen;
pub mod keys;
pub mod load;
mod log_filter;
pub mod options;
pub mod problem;
mod rules;
pub mod server;
pub mod shutdown;
mod signals;
pub mod tls;
mod unread;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use cli::{CliError, Command};
use config::{Config, LogFormat};
use demo::DemoOptions;
use load::Loaded;
use options::Options;

/// Does what the command line says. Exit codes: 0 done, 1 failed, 2 not understood.
pub fn run() -> ExitCode {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
    match cli::parse(std::env::args_os(), variables) {
        Ok(Command::Serve(loaded)) => serve(&loaded),
        Ok(Command::CheckConfig(loaded)) => check(&loaded),
        Ok(Command::DefaultConfig) => say(&Config::default().to_toml()),
        Ok(Command::Demo(options)) => demo(&options),
        Ok(Command::Tool(Ok(said))) => {
            note(&said.notes);
            say(&said.output)
        }
        Ok(Command::Tool(Err(problem))) => fail(&problem, 1),
        Err(CliError::Usage(error)) => error.exit(),
        Err(CliError::Config(error)) => fail(&error, 2),
    }
}

fn check(loaded: &Loaded) -> ExitCode {
    let options = match Options::of(&loaded.config) {
        Ok(options) => options,
        Err(error) => return fail(&error, 2),
    };
    let of_tls = options.tls.as_ref();
    let of_tls = of_tls.map(|paths| paths.warnings(SystemTime::now()));
    let warnings = options.warnings().map(str::to_owned);
    let warnings = warnings.chain(of_tls.into_iter().flatten());
    note(warnings.map(|text| format!("orgcast: warning: {text}")));
    say(&format!(
        "the configuration is valid: {}://{}{}\nsettings: {}",
        if options.tls.is_some() {
            "https"
        } else {
            "http"
        },
        options.address,
        options.http.path,
        loaded.source()
    ))
}

fn serve(loaded: &Loaded) -> ExitCode {
    let config = &loaded.config;
    let options = match Options::of(config) {
        Ok(options) => options,
        Err(error) => return fail(&error, 2),
    };
    // A configuration is valid only if this is a filter.
    let filter = EnvFilter::new(&config.log);
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(has_colours())
        .with_writer(std::io::stderr);
    let without_contents = log_filter::without_contents();
    match config.log_format {
        LogFormat::Text => logs.finish().with(without_contents).init(),
        LogFormat::Json => logs.json().finish().with(without_contents).init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("failed to start the runtime: {error}"), 1),
    };
    match runtime.block_on(server::run(options, &loaded.source())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

/// Colours are for people: a file or a collector of logs would get their codes. `NO_COLOR` switches
/// them off.
fn has_colours() -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !is_unwanted
}

fn demo(options: &DemoOptions) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(demo::run(options)),
        Err(error) => Err(format!("failed to start the runtime: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem, 1),
    }
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let text = error.to_string();
    note(text.lines().map(|line| format!("orgcast: {line}")));
    ExitCode::from(code)
}

fn note(lines: impl IntoIterator<Item = impl std::fmt::Display>) {
    let mut err = std::io::stderr().lock();
    for line in lines {
        // Without a place to say it the exit code has to do.
        let _ = writeln!(err, "{line}");
    }
}
