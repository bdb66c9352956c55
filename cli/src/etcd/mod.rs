//! Speaks with etcd, by the JSON gateway that each member has beside gRPC.
//!
//! The questions here are few and small, and HTTP and TLS are there already. A gRPC client would
//! bring a second stack of both, and needs protoc wherever this command is built.
#![forbid(unsafe_code)]

pub mod fleets;
pub mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use reqwest::{redirect, Certificate, Client, Identity, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::{json, Value};

/// How etcd is to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Its members: `http://host:2379` or `https://…`.
    pub endpoints: Vec<String>,
    /// PEM: the only authorities that are trusted. None: those of the system.
    pub ca: Option<Vec<u8>>,
    /// PEM: a client certificate with its key.
    pub identity: Option<Vec<u8>>,
    pub user: Option<(String, String)>,
}

/// etcd, with any number of members.
#[derive(Clone, Debug)]
pub struct Etcd {
    client: Client,
    members: Arc<[Url]>,
    /// The member that answered last.
    at: Arc<AtomicUsize>,
    user: Option<(String, String)>,
    token: Arc<Mutex<Option<String>>>,
}

/// Why etcd did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The lease is over.
    NoLease,
    /// The user, or the certificate, may not do that.
    Denied(String),
    /// No answer, or an error: it may have been carried out.
    Other(String),
}

/// A question is given up after this time, at each member.
const TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// etcd's own numbers for what went wrong.
const NOT_FOUND: i64 = 5;
const UNAUTHENTICATED: i64 = 16;

impl Etcd {
    /// The error says what is wrong with the members or the certificates.
    pub fn new(access: &Access) -> Result<Self, String> {
        let mut members = Vec::new();
        for name in &access.endpoints {
            let name = if name.contains("://") { name.clone() } else { format!("http://{name}") };
            let url = Url::parse(&name).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            members.push(url.ok_or_else(|| format!("\"{name}\" is not the URL of an etcd"))?);
        }
        if members.is_empty() {
            return Err(
                "which etcd? Give --etcd URL, set INTERMISSION_ETCD, or write it into the \
                        fleet's part of /etc/intermission.toml"
                    .to_owned(),
            );
        }
        let is_plain = members.iter().all(|url| url.scheme() == "http");
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("intermission/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tls_built_in_root_certs(!is_plain && access.ca.is_none());
        if let Some(pem) = access.ca.as_ref().filter(|_| !is_plain) {
            let all = Certificate::from_pem_bundle(pem).ok().filter(|all| !all.is_empty());
            for one in all.ok_or("etcd's CA file has no certificate in PEM")? {
                builder = builder.add_root_certificate(one);
            }
        }
        if let Some(pem) = access.identity.as_ref().filter(|_| !is_plain) {
            let identity = Identity::from_pem(pem);
            let wrong = "etcd's client certificate needs a certificate and its key, in PEM";
            builder = builder.identity(identity.map_err(|_| wrong)?);
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        let (at, user) = (Arc::default(), access.user.clone());
        Ok(Self { client, members: members.into(), at, user, token: Arc::default() })
    }

    /// One question.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Failure> {
        let response = self.send(path, &body, Some(TIMEOUT)).await?;
        let bytes = response.bytes().await.map_err(|error| self.turn(innermost(&error)))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Other(format!("the answer of etcd is broken: {error}")))
    }

    /// A question with many answers, one a line.
    pub async fn listen(&self, path: &str, body: Value) -> Result<Lines, Failure> {
        let response = self.send(path, &body, None).await?;
        Ok(Lines { response, rest: Vec::new() })
    }

    /// Asks one member after the other. A question that a member may have taken is not repeated.
    async fn send(
        &self,
        path: &str,
        body: &Value,
        timeout: Option<Duration>,
    ) -> Result<Response, Failure> {
        let mut last = Failure::Other("etcd has no members".to_owned());
        for _ in 0..self.members.len() {
            match self.send_here(path, body, timeout).await {
                Ok(response) => return Ok(response),
                Err((failure, Taken::No)) => last = failure,
                Err((failure, _)) => return Err(failure),
            }
        }
        Err(last)
    }

    async fn send_here(
        &self,
        path: &str,
        body: &Value,
        timeout: Option<Duration>,
    ) -> Result<Response, (Failure, Taken)> {
        let known = self.token().is_some();
        if self.user.is_some() && !known {
            self.authenticate().await?;
        }
        match self.post(path, body, timeout).await {
            // The token is too old. Nothing was carried out.
            Err((_, Taken::Unauthenticated)) if known => {
                self.authenticate().await?;
                self.post(path, body, timeout).await
            }
            other => other,
        }
    }

    async fn post(
        &self,
        path: &str,
        body: &Value,
        timeout: Option<Duration>,
    ) -> Result<Response, (Failure, Taken)> {
        let at = self.at.load(Ordering::Relaxed) % self.members.len().max(1);
        let Some(member) = self.members.get(at) else {
            return Err((Failure::Other("etcd has no members".to_owned()), Taken::Maybe));
        };
        let url = format!("{}{path}", member.as_str().trim_end_matches('/'));
        let mut request = self.client.post(url).body(body.to_string());
        // A watch at a member without a leader ends.
        request = request.header("Grpc-Metadata-hasleader", "true");
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(token) = self.token() {
            request = request.header(AUTHORIZATION, token);
        }
        let response = request.send().await.map_err(|error| {
            let taken = if error.is_connect() { Taken::No } else { Taken::Maybe };
            (self.turn(format!("{member}: {}", innermost(&error))), taken)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response.bytes().await.unwrap_or_default();
        let error: wire::Error = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(match error.code {
            NOT_FOUND if error.text().contains("lease") => (Failure::NoLease, Taken::Maybe),
            _ if error.is_denied(path) => {
                (Failure::Denied(format!("{member}: {}", error.text())), Taken::Maybe)
            }
            UNAUTHENTICATED => {
                (Failure::Other(format!("{member}: {}", error.text())), Taken::Unauthenticated)
            }
            _ => {
                let raw = String::from_utf8_lossy(&bytes);
                let text = if error.text().is_empty() { raw.trim() } else { error.text() };
                let text: String = text.chars().take(200).collect();
                (self.turn(format!("{member}: {status} {text}")), Taken::Maybe)
            }
        })
    }

    async fn authenticate(&self) -> Result<(), (Failure, Taken)> {
        let Some((name, password)) = &self.user else { return Ok(()) };
        self.keep(None);
        let body = json!({ "name": name, "password": password });
        let response = self.post(wire::AUTHENTICATE, &body, Some(TIMEOUT)).await?;
        let bytes = response.bytes().await.unwrap_or_default();
        let said: Result<wire::Authenticated, _> = serde_json::from_slice(&bytes);
        let wrong = |_| (Failure::Other("etcd gives no token".to_owned()), Taken::Maybe);
        self.keep(Some(said.map_err(wrong)?.token));
        Ok(())
    }

    fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, token: Option<String>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// The next question goes to the next member.
    fn turn(&self, why: String) -> Failure {
        self.at.fetch_add(1, Ordering::Relaxed);
        Failure::Other(why)
    }
}

/// Whether a member may have carried out a question that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    No,
    Maybe,
    Unauthenticated,
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    rest: Vec<u8>,
}

/// A line is at most this long, in bytes.
const LONGEST: usize = 16 << 20;

impl Lines {
    /// Returns None at its end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            let chunk = self.response.chunk().await.ok()??;
            if self.rest.len().saturating_add(chunk.len()) > LONGEST {
                return None;
            }
            self.rest.extend_from_slice(&chunk);
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
