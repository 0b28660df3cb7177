# Rules are files: a rule that is added to a copy of the tree is in the catalogue, the thresholds,
# the rules that are skipped, the findings and the documentation, and a wrong one fails make.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $ROOT = "$FindBin::RealBin/../..";
my $COPY = $PostgreSQL::Test::Utils::tmp_check . '/tree';
my ($version) = slurp_file("$ROOT/chpg.control") =~ /^default_version *= *'(.*)'/m;
my ($shared, $errors) = run_command([ 'pg_config', '--sharedir' ]);

command_ok([ "$ROOT/dev/rules", '--check' ], 'docs/findings.md shows the rules of this tree');

mkdir $COPY or die "could not create $COPY: $!";
system_or_bail('tar', '-C', $ROOT, '-cf', "$COPY.tar", 'Makefile', 'chpg.control', 'sql', 'dev/rules', 'docs/findings.md');
system_or_bail('tar', '-C', $COPY, '-xf', "$COPY.tar");

# Write a rule's file into the copy, and make the extension's script there; returns its errors.
sub make_with
{
	my ($name, $text) = @_;
	my $file = "$COPY/sql/insight/rules/$name.sql";

	unlink glob("$COPY/chpg--*.sql"), glob("$COPY/sql/insight/rules.*.sql");
	open my $out, '>', $file or die "could not write $file: $!";
	print $out $text;
	close $out;
	my (undef, $stderr) = run_command([ 'make', '-s', '-C', $COPY, "chpg--$version.sql" ]);
	return -e "$COPY/chpg--$version.sql" ? '' : $stderr;
}

my $HEAD = <<'END';
/*
 * rule: CHPG999 finds_nothing
 * title: Finds nothing, at great cost
 * kind: opportunity
 * scope: pattern
 * place: 5
 * needs: executions, rows
 * threshold: rows_per_call = 0.25 rows; Rows for each execution up to which
 *     it finds nothing.
 * threshold: calls = 1000 executions; Executions.
 */
END
my $BODY = <<'END';
SELECT
	format('%s executions, each of %s', @extschema@._chpg_count_text(calls),
		@extschema@._chpg_duration_text(avg_us)) AS symptom,
	'It looks for what isn''t there.' AS explanation,
	'Ask less often.' AS action,
	'low' AS confidence,
	total_us * (1 - rows_per_call) AS impact_us,
	'the executions that find nothing' AS saving
WHERE rows_per_call <= :rows_per_call
	AND calls >= :finds_nothing_calls;
END
my $FUNCTION = <<'END';
/*
 * rule: CHPG998 much_time
 * title: Much time
 * kind: risk
 * scope: service
 * effect: failure
 * threshold: total_us = 1 us; Time of all executions.
 */
CREATE FUNCTION @extschema@._chpg_find_much_time(t @extschema@._chpg_thresholds, scope @extschema@._chpg_scope,
	pairs @extschema@._chpg_pattern_pair[])
RETURNS SETOF @extschema@._chpg_candidate
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT 'CHPG998', 'WARN', 'Much time', (j.pattern).service_id, 'much', '{}'::jsonb, 'why', 'what', NULL::float8,
		'low', 'CHPG998:' || (j.pattern).service_id, 'risk', NULL::timestamptz, NULL::float8,
		sum((j.pattern).total_duration_us), 'us', NULL::text
	FROM @extschema@._chpg_judged_patterns(t, scope, pairs) j
	GROUP BY 4
	HAVING sum((j.pattern).total_duration_us) >= :total_us;
END;
END

