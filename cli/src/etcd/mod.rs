//! Speaks with etcd: one question at a time goes to one member, and to the next if that does not
//! answer.
#![forbid(unsafe_code)]

pub mod fleets;
mod member;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use tokio::sync::watch;
use tokio::time::{timeout_at, Instant};

use member::{Member, Trust, Unanswered};

/// How etcd is to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Its members: `http://host:2379` or `https://…`.
    pub endpoints: Vec<String>,
    /// PEM: the only authorities that are trusted. None: those of the system.
    pub ca: Option<Vec<u8>>,
    /// PEM: a client certificate with its key.
    pub identity: Option<Vec<u8>>,
    pub user: Option<(String, String)>,
}

/// etcd, with any number of members.
#[derive(Clone, Debug)]
pub struct Etcd {
    members: Arc<[Member]>,
    /// The member that is asked first.
    at: watch::Sender<usize>,
    options: ConnectOptions,
}

/// Why etcd did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The lease is over.
    NoLease,
    /// The user, or the certificate, may not do that.
    Denied(String),
    /// No answer, or an error: it may have been carried out.
    Other(String),
}

/// Whether a question may be asked again, of another member, if one may have carried it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    Freely,
    Never,
}

/// A question is given up after this time, over all members.
const LONGEST: Duration = Duration::from_secs(6);

impl Etcd {
    /// The error says what is wrong with the members or the certificates.
    pub fn new(access: &Access) -> Result<Self, String> {
        let trust = Trust::new(access.ca.as_deref(), access.identity.as_deref());
        let members = access.endpoints.iter().map(|name| Member::new(name, &trust));
        let members: Vec<Member> = members.collect::<Result<_, _>>()?;
        if members.is_empty() {
            return Err(
                "which etcd? Give --etcd URL, set INTERMISSION_ETCD, or write it into the \
                        fleet's part of /etc/intermission.toml"
                    .to_owned(),
            );
        }
        // A question to a member without a leader fails, and a watch there ends.
        let mut options =
            ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        if let Some((name, password)) = &access.user {
            options = options.with_user(name, password);
        }
        Ok(Self { members: members.into(), at: watch::Sender::new(0), options })
    }

