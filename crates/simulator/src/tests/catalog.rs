use super::*;

const PATHS: [(List, &str); 6] = [
    (List::Companies, "/v3/companies"),
    (List::Products, "/v3/products"),
    (List::Bundles, "/v3/bundles"),
    (List::Entitlements, "/v3/entitlements"),
    (List::Meters, "/v3/meters"),
    (List::Credits, "/v3/credits"),
];

#[tokio::test]
async fn lists_are_their_truth_with_ids_or_without() {
    for shown in [false, true] {
        let mut options = small(3_000);
        options.behaviour.company_ids = shown;
        options.behaviour.catalog_ids = shown;
        options.behaviour.products_nested = shown;
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::of(&simulator);
        for (list, path) in PATHS {
            let answer = client.json(path).await;
            let mut items = answer["results"].as_array().unwrap();
            if list == List::Products && shown {
                items = items[0].as_array().unwrap();
            }
            assert_eq!(items, &rows(&simulator, list), "{path}");
            assert!(items.len() > 1);
            let id = match list {
                List::Companies => "company_id",
                _ => "id",
            };
            let always = matches!(list, List::Products | List::Bundles);
            assert!(
                items
                    .iter()
                    .all(|item| item.get(id).is_some() == (shown || always))
            );
        }
    }
}

#[tokio::test]
async fn products_and_accounts_lead_to_what_they_name() {
    let simulator = Simulator::start(small(3_000)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let bundles = tenant.record_ids(List::Bundles);
    for product in rows(&simulator, List::Products) {
        assert!(bundles.contains(&text(&product["entitlement"], "id").to_owned()));
    }
    for account in rows(&simulator, List::Accounts) {
        let company = text(&account, "company_id");
        let answer = client.json(&format!("/v4/companies/{company}")).await;
        assert_eq!(text(&answer, "company_id"), company);
        assert!(answer["tenantId"].is_string() && answer["name"].is_string());
    }
    assert_eq!(client.get("/v4/companies/none").await.status(), 404);
}

#[tokio::test]
async fn any_short_list_takes_edits() {
    let simulator = Simulator::start(small(100)).await.unwrap();
    let tenant = simulator.tenant();
    for (list, _) in PATHS {
        let first = tenant.record_ids(list)[0].clone();
        let new = tenant
            .add_record(list, r#"{"label":"half \ud800 of","x":1e400}"#)
            .unwrap();
        assert!(tenant.delete_record(list, &first));
        assert!(
            tenant
                .change_record(list, &new, r#"{"label":"whole","x":1}"#)
                .unwrap()
        );
        let ids = tenant.record_ids(list);
        assert!(ids.contains(&new) && !ids.contains(&first));
        assert!(
            rows(&simulator, list)
                .iter()
                .any(|row| row["label"] == "whole")
        );
    }
}
