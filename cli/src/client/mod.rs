//! Speaks with control endpoints. No proxy of the environment is used, and no redirect is followed.
#![forbid(unsafe_code)]

pub mod answer;
mod build;
mod probe;
pub mod read;
pub mod url;

use std::time::Duration;

use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, Response};

use answer::{Effect, Failure, Kind, Said};
use build::build;
use read::{Raw, APP_HEADER, PAUSE_HEADER};
use url::Address;

/// An answer is at most this long, in bytes.
const MAX_BODY: usize = 4 << 20;

/// How an endpoint is to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub connect_timeout: Duration,
    /// How long an answer may take, beyond what the call itself waits.
    pub answer_timeout: Duration,
    /// PEM: the only authorities that are trusted. None: those of the system.
    pub ca: Option<Vec<u8>>,
    /// PEM: a client certificate with its key.
    pub identity: Option<Vec<u8>>,
    pub basic: Option<(String, String)>,
    pub headers: Vec<(String, String)>,
}

/// An app at an endpoint.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: Address,
    /// None: the endpoint's own app.
    pub app: Option<String>,
    client: Client,
    /// The same without what the caller is known by, if there is something.
    bare: Option<Client>,
    answer_timeout: Duration,
    basic: Option<(String, String)>,
}

/// A parameter of a verb.
pub type Parameter = (&'static str, String);

/// Those that have a value.
pub fn given<const N: usize>(all: [(&'static str, Option<String>); N]) -> Vec<Parameter> {
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

impl Target {
    /// The error says what is wrong with the certificates or the headers.
    pub fn new(address: Address, app: Option<String>, access: &Access) -> Result<Self, String> {
        let client = build(&address, access)?;
        let has_secret =
            access.basic.is_some() || access.identity.is_some() || !access.headers.is_empty();
        let bare = match has_secret {
            true => {
                let (headers, identity) = (Vec::new(), None);
                Some(build(&address, &Access { headers, identity, ..access.clone() })?)
            }
            false => None,
        };
        let (answer_timeout, basic) = (access.answer_timeout, access.basic.clone());
        Ok(Self { address, app, client, bare, answer_timeout, basic })
    }

    /// The endpoint and the app, as people know them.
    pub fn name(&self) -> String {
        match &self.app {
            Some(app) => format!("{} app \"{app}\"", self.address.name),
            None => self.address.name.clone(),
        }
    }

    /// The same, but an answer may take at most this long.
    pub fn patient(&self, answer_timeout: Duration) -> Self {
        Self { answer_timeout: self.answer_timeout.min(answer_timeout), ..self.clone() }
    }

    /// Calls a verb that may change something. `wait`: how long the endpoint itself waits.
    pub async fn change(&self, verb: &str, parameters: &[Parameter], wait: Duration) -> Said {
        self.call(Method::POST, verb, parameters, wait).await?.said()
    }

    /// The app's state.
    pub async fn status(&self) -> Said {
        self.call(Method::GET, "status", &[], Duration::ZERO).await?.said()
    }

    /// An answer as it came, if it is the endpoint's own.
    pub async fn read(&self, verb: &str, parameters: &[Parameter]) -> Result<Raw, Failure> {
        let raw = self.call(Method::GET, verb, parameters, Duration::ZERO).await?;
        match raw.is_marked && raw.status == 200 {
            true => Ok(raw),
            false => Err(raw.said().err().unwrap_or_else(|| raw.not_ours())),
        }
    }

    async fn call(
        &self,
        method: Method,
        verb: &str,
        parameters: &[Parameter],
        wait: Duration,
    ) -> Result<Raw, Failure> {
        let mut url = self.address.verb(verb);
        let app = self.app.iter().filter(|_| !matches!(verb, "apps" | "metrics"));
        let app = app.map(|app| ("app", app.clone()));
        let format = (verb != "metrics").then(|| ("format", "json".to_owned()));
        let all: Vec<Parameter> = app.chain(parameters.iter().cloned()).chain(format).collect();
        let query: Vec<String> = all
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        url.set_query(Some(query.join("&")).filter(|query| !query.is_empty()).as_deref());
        let timeout = self.answer_timeout.saturating_add(wait);
        let mut request = self.client.request(method, url).timeout(timeout);
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(|error| failed(&error, timeout))?;
        read(response).await.map_err(|error| failed(&error, timeout))
    }
}

async fn read(mut response: Response) -> Result<Raw, reqwest::Error> {
    let text = |name: &str| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let has = |name: &str| response.headers().contains_key(name);
    let mut raw = Raw {
        status: response.status().as_u16(),
        is_marked: has(APP_HEADER) && has(PAUSE_HEADER),
        media_type: text(CONTENT_TYPE.as_str()).unwrap_or_default(),
        location: text(LOCATION.as_str()),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await? {
        if raw.body.len().saturating_add(chunk.len()) > MAX_BODY {
            raw.is_marked = false;
            break;
        }
        raw.body.extend_from_slice(&chunk);
    }
    Ok(raw)
}

fn failed(error: &reqwest::Error, timeout: Duration) -> Failure {
    let kind = Kind::Unreachable;
    let why = innermost(error);
    if error.is_connect() || error.is_builder() {
        let why = if error.is_timeout() { "the connection takes too long".to_owned() } else { why };
        return Failure { kind, text: format!("no connection: {why}"), effect: Effect::Nothing };
    }
    let text = match error.is_timeout() {
        true => format!("no answer within {} s", timeout.as_secs_f64()),
        false => format!("the connection broke before the answer: {why}"),
    };
    Failure { kind, text, effect: Effect::Unknown }
}

/// The cause behind all others: reqwest's own text only repeats the URL.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
