-- A change of a table or a view waits for its locks a moment only, since whoever comes after it waits for as long: one that somebody's open transaction did not let through is written down, shown, and tried
-- again by the next run.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

create table waiting_changes (
    object text primary key,
    change text not null,
    held_by text not null,
    since timestamptz not null default clock_timestamp(),
    tried_at timestamptz not null default clock_timestamp(),
    tries bigint not null default 1
);
comment on table waiting_changes is 'Changes of tables and views that could not be made yet, because an open transaction of somebody else holds a lock on them; the next run tries again.';
comment on column waiting_changes.object is 'The table or view that is to be changed.';
comment on column waiting_changes.change is 'What is to become of it, and what holds until then.';
comment on column waiting_changes.held_by is 'Who held a lock on it when it was tried last: process of Postgres, role, program, and for how long.';
comment on column waiting_changes.since is 'When it was tried first.';
comment on column waiting_changes.tried_at is 'When it was tried last.';
comment on column waiting_changes.tries is 'How many times it was tried.';
