//! What an agent answers: whether its host is ready, and metrics.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::PoisonError;
use std::time::Duration;

use fleet::keys::App;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout, Instant};

use super::Shared;
use crate::config::Wrong;
use crate::exit::Exit;

/// How an agent stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// It is registered, and no pause of its apps is active.
    pub is_clear: bool,
    pub is_connected: bool,
    pub revision: u64,
    pub holds: Vec<(App, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Seen(pub Shared<Standing>);

/// Somebody asks whether the host is ready now.
#[derive(Debug)]
pub struct Serves(Option<oneshot::Sender<()>>);

impl Serves {
    /// Answers if it is ready. Returns whether nobody waits any more.
    pub fn answer(&mut self, is_ready: bool) -> bool {
        if is_ready {
            if let Some(to) = self.0.take() {
                let _ = to.send(());
            }
        }
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

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
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") && bytes.len() < 8192 {
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
    let path = path.split('?').next().unwrap_or_default();
    let standing = seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (status, text) = match path {
        "/ready" => match is_ready(ask).await {
            true => ("200 OK", "ready\n".to_owned()),
            false => ("503 Service Unavailable", "not ready\n".to_owned()),
        },
        "/clear" if standing.is_clear => ("200 OK", "clear\n".to_owned()),
        "/clear" => ("503 Service Unavailable", "not registered yet, or paused\n".to_owned()),
        "/metrics" => ("200 OK", metrics(&standing)),
        _ => ("404 Not Found", "no such page: /ready, /clear, /metrics\n".to_owned()),
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
    let is_asked = ask.send(Serves(Some(to))).is_ok();
    is_asked && timeout(LOOK, ready).await.is_ok_and(|said| said.is_ok())
}

fn metrics(standing: &Standing) -> String {
    let mut text = String::new();
    let number = |yes: bool| u8::from(yes);
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
         intermission_agent_holds {}\n",
        number(standing.is_connected),
        standing.revision,
        standing.holds.len()
    );
    text
}

/// Waits until the agent at this address says that nginx may start.
pub async fn wait_ready(address: &str, patience: Duration) -> Result<Exit, Wrong> {
    let end = Instant::now() + patience;
    loop {
        let said = timeout(PATIENCE, ask_clear(address)).await;
        if said.is_ok_and(|said| said.unwrap_or(false)) {
            return Ok(Exit::OK);
        }
        if Instant::now() >= end {
            let text = format!("the agent at {address} does not say that nginx may start");
            return Err(Wrong { exit: Exit::NOT_QUIET, text });
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn ask_clear(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /clear HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}
