//! Taking back what Postgres refuses, inside a transaction, without a round trip where it refuses
//! nothing: the savepoint is set by the message that begins the transaction.

use sqlx::{Executor, PgConnection};

/// The place in a transaction to which it goes back when Postgres refuses a row.
#[derive(Debug)]
pub struct Savepoint {
    stands: Stands,
}

/// Where the savepoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Nowhere yet.
    Nowhere,
    /// At the present end of the transaction.
    AtTheEnd,
    /// Before something that is to stay.
    Before,
}

impl Savepoint {
    /// The last words of a message that begins a transaction whose first place to go back to is its
    /// beginning.
    pub(crate) const SET: &'static str = "savepoint piece";

    /// The one that the beginning of a batch has set. What is written before the first piece may be
    /// taken back with it.
    pub fn of_begin() -> Self {
        Self {
            stands: Stands::AtTheEnd,
        }
    }

    /// None so far, in a transaction that began in another way.
    pub fn none() -> Self {
        Self {
            stands: Stands::Nowhere,
        }
    }

    /// Does a piece of work; where Postgres refuses it, nothing of it is left, and the transaction
    /// goes on. What was written before stays.
    ///
    /// # Errors
    /// As the work.
    pub(crate) async fn around<T>(
        &mut self,
        connection: &mut PgConnection,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        self.set(connection).await?;
        let done = work(connection).await;
        if let Err(sqlx::Error::Database(_)) = &done {
            self.go_back(connection).await?;
        }
        done
    }

    /// What was done since the last piece is to stay, whatever becomes of the next.
    pub(crate) fn keep(&mut self) {
        if self.stands == Stands::AtTheEnd {
            self.stands = Stands::Before;
        }
    }

    async fn set(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        match self.stands {
            Stands::Nowhere => {
                connection.execute(Self::SET).await?;
            }
            Stands::AtTheEnd => {}
            Stands::Before => {
                let anew = "release savepoint piece; savepoint piece";
                connection.execute(anew).await?;
            }
        }
        self.stands = Stands::Before;
        Ok(())
    }

    async fn go_back(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        connection.execute("rollback to savepoint piece").await?;
        self.stands = Stands::AtTheEnd;
        Ok(())
    }
}
