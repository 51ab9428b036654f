//! A database of its own for each test, on one cluster per test run.

use private_postgres::{Durability, PrivateCluster};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The cluster of a test run started by `make test`, or one of this process's own for a test run by
/// hand.
async fn cluster() -> &'static str {
    static CLUSTER: OnceCell<String> = OnceCell::const_new();
    CLUSTER
        .get_or_init(|| async {
            if let Ok(url) = std::env::var("ZEPHR_TEST_DATABASE_URL") {
                return url;
            }
            // Kept, and adopted by the next run by hand: there is no hook at a test binary's end.
            let directory = std::env::temp_dir().join("zephr-sync-tests-by-hand");
            let cluster = PrivateCluster::start_with(&directory, Durability::None)
                .await
                .expect("a cluster");
            let url = cluster.url();
            std::mem::forget(cluster);
            url
        })
        .await
}

async fn on_the_cluster(sql: String) {
    let mut connection = PgConnection::connect(cluster().await)
        .await
        .expect("the cluster answers");
    connection
        .execute(AssertSqlSafe(sql.clone()))
        .await
        .expect(&sql);
}

/// One empty database.
#[derive(Debug)]
pub struct Mirror {
    /// What `DATABASE_URL` should be.
    pub url: String,
}

impl Mirror {
    /// Creates it.
    pub async fn new() -> Self {
        Self::made("").await
    }

    /// One in another encoding than everybody needs.
    pub async fn encoded(encoding: &str) -> Self {
        Self::made(&format!(
            "encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"
        ))
        .await
    }

    /// Prescribes settings to every session that begins in it from now on.
    pub async fn prescribe(&self, settings: &[(&str, &str)]) {
        for (name, value) in settings {
            let sql = format!("alter database {} set {name} = {value}", self.name());
            on_the_cluster(sql).await;
        }
    }

    /// Another one with the same in it, which takes less than to make that again.
    pub async fn copy(&self) -> Self {
        self.alone().await;
        Self::made(&format!("template {}", self.name())).await
    }

    /// Removes it, whoever is connected: for tests that make hundreds.
    pub async fn remove(self) {
        let drop = format!("drop database {} with (force)", self.name());
        on_the_cluster(drop).await;
    }

    fn name(&self) -> &str {
        let (before, _) = self.url.split_once('?').expect("the form of `made`");
        before.rsplit('/').next().expect("a name")
    }

    async fn made(from: &str) -> Self {
        let base = cluster().await;
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        on_the_cluster(format!("create database {name} {from}")).await;
        let (server, query) = base
            .split_once("/zephr?")
            .expect("the private cluster's form of URL");
        Self {
            url: format!("{server}/{name}?{query}"),
        }
    }

    /// A session in it, on the tenant's search path.
    pub async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::from_str(&self.url)
            .expect("a URL")
            .options([("search_path", "zephr, zephr_sync"), ("timezone", "UTC")]);
        PgConnection::connect_with(&options)
            .await
            .expect("the database answers")
    }

    /// The rows of a query.
    pub async fn rows(&self, sql: &str) -> Vec<PgRow> {
        self.connect()
            .await
            .fetch_all(AssertSqlSafe(sql.to_owned()))
            .await
            .expect(sql)
    }

    /// The only value of a query.
    pub async fn value<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.rows(sql).await.first().expect("one row").get(0)
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) {
        self.connect()
            .await
            .execute(AssertSqlSafe(sql.to_owned()))
            .await
            .expect(sql);
    }

    /// Every row of every table of both schemas, a line each: table and row. What is in none of
    /// them is not in the database.
    pub async fn everything(&self) -> Vec<String> {
        let tables = "select format('%I.%I', table_schema, table_name), table_name::text from information_schema.tables
            where table_schema in ('zephr', 'zephr_sync') and table_type = 'BASE TABLE'";
        let mut lines: Vec<String> = Vec::new();
        for table in self.rows(tables).await {
            let (sql, name): (String, String) = (table.get(0), table.get(1));
            let rows = format!("select '{name} ' || to_jsonb(t)::text from {sql} t");
            lines.extend(
                self.rows(&rows)
                    .await
                    .iter()
                    .map(|row| row.get::<String, _>(0)),
            );
        }
        lines.sort_unstable();
        lines
    }

    /// Fails the test if any of these is anywhere in the database.
    #[track_caller]
    pub fn expect_nowhere<'a>(&'a self, needles: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let lines = self.everything().await;
            assert!(lines.len() > 10, "{caller}: hardly anything was searched");
            for needle in needles {
                let found = lines.iter().find(|line| line.contains(needle));
                assert!(
                    found.is_none(),
                    "{caller}: {needle} is in {}",
                    found.map_or("", |line| line)
                );
            }
        }
    }

    /// Waits until nobody else is connected.
    pub async fn alone(&self) {
        let others = "select count(*) from pg_stat_activity
            where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()";
        let end = tokio::time::Instant::now() + Duration::from_secs(30);
        while self.value::<i64>(others).await > 0 {
            assert!(
                tokio::time::Instant::now() < end,
                "somebody stays connected"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
