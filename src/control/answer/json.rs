//! The JSON documents that the control endpoint answers with, beside a plain status.
#![forbid(unsafe_code)]

use serde::Serialize;

use crate::control::settings::Settings;
use crate::control::status::{Status, Time};
use crate::control::versions::Versions;
use crate::text::header_value;
use crate::time::Now;

/// The apps that an endpoint may see.
#[derive(Clone, Debug, Serialize)]
pub struct AppList {
    pub now: Time,
    pub versions: Versions,
    pub apps: Vec<Listed>,
}

/// An app in that list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    #[serde(flatten)]
    status: Status,
    /// The name as the parameter `app` takes it.
    app_encoded: String,
}

impl AppList {
    /// These apps, now.
    pub fn new(apps: Vec<Status>, versions: Versions, now: Now) -> Self {
        let list = |status: Status| Listed {
            app_encoded: header_value(status.app.as_bytes()).to_string(),
            status,
        };
        let apps = apps.into_iter().map(list).collect();
        Self { now: Time(now.wall), versions, apps }
    }
}

/// An app's state after a verb.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Changed<'a> {
    #[serde(flatten)]
    pub(super) status: &'a Status,
    pub(super) changed: bool,
}

/// An app's state, what the configuration of the endpoint says, and which module answers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InPlace<'a> {
    #[serde(flatten)]
    pub(super) status: &'a Status,
    pub(super) settings: Settings,
    pub(super) versions: Versions,
}

/// An error, as JSON.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ErrorText<'a> {
    pub(super) error: &'a str,
}
