//! An answer of the control endpoint: its status, its headers and its body.
#![forbid(unsafe_code)]

mod json;
mod more;

use core::fmt::Display;
use std::borrow::Cow;

use serde::Serialize;

pub use json::AppList;

use crate::control::command::{Detail, Format, Manner, Method};
use crate::control::dashboard::{self, File};
use crate::control::error::Error;
use crate::control::metrics;
use crate::control::settings::Settings;
use crate::control::status::{Slots, Status};
use crate::control::versions::Versions;
use crate::text::header_value;
use crate::time::Now;
use json::{Changed, ErrorText, InPlace};
use more::More;

/// Whether a command changed its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Changed,
    /// The app was in the wanted state already, and nothing else was asked for.
    AsItWas,
    /// Something else was asked for, and it had no effect.
    NotChanged,
}

impl Done {
    /// The answer's status. A GET that gets text gets the original's 304 if there is nothing to
    /// say. All others get 200: many clients treat a 304 as an error.
    pub fn status(self, method: Method, format: Format) -> u16 {
        match (self, method, format) {
            (Self::AsItWas, Method::Get, Format::Text) => 304,
            _ => 200,
        }
    }
}

/// An answer, before it is written for its reader.
#[derive(Clone, Debug)]
pub struct Answer {
    body: Body,
    /// The app before the verb, if the verb may have changed it.
    before: Option<Box<Status>>,
    /// The app as the verb left it: another caller may change it before the answer is sent.
    app: Option<Box<Status>>,
}

#[derive(Clone, Debug)]
enum Body {
    /// The app's state.
    State(Settings, Versions),
    /// The same, and what a verb did to it.
    Done(Done),
    Error {
        status: u16,
        allow: Option<&'static str>,
        text: String,
    },
    Apps(Vec<Status>, Versions),
    Metrics(Vec<Status>, Slots, Versions),
    Dashboard(Vec<Status>, Versions),
    File(File),
}

/// The request that an answer is for.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub method: Method,
    pub manner: Manner,
    pub uri: &'a [u8],
}

/// An answer as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Without those of the content.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// None: no body, and no header about a body.
    pub content: Option<Content>,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub media_type: &'static str,
    pub text: Cow<'static, str>,
}

const PLAIN: &str = "text/plain";
const JSON: &str = "application/json";
const NOT_SNIFFED: (&str, &str) = ("X-Content-Type-Options", "nosniff");

impl Answer {
    /// The app's state, and what the endpoint's configuration says.
    pub fn state(settings: Settings, versions: Versions) -> Self {
        Self::of(Body::State(settings, versions))
    }

    /// The app's state, after a verb that may have changed it.
    pub fn done(done: Done) -> Self {
        Self::of(Body::Done(done))
    }

    /// The status and the text of an error.
    pub fn error(error: &Error<'_>) -> Self {
        let (status, allow) = (error.status(), error.allow());
        Self::of(Body::Error { status, allow, text: error.to_string() })
    }

    /// These apps, as JSON.
    pub fn apps(apps: Vec<Status>, versions: Versions) -> Self {
        Self::of(Body::Apps(apps, versions))
    }

    /// These apps, for Prometheus.
    pub fn metrics(apps: Vec<Status>, slots: Slots, versions: Versions) -> Self {
        Self::of(Body::Metrics(apps, slots, versions))
    }

    /// The dashboard, or these apps as JSON.
    pub fn dashboard(apps: Vec<Status>, versions: Versions) -> Self {
        Self::of(Body::Dashboard(apps, versions))
    }

    /// A part of the dashboard.
    pub fn file(file: File) -> Self {
        Self::of(Body::File(file))
    }

    fn of(body: Body) -> Self {
        Self { body, before: None, app: None }
    }

    /// With the app before a verb and after it.
    pub fn between(self, before: Status, after: Status) -> Self {
        Self { before: Some(Box::new(before)), ..self.about(after) }
    }

    /// With the app as a verb left it.
    pub fn about(self, app: Status) -> Self {
        Self { app: Some(Box::new(app)), ..self }
    }

