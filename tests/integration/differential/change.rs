//! What happens to a tenant between two runs: somebody comes, changes, or goes; first, last, in the
//! middle, or all at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulator::{Edits, FIRST_REGISTRATION, LAST_REGISTRATION, List, Tenant};

use super::chance::Chance;
use super::scenario::Scenario;
use super::tables::Job;

/// More people than this are never there: a scenario must stay small.
const MOST_PEOPLE: usize = 160;

/// What a test does to its tenant.
#[derive(Debug)]
pub struct Changes<'a> {
    pub tenant: &'a Tenant,
    pub scenario: &'a Scenario,
    /// Numbers what is added, so that no two things have one name.
    pub added: &'a mut u32,
    /// The events that were added.
    pub events: &'a mut Vec<String>,
}

/// Which of several.
#[derive(Debug, Clone, Copy)]
enum Which {
    Oldest,
    Newest,
    Middle,
    Any,
    All,
}

impl Which {
    fn drawn(chance: &mut Chance) -> Self {
        match chance.among(1..=100) {
            1..=24 => Self::Oldest,
            25..=48 => Self::Newest,
            49..=72 => Self::Middle,
            73..=95 => Self::Any,
            _ => Self::All,
        }
    }

    /// So many of them.
    fn of<T: Clone>(self, all: &[T], count: usize, chance: &mut Chance) -> Vec<T> {
        let count = count.min(all.len());
        let from = match self {
            Self::Oldest => 0,
            Self::Newest => all.len() - count,
            Self::Middle => (all.len() - count) / 2,
            Self::All => return all.to_vec(),
            Self::Any => {
                let mut left = all.to_vec();
                let any = (0..count).map(|_| left.swap_remove(chance.next() as usize % left.len()));
                return any.collect();
            }
        };
        all[from..from + count].to_vec()
    }
}

/// Some of what there is, with words for it.
fn some<T: Clone>(all: &[T], chance: &mut Chance) -> (Vec<T>, String) {
    let which = Which::drawn(chance);
    // That all go at once is a case of its own.
    let count = chance
        .pick(&[1, 1, 2, 3, 5, 9, 14, 30])
        .min(all.len() / 2 + 1);
    let chosen = which.of(all, count, chance);
    let words = format!("{which:?}, {} of {}", chosen.len(), all.len()).to_lowercase();
    (chosen, words)
}

