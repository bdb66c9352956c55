//! The options of a fleet, and its own verbs.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Hosts;
use crate::words::parse_time;

/// Which fleet, and where its etcd is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Fleet")]
pub struct InFleet {
    /// All hosts that are registered in this fleet, by etcd
    #[arg(long, value_name = "NAME")]
    pub fleet: Option<String>,
    /// A member of etcd. May be repeated. Also INTERMISSION_ETCD, with spaces between
    #[arg(long, value_name = "URL", env = "INTERMISSION_ETCD", value_delimiter = ' ')]
    pub etcd: Vec<String>,
    /// The authorities that etcd's certificate is checked against, in PEM
    #[arg(long, value_name = "FILE")]
    pub etcd_ca: Option<PathBuf>,
    /// A client certificate for etcd with its key, in PEM
    #[arg(long, value_name = "FILE")]
    pub etcd_cert: Option<PathBuf>,
    /// The user at etcd. The password: INTERMISSION_ETCD_PASSWORD, or the configuration file
    #[arg(long, value_name = "NAME")]
    pub etcd_user: Option<String>,
    /// Leave this host of the fleet out, whatever it does. May be repeated
    #[arg(long, value_name = "ID")]
    pub without: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Agent {
    /// This host's name in the fleet (the machine's name)
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// The control endpoint as callers on other machines reach it, for when etcd is away
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Answer /ready, /clear and /metrics at this address
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// How often etcd is asked, at least (2s)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub poll: Option<Duration>,
    /// Do not be an agent: wait until the agent at --listen says that nginx may start
    #[arg(long)]
    pub wait_ready: bool,
    /// With --wait-ready: nginx's state file, so that nginx starts paused if the fleet is
    #[arg(long, value_name = "FILE")]
    pub state_file: Option<PathBuf>,
    /// With --wait-ready: at most for this time
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "80s")]
    pub patience: Duration,
    #[command(flatten)]
    pub hosts: Hosts,
}

#[derive(Debug, Args)]
pub struct Fleets {
    #[command(subcommand)]
    pub verb: Option<FleetVerb>,
    /// Show it again and again, until Ctrl-C
    #[arg(long, short)]
    pub watch: bool,
    /// The time between two looks
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1s")]
    pub interval: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// This configuration file, and no other
    #[arg(long, value_name = "FILE", env = "INTERMISSION_CONFIG")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub fleet: InFleet,
}

#[derive(Debug, Subcommand)]
pub enum FleetVerb {
    /// A host that left without saying so is not of the fleet any more
    Forget {
        /// The host's name in the fleet
        id: String,
    },
}
