//! `GET /v3/accounts` (contract 9.1): a short generated list with paging style B.

use super::answer::Answer;
use super::identity;
use super::json;
use super::mix::{Choices, Purpose};
use super::names;
use super::routes::Call;

/// The documented default of `rpp`; that of `page` is documented as 10 too, which nobody can mean.
const DEFAULT_RPP: u32 = 10;

/// One account per this many people, and three more.
const PEOPLE_PER_ACCOUNT: u32 = 500;

pub(super) fn list(call: &Call<'_>) -> Answer {
    let (rpp, page) = match (call.query.count("rpp"), call.query.count("page")) {
        (Ok(rpp), Ok(page)) => (rpp.unwrap_or(DEFAULT_RPP), page.unwrap_or(1)),
        (Err(reason), _) | (_, Err(reason)) => return Answer::error(400, &reason),
    };
    let total = 3 + call.tenant.size() / PEOPLE_PER_ACCOUNT;
    let from = (page - 1).saturating_mul(rpp).min(total);
    let mut body = Vec::new();
    json::raw(&mut body, "{\"results\":[");
    for index in from..from.saturating_add(rpp).min(total) {
        if index > from {
            body.push(b',');
        }
        account(&mut body, call.tenant.seed(), index);
    }
    json::raw(&mut body, "],\"total\":");
    json::number(&mut body, u64::from(total));
    body.push(b'}');
    Answer::json(200, body)
}

fn account(out: &mut Vec<u8>, seed: u64, index: u32) {
    let mut choices = Choices::new(seed, Purpose::Account, u64::from(index));
    let id = choices.next();
    json::raw(out, "{\"account_id\":\"");
    identity::uuid(out, id & !0xF000 | 0x4000, id.rotate_left(23));
    let (who, place) = (choices.pick(names::LAST), choices.pick(names::CITIES));
    json::raw(out, "\",\"name\":\"");
    json::inner(out, who);
    json::raw(out, " & Co, ");
    json::inner(out, place);
    json::raw(out, "\",\"tenant_id\":\"demo\",\"number_of_seats\":");
    json::number(out, 5 + choices.below(500));
    json::raw(out, ",\"email_address\":\"office-");
    json::number(out, u64::from(index));
    json::raw(out, "@company.example\"}");
}