impl Changes<'_> {
    /// Makes one, and says which; none where there was nothing to change.
    pub fn one(&mut self, chance: &mut Chance) -> Option<String> {
        let others: Vec<Job> = self.scenario.jobs[1..].to_vec();
        match chance.one_of(&others) {
            Some(job) if chance.percent(50) => self.of_job(*job, chance),
            Some(_) | None => self.of_people(chance),
        }
    }

    fn next(&mut self) -> u32 {
        *self.added += 1;
        *self.added
    }

    fn of_people(&mut self, chance: &mut Chance) -> Option<String> {
        let tenant = self.tenant;
        let people = tenant.everybody();
        let (chosen, who) = some(&people, chance);
        let what = match chance.among(1..=100) {
            1..=35 => {
                for index in &chosen {
                    assert!(tenant.delete(*index));
                }
                "users deleted"
            }
            36..=50 if people.len() < MOST_PEOPLE => return Some(self.create(chance)),
            36..=65 => {
                for index in &chosen {
                    assert!(tenant.update(*index));
                }
                "users updated"
            }
            66..=72 => {
                for index in &chosen {
                    assert!(tenant.readdress(*index));
                }
                "users with another e-mail address"
            }
            73..=79 => {
                for index in &chosen {
                    assert!(tenant.rekey(*index));
                }
                "users with other foreign keys"
            }
            80..=86 => {
                for index in &chosen {
                    let registered = registration(chance);
                    tenant.redate(*index, registered);
                }
                "users with another registration"
            }
            87..=94 => {
                for index in &chosen {
                    let grants = tenant.user_grant_ids(*index);
                    match chance.one_of(&grants) {
                        Some(grant) if chance.percent(60) => {
                            assert!(tenant.remove_user_grant(*index, grant));
                        }
                        Some(_) | None => {
                            assert!(tenant.add_user_grant(*index).is_some());
                        }
                    }
                }
                "users with other grants"
            }
            _ => {
                let end = people.last().map_or(0, |last| last + 1);
                let gone: Vec<u32> = (0..end).filter(|index| !people.contains(index)).collect();
                let back = Which::Any.of(&gone, 3, chance);
                for index in &back {
                    assert!(tenant.recreate(*index));
                }
                return Some(format!("{} deleted users come again", back.len()));
            }
        };
        (!chosen.is_empty()).then(|| format!("{what}: {who}"))
    }

    fn create(&self, chance: &mut Chance) -> String {
        let creations = chance.pick(&[1, 1, 2, 4, 9, 25]);
        let edited = self.tenant.edit(Edits {
            creations,
            ..Edits::NONE
        });
        let anywhere = chance.percent(50);
        if anywhere {
            // Who is awkward may not be found by the id behind what the export shows.
            let found = edited.created.iter();
            for index in found.filter_map(|id| self.tenant.index_of(id)) {
                self.tenant.redate(index, registration(chance));
            }
        }
        let at = if anywhere { "anywhere" } else { "now" };
        format!("{} users register, {at}", edited.created.len())
    }

    fn of_job(&mut self, job: Job, chance: &mut Chance) -> Option<String> {
        match job {
            Job::Users | Job::Sessions => self.of_people(chance),
            Job::Accounts => self.of_accounts(chance),
            Job::Segments => self.of_segments(chance),
            Job::Schema => Some(self.of_schema(chance)),
            Job::Catalog => {
                let list = chance.pick(&[
                    List::Companies,
                    List::Products,
                    List::Bundles,
                    List::Entitlements,
                    List::Meters,
                    List::Credits,
                ]);
                self.of_list(list, chance)
            }
            Job::Webhooks => self.of_list(List::Webhooks, chance),
            Job::Rules => self.of_list(List::RequestRules, chance),
            Job::Events => self.of_events(chance),
        }
    }

    fn of_accounts(&mut self, chance: &mut Chance) -> Option<String> {
        let tenant = self.tenant;
        let accounts = tenant.accounts();
        let (chosen, which) = some(&accounts, chance);
        let people = tenant.everybody();
        let plain: Vec<u32> = people
            .into_iter()
            .filter(|index| !tenant.is_awkward(*index))
            .collect();
        let what = match chance.among(1..=100) {
            1..=12 => {
                let count = chance.among(1..=3);
                for _ in 0..count {
                    tenant.add_account();
                }
                return Some(format!("{count} accounts added"));
            }
            13..=30 => {
                for index in &chosen {
                    assert!(tenant.delete_account(*index));
                }
                "accounts deleted"
            }
            31..=42 => {
                for index in &chosen {
                    let name = format!("Name {}", self.next());
                    assert!(tenant.rename_account(*index, &name));
                }
                "accounts renamed"
            }
            43..=50 => {
                for index in &chosen {
                    let seats = 1_000 + self.next();
                    assert!(tenant.set_account_seats(*index, seats));
                }
                "accounts with other seats"
            }
            51..=62 => {
                for index in &chosen {
                    let person = chance.one_of(&plain)?;
                    assert!(tenant.add_member(*index, *person, chance.percent(30)));
                }
                "accounts with a member more"
            }
            63..=74 => {
                for index in &chosen {
                    let members = tenant.members_of(*index);
                    if let Some(member) = chance.one_of(&members) {
                        assert!(tenant.remove_member(*index, *member));
                    }
                }
                "accounts with a member less"
            }
            75..=84 => {
                for index in &chosen {
                    for member in tenant.members_of(*index) {
                        assert!(tenant.remove_member(*index, member));
                    }
                }
                "accounts without members"
            }
            85..=92 => {
                for index in &chosen {
                    assert!(tenant.add_account_grant(*index).is_some());
                }
                "accounts with a grant more"
            }
            _ => {
                for index in &chosen {
                    for grant in tenant.account_grant_ids(*index) {
                        assert!(tenant.remove_account_grant(*index, &grant));
                    }
                }
                "accounts without grants"
            }
        };
        (!chosen.is_empty()).then(|| format!("{what}: {which}"))
    }

    fn of_segments(&mut self, chance: &mut Chance) -> Option<String> {
        let tenant = self.tenant;
        let segments = storable(tenant, List::Segments);
        let people = tenant.everybody();
        let (chosen, who) = some(&people, chance);
        let what = match chance.among(1..=100) {
            1..=35 => return self.of_list(List::Segments, chance),
            36..=60 => {
                for index in &chosen {
                    if let Some(segment) = chance.one_of(&segments) {
                        tenant.enter_segment(*index, segment);
                    }
                }
                "users enter a segment"
            }
            61..=85 => {
                for index in &chosen {
                    let within = tenant.segments_of(*index);
                    if let Some(segment) = chance.one_of(&within) {
                        tenant.leave_segment(*index, segment);
                    }
                }
                "users leave a segment"
            }
            _ => {
                for index in &chosen {
                    for segment in tenant.segments_of(*index) {
                        tenant.leave_segment(*index, &segment);
                    }
                }
                "users leave all segments"
            }
        };
        (!chosen.is_empty()).then(|| format!("{what}: {who}"))
    }

    fn of_list(&mut self, list: List, chance: &mut Chance) -> Option<String> {
        let tenant = self.tenant;
        let ids = storable(tenant, list);
        let (chosen, which) = some(&ids, chance);
        let named = if list == List::Companies {
            "name"
        } else {
            "label"
        };
        let what = match chance.among(1..=100) {
            1..=25 => {
                let fields = json!({ named: format!("Added {}", self.next()) });
                tenant.add_record(list, &fields.to_string()).expect("JSON");
                return Some(format!("one of {list:?} added"));
            }
            26..=60 => {
                for id in &chosen {
                    let fields = json!({ named: format!("Changed {}", self.next()) });
                    tenant
                        .change_record(list, id, &fields.to_string())
                        .expect("JSON");
                }
                "changed"
            }
            _ => {
                for id in &chosen {
                    tenant.delete_record(list, id);
                }
                "deleted"
            }
        };
        (!chosen.is_empty()).then(|| format!("{list:?} {what}: {which}"))
    }

    fn of_schema(&mut self, chance: &mut Chance) -> String {
        let truth = String::from_utf8(self.tenant.truth_of(List::UserSchema)).expect("text");
        let mut fields: Vec<BTreeMap<String, Value>> = truth
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        let (chosen, which) = some(&(0..fields.len()).collect::<Vec<_>>(), chance);
        let what = match chance.among(1..=100) {
            1..=35 => {
                let slug = format!("slug-{}", self.next());
                fields.push(BTreeMap::from([
                    ("slug".to_owned(), json!(slug)),
                    ("label".to_owned(), json!("Added")),
                    ("input-type".to_owned(), json!("text")),
                ]));
                "a field added".to_owned()
            }
            36..=65 => {
                let label = json!(format!("Label {}", self.next()));
                for at in chosen {
                    fields[at].insert("label".to_owned(), label.clone());
                }
                format!("fields changed: {which}")
            }
            _ => {
                let mut at = 0;
                fields.retain(|_| {
                    at += 1;
                    !chosen.contains(&(at - 1))
                });
                format!("fields deleted: {which}")
            }
        };
        self.tenant
            .set_schema(&json!(fields).to_string())
            .expect("JSON");
        format!("user schema: {what}")
    }

    fn of_events(&mut self, chance: &mut Chance) -> Option<String> {
        if chance.percent(30) {
            let (gone, which) = some(self.events, chance);
            for id in &gone {
                assert!(self.tenant.remove_event(id));
            }
            self.events.retain(|id| !gone.contains(id));
            return (!gone.is_empty()).then(|| format!("events removed: {which}"));
        }
        let people = self.tenant.everybody();
        let count = chance.among(1..=5);
        for _ in 0..count {
            let person = *chance.one_of(&people)?;
            // Within the overlap of a run that asks for what is new.
            let second = self.tenant.now() - chance.among(5..=20_000);
            let kind = format!("kind-{}", self.next());
            self.events
                .push(self.tenant.add_event(person, second, &kind));
        }
        Some(format!("{count} events happen"))
    }
}

/// What is in a short list, without what a table may be unable to hold of an awkward one: that
/// stays as it is.
fn storable(tenant: &Tenant, list: List) -> Vec<String> {
    let mut ids = tenant.record_ids(list);
    ids.retain(|id| id != "nameless" && id.len() < 100);
    ids.dedup();
    ids
}

/// Any time that people register at, a round one often, or none.
fn registration(chance: &mut Chance) -> Option<u32> {
    match chance.among(1..=100) {
        1..=15 => None,
        16..=40 => Some(FIRST_REGISTRATION + chance.among(0..=2)),
        41..=60 => Some((FIRST_REGISTRATION + LAST_REGISTRATION) / 2),
        _ => Some(chance.among(FIRST_REGISTRATION..=LAST_REGISTRATION)),
    }
}
