//! Carries out what a plan asks for, and tells the plan what happens.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::future::Future;
use std::time::Duration;

use rustix::process::{getpid, kill_process};
use signal_hook::consts::SIGTSTP;
use tokio::process::Child;
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, Instant, MissedTickBehavior};

use crate::awaited::{ended, reached};
use crate::child;
use crate::client::answer::{Said, Status};
use crate::client::{Parameter, Target};
use crate::plan::action::{Action, Call, Outcome};
use crate::plan::event::{Event, HostId, Sender, Signal};
use crate::plan::Plan;
use crate::show::Show;
use crate::words::parameter;

/// What a plan's calls say.
#[derive(Clone, Debug)]
pub struct Speech {
    pub by: String,
    pub reason: Option<String>,
    pub lease: Duration,
    /// None: the endpoint does not wait for quiet.
    pub wait: Option<Duration>,
    pub spread: Option<Duration>,
    pub concurrency: Option<u32>,
}

/// How often it is shown what the hosts are at, and how often that is looked at.
const BEAT: Duration = Duration::from_millis(250);
const WATCH: Duration = Duration::from_millis(700);

/// What a plan needs to be carried out.
#[derive(Debug)]
pub struct Driver<'a> {
    pub targets: &'a [Target],
    pub speech: Speech,
    /// Empty if there is no command.
    pub command: &'a [OsString],
    pub signals: UnboundedReceiver<(Signal, Sender)>,
}

/// The calls that are under way. A call has a number, so that one that was given up just as its
/// answer came is not taken for the next one.
struct Calls {
    to: UnboundedSender<(HostId, u64, Said)>,
    under_way: Vec<Option<(u64, JoinHandle<()>)>>,
    count: u64,
}

impl Driver<'_> {
    /// Carries out a plan to its end.
    pub async fn drive(mut self, plan: &mut Plan, show: &mut Show) -> Outcome {
        let start = Instant::now();
        let (to, mut answers) = unbounded_channel();
        let under_way = self.targets.iter().map(|_| None).collect();
        let mut calls = Calls { to, under_way, count: 0 };
        let mut running: Option<Child> = None;
        let (look, mut looks) = unbounded_channel();
        let mut watchers = self.watch(show, &look);
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut event = Event::Begin;
        loop {
            let mut actions = Vec::new();
            plan.handle(start.elapsed(), event, &mut actions);
            let mut failed = None;
            for action in actions {
                match action {
                    Action::Call(id, call) => self.call(&mut calls, id, call),
                    Action::Cancel(id) => calls.cancel(id),
                    Action::Start => match child::start(self.command, &self.variables(plan)) {
                        Ok(child) => {
                            show.started(self.command);
                            running = Some(child);
                            if !show.is_live() {
                                watchers.abort_all();
                            }
                        }
                        Err(why) => failed = Some(why),
                    },
                    Action::Signal(signal) => {
                        running.iter().for_each(|child| child::signal(child, signal));
                    }
                    Action::Tell(notice) => show.notice(&notice, plan),
                    Action::Finish(outcome) => return outcome,
                }
            }
            if let Some(why) = failed {
                event = Event::NotStarted(why);
                continue;
            }
            let tick = plan.next().map(|time| start + time);
            event = tokio::select! {
                Some((signal, sender)) = self.signals.recv() => match signal {
                    Signal(SIGTSTP) => {
                        suspend(show);
                        Event::Tick
                    }
                    signal => Event::Signal(signal, sender),
                },
                Some((id, number, said)) = answers.recv() => match calls.take(id, number) {
                    true => {
                        said.iter().for_each(|status| show.seen(id, status));
                        Event::Answered(id, said)
                    }
                    false => Event::Tick,
                },
                Some((id, status)) = looks.recv() => {
                    show.seen(id, &status);
                    Event::Tick
                }
                _ = beat.tick() => {
                    show.beat();
                    Event::Tick
                }
                status = ended(&mut running) => {
                    running = None;
                    let exit = child::exit(status);
                    show.ended(exit);
                    Event::Ended(exit)
                }
                () = reached(tick) => Event::Tick,
            };
        }
    }

    /// Looks at each host now and then, for people only: the plan's own call may be waiting.
    fn watch(&self, show: &Show, to: &UnboundedSender<(HostId, Box<Status>)>) -> JoinSet<()> {
        let mut watchers = JoinSet::new();
        let targets = self.targets.iter().enumerate().filter(|_| show.wants_to_see());
        for (at, target) in targets {
            let (target, to) = (target.clone(), to.clone());
            watchers.spawn(async move {
                loop {
                    sleep(WATCH).await;
                    if let Ok(status) = target.status().await {
                        // The plan may be finished.
                        let _ = to.send((HostId(at), status));
                    }
                }
            });
        }
        watchers
    }

    /// What the command is told in its environment.
    fn variables(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let pauses: Vec<String> =
            plan.pauses().iter().map(|(_, pause)| pause.to_string()).collect();
        vec![("INTERMISSION_PAUSES", pauses.join(" "))]
    }

    fn call(&self, calls: &mut Calls, id: HostId, call: Call) {
        let Some(target) = self.targets.get(id.0).cloned() else { return };
        let speech = self.speech.clone();
        calls.begin(id, async move { speech.call(&target, call).await });
    }
}

