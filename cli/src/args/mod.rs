//! The command line.
#![forbid(unsafe_code)]

mod about;
pub mod fleet;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::words::parse_time;

/// Pauses apps behind nginx for a maintenance, and resumes them.
#[derive(Debug, Parser)]
#[command(name = "intermission", version, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "Exit statuses, environment and files: intermission --help")]
#[command(after_long_help = about::MORE)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Pause, wait until quiet, run a command, and resume, whatever happens
    Run(Run),
    /// Pause, and return when the apps are paused
    Pause(Pause),
    /// End a pause, or a stop
    Resume(Resume),
    /// Answer all requests with 503, those that are held too
    Stop(Stop),
    /// Show the state of each app
    Status(Status),
    /// Say whether a pause can be afforded now, and what is wrong with the configuration
    Check(Check),
    /// Print the metrics of the endpoints, for Prometheus
    Metrics(Metrics),
    /// Show the hosts of a fleet, its pauses, and what each host makes of them
    Fleet(fleet::Fleets),
    /// Run beside nginx, and make this host what the fleet's etcd says
    Agent(fleet::Agent),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page of this command, or of a verb
    Man(Manual),
}

/// Which endpoints, and how they are spoken to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Hosts")]
pub struct Hosts {
    /// A control endpoint: http://host:port/path, https://…, or unix:/socket:/path. Without a path:
    /// /_intermission. May be repeated. Also INTERMISSION_HOSTS, with spaces between
    #[arg(long, value_name = "URL")]
    pub host: Vec<String>,
    /// The hosts and settings of this group in the configuration file
    #[arg(long, value_name = "NAME", conflicts_with = "host")]
    pub group: Option<String>,
    /// This configuration file, and no other
    #[arg(long, value_name = "FILE", env = "INTERMISSION_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// The app; without it the endpoint's own. May be repeated
    #[arg(long, value_name = "NAME")]
    pub app: Vec<String>,
    /// The authorities that an https host's certificate is checked against, in PEM
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A client certificate with its key, in PEM
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The user for basic auth. The password: INTERMISSION_PASSWORD, or the configuration file
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A header of each call. May be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// How long a connection may take
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub connect_timeout: Option<Duration>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub in_fleet: fleet::InFleet,
}

/// How it is told.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Say only what went wrong
    #[arg(long, short)]
    pub quiet: bool,
    /// Say it in JSON, one object a line
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Say it in lines, also on a terminal
    #[arg(long)]
    pub plain: bool,
}

/// The terms of a pause.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Pause")]
pub struct Terms {
    /// The pause ends by itself after this time, if nobody renews it
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub lease: Option<Duration>,
    /// Why, for the log and the status
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Your name, for the log and the status
    #[arg(long, value_name = "NAME", env = "INTERMISSION_BY", hide_env_values = true)]
    pub by: Option<String>,
    /// If another caller's pause is active: go on in that pause, and leave it to its owner
    #[arg(long)]
    pub join: bool,
}

/// The pace of a drain.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Resume")]
pub struct Pace {
    /// Held requests go on evenly over this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub spread: Option<Duration>,
    /// At most this many released requests are unfinished at a time
    #[arg(long, value_name = "NUMBER")]
    pub concurrency: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub terms: Terms,
    /// How long the apps may take until they are quiet (10s)
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Pause")]
    pub wait: Option<Duration>,
    /// What to do with the command if a pause is lost
    #[arg(long, value_enum, default_value = "finish", help_heading = "Pause")]
    pub on_lost: OnLost,
    /// With --on-lost=kill: the command gets SIGKILL this long after SIGTERM
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s")]
    #[arg(help_heading = "Pause")]
    pub grace: Duration,
    #[command(flatten)]
    pub pace: Pace,
    #[command(flatten)]
    pub hosts: Hosts,
    #[command(flatten)]
    pub output: Output,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnLost {
    /// Say it loudly, and let the command finish
    Finish,
    /// Also end the command
    Kill,
}

#[derive(Debug, Args)]
pub struct Pause {
    /// Remember the pauses under this name, for resume --key. A pause that is remembered and active
    /// is kept and renewed, so the call can be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "join")]
    pub key: Option<String>,
    #[command(flatten)]
    pub terms: Terms,
    /// Wait until the apps are quiet, for at most this time. If they are not, nothing stays paused
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Pause")]
    pub wait: Option<Duration>,
    #[command(flatten)]
    pub hosts: Hosts,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// End the pauses that pause --key remembered under this name, and no others. If there are none,
    /// nothing is to be done
    #[arg(long, value_name = "NAME", conflicts_with_all = ["id", "wait"])]
    pub key: Option<String>,
    /// With --key: how long a host that does not answer is tried again
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "30s")]
    pub retry: Duration,
    /// End only the pause with this number
    #[arg(long, value_name = "NUMBER")]
    pub id: Option<u64>,
    /// Wait until all held requests have gone on, for at most this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub wait: Option<Duration>,
    /// Your name, for the log
    #[arg(long, value_name = "NAME", env = "INTERMISSION_BY", hide_env_values = true)]
    pub by: Option<String>,
    #[command(flatten)]
    pub pace: Pace,
    #[command(flatten)]
    pub hosts: Hosts,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Stop {
    /// Stop only the pause with this number
    #[arg(long, value_name = "NUMBER")]
    pub id: Option<u64>,
    /// The stop ends by itself after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub lease: Option<Duration>,
    /// Why, for the log and the status
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Your name, for the log and the status
    #[arg(long, value_name = "NAME", env = "INTERMISSION_BY", hide_env_values = true)]
    pub by: Option<String>,
    #[command(flatten)]
    pub hosts: Hosts,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Show it again and again, until Ctrl-C
    #[arg(long, short)]
    pub watch: bool,
    /// The time between two looks
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1s")]
    pub interval: Duration,
    #[command(flatten)]
    pub hosts: Hosts,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Metrics {
    #[command(flatten)]
    pub hosts: Hosts,
}

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Manual {
    /// The verb; without it this command as a whole
    pub verb: Option<String>,
}

#[derive(Debug, Args)]
pub struct Check {
    /// How long the pause is to be
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "30s")]
    pub pause: Duration,
    /// How long the apps may take until they are quiet
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "10s")]
    pub wait: Duration,
    /// For how long the requests that come are counted
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "3s")]
    pub sample: Duration,
    #[command(flatten)]
    pub hosts: Hosts,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}
