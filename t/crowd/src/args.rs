//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::net::{Address, LONGEST_BACKLOG};

pub(crate) const USAGE: &str = "\
usage: crowd backend --listen ADDRESS --log FILE [--delay MS] [--backlog N]
       crowd clients --to ADDRESS --count N [options]
       crowd http2   --to ADDRESS --count N --connections C [options]

ADDRESS is 127.0.0.1:port or unix:/path. In a request to the backend, ?delay=MS, ?size=BYTES and
?status=CODE shape the answer; a request with an Upgrade header becomes an echo. On a line \"stop\" on
stdin it accepts no more, answers what has come, and ends.

options:
  --path PATH        default /r/{i}; {i} is the client's number, {n} its request's, from 0
  --first I          the first client's number, default 0
  --host HOST        default localhost
  --agent AGENT      default crowd; empty: no such header
  --header 'K: V'    may be repeated
  --method METHOD    default GET
  --body BYTES       size of a request body
  --rate R           new requests per second
  --connecting N     at most this many not yet written at a time, default 256
  --keepalive M      requests per client, one after another
  --leave FRACTION   every round(1/FRACTION)th client leaves unanswered (http2: --reset)
  --leave-after MS   since its request was sent; else on a line \"leave\" on stdin
  --leave-on-stdin
  --start-on-stdin   connect all (event \"connected\"), send on a line \"go\" on stdin
  --timeout S        default 60
  --progress         a line of JSON every 200 ms
  --log FILE         a line per request
  --expect CODES     other statuses are failures, e.g. 200,503
";

#[derive(Debug)]
pub(crate) enum Command {
    Backend(Backend),
    Clients(Clients),
    Http2(Clients),
    Help,
}

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) listen: Address,
    pub(crate) log: PathBuf,
    pub(crate) delay: Duration,
    /// The length of the listen queue.
    pub(crate) backlog: i32,
}

/// When leavers close their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    After(Duration),
    OnStdin,
}

#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) to: Address,
    pub(crate) count: u64,
    /// For http2 only.
    pub(crate) connections: u64,
    pub(crate) first: u64,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) agent: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) method: String,
    pub(crate) body: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) connecting: usize,
    pub(crate) keepalive: u32,
    /// Every client whose number is a multiple of this leaves.
    pub(crate) leavers: Option<u64>,
    pub(crate) leave: Leave,
    pub(crate) start_on_stdin: bool,
    pub(crate) timeout: Duration,
    pub(crate) progress: bool,
    pub(crate) log: Option<PathBuf>,
    pub(crate) expect: Vec<u16>,
}

impl Clients {
    /// The path of a request: `id` is the client's number, `nth` the request's.
    pub(crate) fn path_of(&self, id: u64, nth: u32) -> String {
        self.path.replace("{i}", &id.to_string()).replace("{n}", &nth.to_string())
    }

    pub(crate) fn leaves(&self, id: u64) -> bool {
        self.leavers.is_some_and(|every| id % every == 0)
    }

    /// Whether the clients wait for words on stdin.
    pub(crate) fn listens(&self) -> bool {
        self.start_on_stdin || (self.leavers.is_some() && self.leave == Leave::OnStdin)
    }
}

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut args = Parser::from_args(args);
    match args.next()? {
        Some(Arg::Value(word)) => match word.to_str() {
            Some("backend") => backend(&mut args).map(Command::Backend),
            Some("clients") => clients(&mut args).map(Command::Clients),
            Some("http2") => clients(&mut args).map(Command::Http2),
            _ => Err(format!("no command {word:?}").into()),
        },
        Some(Arg::Long("help") | Arg::Short('h')) => Ok(Command::Help),
        Some(arg) => Err(arg.unexpected()),
        None => Err("which command?".into()),
    }
}

fn backend(args: &mut Parser) -> Result<Backend, lexopt::Error> {
    let (mut listen, mut log) = (None, None);
    let (mut delay, mut backlog) = (Duration::ZERO, LONGEST_BACKLOG);
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("listen") => listen = Some(value(args)?),
            Arg::Long("log") => log = Some(PathBuf::from(args.value()?)),
            Arg::Long("delay") => delay = Duration::from_millis(value(args)?),
            Arg::Long("backlog") => backlog = positive(value(args)?)?,
            _ => return Err(arg.unexpected()),
        }
    }
    let listen = listen.ok_or("backend: --listen is missing")?;
    let log = log.ok_or("backend: --log is missing")?;
    Ok(Backend { listen, log, delay, backlog })
}

