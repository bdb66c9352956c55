//! The fleets of the configuration file, and the agent's part.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet::keys::Fleet;
use serde::Deserialize;

use super::file::{password, pem, time, Configuration};
use super::Wrong;
use crate::args::fleet::InFleet;
use crate::etcd::fleets::Keys;
use crate::etcd::{Access, Etcd};

/// The settings of a fleet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSettings {
    pub etcd: Option<Vec<String>>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub password_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "time")]
    pub lease: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub wait: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub spread: Option<Duration>,
    pub concurrency: Option<u32>,
}

/// The settings of this host's agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    pub fleet: Option<String>,
    pub id: Option<String>,
    pub host: Option<String>,
    pub apps: Option<Vec<String>>,
    pub endpoint: Option<String>,
    pub listen: Option<String>,
    /// nginx's own, for `--wait-ready`.
    pub state_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "time")]
    pub poll: Option<Duration>,
}

/// A fleet, with what the file says of it.
#[derive(Clone, Debug)]
pub struct ChosenFleet {
    pub keys: Keys,
    pub settings: FleetSettings,
}

/// The fleet that the command line, the environment or the file name.
pub fn choose_fleet(named: &InFleet, config: Option<&Path>) -> Result<Option<ChosenFleet>, Wrong> {
    let Some(name) = &named.fleet else { return Ok(None) };
    let configuration = Configuration::read(config).map_err(Wrong::config)?;
    of_name(name, named, &configuration).map(Some)
}

/// The agent's settings.
pub fn agent_settings(config: Option<&Path>) -> Result<AgentSettings, Wrong> {
    let configuration = Configuration::read(config).map_err(Wrong::config)?;
    Ok(configuration.agent.unwrap_or_default())
}

/// The agent's settings, and its fleet.
pub fn choose_agent(
    named: &InFleet,
    config: Option<&Path>,
) -> Result<(AgentSettings, ChosenFleet), Wrong> {
    let configuration = Configuration::read(config).map_err(Wrong::config)?;
    let agent = configuration.agent.clone().unwrap_or_default();
    let name = named.fleet.clone().or_else(|| agent.fleet.clone());
    let name = name.ok_or_else(|| {
        Wrong::usage(
            "which fleet? Give --fleet NAME, or write it into the part [agent] of \
             /etc/intermission.toml",
        )
    })?;
    let chosen = of_name(&name, named, &configuration)?;
    Ok((agent, chosen))
}

fn of_name(name: &str, named: &InFleet, file: &Configuration) -> Result<ChosenFleet, Wrong> {
    let fleet = Fleet::parse(name).ok_or_else(|| {
        Wrong::usage(format!(
            "\"{name}\" is not the name of a fleet: 1 to 24 letters, digits, . _ or -"
        ))
    })?;
    let settings = file.fleets.get(name).cloned().unwrap_or_default();
    let own_file = settings.password_file.as_deref();
    let password = password("INTERMISSION_ETCD_PASSWORD", own_file, settings.password.as_ref());
    let password = password.map_err(Wrong::config)?;
    let user = named.etcd_user.clone().or_else(|| settings.user.clone());
    let access = Access {
        endpoints: match named.etcd.is_empty() {
            false => named.etcd.clone(),
            true => settings.etcd.clone().unwrap_or_default(),
        },
        ca: pem(named.etcd_ca.as_deref().or(settings.ca.as_deref())).map_err(Wrong::config)?,
        identity: pem(named.etcd_cert.as_deref().or(settings.cert.as_deref()))
            .map_err(Wrong::config)?,
        user: user.map(|user| (user, password)),
    };
    let etcd = Etcd::new(&access).map_err(Wrong::config)?;
    Ok(ChosenFleet { keys: Keys { etcd, fleet }, settings })
}
