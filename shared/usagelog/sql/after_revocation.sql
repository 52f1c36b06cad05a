-- What was done with credentials after they were revoked. revoked lists them as
-- subject=microseconds with commas between them; a subject is an identity, or
-- "token:" and the id of a personal access token. Late events are those after
-- slack microseconds more, when no access token can be left.
WITH revoked AS (
  SELECT DISTINCT
    split_part(item, '=', 1) AS subject,
    CAST(split_part(item, '=', 2) AS BIGINT) AS revoked_at
  FROM (SELECT explode(split(:revoked, ',')) AS item)
  WHERE item <> ''
),
event AS (
  SELECT
    event_time,
    concat(service_name, '.', action_name) AS action,
    coalesce(get(filter(transform(split(:token_keys, ','), k -> try_element_at(request_params, k)), v -> v <> ''), 0), '') AS token,
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
named AS (
  SELECT event_time, action, address, subject
  FROM event LATERAL VIEW explode(array(identity, concat('token:', token))) subjects AS subject
)
SELECT
  revoked.subject,
  revoked.revoked_at,
  unix_micros(min(named.event_time)) AS first_seen,
  unix_micros(max(named.event_time)) AS last_seen,
  count(*) AS events,
  count_if(unix_micros(named.event_time) > revoked.revoked_at + CAST(:slack AS BIGINT)) AS late_events,
  array_join(slice(array_sort(collect_set(nullif(named.address, ''))), 1, 5), ',') AS addresses,
  array_join(slice(array_sort(collect_set(named.action)), 1, 5), ',') AS actions
FROM named
JOIN revoked ON revoked.subject = named.subject
WHERE unix_micros(named.event_time) > revoked.revoked_at
GROUP BY revoked.subject, revoked.revoked_at
ORDER BY revoked.subject, revoked.revoked_at
