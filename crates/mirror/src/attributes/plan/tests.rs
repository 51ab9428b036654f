use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_614_160_000, 0).unwrap()
}

fn attribute(slug: &str, input_type: &str) -> Attribute {
    Attribute {
        slug: slug.into(),
        input_type: Some(input_type.into()),
        ..Attribute::default()
    }
}

fn schema(slugs: &[&str]) -> Vec<Attribute> {
    slugs.iter().map(|slug| attribute(slug, "text")).collect()
}

fn built(plan: &Plan) -> Vec<Known> {
    let columns = plan.columns.iter().map(|column| Known {
        slug: column.slug.clone(),
        name: column.name.clone(),
        kind: column.kind,
        input_type: column.input_type.clone(),
        label: column.label.clone(),
        gone_since: column.gone_since,
    });
    columns.collect()
}

fn planned(schema: &[Attribute], known: &[Known], freedom: &Freedom) -> Plan {
    plan(schema, known, freedom, now())
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.columns
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

#[test]
fn columns_do_not_depend_on_the_order_of_the_schema() {
    let slugs = ["b", "First-Name", "first-name", "a", "first_name"];
    let mut turned = slugs;
    turned.reverse();
    let one = planned(&schema(&slugs), &[], &Freedom::Remake);
    assert_eq!(one, planned(&schema(&turned), &[], &Freedom::Remake));
    assert_eq!(names(&one)[..3], ["a", "b", "first_name"]);
    assert_eq!(one.columns[2].slug, "first_name");
}

#[test]
fn what_is_built_is_what_is_planned_again() {
    let of = schema(&["b", "a-b", "a.b", "user_id"]);
    let one = planned(&of, &[], &Freedom::Remake);
    assert_eq!(one, planned(&of, &built(&one), &Freedom::Remake));
}

#[test]
fn new_columns_come_last_and_gone_ones_keep_their_place_and_their_date() {
    let one = planned(&schema(&["m", "z"]), &[], &Freedom::Remake);
    let two = planned(&schema(&["a", "z"]), &built(&one), &Freedom::Remake);
    assert_eq!(names(&two), ["m", "z", "a"]);
    assert_eq!(two.columns[0].gone_since, Some(now()));

    let later = now() + chrono::TimeDelta::days(1);
    let three = plan(&schema(&["a", "z"]), &built(&two), &Freedom::Remake, later);
    assert_eq!(three, two);
    let back = planned(&schema(&["a", "m", "z"]), &built(&two), &Freedom::Remake);
    assert_eq!(back.columns[0].gone_since, None);
}

#[test]
fn a_type_changes_only_while_nothing_is_built_on_the_view() {
    let one = planned(&schema(&["a"]), &[], &Freedom::Remake);
    let dates = [attribute("a", "date")];
    let free = planned(&dates, &built(&one), &Freedom::Remake);
    assert_eq!(free.columns[0].kind, Kind::Date);
    let held = planned(
        &dates,
        &built(&one),
        &Freedom::Append(vec!["a report".into()]),
    );
    assert_eq!(
        (held.columns[0].kind, held.columns[0].wanted),
        (Kind::Text, Kind::Date)
    );
    let reason = held.columns[0].reason.as_deref().unwrap_or_default();
    assert!(reason.contains("a report"), "{reason}");
}

#[test]
fn columns_that_are_there_go_before_new_ones_when_there_is_no_room() {
    let slugs: Vec<String> = (0..ROOM + 2).map(|nr| format!("n{nr:04}")).collect();
    let mut of = schema(&slugs.iter().map(String::as_str).collect::<Vec<_>>());
    let one = planned(&of, &[], &Freedom::Remake);
    assert_eq!((one.columns.len(), one.left_out.len()), (ROOM, 2));
    of.push(attribute("a", "text"));
    let two = planned(&of, &built(&one), &Freedom::Remake);
    assert_eq!(two.columns, one.columns);
    assert_eq!(two.left_out[0].slug, "a");
}

#[test]
fn an_input_type_that_is_new_is_text_and_says_so() {
    let plan = planned(
        &[
            attribute("a", "hologram"),
            Attribute {
                slug: "b".into(),
                ..Attribute::default()
            },
        ],
        &[],
        &Freedom::Remake,
    );
    for column in &plan.columns {
        assert_eq!(column.kind, Kind::Text);
        assert!(
            column
                .reason
                .as_deref()
                .is_some_and(|reason| reason.contains("input type"))
        );
    }
}
