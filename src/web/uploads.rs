//! Files that people sent, from their arrival to a plan. A file is written to a directory of its
//! own that nobody else can read, planned, and removed; what stays for a while are the rows with a
//! complaint, as a CSV that can be corrected and sent again. All of that is gone when the process
//! is, or, if it was killed, when the next one starts.

mod directory;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::Problem;
use super::{Page, Seat};
use crate::bulk;
use crate::bulk::document::Document;
use crate::bulk::plan::{self, Options, Origin};
use crate::bulk::progress::Progress;
use csv_intake::Reading;
use directory::Directory;
use telemetry::field;

/// Files that are planned at once; each takes a session or two of Postgres and a core.
const AT_ONCE: usize = 2;

/// Uploads that are remembered, the oldest forgotten first.
const REMEMBERED: usize = 20;

/// The file in its directory.
const FILE: &str = "upload.csv";

/// The rows with a complaint.
const REJECTS: &str = "rejects.csv";

/// Files that people sent.
#[derive(Debug)]
pub(super) struct Uploads {
    all: Mutex<Vec<Arc<Upload>>>,
    places: Arc<Semaphore>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

/// A file that somebody sent.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) upload_id: Uuid,
    tenant: String,
    file_name: Option<String>,
    /// Gone when the upload is forgotten.
    directory: Directory,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
enum State {
    Planning,
    Planned(Box<Document>),
    Refused(Problem),
}

/// How a file is to be read.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) file_name: Option<String>,
    pub(super) reading: Reading,
    pub(super) empty: plan::Empty,
}

/// An upload, as the API tells of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    upload_id: Uuid,
    file_name: Option<String>,
    /// planning, planned (see plan_id), rejected (no row could be planned) or refused (see error).
    status: &'static str,
    /// Rows looked at so far.
    rows_read: u64,
    /// Those of them with a complaint.
    rows_rejected: u64,
    /// What was planned, with what is wrong with the rows that were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Uploads {
    /// A place for a file that is about to come.
    ///
    /// # Errors
    /// No directory can be made for it.
    pub(super) fn begin(tenant: &str, wishes: &Wishes) -> Result<Upload, Problem> {
        Ok(Upload {
            upload_id: Uuid::now_v7(),
            tenant: tenant.to_owned(),
            file_name: wishes.file_name.clone(),
            directory: Directory::make(&std::env::temp_dir())?,
            progress: Arc::default(),
            state: Mutex::new(State::Planning),
        })
    }

    /// An upload of a tenant.
    ///
    /// # Errors
    /// There is none with this id.
    pub(super) fn get(&self, tenant: &str, upload_id: Uuid) -> Result<Arc<Upload>, Problem> {
        let all = self.lock();
        let found = all
            .iter()
            .find(|upload| upload.upload_id == upload_id && upload.tenant == tenant);
        found.cloned().ok_or_else(|| {
            Problem::missing(
                format!("there is no upload {upload_id}"),
                "Uploads are known to the daemon that took them, until it ends or twenty more came. If there is a plan, the list of plans has it; else upload the file again.",
            )
        })
    }

    fn remember(&self, upload: &Arc<Upload>) {
        let mut all = self.lock();
        all.push(Arc::clone(upload));
        if all.len() > REMEMBERED {
            // One that is being planned is kept alive by who plans it.
            all.remove(0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Upload>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what a process that was killed has left.
pub(super) fn sweep() {
    directory::sweep(&std::env::temp_dir());
}

/// Has a file planned that has come whole. Goes on when nobody waits for it any more.
pub(super) fn plan(page: &Arc<Page>, upload: Upload, wishes: Wishes) -> Arc<Upload> {
    let upload = Arc::new(upload);
    page.uploads.remember(&upload);
    let (page, planned) = (Arc::clone(page), Arc::clone(&upload));
    tokio::spawn(async move {
        let place = Arc::clone(&page.uploads.places).acquire_owned().await;
        let made = match page.seat(&planned.tenant) {
            Ok(seat) => planned.plan(seat, wishes).await,
            Err(problem) => Err(problem),
        };
        drop(place);
        if let Err(error) = tokio::fs::remove_file(planned.path()).await {
            tracing::warn!({ field::ERROR } = %error, "an uploaded file could not be removed");
        }
        planned.set(match made {
            Ok(document) => State::Planned(Box::new(document)),
            Err(problem) => State::Refused(problem),
        });
    });
    upload
}

impl Upload {
    /// Where the file goes.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    /// The rows with a complaint, if there are any.
    pub(super) fn rejects(&self) -> PathBuf {
        self.directory.path().join(REJECTS)
    }

    /// As the API tells of it.
    pub(super) fn shown(&self) -> Shown {
        let now = self.progress.now();
        let mut shown = Shown {
            upload_id: self.upload_id,
            file_name: self.file_name.clone(),
            status: "planning",
            rows_read: now.settled,
            rows_rejected: now.troubled,
            plan: None,
            error: None,
            remedy: None,
        };
        match self.lock().clone() {
            State::Planning => {}
            State::Planned(document) => {
                shown.status = match document.plan {
                    Some(_) => "planned",
                    None => "rejected",
                };
                shown.plan = Some(*document);
            }
            State::Refused(problem) => {
                shown.status = "refused";
                shown.error = Some(problem.error().to_owned());
                shown.remedy = Some(problem.remedy().to_owned());
            }
        }
        shown
    }

    async fn plan(&self, seat: &Seat, wishes: Wishes) -> Result<Document, Problem> {
        let database = &seat.tenant.database;
        let planner = &seat.tenant.planner;
        let env = planner
            .environment(database, Arc::clone(&self.progress))
            .await?;
        let path = self.path();
        let options = Options {
            origin: Origin::Sent {
                name: wishes.file_name,
            },
            reading: wishes.reading,
            empty: wishes.empty,
            rejects: Some(self.rejects()),
        };
        let planned = plan::plan(&env, &path, &options).await;
        let planned = planned.map_err(|error| self.without_path(&path, error))?;
        match planned.plan_id {
            Some(plan_id) => {
                let mut session = seat.session().await?;
                Ok(Document::read(&mut session, plan_id)
                    .await?
                    .planned(planned))
            }
            None => Ok(Document {
                // It is a download.
                rejects_path: None,
                ..Document::without_plan(planned)
            }),
        }
    }

    /// What is wrong with the file, without where we have put it.
    fn without_path(&self, path: &Path, error: bulk::Error) -> Problem {
        let problem = Problem::from(error);
        let name = self.file_name.as_deref().unwrap_or("the file");
        problem.saying(&path.display().to_string(), name)
    }

    fn set(&self, state: State) {
        *self.lock() = state;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
