-- A row whose hash is another one than that of the record that comes was compared with the record once more, since it may only have been read in another way. Once a full
-- scan has read everybody as records are read now, another hash is another record, and a night with many changes does not fetch what it is about to replace.

select set_config('search_path', current_setting('zephr_sync.state_path'), true);

comment on column readings.part is 'What it is about: grants, app_ids.APP (an extended profile), columns.NAME (a column of a list), privacy.NAME (what the settings [privacy] keep again), or form.HASH (all together, the version of the program and the tenant among them).';
