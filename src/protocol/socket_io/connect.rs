//! CONNECT: who a client is, and what it is told if it can't be that.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::client::{Client, answer};
use super::{ClientSession, REFUSED_GRACE, SocketIo, packet};
use crate::auth::credentials::Credentials;
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::json::{self, Members};
use crate::hub::connection::{NewConnection, Protocol};
use crate::hub::ports::Deliver;
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
        let credentials = credentials(client, auth)?;
        if let Some(credentials) = &credentials {
            self.node.prepare(credentials).await;
        }
        let permit = client.state.lock().permit.clone();
        let permit = permit
            .ok_or_else(|| ClientError::new(Code::InternalError, "the session is closing"))?;
        let new = NewConnection {
            protocol: Protocol::SocketIo,
            remote_address: client.remote_address,
            permit,
            deliver: Arc::clone(session) as Arc<dyn Deliver>,
        };
        let connected = session::Session::connect(&self.node, new);
        let id = connected.connection().id.to_string();
        let version = session.version;
        let welcome = || {
            session.push(&packet::connected(version, &id), DropPolicy::Reply);
        };
        let reply = connected
            .authenticate_handshake(credentials, welcome)
            .await?;
        {
            let mut state = client.state.lock();
            state.session = Some(Arc::new(connected));
            state.connect_by = None;
        }
        if let Some(reply) = reply {
            answer(session, None, &reply);
        }
        Ok(())
    }
}

/// `auth` counts before the query and the headers.
fn credentials(client: &Client, auth: Option<&str>) -> Result<Option<Credentials>, ClientError> {
    let auth = match auth {
        None => None,
        Some(auth) => credentials_of_auth(auth)?,
    };
    match (auth, &client.credentials) {
        (Some(auth), _) => Ok(Some(auth)),
        (None, Ok(credentials)) => Ok(credentials.as_deref().cloned()),
        (None, Err(error)) => Err((**error).clone()),
    }
}

fn credentials_of_auth(auth: &str) -> Result<Option<Credentials>, ClientError> {
    const WHAT: &str = "`auth`";
    let auth = json::parse(WHAT, auth.as_bytes())?;
    match json::kind_of(auth) {
        "null" => Ok(None),
        "an object" => command::credentials(&Members::of(WHAT, auth)?),
        kind => Err(ClientError::invalid(format!(
            "{WHAT} must be an object, not {kind}"
        ))),
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