fn clients(args: &mut Parser) -> Result<Clients, lexopt::Error> {
    let (mut to, mut count) = (None, None);
    let mut options = Clients {
        to: Address::Unix(PathBuf::new()),
        count: 0,
        connections: 1,
        first: 0,
        path: "/r/{i}".to_owned(),
        host: "localhost".to_owned(),
        agent: "crowd".to_owned(),
        headers: Vec::new(),
        method: "GET".to_owned(),
        body: 0,
        rate: None,
        connecting: 256,
        keepalive: 1,
        leavers: None,
        leave: Leave::OnStdin,
        start_on_stdin: false,
        timeout: Duration::from_secs(60),
        progress: false,
        log: None,
        expect: Vec::new(),
    };
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("to") => to = Some(value(args)?),
            Arg::Long("count") => count = Some(value(args)?),
            Arg::Long("connections") => options.connections = positive(value(args)?)?,
            Arg::Long("first") => options.first = value(args)?,
            Arg::Long("path") => options.path = value(args)?,
            Arg::Long("host") => options.host = value(args)?,
            Arg::Long("agent") => options.agent = value(args)?,
            Arg::Long("header") => options.headers.push(header(&value::<String>(args)?)?),
            Arg::Long("method") => options.method = value(args)?,
            Arg::Long("body") => options.body = value(args)?,
            Arg::Long("rate") => options.rate = Some(positive(value(args)?)?),
            Arg::Long("connecting") => options.connecting = positive(value(args)?)?,
            Arg::Long("keepalive") => options.keepalive = positive(value(args)?)?,
            Arg::Long("leave" | "reset") => options.leavers = Some(every(value(args)?)?),
            Arg::Long("leave-after") => {
                options.leave = Leave::After(Duration::from_millis(value(args)?));
            }
            Arg::Long("leave-on-stdin") => options.leave = Leave::OnStdin,
            Arg::Long("start-on-stdin") => options.start_on_stdin = true,
            Arg::Long("timeout") => {
                options.timeout = Duration::try_from_secs_f64(value(args)?)
                    .map_err(|error| lexopt::Error::Custom(error.into()))?;
            }
            Arg::Long("progress") => options.progress = true,
            Arg::Long("log") => options.log = Some(PathBuf::from(args.value()?)),
            Arg::Long("expect") => {
                let codes: String = value(args)?;
                options.expect =
                    codes.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| {
                        lexopt::Error::from(format!("--expect: {codes:?} is no list of codes"))
                    })?;
            }
            _ => return Err(arg.unexpected()),
        }
    }
    options.to = to.ok_or("--to is missing")?;
    options.count = count.ok_or("--count is missing")?;
    Ok(options)
}

fn value<T: FromStr>(args: &mut Parser) -> Result<T, lexopt::Error>
where
    T::Err: Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
{
    args.value()?.parse()
}

fn positive<T: PartialOrd + Default>(number: T) -> Result<T, lexopt::Error> {
    if number > T::default() {
        Ok(number)
    } else {
        Err("a number that must be above 0 is not".into())
    }
}

/// The step between leavers: 0.333 gives 3, every third client.
fn every(fraction: f64) -> Result<u64, lexopt::Error> {
    if fraction > 0.0 && fraction <= 1.0 {
        Ok((1.0 / fraction).round() as u64)
    } else {
        Err(format!("{fraction} is no fraction").into())
    }
}

fn header(line: &str) -> Result<(String, String), lexopt::Error> {
    match line.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("{line:?} is no 'Name: value'").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, lexopt::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn some_clients(line: &str) -> Clients {
        match parsed(&format!("clients --to 127.0.0.1:1 --count 9 {line}")) {
            Ok(Command::Clients(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_third_is_every_third_client() {
        let options = some_clients("--leave 0.333 --leave-after 20");
        let leavers: Vec<u64> = (0..9).filter(|id| options.leaves(*id)).collect();
        assert_eq!(leavers, [0, 3, 6]);
        assert_eq!(options.leave, Leave::After(Duration::from_millis(20)));
        assert!(!options.listens());
    }

    #[test]
    fn nobody_leaves_unasked() {
        let options = some_clients("--leave-on-stdin");
        assert!(!(0..9).any(|id| options.leaves(id)));
        assert!(!options.listens());
        assert!(some_clients("--leave 1").listens());
    }

    #[test]
    fn the_path_carries_the_number() {
        assert_eq!(some_clients("").path_of(7, 0), "/r/7");
        assert_eq!(some_clients("--path /x/{i}?a={i}").path_of(7, 0), "/x/7?a=7");
        assert_eq!(some_clients("--path /{i}.{n}").path_of(7, 2), "/7.2");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "",
            "nonsense",
            "clients --count 1",
            "clients --to 127.0.0.1:1",
            "clients --to nowhere --count 1",
            "clients --to 127.0.0.1:1 --count 1 --leave 0",
            "clients --to 127.0.0.1:1 --count 1 --rate 0",
            "clients --to 127.0.0.1:1 --count 1 --expect abc",
            "clients --to 127.0.0.1:1 --count 1 --timeout -1",
            "clients --to 127.0.0.1:1 --count 1 --what",
            "backend --listen unix:/x",
            "backend --listen unix:/x --log /l --backlog 0",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
