//! HTTP requests to the server.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::server::Server;

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn code(&self) -> String {
        let code = &self.json()["error"]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }
}

#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    port: u16,
}

impl Http {
    pub fn new(server: &Server) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            port: server.port,
        }
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let uri = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.send("GET", path, &[("x-api-key", key)], "").await
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.send("POST", path, &[("x-api-key", key)], &body).await
    }

    /// Broadcasts and answers the number of recipients.
    pub async fn broadcast(&self, key: &str, body: &Value) -> u64 {
        let answer = self.post("/api/ws/broadcast", key, body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        answer.json()["recipients"].as_u64().unwrap()
    }
}
