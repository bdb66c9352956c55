//! etcd's JSON: numbers of 64 bits are strings, keys and values are base64, and what is 0 or empty
//! is left out.
#![forbid(unsafe_code)]

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use fleet::keys::{LeaseId, Revision};
use fleet::snapshot::Entry;
use serde::{Deserialize, Deserializer};
use serde_json::{json, Value};

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Header {
    #[serde(default, deserialize_with = "number")]
    pub revision: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Granted {
    #[serde(rename = "ID", default, deserialize_with = "number")]
    pub id: i64,
}

/// The answer to a keepalive.
#[derive(Clone, Debug, Deserialize)]
pub struct Kept {
    pub result: KeptAlive,
}

#[derive(Clone, Debug, Deserialize)]
pub struct KeptAlive {
    /// In seconds. 0: the lease is over.
    #[serde(rename = "TTL", default, deserialize_with = "number")]
    pub ttl: i64,
}

/// An answer whose content does not matter.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Nothing {}

#[derive(Clone, Debug, Deserialize)]
pub struct Authenticated {
    pub token: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Error {
    #[serde(default)]
    error: Value,
    #[serde(default)]
    message: String,
    #[serde(default)]
    pub code: i64,
}

pub const AUTHENTICATE: &str = "/v3/auth/authenticate";
/// etcd's own numbers for what went wrong.
const INVALID: i64 = 3;
const DENIED: i64 = 7;

impl Error {
    /// Whether the user may not ask this, at this path; or is none, or not who it says.
    pub fn is_denied(&self, path: &str) -> bool {
        let is_nobody = self.text().contains("user name is empty");
        self.code == DENIED || (self.code == INVALID && (path == AUTHENTICATE || is_nobody))
    }

    pub fn text(&self) -> &str {
        self.error.as_str().unwrap_or(&self.message)
    }
}

/// The answer to a transaction.
#[derive(Clone, Debug, Deserialize)]
pub struct Transacted {
    pub header: Header,
    /// Whether all comparisons were true.
    #[serde(default)]
    pub succeeded: bool,
    #[serde(default)]
    pub responses: Vec<Done>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Done {
    #[serde(default)]
    pub response_range: Range,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Range {
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// A message of a watch.
#[derive(Clone, Debug, Deserialize)]
pub struct Watched {
    pub result: Changes,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Changes {
    /// The watch is over: etcd has forgotten the revision that it was to begin with, or has no
    /// leader.
    #[serde(default)]
    pub canceled: bool,
    #[serde(default)]
    pub events: Vec<Change>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Change {
    /// Left out: the key was written.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    pub kv: KeyValue,
}

#[derive(Clone, Debug, Deserialize)]
pub struct KeyValue {
    #[serde(deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    create_revision: u64,
    #[serde(default, deserialize_with = "number")]
    mod_revision: u64,
    #[serde(default, deserialize_with = "number")]
    lease: i64,
}

impl KeyValue {
    pub fn entry(self) -> Entry {
        Entry {
            key: String::from_utf8_lossy(&self.key).into_owned(),
            value: self.value,
            created: Revision(self.create_revision),
            modified: Revision(self.mod_revision),
            lease: LeaseId(self.lease),
        }
    }
}

pub fn text(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The end of all keys with this prefix. It does not end with the greatest byte.
pub fn end(prefix: &str) -> String {
    let mut bytes = prefix.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last = last.saturating_add(1);
    }
    text(bytes)
}

pub fn put(key: &str, value: &[u8], LeaseId(lease): LeaseId) -> Value {
    json!({ "request_put": { "key": text(key), "value": text(value), "lease": lease.to_string() } })
}

pub fn range(key: &str) -> Value {
    json!({ "request_range": { "key": text(key) } })
}

pub fn range_all(prefix: &str) -> Value {
    json!({ "request_range": { "key": text(prefix), "range_end": end(prefix) } })
}

pub fn delete(key: &str) -> Value {
    json!({ "request_delete_range": { "key": text(key) } })
}

pub fn delete_all(prefix: &str) -> Value {
    json!({ "request_delete_range": { "key": text(prefix), "range_end": end(prefix) } })
}

/// The key was made by this revision. 0: there is no such key.
pub fn is_created(key: &str, revision: u64) -> Value {
    let revision = revision.to_string();
    json!({ "target": "CREATE", "result": "EQUAL", "key": text(key), "create_revision": revision })
}

/// The key was written last by this revision.
pub fn is_modified(key: &str, Revision(revision): Revision) -> Value {
    let revision = revision.to_string();
    json!({ "target": "MOD", "result": "EQUAL", "key": text(key), "mod_revision": revision })
}

fn number<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text} is not a number")))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_leaves_out_is_0() {
        let text = r#"{"header":{"revision":"7"},"responses":[{"response_range":{"kvs":[{"key":"L2E=",
            "create_revision":"5","mod_revision":"6","version":"1","value":"djE="}],"count":"1"}},
            {"response_range":{}}]}"#;
        let all: Transacted = serde_json::from_str(text).unwrap();
        assert!(!all.succeeded && all.header.revision == 7);
        let entry = all.responses[0].response_range.kvs[0].clone().entry();
        assert_eq!(
            (entry.key.as_str(), entry.created, entry.lease),
            ("/a", Revision(5), LeaseId(0))
        );
        assert_eq!(entry.value, b"v1");
        let over: Kept = serde_json::from_str(r#"{"result":{"header":{},"ID":"1"}}"#).unwrap();
        assert_eq!(over.result.ttl, 0);
    }

    #[test]
    fn a_watch_tells_what_was_written_and_deleted() {
        let text = r#"{"result":{"header":{},"events":[{"kv":{"key":"L2E=","mod_revision":"3"}},
            {"type":"DELETE","kv":{"key":"L2E=","mod_revision":"4"}}]}}"#;
        let all: Watched = serde_json::from_str(text).unwrap();
        let kinds: Vec<_> = all.result.events.iter().map(|one| one.kind.as_deref()).collect();
        assert_eq!(kinds, [None, Some("DELETE")]);
    }
}
