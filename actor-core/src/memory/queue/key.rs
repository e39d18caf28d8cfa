//! Where a copy stands among those in the same state, and how that is written.

use std::fmt;
use std::str::FromStr;

use super::{Key, level, released};
use crate::Priority;
use crate::memory::clock::Moment;

impl Key {
    /// What is scheduled for this time, and has no place yet.
    pub(in crate::memory) fn at(time: Moment) -> Self {
        Self { rank: time.0, number: 0 }
    }

    /// The same place among the messages of this priority. It tells what was released.
    pub(in crate::memory) fn of(self, priority: Priority) -> Self {
        let is_released = self.rank & 1 == 0;
        let level = level(priority);
        Self { rank: if is_released { released(level) } else { level }, ..self }
    }

    /// The time that it stands for, where the rank is one.
    pub(in crate::memory) fn moment(self) -> Moment {
        Moment(self.rank)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.rank, self.number)
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (rank, number) = text.split_once('-').ok_or(())?;
        Ok(Self { rank: rank.parse().map_err(drop)?, number: number.parse().map_err(drop)? })
    }
}
