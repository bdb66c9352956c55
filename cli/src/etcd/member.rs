//! One member of etcd: its connection, and what its errors mean.
#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fmt::{self, Debug, Formatter};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Certificate, Channel, Client, ConnectOptions, Error, Identity, TlsOptions};
use reqwest::Url;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, ConnectError, Status};

use super::Failure;

/// A member, and the connection to it.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    endpoint: Endpoint,
    /// All questions and watches share its connection.
    connected: Mutex<Option<Arc<Connected>>>,
    /// Held while a connection is made: one is enough for all that wait for it.
    connects: tokio::sync::Mutex<()>,
}

/// Why a member did not do what was asked.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It has taken no notice of the question.
    NotAsked(String),
    /// It may have carried it out.
    Perhaps(String),
    /// It has answered, and the others would answer the same.
    Failed(Failure),
}

/// Who is trusted, and what is shown to them.
#[derive(Debug, Default)]
pub(super) struct Trust {
    ca: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// No question was answered on it yet.
    Fresh,
    Proven,
}

struct Connected {
    client: Client,
    has_answered: AtomicBool,
}

/// A connection is made within this time.
const CONNECT: Duration = Duration::from_secs(1);
/// A member answers within this time, or is left.
const ANSWER: Duration = Duration::from_secs(2);
/// A connection that is silent for so long, while a watch waits, is asked whether it lives. etcd
/// closes connections that ask more often than every 5 s.
const SILENT: Duration = Duration::from_secs(10);

impl Trust {
    /// In PEM. No authority: those of the system.
    pub(super) fn new(ca: Option<&[u8]>, identity: Option<&[u8]>) -> Self {
        Self { ca: ca.map(<[u8]>::to_vec), identity: identity.map(<[u8]>::to_vec) }
    }

    fn options(&self) -> Result<TlsOptions, String> {
        let options = TlsOptions::new().timeout(CONNECT);
        let options = match &self.ca {
            Some(pem) => {
                let all = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
                if all.is_empty() {
                    return Err("etcd's CA file has no certificate in PEM".to_owned());
                }
                options.ca_certificate(Certificate::from_pem(pem))
            }
            None => options.with_native_roots(),
        };
        Ok(match &self.identity {
            Some(pem) => {
                reqwest::Identity::from_pem(pem).map_err(|_| {
                    "etcd's client certificate needs a certificate and its key, in PEM"
                })?;
                options.identity(Identity::from_pem(pem, pem))
            }
            None => options,
        })
    }
}

impl Member {
    /// The error says what is wrong with its URL or the certificates.
    pub(super) fn new(name: &str, trust: &Trust) -> Result<Self, String> {
        let full = if name.contains("://") { name.to_owned() } else { format!("http://{name}") };
        let wrong = || format!("\"{full}\" is not the URL of an etcd: http://HOST:2379");
        let url = Url::parse(&full).map_err(|_| wrong())?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        if !is_bare || !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let name = url.as_str().trim_end_matches('/').to_owned();
        let mut endpoint = Endpoint::from_shared(name.clone())
            .and_then(|one| one.user_agent(concat!("intermission/", env!("CARGO_PKG_VERSION"))))
            .map_err(|_| wrong())?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(SILENT)
            .keep_alive_timeout(ANSWER)
            .keep_alive_while_idle(false);
        if url.scheme() == "https" {
            let options = trust.options()?;
            endpoint = endpoint.tls_config(options).map_err(|error| {
                format!("etcd's certificates cannot be used: {}", innermost(&error))
            })?;
        }
        Ok(Self { name, endpoint, connected: Mutex::default(), connects: Default::default() })
    }

