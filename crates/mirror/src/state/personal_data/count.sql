-- Rows of the bookkeeping about a user ($1), by table. $2 are the forms in which text holds the identifier.
select 'rejects' as "name!", count(*) as "rows!"
from rejects
where record_id = $1 or exists (select from unnest($2::text[]) form where strpos(record, form) > 0)
union all
-- What a brake held back of another table names the table and the key.
select 'scan_notes', count(*) from scan_notes where record_id = $1 or $1 = any (string_to_array(record_id, ' '))
union all
select 'deletion_candidates', count(*) from deletion_candidates where $1 = any (record_key)
union all
select 'visits', count(*) from visits where parent_id = $1
union all
select 'bulk_rows', count(*)
from bulk_rows r
where user_id = $1
   -- Rows that were left out name people as the file did, whether or not they were found.
   or user_id is null and (
       identifier = $1
       or exists (select from users u where u.user_id = $1 and lower(r.identifier) in (lower(u.email), lower(u.username)))
       or exists (select from user_foreign_keys f where f.user_id = $1 and r.identifier = f.key)
   )
union all
select 'bulk_chunks', count(*) from bulk_chunks where exists (select from unnest($2::text[]) form where strpos(answer, form) > 0)
union all
select 'verifications', count(*)
from verifications
where differences @> jsonb_build_array(jsonb_build_object('user_id', $1::text))
