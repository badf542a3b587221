//! When and how often keys are used: the LRU clock and the LFU counter of Redis ("Key eviction" in
//! its documentation), in 24 bits a record.

use rand::Rng;

use super::record::Record;

/// What is evicted when memory is full (`maxmemory-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    #[default]
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
}

impl Policy {
    /// The policy of that name in CONFIG.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "noeviction" => Self::NoEviction,
            "allkeys-lru" => Self::AllKeysLru,
            "allkeys-lfu" => Self::AllKeysLfu,
            "allkeys-random" => Self::AllKeysRandom,
            "volatile-lru" => Self::VolatileLru,
            "volatile-lfu" => Self::VolatileLfu,
            "volatile-random" => Self::VolatileRandom,
            "volatile-ttl" => Self::VolatileTtl,
            _ => return None,
        })
    }

    #[must_use]
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::AllKeysLfu | Self::VolatileLfu)
    }

    /// True when only keys with an expiry may go.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(self, Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl)
    }
}

/// Bits of the LRU clock, which counts seconds.
const LRU_MASK: u32 = 0x00ff_ffff;
/// Counter of a new key, so that it is not evicted before it was ever used.
const LFU_START: u32 = 5;

/// The clock by which accesses are noted, and the policy that decides what is noted.
#[derive(Clone, Copy, Debug)]
pub struct AccessClock {
    seconds: u32,
    pub policy: Policy,
    /// `lfu-log-factor`
    pub log_factor: u32,
    /// `lfu-decay-time`, minutes
    pub decay_minutes: u32,
}

impl Default for AccessClock {
    fn default() -> Self {
        Self { seconds: 0, policy: Policy::NoEviction, log_factor: 10, decay_minutes: 1 }
    }
}

impl AccessClock {
    #[inline]
    pub(super) fn set_now(&mut self, now: i64) {
        self.seconds = (now / 1000) as u32;
    }

    fn minutes(self) -> u32 {
        (self.seconds / 60) & 0xffff
    }

    /// Marks a new or overwritten record as used now.
    #[inline]
    pub(super) fn start(self, record: &mut Record) {
        let access =
            if self.policy.is_lfu() { (self.minutes() << 8) | LFU_START } else { self.seconds & LRU_MASK };
        record.set_access(access);
    }

    /// Notes that a record was last used so long ago, or has this LFU counter, whichever the policy goes by.
    pub(super) fn restore(self, record: &mut Record, idle_seconds: Option<u64>, frequency: Option<u8>) {
        let now = self.seconds & LRU_MASK;
        match (self.policy.is_lfu(), idle_seconds, frequency) {
            (true, _, Some(frequency)) => record.set_access((self.minutes() << 8) | u32::from(frequency)),
            (false, Some(idle), _) => {
                let at = i64::from(now).wrapping_sub_unsigned(idle);
                // Before the clock's last round, once; what is longer ago comes out as anything, as in Redis.
                let at = if at < 0 { at.wrapping_add(i64::from(LRU_MASK)) } else { at };
                record.set_access(at as u32 & LRU_MASK);
            }
            _ => {}
        }
    }

    /// Notes an access.
    #[inline]
    pub(super) fn touch(self, record: &mut Record, random: &mut impl Rng) {
        if self.policy.is_lfu() {
            let counter = self.frequency(record);
            record.set_access((self.minutes() << 8) | self.increment(counter, random));
        } else {
            record.set_access(self.seconds & LRU_MASK);
        }
    }

    /// The logarithmic counter: the higher it is, the less likely it grows.
    fn increment(self, counter: u32, random: &mut impl Rng) -> u32 {
        if counter == 255 {
            return 255;
        }
        let base = f64::from(counter.saturating_sub(LFU_START));
        let chance = 1.0 / (base * f64::from(self.log_factor) + 1.0);
        counter + u32::from(random.random::<f64>() < chance)
    }

    /// The LFU counter, less one for every `decay_minutes` without a use (OBJECT FREQ).
    #[must_use]
    pub fn frequency(self, record: &Record) -> u32 {
        let (minutes, counter) = (record.access() >> 8, record.access() & 0xff);
        let elapsed = self.minutes().wrapping_sub(minutes) & 0xffff;
        let periods = elapsed.checked_div(self.decay_minutes).unwrap_or(0);
        counter.saturating_sub(periods)
    }

    /// Seconds since the last use (OBJECT IDLETIME).
    #[must_use]
    pub fn idle_seconds(self, record: &Record) -> u32 {
        (self.seconds & LRU_MASK).wrapping_sub(record.access()) & LRU_MASK
    }

    /// How fit a record is to be evicted: the higher, the sooner.
    pub(super) fn eviction_rank(self, record: &Record) -> u64 {
        match self.policy {
            Policy::AllKeysLfu | Policy::VolatileLfu => 255 - u64::from(self.frequency(record)),
            Policy::VolatileTtl => u64::MAX - record.expire_at().map_or(u64::MAX, |at| at.max(0) as u64),
            _ => u64::from(self.idle_seconds(record)),
        }
    }
}
