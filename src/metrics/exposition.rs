//! The counters as Prometheus reads them: OpenMetrics 1.0.0, or the text format 0.0.4.
//!
//! What is written is what is counted anyway, read at this moment. No label has a value that a client or a
//! backend could make up.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::latency::Latency;
use super::process::Process;
use super::rejections::Rejection;
use super::{Metrics, Received};
use crate::domain::error::CloseReason;
use crate::domain::event::EventName;
use crate::domain::time::UnixMillis;

/// How the counters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// The text format of Prometheus before OpenMetrics.
    Text,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What there is at one moment beside what was counted.
#[derive(Debug)]
pub struct Gauges {
    pub connections: Vec<(&'static str, usize)>,
    pub rooms: Vec<(&'static str, usize)>,
    pub users: usize,
    pub organizations: usize,
    pub slots_taken: usize,
    pub tcp_connections: usize,
    pub buffered_bytes: usize,
    pub acks_collected: usize,
    pub revocations: usize,
    pub sessions: usize,
    pub connections_behind: usize,
    pub history_bytes: usize,
    pub is_draining: bool,
    pub process: Process,
    pub started_at: UnixMillis,
    pub version: &'static str,
}

/// Everything that is written, read at one moment.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    /// The events of the catalogue, each with how often it was published.
    published: Vec<(EventName, u64)>,
    gauges: Gauges,
}

/// Writes the counters. `published` are the events of the catalogue, each with how often it was published.
pub fn encode(
    metrics: &Arc<Metrics>,
    published: Vec<(EventName, u64)>,
    gauges: Gauges,
    format: Format,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape {
        metrics: Arc::clone(metrics),
        published,
        gauges,
    }));
    let mut written = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut written, &registry)?,
        Format::Text => prometheus_text::encode(&mut written, &registry)?,
    }
    Ok(written)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.clients(&mut writer)?;
        self.messages(&mut writer)?;
        self.process(&mut writer)
    }
}

impl Scrape {
    fn clients(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let Gauges {
            connections,
            rooms,
            users,
            organizations,
            slots_taken,
            tcp_connections,
            is_draining,
            ..
        } = &self.gauges;
        let metrics = &self.metrics;
        writer.gauges(
            ("connections", "Clients that are connected, by protocol"),
            "protocol",
            connections,
        )?;
        writer.counter(
            ("connections_opened", "Clients that have connected"),
            metrics.connections_opened.load(Ordering::Relaxed),
        )?;
        let closes = CloseReason::ALL.map(|reason| (reason.label(), metrics.closes(reason) as u64));
        writer.counters(
            (
                "connections_closed",
                "Connections that the server has closed, by reason",
            ),
            "reason",
            &closes,
        )?;
        let rejections = Rejection::ALL.map(|of| (of.label(), metrics.rejections.get(of)));
        writer.counters(
            (
                "rejections",
                "What the server did not do for somebody, by reason",
            ),
            "reason",
            &rejections,
        )?;
        writer.counters(
            (
                "recoveries",
                "Clients that came back to their session, by what became of it",
            ),
            "outcome",
            &metrics.recoveries(),
        )?;
        writer.gauge(
            ("sessions", "Sessions that clients can come back to"),
            self.gauges.sessions,
        )?;
        writer.gauge(
            (
                "connections_behind",
                "Connections that still get what they missed out of their stream",
            ),
            self.gauges.connections_behind,
        )?;
        writer.gauge(
            (
                "connection_slots_taken",
                "Slots that are taken, with those of clients that have only shaken hands",
            ),
            *slots_taken,
        )?;
        writer.gauge(
            ("tcp_connections", "TCP connections that are no WebSockets"),
            *tcp_connections,
        )?;
        writer.gauge(
            (
                "users",
                "Users that are connected, each once in each organization",
            ),
            *users,
        )?;
        writer.gauge(
            ("organizations", "Organizations with a connection"),
            *organizations,
        )?;
        writer.gauges(
            ("rooms", "Rooms that somebody is in, by level"),
            "level",
            rooms,
        )?;
        writer.gauge(
            ("draining", "1 while the server shuts down"),
            usize::from(*is_draining),
        )
    }