impl Calls {
    fn begin(&mut self, id: HostId, call: impl Future<Output = Said> + Send + 'static) {
        self.count += 1;
        let (to, number) = (self.to.clone(), self.count);
        let handle = tokio::spawn(async move {
            let said = call.await;
            // The plan may be finished.
            let _ = to.send((id, number, said));
        });
        if let Some(place) = self.under_way.get_mut(id.0) {
            *place = Some((number, handle));
        }
    }

    fn cancel(&mut self, id: HostId) {
        if let Some((_, handle)) = self.under_way.get_mut(id.0).and_then(Option::take) {
            handle.abort();
        }
    }

    /// Whether this is the answer to the call that is under way, which it no longer is.
    fn take(&mut self, id: HostId, number: u64) -> bool {
        let place = self.under_way.get_mut(id.0);
        place.and_then(|place| place.take_if(|(under_way, _)| *under_way == number)).is_some()
    }
}

/// Stops this process, as Ctrl-Z asks for. Returns when it is continued.
fn suspend(show: &mut Show) {
    show.suspend();
    // It does not fail.
    let _ = kill_process(getpid(), rustix::process::Signal::STOP);
}

impl Speech {
    async fn call(&self, target: &Target, call: Call) -> Said {
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut add = |name, value: Option<String>| {
            parameters.extend(value.map(|value| (name, value)));
        };
        let lease = Some(parameter(self.lease));
        let one = || Some("1".to_owned());
        let mut wait = None;
        let verb = match call {
            Call::Look => return target.status().await,
            Call::Enable => {
                add("new", one());
                add("for", lease);
                add("reason", self.reason.clone());
                wait = self.wait;
                "enable"
            }
            // A reason would replace the owner's.
            Call::Join(pause) => {
                add("id", Some(pause.to_string()));
                add("paused", one());
                add("for", lease);
                wait = self.wait;
                "enable"
            }
            Call::Renew(pause) => {
                add("id", Some(pause.to_string()));
                add("paused", one());
                add("for", lease);
                "enable"
            }
            Call::Disable(pause) => {
                add("id", Some(pause.to_string()));
                add("paused", one());
                add("spread", self.spread.map(parameter));
                add("concurrency", self.concurrency.map(|count| count.to_string()));
                "disable"
            }
        };
        add("wait", wait.map(parameter));
        add("by", Some(self.by.clone()));
        target.change(verb, &parameters, wait.unwrap_or_default()).await
    }
}
