{% test unique_together(model, columns) %}
-- Fails where several rows have the same key of several columns.
select {{ columns | join(', ') }}, count(*) as rows
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
