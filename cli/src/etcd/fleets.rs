//! The questions of agents and callers, as etcd's.
#![forbid(unsafe_code)]

use std::time::Duration;

use fleet::agent;
use fleet::caller::talk;
use fleet::keys::{App, Fleet, HostId, Key, LeaseId, Revision, Token};
use fleet::snapshot::{Entry, PauseEntry, Snapshot};
use fleet::values::{read, write, Alive, Pause, VERSION};
use serde_json::{json, Value};

use super::wire::{self, Granted, Kept, Nothing, Transacted};
use super::{Etcd, Failure};

/// The keys of a fleet.
#[derive(Clone, Debug)]
pub struct Keys {
    pub etcd: Etcd,
    pub fleet: Fleet,
}

/// What an agent says of itself.
#[derive(Clone, Debug)]
pub struct Own {
    pub id: HostId,
    pub lease: Duration,
}

const TXN: &str = "/v3/kv/txn";

impl Keys {
    /// All keys of the fleet, at one revision.
    pub async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let (key, end) = (wire::text(self.fleet.prefix()), wire::end(&self.fleet.prefix()));
        let body = json!({ "key": key, "range_end": end });
        let all: Ranged = self.etcd.ask("/v3/kv/range", body).await?;
        let entries: Vec<Entry> = all.kvs.into_iter().map(wire::KeyValue::entry).collect();
        Ok(Snapshot::new(&self.fleet, Revision(all.header.revision), &entries))
    }

    /// The host is not of the fleet any more.
    pub async fn forget(&self, id: &HostId) -> Result<(), Failure> {
        let keys = [Key::Host(id.clone()), Key::Alive(id.clone())].map(|key| self.fleet.key(&key));
        let all: Vec<Value> = keys.iter().map(|key| wire::delete(key)).collect();
        self.transact(vec![], all, vec![]).await.map(|_| ())
    }

    pub async fn revoke(&self, LeaseId(lease): LeaseId) -> Result<(), Failure> {
        let body = json!({ "ID": lease.to_string() });
        self.etcd.ask::<Nothing>("/v3/lease/revoke", body).await.map(|_| ())
    }

    /// The app is stopped, whatever was there; or only the pause with this token is. Returns the stop's
    /// token; None if that pause is not there.
    pub async fn stop(
        &self,
        app: &App,
        pause: &Pause,
        lease: Option<Duration>,
        only: Option<Token>,
    ) -> Result<Option<Token>, Failure> {
        let lease = match lease {
            Some(time) => self.grant(time).await?,
            None => LeaseId(0),
        };
        let key = self.fleet.key(&Key::Pause(app.clone()));
        let stands = only.map(|Token(token)| wire::is_created(&key, token));
        let both = vec![wire::put(&key, &write(pause), lease), wire::range(&key)];
        let done = self.transact(stands.into_iter().collect(), both, vec![]).await?;
        let written = done.responses.into_iter().flat_map(|one| one.response_range.kvs).next();
        let entry = written.filter(|_| done.succeeded).map(wire::KeyValue::entry);
        Ok(entry.map(|entry| Token(entry.created.0)))
    }

    /// The answer; and if there is none, why.
    pub async fn agent(&self, own: &Own, ask: &agent::Ask) -> (agent::Reply, Option<Failure>) {
        use agent::Reply;
        match self.of_agent(own, ask).await {
            Ok(reply) => (reply, None),
            Err(Failure::NoLease) => match ask {
                agent::Ask::Ack { .. } => (Reply::NoPause, None),
                _ => (Reply::NoLease, None),
            },
            Err(failure) => (Reply::Failed, Some(failure)),
        }
    }

    async fn of_agent(&self, own: &Own, ask: &agent::Ask) -> Result<agent::Reply, Failure> {
        use agent::{Ask, Reply};
        let host = self.fleet.key(&Key::Host(own.id.clone()));
        let alive = self.fleet.key(&Key::Alive(own.id.clone()));
        Ok(match ask {
            Ask::Grant => Reply::Granted(self.grant(own.lease).await?),
            Ask::Register { lease, host: value } => {
                let lives = write(&Alive { v: VERSION });
                let own = wire::put(&host, &write(value), LeaseId(0));
                let both = vec![own, wire::put(&alive, &lives, *lease)];
                let done = self.transact(vec![], both, vec![]).await?;
                Reply::Registered(Revision(done.header.revision))
            }
            Ask::Read => {
                let all = vec![
                    wire::range_all(&self.fleet.pauses()),
                    wire::range(&host),
                    wire::range(&alive),
                ];
                let done = self.transact(vec![], all, vec![]).await?;
                let revision = Revision(done.header.revision);
                let mut kvs = done.responses.into_iter().map(|one| one.response_range.kvs);
                let pauses: Vec<Entry> =
                    kvs.next().into_iter().flatten().map(wire::KeyValue::entry).collect();
                let mut next = || Some(kvs.next()?.into_iter().next()?.entry());
                let registered = next().zip(next());
                let registered = registered
                    .map(|(host, _)| (host.modified, read(&host.value).unwrap_or_default()));
                let pauses = Snapshot::new(&self.fleet, revision, &pauses).pauses;
                Reply::Pauses { revision, pauses, registered }
            }
            Ask::Amend { modified, host: value } => {
                let same = vec![wire::is_modified(&host, *modified)];
                let put = vec![wire::put(&host, &write(value), LeaseId(0))];
                let done = self.transact(same, put, vec![]).await?;
                match done.succeeded {
                    true => Reply::Amended(Revision(done.header.revision)),
                    false => Reply::Changed,
                }
            }
            Ask::KeepAlive(lease) => match self.keep_alive(*lease).await? {
                true => Reply::KeptAlive,
                false => Reply::NoLease,
            },
            Ask::Ack { app, token, lease, ack } => {
                let pause = self.fleet.key(&Key::Pause(app.clone()));
                let key = self.fleet.key(&Key::Ack(app.clone(), *token, own.id.clone()));
                let stands = vec![wire::is_created(&pause, token.0)];
                let put = vec![wire::put(&key, &write(ack), *lease)];
                match self.transact(stands, put, vec![]).await?.succeeded {
                    true => Reply::Acked,
                    false => Reply::NoPause,
                }
            }
        })
    }

    pub async fn caller(&self, app: &App, ask: &talk::Ask) -> talk::Reply {
        match self.of_caller(app, ask).await {
            Ok(reply) => reply,
            Err(Failure::NoLease) => talk::Reply::Gone,
            Err(Failure::Denied(why) | Failure::Other(why)) => talk::Reply::Failed(why),
        }
    }

    async fn of_caller(&self, app: &App, ask: &talk::Ask) -> Result<talk::Reply, Failure> {
        use talk::{Ask, Reply};
        let key = self.fleet.key(&Key::Pause(app.clone()));
        Ok(match ask {
            Ask::Grant(time) => Reply::Granted(self.grant(*time).await?),
            Ask::Create { lease, pause } => {
                let put = vec![wire::put(&key, &write(pause), *lease)];
                let absent = vec![wire::is_created(&key, 0)];
                let done = self.transact(absent, put, vec![wire::range(&key)]).await?;
                match (done.succeeded, one(&done)) {
                    (true, _) => Reply::Created(Revision(done.header.revision)),
                    (false, Some(entry)) => Reply::Taken(PauseEntry::of(&entry)),
                    (false, None) => Reply::Failed("etcd contradicts itself".to_owned()),
                }
            }
            Ask::Write { token, modified, lease, pause } => {
                let put = vec![wire::put(&key, &write(pause), *lease)];
                let same = vec![wire::is_modified(&key, *modified)];
                let done = self.transact(same, put, vec![wire::range(&key)]).await?;
                match (done.succeeded, one(&done)) {
                    (true, _) => Reply::Written(Revision(done.header.revision)),
                    (false, Some(entry)) if entry.created.0 == token.0 => Reply::Changed,
                    (false, _) => Reply::Gone,
                }
            }
            Ask::Read => Reply::Snapshot(Box::new(self.snapshot().await?)),
            Ask::KeepAlive(lease) => match self.keep_alive(*lease).await? {
                true => Reply::Done,
                false => Reply::Gone,
            },
            Ask::Revoke(lease) => {
                self.revoke(*lease).await?;
                Reply::Done
            }
            Ask::Delete(token) => {
                let acks = format!("{}acks/{}/{}/", self.fleet.prefix(), app.encoded(), token.0);
                let stands = vec![wire::is_created(&key, token.0)];
                let both = vec![wire::delete(&key), wire::delete_all(&acks)];
                match self.transact(stands, both, vec![]).await?.succeeded {
                    true => Reply::Done,
                    false => Reply::Gone,
                }
            }
        })
    }

    /// Tells each change under a prefix after this revision, until the watch is over.
    pub async fn watch(
        &self,
        prefix: &str,
        after: Revision,
        mut tell: impl FnMut(Option<Entry>, Entry),
    ) {
        let start = after.0.saturating_add(1).to_string();
        let (key, end) = (wire::text(prefix), wire::end(prefix));
        let body =
            json!({ "create_request": { "key": key, "range_end": end, "start_revision": start } });
        let Ok(mut lines) = self.etcd.listen("/v3/watch", body).await else { return };
        while let Some(wire::Watched { result }) = lines.next().await {
            if result.canceled {
                return;
            }
            for event in result.events {
                let is_written = event.kind.as_deref().is_none_or(|kind| kind == "PUT");
                let entry = event.kv.entry();
                tell(is_written.then(|| entry.clone()), entry);
            }
        }
    }

    async fn grant(&self, time: Duration) -> Result<LeaseId, Failure> {
        let seconds = time.as_millis().div_ceil(1000);
        let body = json!({ "TTL": seconds.to_string(), "ID": "0" });
        let granted: Granted = self.etcd.ask("/v3/lease/grant", body).await?;
        Ok(LeaseId(granted.id))
    }

    /// Whether the lease is still there.
    async fn keep_alive(&self, LeaseId(lease): LeaseId) -> Result<bool, Failure> {
        let body = json!({ "ID": lease.to_string() });
        let kept: Kept = self.etcd.ask("/v3/lease/keepalive", body).await?;
        Ok(kept.result.ttl > 0)
    }

    async fn transact(
        &self,
        compare: Vec<Value>,
        success: Vec<Value>,
        failure: Vec<Value>,
    ) -> Result<Transacted, Failure> {
        let body = json!({ "compare": compare, "success": success, "failure": failure });
        self.etcd.ask(TXN, body).await
    }
}

#[derive(serde::Deserialize)]
struct Ranged {
    header: wire::Header,
    #[serde(default)]
    kvs: Vec<wire::KeyValue>,
}

/// The key that the first answer tells.
fn one(done: &Transacted) -> Option<Entry> {
    Some(done.responses.first()?.response_range.kvs.first()?.clone().entry())
}
