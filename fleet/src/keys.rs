//! The keys in etcd: `/intermission/FLEET/…`.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// The number of a pause: the revision that made its key. It is the fencing token of every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

/// A revision of etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A lease of etcd. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// The name of a host in its fleet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub String);

/// An app's name; empty: the endpoint's own app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct App(pub String);

/// A fleet's name: 1 to 24 letters, digits, `.`, `_` or `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet(String);

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Host(HostId),
    Alive(HostId),
    Pause(App),
    Ack(App, Token, HostId),
}

impl Fleet {
    /// Returns None if it is not a name.
    pub fn parse(name: &str) -> Option<Self> {
        is_name(name, 24).then(|| Self(name.to_owned()))
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// What all keys of the fleet begin with.
    pub fn prefix(&self) -> String {
        format!("/intermission/{}/", self.0)
    }

    pub fn pauses(&self) -> String {
        format!("{}pauses/", self.prefix())
    }

    pub fn key(&self, key: &Key) -> String {
        let prefix = self.prefix();
        match key {
            Key::Host(HostId(id)) => format!("{prefix}hosts/{id}"),
            Key::Alive(HostId(id)) => format!("{prefix}alive/{id}"),
            Key::Pause(app) => format!("{prefix}pauses/{}", app.encoded()),
            Key::Ack(app, Token(token), HostId(id)) => {
                format!("{prefix}acks/{}/{token}/{id}", app.encoded())
            }
        }
    }

    /// Returns None for a key that this version does not know.
    pub fn read(&self, key: &str) -> Option<Key> {
        let mut parts = key.strip_prefix(&self.prefix())?.split('/');
        let key = match (parts.next()?, parts.next()?) {
            ("hosts", id) => Key::Host(HostId::parse(id)?),
            ("alive", id) => Key::Alive(HostId::parse(id)?),
            ("pauses", app) => Key::Pause(App::decode(app)?),
            ("acks", app) => {
                let token = Token(parts.next()?.parse().ok()?);
                Key::Ack(App::decode(app)?, token, HostId::parse(parts.next()?)?)
            }
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }
}

impl HostId {
    /// 1 to 64 letters, digits, `.`, `_` or `-`. Returns None if it is not a name.
    pub fn parse(name: &str) -> Option<Self> {
        is_name(name, 64).then(|| Self(name.to_owned()))
    }
}

impl App {
    /// As it stands in a key: every other byte than a letter, a digit, `.`, `_` or `-` as `%XX`.
    /// The endpoint's own app is `%`.
    pub fn encoded(&self) -> String {
        if self.0.is_empty() {
            return "%".to_owned();
        }
        let mut text = String::new();
        for byte in self.0.bytes() {
            match is_plain(byte) {
                true => text.push(char::from(byte)),
                false => text.push_str(&format!("%{byte:02X}")),
            }
        }
        text
    }

    fn decode(text: &str) -> Option<Self> {
        if text == "%" {
            return Some(Self(String::new()));
        }
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                    u8::try_from(value).ok()?
                }
                _ => byte,
            });
        }
        String::from_utf8(bytes).ok().filter(|name| !name.is_empty()).map(Self)
    }
}

fn is_name(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let fleet = Fleet::parse("web").unwrap();
        let (host, app) = (HostId::parse("a-1.x").unwrap(), App("ä/b".into()));
        for key in [
            Key::Host(host.clone()),
            Key::Alive(host.clone()),
            Key::Pause(app.clone()),
            Key::Pause(App(String::new())),
            Key::Ack(app, Token(7), host),
        ] {
            assert_eq!(fleet.read(&fleet.key(&key)), Some(key));
        }
    }

    #[test]
    fn a_key_of_another_kind_is_not_read() {
        let fleet = Fleet::parse("web").unwrap();
        for key in ["hosts/", "hosts/a/b", "later/a", "pauses/%4", "acks/a/x/h", "acks/a/1"] {
            assert_eq!(fleet.read(&format!("/intermission/web/{key}")), None, "{key}");
        }
        assert_eq!(fleet.read("/intermission/webs/hosts/a"), None);
        assert_eq!(Fleet::parse("a/b"), None);
    }
}
