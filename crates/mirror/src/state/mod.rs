//! Our own bookkeeping tables, a function per query.
//!
//! [`leases`] prove that this process alone works on a resource; [`runs`] say what was done;
//! [`checkpoints`] and [`windows`] how far; [`scan_findings`] what a scan noted about single
//! records, and [`batches`] note all of that at once; [`bulk`] what was pushed; [`poll_schedule`]
//! whom the API was asked for one at a time; [`rejects`] what could not be stored. [`privacy`] keeps the key of the hashes, [`erasures`] who
//! was erased, and [`personal_data`] finds where a person is named. [`tenant`] says whose mirror it
//! is, [`marks`] whether tables and bookkeeping belong together. [`daemons`] say who else is there,
//! [`shared_windows`] what one reads for another, [`schedules`] and [`triggers`] what daemons agree
//! on, [`notices`] what they have to tell, [`waiting_changes`] what others' locks have held up, and
//! [`retention`] removes what is old. Functions take
//! the connection or transaction of the caller, who decides what commits together.

pub mod batches;
pub mod bulk;
pub mod candidates;
pub mod checkpoints;
pub mod daemons;
pub mod erasures;
pub mod leases;
pub mod marks;
pub mod notices;
pub mod personal_data;
pub mod poll_schedule;
pub mod privacy;
pub mod readings;
pub mod rejects;
pub mod retention;
pub mod runs;
pub mod scan_findings;
pub mod schedules;
pub mod shared_windows;
pub mod tenant;
pub mod triggers;
pub mod vanishing;
pub mod verifications;
pub mod waiting_changes;
pub mod windows;
