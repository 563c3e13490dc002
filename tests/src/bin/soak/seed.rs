//! Chance that a seed decides: the same seed draws the same, on each machine and in each release of this program.
//! Must not: be used for keys; whoever knows the seed knows all that is drawn.

/// Numbers that look like chance: `SplitMix64`, of Steele, Lea and Flood (2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of their own for each thing that is drawn, so that how much is drawn of one changes nothing of another.
    pub(crate) fn of(seed: u64, thing: &str) -> Self {
        let mixed = thing.bytes().fold(seed, |mixed, byte| Self(mixed ^ u64::from(byte)).roll());
        Self(mixed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// A number from the first to the last, both included.
    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A place in a list of this length, which is not 0.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        // A list is no longer than memory, and the remainder is below its length.
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// The same in another order (Fisher and Yates).
    pub(crate) fn shuffled<T>(&mut self, mut list: Vec<T>) -> Vec<T> {
        for last in (1..list.len()).rev() {
            list.swap(last, self.place(last + 1));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_one_does_not() {
        let drawn = |seed, thing| {
            let mut dice = Dice::of(seed, thing);
            (0..8).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1, "faults"), drawn(1, "faults"));
        assert_ne!(drawn(1, "faults"), drawn(2, "faults"));
        assert_ne!(drawn(1, "faults"), drawn(1, "episodes"));
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut shuffled = Dice::of(7, "list").shuffled((0..50).collect());
        assert_ne!(shuffled, (0..50).collect::<Vec<_>>());
        shuffled.sort_unstable();
        assert_eq!(shuffled, (0..50).collect::<Vec<_>>());
    }
}
