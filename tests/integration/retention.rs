//! Bookkeeping goes when it is as old as the settings say, but for what something still goes by.

use std::collections::BTreeSet;

use crate::support::Program;
use crate::support::bulk::Bench;

const FULL: [&str; 3] = ["sync", "users", "--full"];

/// Everything that ended is so much older than it was.
const AGE: &str = "
    update runs set started_at = started_at - interval '40 days', finished_at = finished_at - interval '40 days';
    update verifications set started_at = started_at - interval '40 days', finished_at = finished_at - interval '40 days';
    update rejects set first_seen_at = first_seen_at - interval '40 days', last_seen_at = last_seen_at - interval '40 days';
    update bulk_plans set created_at = created_at - interval '40 days', applied_at = applied_at - interval '40 days',
        finished_at = finished_at - interval '40 days'";

async fn named(bench: &Bench, sql: &str) -> BTreeSet<String> {
    let rows = bench.mirror.rows(sql).await;
    rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

/// What there is: runs, comparisons and plans by their identifiers, rejects by their reasons.
async fn kept(bench: &Bench) -> BTreeSet<String> {
    named(
        bench,
        "select run_id::text from runs union all select verification_id::text from verifications
         union all select plan_id::text from bulk_plans union all select reason from rejects",
    )
    .await
}

async fn age(bench: &Bench) {
    for statement in AGE.split(';') {
        bench.mirror.execute(statement).await;
    }
}

async fn last_run(bench: &Bench) -> String {
    let latest = "select run_id::text from runs order by run_id desc limit 1";
    bench.mirror.value(latest).await
}

fn csv(bench: &Bench, city: &str) -> String {
    let person = &bench.persons()[0];
    format!("user_id,city\n{},{city}\n", person.user_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_what_something_goes_by_stays() {
    let bench = Bench::of(60).await;
    let keeping = Program::between(&bench.simulator, &bench.mirror)
        .with("ZEPHR_SYNC_BOOKKEEPING_RETENTION", "30d");
    let mut gone = BTreeSet::from([last_run(&bench).await, "was repaired".into()]);
    let mut stays = BTreeSet::new();
    for verification in [&mut gone, &mut stays] {
        bench.program.run(&["verify", "users"]).await.expect(0);
        let latest =
            "select verification_id::text from verifications order by verification_id desc limit 1";
        verification.insert(bench.mirror.value(latest).await);
    }
    for reason in ["was repaired", "is young"] {
        let reject = format!(
            "insert into rejects (job, resource, content_hash, reason, record, first_run_id, last_run_id)
             select 'users', 'users', '{reason}', '{reason}', '{{}}', run_id, run_id from runs limit 1"
        );
        bench.mirror.execute(&reject).await;
    }
    stays.insert("is young".into());
    // A push, one that is taken back, one without an end, and one that was only planned.
    gone.insert(bench.push(&csv(&bench, "Mainz")).await);
    let taken_back = bench.push(&csv(&bench, "Worms")).await;
    let way_back = bench.json(0, &["undo", &taken_back]).await;
    let way_back = crate::support::bulk::plan_id(&way_back);
    stays.extend([taken_back.clone(), way_back.clone()]);
    let open = bench.push(&csv(&bench, "Speyer")).await;
    stays.insert(open.clone());
    let planned = bench.plan(0, &csv(&bench, "Trier")).await;
    gone.insert(crate::support::bulk::plan_id(&planned));

    age(&bench).await;
    for young in [
        format!("update bulk_plans set created_at = now() where plan_id = '{way_back}'"),
        format!("update bulk_plans set finished_at = null where plan_id = '{open}'"),
        "update rejects set last_seen_at = now() where reason = 'is young'".into(),
    ] {
        bench.mirror.execute(&young).await;
    }
    let all: BTreeSet<String> = gone.union(&stays).cloned().collect();
    assert_eq!(kept(&bench).await, all);

    // Nothing goes unless the settings say so.
    bench.program.run(&FULL).await.expect(0);
    stays.insert(last_run(&bench).await);
    assert_eq!(kept(&bench).await, &all | &stays);

    keeping.run(&FULL).await.expect(0);
    let last_full = last_run(&bench).await;
    stays.insert(last_full.clone());
    assert_eq!(kept(&bench).await, stays);
    let rows = named(&bench, "select distinct plan_id::text from bulk_rows").await;
    assert_eq!(rows, BTreeSet::from([taken_back, way_back, open]));

    // The last full scan stays, however old it is, what was done after it, and what it met.
    age(&bench).await;
    let met = "insert into rejects (job, resource, content_hash, reason, record, first_run_id, last_run_id, last_seen_at)
        select 'users', 'users', 'still there', 'still there', '{}', run_id, run_id, now() - interval '39 days' from runs limit 1";
    bench.mirror.execute(met).await;
    keeping.run(&["sync", "users"]).await.expect(0);
    let incremental = last_run(&bench).await;
    let runs = named(&bench, "select run_id::text from runs").await;
    assert_eq!(runs, BTreeSet::from([last_full, incremental]));
    let rejects = named(&bench, "select reason from rejects").await;
    assert_eq!(rejects, BTreeSet::from(["still there".into()]));
    let status = keeping.run(&["status"]).await.expect(0).stdout;
    assert!(status.contains("users"), "{status}");
}

#[tokio::test]
async fn a_retention_that_is_too_short_is_refused() {
    let program = Program::new().with("ZEPHR_SYNC_BOOKKEEPING_RETENTION", "6d");
    let said = program.run(&["check"]).await.expect(2).stderr;
    assert!(
        said.contains("ZEPHR_SYNC_BOOKKEEPING_RETENTION") && said.contains("at least \"7d\""),
        "{said}"
    );
    let program = Program::new().with("ZEPHR_SYNC_BOOKKEEPING_RETENTION", "a while");
    let said = program.run(&["check"]).await.expect(2).stderr;
    assert!(said.contains("write for example"), "{said}");
}
