//! The questions of agents and callers, as etcd's.
#![forbid(unsafe_code)]

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, EventType, GetOptions, KeyValue, KvClient,
    PutOptions, ResponseHeader, Txn, TxnOp, TxnOpResponse, TxnResponse, WatchOptions,
};
use fleet::agent;
use fleet::caller::talk;
use fleet::keys::{App, Fleet, HostId, Key, LeaseId, Revision, Token};
use fleet::snapshot::{Entry, PauseEntry, Snapshot};
use fleet::values::{read, write, Alive, Pause, VERSION};

use super::{Etcd, Failure, Repeat};

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

/// An answer, or a change that a watch tells, has at most so many bytes.
const LARGEST: usize = 64 << 20;

impl Keys {
    /// All keys of the fleet, at one revision.
    pub async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let prefix = self.fleet.prefix();
        let ask = |client: Client| {
            let mut kv = kv(&client);
            let prefix = prefix.clone();
            async move { kv.get(prefix, Some(GetOptions::new().with_prefix())).await }
        };
        let all = self.etcd.ask(Repeat::Freely, ask).await?;
        let entries: Vec<Entry> = all.kvs().iter().map(entry).collect();
        Ok(Snapshot::new(&self.fleet, revision(all.header()), &entries))
    }

    /// The host is not of the fleet any more.
    pub async fn forget(&self, id: &HostId) -> Result<(), Failure> {
        let keys = [Key::Host(id.clone()), Key::Alive(id.clone())].map(|key| self.fleet.key(&key));
        let all: Vec<TxnOp> = keys.into_iter().map(|key| TxnOp::delete(key, None)).collect();
        self.transact(Repeat::Freely, Txn::new().and_then(all)).await.map(|_| ())
    }

    pub async fn revoke(&self, LeaseId(lease): LeaseId) -> Result<(), Failure> {
        let ask = |client: Client| async move { client.lease_client().revoke(lease).await };
        self.etcd.ask(Repeat::Freely, ask).await.map(|_| ())
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
        let stands: Vec<Compare> =
            only.into_iter().map(|token| is_created(&key, token.0)).collect();
        let both = [put(&key, &write(pause), lease), TxnOp::get(key, None)];
        let txn = Txn::new().when(stands).and_then(both);
        let done = self.transact(Repeat::Never, txn).await?;
        let entry = ranges(&done).into_iter().flatten().next().filter(|_| done.succeeded());
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
                let own = put(&host, &write(value), LeaseId(0));
                let both = Txn::new().and_then([own, put(&alive, &lives, *lease)]);
                let done = self.transact(Repeat::Never, both).await?;
                Reply::Registered(revision(done.header()))
            }
            Ask::Read => {
                let pauses = TxnOp::get(self.fleet.pauses(), Some(GetOptions::new().with_prefix()));
                let all = [pauses, TxnOp::get(host, None), TxnOp::get(alive, None)];
                let done = self.transact(Repeat::Freely, Txn::new().and_then(all)).await?;
                let revision = revision(done.header());
                let mut ranges = ranges(&done).into_iter();
                let pauses = ranges.next().unwrap_or_default();
                let mut next = || ranges.next()?.into_iter().next();
                let registered = next().zip(next());
                let registered = registered
                    .map(|(host, _)| (host.modified, read(&host.value).unwrap_or_default()));
                let pauses = Snapshot::new(&self.fleet, revision, &pauses).pauses;
                Reply::Pauses { revision, pauses, registered }
            }
            Ask::Amend { modified, host: value } => {
                let same = Txn::new().when([is_modified(&host, *modified)]);
                let txn = same.and_then([put(&host, &write(value), LeaseId(0))]);
                let done = self.transact(Repeat::Never, txn).await?;
                match done.succeeded() {
                    true => Reply::Amended(revision(done.header())),
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
                let stands = Txn::new().when([is_created(&pause, token.0)]);
                let txn = stands.and_then([put(&key, &write(ack), *lease)]);
                match self.transact(Repeat::Never, txn).await?.succeeded() {
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
                let absent = is_created(&key, 0);
                let done = self.put_if(absent, &key, &write(pause), *lease).await?;
                match (done.succeeded(), one(&done)) {
                    (true, _) => Reply::Created(revision(done.header())),
                    (false, Some(entry)) => Reply::Taken(PauseEntry::of(&entry)),
                    (false, None) => Reply::Failed("etcd contradicts itself".to_owned()),
                }
            }
            Ask::Write { token, modified, lease, pause } => {
                let same = is_modified(&key, *modified);
                let done = self.put_if(same, &key, &write(pause), *lease).await?;
                match (done.succeeded(), one(&done)) {
                    (true, _) => Reply::Written(revision(done.header())),
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
                let stands = Txn::new().when([is_created(&key, token.0)]);
                let acks = TxnOp::delete(acks, Some(DeleteOptions::new().with_prefix()));
                let txn = stands.and_then([TxnOp::delete(key, None), acks]);
                match self.transact(Repeat::Never, txn).await?.succeeded() {
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
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(number(after.0).saturating_add(1));
        let ask = |client: Client| {
            let mut watch = client.watch_client().max_decoding_message_size(LARGEST);
            let (prefix, options) = (prefix.to_owned(), options.clone());
            async move { watch.watch(prefix, Some(options)).await }
        };
        let Ok(mut watch) = self.etcd.ask(Repeat::Freely, ask).await else { return };
        let mut turns = self.etcd.turns();
        loop {
            let told = tokio::select! {
                told = watch.message() => told,
                // The member does not answer questions: its watch may have stopped, too.
                _ = turns.changed() => return,
            };
            let Ok(Some(told)) = told else { return };
            // etcd has forgotten the revision that it was to begin with.
            if told.canceled() {
                return;
            }
            for event in told.events() {
                let Some(entry) = event.kv().map(entry) else { continue };
                let is_written = event.event_type() == EventType::Put;
                tell(is_written.then(|| entry.clone()), entry);
            }
        }
    }

    async fn grant(&self, time: Duration) -> Result<LeaseId, Failure> {
        let seconds = i64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        let ask = |client: Client| async move { client.lease_client().grant(seconds, None).await };
        self.etcd.ask(Repeat::Freely, ask).await.map(|granted| LeaseId(granted.id()))
    }

    /// Whether the lease is still there.
    async fn keep_alive(&self, LeaseId(lease): LeaseId) -> Result<bool, Failure> {
        let ask = |client: Client| async move { client.lease_client().keep_alive(lease).await };
        match self.etcd.ask(Repeat::Freely, ask).await {
            Ok(_) => Ok(true),
            Err(Failure::NoLease) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Writes the key if this is true, and reads it if not.
    async fn put_if(
        &self,
        is: Compare,
        key: &str,
        value: &[u8],
        lease: LeaseId,
    ) -> Result<TxnResponse, Failure> {
        let txn = Txn::new().when([is]).and_then([put(key, value, lease)]);
        self.transact(Repeat::Never, txn.or_else([TxnOp::get(key, None)])).await
    }

    async fn transact(&self, repeat: Repeat, txn: Txn) -> Result<TxnResponse, Failure> {
        let ask = |client: Client| {
            let (mut kv, txn) = (kv(&client), txn.clone());
            async move { kv.txn(txn).await }
        };
        self.etcd.ask(repeat, ask).await
    }
}

fn kv(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(LARGEST)
}

fn put(key: &str, value: &[u8], LeaseId(lease): LeaseId) -> TxnOp {
    TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease)))
}

/// The key was made by this revision. 0: there is no such key.
fn is_created(key: &str, revision: u64) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, number(revision))
}

/// The key was written last by this revision.
fn is_modified(key: &str, Revision(revision): Revision) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, number(revision))
}

/// What each read in it has found.
fn ranges(done: &TxnResponse) -> Vec<Vec<Entry>> {
    let read = |one: TxnOpResponse| match one {
        TxnOpResponse::Get(read) => Some(read.kvs().iter().map(entry).collect()),
        _ => None,
    };
    done.op_responses().into_iter().filter_map(read).collect()
}

/// The first key that was read.
fn one(done: &TxnResponse) -> Option<Entry> {
    ranges(done).into_iter().flatten().next()
}

fn entry(kv: &KeyValue) -> Entry {
    Entry {
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        value: kv.value().to_vec(),
        created: Revision(kv.create_revision().unsigned_abs()),
        modified: Revision(kv.mod_revision().unsigned_abs()),
        lease: LeaseId(kv.lease()),
    }
}

fn revision(header: Option<&ResponseHeader>) -> Revision {
    Revision(header.map_or(0, |header| header.revision().unsigned_abs()))
}

/// etcd's revisions have a sign, but are never negative.
fn number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
