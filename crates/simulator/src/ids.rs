//! Ids of things that are not people: UUIDs made like theirs, each kind behind a veil of its own,
//! so that an id leads back to an index without a table and never to a thing of another kind.

use super::identity::{self, NODE_BITS, SPREAD};
use super::mix::{Purpose, draw};

/// Appends the UUID of the `index`-th thing of a kind, unquoted.
pub(super) fn write(out: &mut Vec<u8>, seed: u64, kind: Purpose, index: u64) {
    let high = draw(seed, kind, index) & !0xF000 | 0x4000;
    let node = (index.wrapping_mul(SPREAD) ^ draw(seed, kind, u64::MAX)) & NODE_BITS;
    identity::uuid(out, high, high.rotate_left(17) & !NODE_BITS | node);
}

/// The UUID of the `index`-th thing of a kind as text.
pub(super) fn text(seed: u64, kind: Purpose, index: u64) -> String {
    let mut out = Vec::with_capacity(36);
    write(&mut out, seed, kind, index);
    String::from_utf8_lossy(&out).into_owned()
}

/// The index behind a UUID, if this tenant made it for this kind.
pub(super) fn index_of(seed: u64, kind: Purpose, id: &str) -> Option<u64> {
    let node = u64::from_str_radix(id.get(24..36)?, 16).ok()?;
    let veil = draw(seed, kind, u64::MAX) & NODE_BITS;
    let index = (node ^ veil).wrapping_mul(identity::unspread()) & NODE_BITS;
    (text(seed, kind, index) == id).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_own_kind_only() {
        for index in [0, 1, 77, 10_000_000] {
            let id = text(3, Purpose::AccountId, index);
            assert_eq!(index_of(3, Purpose::AccountId, &id), Some(index));
            assert_eq!(index_of(3, Purpose::SegmentId, &id), None);
            assert_eq!(index_of(4, Purpose::AccountId, &id), None);
        }
        assert_eq!(index_of(3, Purpose::AccountId, "nothing"), None);
    }
}
