//! CONNECT: who a client is, and what it is told if it can't be that.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::client::{Client, answer};
use super::{ClientSession, REFUSED_GRACE, SocketIo, packet};
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, CloseReason, Code, NotRecovered};
use crate::domain::identity::ConnectionId;
use crate::domain::json::{self, Members};
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::ports::Deliver;
use crate::node;
use crate::node::recovery::Comeback;
use crate::node::sessions::{SessionKey, SessionSecret};
use crate::protocol::{command, session};
use crate::wire::send_queue::DropPolicy;

impl SocketIo {
    /// A CONNECT: one a namespace at a time.
    pub(super) async fn connect(
        &self,
        session: &Arc<ClientSession>,
        namespace: &str,
        auth: Option<String>,
    ) {
        let version = session.version;
        if namespace != "/" {
            let nothing: Option<&()> = None;
            let refused = packet::connect_error(version, namespace, "Invalid namespace", nothing);
            session.push(&refused, DropPolicy::Reply);
            return;
        }
        {
            let mut state = session.connection.state.lock();
            if state.is_connecting || state.session.is_some() {
                drop(state);
                session.fail(CloseReason::ProtocolError);
                return;
            }
            state.is_connecting = true;
        }
        let entered = self.enter(session, auth.as_deref()).await;
        session.connection.state.lock().is_connecting = false;
        match entered {
            Ok(()) => {}
            // It passes by itself, and a client that is refused as below does not come back.
            Err(error) if error.code == Code::ConnectionLimit => {
                session.close(CloseReason::ConnectionLimit);
            }
            Err(error) => {
                let data = ConnectErrorData::of(&error);
                let message = error.to_string();
                let refused = packet::connect_error(version, "/", &message, Some(&data));
                session.push(&refused, DropPolicy::Reply);
                let by = Instant::now() + REFUSED_GRACE;
                session.connection.state.lock().connect_by = Some(by);
                session.look_again(by);
            }
        }
        // It may have left while its credentials were verified.
        if session.is_over() {
            session.connection.leave();
        }
    }

    async fn enter(
        &self,
        session: &Arc<ClientSession>,
        auth: Option<&str>,
    ) -> Result<(), ClientError> {
        let client = &session.connection;
        let Auth {
            credentials,
            comeback,
        } = Auth::read(client, auth)?;
        if let Some(credentials) = &credentials {
            self.node.prepare(credentials).await;
        }
        let permit = client.state.lock().permit.clone();
        let permit = permit
            .ok_or_else(|| ClientError::new(Code::InternalError, "the session is closing"))?;
        let new = |id| NewConnection {
            id,
            protocol: Protocol::SocketIo,
            remote_address: client.remote_address,
            permit: Arc::clone(&permit),
            deliver: Arc::clone(session) as Arc<dyn Deliver>,
        };
        let mut refused = None;
        let comeback = comeback.filter(|_| client.form.has_offset());
        if let Some(comeback) = &comeback {
            match self
                .go_on(session, comeback, credentials.clone(), new)
                .await
            {
                Ok(()) => return Ok(()),
                Err(reason) => refused = Some(reason),
            }
        }
        let connected = session::Session::connect(&self.node, new(None));
        let id = connected.connection().id.to_string();
        let version = session.version;
        let secret = client.form.has_offset().then(SessionSecret::random);
        let key = secret.as_ref().map(SessionSecret::key);
        let welcome = || {
            let pid = secret.as_ref().map(SessionSecret::as_str);
            session.push(&packet::connected(version, &id, pid), DropPolicy::Reply);
        };
        let reply = connected
            .authenticate_handshake(credentials, key, welcome)
            .await?;
        // What it missed comes with its subscriptions.
        let offset = comeback.and_then(|comeback| comeback.offset?.parse().ok());
        if let (Some(NotRecovered::Unknown), Some(offset)) = (refused, offset) {
            connected.go_on_behind(offset).await;
        }
        entered(client, connected, key);
        if let Some(reply) = reply {
            answer(session, None, &reply.with_refusal(refused));
        }
        Ok(())
    }

    /// Goes on with the session that the client had before.
    async fn go_on(
        &self,
        session: &Arc<ClientSession>,
        comeback: &CameBack,
        credentials: Option<Credentials>,
        new: impl Fn(Option<ConnectionId>) -> NewConnection + Send + Sync,
    ) -> Result<(), NotRecovered> {
        let client = &session.connection;
        let key = SessionKey::of(&comeback.pid);
        // Who authenticates by message is answered then.
        let is_told = credentials.is_some();
        let principal = match credentials {
            None => None,
            Some(credentials) => Some(self.node.verify(credentials)?),
        };
        let asked = Comeback {
            key,
            offset: comeback.offset.as_deref(),
            principal,
        };
        let welcome = |id: ConnectionId| {
            let (id, pid) = (id.to_string(), Some(comeback.pid.as_str()));
            let connected = packet::connected(session.version, &id, pid);
            session.push(&connected, DropPolicy::Reply);
        };
        let recovered =
            node::client::Client::recover(&self.node, asked, |id| new(Some(id)), welcome).await?;
        if let (true, Ok(reply)) = (is_told, session::recovered(&recovered)) {
            answer(session, None, &reply);
        }
        let connected = session::Session::of(&self.node, recovered.deliver());
        entered(client, connected, Some(key));
        Ok(())
    }
}

fn entered(client: &Client, connected: session::Session, key: Option<SessionKey>) {
    let mut state = client.state.lock();
    state.session = Some(Arc::new(connected));
    state.key = key;
    state.connect_by = None;
}

/// What a client says of a session that it had (`pid` and `offset` in its `auth`).
struct CameBack {
    pid: String,
    offset: Option<String>,
}

/// What a CONNECT says.
struct Auth {
    credentials: Option<Credentials>,
    comeback: Option<CameBack>,
}

impl Auth {
    /// `auth` counts before the query and the headers.
    fn read(client: &Client, auth: Option<&str>) -> Result<Self, ClientError> {
        let (mut credentials, mut comeback) = (None, None);
        if let Some(auth) = auth {
            const WHAT: &str = "`auth`";
            let auth = json::parse(WHAT, auth.as_bytes())?;
            match json::kind_of(auth) {
                "null" => {}
                "an object" => {
                    let mut members = Members::of(WHAT, auth)?;
                    credentials = command::credentials(&members)?;
                    // What is no text is of no session.
                    let mut text = |name| {
                        let text = members.take(name)?.get();
                        serde_json::from_str::<String>(text).ok()
                    };
                    let offset = text("offset");
                    comeback = text("pid").map(|pid| CameBack { pid, offset });
                }
                kind => {
                    return Err(ClientError::invalid(format!(
                        "{WHAT} must be an object, not {kind}"
                    )));
                }
            }
        }
        if credentials.is_none() {
            credentials = match &client.credentials {
                Ok(credentials) => credentials.as_deref().cloned(),
                // Its session says who it is.
                Err(_) if comeback.is_some() => None,
                Err(error) => return Err((**error).clone()),
            };
        }
        Ok(Self {
            credentials,
            comeback,
        })
    }
}

/// What an error of a CONNECT has beside its message, as errors of Node's middlewares do.
#[derive(Serialize)]
struct ConnectErrorData {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
}

impl ConnectErrorData {
    fn of(error: &ClientError) -> Self {
        Self {
            code: error.code.as_str(),
            reason: error.reason,
            retry_after_ms: error.retry_after.map(|time| time.as_millis()),
        }
    }
}