    /// Whether it says how a verb left a pause.
    pub fn is_about_a_pause(&self) -> bool {
        self.app.is_some()
    }

    /// Whether it is the answer to an error.
    pub fn is_error(&self) -> bool {
        matches!(self.body, Body::Error { .. })
    }

    /// The answer as this reader gets it. `look` reads the app's state if no verb has left one
    /// here.
    pub fn response(
        self,
        reader: Reader<'_>,
        now: Now,
        look: impl FnOnce() -> Status,
    ) -> Result<Response, serde_json::Error> {
        let app = self.app.unwrap_or_else(|| Box::new(look()));
        let mut headers = Vec::new();
        match (&self.body, reader.manner.format) {
            (Body::Dashboard(..), Format::Text) => {
                headers.push(owned("Content-Security-Policy", dashboard::POLICY));
                headers.push(owned(NOT_SNIFFED.0, NOT_SNIFFED.1));
            }
            (Body::File(_), _) => headers.push(owned(NOT_SNIFFED.0, NOT_SNIFFED.1)),
            _ => {}
        }
        headers.extend([
            owned("Cache-Control", "no-store"),
            owned("Intermission-App", header_value(app.app.as_bytes())),
            owned("Intermission-Pause", app.pause.0 .0),
        ]);
        let status = match &self.body {
            Body::Error { status, .. } => *status,
            Body::Done(done) => done.status(reader.method, reader.manner.format),
            _ => 200,
        };
        if let Body::Error { allow: Some(methods), .. } = &self.body {
            headers.push(owned("Allow", methods));
        }
        if matches!(status, 503 | 504) {
            headers.push(owned("Retry-After", app.retry_after(now)));
        }
        let content = self.body.content(reader, now, self.before.as_deref(), &app)?;
        Ok(Response { status, headers, content: Some(content).filter(|_| status != 304) })
    }
}

fn owned(name: &'static str, value: impl Display) -> (&'static str, Cow<'static, str>) {
    (name, value.to_string().into())
}

impl Body {
    fn content(
        self,
        reader: Reader<'_>,
        now: Now,
        before: Option<&Status>,
        app: &Status,
    ) -> Result<Content, serde_json::Error> {
        let (media_type, text) = match (reader.manner.format, self) {
            (Format::Text, body @ (Self::State(..) | Self::Done(_))) => {
                let done = match body {
                    Self::Done(done) => Some(done),
                    _ => None,
                };
                match reader.manner.detail {
                    Detail::More => {
                        let more = More { before, app, done };
                        (PLAIN, format!("{}{more}", app.text()).into())
                    }
                    Detail::Original => (PLAIN, app.text().into()),
                }
            }
            (Format::Text, Self::Error { text, .. }) => (PLAIN, (text + "\n").into()),
            (Format::Text, Self::Metrics(apps, slots, versions)) => {
                (metrics::MEDIA_TYPE, metrics::render(&apps, slots, &versions).into())
            }
            (Format::Text, Self::Dashboard(..)) => {
                ("text/html; charset=utf-8", dashboard::page(reader.uri).into())
            }
            (_, Self::File(file)) => (file.media_type, file.text.into()),
            (Format::Json, Self::State(settings, versions)) => {
                (JSON, json(&InPlace { status: app, settings, versions })?)
            }
            (Format::Json, Self::Done(done)) => {
                (JSON, json(&Changed { status: app, changed: done == Done::Changed })?)
            }
            (Format::Json, Self::Error { text, .. }) => (JSON, json(&ErrorText { error: &text })?),
            (
                _,
                Self::Apps(apps, versions)
                | Self::Metrics(apps, _, versions)
                | Self::Dashboard(apps, versions),
            ) => (JSON, json(&AppList::new(apps, versions, now))?),
        };
        Ok(Content { media_type, text })
    }
}

fn json(value: &impl Serialize) -> Result<Cow<'static, str>, serde_json::Error> {
    serde_json::to_string(value).map(|text| (text + "\n").into())
}

#[cfg(test)]
mod tests;
