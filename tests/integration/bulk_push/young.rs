//! A plan that is younger than what Postgres knows about the ledger, as every plan is that is
//! applied right after it was made.

use super::Desk;

/// Rows of a plan.
const ROWS: u32 = 2_000;

/// Entries of the ledger's index that were read so far.
const READ: &str = "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes where indexrelname = 'bulk_rows_pkey'";

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_statistics_do_not_know_is_applied_in_as_many_steps_as_it_has_rows() {
    let mut desk = Desk::new(ROWS).await;
    desk.program = desk.program.with("ZEPHR_SYNC_BULK_POLL", "20ms");
    // So that statistics are what the test says they are.
    desk.mirror
        .execute("alter table bulk_rows set (autovacuum_enabled = off)")
        .await;
    desk.cities("a.csv", 0..ROWS, "Port");
    let plan = desk.plan("a.csv").await;
    desk.apply(&plan).await.expect(0);
    desk.mirror.execute("analyze bulk_rows").await;

    desk.cities("b.csv", 0..ROWS, "Quay");
    let plan = desk.plan("b.csv").await;
    desk.mirror.alone().await;
    let before: i64 = desk.mirror.value(READ).await;
    desk.apply(&plan).await.expect(0);
    // Sessions say what they read at the latest when they end.
    desk.mirror.alone().await;
    let read = desk.mirror.value::<i64>(READ).await - before;
    assert!(
        read < i64::from(ROWS) * 12,
        "{read} entries of the index were read for {ROWS} rows"
    );
}
