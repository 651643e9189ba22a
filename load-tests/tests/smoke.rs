//! Every scenario, small, against the real server: the server serves it, and the generator works.

use std::path::PathBuf;

use orgcast_load::client::{Dial, Protocol, Target};
use orgcast_load::options::Run;
use orgcast_load::publisher::Publisher;
use orgcast_load::report::Report;
use orgcast_load::scenario::{
    acks, churn, fanout, hierarchy, hostile, idle, ping, rooms, stalled, storm,
};
use orgcast_load::server_under_test::{Kind, ServerUnderTest};
use orgcast_load::tls::Certificate;
use tokio::sync::Mutex;

const ALL: [Protocol; 3] = [Protocol::Socketio, Protocol::Plain, Protocol::Polling];
const WEBSOCKET: [Protocol; 2] = [Protocol::Socketio, Protocol::Plain];

/// One at a time: they would only measure each other.
static TURN: Mutex<()> = Mutex::const_new(());

fn against_the_server(protocol: Protocol) -> Run {
    let Some(orgcast) = std::env::var_os("ORGCAST_BIN").map(PathBuf::from) else {
        panic!("ORGCAST_BIN must name the orgcast binary; `make test` builds it and sets it");
    };
    Run {
        server_under_test: ServerUnderTest {
            kind: Kind::Orgcast,
            orgcast,
            earlier: None,
            arguments: Vec::new(),
            peers: PathBuf::new(),
        },
        url: None,
        dial: Dial::new(protocol),
        threads: 1,
    }
}

fn figure(report: &Report, name: &str) -> f64 {
    report
        .figure(name)
        .unwrap_or_else(|| panic!("no {name} in\n{report}"))
}

#[track_caller]
fn check(report: &Report, positive: &[&str]) {
    assert!(!report.is_failed(), "{report}");
    for name in positive {
        assert!(figure(report, name) > 0.0, "{name} in\n{report}");
    }
}

#[tokio::test]
async fn a_flooded_room_hears_everything_once_and_in_order() {
    let _turn = TURN.lock().await;
    for protocol in ALL {
        let options = fanout::Options {
            members: 50,
            seconds: 0.5,
            ..fanout::Options::default()
        };
        let report = fanout::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(
            &report,
            &["deliveries_per_second", "latency_p50_us", "server_cpus"],
        );
    }
}

/// The usual backend: it posts one broadcast after the other, many or just one of them under way.
#[tokio::test]
async fn one_publisher_is_measured_with_many_under_way_and_with_one() {
    let _turn = TURN.lock().await;
    for window in [16, 1] {
        let options = fanout::Options {
            members: 50,
            seconds: 0.5,
            publishers: 1,
            window,
            ..fanout::Options::default()
        };
        let run = against_the_server(Protocol::Socketio);
        let report = fanout::run(&run, &options).await.unwrap();
        check(
            &report,
            &[
                "deliveries_per_second",
                "server_cpu_us_per_delivery",
                "latency_p50_us",
                "latency_p99_us",
            ],
        );
    }
}

#[tokio::test]
async fn over_tls_everything_is_heard_once_and_in_order() {
    let _turn = TURN.lock().await;
    for protocol in ALL {
        let mut run = against_the_server(protocol);
        run.dial.tls = true;
        let options = fanout::Options {
            members: 50,
            seconds: 0.5,
            ..fanout::Options::default()
        };
        let report = fanout::run(&run, &options).await.unwrap();
        check(
            &report,
            &["deliveries_per_second", "server_cpu_us_per_delivery"],
        );
        assert_eq!(report.protocol, format!("{}+tls", protocol.name()));
    }
}

