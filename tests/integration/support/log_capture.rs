//! Captures logs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Captures spans and events.
#[derive(Clone, Default)]
pub struct LogCapture(pub Arc<Mutex<Vec<Captured>>>);

/// A new span, or an event.
#[derive(Debug)]
pub struct Captured {
    pub name: &'static str,
    pub target: &'static str,
    pub level: String,
    pub fields: BTreeMap<&'static str, String>,
    /// The span it is in.
    pub within: Option<&'static str>,
}

impl LogCapture {
    /// The fields of each event with this text, in order.
    pub fn events(&self, message: &str) -> Vec<BTreeMap<&'static str, String>> {
        let captured = self.0.lock().unwrap();
        let said = |captured: &&Captured| captured.fields.get("message").is_some_and(|said| said == message);
        captured.iter().filter(said).map(|captured| captured.fields.clone()).collect()
    }

    fn capture(&self, metadata: &Metadata<'static>, fields: Fields, within: Option<&'static str>) {
        let (name, target, level) = (metadata.name(), metadata.target(), metadata.level().to_string());
        self.0.lock().unwrap().push(Captured { name, target, level, fields: fields.0, within });
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogCapture {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        self.capture(attributes.metadata(), fields, context.lookup_current().map(|span| span.name()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.capture(event.metadata(), fields, context.event_span(event).map(|span| span.name()));
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}
