//! What `#[actor]` generates: names, types and elements of the registry.

use std::any::TypeId;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actor_core::actor::{ActorDef, Handler, Implementation, ImplementationDef, Options};
use actor_core::{Actor, Broker, Context, Failure, Message, Priority, Sending, SendingMany, actor, registry};

/// A user's error.
#[derive(Debug, PartialEq)]
pub struct MailError;

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no mail")
    }
}

impl std::error::Error for MailError {}

impl MailError {
    fn is_transient(&self) -> bool {
        *self == Self
    }
}

fn implementation<I: Implementation>() -> &'static ImplementationDef {
    I::IMPLEMENTATION
}

fn same<A: 'static, B: 'static>() -> bool {
    TypeId::of::<A>() == TypeId::of::<B>()
}

fn is_declared(def: &'static ActorDef) -> bool {
    registry::actors().any(|known| std::ptr::eq(known, def) || known.at == def.at)
}

#[test]
fn every_option_is_in_the_declaration() {
    #[actor(
        queue = "mail",
        name = "send.welcome-mail",
        max_retries = 3,
        min_backoff = "250ms",
        max_backoff = "1h30m",
        time_limit = "none",
        max_age = "7d",
        priority = "high",
        retry_if = MailError::is_transient,
    )]
    async fn welcome(to: String) -> Result<u8, MailError> {
        let _ = to;
        Err(MailError)
    }

    let ActorDef { name, queue, args, options, has_body, .. } = welcome::DEF;
    assert_eq!((*name, queue.name(), *args, *has_body), ("send.welcome-mail", "mail", &[("to", "String")][..], true));
    assert_eq!(options.max_retries, 3);
    assert_eq!((options.min_backoff, options.max_backoff), (Duration::from_millis(250), Duration::from_secs(5_400)));
    assert_eq!((options.time_limit, options.max_age), (None, Some(Duration::from_secs(604_800))));
    assert_eq!(options.priority, Priority::High);
}

#[test]
fn a_batch_declares_what_one_message_carries() {
    #[actor(batch(max = 100, wait = "200ms"))]
    async fn index(documents: Vec<String>) -> Vec<Result<u8, MailError>> {
        documents.into_iter().map(|_| Err(MailError)).collect()
    }

    assert_eq!(index::DEF.args, [("documents", "String")]);
    assert!(same::<<index as Actor>::Args, (String,)>());
    assert!(same::<<index as Actor>::Output, u8>() && same::<<index as Actor>::Error, MailError>());
    let _: fn(index, String) -> Message<index> = index::message;
    assert!(format!("{:?}", implementation::<index>()).contains("max: 100, wait: 200ms"));
}

#[test]
fn without_options_the_declaration_has_the_defaults() {
    #[actor]
    fn tick() {}

    let (given, default) = (tick::DEF.options, Options::DEFAULT);
    assert_eq!(format!("{given:?}"), format!("{default:?}"));
    assert_eq!((tick::DEF.name, tick::DEF.queue.name()), ("tick", "default"));
    assert_eq!((tick.name(), tick.queue().as_str()), ("tick", "default"));
}

#[test]
fn a_declaration_knows_where_it_stands() {
    #[actor]
    fn placed() {}
    let line = line!() - 1;

    let at = placed::DEF.at;
    assert_eq!((at.krate, at.version, at.module), ("actor-macros", env!("CARGO_PKG_VERSION"), module_path!()));
    assert_eq!((at.file, at.line), (file!(), line));
}

#[test]
fn types_come_from_the_signature_and_references_become_owned() {
    #[actor]
    fn report(name: &str, bytes: &[u8], file: &Path, id: &String, rows: Vec<String>) -> Result<u32, Failure> {
        let _ = (name, bytes, file, id, rows);
        Ok(1)
    }
    #[actor]
    fn nothing() {}

    assert!(same::<<report as Actor>::Args, (String, Vec<u8>, PathBuf, String, Vec<String>)>());
    assert_eq!(
        report::DEF.signature(),
        "(name: String, bytes: Vec<u8>, file: PathBuf, id: String, rows: Vec<String>)",
        "as they are decoded"
    );
    assert!(same::<<report as Actor>::Output, u32>());
    assert!(same::<<report as Actor>::Error, Failure>());
    assert!(same::<<nothing as Actor>::Args, ()>());
    assert!(same::<<nothing as Actor>::Output, ()>());
    assert!(same::<<nothing as Actor>::Error, Infallible>());
}