    pub(super) async fn ask<T, F>(
        &self,
        options: &ConnectOptions,
        ask: &impl Fn(Client) -> F,
    ) -> Result<T, Unanswered>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let connected = self.connected(options).await?;
        let answer = match timeout(ANSWER, ask(connected.client.clone())).await {
            Ok(answer) => answer.map_err(|error| self.meaning(&error, connected.state())),
            Err(_) => Err(self.silent()),
        };
        if matches!(answer, Ok(_) | Err(Unanswered::Failed(_))) {
            connected.has_answered.store(true, Ordering::Relaxed);
        } else {
            // The connection may stay silent for ever.
            self.forget(&connected);
        }
        answer
    }

    /// It gave no answer.
    pub(super) fn silent(&self) -> Unanswered {
        Unanswered::Perhaps(self.says("no answer in time"))
    }

    async fn connected(&self, options: &ConnectOptions) -> Result<Arc<Connected>, Unanswered> {
        if let Some(connected) = self.known() {
            return Ok(connected);
        }
        let _one = self.connects.lock().await;
        if let Some(connected) = self.known() {
            return Ok(connected);
        }
        let not_asked = |why: &str| Unanswered::NotAsked(self.says(why));
        let channel = timeout(CONNECT, self.endpoint.connect()).await;
        let channel = channel.map_err(|_| not_asked("no connection in time"))?;
        let channel = channel.map_err(|error| not_asked(&innermost(&error)))?;
        // If there is a user, this asks for a token.
        let client = Client::from_channel(Channel::Tonic(channel), Some(options.clone()));
        let client = timeout(ANSWER, client).await;
        let client = client.map_err(|_| not_asked("no answer in time"))?;
        let client = client.map_err(|error| match self.meaning(&error, Connection::Fresh) {
            Unanswered::Perhaps(why) => Unanswered::NotAsked(why),
            other => other,
        })?;
        let connected = Arc::new(Connected { client, has_answered: AtomicBool::new(false) });
        *self.slot() = Some(connected.clone());
        Ok(connected)
    }

    fn known(&self) -> Option<Arc<Connected>> {
        self.slot().clone()
    }

    /// The next question makes another connection.
    fn forget(&self, old: &Arc<Connected>) {
        self.slot().take_if(|one| Arc::ptr_eq(one, old));
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Connected>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meaning(&self, error: &Error, connection: Connection) -> Unanswered {
        match error {
            // This is what the crate makes of a lease without time.
            Error::LeaseKeepAliveError(_) => Unanswered::Failed(Failure::NoLease),
            Error::GRpcStatus(status) => self.meaning_of(status, connection),
            other => Unanswered::Perhaps(self.says(&innermost(other))),
        }
    }

    fn meaning_of(&self, status: &Status, connection: Connection) -> Unanswered {
        // Only what did not come from etcd has a source.
        if let Some(source) = status.source() {
            let why = innermost(source);
            return match connection {
                _ if causes(source).any(|one| one.is::<ConnectError>()) => {
                    Unanswered::NotAsked(self.says(&why))
                }
                Connection::Proven => Unanswered::Perhaps(self.says(&why)),
                Connection::Fresh => Unanswered::Perhaps(self.says(&self.closed(&why))),
            };
        }
        let why = self.says(status.message());
        let says = |words: &str| status.message().contains(words);
        match status.code() {
            Code::NotFound if says("lease") => Unanswered::Failed(Failure::NoLease),
            Code::PermissionDenied => Unanswered::Failed(Failure::Denied(why)),
            Code::InvalidArgument
                if says("authentication failed") || says("user name is empty") =>
            {
                Unanswered::Failed(Failure::Denied(why))
            }
            _ => Unanswered::Perhaps(why),
        }
    }

    /// A server that dislikes the client's certificate, or its lack, says so after the handshake. What is
    /// heard of that depends on chance.
    fn closed(&self, why: &str) -> String {
        let wants = match self.name.starts_with("https:") {
            true => "a client certificate that it trusts",
            false => "https",
        };
        format!("it closes the connection at once: it may want {wants} ({why})")
    }

    fn says(&self, why: &str) -> String {
        let why: String = why.trim().chars().take(200).collect();
        format!("{}: {why}", self.name)
    }
}

impl Connected {
    fn state(&self) -> Connection {
        match self.has_answered.load(Ordering::Relaxed) {
            true => Connection::Proven,
            false => Connection::Fresh,
        }
    }
}

impl Debug for Connected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("has_answered", &self.has_answered).finish()
    }
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let one = next?;
        next = one.source();
        Some(one)
    })
}
