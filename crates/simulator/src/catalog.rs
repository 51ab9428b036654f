//! What a tenant sells and whom it sells through (contract 10): companies, products, bundles,
//! entitlements, meters and credits, consistent with each other and with the grants; and the
//! generated segments, webhooks and rules beside them.

use std::collections::BTreeMap;

use super::answer::Answer;
use super::awkward::{self, LONG_ID_FILLER, LONG_ID_PREFIX};
use super::behaviour::Behaviour;
use super::business::Scale;
use super::forms::{self, Wrapping};
use super::ids;
use super::json;
use super::list::List;
use super::lists;
use super::mix::{Choices, Purpose};
use super::names;
use super::population::Population;
use super::record::Record;
use super::routes::Call;
use super::segments;

/// What a grant may be for.
#[derive(Debug)]
pub(super) struct Offer {
    /// `entitlement_type`.
    pub kind: &'static str,
    /// `entitlement_id`.
    pub entitlement: &'static str,
    /// `product_id`: only bundles are sold as products.
    pub product: Option<&'static str>,
}

const fn sold(product: &'static str, bundle: &'static str) -> Offer {
    Offer {
        kind: "bundle",
        entitlement: bundle,
        product: Some(product),
    }
}

const fn given(kind: &'static str, entitlement: &'static str) -> Offer {
    Offer {
        kind,
        entitlement,
        product: None,
    }
}

/// Every kind of grant, bundles more often than the rest.
pub(super) const OFFERS: &[Offer] = &[
    sold("gold", "gold-bundle"),
    sold("digital", "digital-bundle"),
    sold("digital-trial", "trial"),
    sold("weekend", "weekend-bundle"),
    sold("gold", "gold-bundle"),
    given("entitlement", "crossword"),
    given("meter", "free-articles"),
    given("credits", "gift-articles"),
];

/// Product, its label, its bundle, and what the bundle includes.
const PRODUCTS: &[(&str, &str, &str, &[&str])] = &[
    (
        "gold",
        "Gold",
        "gold-bundle",
        &["news", "archive", "crossword"],
    ),
    ("digital", "Digital", "digital-bundle", &["news", "archive"]),
    ("digital-trial", "Digital, four weeks", "trial", &["news"]),
    (
        "weekend",
        "Weekend print & digital",
        "weekend-bundle",
        &["news"],
    ),
];

const ENTITLEMENTS: &[(&str, &str)] = &[
    ("news", "News"),
    ("archive", "Archive since 1821"),
    ("crossword", "Crossword"),
];

/// The id of the `index`-th generated company.
pub(super) fn company_id(seed: u64, index: u64) -> String {
    ids::text(seed, Purpose::CompanyId, index)
}

fn array_of(texts: &[&str]) -> String {
    let mut out = Vec::new();
    json::array(&mut out, texts, |out, text| json::string(out, text));
    String::from_utf8_lossy(&out).into_owned()
}

fn tenanted(id: &str) -> Record {
    Record::new(id)
        .text("tenantId", "demo")
        .text("subTenantId", "demo")
}

fn company(seed: u64, index: u64) -> Record {
    let mut choices = Choices::new(seed, Purpose::Catalog, index);
    let (name, city) = (choices.pick(names::LAST), choices.pick(names::CITIES));
    let contact = format!(
        "{} {}",
        choices.pick(names::FIRST),
        choices.pick(names::LAST)
    );
    Record::new(company_id(seed, index))
        .text("name", &format!("{name} Holdings {index}"))
        .text("description", &format!("Publisher in {city}"))
        .text("website", &format!("https://holdings-{index}.example"))
        .text("contact", &contact)
        .text("account_manager", choices.pick(names::FIRST))
}

