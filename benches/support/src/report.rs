//! Figures, as a table for people or as JSON lines for programs.
#![allow(clippy::print_stdout)] // Printing is a benchmark's purpose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Args, Cost, Pairs, Spread, machine};

/// One measured figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figure {
    /// `scenario/figure`.
    pub metric: String,
    /// The median.
    pub value: f64,
    /// The lowest and the highest.
    pub range: [f64; 2],
    /// The unit of `value`.
    pub unit: String,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The settings of the measurement.
    pub settings: Value,
}

/// What a figure is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Base {
    /// Its name: the floor, or the library with other settings.
    pub name: String,
    /// The median of the same figure there.
    pub value: f64,
    /// The median of the ratios, pair by pair.
    pub ratio: f64,
    /// The lowest and the highest ratio.
    pub ratio_range: [f64; 2],
}

impl Figure {
    /// A figure without a base.
    pub fn single(metric: impl Into<String>, unit: &str, value: Spread, settings: &Value) -> Self {
        Self {
            metric: metric.into(),
            value: value.median,
            range: [value.low, value.high],
            unit: unit.to_owned(),
            base: None,
            settings: settings.clone(),
        }
    }

    /// One number of each measurement, compared with the same number of the base.
    pub fn beside<T>(
        metric: impl Into<String>,
        unit: &str,
        pairs: &Pairs<T>,
        number: impl Fn(&T) -> f64,
        base: &str,
        settings: &Value,
    ) -> Self {
        let ratio = pairs.ratio(&number);
        let base = Base {
            name: base.to_owned(),
            value: pairs.base(&number).median,
            ratio: ratio.median,
            ratio_range: [ratio.low, ratio.high],
        };
        Self { base: Some(base), ..Self::single(metric, unit, pairs.ours(&number), settings) }
    }

    /// The same figure beside a bound that it should keep.
    #[must_use]
    pub fn within(mut self, name: &str, bound: f64) -> Self {
        let ratio_range = self.range.map(|value| value / bound);
        self.base = Some(Base { name: name.to_owned(), value: bound, ratio: self.value / bound, ratio_range });
        self
    }
}

/// Prints figures as they come.
#[derive(Debug)]
pub struct Report {
    args: Args,
}

impl Report {
    /// Starts with the table's head.
    #[must_use]
    pub fn new(args: &Args, title: &str) -> Self {
        if !args.json {
            println!("\n{title}, on {}\n", machine());
            println!("| figure | value | range | beside | ratio | settings |\n|---|---|---|---|---|---|");
        }
        Self { args: args.clone() }
    }

    /// Prints a figure, if it is selected.
    pub fn show(&self, figure: &Figure) {
        if !self.args.wants(&figure.metric) {
            return;
        }
        if self.args.json {
            println!("{}", serde_json::to_string(figure).expect("texts and numbers always serialize"));
            return;
        }
        let Figure { metric, value, range: [low, high], unit, base, settings } = figure;
        let (beside, ratio) =
            base.as_ref().map_or_else(Default::default, |Base { name, value, ratio, ratio_range }| {
                let [low, high] = ratio_range;
                (format!("{name}: {}", number(*value)), format!("**{ratio:.2}** ({low:.2} to {high:.2})"))
            });
        let (value, low, high) = (number(*value), number(*low), number(*high));
        println!("| {metric} | {value} {unit} | {low} to {high} | {beside} | {ratio} | {} |", words(settings));
    }

    /// Prints what one stage of each measurement cost: messages a second, and the CPU of each.
    pub fn cost<T>(&self, metric: &str, pairs: &Pairs<T>, stage: impl Fn(&T) -> Cost, base: &str, settings: &Value) {
        let show = |suffix: &str, unit, number: fn(&Cost) -> f64| {
            let metric = format!("{metric}{suffix}");
            self.show(&Figure::beside(metric, unit, pairs, |measured| number(&stage(measured)), base, settings));
        };
        show("", "/s", Cost::rate);
        show("_redis_cpu", "us", Cost::redis_us);
        show("_own_cpu", "us", Cost::own_us);
    }
}

/// Settings as text: `messages 1000, persistence off`.
fn words(settings: &Value) -> String {
    let members = settings.as_object().into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    });
    members.collect::<Vec<_>>().join(", ")
}

/// A number with three digits, or all digits before its point.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        1_000.0.. => thousands(value),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_good() {
        for (value, text) in
            [(0.1234, "0.123"), (4.321, "4.32"), (43.21, "43.2"), (432.1, "432"), (1234567.8, "1,234,568")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_figure_is_read_as_it_was_written() -> Result<(), serde_json::Error> {
        let figure =
            Figure::single("a/b", "us", Spread::one(2.0), &serde_json::json!({"messages": 3})).within("bound", 4.0);
        let read: Figure = serde_json::from_str(&serde_json::to_string(&figure)?)?;
        assert_eq!((read.metric, read.value, read.base.map(|base| base.ratio)), ("a/b".to_owned(), 2.0, Some(0.5)));
        Ok(())
    }
}
