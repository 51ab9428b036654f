//! How a tenant's ceiling is divided among its daemons: a pure function of who has what.

/// Another daemon, as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Whether it was there before.
    pub came_first: bool,
    /// The tenant's ceiling as its settings have it.
    pub max_in_flight: usize,
    /// What it may have in flight.
    pub places: usize,
}

/// What a daemon cannot do without at the moment of its beat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// It may begin requests up to so many, until it hears the answer.
    pub ceiling: usize,
    /// So many are under way.
    pub in_flight: usize,
}

/// What a daemon may do from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// So many requests in flight at most.
    pub ceiling: usize,
    /// Whether the others wait for places that it still has: it should beat again as soon as it has
    /// no more in flight.
    pub is_to_shrink: bool,
}

/// What a beat comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// What the row of the daemon is to say.
    pub places: usize,
    /// What the daemon is told.
    pub granted: Granted,
}

/// Divides. Each has an equal part, and those who came first what cannot be divided: with more
/// daemons than the ceiling those who came last have nothing, and wait.
///
/// `is_known` says whether the daemon has a row. One without may begin nothing, whatever it
/// believes: others may have its places.
pub fn divide(others: &[Other], is_known: bool, max_in_flight: usize, held: Held) -> Settled {
    let ceilings = others.iter().map(|other| other.max_in_flight);
    let ceiling = ceilings.fold(max_in_flight, usize::min);
    let taken: usize = others.iter().map(|other| other.places).sum();
    let free = ceiling.saturating_sub(taken);
    let count = others.len() + 1;
    let before = others.iter().filter(|other| other.came_first).count();
    let part = ceiling / count + usize::from(before < ceiling % count);
    let kept = if is_known {
        held.ceiling.max(held.in_flight)
    } else {
        held.in_flight
    };
    let usable = if is_known { part.min(kept) } else { 0 };
    let granted = usable.max(part.min(free));
    let places = kept.max(granted);
    Settled {
        places,
        granted: Granted {
            ceiling: granted,
            is_to_shrink: granted < places,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(came_first: bool, places: usize) -> Other {
        Other {
            came_first,
            max_in_flight: 8,
            places,
        }
    }

    fn using(ceiling: usize) -> Held {
        Held {
            ceiling,
            in_flight: 0,
        }
    }

    fn granted(others: &[Other], is_known: bool, held: Held) -> (usize, usize) {
        let settled = divide(others, is_known, 8, held);
        (settled.granted.ceiling, settled.places)
    }

    #[test]
    fn alone_it_has_everything() {
        assert_eq!(granted(&[], false, using(0)), (8, 8));
    }

    #[test]
    fn a_newcomer_waits_until_the_others_have_shrunk() {
        assert_eq!(granted(&[other(true, 8)], false, using(0)), (0, 0));
        // The first is told, and its row falls with its next beat.
        assert_eq!(granted(&[other(false, 0)], true, using(8)), (4, 8));
        assert_eq!(granted(&[other(false, 0)], true, using(4)), (4, 4));
        assert_eq!(granted(&[other(true, 4)], true, using(0)), (4, 4));
    }

    #[test]
    fn what_is_under_way_is_kept_until_it_ends() {
        let held = Held {
            ceiling: 4,
            in_flight: 7,
        };
        assert_eq!(granted(&[other(false, 0)], true, held), (4, 7));
    }

    #[test]
    fn what_cannot_be_divided_is_for_those_who_came_first() {
        let two = [other(true, 3), other(true, 3)];
        assert_eq!(granted(&two, true, using(0)), (2, 2));
        let two = [other(true, 3), other(false, 2)];
        assert_eq!(granted(&two, true, using(2)), (3, 3));
        let nine = [other(true, 1); 8];
        assert_eq!(granted(&nine, false, using(0)), (0, 0));
    }

    #[test]
    fn the_lowest_ceiling_counts() {
        let low = Other {
            came_first: false,
            max_in_flight: 2,
            places: 0,
        };
        assert_eq!(granted(&[low], true, using(8)), (1, 8));
    }

    #[test]
    fn one_whose_row_is_gone_has_only_what_is_under_way() {
        let held = Held {
            ceiling: 8,
            in_flight: 2,
        };
        assert_eq!(granted(&[other(true, 8)], false, held), (0, 2));
    }
}
