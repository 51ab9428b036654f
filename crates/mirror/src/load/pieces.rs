//! What is written in pieces: each as large as one statement should be, and halved where Postgres
//! refuses it, until the rows are found that it cannot hold.

/// Rows per statement. Rows are made and encoded for one statement at a time, which is what memory
/// is spent on; larger ones are not faster.
const STATEMENT: usize = 500;

/// What is left to be written, in its order.
#[derive(Debug)]
pub struct Pieces<'a, T> {
    /// The next one is the last.
    left: Vec<&'a [T]>,
}

impl<'a, T> Pieces<'a, T> {
    /// Of these rows.
    pub fn of(rows: &'a [T]) -> Self {
        Self {
            left: rows.chunks(STATEMENT).rev().collect(),
        }
    }

    /// Whether more than one is left.
    pub fn are_several(&self) -> bool {
        self.left.len() > 1
    }

    /// Takes back a piece that Postgres cannot hold: its halves come next. Answers the row that is
    /// at fault if it was alone.
    pub fn refused(&mut self, piece: &'a [T]) -> Option<&'a T> {
        if let [row] = piece {
            return Some(row);
        }
        let (first, second) = piece.split_at(piece.len() / 2);
        self.left.extend([second, first]);
        None
    }
}

impl<'a, T> Iterator for Pieces<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<&'a [T]> {
        self.left.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_are_written_in_their_order_but_those_that_are_refused() {
        let rows: Vec<usize> = (0..1_201).collect();
        let bad = [0, 499, 500, 777, 1_200];
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        let mut pieces = Pieces::of(&rows);
        while let Some(piece) = pieces.next() {
            assert!(piece.len() <= STATEMENT);
            if piece.iter().any(|row| bad.contains(row)) {
                refused.extend(pieces.refused(piece));
            } else {
                written.extend_from_slice(piece);
            }
        }
        let good: Vec<usize> = (0..1_201).filter(|row| !bad.contains(row)).collect();
        assert_eq!((written, refused), (good, bad.to_vec()));
        assert_eq!(Pieces::of(&[] as &[usize]).next(), None);
    }
}
