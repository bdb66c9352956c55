//! `agent`: the agent of a host, or one that waits for it.
#![forbid(unsafe_code)]

use crate::agent::{run as live, wait_ready};
use crate::args::fleet::Agent;
use crate::config::fleets::agent_settings;
use crate::config::Wrong;
use crate::exit::Exit;

pub async fn run(args: &Agent) -> Result<Exit, Wrong> {
    if !args.wait_ready {
        return live(args).await;
    }
    let settings = agent_settings(args.hosts.config.as_deref())?;
    let missing = || Wrong::usage("--wait-ready needs --listen, the agent's address");
    let listen = args.listen.clone().or(settings.listen).ok_or_else(missing)?;
    let file = args.state_file.clone().or(settings.state_file);
    wait_ready(&listen, file.as_deref(), args.patience).await
}