#[test]
fn only_arguments_are_sent() {
    #[actor]
    async fn mixed(a: u8, cx: &Context, #[state] pool: &String, b: Option<u8>, #[state] limit: &u64) {
        let _ = (a, cx, pool, b, limit);
    }

    assert_eq!(mixed::DEF.args, [("a", "u8"), ("b", "Option<u8>")]);
    let _: Message<mixed> = mixed.message(1, None);
    assert_eq!(format!("{:?}", implementation::<mixed>().states), "[alloc::string::String, u64]");
}

#[test]
fn an_implementation_knows_which_arguments_have_a_default() {
    #[actor]
    async fn resize(id: u8, #[default = 640] width: u32, height: Option<u32>, #[default] crop: bool) {
        let _ = (id, width, height, crop);
    }

    assert_eq!(implementation::<resize>().defaults, ["width", "crop"]);
    assert_eq!(implementation::<resize>().actor.args.len(), 4);
}

#[test]
fn an_async_function_is_polled_and_another_blocks() {
    #[actor]
    async fn polled() {}
    #[actor]
    fn blocks() {}

    assert!(matches!(implementation::<polled>().handler, Handler::Async(_)));
    assert!(matches!(implementation::<blocks>().handler, Handler::Blocking(_)));
}

#[tokio::test]
async fn call_runs_the_body_here() {
    #[actor]
    async fn greet(name: &str, mut times: u8, #[state] greeting: &String) -> Result<String, MailError> {
        times += 1;
        Ok(format!("{greeting} {name} {times}"))
    }
    #[actor]
    fn fails() -> Result<(), MailError> {
        Err(MailError)
    }

    assert_eq!(greet.call("ada", 1, &"hello".to_owned()).await.as_deref(), Ok("hello ada 2"));
    assert_eq!(fails.call(), Err(MailError));
}

#[test]
fn a_message_on_its_way_borrows_the_broker_alone() {
    #[actor]
    fn borrowed(name: &str, numbers: &[u8]) {
        let _ = (name, numbers);
    }

    fn is_send<T: Send>(sending: T) -> T {
        sending
    }
    fn one(through: &dyn Broker) -> Sending<'_, borrowed> {
        let (name, numbers) = ("ada".to_owned(), vec![1, 2]);
        is_send(borrowed.send_with(through, &name, &numbers))
    }
    fn installed() -> Sending<'static, borrowed> {
        let name = "ada".to_owned();
        is_send(borrowed.send(&name, &[1, 2]))
    }
    fn many<'a>(through: &'a dyn Broker, names: &'a [String]) -> SendingMany<'a, borrowed> {
        let numbers: &'static [u8] = &[1];
        is_send(borrowed.send_many_with(through, names.iter().map(move |name| (name.as_str(), numbers))))
    }
    let _ = (one, many, installed());
}

#[test]
fn a_declaration_stands_in_the_registry_wherever_it_is() {
    mod inner {
        #[actor_core::actor]
        pub(super) fn in_a_module() {}
    }
    #[actor]
    fn in_a_body() {}

    assert!(is_declared(inner::in_a_module::DEF));
    assert!(is_declared(in_a_body::DEF));
    let implemented = |def: &ActorDef| registry::implementations().any(|known| known.actor.at == def.at);
    assert!(implemented(inner::in_a_module::DEF) && implemented(in_a_body::DEF));
}

