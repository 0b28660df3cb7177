# The views of chpg_bi_create: what a tool's preview, filters and joins cost in requests, whose key
# they use, which schemas are refused, and that a second call replaces what the first one made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'");

$node->safe_psql('postgres', connect_sql($url) . 'CREATE ROLE tool LOGIN; CREATE ROLE other LOGIN');
reset_emulator($url, services => 3, patterns => 30);

my @LIVE = qw(services health logs);
my @KEPT = qw(top_patterns patterns_by_hour patterns_by_day metrics findings incidents);

# The views of a schema
sub views
{
	my ($schema) = @_;
	return sql("SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class WHERE relnamespace = to_regnamespace('$schema') AND relkind = 'v'");
}

# Without a history

like(notices($node, q{SELECT FROM chpg_bi_create('bi')}), qr/\A[^\n]*NOTICE:  there is no history: begin one with chpg_history_enable\nDETAIL:  These views read the history, and were not made: top_patterns, patterns_by_hour, patterns_by_day, metrics, findings, incidents\.\nHINT:  [^\n]*SELECT chpg_history_enable\('fleet_history'\);\z/,
	'without a history a NOTICE says which views are not made');
is(views('bi'), 'health services', 'without a history there are the others');
is(sql('SELECT count(*) FROM bi.services, bi.health'), 9, 'and they have rows');
is(costs($node, $url, q{SELECT view_name, requests FROM chpg_bi_create('other_bi', '7 days')}, 0, 'chpg_bi_create without logs'), "other_bi.services|1\nother_bi.health|1", 'it returns the views and their costs');

# With a history: the same call again adds its views.

sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '5 hours' WHERE name = 'backfill'});
sql('CALL chpg_capture(); CALL chpg_watch()');
sql(q{INSERT INTO kept.finding_log (finding_key, opened_at, last_seen_at, resolved_at, missed, state, kind, level, worst_level, noted_level, rule_id, service_id, service_name, since, incident_id, is_root, muted, finding)
	SELECT 'key' || n, h, h, CASE WHEN n = 3 THEN h + interval '1 hour' END, 0, 'ongoing', 'incident', 'WARN', 'ERROR', 'WARN', 'CHPG301', service_id, 'orders', h - interval '1 hour', 'incident' || n / 2, n <> 1, false,
		'{"title": "It is slow", "subject": "SELECT 1", "symptom": "40 times", "action": "Look", "next": "SELECT 2", "urgency": 3, "impact_us": 2.5, "confidence": "high"}'
	FROM generate_series(0, 3) n, date_trunc('hour', now()) h, (SELECT service_id FROM kept.service WHERE service_name = 'orders') s});
is(costs($node, $url, q{SELECT string_agg(view_name, ' ') FROM chpg_bi_create('bi', '1 day', '{orders,billing}', '{tool}')}, 1, 'services of the logs by name'),
	join(' ', map { "bi.$_" } @LIVE, @KEPT), 'a second call makes all views');

# Every view and column says what it is, and every view what it costs.
is(sql(q{SELECT string_agg(c.relname || '.' || a.attname, ' ') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
	WHERE c.relnamespace IN ('bi'::regnamespace, 'bi_source'::regnamespace) AND coalesce(col_description(a.attrelid, a.attnum), '') = ''}), '', 'all columns have comments');
