//! The program: its command line and what it does for it.

mod command_line;
mod demo;
mod demo_feed;
mod keygen;

use std::io::Write;
use std::process::ExitCode;

use command_line::{CliError, Command};
use demo::DemoOptions;

use crate::config::options::Options;
use crate::config::sources::Loaded;
use crate::config::{Config, json_schema};
use crate::domain::time::Clock;
use crate::server::clock::SystemClock;
use crate::server::log::Log;
use crate::server::run;

/// Does what the command line says. Exit codes: 0 done, 1 failed, 2 not understood.
pub fn main() -> ExitCode {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
    match command_line::parse(std::env::args_os(), variables) {
        Ok(Command::Serve(loaded)) => serve(&loaded),
        Ok(Command::CheckConfig(loaded)) => check(&loaded),
        Ok(Command::DefaultConfig) => say(&Config::default().to_toml()),
        Ok(Command::ConfigSchema) => say(&format!("{:#}\n", json_schema())),
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
    let of_tls = of_tls.map(|paths| paths.warnings(SystemClock.now()));
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
    let log = match Log::start(config) {
        Ok(log) => log,
        Err(error) => return fail(&format!("failed to start the log: {error}"), 1),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("failed to start the runtime: {error}"), 1),
    };
    let outcome = runtime.block_on(run::run(options, &loaded.source(), log.clone()));
    // A file that is being read may never answer.
    runtime.shutdown_background();
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not beside the log, which may be waiting for whoever reads standard error.
            log.say(&format!("orgcast: {error}"));
            ExitCode::from(1)
        }
    };
    log.flush();
    code
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
