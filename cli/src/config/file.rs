//! The configuration file: groups of hosts, and settings for them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::fleets::{AgentSettings, FleetSettings};
use crate::words::parse_time;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// What counts for each group that does not say otherwise, and for hosts without a group.
    #[serde(default)]
    pub defaults: Settings,
    #[serde(default)]
    pub groups: BTreeMap<String, Settings>,
    #[serde(default)]
    pub fleets: BTreeMap<String, FleetSettings>,
    /// Of this host's agent.
    pub agent: Option<AgentSettings>,
}

/// The settings of a group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub hosts: Option<Vec<String>>,
    pub apps: Option<Vec<String>>,
    #[serde(default, deserialize_with = "time")]
    pub lease: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub wait: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub spread: Option<Duration>,
    pub concurrency: Option<u32>,
    #[serde(default, deserialize_with = "time")]
    pub connect_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    pub timeout: Option<Duration>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub password_file: Option<PathBuf>,
    pub headers: Option<BTreeMap<String, String>>,
}

impl Settings {
    /// With what `other` says where this says nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            hosts: self.hosts.or(other.hosts),
            apps: self.apps.or(other.apps),
            lease: self.lease.or(other.lease),
            wait: self.wait.or(other.wait),
            spread: self.spread.or(other.spread),
            concurrency: self.concurrency.or(other.concurrency),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            timeout: self.timeout.or(other.timeout),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            password_file: self.password_file.or(other.password_file),
            headers: self.headers.or(other.headers),
        }
    }

    fn has_secret(&self) -> bool {
        self.password.is_some() || self.headers.is_some()
    }
}

impl Configuration {
    /// Reads this file, or else the user's, or else the system's. The error names the file, and the
    /// line if one is wrong.
    pub fn read(named: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = named {
            let error = || format!("{}: there is no such file", path.display());
            return read_file(path)?.ok_or_else(error);
        }
        for path in usual_places() {
            if let Some(configuration) = read_file(&path)? {
                return Ok(configuration);
            }
        }
        Ok(Self::default())
    }

    fn has_secret(&self) -> bool {
        self.defaults.has_secret()
            || self.groups.values().any(Settings::has_secret)
            || self.fleets.values().any(|fleet| fleet.password.is_some())
    }
}

fn usual_places() -> Vec<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let own = folder("XDG_CONFIG_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".config")));
    let own = own.map(|folder| folder.join("intermission.toml"));
    own.into_iter().chain([PathBuf::from("/etc/intermission.toml")]).collect()
}

/// Returns None if there is no such file.
fn read_file(path: &Path) -> Result<Option<Configuration>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let configuration: Configuration = toml::from_str(&text)
        .map_err(|error| format!("{}: {}", path.display(), error.to_string().trim_end()))?;
    if configuration.has_secret() {
        secret(path, &file.metadata().map_err(failed)?)?;
    }
    Ok(Some(configuration))
}

/// Reads certificates or keys.
pub fn pem(path: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    let Some(path) = path else { return Ok(None) };
    fs::read(path).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

/// The password: of the environment, else of a file of its own, else what the configuration says; empty
/// if there is none.
pub fn password(
    variable: &str,
    file: Option<&Path>,
    said: Option<&String>,
) -> Result<String, String> {
    match (std::env::var(variable), file) {
        (Ok(password), _) => Ok(password),
        (Err(_), Some(path)) => read_password(path),
        (Err(_), None) => Ok(said.cloned().unwrap_or_default()),
    }
}

fn read_password(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    secret(path, &fs::metadata(path).map_err(failed)?)?;
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Fails if others may read a file with secrets.
fn secret(path: &Path, metadata: &fs::Metadata) -> Result<(), String> {
    match metadata.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(format!(
            "{}: it has a password or headers, and others may read it: chmod 600 {0}",
            path.display()
        )),
    }
}

pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |why| serde::de::Error::custom(format!("\"{text}\" {why}"));
    parse_time(&text).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_defaults_that_it_does_not_set() {
        let text = "[defaults]\nlease = '1m'\nwait = '5s'\n\
                    [groups.web]\nhosts = ['http://a']\nlease = '2m'\n";
        let read: Configuration = toml::from_str(text).unwrap();
        let web = read.groups["web"].clone().or(read.defaults);
        assert_eq!(
            (web.lease, web.wait),
            (Some(Duration::from_secs(120)), Some(Duration::from_secs(5)))
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        for text in
            ["\nhosts = []\n", "\n[groups.a]\nleases = '1m'\n", "\n[defaults]\nlease = 'x'\n"]
        {
            let error = toml::from_str::<Configuration>(text).unwrap_err().to_string();
            assert!(error.contains("line "), "{error}");
        }
    }
}
