-- Living users that differ from the truth, each with what differs.
with expected as (
    select user_id,
           item -> 'user' as sent,
           item #- '{user,user_id}' #- '{user,identifiers,email_address}' #- '{user,identifiers,username}'
                #- '{user,email_verified}' #- '{user,tracking_id}' #- '{user,registered}'
                #- '{user,registration_tenant}' #- '{user,attributes}' as rest
    from truth
),
compared as (
    select coalesce(e.user_id, m.user_id) as user_id,
           concat_ws(', ',
               case when e.user_id is null then 'is only in the mirror' end,
               case when m.user_id is null then 'is missing' end,
               case when m.email is distinct from e.sent #>> '{identifiers,email_address}' then 'email' end,
               case when m.username is distinct from e.sent #>> '{identifiers,username}' then 'username' end,
               case when m.email_verified is distinct from (e.sent ->> 'email_verified')::boolean
                    then 'email_verified' end,
               case when m.tracking_id is distinct from e.sent ->> 'tracking_id' then 'tracking_id' end,
               case when m.registered_at is distinct from (e.sent ->> 'registered')::timestamptz
                    then 'registered_at' end,
               case when m.registration_tenant is distinct from e.sent ->> 'registration_tenant'
                    then 'registration_tenant' end,
               case when m.attributes is distinct from e.sent -> 'attributes' then 'attributes' end,
               -- The position on the page is kept, and says nothing about the user; grants have a table of their own.
               case when m.extra - 'seq-no' - 'grants' is distinct from
                         case when e.rest #> '{user,identifiers}' = '{}' then e.rest #- '{user,identifiers}' else e.rest end
                    then 'extra' end,
               case when m._zephr_issues is not null then 'has issues' end
           ) as differences
    from expected e
    full join (select * from users where _zephr_deleted_at is null) m on m.user_id = e.user_id
)
select user_id || ': ' || differences
from compared
where differences <> '' and ($2 or user_id in (select user_id from truth))
order by 1
limit $1
