//! `agent`: the agent of a host, or one that waits for it.
#![forbid(unsafe_code)]

use crate::agent::{run as live, wait_ready};
use crate::args::fleet::Agent;
use crate::config::Wrong;
use crate::exit::Exit;

pub async fn run(args: &Agent) -> Result<Exit, Wrong> {
    if !args.wait_ready {
        return live(args).await;
    }
    let missing = || Wrong::usage("--wait-ready needs --listen, the agent's address");
    let listen = args.listen.as_ref().ok_or_else(missing)?;
    wait_ready(listen, args.patience).await
}
