/*
 * rule: CHPG701 storage
 * title: Storage fills up
 * kind: risk
 * scope: metrics
 * onset: alone
 * place: 160
 * threshold: used_percent = 85 percent; Storage in use from which it is WARN.
 * threshold: error_used_percent = 95 percent; Storage in use from which it is ERROR.
 * threshold: full_days = 30 days; Days until the storage is full, below which it is INFO.
 * threshold: warn_full_days = 7 days; Days until the storage is full, below which it is WARN.
 * threshold: error_full_days = 1 days; Days until the storage is full, below which it is ERROR.
 */
CREATE FUNCTION @extschema@._chpg_find_storage(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	until CONSTANT timestamptz := least(upper(scope.period), now());
	known CONSTANT boolean := @extschema@._chpg_metrics_are_readable();
	health @extschema@.chpg_health_row[];
	line record;
	forecast @extschema@._chpg_forecast;
	present double precision;
	full_days double precision;
	run integer;
	lvl text;
	since timestamptz;
BEGIN
	IF live THEN
		health := ARRAY(SELECT h FROM @extschema@.chpg_health(scope.server) h
			WHERE scope.service IS NULL OR scope.service IN (h.service_id, h.service_name));
	END IF;
	FOR line IN
		WITH lines AS MATERIALIZED (
			SELECT l.*
			FROM @extschema@._chpg_metric_lines(ARRAY(
					SELECT g.service_id
					FROM @extschema@._chpg_growing(CASE WHEN known THEN scope.service_ids ELSE '{}' END, until,
						'disk_usage'::text, '^$|used'::text) g
					WHERE g.present >= :used_percent OR g.rise >= 1.5
						OR g.day_rise >= 0.4 * (100 - g.present) / nullif(:full_days, 0)),
				until - interval '28 days', until, 'disk_usage'::text, '^$|used'::text, NULL::text) l
		)
		SELECT coalesce(h.service_id, l.service_id) AS service_id, h.service_id IS NOT NULL AS is_live,
			nullif(h.storage_used_percent, 'NaN') AS storage_used_percent, h.storage_limit_bytes,
				l.latest, l.ages, l.means
		FROM (SELECT i.* FROM unnest(health) i) h
		FULL JOIN lines l USING (service_id)
		WHERE h.service_id IS NOT NULL OR (NOT live AND l.latest > until - interval '6 hours'
			AND l.service_id IN (SELECT p.service_id FROM unnest(scope.period_hours) p))
	LOOP
		present := coalesce(line.storage_used_percent, CASE WHEN NOT line.is_live
			THEN @extschema@._chpg_recent(line.ages, line.means, 2) END);
		IF present IS NULL THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG701}'::text[],
				'The metrics omit the storage in use'::text, line.service_id);
			CONTINUE;
		END IF;
		forecast := CASE WHEN present < 99.5 AND line.latest > until - interval '6 hours'
			THEN @extschema@._chpg_forecast(line.latest, line.ages, line.means, 100::float8) END;
		full_days := extract(epoch FROM forecast.full_at - until) / 86400;
		lvl := CASE WHEN present >= :error_used_percent OR (full_days < :error_full_days
				AND (forecast.confidence <> 'low' OR full_days < :error_full_days / 3)) THEN 'ERROR'
			WHEN present >= :used_percent OR full_days < :warn_full_days THEN 'WARN'
			WHEN full_days < :full_days THEN 'INFO' END;
		CONTINUE WHEN lvl IS NULL;
		run := @extschema@._chpg_run_hours(line.ages, line.means,
			CASE WHEN present >= 99.5 THEN 99.5 WHEN present >= :error_used_percent THEN :error_used_percent
				ELSE :used_percent END);
		since := coalesce(forecast.since, @extschema@._chpg_run_since(line.latest, line.ages, run));
		RETURN NEXT ROW('CHPG701', lvl,
			CASE WHEN present >= 99.5 THEN 'Storage is full' ELSE 'Storage fills up' END, line.service_id,
			format('%s %% of the storage is in use', @extschema@._chpg_rounded(present, 1))
				|| coalesce(@extschema@._chpg_forecast_text(forecast,
					@extschema@._chpg_rounded(forecast.per_day, 1) || ' %'), ''),
			jsonb_build_object('storage_used_percent', present, 'storage_limit_bytes', line.storage_limit_bytes,
				'growth_percent_per_day', forecast.per_day,
					'full_at', forecast.full_at, 'full_from', forecast.full_from,
				'full_until', forecast.full_until),
			'Data, WAL that a replica or a slot holds back, or temporary files. The service scales its storage at 90 '
				'percent, with a short cutover.',
			'Look for what grew: the metric database_size, WAL that a slot holds back, or large temporary files.',
			NULL::float8, CASE WHEN present >= :used_percent THEN 'high' ELSE forecast.confidence END,
			'CHPG701:' || line.service_id, CASE WHEN present >= 99.5 THEN 'incident' ELSE 'risk' END,
			since, forecast."before", present, 'percent',
			@extschema@._chpg_metric_query(line.service_id, 'database_size'::text, since, until)
		)::@extschema@._chpg_candidate;
	END LOOP;
	IF live THEN
		RETURN QUERY
		SELECT k.*
		FROM (SELECT WHERE scope.service IS NULL OR cardinality(health) = 0) unknown,
			@extschema@.chpg_services(scope.server) s,
			@extschema@._chpg_skipped('{CHPG701,CHPG703}'::text[], 'The metrics omit the service'::text, s.id) k
		WHERE (scope.service IS NULL OR scope.service IN (s.id, s.name))
			AND NOT EXISTS (SELECT FROM unnest(health) h WHERE h.service_id = s.id);
	ELSE
		RETURN QUERY SELECT * FROM @extschema@._chpg_without_metric('{CHPG701}'::text[], scope, 'disk_usage'::text);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_find_storage(@extschema@._chpg_thresholds, @extschema@._chpg_scope, boolean) IS
'Findings about storage that is full, or will be, by the metrics of the history.
live: the storage in use is that of now, and a service without metrics is SKIPPED here, and
  for the rules about connections.
Requests: none; if live, 1 for the metrics, and 1 for the list unless the metrics have the
  service that is given.';
