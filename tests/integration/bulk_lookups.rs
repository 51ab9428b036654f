//! Planning looks up those whom a file names, and only those: what it costs goes by the rows of the
//! file, whatever Postgres knows of the mirror.

use std::collections::HashMap;

use crate::support::bulk::{Bench, Person};

const PEOPLE: u32 = 12_000;

/// Several batches, so that reading the whole mirror for each would show.
const ROWS: usize = 8_000;

/// Index entries of the table that were read, in all.
const READ: &str = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname = ";

/// As Postgres is before it first looked at a table: after a load of its own, or with autovacuum
/// away.
const WITHOUT_STATISTICS: &str = "
    delete from pg_statistic where starelid in ('users'::regclass, 'user_foreign_keys'::regclass);
    update pg_class set reltuples = -1, relpages = 0, relallvisible = 0
    where oid in (select i.indexrelid from pg_index i where i.indrelid in ('users'::regclass, 'user_foreign_keys'::regclass))
       or oid in ('users'::regclass, 'user_foreign_keys'::regclass)";

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_without_statistics_is_not_read_whole() {
    let bench = Bench::of(PEOPLE).await;
    for table in ["users", "user_foreign_keys"] {
        let sql = format!("alter table {table} set (autovacuum_enabled = off)");
        bench.mirror.execute(&sql).await;
    }
    let people = bench.persons();
    let email = |person: &Person| Some(person.email.clone());
    let username = |person: &Person| person.username.clone();
    let crm = |person: &Person| person.crm.clone();
    let user_id = |person: &Person| Some(person.user_id.clone());
    type Name<'a> = &'a dyn Fn(&Person) -> Option<String>;
    let ways: [(&str, &str, Name<'_>); 4] = [
        ("user_id", "users", &user_id),
        ("email", "users", &email),
        ("username", "users", &username),
        ("foreign_key:crm", "user_foreign_keys", &crm),
    ];
    for (column, table, name) in ways {
        let mut times: HashMap<String, usize> = HashMap::new();
        people
            .iter()
            .filter_map(name)
            .for_each(|name| *times.entry(name).or_default() += 1);
        // Of a name that several have nobody can tell whom it means.
        let alone = times
            .into_iter()
            .filter(|(_, times)| *times == 1)
            .map(|(name, _)| name);
        let named: Vec<String> = alone.take(ROWS).collect();
        let mut file = format!("{column},city\n");
        for name in &named {
            file += &format!("{name},Elsewhere\n");
        }
        bench.mirror.alone().await;
        bench.mirror.execute(WITHOUT_STATISTICS).await;
        let sql = format!("{READ}'{table}'");
        let before: i64 = bench.mirror.value(&sql).await;

        let planned = bench.plan(0, &file).await;

        assert_eq!(planned["rows_planned"], named.len(), "{column}");
        bench.mirror.alone().await;
        let read = bench.mirror.value::<i64>(&sql).await - before;
        let rows = named.len() as i64;
        assert!(
            read >= rows / 2 && read <= rows * 3,
            "{column}: {read} entries for {rows} rows"
        );
    }
}
