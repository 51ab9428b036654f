//! The tenant: generated people, the edits made to them, and the lists over both.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::behaviour::{Behaviour, Order};
use super::business::{Books, Scale, World};
use super::edits::{Change, Edited, Edits, Overlay};
use super::grants::Grant;
use super::identity::{self, PLANTED};
use super::jobs::Jobs;
use super::mix::{Purpose, draw};
use super::person::{Parts, People};
use super::population::{Population, Shape};
use super::ranking::{By, Filter, Rankings, Selected};
use super::troubles::Troubles;

/// Edits of more people than this have the order of updates sorted anew when somebody next asks for
/// it, instead of moving each through it: among millions, 1 % of them moved one by one take
/// minutes. Edits after each answer are far fewer, and are moved.
const MOST_MOVED: u32 = 1_000;

/// Where the simulator takes the time from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

#[derive(Debug)]
struct State {
    overlay: Overlay,
    books: Books,
    rankings: Rankings,
    /// Edits made so far; the next one is drawn by this number.
    edits: u64,
}

/// The people while somebody holds them to edit several at once.
pub(super) struct Editing<'a> {
    tenant: &'a Tenant,
    state: &'a mut State,
}

impl Editing<'_> {
    pub(super) fn people(&self) -> People<'_> {
        self.tenant.people(&self.state.overlay)
    }

    /// Has the order of updates sorted anew when it is next needed, which many changes at once make
    /// cheaper.
    pub(super) fn forget_update_order(&mut self) {
        self.state.rankings.forget(By::Updated);
    }

    /// Changes a living person at a second since 1970.
    pub(super) fn touch(&mut self, index: u32, second: u32, how: impl FnOnce(&mut Change)) {
        self.tenant.touch(self.state, index, second, how);
    }

    /// Has a living person show another registration, or none.
    pub(super) fn redate(&mut self, index: u32, registered: Option<u32>) {
        let state = &mut *self.state;
        let tenant = self.tenant;
        state.rankings.remove(tenant.people(&state.overlay), index);
        state.overlay.redated.insert(index, registered);
        state.rankings.insert(tenant.people(&state.overlay), index);
    }

    /// Removes a living person.
    pub(super) fn expel(&mut self, index: u32) {
        self.tenant.expel(self.state, index);
    }

    /// Has a person come who was deleted, at a second since 1970.
    pub(super) fn readmit(&mut self, index: u32, second: u32) {
        let overlay = &mut self.state.overlay;
        overlay.deleted.remove(&index);
        overlay.recreated.insert(index, second);
        overlay.changes.entry(index).or_default().updated = second;
        let people = self.tenant.people(&self.state.overlay);
        self.state.rankings.insert(people, index);
    }
}

/// Everybody in the simulated tenant, to be read and edited by the server and, in process, by
/// tests.
pub struct Tenant {
    population: Population,
    scale: Scale,
    behaviour: Behaviour,
    clock: Clock,
    state: RwLock<State>,
    pub(super) troubles: RwLock<Troubles>,
    pub(super) jobs: Mutex<Jobs>,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenant")
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

impl Tenant {
    /// A tenant nobody has edited yet; edits happen at the time `clock` tells.
    pub fn new(shape: &Shape, behaviour: Behaviour, clock: Clock) -> Self {
        let population = Population::new(shape);
        let scale = Scale::of(shape);
        let state = State {
            overlay: Overlay::default(),
            books: Books::new(&population, scale, &behaviour),
            rankings: Rankings::default(),
            edits: 0,
        };
        Self {
            population,
            scale,
            behaviour,
            clock,
            state: RwLock::new(state),
            troubles: RwLock::default(),
            jobs: Mutex::default(),
        }
    }

