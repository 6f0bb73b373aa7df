-- Rows $first to $last (exclusive) of a log. Line n is row n, but every hundredth line repeats the row 50 before it. All
-- values follow from hash(row, salt, $seed), so any part of the log can be made by itself; rows are $step microseconds apart.
with numbered as (
    select line, if(line % 100 = 99, line - 50, line) as n
    from range($first, $last) as r(line)
),
drawn as (
    select line, n, h
    from (select line, n, [(hash(n, salt, $seed) >> 1)::bigint for salt in range(16)] as h from numbered)
)
select
    line,
    'req-' || format('{:012x}', h[1] % 281474976710656) || format('{:08d}', n) as interaction_id,
    'user-' || h[2] % 50000 as unit_id,
    strftime(make_timestamp(1790812800000000 + n * $step), '%Y-%m-%dT%H:%M:%S.%fZ') as occurred_at,
    (h[3] % 8)::varchar as action,
    'v' || h[4] % 3 as policy_version,
    [0.05, 0.1, 0.125, 0.25][1 + h[5] % 4]::double as propensity,
    (h[6] % 10 = 0)::int::double as reward,
    (18 + h[7] % 70)::bigint as age,
    (h[8] % 500)::bigint as n_visits,
    (h[9] % 7200)::bigint as session_seconds,
    (h[10] % 2000000)::double / 1e5 - 10 as score,
    (h[11] % 100000)::double / 100 as price,
    if(n % 5 = 0, null, (h[12] % 50)::double / 10) as rating,
    h[13] % 2 = 0 as member,
    h[14] % 10 = 0 as is_new,
    ['de', 'fr', 'it', 'es', 'nl', 'pl'][1 + h[15] % 6] as country,
    ['phone', 'tablet', 'desktop'][1 + h[15] // 7 % 3] as device,
    'category-' || h[16] % 200 as category,
    'https://example.org/campaign/' || h[16] // 211 % 10000 as referrer,
    strftime(make_timestamp(1700000000000000 + (h[12] % 80000000)::bigint * 1000000), '%Y-%m-%dT%H:%M:%SZ')
        as signed_up_at
from drawn

