//! What a run says about columns of which too many values did not fit.

use super::Error;
use super::run::Run;
use mirror::load::unfit::{self, Place};
use mirror::state::runs;
use mirror::unfit::Unfit;
use record::table::{Kind, Table};
use zephr::user;

impl Run<'_> {
    /// Looks at these tables; where this run changed nothing, what the last one saw is still so.
    pub(super) async fn unfit<'t>(
        &self,
        tables: impl Iterator<Item = (&'t str, Vec<Place>)>,
    ) -> Result<Vec<Unfit>, Error> {
        let counts = self.env.progress.counts();
        if counts.inserted + counts.updated + counts.tombstoned == 0
            && let Some(known) = runs::unfit_before(self.pool, &self.job.name, self.run_id).await?
        {
            return Ok(known);
        }
        let mut unfit = Vec::new();
        let mut connection = self.pool.acquire().await?;
        for (table, places) in tables {
            // Nothing can be unfit in a table without columns of its own.
            if !places.is_empty() {
                unfit.append(&mut unfit::columns(&mut connection, table, &places).await?);
            }
        }
        Ok(unfit)
    }
}

/// The columns of the users, and where in an item of the export their values come from.
pub(super) fn places_of_users() -> Vec<Place> {
    let places = user::PLACES.iter().map(|(column, path)| Place {
        column: (*column).to_owned(),
        paths: vec![(*path).to_owned()],
    });
    places.collect()
}

/// The same of a table that is described.
pub(super) fn places(table: &Table) -> Vec<Place> {
    let columns = table.columns.iter().filter(|column| match column.kind {
        Kind::Text | Kind::Numeric | Kind::Boolean | Kind::Timestamptz => true,
        // Everything fits.
        Kind::Jsonb => false,
    });
    let places = columns.map(|column| Place {
        column: column.name.to_string(),
        paths: column.sent_as.iter().map(ToString::to_string).collect(),
    });
    places.collect()
}
