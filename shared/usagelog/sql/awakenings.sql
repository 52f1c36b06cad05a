-- Service principals that were used since recent after dormant microseconds of
-- silence, or for the first time since from (silent_since is then empty).
WITH event AS (
  SELECT
    event_time,
    event_date,
    event_id,
    coalesce(user_agent, '') AS agent,
    coalesce(
      CASE WHEN NOT array_contains(split(:nobody, ','), lower(user_identity.email)) THEN lower(user_identity.email) END,
      nullif(lower(try_element_at(request_params, 'user')), ''),
      ''
    ) AS identity,
    regexp_replace(
      regexp_replace(coalesce(source_ip_address, ''), r'^([0-9.]+):[0-9]+$', '$1'),
      r'^\[(.*)\](:[0-9]+)?$', '$1'
    ) AS address
  FROM IDENTIFIER(:table)
  WHERE event_date >= CAST(:from_date AS DATE)
    AND event_time >= timestamp_micros(CAST(:from AS BIGINT))
    AND event_time < timestamp_micros(CAST(:until AS BIGINT))
    AND coalesce(response.status_code, 200) < 400
),
daily AS (
  SELECT
    identity,
    event_date,
    min(event_time) AS first_at,
    max(event_time) AS last_at,
    min(struct(event_time, event_id, address, agent)) AS head
  FROM event
  WHERE identity RLIKE r'^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
  GROUP BY identity, event_date
),
neighbors AS (
  SELECT
    *,
    lag(last_at) OVER (PARTITION BY identity ORDER BY event_date) AS previous
  FROM daily
)
SELECT
  identity,
  coalesce(CAST(unix_micros(previous) AS STRING), '') AS silent_since,
  unix_micros(first_at) AS awake_at,
  head.address AS address,
  head.agent AS agent
FROM neighbors
WHERE first_at >= timestamp_micros(CAST(:recent AS BIGINT))
  AND (previous IS NULL OR unix_micros(first_at) - unix_micros(previous) >= CAST(:dormant AS BIGINT))
ORDER BY identity, awake_at
