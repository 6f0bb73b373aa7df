-- One line per declared action: how many rows it has.
select action, coalesce(logged.n, 0) as n
from unnest(?::varchar[]) as declared (action)
left join (select action, count(*) as n from interactions group by action) as logged using (action)
