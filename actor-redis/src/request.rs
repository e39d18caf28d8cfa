//! Commands that go to Redis in one round trip, scripts among them.

use redis::{Cmd, Pipeline, Value};

use crate::error::Trouble;
use crate::script::Call;

/// Redis's answer to one command. What is inside of an array may still be a refusal.
pub(crate) type Answer = Result<Value, Trouble>;

/// Commands that are sent together and answered one by one.
#[derive(Debug)]
pub(crate) struct Request {
    pipeline: Pipeline,
    calls: Vec<Placed>,
}

/// A script's call among the commands.
#[derive(Debug)]
struct Placed {
    index: usize,
    source: &'static str,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self::with_capacity(0)
    }

    pub(crate) fn with_capacity(commands: usize) -> Self {
        Self { pipeline: Pipeline::with_capacity(commands), calls: Vec::new() }
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

impl FromIterator<Cmd> for Request {
    fn from_iter<I: IntoIterator<Item = Cmd>>(commands: I) -> Self {
        let mut request = Self::new();
        for command in commands {
            request.command(command);
        }
        request
    }
}

fn is_unknown(answer: Option<&Value>) -> bool {
    matches!(answer, Some(Value::ServerError(error)) if error.code() == "NOSCRIPT")
}
