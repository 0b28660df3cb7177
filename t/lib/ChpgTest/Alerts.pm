# A history whose findings tests plant, so that thresholds of rules do not matter.
package ChpgTest::Alerts;

use strict;
use warnings;

use Exporter qw(import);

use ChpgTest;

our @EXPORT = qw(plant_findings find_sql watch_at);

# Begin the history "kept", with nine services pg1 to pg9 and captured hours of two days of May 2026,
# in which a watch finds what planted.find() was called with: from the hour "at" until "gone".
sub plant_findings
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{CREATE EXTENSION IF NOT EXISTS chpg; SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '100 years' WHERE name = 'keep_day'});
	make_plantable($node);
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE planted.candidate (at timestamptz, gone timestamptz DEFAULT 'infinity', c _chpg_candidate);
CREATE FUNCTION planted.find(rule_id text, level text, service_id text, since timestamptz, before float8, now float8,
	at timestamptz, gone timestamptz DEFAULT 'infinity', kind text DEFAULT 'incident', app text DEFAULT 'web') RETURNS void LANGUAGE sql AS $$
	INSERT INTO planted.candidate
	SELECT at, gone, ROW(rule_id, level, 'Title of ' || rule_id, service_id, format('%s after %s', now, before),
		jsonb_build_object('query_id', '7', 'query_text', 'SELECT of ' || app, 'db_name', 'd', 'db_user', 'u', 'db_operation', 'SELECT', 'app', app),
		'why', 'do', 1e6, 'high', rule_id || ':' || to_jsonb(ARRAY[service_id, '7', 'd', 'u', 'SELECT', app])::text,
		kind, since, before, now, 'us', NULL)::_chpg_candidate
$$;
CREATE OR REPLACE FUNCTION _chpg_candidates(period tstzrange, service text, server text, history_only boolean) RETURNS SETOF _chpg_candidate LANGUAGE sql VOLATILE SET search_path = public, kept, pg_temp AS $$
	SELECT (p.c).* FROM planted.candidate p WHERE p.at <= upper(period) AND p.gone > upper(period)
$$;
INSERT INTO kept.service (service_id, valid_from, noted_at, service_name, size, tags)
SELECT 'pg' || n, '-infinity', now(), 'service ' || n, 'small', jsonb_build_object('team', CASE n WHEN 1 THEN 'sales' ELSE 'core' END) FROM generate_series(1, 9) n;
INSERT INTO kept.capture (service_id, grain, window_start, window_end, status)
SELECT 'pg' || n, 'hour', h, h + interval '1 hour', 'ok'
FROM generate_series(1, 9) n, generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-11 23:00Z', '1 hour') h;
SQL
	return;
}

# A call of planted.find(): a finding of a service at this level, in the hours from .. until of 11 May.
sub find_sql
{
	my ($service, $level, $from, $until, %more) = @_;
	my ($now, $app, $kind, $rule) = ($more{now} // 3000, $more{app} // 'web', $more{kind} // 'incident', $more{rule} // 'CHPG501');

	return sprintf q{SELECT planted.find('%s', '%s', '%s', '2026-05-11 %02d:00Z', 1000, %s, '2026-05-11 %02d:00Z', %s, '%s', '%s');},
	  $rule, $level, $service, $more{since} // $from - 1, $now, $from, defined $until ? sprintf(q{'2026-05-11 %02d:00Z'}, $until) : q{'infinity'}, $kind, $app;
}

# Watch as of this hour of 11 May.
sub watch_at { my ($hour) = @_; return sql(sprintf q{SELECT w->>'new', w->>'worse', w->>'resolved' FROM _chpg_watch('2026-05-11 %02d:00Z', NULL, NULL) w}, $hour) }

1;