    /// How it answers the open questions of the contract.
    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    pub(super) fn seed(&self) -> u64 {
        self.population.seed
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn people<'a>(&'a self, overlay: &'a Overlay) -> People<'a> {
        People {
            population: &self.population,
            overlay,
            behaviour: &self.behaviour,
        }
    }

    /// The clock as a time since 1970.
    pub(super) fn time(&self) -> Duration {
        (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    /// The tenant's clock, in seconds since 1970.
    pub fn now(&self) -> u32 {
        u32::try_from(self.time().as_secs()).unwrap_or(u32::MAX)
    }

    /// Runs `look` on one consistent state of the people.
    pub(super) fn look<T>(&self, look: impl FnOnce(People<'_>) -> T) -> T {
        let state = self.read();
        look(self.people(&state.overlay))
    }

    /// Runs `look` on one consistent state of everything.
    pub(super) fn world<T>(&self, look: impl FnOnce(World<'_>) -> T) -> T {
        let state = self.read();
        look(World {
            people: self.people(&state.overlay),
            books: &state.books,
            scale: self.scale,
        })
    }

    /// Runs `change` on what there is besides people.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Books, People<'_>, Scale) -> T) -> T {
        let state = &mut *self.write();
        change(&mut state.books, self.people(&state.overlay), self.scale)
    }

    /// Runs `edit` on the people, with nobody looking in between.
    pub(super) fn editing<T>(&self, edit: impl FnOnce(&mut Editing<'_>) -> T) -> T {
        let state = &mut *self.write();
        edit(&mut Editing {
            tenant: self,
            state,
        })
    }

    /// Selects one page and renders it, both from the same state.
    pub(super) fn page<T>(
        &self,
        filter: Filter,
        order: Order,
        offset: usize,
        limit: usize,
        render: impl FnOnce(People<'_>, Selected) -> T,
    ) -> T {
        if Rankings::needed(filter, order).any(|by| !self.read().rankings.has(by)) {
            let state = &mut *self.write();
            for by in Rankings::needed(filter, order) {
                state.rankings.build(self.people(&state.overlay), by);
            }
        }
        let state = self.read();
        let people = self.people(&state.overlay);
        render(
            people,
            state.rankings.select(people, filter, order, offset, limit),
        )
    }

    /// How many people are alive.
    pub fn living(&self) -> u32 {
        self.run_due_jobs();
        let state = self.read();
        self.people(&state.overlay).end() - state.overlay.deleted.len() as u32
    }

    /// The indices of everybody there is, in ascending order: of those who were there at the start,
    /// by registration.
    pub fn everybody(&self) -> Vec<u32> {
        self.run_due_jobs();
        self.look(|people| {
            let all = 0..people.end();
            all.filter(|index| people.is_living(*index)).collect()
        })
    }

    /// Whether a person's data is awkward; those who came after the start are not.
    pub fn is_awkward(&self, index: u32) -> bool {
        self.population.awkward(index).is_some()
    }

    /// The index behind a shown user id; none for deleted people.
    pub fn index_of(&self, user_id: &str) -> Option<u32> {
        self.run_due_jobs();
        self.look(|people| people.by_user_id(user_id))
    }

    /// The UUID of a person, which the export shows unless they are awkward about it.
    pub fn user_id(&self, index: u32) -> String {
        identity::user_id_text(self.seed(), index)
    }

    /// What a perfect copy would hold: one line of JSON per living person in index order, the item
    /// as exported with `attributes=true`, without `seq-no`.
    pub fn truth(&self) -> Vec<u8> {
        self.run_due_jobs();
        let mut out = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.truth_part(&mut out, from, usize::MAX);
        }
        out
    }

    /// Appends truth from index `from` until about `limit` bytes are there; answers where to go on.
    pub(super) fn truth_part(&self, out: &mut Vec<u8>, from: u32, limit: usize) -> Option<u32> {
        let begin = out.len();
        self.look(|people| {
            for index in from..people.end() {
                if out.len() - begin >= limit {
                    return Some(index);
                }
                if people.is_living(index) {
                    people.item(
                        out,
                        index,
                        None,
                        Parts {
                            attributes: true,
                            ..Parts::default()
                        },
                    );
                    out.push(b'\n');
                }
            }
            None
        })
    }

    /// Makes edits, to people drawn from the seed and the number of edits so far: the same calls
    /// give the same tenant.
    pub fn edit(&self, edits: Edits) -> Edited {
        let mut edited = Edited::default();
        if edits == Edits::NONE {
            return edited;
        }
        self.run_due_jobs();
        self.edit_business(edits, &mut edited);
        let now = self.now();
        let mut state = self.write();
        let state = &mut *state;
        state
            .rankings
            .build(self.people(&state.overlay), By::Registered);
        if edits.updates > MOST_MOVED {
            state.rankings.forget(By::Updated);
        }
        for _ in 0..edits.updates {
            if let Some(index) = self.choose(state, 0) {
                self.touch(state, index, now, Change::revise);
                edited.updated.push(self.user_id(index));
            }
        }
        for _ in 0..edits.creations {
            if let Some(index) = self.admit(state, now) {
                edited.created.push(self.user_id(index));
            }
        }
        for _ in 0..edits.deletions {
            if let Some(index) = self.choose(state, PLANTED) {
                self.expel(state, index);
                edited.deleted.push(self.user_id(index));
            }
        }
        edited
    }

    /// Changes an attribute value of one person, now. False if there is no such person.
    pub fn update(&self, index: u32) -> bool {
        self.run_due_jobs();
        let now = self.now();
        let state = &mut *self.write();
        let living = self.people(&state.overlay).is_living(index);
        if living {
            self.touch(state, index, now, Change::revise);
        }
        living
    }

    /// Edits a person's grants; whether that is an update of the person is for the behaviour to
    /// say.
    pub(super) fn change_grants<T>(
        &self,
        index: u32,
        change: impl FnOnce(&mut Vec<Grant>) -> T,
    ) -> Option<T> {
        self.run_due_jobs();
        let now = self.now();
        let state = &mut *self.write();
        let people = self.people(&state.overlay);
        if !people.is_living(index) {
            return None;
        }
        let mut grants = people.grants(index);
        let seen_at = if self.behaviour.grants_touch_users {
            now
        } else {
            people.updated(index)
        };
        let outcome = change(&mut grants);
        self.touch(state, index, seen_at, |change| change.grants = Some(grants));
        Some(outcome)
    }

    /// Removes one person, planted ones too. False if there is no such person.
    pub fn delete(&self, index: u32) -> bool {
        self.run_due_jobs();
        let state = &mut *self.write();
        let living = self.people(&state.overlay).is_living(index);
        if living {
            self.expel(state, index);
        }
        living
    }

    /// Someone living with an index of at least `least`, or nobody after a few tries in a nearly
    /// empty tenant.
    fn choose(&self, state: &mut State, least: u32) -> Option<u32> {
        (0..64).find_map(|_| {
            state.edits += 1;
            let draw = draw(self.seed(), Purpose::Edit, state.edits);
            state.rankings.nth(draw).filter(|index| *index >= least)
        })
    }

    fn touch(&self, state: &mut State, index: u32, now: u32, how: impl FnOnce(&mut Change)) {
        state
            .rankings
            .remove_by(self.people(&state.overlay), By::Updated, index);
        let change = state.overlay.changes.entry(index).or_default();
        change.updated = now;
        how(change);
        state
            .rankings
            .insert_by(self.people(&state.overlay), By::Updated, index);
    }

    fn admit(&self, state: &mut State, now: u32) -> Option<u32> {
        let index = self.people(&state.overlay).end();
        if index >= super::population::MOST_PEOPLE {
            return None;
        }
        state.overlay.created.push(now);
        state.rankings.insert(self.people(&state.overlay), index);
        Some(index)
    }

    fn expel(&self, state: &mut State, index: u32) {
        state.rankings.remove(self.people(&state.overlay), index);
        state.overlay.deleted.insert(index);
        state.overlay.changes.remove(&index);
        state.overlay.redated.remove(&index);
    }
}
