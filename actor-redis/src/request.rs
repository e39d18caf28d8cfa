//! Commands that go to Redis in one round trip, scripts among them, and their answers.

use redis::{Cmd, FromRedisValue, Pipeline, Value};

use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::link::Route;
use crate::script::Call;

/// Redis's answer to one command. What is inside of an array may still be a refusal.
pub(crate) type Answer = Result<Value, RequestError>;

/// What has a member of a cluster take the next command for a slot that is being moved to it.
const ASKING: &str = "ASKING";

/// How much goes in one round trip: it must be through within the time of an answer, also on a slow network.
pub(crate) const REQUEST_BYTES: usize = 1 << 20;

/// Commands that are sent together and answered one by one.
#[derive(Debug)]
pub(crate) struct Request {
    pipeline: Pipeline,
    calls: Vec<Placed>,
    /// Whether each command stands behind an `ASKING`.
    asks: bool,
    #[cfg(feature = "failpoints")]
    name: &'static str,
}

/// A script's call among the commands.
#[derive(Debug)]
struct Placed {
    index: usize,
    source: &'static str,
}

impl Request {
    /// An empty request. Its failpoints are named after `name`, where it has any.
    pub(crate) fn new(name: &'static str) -> Self {
        Self::with_capacity(name, 0)
    }

    #[cfg_attr(not(feature = "failpoints"), expect(unused_variables))]
    pub(crate) fn with_capacity(name: &'static str, commands: usize) -> Self {
        Self {
            pipeline: Pipeline::with_capacity(commands),
            calls: Vec::new(),
            asks: false,
            #[cfg(feature = "failpoints")]
            name,
        }
    }

    /// A request of plain commands.
    pub(crate) fn of(name: &'static str, commands: impl Iterator<Item = Cmd>) -> Self {
        let mut request = Self::new(name);
        for command in commands {
            request.command(command);
        }
        request
    }

    /// A request of one script's call.
    pub(crate) fn calling(name: &'static str, call: Call) -> Self {
        let mut request = Self::new(name);
        request.call(call);
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
    pub(crate) fn name(&self) -> &'static str {
        self.name
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
        let mut places = Vec::with_capacity(missing.len());
        for call in &missing {
            if self.asks {
                again.add_command(redis::cmd(ASKING));
                places.push(call.index - 1);
            }
            places.push(call.index);
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
        Some((again, places))
    }

    /// The commands at these places once more, each behind an `ASKING` where `asks`; and where their answers will
    /// stand.
    pub(crate) fn again(&self, places: &[usize], asks: bool) -> (Self, Vec<usize>) {
        let commands: Vec<_> = self.pipeline.cmd_iter().collect();
        #[cfg(feature = "failpoints")]
        let name = self.name;
        #[cfg(not(feature = "failpoints"))]
        let name = "";
        let mut again = Self::with_capacity(name, places.len());
        again.asks = asks;
        let mut answers = Vec::with_capacity(places.len());
        for place in places {
            if asks {
                again.command(redis::cmd(ASKING));
            }
            let command = commands[*place].clone();
            let call = self.calls.iter().find(|call| call.index == *place);
            answers.push(match call {
                Some(call) => again.call(Call { command, source: call.source }),
                None => again.command(command),
            });
        }
        (again, answers)
    }
}

impl Route<'_> {
    /// Sends one command, and reads its answer.
    pub(crate) async fn ask<T: FromRedisValue>(self, command: &Cmd) -> Result<T, RequestError> {
        self.parse(self.command(command, ANSWER).await?)
    }

    /// Sends a request of one call, and reads its answer.
    pub(crate) async fn run<T: FromRedisValue>(self, request: Request) -> Result<T, RequestError> {
        let answer = self.request(&request, ANSWER).await?.pop();
        self.parse(answer.unwrap_or_else(|| Err(self.strange("to a script")))?)
    }

    pub(crate) fn parse<T: FromRedisValue>(self, answer: Value) -> Result<T, RequestError> {
        redis::from_redis_value(answer).map_err(|_| self.strange("to a command or a script"))
    }

    /// What a script answered for each of so many messages.
    pub(crate) fn each(self, answer: Answer, count: usize) -> impl Iterator<Item = Answer> {
        let (parts, whole) = match answer {
            Ok(Value::Array(parts)) if parts.len() == count => (parts, None),
            whole => (Vec::new(), Some(whole)),
        };
        let whole = whole.into_iter().flat_map(move |whole| std::iter::repeat_n(whole, count));
        parts.into_iter().map(move |part| self.read(part)).chain(whole)
    }
}

/// How many bodies of these sizes go in one request: one at least.
pub(crate) fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = sizes.take_while(|size| {
        bytes += size;
        bytes <= REQUEST_BYTES
    });
    fits.count().max(1)
}

fn is_unknown(answer: Option<&Value>) -> bool {
    matches!(answer, Some(Value::ServerError(error)) if error.code() == "NOSCRIPT")
}
