//! Runs that only look: `--dry-run` writes nothing at all, `--limit` reads a sample and moves
//! nothing.

use simulator::Edits;

use crate::support::{Mirror, Program, people, truth};

/// Rows of all tables in both schemas, contents included.
async fn snapshot(mirror: &Mirror) -> Vec<String> {
    let tables = mirror
        .rows(
            "select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace
             where relkind in ('r', 'p') and nspname in ('zephr', 'zephr_sync') order by 1",
        )
        .await;
    assert!(tables.len() > 5, "{} tables", tables.len());
    let mut contents = Vec::new();
    for table in tables {
        let table: String = sqlx::Row::get(&table, 0);
        let content = format!(
            "select '{table} ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {table} t"
        );
        contents.push(mirror.value(&content).await);
    }
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_what_a_run_would_do_and_writes_nothing() {
    let (simulator, mirror) = (people(1_200).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users"]).await.expect(0);
    let edited = simulator.tenant().edit(Edits {
        updates: 10,
        creations: 7,
        deletions: 0,
        ..Edits::NONE
    });
    let updated: std::collections::BTreeSet<_> = edited.updated.iter().collect();
    let before = snapshot(&mirror).await;

    for arguments in [
        &["sync", "users", "--dry-run", "--json"][..],
        &["sync", "users", "--full", "--dry-run", "--json"],
    ] {
        let shown = program.run(arguments).await.expect(0).json();
        let preview = &shown["dry_run"][0];
        assert_eq!(
            (&preview["rows_inserted"], &preview["rows_updated"]),
            (&7.into(), &updated.len().into()),
            "{shown:#}"
        );
        assert_eq!(snapshot(&mirror).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_who_is_missing_and_what_a_run_would_do_about_them() {
    let (simulator, mirror) = (people(1_200).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);
    program.run(&["sync", "users", "catalog"]).await.expect(0);
    let dry = async |job: &str| {
        let shown = program
            .run(&["sync", job, "--full", "--dry-run", "--json"])
            .await
            .expect(0)
            .json();
        shown["dry_run"][0]["verdict_reason"].to_string()
    };
    assert!(!dry("users").await.contains("not shown"));
    let delete = |people| Edits {
        deletions: people,
        ..Edits::NONE
    };
    simulator.tenant().edit(delete(7));
    let few = dry("users").await;
    assert!(few.contains("7 living users"), "{few}");
    assert!(few.contains("ask for each by id"), "{few}");
    simulator.tenant().edit(delete(300));
    let many = dry("users").await;
    assert!(many.contains("307 living users"), "{many}");
    assert!(many.contains("end with 4"), "{many}");
    program.run(&["sync", "users", "--full"]).await.expect(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_does_not_even_make_the_schema() {
    let (simulator, mirror) = (people(10).await, Mirror::new().await);
    let document = Program::between(&simulator, &mirror)
        .run(&["sync", "users", "--dry-run", "--json"])
        .await
        .expect(1)
        .json();
    assert!(
        document["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("zephr-sync migrate")),
        "{document:#}"
    );
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from pg_namespace where nspname like 'zephr%'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_stored_and_moves_no_watermark() {
    let (simulator, mirror) = (people(3_000).await, Mirror::new().await);
    let program = Program::between(&simulator, &mirror);

    let shown = program
        .run(&["sync", "users", "--limit", "100", "--rpp", "50", "--json"])
        .await
        .expect(0)
        .json();

    let run = &shown["runs"][0];
    assert!(run["verdict"].is_null(), "{run:#}");
    let stored: i64 = mirror.value("select count(*) from users").await;
    assert_eq!(run["rows_inserted"], stored);
    assert!(
        (100..3_000).contains(&stored),
        "{stored} of a sample of 100"
    );
    assert_eq!(
        mirror
            .value::<i64>("select count(*) from checkpoints")
            .await,
        0
    );
    assert_eq!(mirror.value::<i64>("select count(*) from windows").await, 0);

    let next = program
        .run(&["sync", "users", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(next["runs"][0]["mode"], "full");
    truth::expect_equal(&simulator.tenant(), &mirror).await;
    let watermark: String = mirror
        .value("select watermark::text from checkpoints")
        .await;
    simulator.tenant().edit(Edits {
        updates: 5,
        creations: 5,
        deletions: 0,
        ..Edits::NONE
    });
    program
        .run(&["sync", "users", "--limit", "100"])
        .await
        .expect(0);
    assert_eq!(
        mirror
            .value::<String>("select watermark::text from checkpoints")
            .await,
        watermark
    );
}
