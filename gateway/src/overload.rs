//! Refusing early what would end the process: memory and descriptors have a bound below what the system grants.
//!
//! Above a bound new connections are closed and requests are answered 503 `overloaded`, until there is a tenth less than
//! the bound in use: a bound that is left as soon as it is kept would be met again at once. The admin listener is not
//! asked. What is used is looked up beside the requests, which read one flag.

use std::{
    fmt, fs,
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use prometheus::IntGauge;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use todo_shared::{
    config::{ByteSize, Raw, Setting as _},
    process,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{observe::metrics::Metrics, runtime::Shared};

/// From one look to the next: what a flood can take meanwhile has to fit above the bound.
const LOOK: Duration = Duration::from_millis(250);

/// Which part of a bound has to be free before it counts as kept again.
const KEPT_AGAIN: u64 = 10;

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverloadRule {
    /// Resident memory, in octets or as a share of what the process may use.
    pub max_memory: Bound,
    /// Open descriptors, or a share of what the process may open.
    pub max_descriptors: Bound,
}

/// How much of something may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// This many percent of the limit that the system sets.
    Percent(u8),
    /// This much.
    Amount(u64),
}

/// The text is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a share such as \"85%\", from 1 to 100, or an amount such as \"512MiB\" or \"4000\", from 1")]
pub struct BoundError;

impl FromStr for Bound {
    type Err = BoundError;

    fn from_str(text: &str) -> Result<Self, BoundError> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
            return percent.map(Self::Percent).ok_or(BoundError);
        }
        let amount = text.parse().ok().or_else(|| ByteSize::read(Raw::Text(text)).map(|size| size.0));
        amount.filter(|amount| *amount > 0).map(Self::Amount).ok_or(BoundError)
    }
}

impl Bound {
    /// The bound under this limit; `None` for a share of a limit that is not known.
    fn of(self, limit: Option<u64>) -> Option<u64> {
        match self {
            Self::Percent(percent) => u64::try_from(u128::from(limit?) * u128::from(percent) / 100).ok(),
            Self::Amount(amount) => Some(amount),
        }
    }
}

/// Something that is used up.
struct Watched {
    name: &'static str,
    limit: Option<u64>,
    is_over: AtomicBool,
    gauge: IntGauge,
}

impl Watched {
    fn new(name: &'static str, limit: Option<u64>, metrics: &Metrics) -> Self {
        let gauge = metrics.overloaded.with_label_values(&[name]);
        Self { name, limit, is_over: AtomicBool::new(false), gauge }
    }

    /// Takes note of how much is in use. What cannot be looked up is not bounded.
    fn look(&self, used: Option<u64>, bound: Bound) {
        let was_over = self.is_over.load(Ordering::Relaxed);
        let bound = bound.of(self.limit);
        let is_over = used.zip(bound).is_some_and(|(used, bound)| exceeds(was_over, used, bound));
        if is_over == was_over {
            return;
        }
        self.is_over.store(is_over, Ordering::Relaxed);
        self.gauge.set(i64::from(is_over));
        if is_over {
            tracing::warn!(resource = self.name, used, bound, "overloaded: new connections and requests are refused");
        } else {
            tracing::info!(resource = self.name, used, bound, "no longer overloaded");
        }
    }
}

fn exceeds(was_over: bool, used: u64, bound: u64) -> bool {
    used >= if was_over { bound - bound / KEPT_AGAIN } else { bound }
}

/// Whether the process is over its bounds.
pub struct Overload {
    memory: Watched,
    descriptors: Watched,
}

impl fmt::Debug for Overload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Overload").field("is_over", &self.is_over()).finish()
    }
}

impl Overload {
    /// Under the limits that the process has now.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            memory: Watched::new("memory", process::memory_limit(), metrics),
            descriptors: Watched::new("descriptors", getrlimit(Resource::Nofile).current, metrics),
        }
    }

    /// Whether no more is to be taken.
    pub fn is_over(&self) -> bool {
        self.memory.is_over.load(Ordering::Relaxed) || self.descriptors.is_over.load(Ordering::Relaxed)
    }
}

/// Looks at what is used, again and again.
pub async fn watch(shared: &Shared) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let rule = shared.runtime().config.overload;
        shared.overload.memory.look(resident_memory(), rule.max_memory);
        shared.overload.descriptors.look(open_descriptors(), rule.max_descriptors);
    }
}

/// Lets the process open as many descriptors as it is granted: what it is granted by default (1024) is a courtesy to
/// programs that use select(2).
pub fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::info!(from = current, to = maximum, "raised the limit of open descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of open descriptors was not raised"),
    }
}

/// In octets.
fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Linux says their number as the size of the folder since version 6.2; before that they are counted.
fn open_descriptors() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        0 => u64::try_from(fs::read_dir(FOLDER).ok()?.count()).ok(),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_shares_or_amounts() {
        for (text, bound) in [
            ("85%", Bound::Percent(85)),
            ("100%", Bound::Percent(100)),
            ("512MiB", Bound::Amount(512 << 20)),
            ("4000", Bound::Amount(4000)),
        ] {
            assert_eq!(text.parse(), Ok(bound), "{text}");
        }
        for text in ["", "0", "0%", "101%", "-1", "half", "5 percent", "0B"] {
            assert_eq!(text.parse::<Bound>(), Err(BoundError), "{text}");
        }
    }

    #[test]
    fn a_share_is_of_the_limit_if_there_is_one() {
        assert_eq!(Bound::Percent(85).of(Some(1000)), Some(850));
        assert_eq!(Bound::Percent(50).of(Some(10)), Some(5));
        assert_eq!(Bound::Percent(85).of(None), None);
        assert_eq!(Bound::Amount(7).of(None), Some(7));
    }

    #[test]
    fn a_bound_is_left_a_tenth_below_it() {
        assert!(!exceeds(false, 999, 1000) && exceeds(false, 1000, 1000));
        assert!(exceeds(true, 900, 1000) && !exceeds(true, 899, 1000));
        assert!(exceeds(true, 2, 2) && !exceeds(true, 1, 2));
    }

    #[test]
    fn this_process_uses_something() {
        assert!(resident_memory().is_some_and(|octets| octets > 1 << 20));
        let before = open_descriptors().expect("a count");
        let _files: Vec<_> = (0..100).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        assert!(open_descriptors().is_some_and(|after| after >= before + 50), "others may close theirs");
    }
}
