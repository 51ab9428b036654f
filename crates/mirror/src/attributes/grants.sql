with view as (
    select c.oid, c.relowner, c.relacl
    from pg_class c
    where c.oid = to_regclass(format('%I.user_attributes', $1::text))
), rights as (
    select a.privilege_type as what, a.grantee, a.is_grantable
    from view, aclexplode(view.relacl) a
    where a.grantee <> view.relowner
    union all
    select format('%s (%I)', a.privilege_type, c.attname), a.grantee, a.is_grantable
    from view
    join pg_attribute c on c.attrelid = view.oid, aclexplode(c.attacl) a
    where a.grantee <> view.relowner
)
select format('grant %s on %I.user_attributes to %s%s', what, $1::text,
    case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
    case when is_grantable then ' with grant option' else '' end) as "grant!"
from rights