    fn messages(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let received = Received::ALL.map(|of| (of.name(), metrics.received(of)));
        writer.counters(
            ("messages_received", "Messages of clients, by event"),
            "event",
            &received,
        )?;
        let published: Vec<_> = self
            .published
            .iter()
            .map(|(event, count)| (event.as_str(), *count))
            .collect();
        writer.counters(
            ("events_published", "Events that were accepted, by event"),
            "event",
            &published,
        )?;
        writer.counter(
            (
                "deliveries",
                "Events that were written to a connection or queued for it",
            ),
            metrics.delivered.load(Ordering::Relaxed),
        )?;
        writer.counter(
            (
                "deliveries_dropped",
                "Low-priority events that a connection which was behind did not get",
            ),
            metrics.dropped.load(Ordering::Relaxed),
        )?;
        writer.counter(
            (
                "errors",
                "Messages of clients that were answered with an error",
            ),
            metrics.errors.load(Ordering::Relaxed),
        )?;
        writer.seconds(
            (
                "publish_to_socket",
                "From the acceptance of an event to the system call that took its last byte",
            ),
            &metrics.publish_to_socket,
        )?;
        writer.seconds(
            ("ping_round_trip", "From a heartbeat to its answer"),
            &metrics.ping_round_trip,
        )?;
        writer.gauge(
            (
                "acks_collected",
                "Messages whose acknowledgements are being collected",
            ),
            self.gauges.acks_collected,
        )?;
        writer.gauge(
            ("revocations", "Users and tokens that are revoked"),
            self.gauges.revocations,
        )?;
        let (help, kept) = (
            "What streams keep of their events",
            self.gauges.history_bytes,
        );
        writer.write(
            ("history", help),
            Some(&Unit::Bytes),
            MetricType::Gauge,
            |encoder| encoder.encode_gauge(&signed(kept)),
        )?;
        let help = "What queues, messages and bodies hold in memory";
        let buffered = self.gauges.buffered_bytes;
        writer.write(
            ("buffered", help),
            Some(&Unit::Bytes),
            MetricType::Gauge,
            |encoder| encoder.encode_gauge(&signed(buffered)),
        )
    }

    fn process(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let Gauges {
            process,
            started_at,
            version,
            ..
        } = &self.gauges;
        writer.write(
            ("build", "The version that runs"),
            None,
            MetricType::Info,
            |encoder| encoder.encode_info(&[("version", *version)]),
        )?;
        writer.write(
            ("start_time", "When the server was started, since 1970"),
            Some(&Unit::Seconds),
            MetricType::Gauge,
            |encoder| encoder.encode_gauge(&seconds(*started_at)),
        )?;
        if let Some(bytes) = process.resident_bytes {
            writer.write(
                ("resident_memory", "Memory of the process"),
                Some(&Unit::Bytes),
                MetricType::Gauge,
                |encoder| encoder.encode_gauge(&bytes),
            )?;
        }
        if let Some(count) = process.open_descriptors {
            writer.write(
                ("open_fds", "Open file descriptors of the process"),
                None,
                MetricType::Gauge,
                |encoder| encoder.encode_gauge(&count),
            )?;
        }
        Ok(())
    }
}

/// A metric's name, without the prefix and what follows from its kind and unit, and its help.
type Named = (&'static str, &'static str);

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn write(
        &mut self,
        (name, help): Named,
        unit: Option<&Unit>,
        kind: MetricType,
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let name = format!("orgcast_{name}");
        let mut encoder = self.0.encode_descriptor(&name, help, unit, kind)?;
        encode(&mut encoder)
    }

    fn counter(&mut self, named: Named, count: u64) -> fmt::Result {
        self.write(named, None, MetricType::Counter, |encoder| {
            encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)
        })
    }

    fn counters(
        &mut self,
        named: Named,
        label: &'static str,
        counts: &[(&str, u64)],
    ) -> fmt::Result {
        self.write(named, None, MetricType::Counter, |encoder| {
            for (value, count) in counts {
                encoder
                    .encode_family(&[(label, *value)])?
                    .encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
            Ok(())
        })
    }

    fn gauge(&mut self, named: Named, count: usize) -> fmt::Result {
        self.write(named, None, MetricType::Gauge, |encoder| {
            encoder.encode_gauge(&signed(count))
        })
    }

    fn gauges(
        &mut self,
        named: Named,
        label: &'static str,
        counts: &[(&str, usize)],
    ) -> fmt::Result {
        self.write(named, None, MetricType::Gauge, |encoder| {
            for (value, count) in counts {
                encoder
                    .encode_family(&[(label, *value)])?
                    .encode_gauge(&signed(*count))?;
            }
            Ok(())
        })
    }

    fn seconds(&mut self, named: Named, latency: &Latency) -> fmt::Result {
        let histogram = latency.histogram();
        self.write(
            named,
            Some(&Unit::Seconds),
            MetricType::Histogram,
            |encoder| {
                encoder.encode_histogram::<NoLabelSet>(
                    histogram.sum_seconds,
                    histogram.count,
                    &histogram.buckets,
                    None,
                )
            },
        )
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are exact"
)]
fn seconds(time: UnixMillis) -> f64 {
    time.0 as f64 / 1000.0
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
