use super::*;
use crate::Nothing;

#[tokio::test]
async fn segments_are_read_per_user() {
    for nothing in [Nothing::NotFound, Nothing::EmptyList] {
        let mut options = small(400);
        options.behaviour.no_user_segments = nothing;
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::of(&simulator);
        let all = client.json("/v4/users/segments").await;
        assert_eq!(
            all["items"].as_array().unwrap(),
            &rows(&simulator, List::Segments)
        );
        assert_eq!(all["items"].as_array().unwrap().len(), 6);
        let first = &all["items"][0];
        let one = client
            .json(&format!("/v4/users/segments/{}", text(first, "id")))
            .await;
        assert_eq!(&one, first);
        let truth = rows(&simulator, List::UserSegments);
        let mut inside = 0;
        for person in ids(&super::truth(&simulator)) {
            let mut expected: Vec<&str> = truth
                .iter()
                .filter(|row| row["user_id"] == *person)
                .map(|row| text(row, "segment_id"))
                .collect();
            let answer = client.get(&format!("/v4/users/{person}/segments")).await;
            if expected.is_empty() && nothing == Nothing::NotFound {
                assert_eq!(answer.status(), 404);
                continue;
            }
            inside += usize::from(!expected.is_empty());
            let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            let items = answer["items"].as_array().unwrap();
            let mut got: Vec<&str> = items.iter().map(|item| text(item, "id")).collect();
            got.sort_unstable();
            expected.sort_unstable();
            assert_eq!(got, expected);
        }
        assert!((120..200).contains(&inside), "{inside} of 400");
        let stranger = "/v4/users/00000000-0000-4000-8000-000000000000/segments";
        assert_eq!(client.get(stranger).await.status(), 404);
    }
}

#[tokio::test]
async fn segments_come_change_and_go() {
    let simulator = Simulator::start(small(400)).await.unwrap();
    let (client, tenant) = (Client::of(&simulator), simulator.tenant());
    let new = tenant
        .add_record(List::Segments, r#"{"label":"New","active":true}"#)
        .unwrap();
    tenant.enter_segment(9, &new);
    assert!(tenant.segments_of(9).contains(&new));
    assert!(
        tenant
            .change_record(List::Segments, &new, r#"{"label":"Newer"}"#)
            .unwrap()
    );
    let one = client.json(&format!("/v4/users/segments/{new}")).await;
    assert_eq!(
        (one["label"].as_str(), one["active"].as_bool()),
        (Some("Newer"), Some(true))
    );
    tenant.leave_segment(9, &new);
    assert!(!tenant.segments_of(9).contains(&new));
    tenant.enter_segment(9, &new);
    assert!(
        tenant.delete_record(List::Segments, &new) && !tenant.delete_record(List::Segments, &new)
    );
    assert!(
        !tenant.segments_of(9).contains(&new),
        "a segment that is gone holds nobody"
    );
    assert!(
        tenant
            .change_record(List::Segments, &new, "{}")
            .is_ok_and(|found| !found)
    );
    assert!(tenant.add_record(List::Segments, "[]").is_err());
    for id in tenant.record_ids(List::Segments) {
        tenant.delete_record(List::Segments, &id);
    }
    assert_eq!(client.get("/v4/users/segments").await.status(), 404);
    assert!(rows(&simulator, List::UserSegments).is_empty());
}
