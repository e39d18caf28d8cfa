//! Alternated pairs: the only fair comparison on a machine whose speed drifts.

use crate::{Args, Result, Spread};

/// Measurements of the library and of a base, alternated.
#[derive(Debug)]
pub struct Pairs<T> {
    ours: Vec<T>,
    base: Vec<T>,
}

impl<T> Pairs<T> {
    /// Measures both in turns. Each goes first in every other pair, so that drift favours neither.
    ///
    /// # Errors
    ///
    /// A measurement failed.
    pub async fn run(
        args: &Args,
        mut ours: impl AsyncFnMut() -> Result<T>,
        mut base: impl AsyncFnMut() -> Result<T>,
    ) -> Result<Self> {
        let mut pairs = Self { ours: Vec::new(), base: Vec::new() };
        for pair in 0..args.pairs {
            if pair % 2 == 0 {
                pairs.ours.push(ours().await?);
                pairs.base.push(base().await?);
            } else {
                pairs.base.push(base().await?);
                pairs.ours.push(ours().await?);
            }
        }
        Ok(pairs)
    }

    /// One number of each measurement of the library.
    pub fn ours(&self, number: impl Fn(&T) -> f64) -> Spread {
        Spread::of(self.ours.iter().map(number))
    }

    /// One number of each measurement of the base.
    pub fn base(&self, number: impl Fn(&T) -> f64) -> Spread {
        Spread::of(self.base.iter().map(number))
    }

    /// The library's number divided by the base's, pair by pair.
    pub fn ratio(&self, number: impl Fn(&T) -> f64) -> Spread {
        Spread::of(self.ours.iter().zip(&self.base).map(|(ours, base)| number(ours) / number(base)))
    }
}
