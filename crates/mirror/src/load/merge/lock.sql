-- The rows of these users that are there, locked in key order, beside the time of the transaction, which comes alone where
-- none is.
select now() as "now!", there.user_id as "user_id?", there.hash as "hash?", there.by_this_run as "by_this_run?"
from (select) as always
left join lateral (
    select user_id,
           case when _zephr_deleted_at is null then _zephr_hash end as hash,
           case when _zephr_run_id = $2 then _zephr_extracted_at end as by_this_run
    from users where user_id = any($1) order by user_id for no key update
) as there on true
