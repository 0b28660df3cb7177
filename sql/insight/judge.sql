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
		pairs := ARRAY(
			SELECT ROW(p.a, p.b, p.text_id, p.query_text, p.hours, p.hours_p95, p.hours_avg, p.hours_better,
				p.baseline_hours, p.latest_avg, p.latest_p95, k.service_id IS NOT NULL)::@extschema@._chpg_pattern_pair
			FROM @extschema@._chpg_pairs_of_history(scope, 'infinity'::float8) p
			LEFT JOIN @extschema@._chpg_batch_patterns(scope) k ON k.service_id = (p.b).service_id
				AND k.query_id = (p.b).query_id AND k.db_name = (p.b).db_name AND k.db_user = (p.b).db_user
				AND k.db_operation = (p.b).db_operation AND k.app = (p.b).app);
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
							CASE WHEN alone.state <> 'running'
								THEN format('The service is "%s": ', alone.state) ELSE '' END
								|| SQLERRM, alone.id) k
						WHERE k.rule_id <> ALL (@extschema@._chpg_rules_of('change'::text)));
				END;
			END LOOP;
		END IF;
		pairs := ARRAY(
			SELECT ROW(NULL, p, NULL, p.query_text, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
				NULL)::@extschema@._chpg_pattern_pair
			FROM unnest(patterns) p);
	END IF;
	skipped := skipped || ARRAY(
		SELECT k
		FROM (
			SELECT s.service_id, r.rule_id, string_agg(c.counter, ', ' ORDER BY c.counter) AS counters
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
			CROSS JOIN LATERAL (VALUES ('executions', s.calls), ('durations', s.times), ('errors', s.errors),
				('rows', s.rows), ('blocks', s.blks), ('CPU time', s.cpu), ('WAL', s.wal)) c(counter, known)
			JOIN @extschema@._chpg_rules() r ON c.counter = ANY (r.needs)
			WHERE c.known = 0
			GROUP BY 1, 2
		) u
		CROSS JOIN LATERAL @extschema@._chpg_skipped(ARRAY[u.rule_id],
			format('No pattern reports %s', u.counters), u.service_id) k);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_read_patterns(@extschema@._chpg_thresholds, @extschema@._chpg_scope) IS
'The patterns to judge, and rows (SKIPPED) that say which rules they are not enough for.
A service is SKIPPED if it did not answer, and for the rules that need a counter that none of
  its patterns has.
Requests: as chpg_period_patterns.';

CREATE FUNCTION @extschema@._chpg_rules_of(scope text)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_agg(r.rule_id ORDER BY r.rule_id)
	FROM @extschema@._chpg_rules() r
	WHERE r.scope = _chpg_rules_of.scope;
END;

COMMENT ON FUNCTION @extschema@._chpg_rules_of(text) IS 'The ids of the rules of a scope.';

/*
 * Rules of a scope are called alike: with the patterns, with the scope alone, or with whether
 * the present state counts.
 */
