//! Many streams on a few HTTP/2 connections, without TLS (prior knowledge).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::Reason;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, Instant};

use crate::args::{Clients as Options, Leave};
use crate::clock::Clock;
use crate::net::Address;
use crate::report::{say, Fault, Outcome, Record, Report};
use crate::stdin::{self, Word};

const PROGRESS: Duration = Duration::from_millis(200);

/// Returns whether each stream was answered, or reset on purpose.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, everybody(options))
}

/// The data that the streams share.
struct Crowd {
    options: Options,
    clock: Clock,
    deadline: Instant,
    report: RefCell<Report>,
    /// How many streams have not sent their request yet, and how many leavers have not left yet.
    pending: RefCell<(u64, u64)>,
    words: watch::Receiver<(bool, bool)>,
}

async fn everybody(options: &Options) -> io::Result<bool> {
    let (said, words) = watch::channel((!options.start_on_stdin, false));
    if options.listens() {
        stdin::listen(move |word| {
            said.send_modify(|(go, leave)| match word {
                Word::Go => *go = true,
                Word::Leave => *leave = true,
                Word::Stop | Word::Closed => {}
            });
        });
    }
    let ids = options.first..options.first + options.count;
    let leavers = ids.clone().filter(|id| options.leaves(*id)).count() as u64;
    let crowd = Rc::new(Crowd {
        options: options.clone(),
        clock: Clock::new(),
        deadline: Instant::now() + options.timeout,
        report: RefCell::default(),
        pending: RefCell::new((options.count, leavers)),
        words,
    });

    let mut streams = JoinSet::new();
    let mut ids = ids.peekable();
    for connection in 0..options.connections {
        let until = options.first + options.count * (connection + 1) / options.connections;
        let sender = connect(&options.to).await;
        while let Some(id) = ids.next_if(|id| *id < until) {
            let crowd = Rc::clone(&crowd);
            let sender = sender.as_ref().ok().cloned();
            streams.spawn_local(async move { crowd.stream(id, sender).await });
        }
    }
    if options.start_on_stdin {
        say(&json!({"event": "connected"}))?;
    }
    let mut progress = tokio::time::interval(PROGRESS);
    loop {
        tokio::select! {
            ended = streams.join_next() => if ended.is_none() { break },
            _ = progress.tick(), if options.progress => {
                say(&crowd.report.borrow().progress(streams.len()))?;
            }
        }
    }
    let report = crowd.report.borrow();
    if let Some(path) = &options.log {
        report.write_log(path)?;
    }
    say(&report.done())?;
    Ok(report.is_good(&options.expect))
}

async fn connect(to: &Address) -> Result<SendRequest<Bytes>, h2::Error> {
    match to {
        Address::Tcp(address) => {
            let socket = TcpStream::connect(address).await.map_err(io_error)?;
            socket.set_nodelay(true).map_err(io_error)?;
            handshake(socket).await
        }
        Address::Unix(path) => handshake(UnixStream::connect(path).await.map_err(io_error)?).await,
    }
}

fn io_error(_: io::Error) -> h2::Error {
    Reason::CONNECT_ERROR.into()
}

async fn handshake<S>(socket: S) -> Result<SendRequest<Bytes>, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // A release is a burst of small answers, which is no attack here.
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder.data_frame_budget(usize::MAX).handshake(socket).await?;
    tokio::task::spawn_local(async move {
        // The streams see the error too.
        let _ = connection.await;
    });
    Ok(sender)
}

/// How a stream ended.
enum End {
    Answered(Response<()>),
    Left,
    TimedOut,
    Failed(Fault),
}

impl Crowd {
    async fn stream(&self, id: u64, sender: Option<SendRequest<Bytes>>) {
        let mut sent = None;
        let end = match sender {
            Some(sender) => tokio::select! {
                end = self.exchange(id, sender, &mut sent) => end,
                () = sleep_until(self.deadline) => Ok(End::TimedOut),
            },
            None => Ok(End::Failed(Fault::Connect)),
        };
        let (mut seq, mut retry_after) = (None, None);
        let outcome = match end.unwrap_or_else(|error| End::Failed(fault(&error))) {
            End::Answered(answer) => {
                let header = |name| answer.headers().get(name)?.to_str().ok();
                seq = header("x-seq").and_then(|seq| seq.parse().ok());
                retry_after = header("retry-after").map(str::to_owned);
                Outcome::Answered(answer.status().as_u16())
            }
            End::Left => Outcome::Left,
            End::TimedOut => Outcome::TimedOut,
            End::Failed(fault) => Outcome::Failed(fault),
        };
        let ended = self.clock.now();
        let record = Record { id, nth: 0, sent, ended, outcome, seq, retry_after };
        self.report.borrow_mut().add(record);
        if sent.is_none() {
            self.count_sent();
        }
        if self.options.leaves(id) {
            self.pending.borrow_mut().1 -= 1;
            if self.pending.borrow().1 == 0 {
                let _ = say(&json!({"event": "left"}));
            }
        }
    }

    async fn exchange(
        &self,
        id: u64,
        sender: SendRequest<Bytes>,
        sent: &mut Option<u64>,
    ) -> Result<End, h2::Error> {
        self.said(|(go, _)| *go).await;
        let mut sender = sender.ready().await?;
        let Some(request) = self.request(id) else {
            return Ok(End::Failed(Fault::Malformed));
        };
        let body = self.options.body;
        let (answer, mut stream) = sender.send_request(request, body == 0)?;
        if body > 0 {
            stream.send_data(Bytes::from(vec![b'.'; body]), true)?;
        }
        drop(sender);
        *sent = Some(self.clock.now());
        self.report.borrow_mut().sent += 1;
        self.count_sent();
        tokio::select! {
            answer = answer => {
                let (head, mut body) = answer?.into_parts();
                while let Some(data) = body.data().await {
                    body.flow_control().release_capacity(data?.len())?;
                }
                Ok(End::Answered(Response::from_parts(head, ())))
            }
            () = self.time_to_leave(id) => {
                stream.send_reset(Reason::CANCEL);
                Ok(End::Left)
            }
        }
    }

    fn request(&self, id: u64) -> Option<Request<()>> {
        let options = &self.options;
        let mut request = Request::builder()
            .method(options.method.as_str())
            .uri(format!("http://{}{}", options.host, options.path_of(id, 0)))
            .header("x-id", id.to_string());
        if !options.agent.is_empty() {
            request = request.header("user-agent", &options.agent);
        }
        for (name, value) in &options.headers {
            request = request.header(name, value);
        }
        request.body(()).ok()
    }

    async fn time_to_leave(&self, id: u64) {
        match self.options.leave {
            _ if !self.options.leaves(id) => std::future::pending().await,
            Leave::After(time) => tokio::time::sleep(time).await,
            Leave::OnStdin => self.said(|(_, leave)| *leave).await,
        }
    }

    /// Waits for a word on stdin. Waits for ever if the word cannot come any more.
    async fn said(&self, word: impl FnMut(&(bool, bool)) -> bool) {
        let mut words = self.words.clone();
        if words.wait_for(word).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn count_sent(&self) {
        self.pending.borrow_mut().0 -= 1;
        if self.pending.borrow().0 == 0 {
            let _ = say(&json!({"event": "sent"}));
        }
    }
}

fn fault(error: &h2::Error) -> Fault {
    if error.is_reset() {
        Fault::Reset
    } else if error.is_io() || error.is_go_away() {
        Fault::Eof
    } else if error.reason() == Some(Reason::CONNECT_ERROR) {
        Fault::Connect
    } else {
        Fault::Malformed
    }
}