#[tokio::test]
async fn an_implementation_stays_a_function_and_can_be_registered() {
    mod tasks {
        #[actor_core::actor(queue = "video", max_retries = 3)]
        pub(super) async fn process_video(id: u64, title: &str) -> Result<u32, super::MailError>;
    }

    #[actor(implements = tasks::process_video, retry_if = |error| error.is_transient())]
    async fn process_video(id: u64, #[state] factor: &u32, #[default] title: &str) -> Result<u32, MailError> {
        let _ = title;
        u32::try_from(id).map(|id| id * factor).map_err(|_| MailError)
    }

    assert_eq!(process_video(2, &3, "title").await, Ok(6));
    let implementation = implementation::<process_video>();
    assert_eq!(implementation.actor.at, tasks::process_video::DEF.at);
    assert_ne!(implementation.at, implementation.actor.at);
    assert!(!tasks::process_video::DEF.has_body);
    assert!(registry::implementations().any(|known| known.at == implementation.at));
}

#[test]
fn a_condition_holds_for_everything_that_is_generated() {
    #[actor]
    #[cfg(any())]
    fn never_there(odd: NoSuchType) {}
    #[cfg(any())]
    #[actor]
    fn chosen(wrong: u8) {}
    #[actor]
    #[cfg(not(any()))]
    fn chosen(right: u8) {
        let _ = right;
    }

    assert_eq!(chosen::DEF.args, [("right", "u8")]);
    assert!(registry::actors().all(|def| def.name != "never_there"));
}

#[test]
fn other_names_do_not_clash_with_the_generated_code() {
    mod names {
        use actor_core::{Context, actor};

        // Called as the generated methods, parameters and locals are.
        #[actor]
        pub(super) async fn send(sent: u8, send_with: u8) -> Result<u8, String> {
            Ok(sent + send_with)
        }
        #[actor]
        pub(super) fn call(run: u8) -> Result<u8, String> {
            Ok(run)
        }
        #[actor]
        pub(super) fn message() {}
        #[actor]
        pub(super) fn broker() {}
        #[actor]
        pub(super) fn cancel() {}
        #[actor]
        pub(super) fn delete(reschedule: u8) {
            let _ = reschedule;
        }
        #[actor]
        pub(super) fn args() {}
        #[actor]
        pub(super) fn name() {}
        #[actor]
        pub(super) fn queue() {}
        #[actor]
        pub(super) fn returned() {}
        #[actor]
        pub(super) fn writer() {}
        #[actor]
        pub(super) fn r#type(r#match: u8) {
            let _ = r#match;
        }
        #[actor]
        pub(super) fn many(
            via_broker: u8,
            each_call: u8,
            __call: u8,
            __args: u8,
            #[default = __call_default()] __returned: u8,
            #[state] __writer: &u8,
            cx: &Context,
        ) {
            let _ = (via_broker, each_call, __call, __args, __returned, __writer, cx);
        }
        fn __call_default() -> u8 {
            1
        }
    }

    assert_eq!(names::call.call(1), Ok(1));
    assert_eq!((names::name.queue().as_str(), names::queue.name()), ("default", "queue"));
    assert_eq!(names::r#type::DEF.name, "type");
    assert_eq!(names::r#type::DEF.args, [("match", "u8")]);
    let _ = (names::send.send(1, 2), names::many.message(1, 2, 3, 4, 5));
    let _ = (names::message, names::broker, names::args, names::returned, names::writer);
}

#[test]
fn a_macro_can_declare_actors() {
    macro_rules! declare {
        ($queue:literal $(#[$meta:meta])* $vis:vis $name:ident($arg:ident: $ty:ty, $cx:ident: $context:ty) -> $output:ty $body:block) => {
            #[actor(queue = $queue)]
            $(#[$meta])*
            $vis async fn $name($arg: $ty, $cx: $context) -> $output $body
        };
    }

    declare! {
        "generated"
        /// From a macro.
        pub(crate) generated(name: &str, cx: &Context) -> Result<usize, String> {
            let _ = cx;
            Ok(name.len())
        }
    }

    assert!(same::<<generated as Actor>::Args, (String,)>());
    assert_eq!((generated::DEF.queue.name(), generated::DEF.args), ("generated", &[("name", "String")][..]));
}

#[test]
fn a_recursive_actor_sends_itself() {
    #[actor]
    async fn countdown(from: u32) -> Result<(), Failure> {
        if let Some(next) = from.checked_sub(1) {
            countdown.send(next).await?;
        }
        Ok(())
    }

    assert!(is_declared(countdown::DEF));
}
