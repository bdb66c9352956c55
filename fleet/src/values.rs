//! The values in etcd, in JSON. A field that a later version adds is ignored.
#![forbid(unsafe_code)]

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version that is written. A value of a later one is read as far as it is known.
pub const VERSION: u32 = 1;

/// A time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// `hosts/ID`: a host that is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub v: u32,
    /// The control endpoint as callers on other machines reach it.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The apps that this host serves. Empty: all.
    #[serde(default)]
    pub apps: Vec<String>,
    /// The version of the agent.
    #[serde(default)]
    pub agent: String,
    /// What its nginx said last that it is. None: the agent knows of none, or is too old to say it.
    #[serde(default)]
    pub versions: Option<Versions>,
}

/// What runs at a host, as its endpoint says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    pub module: String,
    /// As `nginx -v` says it: `nginx/1.28.3`.
    pub nginx: String,
}

/// `alive/ID`: the host's agent lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    pub v: u32,
}

/// `pauses/APP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub v: u32,
    /// The caller's name. It is unique.
    pub by: String,
    #[serde(default)]
    pub reason: Option<String>,
    /// Rises each time when the caller says that it still lives.
    pub beat: u64,
    /// The hard end: no host holds for longer than this after the newest beat.
    pub hold: Millis,
    /// How long the apps may take until they are quiet.
    pub wait: Millis,
    pub stage: Stage,
    /// The pace of each host's drain. None: the one that the host has.
    #[serde(default)]
    pub spread: Option<Millis>,
    #[serde(default)]
    pub concurrency: Option<u32>,
}

/// What the hosts are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Hold,
    Release,
    /// Requests are answered with 503, until the key is gone. No caller waits for it.
    Stop,
    /// One of a later version: a host stays as it is.
    #[serde(other)]
    Other,
}

/// `acks/APP/TOKEN/ID`: what a host makes of a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub v: u32,
    pub state: AckState,
    /// The newest beat that the host's hold counts from; 0: none.
    pub beat: u64,
    /// When the host wrote this, and that was after it saw the beat, it held for at least this
    /// long from then on.
    pub remaining: Millis,
    /// The number of the pause at the host; 0: none.
    #[serde(default)]
    pub pause: u64,
    #[serde(default)]
    pub held: u64,
    #[serde(default)]
    pub in_flight: u64,
    /// Why it failed.
    #[serde(default)]
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckState {
    /// No request is passed on any more; some are still unfinished.
    Holding,
    Quiet,
    Failed,
    /// The pause is over at this host.
    Open,
    Stopped,
    /// One of a later version. It does not count as quiet.
    #[serde(other)]
    Other,
}

impl Millis {
    pub fn of(time: Duration) -> Self {
        Self(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn time(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// Returns None if the value cannot be understood.
pub fn read<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

pub fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_later_version_is_read_as_far_as_it_is_known() {
        let pause = r#"{"v":9,"by":"a","beat":1,"hold":60000,"wait":1,"stage":"freeze","x":[1]}"#;
        let pause: Pause = read(pause.as_bytes()).unwrap();
        assert_eq!((pause.stage, pause.hold), (Stage::Other, Millis(60_000)));
        let ack = r#"{"v":9,"state":"calm","beat":1,"remaining":5}"#;
        assert_eq!(read::<Ack>(ack.as_bytes()).unwrap().state, AckState::Other);
        assert_eq!(read::<Pause>(b"{}"), None);
    }

    #[test]
    fn a_host_that_says_no_versions_is_read() {
        let host: Host = read(br#"{"v":1,"endpoint":null,"apps":["a"],"agent":"0.1.0"}"#).unwrap();
        assert_eq!((host.agent.as_str(), host.versions), ("0.1.0", None));
        let later = br#"{"v":2,"versions":{"nginx":"nginx/2.0.0","kernel":"9"}}"#;
        let versions = read::<Host>(later).unwrap().versions.unwrap();
        assert_eq!((versions.module.as_str(), versions.nginx.as_str()), ("", "nginx/2.0.0"));
    }
}
