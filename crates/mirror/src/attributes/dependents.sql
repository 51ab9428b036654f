with view as (
    select c.oid, c.reltype, t.typarray
    from pg_class c
    join pg_type t on t.oid = c.reltype
    where c.oid = to_regclass(format('%I.user_attributes', $1::text))
)
select distinct coalesce(r.ev_class::regclass::text, pg_describe_object(d.classid, d.objid, 0)) as "name!"
from view
join pg_depend d
    on (d.refclassid = 'pg_class'::regclass and d.refobjid = view.oid)
    or (d.refclassid = 'pg_type'::regclass and d.refobjid in (view.reltype, view.typarray))
left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
where d.deptype = 'n' and r.ev_class is distinct from view.oid
order by 1