CREATE FUNCTION @extschema@._chpg_call_rules(of_scopes text[], t @extschema@._chpg_thresholds,
	scope @extschema@._chpg_scope, pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	called record;
BEGIN
	FOR called IN
		SELECT r.function_name, r.scope, array_agg(r.rule_id) AS rule_ids
		FROM @extschema@._chpg_rules() r
		WHERE r.scope = ANY (of_scopes)
		GROUP BY r.function_name, r.scope
		ORDER BY min(r.rule_id)
	LOOP
		IF called.scope IN ('pattern', 'service', 'change') THEN
			RETURN QUERY EXECUTE format('SELECT f.* FROM @extschema@.%I($1, $2, $3) f', called.function_name)
				USING t, scope, pairs;
		ELSE
			RETURN QUERY EXECUTE format('SELECT f.* FROM @extschema@.%I($1, $2) f', called.function_name)
				USING t, scope;
		END IF;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_call_rules(text[], @extschema@._chpg_thresholds, @extschema@._chpg_scope,
	@extschema@._chpg_pattern_pair[]) IS
'What the rules of some scopes find, as their files declare them.
Requests: as the rules.';

/*
 * What the API failed to tell once is not requested again: the other rules judge by the
 * history alone then.
 */
CREATE FUNCTION @extschema@._chpg_call_metrics_rules(t @extschema@._chpg_thresholds,
	scope @extschema@._chpg_scope, live boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	called record;
	failure text;
BEGIN
	FOR called IN
		SELECT format('SELECT f.* FROM @extschema@.%I($1, $2, $3) f', r.function_name) AS statement,
			array_agg(r.rule_id) AS rule_ids
		FROM @extschema@._chpg_rules() r
		WHERE r.scope = 'metrics'
		GROUP BY r.function_name
		ORDER BY min(r.rule_id)
	LOOP
		IF failure IS NULL THEN
			BEGIN
				RETURN QUERY EXECUTE called.statement USING t, scope, live;
				CONTINUE;
			EXCEPTION WHEN OTHERS THEN
				IF NOT live THEN
					RAISE;
				END IF;
				failure := SQLERRM;
			END;
		END IF;
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped(called.rule_ids, failure, NULL::text);
		RETURN QUERY EXECUTE called.statement || ' WHERE f.level <> $4' USING t, scope, false, 'SKIPPED'::text;
	END LOOP;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_call_metrics_rules(@extschema@._chpg_thresholds, @extschema@._chpg_scope,
	boolean) IS
'What the rules over metrics find in the history, and, if live, in the present state.
Requests: none, unless live: as the rules.';

/* A function that a rule names, and no file creates, is an error here. */
SELECT ('@extschema@.' || r.function_name)::regproc FROM @extschema@._chpg_rules() r WHERE r.scope <> 'findings';

CREATE FUNCTION @extschema@._chpg_candidates(period tstzrange, service text, server text, history_only boolean)
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	comparing CONSTANT text[] := @extschema@._chpg_rules_of('change'::text);
	t CONSTANT @extschema@._chpg_thresholds := @extschema@._chpg_thresholds();
	scope CONSTANT @extschema@._chpg_scope := @extschema@._chpg_scope_of(NULL::tstzrange, period, service, server);
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
	RETURN QUERY SELECT * FROM @extschema@._chpg_call_rules('{pattern,service}'::text[], t, scope, found.pairs);
	-- changes are found by hours of the history only
	IF of_history THEN
		RETURN QUERY
		SELECT k.*
		FROM unnest(scope.period_hours) h
		LEFT JOIN @extschema@._chpg_judged_services(scope) j ON j.service_id = h.service_id
		CROSS JOIN LATERAL (SELECT j.history_start + interval '48 hours' AS waits_until) w
		CROSS JOIN LATERAL @extschema@._chpg_skipped_together(comparing, CASE WHEN j.service_id IS NULL
			THEN 'The history lacks the last six hours of the period: changes wait for the next capture'
			ELSE format('The history has %s of the two days to compare with: changes wait until %s',
				CASE round(extract(epoch FROM j.end_time - j.history_start) / 3600) WHEN 1 THEN 'an hour'
					ELSE round(extract(epoch FROM j.end_time - j.history_start) / 3600) || ' hours' END,
				@extschema@._chpg_time_literal(w.waits_until)) END, w.waits_until, h.service_id) k
		WHERE j.service_id IS NULL OR j.history_start > j.end_time - interval '48 hours';
		RETURN QUERY SELECT * FROM @extschema@._chpg_call_rules('{change,history}'::text[], t, scope, found.pairs);
	ELSE
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped(comparing,
			'There is no history, that you may read, of the period to compare.', NULL::text);
	END IF;
	RETURN QUERY SELECT * FROM @extschema@._chpg_call_metrics_rules(t, scope, NOT history_only);
	IF history_only THEN
		RETURN;
	END IF;
	-- the services as they are now
	BEGIN
		IF service IS NULL AND of_history THEN
			RETURN QUERY
			SELECT k.*
			FROM @extschema@.chpg_services(server) s,
				@extschema@._chpg_skipped(NULL::text[],
					'The history does not know the service yet; the API is asked for one that is named.', s.id) k
			WHERE coalesce(s.state, '') NOT IN ('creating', 'deleting') AND NOT EXISTS (
				SELECT FROM @extschema@._chpg_history_services(NULL::text, server, false) h WHERE h.service_id = s.id);
		END IF;
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped(NULL::text[], SQLERRM, NULL::text);
	END;
	BEGIN
		IF service IS NULL THEN
			RETURN QUERY SELECT * FROM @extschema@._chpg_call_rules('{fleet}'::text[], t, scope, found.pairs);
		ELSE
			RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[],
				'Settings are compared with those of the whole fleet: give no service.', NULL::text);
		END IF;
	EXCEPTION WHEN OTHERS THEN
		RETURN QUERY SELECT * FROM @extschema@._chpg_skipped('{CHPG706}'::text[], SQLERRM, NULL::text);
	END;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_candidates(tstzrange, text, text, boolean) IS
'The findings of all rules, several of a pattern, in no order.
Requests: as chpg_findings.';
