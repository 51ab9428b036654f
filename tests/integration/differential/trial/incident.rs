//! Something that the API answers wrongly for a while.

use simulator::{FIRST_REGISTRATION, LAST_REGISTRATION, List, Simulator};

use crate::differential::chance::Chance;
use crate::differential::tables::Job;

/// Something that the API answers wrongly for a while.
#[derive(Debug, Clone, Copy)]
pub(super) enum Incident {
    /// 404 for a path.
    Lost(&'static str),
    /// A list that answers as if there were nothing in it.
    Hidden(List),
    /// Single users are not found.
    NoSingleUsers,
    /// The export shows only who registered before.
    ShownUntil(i64),
}

impl Incident {
    pub(super) fn drawn(jobs: &[Job], chance: &mut Chance) -> Self {
        let mut all = vec![
            Self::NoSingleUsers,
            Self::ShownUntil(i64::from(
                chance.among(FIRST_REGISTRATION..=LAST_REGISTRATION),
            )),
            Self::Lost("/v3/user-export"),
        ];
        for job in jobs {
            match job {
                Job::Users => {}
                Job::Accounts => all.extend([
                    Self::Lost("/v3/accounts"),
                    Self::Lost("/v3/accounts/{}"),
                    Self::Lost("/v3/accounts/{}/users"),
                    Self::Lost("/v3/accounts/{}/grants"),
                    Self::Hidden(List::Accounts),
                    Self::Hidden(List::AccountUsers),
                ]),
                Job::Segments => all.extend([
                    Self::Lost("/v4/users/segments"),
                    Self::Lost("/v4/users/{}/segments"),
                    Self::Hidden(List::Segments),
                    Self::Hidden(List::UserSegments),
                ]),
                Job::Schema => all.extend([
                    Self::Lost("/v3/schema/users"),
                    Self::Hidden(List::UserSchema),
                ]),
                Job::Catalog => all.extend([
                    Self::Lost("/v3/companies"),
                    Self::Lost("/v3/products"),
                    Self::Lost("/v3/meters"),
                    Self::Hidden(List::Products),
                    Self::Hidden(List::Bundles),
                    Self::Hidden(List::Credits),
                ]),
                Job::Events => all.push(Self::Lost("/v4/user-export")),
                Job::Webhooks => {
                    all.extend([Self::Lost("/v3/webhooks"), Self::Hidden(List::Webhooks)])
                }
                Job::Rules => all.extend([
                    Self::Lost("/v3/rules/request"),
                    Self::Hidden(List::RequestRules),
                ]),
                Job::Sessions => all.push(Self::Lost("/v3/users/{}/sessions")),
            }
        }
        *chance.one_of(&all).expect("there are some")
    }

    pub(super) fn begin(self, simulator: &Simulator) {
        let tenant = simulator.tenant();
        match self {
            Self::Lost(path) => tenant.lose_paths(&[path]),
            Self::Hidden(list) => tenant.hide_list(list, true),
            Self::NoSingleUsers => tenant.hide_single_users(true),
            Self::ShownUntil(second) => tenant.show_only_until(Some(second)),
        }
    }

    pub(super) fn end(self, simulator: &Simulator) {
        let tenant = simulator.tenant();
        match self {
            Self::Lost(_) => tenant.lose_paths(&[]),
            Self::Hidden(list) => tenant.hide_list(list, false),
            Self::NoSingleUsers => tenant.hide_single_users(false),
            Self::ShownUntil(_) => tenant.show_only_until(None),
        }
    }
}