is(sql(q{SELECT string_agg(relname || ': ' || substring(obj_description(oid, 'pg_class') FROM 'Requests: .*'), ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'bi'::regnamespace}),
	'findings: Requests: none. health: Requests: 1. incidents: Requests: none. logs: Requests: 1 for each service that it has and each 2,000 lines; 1 an hour for names. metrics: Requests: none. '
	  . 'patterns_by_day: Requests: none. patterns_by_hour: Requests: none. services: Requests: 1. top_patterns: Requests: none.', 'the comment of each view has its cost');
is(sql(q{SELECT string_agg(DISTINCT format('%s %s', v.relname, o), ' ') FROM pg_class v
	LEFT JOIN LATERAL (SELECT d.refobjid::regprocedure::text AS o FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_proc'::regclass
		WHERE r.ev_class = v.oid UNION ALL SELECT unnest(v.reloptions)) x ON true
	WHERE v.relnamespace = 'bi'::regnamespace AND o IS NOT NULL}), '', 'no view calls a function that is not built in, or is a security barrier');
is(sql(q{SELECT string_agg(proname, ' ') FROM pg_proc WHERE proname LIKE '%chpg_bi%' AND prosecdef}), '', 'no function runs as another role');

# The first column by which tools filter, and what each preview costs
my %time = (logs => 'time', patterns_by_hour => 'time', patterns_by_day => 'time', metrics => 'time', findings => 'time', incidents => 'time', services => 'created_at');
my %preview = (logs => sql('SELECT CASE WHEN min(n) >= 1000 THEN 1 ELSE 2 END FROM (SELECT count(*) AS n FROM bi.logs GROUP BY service_id) l'));
my %cost = ((map { $_ => 0 } @KEPT), services => 1, health => 1, logs => 2);
for my $view (@LIVE, @KEPT)
{
	my @as_tool = (extra_params => [ '-U', 'tool' ]);

	cmp_ok(costs($node, $url, "SELECT count(*) FROM bi.$view", $cost{$view}, "count(*) of $view", @as_tool), '>', 0, "$view has rows");
	costs($node, $url, "SELECT * FROM bi.$view LIMIT 1000", $preview{$view} // $cost{$view}, "a preview of $view", @as_tool);
	costs($node, $url, "SELECT * FROM bi.$view WHERE 1 = 0", 0, "the columns of $view", @as_tool);
	costs($node, $url, "SELECT DISTINCT service_id FROM bi.$view", $cost{$view}, "the services of $view", @as_tool);
	next unless $time{$view};
	my $column = $time{$view};
	costs($node, $url, qq{SELECT count(*) FROM bi.$view WHERE "$column" >= now() - interval '1 hour' AND "$column" < now()}, $cost{$view}, "an hour of $view", @as_tool);
	costs($node, $url, qq{SELECT CAST("$column" AS date), count(*) FROM bi.$view WHERE CAST("$column" AS date) = CURRENT_DATE GROUP BY 1}, $cost{$view}, "today in $view", @as_tool);
	costs($node, $url, qq{SELECT date_trunc('hour', "$column"), count(*) FROM bi.$view WHERE date_trunc('day', "$column") BETWEEN date_trunc('day', now() - interval '1 day') AND now() GROUP BY 1}, $cost{$view}, "hours of $view", @as_tool);
	costs($node, $url, qq{SELECT to_char("$column", 'HH24'), count(*) FROM bi.$view WHERE to_char("$column", 'DY') <> 'XYZ' GROUP BY 1}, $cost{$view}, "$view by an expression that bounds nothing", @as_tool);
}

# A time filter shortens what the logs are read for.
clear_journal($url);
sql(q{SELECT count(*) FROM bi.logs WHERE "time" >= now() - interval '10 minutes'});
is_deeply([ map { my $query = $_->{query}; sql("SELECT '$query->{to_date}'::timestamptz - '$query->{from_date}'::timestamptz <= interval '601 seconds'") } @{ journal($url)->{requests} } ], [ 't', 't' ],
	'a time filter shortens the window of the logs');

# So do those that tools write, as docs/bi.md has them: all of the same hour, but for the one that is relative to the
# time of its statement.
my $HOUR = join ', ', map { "to_char(date_trunc('hour', now()) - interval '$_ hours', 'YYYY-MM-DD HH24:MI:SS')" } 3, 2;
my ($start, $end) = split /\|/, sql("SELECT $HOUR");
my ($iso_start, $iso_end) = map { tr/ /T/r . 'Z' } $start, $end;
for my $form (
	[ 'Grafana', qq{"time" BETWEEN '$iso_start' AND '$iso_end'} ],
	[ 'Metabase', qq{"time" >= timestamptz '$start Z' AND "time" < timestamptz '$end Z'} ],
	[ 'Metabase, by an hour', qq{DATE_TRUNC('hour', "time") = timestamptz '$start Z'} ],
	[ 'Metabase, relative', q{"time" >= DATE_TRUNC('hour', NOW() + INTERVAL '-3 hour') AND "time" < DATE_TRUNC('hour', NOW() + INTERVAL '-2 hour')} ],
	[ 'Superset', qq{"time" >= TO_TIMESTAMP('$start.000000', 'YYYY-MM-DD HH24:MI:SS.US') AND "time" < TO_TIMESTAMP('$end.000000', 'YYYY-MM-DD HH24:MI:SS.US')} ],
	[ 'Tableau', qq{(("logs"."time" >= (TIMESTAMP '$start')) AND ("logs"."time" < (TIMESTAMP '$end')))} ],
	[ 'Tableau, with a cast', qq{((CAST("logs"."time" AS TIMESTAMP) >= (TIMESTAMP '$start')) AND (CAST("logs"."time" AS TIMESTAMP) < (TIMESTAMP '$end')))} ],
	[ 'Power BI', qq{"time" >= timestamp '$start' and "time" < timestamp '$end'} ],
	[ 'ODBC', qq{"time" >= '$start'::timestamp AND "time" < '$end'::timestamp} ])
{
	my ($tool, $condition) = @$form;

	clear_journal($url);
	my ($lines, @hour) = split /\|/, sql(qq{SELECT count(*), $HOUR FROM bi.logs WHERE service_id = '$ORDERS' AND $condition}, extra_params => [ '-U', 'tool' ]);
	@hour = ($start, $end) if $condition !~ /NOW/;
	my @windows = map { my $query = $_->{query}; join ' ', map { s/\.00[01]Z\z/Z/r } @{$query}{qw(from_date to_date)} } @{ journal($url)->{requests} };
	is_deeply(\@windows, [ join ' ', map { tr/ /T/r . 'Z' } @hour ], "the time filter of $tool is pushed down");
	cmp_ok($lines, '>', 10, "the time filter of $tool has lines");
}

sql(q{SELECT FROM chpg_bi_create('bi', '2 hours', '{orders}')});
clear_journal($url);
sql('SELECT count(*) FROM bi.logs');
is(sql(join ' ', map { "SELECT '$_->{to_date}'::timestamptz - '$_->{from_date}'::timestamptz BETWEEN interval '2 hours' AND interval '2 hours 1 second'" } map { $_->{query} } @{ journal($url)->{requests} }), 't',
	'another call changes the window and the services of the logs');
sql(q{SELECT FROM chpg_bi_create('bi', '1 day', ARRAY(SELECT name FROM chpg_services))});

# A call that does not say whose logs it means leaves them.
my $logs = sql(q{SELECT pg_get_viewdef('bi.logs')});
clear_journal($url);
sql(q{SELECT FROM chpg_bi_create('bi', '3 hours')});
is(request_count($url), 0, 'a call that only changes the window needs no request');
is(sql(q{SELECT pg_get_viewdef('bi.logs')}), $logs, 'and the logs are those of the same services');
like(sql(q{SELECT obj_description('bi.logs'::regclass)}), qr/^Log lines not older than 03:00:00\. Only of services that chpg_bi_create was given: \w+, \w+, \w+\.\nRequests: /, 'which its comment names, with the window');
sql(q{SELECT FROM chpg_bi_create('bi', readers => '{tool}')});
like(sql(q{SELECT obj_description('bi.logs'::regclass) || obj_description('bi.top_patterns'::regclass)}), qr/not older than 03:00:00\..*not older than 03:00:00,/s, 'a call without a window leaves it');
like(sql(q{SELECT pg_get_viewdef('bi.top_patterns')}), qr/now\(\) - '03:00:00'::interval/, 'also in the view');
sql(q{SELECT FROM chpg_bi_create('bi', '1 day')});

# Filters on what services are called reach those services only, also through the views.
my ($tag, $team) = split /\|/, sql(q{SELECT count(*), tags->>'team' FROM chpg_services WHERE tags ? 'team' GROUP BY 2 ORDER BY 1, 2 LIMIT 1});
costs($node, $url, q{SELECT count(*) FROM bi.logs JOIN bi.services s USING (service_id) WHERE s.service_name = 'orders'}, 2, 'logs of a service by its name in services');
is(costs($node, $url, q{SELECT DISTINCT service_name FROM bi.logs WHERE service_name IN ('orders', 'nothing')}, 1, 'logs of a service by their own name'), 'orders', 'are those of that service');
costs($node, $url, q{SELECT count(*) FROM bi.logs WHERE service_name = 'nothing'}, 0, 'logs of a service that there is not');
costs($node, $url, q{SELECT count(*) FROM bi.services s JOIN bi.logs l ON l.service_id = s.service_id WHERE s.service_name IN ('orders', 'billing')}, 3, 'logs of two services by their names');
costs($node, $url, "SELECT count(*) FROM bi.logs JOIN bi.services USING (service_id) WHERE tag_team = '$team'", 1 + $tag, 'logs of services by a tag');
costs($node, $url, "SELECT count(*) FROM bi.logs JOIN bi.services USING (service_id) WHERE tags->>'team' = '$team' AND \"time\" > now() - interval '1 hour'", 1 + $tag, 'an hour of these logs');
costs($node, $url, "SELECT count(*) FROM bi.logs WHERE service_id = '$ORDERS'", 1, 'logs of a service by its id');
sql(q{SELECT FROM chpg_bi_create('bi', '1 day', ARRAY(SELECT name FROM chpg_services WHERE name <> 'billing'))});
is(costs($node, $url, q{SELECT count(*) FROM bi.logs JOIN bi.services s USING (service_id) WHERE s.service_name = 'billing'}, 1, 'logs of a service that the view does not have'), 0, 'has no rows');
costs($node, $url, q{SELECT count(*) FROM bi.patterns_by_hour JOIN bi.services USING (service_id) WHERE services.service_name = 'orders'}, 1, 'patterns of a service by its name now');

# What they show
is(sql(q{SELECT count(*) FROM bi.health h FULL JOIN chpg_health c USING (service_id)
	WHERE (h.service_name, h.status, h.version, h.cpu_cores, h.memory_limit_bytes, h.memory_used_percent, h.storage_limit_bytes, h.storage_used_percent, h.active_connections, h.idle_connections, h.cache_hit_ratio, h.database_bytes, h.deadlocks, h.commits, h.rollbacks)
		IS DISTINCT FROM (c.service_name, c.status, c.version, c.cpu_cores, c.memory_limit_bytes, c.memory_used_percent, c.storage_limit_bytes, c.storage_used_percent, c.active_connections, c.idle_connections, c.cache_hit_ratio, c.database_bytes, c.deadlocks, c.commits, c.rollbacks)}),
	0, 'health is that of chpg_health');
is(sql(q{SELECT count(*) > 10, count(*) FILTER (WHERE t.call_count <> p.calls OR abs(t.total_duration_us - p.us) > 1e-9 * p.us) FROM bi.top_patterns t
	FULL JOIN (SELECT service_id, query_hex, db_name, db_user, db_operation, app, sum(call_count) AS calls, sum(total_duration_us) AS us FROM bi.patterns_by_hour GROUP BY 1, 2, 3, 4, 5, 6) p
		USING (service_id, query_hex, db_name, db_user, db_operation, app)}), 't|0', 'top_patterns has the sums of patterns_by_hour');
is(sql(q{SELECT bool_and(ok) FROM (SELECT total_duration_us <= lag(total_duration_us, 1, 'Infinity') OVER () AS ok FROM (SELECT * FROM bi.top_patterns LIMIT 20) t) o}), 't', 'its first rows are those that took most time');
is(sql(q{SELECT string_agg(round(s::numeric, 6)::text, ' ') FROM (SELECT sum(time_percent) AS s FROM bi.top_patterns GROUP BY service_id) t}), '100.000000 100.000000 100.000000', 'the shares of a service add up');
is(sql(q{SELECT count(*) FROM bi.patterns_by_hour WHERE service_name = 'orders'}), sql(q{SELECT count(*) FROM kept.pattern_hour WHERE service_name = 'orders'}), 'patterns_by_hour has all hours');
is(sql(q{SELECT is_open, level, worst_level, title, findings, duration_s FROM bi.incidents WHERE incident_id ~ '^incident' ORDER BY finding_key}),
	"t|WARN|ERROR|It is slow|2|3600\nt|WARN|ERROR|It is slow|2|3600\nf|WARN|ERROR|It is slow|2|7200", 'an incident is a row, with the number of its findings');
is(sql(q{SELECT count(*), count(*) FILTER (WHERE is_open) FROM bi.findings WHERE incident_id ~ '^incident'}), '4|3', 'findings are open ones, and those that are resolved');
is(sql(q{SELECT title, urgency, impact_us FROM bi.findings WHERE finding_key = 'key1'}), 'It is slow|3|2.5', 'with their texts and numbers');

# Whose key it is
is(as_role('tool', 'SELECT count(*) FROM bi.services'), 3, 'a reader needs no key');
fails_as('tool', 'SELECT * FROM bi_source.services', '42501', qr/permission denied for schema bi_source/, 'it may not read the foreign tables');
fails_as('tool', 'SELECT * FROM kept.finding_log', '42501', qr/permission denied for schema kept/, 'nor the history');
fails_as('other', 'SELECT * FROM bi.services', '42501', qr/permission denied for schema bi/, 'other roles may not read the views');
fails_with($node, $_->[0], $_->[1], qr/cannot (?:update|delete)/, "no row is written: $_->[0]")
  for [ 'UPDATE bi.findings SET muted = true', '55000' ], [ 'DELETE FROM bi.incidents', '55000' ], [ 'DELETE FROM bi.services', '0A000' ];

# What a role may read is as the owner left it: another call makes it no more.
sql('GRANT USAGE ON SCHEMA bi TO other; GRANT SELECT ON bi.services TO other; CREATE ROLE partly LOGIN; GRANT USAGE ON SCHEMA bi TO partly; GRANT SELECT ON ALL TABLES IN SCHEMA bi TO partly; REVOKE SELECT ON bi.findings FROM partly; DROP VIEW bi.health');
sql(q{SELECT FROM chpg_bi_create('bi', logs => '{orders}')});
is(as_role('tool', 'SELECT count(*) FROM bi.health'), 3, 'a role that could read all views reads a view that is made anew');
is(as_role('other', 'SELECT count(*) FROM bi.services'), 3, 'a role that could read one view still reads it');
fails_as($_->[0], "SELECT * FROM bi.$_->[1]", '42501', qr/permission denied for view $_->[1]/, "$_->[0] may not read $_->[1] after another call")
  for [qw(other patterns_by_hour)], [qw(other health)], [qw(other logs)], [qw(partly findings)], [qw(partly health)];
sql(q{REVOKE USAGE ON SCHEMA bi FROM tool; SELECT FROM chpg_bi_create('bi', logs => '{orders}')});
fails_as('tool', 'SELECT * FROM bi.services', '42501', qr/permission denied for schema bi/, 'a schema that was closed stays closed');
sql(q{SELECT FROM chpg_bi_create('bi', logs => '{orders}', readers => '{tool}')});
is(as_role('tool', 'SELECT count(*) FROM bi.services'), 3, 'until the call names the role');

# What it refuses
sql('CREATE SCHEMA full_one; CREATE TABLE full_one.t (); CREATE SCHEMA theirs AUTHORIZATION other; CREATE SCHEMA open_one; GRANT CREATE ON SCHEMA open_one TO other; CREATE SCHEMA half_source; CREATE TABLE half_source.t ()');
for my $case (
	[ "'full_one'", '55000', qr/schema "full_one" cannot have the views: name a new schema\nDETAIL:  It has something else in it\.\nHINT:  Name a schema that does not exist yet, or is yours and empty\./, 'a schema with something else' ],
	[ "'kept'", '55000', qr/DETAIL:  It has something else in it\./, 'the schema of the history' ],
	[ "'theirs'", '55000', qr/DETAIL:  It belongs to role "other"\.\nHINT:  .*call chpg_bi_create as that role/, 'a schema of another role' ],
	[ "'open_one'", '55000', qr/DETAIL:  Other roles may create objects in it\.\nHINT:  .*CREATE ON SCHEMA open_one/, 'a schema in which others create' ],
	[ "'half'", '55000', qr/DETAIL:  Its foreign tables would be in schema "half_source"\. It has something else in it\./, 'a schema whose foreign tables have no place' ],
	[ 'NULL', '22004', qr/argument "schema" must not be null/, 'no schema' ],
	[ "'pg_bi'", '22023', qr/invalid name for the schema of views: "pg_bi"/, 'a name that tools hide' ],
	[ "repeat('x', 57)", '42622', qr/invalid name for the schema of views/, 'a long name' ],
	[ "'b2', '-1 day'", 'HV024', qr/invalid value for "window": "-1 days" is not a positive interval: give one such as '1 day'(?!.*ALTER)/s, 'a negative window' ],
	[ "'b2', '1 day', '{orders,NULL}'", '22004', qr/argument "logs" must not be null/, 'a service that is null' ],
	[ "'b2', '1 day', '{nothing}'", '42704', qr/service "nothing" does not exist/, 'an unknown service' ],
	[ "'b2', readers => '{nobody}'", '42704', qr/role "nobody" does not exist/, 'an unknown reader' ],
	[ "'b2', server => 'nowhere'", '42704', qr/server "nowhere" of chpg does not exist/, 'an unknown server' ])
{
	my ($arguments, $state, $message, $name) = @$case;
	fails_with($node, "SELECT FROM chpg_bi_create($arguments)", $state, $message, $name);
}
is(views('b2'), '', 'what is refused leaves nothing');

# A statement in a HINT can be run.
my $denied = fails_as('other', q{SELECT FROM chpg_bi_create('mine', server => 'chpg')}, '42501', qr/permission denied to create schema "mine": have it created for role "other"(?!.*SQL statement)/s, 'a role that may not create a schema');
my ($hint) = $denied =~ /HINT:  Run as a role that has CREATE on database "postgres": (.*)/;
is($hint, 'CREATE SCHEMA mine AUTHORIZATION other; CREATE SCHEMA mine_source AUTHORIZATION other;', 'a HINT has the statements that lack');
sql("GRANT USAGE ON FOREIGN SERVER chpg TO other; $hint");
as_role('other', q{SELECT FROM chpg_bi_create('mine', server => 'chpg')});
is(views('mine'), 'health services', 'after which it has its views');
($hint) = fails_with($node, q{SELECT FROM chpg_bi_create('bi', readers => '{public}')}, '42704', qr/role "public" does not exist: name roles, or grant to PUBLIC afterwards/, 'everybody as a reader') =~ /HINT:  After a call without this reader: (.*)/;
sql($hint);
is(as_role('partly', 'SELECT count(*) FROM bi.health'), 3, 'a HINT has the statements that let everybody read');
sql($hint =~ s/GRANT/REVOKE/gr =~ s/TO PUBLIC/FROM PUBLIC/gr);

add_server($node, 'second', api_url => $url);
fails_with($node, q{SELECT FROM chpg_bi_create('bi', server => 'second')}, '55000', qr/foreign table bi_source\.services is not of server "second": drop its schema first/, 'views of another server');
sql('CREATE VIEW bi.mine AS SELECT 1 AS one; DROP VIEW bi.health; CREATE VIEW bi.health AS SELECT 2 AS two');
fails_with($node, q{SELECT FROM chpg_bi_create('bi')}, '55000', qr/view bi\.health has other columns now: drop it first.*HINT:  Run: DROP VIEW bi\.health;/s, 'a view that another one has replaced');
sql(q{DROP VIEW bi.health; SELECT FROM chpg_bi_create('bi', logs => '{}')});
is(views('bi'), 'findings health incidents metrics mine patterns_by_day patterns_by_hour services top_patterns', 'without services there is no view of logs, and other views stay');
is(sql(q{DROP SCHEMA bi, bi_source CASCADE; SELECT count(*) > 0 FROM kept.finding_log}), 't', 'it can be dropped, and the history stays');

# Hostile names
my $HOSTILE = q{a"b'; DROP SCHEMA kept CASCADE; --%s$query$};
(my $literal = $HOSTILE) =~ s/'/''/g;
(my $quoted = $HOSTILE) =~ s/"/""/g;
sql(qq{CREATE ROLE "$quoted" LOGIN});
sql(qq{SELECT FROM chpg_bi_create('$literal', '1 day', '{orders}', ARRAY['$literal'])});
is(sql(qq{SELECT count(*) FROM "$quoted".services}, extra_params => [ '-U', $HOSTILE ]), 3, 'a schema and a reader with hostile names');
is(sql(qq{SELECT count(DISTINCT service_id) FROM "$quoted".logs}), 1, 'its logs, too');
sql(qq{SELECT FROM chpg_bi_create('$literal', '1 day')});
is(views($quoted =~ s/'/''/gr =~ s/(.*)/"$1"/r), 'findings health incidents logs metrics patterns_by_day patterns_by_hour services top_patterns', 'it can be called again');
is(sql(q{SELECT to_regnamespace('kept') IS NOT NULL}), 't', 'nothing was dropped');

# A role that owns neither the history nor the server
sql('CREATE ROLE analyst LOGIN; GRANT CREATE ON DATABASE postgres TO analyst; GRANT USAGE ON FOREIGN SERVER chpg TO analyst');
sql("CREATE USER MAPPING FOR analyst SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')");
like(notices($node, q{SELECT FROM chpg_bi_create('theirs_too', readers => '{tool}')}, extra_params => [ '-U', 'analyst' ]), qr/NOTICE:  the history cannot be used: schema "kept" [^\n]*\nDETAIL:  These views read the history/, 'a history that the caller may not use is not read');
is(as_role('tool', 'SELECT count(*) FROM theirs_too.services'), 3, 'its other views read with the key of that role');
is(sql(q{SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relnamespace IN ('theirs_too'::regnamespace, 'theirs_too_source'::regnamespace)}), 'analyst', 'who calls it owns all of it');

done_testing();
