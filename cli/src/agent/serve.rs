//! What an agent answers: whether its host is ready, and metrics.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::Duration;

use fleet::agent::call::What;
use fleet::agent::start::{Start, Starts, PATIENCE as PATIENCE_OF_START};
use fleet::agent::{Agent, Event};
use fleet::keys::{App, Token};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::Shared;

/// How an agent stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// It is registered, and no pause of its apps is active.
    pub is_clear: bool,
    pub is_connected: bool,
    pub revision: u64,
    pub holds: Vec<(App, Token, What)>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen(pub Shared<Standing>);

/// Somebody asks how the host stands now.
#[derive(Debug)]
pub enum Serves {
    /// Whether it is ready to take traffic.
    Ready(Option<oneshot::Sender<()>>),
    /// What nginx may start with.
    Start(Starts, Option<oneshot::Sender<Start>>),
}

impl Serves {
    /// What the agent hears of it: it looks anew.
    pub fn event(&self) -> Event {
        match self {
            Self::Ready(_) => Event::Forget,
            Self::Start(starts, _) => Event::Starts(starts.clone()),
        }
    }

    /// Answers what was asked at `since`, if the answer is known. Returns whether nobody waits any
    /// more.
    pub fn answer(&mut self, agent: &mut Agent, now: Duration, since: Duration) -> bool {
        match self {
            Self::Ready(to) => give(to, agent.is_ready(since).then_some(())),
            Self::Start(_, to) => give(to, agent.start(now, since)),
        }
    }
}

fn give<T>(to: &mut Option<oneshot::Sender<T>>, answer: Option<T>) -> bool {
    if let Some(answer) = answer {
        // Who asked may be gone.
        let _ = to.take().map(|to| to.send(answer));
    }
    to.as_ref().is_none_or(oneshot::Sender::is_closed)
}

/// A question is at most this long, in bytes: a start names all pauses of the state file.
const LONGEST: usize = 1 << 20;
/// A question, or its answer, may take so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// A host that is not ready after this time is said not to be.
const LOOK: Duration = Duration::from_secs(2);

pub async fn serve(listener: TcpListener, seen: Seen, ask: UnboundedSender<Serves>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (seen, ask) = (seen.clone(), ask.clone());
                tokio::spawn(
                    async move { timeout(PATIENCE * 2, answer(stream, &seen, &ask)).await },
                );
            }
            // No descriptor is free, say.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: TcpStream, seen: &Seen, ask: &UnboundedSender<Serves>) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") && bytes.len() < LONGEST {
        let mut more = [0; 1024];
        match stream.read(&mut more).await {
            Ok(count) if count > 0 => {
                bytes.extend_from_slice(more.get(..count).unwrap_or_default())
            }
            _ => return,
        }
    }
    let line = String::from_utf8_lossy(&bytes);
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (path, question) = path.split_once('?').unwrap_or((path, ""));
    let standing = seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, text) = match path {
        "/ready" => match is_ready(ask).await {
            true => ("200 OK", "ready\n".to_owned()),
            false => ("503 Service Unavailable", "not ready\n".to_owned()),
        },
        "/start" => match start(ask, question).await {
            Some(start) => ("200 OK", serde_json::to_string(&start).unwrap_or_default()),
            None => ("503 Service Unavailable", "not known yet\n".to_owned()),
        },
        "/clear" if standing.is_clear => ("200 OK", "clear\n".to_owned()),
        "/clear" => ("503 Service Unavailable", "not registered yet, or paused\n".to_owned()),
        "/metrics" => ("200 OK", metrics(&standing)),
        _ => ("404 Not Found", "no such page: /ready, /start, /clear, /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all((head + &text).as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn is_ready(ask: &UnboundedSender<Serves>) -> bool {
    let (to, ready) = oneshot::channel();
    let is_asked = ask.send(Serves::Ready(Some(to))).is_ok();
    is_asked && timeout(LOOK, ready).await.is_ok_and(|said| said.is_ok())
}

async fn start(ask: &UnboundedSender<Serves>, question: &str) -> Option<Start> {
    let question: Vec<u8> = percent_decode_str(question).collect();
    let starts = serde_json::from_slice(&question).ok()?;
    let (to, known) = oneshot::channel();
    ask.send(Serves::Start(starts, Some(to))).ok()?;
    timeout(PATIENCE_OF_START, known).await.ok()?.ok()
}

fn metrics(standing: &Standing) -> String {
    let mut text = String::new();
    let number = |yes: bool| u8::from(yes);
    let count = |what| standing.holds.iter().filter(|(.., one)| *one == what).count();
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "# HELP intermission_agent_etcd_up Whether etcd has answered the newest question.\n\
         # TYPE intermission_agent_etcd_up gauge\n\
         intermission_agent_etcd_up {}\n\
         # HELP intermission_agent_revision The revision of the newest thing that etcd told.\n\
         # TYPE intermission_agent_revision gauge\n\
         intermission_agent_revision {}\n\
         # HELP intermission_agent_holds The apps that are held for a pause of the fleet.\n\
         # TYPE intermission_agent_holds gauge\n\
         intermission_agent_holds {}\n\
         # HELP intermission_agent_stops The apps that are stopped by a stop of the fleet.\n\
         # TYPE intermission_agent_stops gauge\n\
         intermission_agent_stops {}\n",
        number(standing.is_connected),
        standing.revision,
        count(What::Pause),
        count(What::Stop)
    );
    text
}
