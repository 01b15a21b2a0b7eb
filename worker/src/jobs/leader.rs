//! One leader per job: a session lock in the database, held while the job runs.

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;

/// Leadership, held on a connection of the pool.
#[derive(Debug)]
pub struct Leadership {
    connection: PoolConnection<Postgres>,
    job: &'static str,
}

impl Leadership {
    /// Takes the lead of a job, unless somebody has it.
    pub async fn take(pool: &PgPool, job: &'static str) -> Result<Option<Self>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let taken: bool =
            sqlx::query_scalar("/* leader.take */ SELECT pg_try_advisory_lock(hashtextextended('ec-job-' || $1, 0))")
                .bind(job)
                .fetch_one(&mut *connection)
                .await?;
        Ok(taken.then_some(Self { connection, job }))
    }

    /// Gives it up.
    pub async fn give_up(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("/* leader.give_up */ SELECT pg_advisory_unlock(hashtextextended('ec-job-' || $1, 0))")
            .bind(self.job)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Gives it up by closing the connection: for a job that failed in a way that leaves the session in doubt.
    pub async fn abandon(self) {
        // The lock goes with the session, whether it closes politely or not.
        let _ = self.connection.close().await;
    }
}
