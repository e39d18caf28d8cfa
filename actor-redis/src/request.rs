//! Commands that go to Redis in one round trip, scripts among them.

use redis::{Cmd, Pipeline, Value};

use crate::error::RequestError;
use crate::script::Call;

/// Redis's answer to one command. What is inside of an array may still be a refusal.
pub(crate) type Answer = Result<Value, RequestError>;

/// What a request is for. Its failpoints are named after this.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    /// Storing messages that are ready.
    Enqueue,
    /// Storing messages, some of them for later.
    Schedule,
    Register,
    Renew,
    Stopping,
    Deregister,
    /// Reading what is ready.
    Read,
    /// Moving what is due, and reading.
    Look,
    /// Letting go of marks that only woke a subscription, and reading.
    Wake,
    /// Ending a read that waits.
    Unblock,
    /// Making streams and groups.
    Open,
    /// Fetching what a lost answer held.
    Fetch,
    /// Letting go of what a lost answer held and what is gone.
    LetGo,
    Recover,
    Unpark,
    /// Settling successes alone.
    Done,
    /// Settling, with retries and successes at most.
    Reschedule,
    /// Settling, with dead letters and all but releases.
    DeadLetter,
    /// Settling, with releases among it.
    Release,
    /// Reading and repairing, which a person does, and which has no failpoints.
    Inspect,
}

#[cfg(feature = "failpoints")]
impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Schedule => "schedule",
            Self::Register => "register",
            Self::Renew => "renew",
            Self::Stopping => "stopping",
            Self::Deregister => "deregister",
            Self::Read => "read",
            Self::Look => "look",
            Self::Wake => "wake",
            Self::Unblock => "unblock",
            Self::Open => "open",
            Self::Fetch => "fetch",
            Self::LetGo => "let_go",
            Self::Recover => "recover",
            Self::Unpark => "unpark",
            Self::Done => "done",
            Self::Reschedule => "reschedule",
            Self::DeadLetter => "dead_letter",
            Self::Release => "release",
            Self::Inspect => "inspect",
        }
    }
}

/// Commands that are sent together and answered one by one.
#[derive(Debug)]
pub(crate) struct Request {
    pipeline: Pipeline,
    calls: Vec<Placed>,
    #[cfg(feature = "failpoints")]
    verb: Verb,
}

/// A script's call among the commands.
#[derive(Debug)]
struct Placed {
    index: usize,
    source: &'static str,
}

impl Request {
    pub(crate) fn new(verb: Verb) -> Self {
        Self::with_capacity(verb, 0)
    }

    #[cfg_attr(not(feature = "failpoints"), expect(unused_variables))]
    pub(crate) fn with_capacity(verb: Verb, commands: usize) -> Self {
        Self {
            pipeline: Pipeline::with_capacity(commands),
            calls: Vec::new(),
            #[cfg(feature = "failpoints")]
            verb,
        }
    }

    /// A request of plain commands.
    pub(crate) fn of(verb: Verb, commands: impl Iterator<Item = Cmd>) -> Self {
        let mut request = Self::new(verb);
        for command in commands {
            request.command(command);
        }
        request
    }

    /// Adds a command, and says where its answer will stand.
    pub(crate) fn command(&mut self, command: Cmd) -> usize {
        self.pipeline.add_command(command);
        self.pipeline.len() - 1
    }

    /// Adds a script's call, and says where its answer will stand.
    pub(crate) fn call(&mut self, call: Call) -> usize {
        let index = self.command(call.command);
        self.calls.push(Placed { index, source: call.source });
        index
    }

    pub(crate) fn len(&self) -> usize {
        self.pipeline.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pipeline.is_empty()
    }

    #[cfg(feature = "failpoints")]
    pub(crate) fn verb(&self) -> Verb {
        self.verb
    }

    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The calls that found Redis without their script, with the script in them, and where their
    /// answers stand. Such a call did nothing, so that sending it again is safe.
    pub(crate) fn unknown_scripts(&self, answers: &[Value]) -> Option<(Pipeline, Vec<usize>)> {
        let missing: Vec<_> = self.calls.iter().filter(|call| is_unknown(answers.get(call.index))).collect();
        if missing.is_empty() {
            return None;
        }
        let commands: Vec<_> = self.pipeline.cmd_iter().collect();
        let mut again = Pipeline::with_capacity(missing.len());
        for call in &missing {
            // EVALSHA hash keys.. becomes EVAL source keys..
            let mut command = Cmd::new();
            command.arg("EVAL").arg(call.source);
            for arg in commands[call.index].args_iter().skip(2) {
                if let redis::Arg::Simple(arg) = arg {
                    command.arg(arg);
                }
            }
            again.add_command(command);
        }
        Some((again, missing.iter().map(|call| call.index).collect()))
    }
}

fn is_unknown(answer: Option<&Value>) -> bool {
    matches!(answer, Some(Value::ServerError(error)) if error.code() == "NOSCRIPT")
}