# What is wrong fails, and says where.
my %wrong = (
	'an unknown threshold' => [ $HEAD . $BODY =~ s/:rows_per_call/:rows_per_cal/r, 'rules/finds_nothing\.sql:20: unknown threshold "rows_per_cal"' ],
	'a threshold that no line uses' => [ $HEAD . $BODY =~ s/\n\tAND.*;/;/r, 'threshold "calls" is not used' ],
	'a threshold without a unit' => [ $HEAD =~ s/1000 executions/1000/r . $BODY, 'threshold "calls" has no unit' ],
	'a threshold that is no number' => [ $HEAD =~ s/= 1000/= many/r . $BODY, 'threshold "calls" is no number: "many"' ],
	'a threshold that is declared twice' => [ $HEAD =~ s{ \*/}{ * threshold: calls = 1 executions; Again.\n */}r . $BODY, 'threshold "finds_nothing_calls" is also declared at .*rules/finds_nothing\.sql:10' ],
	'an id that another rule has' => [ $HEAD =~ s/CHPG999/CHPG101/r . $BODY, 'rule CHPG101 is also declared at .*rules/f' ],
	'a name that another rule has' => [ $HEAD =~ s/finds_nothing/hot_loop/r . $BODY, 'rule "hot_loop" is also declared at ' ],
	'an id that is none' => [ $HEAD =~ s/CHPG999/999/r . $BODY, 'not an id and a name, such as CHPG101 full_scan: "999 finds_nothing"' ],
	'an unknown kind' => [ $HEAD =~ s/opportunity/chance/r . $BODY, 'unknown kind "chance"' ],
	'an unknown scope' => [ $HEAD =~ s/scope: pattern/scope: patterns/r . $BODY, 'unknown scope "patterns"' ],
	'an unknown effect' => [ $HEAD =~ s/place: 5/effect: none/r . $BODY, 'the effect is failure or outage, not "none"' ],
	'an unknown counter' => [ $HEAD =~ s/rows$/ows/mr . $BODY, 'needs something unknown: "ows"' ],
	'an unknown declaration' => [ $HEAD =~ s/place:/rank:/r . $BODY, 'unknown declaration "rank"' ],
	'a line that declares nothing' => [ $HEAD =~ s/place:/place/r . $BODY, 'not a declaration, such as' ],
	'a second rule in a file' => [ $HEAD . $BODY . $FUNCTION, 'rules/finds_nothing.sql:\d+: a file has one rule' ],
	'a file that is named otherwise' => [ $HEAD =~ s/finds_nothing/finds_little/r . $BODY =~ s/finds_nothing/finds_little/r, 'the file of rule "finds_little" is finds_little.sql' ],
	'a file without a head' => [ $BODY, 'rules/finds_nothing.sql: no rule: a file begins with its head' ],
	'no title' => [ $HEAD =~ s/ \* title:.*\n//r . $BODY, 'no title' ],
	'no threshold' => [ $HEAD =~ s/ \* threshold:(.|\n)*\n \*\//\n *\//r =~ s/\n\n/\n/r . $BODY =~ s/WHERE(.|\n)*/WHERE true;\n/r, 'no threshold' ],
	'a column that is missing' => [ $HEAD . $BODY =~ s/ AS action/ AS deed/r, 'no column "action"' ],
	'an opportunity with a level' => [ $HEAD . $BODY =~ s/AS action,/AS action, 'ERROR'\n AS level,/r, 'a rule of kind opportunity is always INFO' ],
	'a risk without a level' => [ $HEAD =~ s/opportunity/risk/r . $BODY, 'no column "level"' ]);
$wrong{'an unknown attribute of the thresholds'} = [ $HEAD . $BODY =~ s/:rows_per_call$/t.finds_nothing_rows/mr, 'unknown threshold "finds_nothing_rows"' ];
like(make_with('finds_nothing', $wrong{$_}[0]), qr/$wrong{$_}[1]/, "$_ fails make") for sort keys %wrong;

# The rule as it should be
is(make_with('much_time', $FUNCTION), '', 'a rule with a function is made') if unlink "$COPY/sql/insight/rules/finds_nothing.sql";
is(make_with('finds_nothing', $HEAD . $BODY), '', 'and one that is a SELECT');
command_fails_like([ "$COPY/dev/rules", '--check' ], qr/docs\/findings.md does not show the rules as they are: run dev\/rules/, 'the documentation lacks a rule');
command_ok([ "$COPY/dev/rules" ], 'until it is written anew');
command_ok([ "$COPY/dev/rules", '--check' ], 'and then is current');
like(slurp_file("$COPY/docs/findings.md"), qr/^\| CHPG999 \| `finds_nothing` \| opportunity \| Finds nothing, at great cost \| executions, rows \|$/m, 'it has the rule');

chomp $shared;
SKIP:
{
	skip 'the folder of extensions is not writable', 1 unless -w "$shared/extension";
	system_or_bail('cp', "$COPY/chpg--$version.sql", "$shared/extension/chpg--added.sql");
	my $node = start_node('main', "timezone = 'UTC'", 'jit = off');
	$node->safe_psql('postgres', "CREATE EXTENSION chpg VERSION 'added'");
	unlink "$shared/extension/chpg--added.sql";

	is($node->safe_psql('postgres', "SELECT rule_name, kind, parameter, threshold, unit, description FROM chpg_rule WHERE rule_id = 'CHPG999' ORDER BY parameter"),
		"finds_nothing|opportunity|calls|1000|executions|Executions.\nfinds_nothing|opportunity|rows_per_call|0.25|rows|Rows for each execution up to which it finds nothing.", 'the catalogue has the rule');
	is($node->safe_psql('postgres', "SELECT rule_id, title, kind, scope, needs, place, effect, function_name FROM _chpg_rules() WHERE rule_id > 'CHPG9'"),
		"CHPG998|Much time|risk|service|{}|998|failure|_chpg_find_much_time\nCHPG999|Finds nothing, at great cost|opportunity|pattern|{executions,rows}|5||_chpg_find_patterns", 'so does the list of rules');
	is($node->safe_psql('postgres', 'SELECT (t).finds_nothing_calls, (t).finds_nothing_rows_per_call FROM _chpg_thresholds() t'), '1000|0.25', 'thresholds');
	is($node->safe_psql('postgres', "SELECT rule_id FROM _chpg_skipped(NULL, 'why', NULL) WHERE rule_id > 'CHPG9' ORDER BY 1"), "CHPG998\nCHPG999", 'it is SKIPPED where no pattern is judged');
	is($node->safe_psql('postgres', "SELECT _chpg_rule_place('CHPG999') < min(_chpg_rule_place(rule_id)) FROM _chpg_rules() WHERE rule_id <> 'CHPG999'"), 't', 'and has its place among the rules of a pattern');

	$node->safe_psql('postgres', q{SELECT chpg_history_enable('kept')});
	make_plantable($node);
	$node->safe_psql('postgres', q{
		INSERT INTO kept.service (service_id, valid_from, noted_at, service_name) VALUES ('s', '-infinity', now(), 'service');
		INSERT INTO kept.capture (service_id, grain, window_start, window_end, status)
		SELECT 's', 'hour', h, h + interval '1 hour', 'ok' FROM generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-11 23:00Z', '1 hour') h;
		INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key, call_count, total_duration_us, max_duration_us, total_rows, total_shared_blks_read, total_shared_blks_hit)
		SELECT 's', 'hour', h, planted.key(n, 'SELECT ' || n), 1000, 2e6 * n, 1e5, 1000 * (n - 1), 0, 1000
		FROM generate_series(timestamptz '2026-05-10 00:00Z', '2026-05-11 23:00Z', '1 hour') h, generate_series(1, 2) n});
	my $FOUND = q{FROM chpg_findings('[2026-05-11 00:00Z,2026-05-12 00:00Z)', history_only => true) f WHERE rule_id > 'CHPG9'};
	is($node->safe_psql('postgres', "SELECT rule_id, kind, level, title, symptom, round(impact_us), confidence, evidence->>'query_id', evidence->>'saving' $FOUND ORDER BY rule_id"),
		"CHPG998|risk|WARN|Much time|much||low||\nCHPG999|opportunity|INFO|Finds nothing, at great cost|24000 executions, each of 2.0 ms|48000000|low|1|the executions that find nothing", 'both rules judge');
	is($node->safe_psql('postgres', "INSERT INTO chpg_threshold VALUES ('CHPG999', 'calls', 1e15), ('CHPG998', 'total_us', 1e15); SELECT count(*) $FOUND; TRUNCATE chpg_threshold"), 0, 'by the thresholds that are set');
	is($node->safe_psql('postgres', "SELECT chpg_mute(finding_key, 'wont_fix') IS NOT NULL $FOUND AND rule_id = 'CHPG999'"), 't', 'a finding of theirs can be muted');
	$node->safe_psql('postgres', 'UPDATE planted.pattern SET total_rows = NULL');
	is($node->safe_psql('postgres', "SELECT rule_id, level, symptom $FOUND AND rule_id = 'CHPG999'"), 'CHPG999|SKIPPED|No pattern reports rows', 'it is SKIPPED without the counters that it needs');

	# A function that no file creates
	is(make_with('much_time', $FUNCTION =~ s/_chpg_find_much_time/_chpg_find_much_else/r), '', 'a function of another name is made');
	system_or_bail('cp', "$COPY/chpg--$version.sql", "$shared/extension/chpg--added.sql");
	$node->safe_psql('postgres', 'CREATE DATABASE other');
	my (undef, undef, $stderr) = $node->psql('other', "CREATE EXTENSION chpg VERSION 'added'");
	unlink "$shared/extension/chpg--added.sql";
	like($stderr, qr/function "public._chpg_find_much_time" does not exist/, 'and fails CREATE EXTENSION');
}

done_testing();
