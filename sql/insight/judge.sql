/* Insight: what all rules find. */

/*
 * Without a history, a service of the fleet that does not answer leaves the others to be
 * judged.  Services without patterns are read alone, which repeats only failed requests.
 */
CREATE FUNCTION @extschema@._chpg_read_patterns(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	OUT pairs @extschema@._chpg_pattern_pair[], OUT skipped @extschema@._chpg_candidate[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET chpg.on_service_error = 'warning'
AS $$
DECLARE
	patterns @extschema@.chpg_period_pattern_row[];
	alone record;
BEGIN
	IF cardinality(scope.period_hours) > 0 THEN
		IF cardinality(scope.baseline_hours) = 0 THEN
			scope.baseline := NULL;
		END IF;
		pairs := ARRAY(SELECT p FROM @extschema@._chpg_pairs_of_history(scope, t.change_calls_of_hour) p);
	ELSE
		patterns := ARRAY(SELECT p
			FROM @extschema@._chpg_period_of_api(scope.period, scope.service, scope.server) p);
		IF scope.service IS NULL THEN
			FOR alone IN SELECT s.id, s.state FROM @extschema@.chpg_services(scope.server) s
					WHERE coalesce(s.state, '') NOT IN ('creating', 'deleting')
						AND s.id NOT IN (SELECT p.service_id FROM unnest(patterns) p WHERE p.service_id IS NOT NULL)
			LOOP
				BEGIN
					patterns := patterns || ARRAY(SELECT p
						FROM @extschema@._chpg_period_of_api(scope.period, alone.id, scope.server) p);
				EXCEPTION WHEN OTHERS THEN
					skipped := skipped || ARRAY(SELECT k FROM @extschema@._chpg_skipped(NULL::text[],
							CASE WHEN alone.state <> 'running' THEN format('The service is "%s": ', alone.state) ELSE '' END
								|| SQLERRM, alone.id) k
						WHERE k.rule_id NOT IN ('CHPG402', 'CHPG501', 'CHPG504'));
				END;
			END LOOP;
		END IF;
		pairs := ARRAY(
			SELECT ROW(NULL, p, NULL, p.query_text, NULL, NULL, NULL, NULL, NULL)::@extschema@._chpg_pattern_pair
			FROM unnest(patterns) p);
	END IF;
	skipped := skipped || ARRAY(
		SELECT k
		FROM (
			SELECT s.service_id, r.rule_id, string_agg(c.counter, ', ') AS counters
			FROM (
				SELECT p.service_id, count(p.call_count) AS calls, count(p.total_duration_us) AS times,
					count(p.error_count) AS errors, count(p.total_rows) AS rows,
					count(p.total_shared_blks_read::float8 + p.total_shared_blks_hit) AS blks,
					count(p.total_cpu_time_us) AS cpu, count(p.total_wal_bytes) AS wal
				FROM unnest(pairs) u
				CROSS JOIN LATERAL (SELECT (u.b).*) p
				WHERE p.query_id <> 0 AND NOT @extschema@._chpg_is_monitoring(p.app)
				GROUP BY 1
			) s
			CROSS JOIN LATERAL (VALUES
				('executions', s.calls, '{CHPG101,CHPG102,CHPG201,CHPG202,CHPG401,CHPG601,CHPG607}'::text[]),
				('durations', s.times, '{CHPG101,CHPG102,CHPG201,CHPG202,CHPG601,CHPG607}'),
				('errors', s.errors, '{CHPG401}'),
				('rows', s.rows, '{CHPG607}'),
				('blocks', s.blks, '{CHPG101,CHPG102,CHPG301,CHPG601}'),
				('CPU time', s.cpu, '{CHPG601}'),
				('WAL', s.wal, '{CHPG202}')) c(counter, known, rule_ids)
			CROSS JOIN LATERAL unnest(c.rule_ids) r(rule_id)
			WHERE c.known = 0
			GROUP BY 1, 2
		) u
		CROSS JOIN LATERAL @extschema@._chpg_skipped(ARRAY[u.rule_id],
			format('No pattern reports %s', u.counters), u.service_id) k);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_read_patterns(@extschema@._chpg_thresholds, @extschema@._chpg_scope) IS
'The patterns to judge, and rows (SKIPPED) that say which rules they are not enough for.
Those of the baseline come with them, if the history has both periods.
A service is SKIPPED if it did not answer, and for the rules that need a counter that none of
  its patterns has.
Requests: as chpg_period_patterns.';

CREATE FUNCTION @extschema@._chpg_candidates(period tstzrange, service text, server text, baseline tstzrange,
	history_only boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	comparing CONSTANT text[] := '{CHPG402,CHPG501,CHPG504}';
	t CONSTANT @extschema@._chpg_thresholds := @extschema@._chpg_thresholds();
	scope CONSTANT @extschema@._chpg_scope := @extschema@._chpg_scope_of(baseline, period, service, server);
	of_history CONSTANT boolean := cardinality(scope.period_hours) > 0;
	found record;
BEGIN
	IF history_only AND @extschema@._chpg_history_is_readable() THEN
		PERFORM @extschema@._chpg_history_services(service, NULL::text, true);
	END IF;
	IF history_only AND NOT of_history THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped(NULL::text[],
			'The history, as far as you may read it, has no hour of the period.', NULL::text);
		RETURN;
	END IF;
	SELECT r.pairs, r.skipped INTO found FROM @extschema@._chpg_read_patterns(t, scope) r;
	RETURN QUERY SELECT * FROM unnest(found.skipped);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_patterns(t, scope, found.pairs);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_errors(t, scope, found.pairs);
	RETURN QUERY SELECT * FROM @extschema@._chpg_find_cache(t, scope, found.pairs);
	-- changes are found by hours of the history only
	IF of_history THEN
		RETURN QUERY
		SELECT s.*
		FROM unnest(scope.period_hours) h,
			@extschema@._chpg_skipped(comparing, 'The history has no hour of the baseline to compare with.',
				h.service_id) s
		WHERE NOT EXISTS (SELECT FROM unnest(scope.baseline_hours) b WHERE b.service_id = h.service_id);
		IF cardinality(scope.baseline_hours) > 0 THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_changes(t, scope, found.pairs);
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_error_spikes(t, scope, found.pairs);
		END IF;
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_quality(t, scope);
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_unarchived(t);
	ELSE
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped(comparing,
			'There is no history, that you may read, of the period to compare.', NULL::text);
	END IF;
	IF history_only THEN
		RETURN;
	END IF;
	-- the services as they are now; where there are no metrics, they are not read again
	BEGIN
		RETURN QUERY SELECT * FROM @extschema@._chpg_find_storage(t, service, server);
		IF service IS NULL AND of_history THEN
			RETURN QUERY
			SELECT k.*
			FROM @extschema@.chpg_services(server) s,
				@extschema@._chpg_skipped(NULL::text[],
					'The history does not know the service yet; the API is asked for one that is named.', s.id) k
			WHERE coalesce(s.state, '') NOT IN ('creating', 'deleting') AND NOT EXISTS (
				SELECT FROM @extschema@._chpg_history_services(NULL::text, server, false) h WHERE h.service_id = s.id);
		END IF;
		BEGIN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_connections(t, service, server);
		EXCEPTION WHEN OTHERS THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG703}'::text[], SQLERRM, NULL::text);
		END;
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG701,CHPG703}'::text[], SQLERRM, NULL::text);
	END;
	BEGIN
		IF service IS NULL THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_find_drift(t, server);
		ELSE
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[],
				'Settings are compared with those of the whole fleet: give no service.', NULL::text);
		END IF;
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[], SQLERRM, NULL::text);
	END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_candidates(tstzrange, text, text, tstzrange, boolean) IS
'The findings of all rules, several of a pattern, in no order.
Requests: as chpg_findings.';
