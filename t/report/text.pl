# The report as text: the verdict comes first, no line is longer than 100 characters, and it says the same as the page.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Fleet;
use Encode qw(decode_utf8 encode_utf8);
use List::Util qw(max);
use Test::More;


my $url = start_emulator();
my $node = start_node('main', "timezone = 'Europe/Berlin'", 'jit = off', 'fsync = off');
$node->safe_psql('postgres', connect_sql($url));

sub text_report
{
	my ($arguments, $settings) = @_;
	return decode_utf8($node->safe_psql('postgres', ($settings // '') . "SELECT chpg_report_text(@{[ $arguments // '' ]})"));
}

# The lines of a section, without those that continue it
sub section
{
	my ($text, $title) = @_;
	return $text =~ /^\Q$title\E\n(.*?)(?=^[A-Z ]+\?$|\z)/ms ? $1 : undef;
}

# ---- Without a history

clear_journal($url);
my $nothing = text_report();
like($nothing, qr/^Whether anything is wrong is not known: there is no history\.\n/, 'without a history nothing is known');
is(section($nothing, 'IS ANYTHING WRONG NOW?'), "  Not known: there is no history.\n\n", 'and no sentence says that nothing is open');
fails_with($node, "SELECT $_(service => 'typo')", '55000', qr/service "typo" cannot be looked up: there is no history.*HINT:  .*chpg_report\(service => 'typo', history_only => false\)/s, "$_ of a service that nothing can look up") for qw(chpg_report chpg_report_text);
is(request_count($url), 0, 'and no request is sent');
reset_emulator($url, services => 1, patterns => 5);
fails_with($node, "SELECT chpg_report_text(service => 'typo', history_only => false)", '42704', qr/service "typo" does not exist/, 'the report of a service that the API does not have');
my $live = text_report('history_only => false');
like($live, qr/^Whether something got worse is not known: \d+ rules could not judge\.\nThe others find nothing wrong\.\n|^\w+ things? (?:is|are) wrong: .*\d+ rules could not judge\./s, 'without a history rules cannot judge changes');
unlike($live, qr/No incident is open|Nothing is wrong/, 'which is no good news');

# ---- A bad day

my $fleet = ChpgTest::Fleet->new(run => sub { return $node->safe_psql('postgres', $_[0]) }, say => sub { note(@_) },
	seed => 7, services => 2, days => 9, judged => 1, step => 60, patterns => 12, plants => ['missing index'], planted_patterns => 20, onsets => [ 2, 6 ]);
$fleet->load->watch_all(only => 'deciding', until => $fleet->{start} + 14);
my ($service, $name) = split /\|/, $node->safe_psql('postgres',
	q{SELECT t.service_id, s.service_name FROM fleet.truth t JOIN kept.service s USING (service_id) WHERE t.strength = 'strong' AND s.valid_to = 'infinity'});
clear_journal($url);
my $judged = text_report();
$node->safe_psql('postgres', q{SELECT _chpg_watch(h, NULL::text, NULL::text)
	FROM (SELECT max(window_end) AS until FROM kept.capture WHERE grain = 'hour') c, generate_series(c.until - interval '6 hours', c.until, '3 hours') h});
my $text = text_report();
is(request_count($url), 0, 'a report of a history sends no request');

for my $function (qw(chpg_report chpg_report_text))
{
	fails_with($node, "SELECT $function(server => 'chgp', service => '$name')", '42704', qr/server "chgp" does not exist: did you mean "chpg"\?/, "$function of a server that does not exist");
	fails_with($node, "SELECT $function('1 day', server => 'nope')", '42704', qr/server "nope" does not exist: give a server such as "chpg"/, 'whatever its name');
}
fails_with($node, "SELECT $_(service => 'typo')", '42704', qr/service "typo" is not in the history/, "$_ of a service that the history does not have") for qw(chpg_report chpg_report_text);

# When captures have stopped, the last watch is what is known, and since when nothing is.
my $stopped = q{(SELECT tstzrange(max(window_end) - interval '2 days', max(window_end) + interval '2 days') FROM kept.capture WHERE grain = 'hour')};
my $stale = text_report($stopped);
like($stale, qr/^\w+ things? (?:is|are) wrong: .*^Nothing has been judged since \w+ \d\d:\d\d\.$/ms, 'incidents of the last watch remain, with its time');
like(section($stale, 'IS ANYTHING WRONG NOW?'), qr/^  (?:ERROR|WARN)  +\Q$name\E: Slower than before/, 'and are listed');
$node->safe_psql('postgres', q{CREATE TABLE public.saved AS TABLE kept.finding_log; UPDATE kept.finding_log SET resolved_at = last_seen_at WHERE resolved_at IS NULL});
$stale = text_report($stopped);
like($stale, qr/^Whether anything is wrong is not known: nothing has been judged since\s+\w+\s+\d\d:\d\d,\s+when\s+nothing\s+was\s+wrong\.\n/, 'that nothing was wrong then is no good news of now');
unlike($stale, qr/No incident is open|Nothing is wrong/, 'and nowhere said to be');
$node->safe_psql('postgres', q{CREATE TABLE public.skipped AS TABLE kept.watch_skipped; TRUNCATE kept.finding_log, kept.watch_skipped; DELETE FROM kept.watch_state});
$stale = text_report($stopped);
like($stale, qr/^Whether anything is wrong is not known: no rule could judge: the history\b.*? has no hour of the\s+period\.\n/s, 'nor is it that no rule could judge, without a log');
like(section($stale, 'IS ANYTHING WRONG NOW?'), qr/^  Not known: no rule could judge: /, 'of incidents, too');
unlike($stale, qr/No incident is open|Nothing is wrong/, 'and nothing is said to be well');
$node->safe_psql('postgres', q{INSERT INTO kept.finding_log SELECT * FROM public.saved});

# Before the first watch of this version, and what somebody wrote there
like(text_report(), qr/Which rules could not judge then is not\s+known/, 'without a watch that noted it, what was skipped is not known');
$node->safe_psql('postgres', q{INSERT INTO kept.watch_skipped SELECT service_id, n::text, now(), v FROM kept.service_key, unnest(ARRAY['{"since": "zz", "evidence": 1}', '[]', '1', '{"evidence": {"rule_ids": 7}, "title": ["<b>"]}']::jsonb[]) WITH ORDINALITY u(v, n);
	UPDATE kept.watch_skipped w SET as_of = c.until FROM (SELECT max(window_end) AS until FROM kept.capture) c});
like(text_report(), qr/rules? (?:that )?could (?:not )?judge/i, 'a row that is none of a watch ends no report');
$node->safe_psql('postgres', 'SELECT chpg_report()');
$node->safe_psql('postgres', 'TRUNCATE kept.watch_skipped');

# A reader of before there was the table watch_skipped
$node->safe_psql('postgres', q{CREATE ROLE of_before LOGIN; GRANT USAGE ON SCHEMA kept TO of_before; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO of_before; REVOKE SELECT ON kept.watch_skipped FROM of_before});
like($node->safe_psql('postgres', 'SELECT chpg_report_text()', extra_params => [ '-U', 'of_before' ]), qr/Which rules could not judge then is not\s+known/, 'a role that may not read what was skipped has a report, too');
$node->safe_psql('postgres', 'DROP OWNED BY of_before; DROP ROLE of_before');

$node->safe_psql('postgres', q{INSERT INTO kept.watch_skipped SELECT * FROM public.skipped});

# An incident may have changed little of the whole time.
is($node->safe_psql('postgres', q{SELECT _chpg_report_text_changes(jsonb_populate_record(_chpg_report_of(NULL::tstzrange, NULL::text, NULL::tstzrange, NULL::text, false, true), '{"is_bad": true, "changes": [], "marks": []}'))}),
	"\nWHAT CHANGED?\n  Over the period as a whole, no query is much slower or faster.", 'beside an incident it does not say that no query got slower');

# A history of another role
$node->safe_psql('postgres', q{CREATE ROLE h; CREATE ROLE reader LOGIN; CREATE DATABASE owned});
$node->safe_psql('owned', q{CREATE EXTENSION chpg; GRANT CREATE ON DATABASE owned TO h; SELECT chpg_history_enable('kept', owner => 'h');
	GRANT USAGE ON SCHEMA kept TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO reader});
for my $role (qw(reader), $node->safe_psql('postgres', 'SELECT current_user'))
{
	my $unread = $node->safe_psql('owned', 'SELECT chpg_report_text()', extra_params => [ '-U', $role ]);
	like($unread, qr/^Whether anything is wrong is not known: the history belongs to role "h", and only that role has a\s+report of it\.\n/, "$role is told whose history it is");
	is(section($unread, 'IS ANYTHING WRONG NOW?') =~ s/\s+/ /gr, ' Not known: the history belongs to role "h", and only that role has a report of it. ', 'and not that no incident is open');
	unlike($unread, qr/chpg_history_enable/, 'nor to begin one');
}

my $verdict = $node->safe_psql('postgres', q{SELECT (_chpg_report_of(NULL::tstzrange, NULL::text, NULL::tstzrange, NULL::text, false, true)).verdict});
is(join(' ', split /\n/, $text =~ s/\n\n.*//sr), $verdict, 'the first lines are the verdict');
like($verdict, qr/\bwrong\b.*\Q$name\E: slower than before/i, 'which names the service, and the problem');
is(join(' ', grep { /\?$/ } split /\n/, $text),
	'IS ANYTHING WRONG NOW? WHAT CHANGED? HOW IS THE FLEET? WHERE DOES THE TIME GO? WHAT COULD BE BETTER? HOW SURE IS THIS?',
	'it answers the questions of the page');
like(section($text, 'IS ANYTHING WRONG NOW?'), qr/^  (?:ERROR|WARN)  +\Q$name\E: Slower than before, since .*?First step: \w/ms, 'the incident has its onset, and a first step');
like(section($text, 'HOW IS THE FLEET?'), qr/^  service +state .*?^  \Q$name\E +(?:ERROR|WARN) /ms, 'the service that needs most comes first');

# The time lost is that since the onset, as in the incident, though only the last hours show the change.
my $LAST_DAY = q{SELECT tstzrange(max(window_end) - interval '1 day', max(window_end)) AS day FROM kept.capture WHERE grain = 'hour'};
is($node->safe_psql('postgres', qq{SELECT count(*) > 0, bool_and((c.change).excess_us >= 0.999 * l.lost_us AND l.lost_us > 0)
	FROM ($LAST_DAY) d, unnest((_chpg_report_of(day, '$service', NULL::tstzrange, NULL::text, false, true)).changes) c,
		LATERAL (SELECT sum(p.total_duration_us - p.call_count * (c.change).baseline_avg_duration_us) AS lost_us FROM kept.pattern_hour p
			WHERE p.service_id = (c.change).service_id AND p.query_id = (c.change).query_id AND p."time" >= c.since) l
	WHERE (c.change).change = 'regressed' AND c.since IS NOT NULL}), 't|t', 'the time lost is that since the onset');
is($node->safe_psql('postgres', qq{SELECT count(*) > 0, bool_and(c.since = i.since)
	FROM (SELECT _chpg_report_of(NULL::tstzrange, '$service', NULL::tstzrange, NULL::text, false, true) AS r OFFSET 0) o, unnest((r).changes) c, unnest((r).incidents) i
	WHERE (c.change).change = 'regressed' AND i.rule_id = 'CHPG501' AND i.evidence->>'query_id' = (c.change).query_id::text}), 't|t', 'a query is slower since its incident began');
like(section(text_report(qq{(SELECT tstzrange(lower(day) - interval '30 minutes', upper(day) + interval '30 minutes') FROM ($LAST_DAY) d), '$service'}), 'HOW SURE IS THIS?'),
	qr/^  The history has 24 of 24 hours /, 'hours that are not wholly in the period are not missed');

# A query with a new id had the load of the one that it replaces.
is($node->safe_psql('postgres', q{SELECT count(*) > 0, bool_and(q.baseline_load > (n.gone).total_duration_us / 3.6e9 / h.hours), bool_and(q.load < 3 * q.baseline_load)
	FROM (SELECT _chpg_report_of(NULL::tstzrange, NULL::text, NULL::tstzrange, NULL::text, false, true) AS r OFFSET 0) o,
		LATERAL (SELECT _chpg_scope_of((o.r).baseline, (o.r).period, NULL::text, NULL::text) AS scope OFFSET 0) s, LATERAL unnest((s.scope).baseline_hours) h,
		LATERAL _chpg_report_pairs(_chpg_thresholds(), s.scope, 40, ARRAY[]::bigint[]) p, LATERAL _chpg_report_renamed(_chpg_thresholds(), s.scope, p.pairs) n,
		LATERAL (SELECT u.* FROM unnest((o.r).patterns) u) q
	WHERE q.link = 'pattern-' || n.new_key AND h.service_id = (q.pattern).service_id}), 't|t|t', 'a query with a new id had the load of the one that it replaces');

my ($estimate, $bound) = split /\|/, $node->safe_psql('postgres', q{SELECT _chpg_duration_text((q.pattern).p99_est_us), _chpg_duration_text((q.pattern).p99_hi_us)
	FROM (SELECT (unnest((_chpg_report_of(NULL::tstzrange, NULL::text, NULL::tstzrange, NULL::text, false, true)).patterns)).*) q LIMIT 1});
isnt($estimate, $bound, 'the slowest hour of a query is slower than all hours together');
like((split /\n/, section($text, 'WHERE DOES THE TIME GO?'))[1], qr/ \Q$estimate\E /, 'and p99 is that of all hours, as on the page');
like(section($text, 'HOW SURE IS THIS?'), qr/as of 2026-.*Requests: 0\./s, 'it says what it rests on');
my ($unjudged) = section($text, 'HOW SURE IS THIS?') =~ /^(  All rules could judge.*\n(?:  - .*\n(?:    .*\n)*)+)/m;
like($unjudged, qr/^  All rules could judge, but for one without a metric of what it judges\.\n.*^  - A replica or the archive falls behind \(CHPG708\), \d services: No service has a metric/ms, 'it names the rules that the watch skipped');
like(section($judged, 'HOW SURE IS THIS?'), qr/^\Q@{[ $unjudged =~ s|\n.*||sr ]}\E$/m, 'which are as many as without a log');
unlike($verdict, qr/could not judge/, 'a rule without a metric that it could judge is not the first thing to say');
# Of the past the log speaks only if there was a watch just then: the last one says nothing of what was before the first, or in a gap.
my $LAST_HOUR = q{(SELECT max(window_end) FROM kept.capture WHERE grain = 'hour')};
sub past_report
{
	my ($from, $to, @watches) = @_;
	return text_report("tstzrange($LAST_HOUR - interval '$from hours', $LAST_HOUR - interval '$to hours')",
		join('', 'BEGIN; DELETE FROM kept.finding_log; DELETE FROM kept.watch_state; DELETE FROM kept.watch_skipped; ', map { "DO \$\$ BEGIN PERFORM _chpg_watch($LAST_HOUR - interval '$_ hours', NULL::text, NULL::text); END \$\$; " } @watches));
}
my %past = ('before the first watch' => [ 0 ], 'in a gap between two watches' => [ 30, 0 ]);
for my $when (sort keys %past)
{
	my $past = past_report(50, 2, @{ $past{$when} });
	like($past, qr/\A\w+ things? (?:is|are) wrong: .*?\Q$name\E: slower than before since/s, "an incident $when is found");
	like(section($past, 'HOW SURE IS THIS?'), qr/Findings are those of the last day/, 'by rules that judge that time');
}
my $watched = past_report(50, 2, 3, 0);
like($watched, qr/\A\w+ things? (?:is|are) wrong: .*?\Q$name\E: slower than before since/s, 'an incident of a time with a watch');
like(section($watched, 'HOW SURE IS THIS?') =~ s/\s+/ /gr, qr/Findings are those of the log of watches, as of/, 'is that of the log');
$node->safe_psql('postgres', q{INSERT INTO kept.finding_log SELECT (jsonb_populate_record(l, jsonb_build_object('finding_key', 'quiet', 'is_root', false, 'opened_at', h.at, 'last_seen_at', h.at, 'missed_at', NULL, 'resolved_at', h.at))).*
	FROM kept.finding_log l, (SELECT max(window_end) - interval '2 days' AS at FROM kept.capture WHERE grain = 'hour') h LIMIT 1});
my $past = text_report(q{(SELECT tstzrange(max(window_end) - interval '4 days', max(window_end) - interval '2 days') FROM kept.capture WHERE grain = 'hour')});
like($past, qr/^The log has no incident; which rules could not judge is not known\.\n/, 'of long before the last watch, it does not say that nothing was wrong');
unlike($past, qr/No incident is open|Nothing is wrong/, 'nor elsewhere');
like(section($past, 'HOW SURE IS THIS?') =~ s/\s+/ /gr,
	qr/Which rules could not judge then is not known: the log keeps those of its last watch\./, 'and how sure that is');
$node->safe_psql('postgres', q{DELETE FROM kept.finding_log WHERE finding_key = 'quiet'});
like($judged, qr/Findings are those of the last day/, 'without a log, rules judge the last day');
like(text_report("service => '$service'"), qr/^HOW IS THE SERVICE\?\n.*\n  \Q$name\E .*\n  load: .*\n\n/m, 'that of a service is about it alone');

# What no other sentence says: storage that fills up is an alarm, too.
is($node->safe_psql('postgres', q{SELECT r.verdict, r.is_bad FROM (SELECT _chpg_report_of(NULL::tstzrange, NULL::text, NULL::tstzrange, NULL::text, false, true) AS report OFFSET 0) o,
	LATERAL jsonb_populate_record((report).incidents[1], '{"rule_id": "CHPG701", "kind": "risk", "level": "ERROR", "service_name": "shop", "title": "Storage fills up", "since": null, "evidence": {"full_at": "2026-06-01 00:00Z"}}') i,
	LATERAL _chpg_report_verdict(jsonb_populate_record(report, '{"changes": [], "skipped": [], "services": []}') ) n,
	LATERAL (SELECT v.* FROM _chpg_report_verdict(jsonb_populate_record(n, jsonb_build_object('incidents', jsonb_build_array(i)))) v) r}), 'One thing is wrong: shop: storage fills up.|t', 'storage that fills up is wrong');
is($node->safe_psql('postgres', q{SELECT string_agg(_chpg_percent_text(p), ' ' ORDER BY n) FROM unnest('{99.4,99.7,99.99,100,0.004}'::float8[]) WITH ORDINALITY u(p, n)}), '99 % 99.7 % 99.9 % 100 % < 0.01 %', 'what is not whole is not 100 %');
is($node->safe_psql('postgres', q{SELECT round(extract(epoch FROM upper(p) - lower(p)) / 3600) FROM _chpg_report_last_week(ARRAY(SELECT service_id FROM kept.service)) p}), 96, 'a history of nine days is halved, so that there is something to compare with');

# A period until now ends with the last captured hour, unless captures have stopped; two times and a range stay as they are.
for my $case ([ 1, q{tstzrange(at - interval '1 hour', at)}, 'of the last hour that was captured' ], [ 5, q{_chpg_last('1 hour', 'period')}, 'until now, when captures have stopped' ])
{
	my ($ago, $period, $what) = @$case;
	my $captured = "(SELECT date_trunc('hour', now()) - interval '$ago hours' AS at) h";
	is($node->safe_psql('postgres', qq{BEGIN; INSERT INTO kept.capture SELECT (jsonb_populate_record(c, jsonb_build_object('window_start', at - interval '1 hour', 'window_end', at))).* FROM $captured, kept.capture c
			WHERE c.grain = 'hour' AND c.status = 'ok' AND c.service_id = '$service' ORDER BY c.window_end DESC LIMIT 1;
		SELECT bool_and(a = b), count(*) FROM $captured, LATERAL (VALUES (chpg_report_text('1 hour'), chpg_report_text($period)), (chpg_report_text('1 hour', '$name'), chpg_report_text($period, '$name')),
			(chpg_report(interval '1 hour'), chpg_report($period))) v(a, b)}), 't|3', "the report of an hour is $what");
}

# ---- Times are those of the session, also within what rules said when it was kept.

$node->safe_psql('postgres', q{CREATE FUNCTION public.fills(days integer, margin interval) RETURNS TABLE (symptom text, evidence jsonb) LANGUAGE sql AS $$
	SELECT '80 % is in use' || _chpg_forecast_text(f, '1 %'), jsonb_build_object('full_at', f.full_at, 'full_from', f.full_from, 'full_until', f.full_until)
	FROM (SELECT '2026-06-01 22:30Z'::timestamptz + days * interval '1 day' AS at) t, LATERAL jsonb_populate_record(NULL::_chpg_forecast,
		jsonb_build_object('full_at', at, 'full_from', at - margin, 'full_until', at + margin)) f $$});
my ($later, $soon) = map { my $f = $_; $node->safe_psql('postgres', "SELECT f.symptom || '|' || _chpg_report_symptom(f.symptom, f.evidence) FROM public.fills($f) f") } q{0, '1 day'}, q{0, '90 minutes'};
is($later, '80 % is in use; it grows by 1 % a day, and is full about 2026-06-01 (2026-05-31 to 2026-06-02)|80 % is in use; it grows by 1 % a day, and is full about 2026-06-02 (2026-06-01 to 2026-06-03)', 'a day in UTC is the next one here');
is($soon, '80 % is in use; it grows by 1 % a day, and is full at about 2026-06-01 22:30Z (2026-06-01 21:00Z to 2026-06-02 00:00Z)|80 % is in use; it grows by 1 % a day, and is full at about 2026-06-02 00:30 (2026-06-01 23:00 to 2026-06-02 02:00)', 'a time, too');
is($node->safe_psql('postgres', q{SELECT string_agg(_chpg_report_symptom('is full at about 2026-06-01 22:30Z', e), '|') FROM unnest(ARRAY['{"full_at": "soon"}', '[]', '7', NULL, '{"full_at": "-infinity", "full_from": "infinity", "waits_until": "2026-13-01"}']::jsonb[]) e}),
	join('|', ('is full at about 2026-06-01 22:30Z') x 5), 'what its evidence does not have stays as it is');
$node->safe_psql('postgres', q{UPDATE kept.finding_log SET finding = finding || jsonb_build_object('symptom', f.symptom, 'evidence', f.evidence) FROM public.fills(0, '1 day') f WHERE finding->>'level' <> 'SKIPPED'});
for my $function (qw(chpg_report chpg_report_text))
{
	my $written = $node->safe_psql('postgres', "SELECT $function()") =~ s/\s+/ /gr;
	like($written, qr/full about 2026-06-02 \(2026-06-01 to 2026-06-03\)/, "$function says when it is full in the session's time zone");
	ok($written !~ /2026-05-31/, 'and not in UTC');
}
$node->safe_psql('postgres', q{UPDATE kept.finding_log l SET finding = s.finding FROM public.saved s WHERE s.finding_key = l.finding_key AND s.opened_at = l.opened_at; DROP FUNCTION public.fills});
like($node->safe_psql('postgres', q{SELECT DISTINCT _chpg_report_symptom(f.symptom, f.evidence) = replace(f.symptom, _chpg_time_literal(t.at), _chpg_time_text(t.at)) AND f.symptom LIKE '%' || _chpg_time_literal(t.at) || '%'
	FROM (SELECT min(window_start) AS start FROM kept.capture WHERE grain = 'hour') c, LATERAL (SELECT c.start + interval '48 hours' AS at) t,
		chpg_findings(tstzrange(c.start + interval '6 hours', c.start + interval '30 hours'), history_only => true) f WHERE f.symptom LIKE '%changes wait until%'}), qr/^t$/,
	'also of why rules wait');

# ---- Pseudonyms

# What a report says of a history in which all texts of queries, names and findings' words are planted.
sub planted_report
{
	my ($function, $hide_texts) = @_;
	return decode_utf8($node->safe_psql('postgres', <<"SQL"));
BEGIN;
UPDATE kept.query_text SET query_text = 'planted ' || query_text, query = 'planted ' || left(query, 80);
UPDATE kept.pattern_key SET db_name = 'planted ' || db_name, db_user = 'planted ' || db_user, app = 'planted ' || app;
UPDATE kept.finding_log l SET finding = l.finding || p.words || jsonb_build_object('evidence', l.finding->'evidence' || p.words)
FROM (
	SELECT jsonb_object_agg(k, 'planted ' || k) AS words
	FROM unnest('{subject,symptom,explanation,action,next,query_text,db_name,db_user,app}'::text[]) k
) p;
UPDATE kept.capture SET status = 'error', error = 'planted error' WHERE ctid = (SELECT max(ctid) FROM kept.capture WHERE grain = 'hour');
SELECT $function(hide_texts => $hide_texts);
ROLLBACK;
SQL
}

for my $function (qw(chpg_report chpg_report_text))
{
	my $shown = planted_report($function, 'false');
	like($shown, qr/\bplanted $_/, "$function shows $_") for qw(SELECT symptom action);
	my $hidden = planted_report($function, 'true');
	unlike($hidden, qr/planted/, "$function hides texts of queries, databases, users, applications, and words of findings");
	like($hidden, qr/\Q$name\E.*\btext_[0-9a-f]{20}\b/s, 'services keep their names, and texts have pseudonyms');
}
my $hidden = planted_report('chpg_report', 'true');
like($hidden, qr/\b${_}_[0-9a-f]{20}\b/, "the page has pseudonyms of a kind: $_") for qw(db user app);

# ---- Marks and ids

# The report of a period in which a service was resized, and an application deployed.
my $marked = decode_utf8($node->safe_psql('postgres', <<"SQL"));
BEGIN;
CREATE TEMP TABLE happened AS SELECT max(window_end) - interval '30 hours' AS resized, max(window_end) - interval '28 hours' AS deployed FROM kept.capture;
UPDATE kept.service SET valid_from = resized, size = 'large' FROM happened WHERE service_id = '$service';
CREATE TEMP TABLE of_before AS SELECT * FROM kept.service WHERE service_id = '$service';
UPDATE of_before SET valid_from = '-infinity', valid_to = resized, size = 'small' FROM happened;
INSERT INTO kept.service SELECT * FROM of_before;
CREATE TEMP TABLE deployment AS SELECT * FROM kept.finding_log WHERE service_id = '$service' LIMIT 1;
UPDATE deployment SET finding_key = 'CHPG511:planted', rule_id = 'CHPG511', since = deployed, is_root = false,
	finding = '{"title": "A Deployment", "evidence": {"change": "renamed"}}' FROM happened;
INSERT INTO kept.finding_log SELECT * FROM deployment;
SELECT _chpg_time_text(resized) || '|' || _chpg_time_text(deployed) FROM happened;
SELECT chpg_report_text();
SELECT chpg_report();
ROLLBACK;
SQL
my ($resized, $deployed) = $marked =~ /^(.*)\|(.*)$/m;
for my $event ([ $resized, "$name: size large, before small" ], [ $deployed, "$name: a deployment" ])
{
	my ($at, $what) = @$event;
	like($marked, qr/^  \Q$at\E  \Q$what\E$/m, "the text says what happened: $what");
	like($marked, qr{<li><time[^>]*>\Q$at\E</time> \Q$what\E</li>}, 'so does the page');
	like($marked, qr{<ul class="marks">.*?<li><b>[AB]</b> \Q$at $what\E</li>}, 'and marks it in its charts');
}

sub page { return $node->safe_psql('postgres', "SELECT chpg_report(@{[ $_[0] // '' ]})") =~ s/Written at [^<]*//r }
sub ids { return $_[0] =~ /\bid="((?:service|pattern|finding)-[^"]+)"/g }
my $page = page();
is(page(), $page, 'two reports of the same time are the same page');
my %of_week = map { $_ => 1 } ids($page);
my $of_day = join ' ', grep { $of_week{$_} } ids(page("(SELECT day FROM ($LAST_DAY) d), '$service'"));
like($of_day, qr/\b$_-/, "and a report of another time has the same ids: $_") for qw(service pattern finding);

# ---- Widths

sub widest { return max map { length } split /\n/, $_[0] }
cmp_ok(widest($_), '<=', 100, 'no line is longer than 100 characters') for $text, $judged;
unlike($text, qr/[^\n\x20-\x7e]/, 'of plain characters');
unlike($text, qr/ $/m, 'without blanks at an end');

is(join('|', split /\n/, $node->safe_psql('postgres', q{SELECT unnest(_chpg_report_wrapped(v, 20)) FROM unnest(ARRAY['one two three four five six', repeat('x', 45) || ' y',
	'a word and then  37.5 ms each', '', '   ', NULL]) v})), 'one two three four|five six|' . 'x' x 20 . '|' . 'x' x 20 . '|xxxxx y|a word and then|37.5 ms each',
	'lines are wrapped between words, not between a number and its unit');

# ---- Secrets

is($node->safe_psql('postgres', q{SELECT string_agg(_chpg_without_passwords(v), ' | ') FROM unnest(ARRAY[$$DO 'SELECT chpg_connect(''k'', ''hunter2'')'$$,
	$$SELECT chpg_create_webhook('a', 'slack', 'hunter2')$$, $$INSERT INTO t (api_key) VALUES ('hunter2')$$, $$SET x.apikey = 'hunter2'$$, $$SELECT 'pwd=hunter2'$$,
	$$CREATE USER a IDENTIFIED  BY 'hunter2'$$, 'SELECT api_key FROM t WHERE id = $1']) v}),
	q{DO 'SELECT chpg_connect *** | SELECT chpg_create_webhook *** | INSERT INTO t (api_key *** | SET x.apikey *** | SELECT 'pwd *** | CREATE USER a IDENTIFIED  BY *** | SELECT api_key FROM t WHERE id = $1},
	'a statement is cut after a word that a secret may follow');

# ---- Encodings

is($node->safe_psql('postgres', encode_utf8(q{SET client_encoding = LATIN1; SELECT _chpg_page_for_client(E'<p>a\u00fc\n\u20ac\U0001F600</p>z')})), "<p>a&#252;\n&#8364;&#128512;</p>z",
	'a client of another encoding gets a page of plain characters');
$node->safe_psql('postgres', q{UPDATE kept.query_text SET query_text = E'a\u0007' || query_text});
like($node->safe_psql('postgres', q{SET client_encoding = LATIN1; SELECT chpg_report()}), qr/a&#65533;SELECT/, 'also of texts with control characters');
$node->safe_psql('postgres', q{UPDATE kept.query_text SET query_text = substr(query_text, 3)});
is($node->safe_psql('postgres', q{SELECT _chpg_page_for_client(E'a\u00fc') = E'a\u00fc'}), 't', 'and one of UTF-8 gets it as it is');

# What a page has of a text, and what a text, in hexadecimal: C1 or bytes of marks are replaced in every encoding, letters are not.
for my $encoding (qw(LATIN1 WIN1252 SQL_ASCII))
{
	my $database = lc "of_$encoding";
	my $bytes = $encoding eq 'SQL_ASCII' ? q{\xc39cc285e280aee281a778} : q{\xfc8578};
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION chpg');
	my $result = $node->safe_psql($database, <<"SQL");
SET client_encoding = '$encoding';
CREATE TEMPORARY TABLE said AS SELECT convert_from('$bytes', '$encoding') AS value;
SELECT encode(convert_to(_chpg_page_for_client(_chpg_text(value)::text), '$encoding'), 'escape'), encode(convert_to(_chpg_plain_text(value), '$encoding'), 'hex') FROM said;
SET client_encoding = UTF8;
SELECT encode(convert_to(_chpg_page_for_client(_chpg_text(value)::text), '$encoding'), 'escape') FROM said;
SELECT chpg_report() ~ 'charset="?utf-8' AND chpg_report_text() !~ '[^ -~\n]';
SQL
	is($result, {
		LATIN1 => "&#252;?x|fc78\n\\374?x\nt",
		# 0x85 is a letter's place there
		WIN1252 => "&#252;&#8230;x|fc8578\n\\374\\205x\nt",
		SQL_ASCII => "\\303\\234???x|c39c78\n\\303\\234???x\nt"
	}->{$encoding}, "pages and texts of a database in $encoding");
}

is(text_report('', 'SET standard_conforming_strings = off; '), text_report(), 'with backslashes that escape, the report is the same');

# ---- Hostile texts

$node->safe_psql('postgres', encode_utf8(<<'SQL'));
UPDATE kept.query_text SET query_text = E'SELECT \x1b[31m\u202e\u009b' || repeat('x', 300) || E'\r\n\t' || query_text, query = left(query_text, 100);
UPDATE kept.service SET service_name = E'a\nb\u2066' || repeat('w', 60) || service_id;
UPDATE kept.finding_log l SET finding = l.finding || jsonb_build_object('title', repeat('title ', 50) || E'\u001b', 'symptom', E'one\n\n\u202etwo ' || repeat('y', 250),
	'action', NULL, 'explanation', E'\u0007', 'subject', E'\u0085', 'service_name', E'n\u001b');
SQL
my $hostile = text_report();
unlike($hostile, qr/[^\n\P{C}]|[\x{202a}-\x{202e}\x{2066}-\x{2069}]/, 'no control character and no mark of direction is left');
cmp_ok(widest($hostile), '<=', 100, 'and lines remain short');
is(scalar(() = $hostile =~ /^[A-Z ]+\?$/mg), 6, 'nor does a text look like a section');

done_testing();
