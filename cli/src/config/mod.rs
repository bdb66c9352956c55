//! What counts: the command line before the environment, the file's group, and its defaults.
#![forbid(unsafe_code)]

mod file;
pub mod fleets;

use std::time::Duration;

pub use file::Settings;

use crate::args::Hosts;
use crate::client::url::Address;
use crate::client::{Access, Target};
use crate::exit::Exit;
use file::{password, pem, Configuration};

/// Why there are no hosts to speak to.
#[derive(Clone, Debug)]
pub struct Wrong {
    pub exit: Exit,
    pub text: String,
}

impl Wrong {
    /// The command line is wrong.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { exit: Exit::USAGE, text: text.into() }
    }

    /// The configuration file, or a file that it names, is wrong.
    pub fn config(text: impl Into<String>) -> Self {
        Self { exit: Exit::CONFIG, text: text.into() }
    }
}

/// The hosts, and what the file says beside.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Each app at each host.
    pub targets: Vec<Target>,
    pub settings: Settings,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The hosts that the command line, the environment or the file name.
pub fn choose(hosts: &Hosts) -> Result<Chosen, Wrong> {
    let settings = settings(hosts)?;
    let named = names(hosts, &settings).map_err(Wrong::usage)?;
    let apps = apps(hosts, &settings);
    let pairs =
        named.iter().flat_map(|name| apps.iter().map(move |app| (name.clone(), app.clone())));
    let targets = targets(hosts, &settings, pairs)?;
    Ok(Chosen { targets, settings })
}

/// The apps that the command line or the file name. None: an endpoint's own.
fn apps(hosts: &Hosts, settings: &Settings) -> Vec<Option<String>> {
    match (hosts.app.as_slice(), settings.apps.as_deref()) {
        ([], None | Some([])) => vec![None],
        ([], Some(apps)) | (apps, _) => apps.iter().cloned().map(Some).collect(),
    }
}

/// The apps that are named, for hosts that are named elsewhere.
pub fn named_apps(hosts: &Hosts) -> Result<Vec<Option<String>>, Wrong> {
    Ok(apps(hosts, &settings(hosts)?))
}

/// These apps at these hosts, with the settings of the command line and the file.
pub fn these(
    hosts: &Hosts,
    pairs: impl Iterator<Item = (String, Option<String>)>,
) -> Result<Chosen, Wrong> {
    let settings = settings(hosts)?;
    let targets = targets(hosts, &settings, pairs)?;
    Ok(Chosen { targets, settings })
}

fn settings(hosts: &Hosts) -> Result<Settings, Wrong> {
    let configuration = Configuration::read(hosts.config.as_deref()).map_err(Wrong::config)?;
    of_group(hosts, &configuration).map_err(Wrong::usage)
}

/// Each once.
fn targets(
    hosts: &Hosts,
    settings: &Settings,
    pairs: impl Iterator<Item = (String, Option<String>)>,
) -> Result<Vec<Target>, Wrong> {
    let access = access(hosts, settings)?;
    let mut targets: Vec<Target> = Vec::new();
    for (name, app) in pairs {
        let address = Address::parse(&name).map_err(Wrong::usage)?;
        let is_known = |target: &Target| target.address == address && target.app == app;
        if !targets.iter().any(is_known) {
            targets.push(Target::new(address, app, &access).map_err(Wrong::config)?);
        }
    }
    Ok(targets)
}

/// The settings of the group that counts.
fn of_group(hosts: &Hosts, configuration: &Configuration) -> Result<Settings, String> {
    let defaults = configuration.defaults.clone();
    if let Some(name) = &hosts.group {
        let group = configuration.groups.get(name).cloned();
        let known = configuration.groups.keys().cloned().collect::<Vec<_>>().join(", ");
        let group = group.ok_or_else(|| match known.is_empty() {
            true => format!("there is no group \"{name}\": the configuration has none"),
            false => format!("there is no group \"{name}\": the configuration has {known}"),
        });
        return group.map(|group| group.or(defaults));
    }
    let is_named = !hosts.host.is_empty() || environment().is_some() || defaults.hosts.is_some();
    match (is_named, configuration.groups.len()) {
        (true, _) | (_, 0) => Ok(defaults),
        (false, 1) => {
            let only = configuration.groups.values().next().cloned().unwrap_or_default();
            Ok(only.or(defaults))
        }
        _ => {
            let known = configuration.groups.keys().cloned().collect::<Vec<_>>().join(", ");
            Err(format!("which hosts? Give --group (one of {known}) or --host"))
        }
    }
}

fn environment() -> Option<String> {
    std::env::var("INTERMISSION_HOSTS").ok().filter(|hosts| !hosts.trim().is_empty())
}

fn names(hosts: &Hosts, settings: &Settings) -> Result<Vec<String>, String> {
    if !hosts.host.is_empty() {
        return Ok(hosts.host.clone());
    }
    if let Some(text) = environment().filter(|_| hosts.group.is_none()) {
        return Ok(text.split_whitespace().map(str::to_owned).collect());
    }
    let named = settings.hosts.clone().filter(|hosts| !hosts.is_empty());
    named.ok_or_else(|| {
        "which hosts? Give --host URL, set INTERMISSION_HOSTS, or write them into \
         /etc/intermission.toml"
            .to_owned()
    })
}

fn access(hosts: &Hosts, settings: &Settings) -> Result<Access, Wrong> {
    let file = settings.password_file.as_deref();
    let password = password("INTERMISSION_PASSWORD", file, settings.password.as_ref());
    let password = password.map_err(Wrong::config)?;
    let user = hosts.user.clone().or_else(|| settings.user.clone());
    let mut headers: Vec<(String, String)> = Vec::new();
    headers.extend(settings.headers.clone().unwrap_or_default());
    for header in &hosts.header {
        let pair = header.split_once(':');
        let (name, value) =
            pair.ok_or_else(|| Wrong::usage(format!("header \"{header}\" must be NAME: VALUE")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(Access {
        connect_timeout: hosts
            .connect_timeout
            .or(settings.connect_timeout)
            .unwrap_or(CONNECT_TIMEOUT),
        answer_timeout: hosts.timeout.or(settings.timeout).unwrap_or(ANSWER_TIMEOUT),
        ca: pem(hosts.ca.as_deref().or(settings.ca.as_deref())).map_err(Wrong::config)?,
        identity: pem(hosts.cert.as_deref().or(settings.cert.as_deref())).map_err(Wrong::config)?,
        basic: user.map(|user| (user, password)),
        headers,
    })
}
