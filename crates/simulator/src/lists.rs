//! Lists nothing else depends on: webhooks, rules, and a user's sessions and extended profiles
//! (contract 6.8, 10).

use super::answer::Answer;
use super::business::World;
use super::calendar;
use super::catalog;
use super::forms::{self, Nothing, Wrapping};
use super::identity;
use super::ids;
use super::json;
use super::list::List;
use super::mix::{Choices, Purpose, draw};
use super::names;
use super::person::People;
use super::record::Record;
use super::routes::Call;

/// The apps that store extended profiles; `appIds=all` means these.
pub const PROFILE_APPS: [&str; 2] = ["puzzles", "reading-list"];

/// The webhooks a tenant starts with.
pub(super) fn webhooks(seed: u64) -> Vec<Record> {
    let webhook = |(index, (label, triggers))| {
        Record::new(ids::text(seed, Purpose::RecordId, index))
            .text("label", label)
            .raw("triggers", triggers)
            .text("method", "POST")
            .text("target", &format!("https://hooks.example/{index}"))
    };
    let all = [
        ("Billing", r#"["CREATE_USER","DELETE_USER"]"#),
        ("Newsletters", r#"["UPDATE_USER"]"#),
        (
            "Accounts",
            r#"["ADD_USER_TO_ACCOUNT","REMOVE_USER_FROM_ACCOUNT"]"#,
        ),
    ];
    (0..).zip(all).map(webhook).collect()
}

/// The request rules a tenant starts with.
pub(super) fn request_rules(seed: u64) -> Vec<Record> {
    let rule = |(index, label): (u64, &str)| {
        let mut created = Vec::new();
        calendar::instant_millis(&mut created, (1_321_009_871 + index * 86_400) * 1000);
        // Rules have no zone.
        let mut created = String::from_utf8_lossy(&created).into_owned();
        created.truncate(created.len() - 1);
        Record::new(ids::text(seed, Purpose::RecordId, 1000 + index))
            .text("label", label)
            .text("description", &format!("{label}, on every page"))
            .text("created", &created)
            .raw("active", if index == 2 { "false" } else { "true" })
    };
    let all = [
        "Paywall",
        "Registration wall",
        "Consent",
        "Regional edition",
    ];
    (0..).zip(all).map(rule).collect()
}

/// `GET /v3/webhooks`.
pub(super) fn list_webhooks(call: &Call<'_>) -> Answer {
    catalog::whole(call, List::Webhooks, Wrapping::Results)
}

/// `GET /v3/rules/request`: a bare array.
pub(super) fn list_request_rules(call: &Call<'_>) -> Answer {
    catalog::whole(call, List::RequestRules, Wrapping::Bare)
}

/// Appends `2018-11-15 14:29 PM UTC`, the form of session times.
fn session_time(out: &mut Vec<u8>, second: u32) {
    let start = out.len();
    calendar::spaced(out, second);
    out.truncate(start + 16);
    let afternoon = second % 86_400 >= 43_200;
    json::raw(out, if afternoon { " PM UTC" } else { " AM UTC" });
}

impl World<'_> {
    /// How many sessions a person has; two people in three have none.
    fn sessions(&self, person: u32) -> u64 {
        match draw(self.seed(), Purpose::Session, u64::from(person)) % 6 {
            0 => 2,
            1 => 1,
            _ => 0,
        }
    }

    fn session(&self, out: &mut Vec<u8>, person: u32, at: u64) {
        let number = u64::from(person) * 2 + at;
        let last = self.people.updated(person);
        json::object(out, |out| {
            json::raw(out, ",\"session_id\":\"");
            ids::write(out, self.seed(), Purpose::Session, number);
            json::raw(out, "\",\"user_id\":\"");
            identity::user_id(out, self.seed(), person);
            json::raw(out, "\",\"created\":\"");
            session_time(out, last.saturating_sub(at as u32 * 3600));
            out.push(b'"');
            json::number_field(out, "last_updated", u64::from(last) * 1000);
        });
    }

    /// Appends a line per session of a person.
    pub(super) fn session_truth(&self, out: &mut Vec<u8>, person: u32) {
        for at in 0..self.sessions(person) {
            self.session(out, person, at);
            out.push(b'\n');
        }
    }
}

/// `GET /v3/users/{user_id}/sessions`: 404 when there are none.
pub(super) fn sessions(call: &Call<'_>) -> Answer {
    let hidden = call.tenant.hides(List::UserSessions);
    call.tenant.world(|world| {
        let Some(person) = world.people.by_user_id(call.param(0)) else {
            return Answer::error(404, "no such user");
        };
        let count = if hidden { 0 } else { world.sessions(person) };
        let all = (0..count).collect();
        forms::answer(Wrapping::Results, Nothing::NotFound, all, |out, at| {
            world.session(out, person, at);
        })
    })
}

impl People<'_> {
    /// Appends what an app stored about a person; false, and nothing, if that is nothing.
    fn profile(&self, out: &mut Vec<u8>, person: u32, app: &str) -> bool {
        let Some(at) = PROFILE_APPS.iter().position(|known| *known == app) else {
            return false;
        };
        let number = u64::from(person) * 8 + at as u64;
        let mut choices = Choices::new(self.population.seed, Purpose::Profile, number);
        if !choices.chance(30) {
            return false;
        }
        json::object(out, |out| {
            json::text_field(out, "topic", choices.pick(names::TOPICS));
            json::number_field(out, "score", choices.below(1000));
            json::raw_field(out, "saved", r#"["article-1","article-2"]"#);
        });
        true
    }

    /// Appends the profiles an export item shows.
    pub(super) fn profiles(&self, out: &mut Vec<u8>, person: u32, apps: &str) {
        let all = PROFILE_APPS.join(",");
        let wanted = if apps == "all" { &all } else { apps };
        json::object(out, |out| {
            for app in wanted.split(',') {
                let mut profile = Vec::new();
                if self.profile(&mut profile, person, app) {
                    json::key(out, app);
                    out.extend_from_slice(&profile);
                }
            }
        });
    }
}

/// `GET /v3/users/{user_id}/profile/{app_id}`.
pub(super) fn profile(call: &Call<'_>) -> Answer {
    let app = call.param(1);
    if app.starts_with("_restricted") {
        return Answer::error(400, "this app id is not for clients");
    }
    call.tenant.world(|world| {
        let mut body = Vec::new();
        match world.people.by_user_id(call.param(0)) {
            Some(person) if world.people.profile(&mut body, person, app) => Answer::json(200, body),
            Some(_) | None => Answer::error(404, "no such user or profile"),
        }
    })
}
