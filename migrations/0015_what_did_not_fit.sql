-- A column that is null for everybody because Zephr writes its values in a way nobody expected must not look like one that is empty: runs say which columns that
-- are, and how many timestamps came as numbers.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

alter table runs
    add column times_from_numbers bigint not null default 0,
    add column unfit              jsonb;
comment on column runs.times_from_numbers is 'Timestamps among what was read that came as numbers, and were read as seconds or milliseconds since 1970.';
comment on column runs.unfit is 'Columns of which a tenth or more of the values that were sent did not fit, after this run, as an array of {table, column, unfit, values}; null when the run did not look.';

select set_config('search_path', current_setting('zephr_sync.data_path'), true);

-- Hardly any rows are in it, and they are counted after each run that changed something.
create index users_issues on users (user_id) where _zephr_issues is not null and _zephr_deleted_at is null;