    /// Asks one member after the other.
    pub async fn ask<T, F>(&self, repeat: Repeat, ask: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let end = Instant::now() + LONGEST;
        let first = *self.at.borrow();
        let mut unanswered: Vec<(usize, String)> = Vec::new();
        for step in 0..self.members.len() {
            let at = first.wrapping_add(step) % self.members.len();
            let Some(member) = self.members.get(at) else { continue };
            let answer = timeout_at(end, member.ask(&self.options, &ask)).await;
            let why = match answer.unwrap_or_else(|_| Err(member.silent())) {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Failed(failure)) => return Err(failure),
                Err(Unanswered::NotAsked(why)) => why,
                Err(Unanswered::Perhaps(why)) if repeat == Repeat::Freely => why,
                Err(Unanswered::Perhaps(why)) => {
                    self.leave(at);
                    return Err(Failure::Other(why));
                }
            };
            self.leave(at);
            unanswered.push((at, why));
            if Instant::now() >= end {
                break;
            }
        }
        // In the order of the configuration, whichever was asked first.
        unanswered.sort();
        let all: Vec<String> = unanswered.into_iter().map(|(_, why)| why).collect();
        Err(Failure::Other(all.join("; ")))
    }

    /// Changes when the member that was asked first has not answered.
    pub fn turns(&self) -> watch::Receiver<usize> {
        self.at.subscribe()
    }

    /// The next question goes to another member first, if there is one.
    fn leave(&self, at: usize) {
        self.at.send_if_modified(|next| {
            let was_first = *next == at;
            if was_first {
                *next = at.wrapping_add(1) % self.members.len().max(1);
            }
            was_first
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn etcd(endpoints: &[String]) -> Result<Etcd, String> {
        Etcd::new(&Access { endpoints: endpoints.to_vec(), ..Access::default() })
    }

    /// Takes connections and says nothing.
    fn silent() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    }

    /// How often it was asked, and why there was no answer.
    async fn asked(etcd: &Etcd, repeat: Repeat) -> (u32, String) {
        let count = AtomicU32::new(0);
        let ask = |_| {
            count.fetch_add(1, Ordering::Relaxed);
            pending::<Result<(), Error>>()
        };
        let Err(Failure::Other(why)) = etcd.ask(repeat, ask).await else {
            panic!("nobody can answer");
        };
        (count.into_inner(), why)
    }

    #[tokio::test]
    async fn a_write_that_a_silent_member_may_have_taken_is_not_repeated() {
        let (_one, first) = silent();
        let (_two, second) = silent();
        let etcd = etcd(&[first.clone(), second.clone()]).unwrap();
        assert_eq!(asked(&etcd, Repeat::Never).await, (1, format!("{first}: no answer in time")));
        assert_eq!(asked(&etcd, Repeat::Never).await, (1, format!("{second}: no answer in time")));
    }

    #[tokio::test]
    async fn a_question_that_changes_nothing_goes_to_each_member() {
        let (_one, first) = silent();
        let (_two, second) = silent();
        let etcd = etcd(&[first.clone(), second.clone()]).unwrap();
        let all = format!("{first}: no answer in time; {second}: no answer in time");
        assert_eq!(asked(&etcd, Repeat::Freely).await, (2, all.clone()));
        etcd.leave(0);
        assert_eq!(asked(&etcd, Repeat::Freely).await, (2, all), "whichever is asked first");
    }

    #[tokio::test]
    async fn a_write_goes_on_to_the_next_member_if_there_is_no_connection() {
        let (closed, dead) = silent();
        drop(closed);
        let (_one, first) = silent();
        let etcd = etcd(&[dead.clone(), first.clone()]).unwrap();
        let (count, why) = asked(&etcd, Repeat::Never).await;
        assert_eq!((count, why), (1, format!("{first}: no answer in time")));
        let (_, why) = asked(&etcd, Repeat::Freely).await;
        let both = format!("{dead}: Connection refused (os error 111); {first}: no answer in time");
        assert_eq!(why, both);
    }

    #[tokio::test]
    async fn a_question_is_given_up_after_6_s_whatever_the_number_of_members() {
        let all: Vec<_> = (0..5).map(|_| silent()).collect();
        let etcd = etcd(&all.iter().map(|(_, url)| url.clone()).collect::<Vec<_>>()).unwrap();
        let begin = Instant::now();
        let (count, _) = asked(&etcd, Repeat::Freely).await;
        assert!((3..=4).contains(&count) && begin.elapsed() < LONGEST + Duration::from_secs(1));
    }

    #[test]
    fn what_is_not_an_etcd_is_told_at_once() {
        for wrong in
            ["ftp://a:1", "http://", "a b", "http://a/etcd", "http://a:1?x", "http://u@a:1"]
        {
            let said = etcd(&[wrong.to_owned()]).unwrap_err();
            assert!(said.contains("is not the URL of an etcd"), "{wrong}: {said}");
        }
        for right in ["a:2379", "http://a:2379/", "http://[::1]:2379"] {
            assert!(etcd(&[right.to_owned()]).is_ok(), "{right}");
        }
        assert!(etcd(&[]).unwrap_err().contains("which etcd?"));
    }

    #[test]
    fn certificates_that_are_none_are_told_at_once() {
        let with = |ca: Option<&str>, identity: Option<&str>| {
            let pem = |text: &str| text.as_bytes().to_vec();
            let endpoints = vec!["https://[::1]:2379".to_owned()];
            let (ca, identity) = (ca.map(pem), identity.map(pem));
            Etcd::new(&Access { endpoints, ca, identity, user: None }).map(|_| ())
        };
        assert_eq!(with(Some("x"), None).unwrap_err(), "etcd's CA file has no certificate in PEM");
    }
}
