//! The units of a lease: which are taken, and which came back. No I/O here.

/// Pieces that came back and are kept for the next calls.
const MOST_PIECES: usize = 64;

/// How many units a call wants, at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    least: i64,
    most: i64,
}

impl Wanted {
    /// Exactly this many.
    pub fn exactly(units: i64) -> Self {
        Self {
            least: units.max(1),
            most: units.max(1),
        }
    }

    /// One to `most`.
    pub fn up_to(most: i64) -> Self {
        Self {
            least: 1,
            most: most.max(1),
        }
    }

    /// Fewest units that are of use.
    pub fn least(self) -> i64 {
        self.least
    }

    /// Most that it takes.
    pub fn most(self) -> i64 {
        self.most
    }
}

/// The units that a lease still has.
pub(crate) struct Pieces {
    amount: i64,
    /// First unit that nobody has taken yet.
    next: i64,
    /// Units of calls that failed before their commit, as `(first, units)`.
    free: Vec<(i64, i64)>,
}

impl Pieces {
    /// Of a lease of so many units.
    pub fn of(amount: i64) -> Self {
        Self {
            amount,
            next: 0,
            free: Vec::new(),
        }
    }

    /// Units of the whole lease.
    pub fn amount(&self) -> i64 {
        self.amount
    }

    /// Units after the last that was taken.
    pub fn left(&self) -> i64 {
        self.amount - self.next
    }

    /// Units up to the last that was taken, also those among them that came back.
    pub fn used(&self) -> i64 {
        self.next
    }

    /// What ends where another piece begins becomes one with it; pieces beyond [`MOST_PIECES`] wait for the lease's end.
    pub fn give_back(&mut self, mut first: i64, mut units: i64) {
        self.free.retain(|(other, size)| {
            let before = other + size == first;
            if before || first + units == *other {
                (first, units) = (first.min(*other), units + size);
                return false;
            }
            true
        });
        if first + units == self.next {
            self.next = first;
        } else if self.free.len() < MOST_PIECES {
            self.free.push((first, units));
        }
    }

    /// Units in one piece: of the largest piece that came back, else fresh ones.
    pub fn take(&mut self, wanted: Wanted) -> Option<(i64, i64)> {
        let pieces = self.free.iter().enumerate();
        let largest = pieces.max_by_key(|(_, (_, units))| *units).map(|(place, _)| place);
        if let Some(place) = largest.filter(|place| self.free[*place].1 >= wanted.least) {
            let (first, units) = self.free.swap_remove(place);
            let taken = units.min(wanted.most);
            if units > taken {
                self.free.push((first + taken, units - taken));
            }
            return Some((first, taken));
        }
        let taken = self.left().min(wanted.most);
        if taken < wanted.least {
            return None;
        }
        let first = self.next;
        self.next += taken;
        Some((first, taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_touch_become_one_again() {
        let mut pieces = Pieces::of(9);
        for first in [0, 3, 6] {
            assert_eq!(pieces.take(Wanted::exactly(3)), Some((first, 3)));
        }
        assert_eq!((pieces.left(), pieces.used()), (0, 9));
        pieces.give_back(0, 3);
        assert_eq!(pieces.take(Wanted::exactly(4)), None, "three came back");
        pieces.give_back(3, 3);
        assert_eq!(pieces.take(Wanted::exactly(4)), Some((0, 4)), "in one piece");
        pieces.give_back(6, 3);
        assert_eq!(pieces.left(), 5, "what nobody has after it is as if never taken");
        assert_eq!(pieces.take(Wanted::up_to(9)), Some((4, 5)));
        assert_eq!(pieces.take(Wanted::up_to(9)), None);
    }

    #[test]
    fn so_many_pieces_are_kept_and_no_more() {
        let apart = 2 * i64::try_from(MOST_PIECES).expect("few") + 4;
        let mut pieces = Pieces::of(apart);
        pieces.take(Wanted::exactly(apart)).expect("all of them");
        for first in (0..apart - 2).step_by(2) {
            pieces.give_back(first, 1);
        }
        assert_eq!(pieces.free.len(), MOST_PIECES);
    }
}
