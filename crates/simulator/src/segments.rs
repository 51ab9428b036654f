//! Segments and who is in them (contract 11): readable per user only.

use std::collections::BTreeSet;

use super::answer::Answer;
use super::business::World;
use super::catalog;
use super::forms::{self, Nothing};
use super::ids;
use super::list::List;
use super::mix::{Choices, Purpose};
use super::record::Record;
use super::routes::Call;

const LABELS: &[&str] = &[
    "Sport readers",
    "At risk",
    "Commuters",
    "Puzzle solvers",
    "Lapsed",
    "Weekend only",
    "Students",
    "Expats",
];

/// The segments a tenant starts with.
pub(super) fn generated(seed: u64, count: u32) -> Vec<Record> {
    let segment = |index: u32| {
        let label = LABELS[index as usize % LABELS.len()];
        let label = match index as usize / LABELS.len() {
            0 => label.to_owned(),
            round => format!("{label} {}", round + 1),
        };
        Record::new(ids::text(seed, Purpose::SegmentId, u64::from(index)))
            .text("label", &label)
            .text("description", &format!("{label}, by rule"))
            .raw("active", if index % 5 == 4 { "false" } else { "true" })
            .raw("archived", if index % 7 == 6 { "true" } else { "false" })
    };
    (0..count).map(segment).collect()
}

impl World<'_> {
    /// The ids a person's place in segments says, deleted segments included.
    pub(super) fn segment_ids(&self, person: u32) -> BTreeSet<String> {
        if let Some(edited) = self.books.user_segments.get(&person) {
            return edited.clone();
        }
        let seed = self.seed();
        let mut choices = Choices::new(seed, Purpose::UserSegments, u64::from(person));
        if self.scale.segments == 0 || !choices.chance(40) {
            return BTreeSet::new();
        }
        let segment = |choices: &mut Choices| {
            let index = choices.below(u64::from(self.scale.segments));
            ids::text(seed, Purpose::SegmentId, index)
        };
        (0..=choices.below(3))
            .map(|_| segment(&mut choices))
            .collect()
    }

    /// The segments a person is in, in the order of the list.
    pub(super) fn segments_of(&self, person: u32) -> Vec<&Record> {
        let ids = self.segment_ids(person);
        if ids.is_empty() {
            return Vec::new();
        }
        let all = self.books.records(List::Segments).iter();
        all.filter(|segment| ids.contains(&segment.id)).collect()
    }
}

fn items(records: Vec<&Record>, call: &Call<'_>, nothing: Nothing) -> Answer {
    if records.is_empty() && nothing == Nothing::NotFound {
        return Answer::error(404, "there are no segments");
    }
    let name = catalog::id_name(call.tenant.behaviour(), List::Segments);
    let mut body = Vec::new();
    forms::named(&mut body, "items", records, |out, record| {
        record.write(out, name)
    });
    Answer::json(200, body)
}

/// `GET /v4/users/segments`: 404 when there are none.
pub(super) fn list(call: &Call<'_>) -> Answer {
    let hidden = call.tenant.hides(List::Segments);
    call.tenant.world(|world| {
        let all = world.books.records(List::Segments).iter();
        items(all.filter(|_| !hidden).collect(), call, Nothing::NotFound)
    })
}

/// `GET /v4/users/segments/{id}`.
pub(super) fn read(call: &Call<'_>) -> Answer {
    call.tenant.world(
        |world| match world.books.record(List::Segments, call.param(0)) {
            Some(segment) => {
                let mut body = Vec::new();
                segment.write(&mut body, Some("id"));
                Answer::json(200, body)
            }
            None => Answer::error(404, "no such segment"),
        },
    )
}

/// `GET /v4/users/{user_id}/segments`.
pub(super) fn of_user(call: &Call<'_>) -> Answer {
    let hidden = call.tenant.hides(List::UserSegments);
    call.tenant.world(|world| {
        let Some(person) = world.people.by_user_id(call.param(0)) else {
            return Answer::error(404, "no such user");
        };
        let mut segments = world.segments_of(person);
        if hidden {
            segments.clear();
        }
        items(segments, call, call.tenant.behaviour().no_user_segments)
    })
}
