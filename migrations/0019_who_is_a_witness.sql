-- A run that a brake stopped is no witness against any row: an API that comes back from an outage first empty and then half filled would have what it lacks then marked as deleted.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

alter table deletion_candidates alter column first_run_id drop not null;
comment on column deletion_candidates.first_run_id is 'The first run that missed it and that no brake stopped; null as long as there was none. The next one that misses it marks it.';
