//! `zephr-sync adopt`: make the mirror that of the tenant that the settings name. For a tenant that
//! has moved to another address; what the mirror holds stays.

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::opened::{self, Opened};
use super::output::Output;
use super::sync::waiting;
use super::tenant::reader;
use crate::config::Settings;
use crate::identity::{self, Address, Evidence};
use crate::sync::{self, holder_name, trust};
use lifecycle::Shutdown;
use mirror::state::leases::{self, Lease};
use record::Resource;
use zephr::Reader;

/// Everything that writes to the mirror: a run of the tenant before would go on writing its rows.
const WRITERS: [Resource; 7] = [
    Resource::Schema,
    Resource::Catalog,
    Resource::Users,
    Resource::Accounts,
    Resource::Events,
    Resource::Segments,
    Resource::List,
];

/// Options of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Really do it; without it only what is known about the two is shown
    #[arg(long)]
    yes: bool,
}

/// What was or would be done, as one JSON document.
#[derive(Debug, Serialize)]
struct Document {
    /// Whether the mirror was given to another tenant.
    adopted: bool,
    /// The tenant that it held; none where none was written down.
    held: Option<String>,
    /// The tenant that the settings name.
    named: String,
    /// What was found there: `same`, `strangers` or `unknown`.
    evidence: &'static str,
}

/// Runs the command.
///
/// # Errors
/// Settings, a lease that somebody holds, an API or a database that cannot be asked.
pub async fn run(settings: &Settings, args: &Args, output: Output) -> Result<Exit, Failure> {
    let shutdown = Shutdown::on_signals()?;
    let reader = reader(settings, settings.api()?, &shutdown)?;
    let mirror = opened::open(settings).await?;
    let adopted = adopt(&mirror, &reader, args, output).await;
    mirror.close().await?;
    let document = adopted?;
    output.result(&document, said)?;
    Ok(Exit::Done)
}

async fn adopt(
    mirror: &Opened,
    reader: &Reader,
    args: &Args,
    output: Output,
) -> Result<Document, Failure> {
    mirror.migrate_any(output).await?;
    let mut session = mirror.session().await?;
    let held = identity::held(&mut session).await?;
    let evidence = identity::ask(&mut session, reader).await;
    let evidence = evidence.map_err(sync::Error::from)?;
    let named = Address::of(reader.base());
    let is_settled = held.as_ref() == Some(&named) && evidence == Evidence::Same;
    drop(session);
    if args.yes {
        give(mirror, reader, &named, is_settled, output).await?;
    }
    Ok(Document {
        adopted: args.yes,
        held: held.as_ref().map(ToString::to_string),
        named: named.to_string(),
        evidence: match evidence {
            Evidence::Same => "same",
            Evidence::Strangers(_) => "strangers",
            Evidence::Unknown | Evidence::Untold => "unknown",
        },
    })
}

/// Waits until nobody writes, and gives the mirror away. What was known of it is not believed of
/// another place: everything is read anew.
async fn give(
    mirror: &Opened,
    reader: &Reader,
    named: &Address,
    is_settled: bool,
    output: Output,
) -> Result<(), Failure> {
    let mut held: Vec<Lease> = Vec::with_capacity(WRITERS.len());
    let mut trouble = None;
    for resource in WRITERS {
        let session = mirror.database.connect().await?;
        let told = waiting(output, resource);
        match leases::acquire(session, resource, &holder_name(), told).await {
            Ok(lease) => held.push(lease),
            Err(error) => {
                trouble = Some(sync::Error::from(error));
                break;
            }
        }
    }
    let given = match trouble {
        Some(error) => Err(error.into()),
        None => under(mirror, &held, reader, named, is_settled).await,
    };
    for lease in held {
        lease.release().await;
    }
    given
}

async fn under(
    mirror: &Opened,
    leases: &[Lease],
    reader: &Reader,
    named: &Address,
    is_settled: bool,
) -> Result<(), Failure> {
    let mut session = mirror.session().await?;
    let mut transaction = sqlx::Connection::begin(&mut *session).await?;
    for lease in leases {
        let fenced = lease.token().fence(&mut transaction).await;
        fenced.map_err(sync::Error::from)?;
    }
    identity::adopt(&mut transaction, reader).await?;
    if !is_settled {
        let why = format!("the mirror was given to the tenant {named}");
        trust::distrust_all(&mut transaction, &why).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn said(document: &Document) -> String {
    let Document {
        adopted,
        held,
        named,
        evidence,
    } = document;
    if held.as_ref() == Some(named) && *evidence == "same" && !adopted {
        return format!(
            "Nothing is to be done: the mirror holds the tenant {named}, which the settings name, and users of the mirror exist there.\n"
        );
    }
    let held = match held {
        Some(held) => format!("The mirror holds the tenant {held}"),
        None => "Which tenant the mirror holds was not written down yet".to_owned(),
    };
    let found = match *evidence {
        "same" => "users of the mirror exist there",
        "strangers" => {
            "no user of the mirror that was asked for exists there, and others do: it is another tenant, and a full scan would show all users of the mirror as missing"
        }
        _ => "whether users of the mirror exist there could not be seen",
    };
    let done = if *adopted {
        "The mirror is of that tenant now. Run `zephr-sync sync --full`."
    } else {
        "Nothing was changed yet: run the same command with --yes to make the mirror that tenant's."
    };
    format!("{held}, and the settings name {named}: {found}.\n{done}\n")
}
