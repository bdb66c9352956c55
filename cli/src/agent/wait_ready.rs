//! `agent --wait-ready`: before nginx starts. It waits for the agent's word, and puts the pauses of the
//! fleet into nginx's state file, so that nginx starts paused.
#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use fleet::agent::start::{Begins, Stands, Start, Starts};
use intermission::ids::{PauseId, Token};
use intermission::saved::{Prepared, Snapshot};
use intermission::shared::app::App;
use intermission::text::{Address, AppName, Reason};
use intermission::time::{Msec, Now};
use percent_encoding::{utf8_percent_encode, NON_ALPHANUMERIC};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout, Instant};

use super::state_file::{boot, now, StateFile};
use crate::config::Wrong;
use crate::exit::Exit;
use crate::show;

/// An answer may take so long. The agent looks for 2 s.
const PATIENCE: Duration = Duration::from_secs(4);
const AGAIN: Duration = Duration::from_millis(200);

/// Waits until the agent at this address says that nginx may start. Without a state file that is when
/// no app of the host is paused.
pub async fn wait_ready(
    address: &str,
    file: Option<&Path>,
    patience: Duration,
) -> Result<Exit, Wrong> {
    let end = Instant::now() + patience;
    loop {
        let may_start = match file {
            Some(path) => prepare(address, &StateFile::at(path)).await?,
            None => ask(address, "/clear").await.is_some(),
        };
        if may_start {
            return Ok(Exit::OK);
        }
        if Instant::now() >= end {
            let text = format!("the agent at {address} does not say that nginx may start");
            return Err(Wrong { exit: Exit::NOT_QUIET, text });
        }
        sleep(AGAIN).await;
    }
}

/// Returns whether nginx may start: then the file has what it is to start with.
async fn prepare(address: &str, file: &StateFile<'_>) -> Result<bool, Wrong> {
    let (asked, boot) = (now(), boot());
    let before = file.read().map_err(Wrong::config)?;
    let question = serde_json::to_string(&starts(&before, asked, &boot)).unwrap_or_default();
    let path = format!("/start?{}", utf8_percent_encode(&question, NON_ALPHANUMERIC));
    let answer = ask(address, &path).await;
    let start: Option<Start> = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
    let Some(start) = start else { return Ok(false) };
    if start.is_running {
        show::say("nginx runs already: its state file is left alone");
        return Ok(true);
    }
    if start.pauses.is_empty() && start.over.is_empty() {
        return Ok(true);
    }
    let all =
        start.pauses.iter().map(|one| prepared(one, &before)).collect::<Result<Vec<_>, _>>()?;
    let is_over = |app: &App| {
        let name = app.name().map_or(&b""[..], |name| name.as_bytes());
        start.over.iter().any(|over| over.as_bytes() == name)
    };
    // A lease counts from before the question.
    let after = before.with(&all, |app| !is_over(app), asked, &boot);
    file.write(&after).map_err(Wrong::config)?;
    for Begins { app, token: fleet::keys::Token(token), left, .. } in &start.pauses {
        let how = if left.is_some() { "paused, by pause" } else { "stopped, by stop" };
        show::say(&format!("app \"{app}\": nginx starts {how} {token} of the fleet"));
    }
    Ok(true)
}

fn starts(before: &Snapshot, asked: Now, boot: &str) -> Starts {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let file = before.restored(asked, boot).into_iter().map(|app| Stands {
        app: app.name().map_or_else(String::new, |name| lossy(name.as_bytes())),
        pause: app.pause().0,
        by: lossy(app.reason_and_by().1.as_bytes()),
    });
    let PauseId(newest) = PauseId::before_first(asked.wall);
    Starts { file: file.collect(), number: before.pauses.max(newest).saturating_add(1) }
}

fn prepared(begins: &Begins, before: &Snapshot) -> Result<Prepared, Wrong> {
    let name = AppName::new(begins.app.as_bytes());
    let app = name.map_err(|why| Wrong::config(format!("the app's name {why}")))?;
    let token = Token(begins.token.0);
    if before.token(&app) > token {
        let text = "this host has seen a greater token: was etcd set up anew? nginx does not start";
        return Err(Wrong { exit: Exit::NOT_QUIET, text: text.to_owned() });
    }
    Ok(Prepared {
        app,
        pause: PauseId(begins.pause),
        by: Address::front_of(begins.by.as_bytes()),
        reason: Reason::front_of(begins.reason.as_deref().unwrap_or_default().as_bytes()),
        token,
        left: begins.left.map(|left| Msec(left.0)),
    })
}

/// What the agent says, if that is 200.
async fn ask(address: &str, path: &str) -> Option<Vec<u8>> {
    let answer = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
        answer.starts_with(b"HTTP/1.1 200").then(|| answer.split_off(body + 4))
    };
    timeout(PATIENCE, answer).await.ok().flatten()
}