/// What is measured over TLS is a connection to the server that was started, and to no other.
#[tokio::test]
async fn a_server_with_another_certificate_is_not_talked_to() {
    let _turn = TURN.lock().await;
    let mut run = against_the_server(Protocol::Socketio);
    run.dial.tls = true;
    let server = run.start().unwrap();
    let own = Publisher::connect(&server.target).await;
    assert!(own.is_ok(), "{own:?}");
    let stranger = Target {
        trust: Some(Certificate::make().unwrap().trust),
        ..server.target.clone()
    };
    let error = Publisher::connect(&stranger).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn what_can_not_be_started_is_a_usage_error() {
    let mut run = against_the_server(Protocol::Socketio);
    run.server_under_test.kind = Kind::Earlier;
    let error = run.start().unwrap_err();
    assert!(error.to_string().contains("--earlier"), "{error}");
    run.server_under_test.earlier = Some(run.server_under_test.orgcast.clone());
    run.start().unwrap();
    run.server_under_test.kind = Kind::Floor;
    run.dial.tls = true;
    let error = run.start().unwrap_err();
    assert!(error.to_string().contains("not set up for TLS"), "{error}");
}

#[tokio::test]
async fn a_paced_room_hears_everything_once_and_in_order() {
    let _turn = TURN.lock().await;
    for protocol in ALL {
        let options = fanout::Options {
            members: 50,
            size: 2048,
            seconds: 0.5,
            paced: Some(20.0),
            ..fanout::Options::default()
        };
        let report = fanout::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(
            &report,
            &[
                "server_cpu_us_per_delivery",
                "latency_p50_us",
                "latency_p99_us",
            ],
        );
    }
}

#[tokio::test]
async fn many_clients_join_at_once() {
    let _turn = TURN.lock().await;
    for protocol in ALL {
        let options = storm::Options {
            connections: 300,
            room: 100,
        };
        let report = storm::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(
            &report,
            &["connections_per_second", "server_cpu_us_per_connection"],
        );
    }
}

#[tokio::test]
async fn idle_connections_have_a_price() {
    let _turn = TURN.lock().await;
    for protocol in WEBSOCKET {
        let options = idle::Options {
            connections: vec![100, 600],
            settle: 0.5,
            room: 100,
        };
        let report = idle::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(
            &report,
            &["server_resident_bytes_at_600", "bytes_per_connection"],
        );
    }
}

#[tokio::test]
async fn only_the_members_of_a_room_hear_it() {
    let _turn = TURN.lock().await;
    for protocol in WEBSOCKET {
        let options = rooms::Options {
            rooms: 50,
            members: 4,
            connections: 40,
            size: 200,
            seconds: 0.5,
            publishers: 3,
            window: 8,
        };
        let report = rooms::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(&report, &["server_cpu_us_per_broadcast"]);
    }
}

#[tokio::test]
async fn overlapping_subscriptions_hear_what_their_filters_say_once() {
    let _turn = TURN.lock().await;
    for protocol in WEBSOCKET {
        let options = hierarchy::Options {
            connections: 140,
            departments: 2,
            queues: 3,
            size: 200,
            seconds: 0.5,
            publishers: 3,
            window: 8,
        };
        let report = hierarchy::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(&report, &["deliveries_per_second"]);
    }
}

#[tokio::test]
async fn those_who_stay_miss_nothing_while_others_come_and_go() {
    let _turn = TURN.lock().await;
    for protocol in WEBSOCKET {
        let options = churn::Options {
            members: 30,
            churn: 50.0,
            stay: 0.3,
            paced: 40.0,
            size: 200,
            seconds: 1.0,
        };
        let report = churn::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(&report, &["deliveries_per_second", "came_and_went"]);
    }
}

#[tokio::test]
async fn a_stalled_reader_is_let_go_and_nobody_else_loses_anything() {
    let _turn = TURN.lock().await;
    for protocol in WEBSOCKET {
        let options = stalled::Options {
            members: 20,
            paced: 200.0,
            size: 16 * 1024,
            seconds: 1.0,
            patience: 40.0,
        };
        let report = stalled::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(&report, &["let_go_after_seconds", "latency_with_p99_us"]);
    }
}

#[tokio::test]
async fn nobody_loses_anything_to_attacks() {
    let _turn = TURN.lock().await;
    let options = hostile::Options {
        members: 20,
        paced: 40.0,
        size: 200,
        seconds: 1.0,
        settle: 0.0,
    };
    let report = hostile::run(&against_the_server(Protocol::Socketio), &options)
        .await
        .unwrap();
    check(
        &report,
        &["calm_p99_us", "bombs_p99_us", "everything_p99_us"],
    );
    // Beside a test suite and without optimisation; a client that is worked off in one go stops
    // everybody for several seconds.
    for attack in ["bombs", "floods", "connects", "polls"] {
        let waited = figure(&report, &format!("{attack}_healthz_max_ms"));
        assert!(
            waited < 1000.0,
            "an operator waited {waited} ms during {attack}"
        );
        let p99 = figure(&report, &format!("{attack}_p99_us"));
        assert!(p99 < 1_000_000.0, "{p99} µs to a listener during {attack}");
    }
}

#[tokio::test]
async fn requests_are_answered_in_a_closed_loop() {
    let _turn = TURN.lock().await;
    for protocol in ALL {
        let options = ping::Options {
            connections: 20,
            seconds: 0.5,
        };
        let report = ping::run(&against_the_server(protocol), &options)
            .await
            .unwrap();
        check(&report, &["requests_per_second", "latency_p50_us"]);
    }
}

#[tokio::test]
async fn a_soak_tells_the_slope_of_the_memory() {
    let _turn = TURN.lock().await;
    let options = churn::SoakOptions {
        minutes: 0.1,
        members: 20,
        churn: 20.0,
        paced: 20.0,
        max_growth: None,
    };
    let run = against_the_server(Protocol::Socketio);
    let report = churn::soak(&run, &options).await.unwrap();
    check(&report, &["came_and_went", "server_resident_bytes"]);
    figure(&report, "resident_growth_bytes_per_minute");
    figure(&report, "resident_growth_bytes_per_hour");
}

/// A peer that is there only where somebody installed it.
#[tokio::test]
async fn nchan_where_it_is_installed_is_loaded_and_checked_like_the_others() {
    let _turn = TURN.lock().await;
    let server_under_test = ServerUnderTest {
        kind: Kind::Nchan,
        orgcast: PathBuf::new(),
        earlier: None,
        arguments: Vec::new(),
        peers: concat!(env!("CARGO_MANIFEST_DIR"), "/peers").into(),
    };
    if let Some(why) = server_under_test.missing() {
        eprintln!("nchan: {why}");
        return;
    }
    let run = Run {
        server_under_test,
        url: None,
        dial: Dial::new(Protocol::Plain),
        threads: 1,
    };
    for paced in [None, Some(20.0)] {
        let options = fanout::Options {
            members: 50,
            seconds: 0.5,
            paced,
            ..fanout::Options::default()
        };
        let report = fanout::run(&run, &options).await.unwrap();
        check(&report, &["deliveries_per_second", "server_cpus"]);
    }
    let options = hierarchy::Options {
        connections: 10,
        departments: 2,
        queues: 3,
        size: 200,
        seconds: 0.5,
        publishers: 1,
        window: 8,
    };
    let error = hierarchy::run(&run, &options).await.unwrap_err();
    assert!(error.to_string().contains("one room"), "{error}");
}

/// Only the plain protocol allows it: a Socket.IO client waits until CONNECT is acknowledged, and
/// Socket.IO's own server closes the connection of one that does not.
#[tokio::test]
async fn commands_in_the_same_write_are_answered() {
    let _turn = TURN.lock().await;
    let options = acks::Options {
        connections: 1000,
        eager: true,
        together: true,
    };
    let run = against_the_server(Protocol::Plain);
    let report = acks::run(&run, &options).await.unwrap();
    check(&report, &["acknowledged"]);
}

#[tokio::test]
async fn clients_that_connect_in_the_same_moment_are_all_answered() {
    let _turn = TURN.lock().await;
    let options = acks::Options {
        connections: 2000,
        eager: false,
        together: true,
    };
    let run = against_the_server(Protocol::Socketio);
    let report = acks::run(&run, &options).await.unwrap();
    check(&report, &["acknowledged"]);
}

#[tokio::test]
async fn eighteen_thousand_clients_that_emit_at_once_are_all_answered() {
    let _turn = TURN.lock().await;
    let options = acks::Options {
        connections: 18_000,
        eager: false,
        together: false,
    };
    let run = against_the_server(Protocol::Socketio);
    let report = acks::run(&run, &options).await.unwrap();
    check(&report, &["acknowledged"]);
}