/// What is sold; a grant of it is one of its bundle.
fn product(id: &str, label: &str, bundle: &str) -> Record {
    let entitlement = format!(r#"{{"id":"{bundle}","type":"bundle","entitlementTenant":"demo"}}"#);
    tenanted(id)
        .text("label", label)
        .text("description", &format!("{label} subscription"))
        .raw("entitlement", &entitlement)
        .raw("mapping", r#"{"billing":"plan"}"#)
        .raw("sharingLimit", "3")
}

/// What a product opens.
fn bundle(id: &str, label: &str, includes: &[&str], is_described: bool) -> Record {
    let includes = format!(
        r#"{{"entitlements":{},"meters":["free-articles"],"credits":[],"bundles":[]}}"#,
        array_of(includes)
    );
    let record = tenanted(id).text("type", "bundle").text("label", label);
    // The description is returned only when it is not null (contract section 3).
    let record = if is_described {
        record.text("description", &format!("What {label} opens"))
    } else {
        record
    };
    record
        .raw("includes", &includes)
        .text("auto_assign", "none")
}

/// What readers are let in to.
fn entitlement(id: &str, label: &str) -> Record {
    Record::new(id)
        .text("label", label)
        .text("description", &format!("{label}, on every device"))
        .text("auto_assign", "authenticated")
}

/// What is free up to a limit.
fn meter(id: &str, limit: u32) -> Record {
    Record::new(id)
        .text("label", id)
        .text("description", "A month's worth")
        .text("auto_assign", "all")
        .text("unit", "articles")
        .raw("limit", &limit.to_string())
        .text("cycle", "calendar")
        .text("period", "month")
        .text("timezone", "Europe/London")
}

/// What may be opened so many times.
fn credit(id: &str, quantity: u32) -> Record {
    Record::new(id)
        .text("label", id)
        .text("description", "To give away")
        .text("auto_assign", "none")
        .raw("delivers", r#"["news"]"#)
        .text("unit", "articles")
        .raw("quantity", &quantity.to_string())
}

/// All short lists as they are at the start.
pub(super) fn records(population: &Population, scale: Scale) -> BTreeMap<List, Vec<Record>> {
    let seed = population.seed;
    let companies = (0..u64::from(scale.companies)).map(|index| company(seed, index));
    let products = PRODUCTS.iter();
    let products = products.map(|(id, label, bundle, _)| product(id, label, bundle));
    let bundles = PRODUCTS.iter().enumerate();
    let bundles = bundles.map(|(at, (_, label, id, includes))| bundle(id, label, includes, at > 0));
    let entitlements = ENTITLEMENTS.iter();
    let entitlements = entitlements.map(|(id, label)| entitlement(id, label));
    let mut lists = BTreeMap::from([
        (List::Companies, companies.collect()),
        (List::Products, products.collect()),
        (List::Bundles, bundles.collect()),
        (List::Entitlements, entitlements.collect()),
        (
            List::Meters,
            vec![meter("free-articles", 5), meter("free-videos", 2)],
        ),
        (
            List::Credits,
            vec![credit("gift-articles", 10), credit("archive-pages", 50)],
        ),
        (List::Segments, segments::generated(seed, scale.segments)),
        (List::Webhooks, lists::webhooks(seed)),
        (List::RequestRules, lists::request_rules(seed)),
    ]);
    if population.is_awkward() {
        for records in lists.values_mut() {
            make_awkward(seed, records);
        }
    }
    lists
}

/// Makes most records of a list awkward, each in one way, without changing an id others refer to;
/// and adds one that shows no id, one whose id is too long for an index, and the first again.
fn make_awkward(seed: u64, records: &mut Vec<Record>) {
    for (at, record) in records.iter_mut().enumerate() {
        match at % 8 {
            1 => record.set(
                "description",
                r#""🦊 \ud83e\udd8a \"quoted\", back\\slash""#,
            ),
            2 => record.set("description", r#""nul\u0000inside""#),
            3 => record.set("description", r#""half \ud800 of""#),
            4 => record.set("active", "\"true\""),
            5 => record.set("sharingLimit", "1e400"),
            6 => record.set("description", "null"),
            7 => record.set("_internal", r#"{"a":[1,null,{"b":false}],"":"empty key"}"#),
            _ => {}
        }
    }
    let Some(first) = records.first().cloned() else {
        return;
    };
    let mut long = LONG_ID_PREFIX.as_bytes().to_vec();
    awkward::noise(&mut long, seed, 0, LONG_ID_FILLER);
    let long = Record::new(String::from_utf8_lossy(&long));
    let nameless = Record {
        nameless: true,
        ..Record::new("nameless")
    };
    records.push(long.text("label", "A long id").text("name", "A long id"));
    records.push(nameless.text("label", "No id").text("name", "No id"));
    records.push(first);
}

/// Under which name the records of a list show their id, if they do.
pub(super) fn id_name(behaviour: &Behaviour, list: List) -> Option<&'static str> {
    match list {
        List::Companies => behaviour.company_ids.then_some("company_id"),
        List::Entitlements | List::Meters | List::Credits => behaviour.catalog_ids.then_some("id"),
        List::Webhooks => Some("webhook_id"),
        List::Products | List::Bundles | List::Segments | List::RequestRules => Some("id"),
        List::Accounts
        | List::AccountUsers
        | List::AccountGrants
        | List::UserAccounts
        | List::UserGrants
        | List::UserSegments
        | List::UserEvents
        | List::UserSessions
        | List::UserSchema => None,
    }
}

/// Answers a whole short list.
pub(super) fn whole(call: &Call<'_>, list: List, wrapping: Wrapping) -> Answer {
    let name = id_name(call.tenant.behaviour(), list);
    let hidden = call.tenant.hides(list);
    let nested = list == List::Products && call.tenant.behaviour().products_nested;
    call.tenant.world(|world| {
        let records = if hidden {
            &[]
        } else {
            world.books.records(list)
        };
        let mut body = Vec::new();
        if nested {
            forms::wrapped(&mut body, wrapping, [records], |out, records| {
                json::array(out, records, |out, record| record.write(out, name));
            });
        } else {
            forms::wrapped(&mut body, wrapping, records, |out, record| {
                record.write(out, name)
            });
        }
        Answer::json(200, body)
    })
}

/// `GET /v3/companies`.
pub(super) fn companies(call: &Call<'_>) -> Answer {
    whole(call, List::Companies, Wrapping::Results)
}

/// `GET /v4/companies/{company_id}`.
pub(super) fn read_company(call: &Call<'_>) -> Answer {
    call.tenant.world(
        |world| match world.books.record(List::Companies, call.param(0)) {
            Some(company) => {
                let mut body = Vec::new();
                let full = company
                    .clone()
                    .text("tenantId", "demo")
                    .text("subTenantId", "demo");
                full.write(&mut body, Some("company_id"));
                Answer::json(200, body)
            }
            None => Answer::error(404, "no such company"),
        },
    )
}

/// `GET /v3/products`.
pub(super) fn products(call: &Call<'_>) -> Answer {
    whole(call, List::Products, Wrapping::Results)
}

/// `GET /v3/bundles`.
pub(super) fn bundles(call: &Call<'_>) -> Answer {
    whole(call, List::Bundles, Wrapping::Results)
}

/// `GET /v3/entitlements`.
pub(super) fn entitlements(call: &Call<'_>) -> Answer {
    whole(call, List::Entitlements, Wrapping::Results)
}

/// `GET /v3/meters`.
pub(super) fn meters(call: &Call<'_>) -> Answer {
    whole(call, List::Meters, Wrapping::Results)
}

/// `GET /v3/credits`.
pub(super) fn credits(call: &Call<'_>) -> Answer {
    whole(call, List::Credits, Wrapping::Results)
}
