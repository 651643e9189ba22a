//! Reading what streams keep.

use std::sync::Arc;

use super::Node;
use super::ports::{Kept, Lost, StreamLog};
use crate::domain::error::{ClientError, NotRecovered};
use crate::domain::fields;
use crate::domain::identity::UserId;
use crate::domain::position::Position;
use crate::domain::room::{Channel, Place};
use crate::domain::target::Target;

/// Which events of an organization are meant: those that a subscription at the place hears, or everybody does.
#[derive(Debug, Clone)]
pub struct Selection {
    pub place: Place,
    /// Of these channels alone; none is all.
    pub channels: Vec<Channel>,
    /// Of this name alone.
    pub event: Option<String>,
    /// Who reads, if that is a user: then what is for that user is among them.
    pub user: Option<UserId>,
}

impl Selection {
    /// What is for single users or connections is nobody else's to read.
    fn has(&self, kept: &Kept) -> bool {
        let event = &kept.published.event;
        let is_at_place = match &kept.published.target {
            Target::Place(place) => {
                self.place.hears(place) || (kept.published.cascade && self.place.is_beneath(place))
            }
            Target::Everyone { except, .. } => {
                self.user.as_ref().is_none_or(|user| !except.contains(user))
            }
            Target::Users(_, users) => self.user.as_ref().is_some_and(|user| users.contains(user)),
            Target::Connections(..) => false,
        };
        let is_own = !matches!(kept.published.target, Target::Place(_)) || event.channel.is_none();
        let mut channels = self.channels.iter();
        let is_in_channel = self.channels.is_empty()
            || (is_own && self.user.is_some())
            || channels.any(|channel| event.channel.as_ref() == Some(channel));
        let is_named = |name: &String| event.name.as_str() == name;
        is_at_place && self.event.as_ref().is_none_or(is_named) && is_in_channel
    }
}

/// Which part of a history is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Range {
    /// The first ones behind an offset; without one from the first that is kept on.
    Since(Option<Position>),
    /// The last ones before an offset, the newest first; without one from the newest on.
    Before(Option<Position>),
}

impl Range {
    /// The one that an order and offsets stand for.
    pub fn read(
        order: Option<&str>,
        since: Option<Position>,
        before: Option<Position>,
    ) -> Result<Self, ClientError> {
        match (order, since, before) {
            (None | Some("asc"), since, None) => Ok(Self::Since(since)),
            (Some("desc"), None, before) => Ok(Self::Before(before)),
            (None | Some("asc"), _, Some(_)) => {
                Err(ClientError::invalid("`before` goes with `order=desc`"))
            }
            (Some("desc"), Some(_), _) => {
                Err(ClientError::invalid("`since` goes with `order=asc`"))
            }
            (Some(other), ..) => {
                let other = fields::shown(other);
                Err(ClientError::invalid(format!(
                    "`order` is `{other}`; asc and desc are allowed"
                )))
            }
        }
    }
}

/// Events of a stream.
#[derive(Debug, Default)]
pub struct History {
    pub events: Vec<Arc<Kept>>,
    /// From where on there may be more.
    pub next: Option<Position>,
    /// The last event of all; `None` if there is no stream.
    pub top: Option<Position>,
    /// Why something behind the offset is not there.
    pub incomplete: Option<NotRecovered>,
    /// How many events were looked at.
    pub looked_at: usize,
}

/// Events that are looked at before others run.
const PAGE: usize = 500;

impl Node {
    /// The kept events of a selection, at most `limit`.
    pub async fn history(&self, selection: &Selection, range: Range, limit: usize) -> History {
        let Some(log) = self.streams.log(&selection.place.organization) else {
            return History::default();
        };
        let mut history = History {
            top: Some(log.top()),
            ..History::default()
        };
        match range {
            Range::Since(offset) => since(&*log, selection, offset, limit, &mut history).await,
            Range::Before(offset) => before(&*log, selection, offset, limit, &mut history).await,
        }
        history
    }

    /// The latest values of a selection, in the order of the stream.
    pub fn latest(&self, selection: &Selection) -> History {
        let Some(log) = self.streams.log(&selection.place.organization) else {
            return History::default();
        };
        let top = log.top();
        let mut events = log.latest();
        events.retain(|kept| selection.has(kept));
        History {
            events,
            top: Some(top),
            ..History::default()
        }
    }
}

async fn since(
    log: &dyn StreamLog,
    selection: &Selection,
    offset: Option<Position>,
    limit: usize,
    history: &mut History,
) {
    let first = |log: &dyn StreamLog| {
        let kept = log.until(log.top().seq, usize::MAX);
        let before = kept
            .first()
            .map_or(log.top().seq, |kept| kept.position.seq - 1);
        Position {
            seq: before,
            ..log.top()
        }
    };
    let mut position = offset.unwrap_or_else(|| first(log));
    loop {
        match log.since(position, PAGE) {
            Ok(page) if page.is_empty() => return,
            Ok(page) => {
                history.looked_at += page.len();
                for kept in page {
                    position = kept.position;
                    if !selection.has(&kept) {
                        continue;
                    }
                    if history.events.len() == limit {
                        history.next = history.events.last().map(|last| last.position);
                        return;
                    }
                    history.events.push(kept);
                }
            }
            Err(lost) => {
                // What was asked for is not there, or has just gone: from the first on that is.
                history.incomplete.get_or_insert(lost.into());
                position = first(log);
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn before(
    log: &dyn StreamLog,
    selection: &Selection,
    offset: Option<Position>,
    limit: usize,
    history: &mut History,
) {
    let top = log.top();
    let mut until = match offset {
        Some(offset) if offset.epoch != top.epoch => {
            history.incomplete = Some(Lost::Epoch.into());
            return;
        }
        Some(offset) => offset.seq.saturating_sub(1).min(top.seq),
        None => top.seq,
    };
    loop {
        let page = log.until(until, PAGE);
        let Some(first) = page.first() else { return };
        until = first.position.seq - 1;
        history.looked_at += page.len();
        for kept in page.into_iter().rev() {
            if !selection.has(&kept) {
                continue;
            }
            if history.events.len() == limit {
                history.next = history.events.last().map(|last| last.position);
                return;
            }
            history.events.push(kept);
        }
        tokio::task::yield_now().await;
    }
}
