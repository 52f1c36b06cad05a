-- The programs with which credentials were used since recent, by the first word
-- of the user agent up to a slash: a new version of a program is no news.
WITH event AS (
  SELECT
    event_time,
    concat(service_name, '.', action_name) AS action,
    coalesce(
      CASE WHEN NOT array_contains(split(:nobody, ','), lower(user_identity.email)) THEN lower(user_identity.email) END,
      nullif(lower(try_element_at(request_params, 'user')), ''),
      ''
    ) AS identity,
    regexp_extract(coalesce(user_agent, ''), r'^[^/ ]+', 0) AS agent,
    substring(coalesce(user_agent, ''), 1, 200) AS whole
  FROM IDENTIFIER(:table)
  WHERE event_date >= CAST(:from_date AS DATE)
    AND event_time >= timestamp_micros(CAST(:from AS BIGINT))
    AND event_time < timestamp_micros(CAST(:until AS BIGINT))
    AND coalesce(response.status_code, 200) < 400
)
SELECT
  identity,
  agent,
  min(whole) AS example,
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
  AND agent <> ''
GROUP BY identity, agent
HAVING max(event_time) >= timestamp_micros(CAST(:recent AS BIGINT))
ORDER BY identity, recent_events DESC, agent
