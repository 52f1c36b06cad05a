-- The addresses from which credentials were used since recent: those of service
-- principals, and personal access tokens of anybody. A person at a browser is
-- not looked at. An address is counted without its port.
WITH event AS (
  SELECT
    event_time,
    concat(service_name, '.', action_name) AS action,
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
)
SELECT
  identity,
  address,
  unix_micros(min(event_time)) AS first_seen,
  unix_micros(max(event_time)) AS last_seen,
  count(*) AS events,
  count_if(event_time >= timestamp_micros(CAST(:recent AS BIGINT))) AS recent_events
FROM event
WHERE identity <> ''
  AND (
    identity RLIKE r'^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    OR array_contains(split(:token_logins, ','), action)
  )
  AND address <> ''
GROUP BY identity, address
HAVING max(event_time) >= timestamp_micros(CAST(:recent AS BIGINT))
ORDER BY identity, recent_events DESC, address
