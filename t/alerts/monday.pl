# A Monday in the life of a fleet. Two weeks are captured day by day, then a Monday hour by hour, by a clock that the
# test moves, with the emulator's beside it. Until eight o'clock the test calls captures and watches; from then on
# pg_cron runs the jobs of the documentation. Three incidents are planted in the API's data: one gets worse, one is
# resolved, one is muted. The outbox has their transitions and no other, and a receiver gets each of them, though the
# server is killed between a request and its record, the receiver is away for three hours, and the secret is changed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clock;
use ChpgTest::Receiver;
use Digest::SHA qw(hmac_sha256_hex);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

begin_clock('2026-05-18 00:30');
my $receiver = start_receiver();
my %fleet = (services => 3, patterns => 12);
my $url = start_emulator('--services', 3, '--patterns', 12);
my ($node) = start_cron_node('main', "timezone = 'UTC'", 'jit = off', 'chpg.cache_ttl = 0', "chpg.webhook_addresses = '127.0.0.1'", 'restart_after_crash = on', "log_statement = 'none'");

$node->safe_psql('postgres', connect_sql($url));
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '30 hours' WHERE name = 'backfill'; UPDATE kept.setting SET value = 'off' WHERE name = 'metric_bucket'});
is(sql('SELECT now()::date, (SELECT created_at < now() FROM chpg_services LIMIT 1)'), '2026-05-18|t', 'the server is in May 2026');

sub capture { return notices($node, q{CALL chpg_capture('hour')}) }
sub webhook { my ($secret) = @_; return sql("SELECT chpg_create_webhook('pager', 'json', '$receiver->{url}/of-the-pager', secret => '$secret', ca_file => '$receiver->{ca_file}')") }

# Two weeks, in which nothing is planted. Most executions of an application fail, which is ERROR until a day is known.
for my $day (18 .. 31)
{
	for my $hour (5, 11, 17, 23)
	{
		set_clock(sprintf '2026-05-%d %02d:59', $day, $hour);
		capture();
		notices($node, 'CALL chpg_watch()');
	}
}
is(sql(q{SELECT count(*) FROM kept.capture WHERE status = 'ok' AND window_start >= '2026-05-18 00:00Z'}), 3 * (14 * 24 - 1), 'two weeks are captured')
  or diag(sql(q{SELECT status, min(window_start), max(window_start), count(*), min(error) FROM kept.capture GROUP BY 1}));
is(sql(q{SELECT as_of, transition, level, rule_id, service_name FROM kept.alert ORDER BY alert_id}), "2026-05-18 05:00:00+00|new|ERROR|CHPG401|billing\n2026-05-19 05:00:00+00|resolved|ERROR|CHPG401|billing", 'the watches of two weeks find what is so from the beginning, and nothing else');
sql('TRUNCATE kept.alert');

# The third incident is muted before it begins.
sub finding_key { my ($service, $app, $query_id) = @_; return sql("SELECT 'CHPG501:' || to_jsonb(ARRAY[s.service_id, k.query_id::text, k.db_name, k.db_user, k.db_operation, k.app])::text FROM kept.pattern_key k, kept.service s WHERE s.service_name = '$service' AND k.app = '$app' AND k.query_id = $query_id") }
sql(sprintf q{SELECT chpg_mute('%s', 'accepted_risk', 'a migration')}, finding_key('analytics', 'orders-api', '1664311441317737584'));
webhook('first-secret');

# Secrets must not be logged even so.
my $LOUD = '-c log_min_messages=debug5 -c log_min_error_statement=debug2';

# The Monday: what the API has of it at half past an hour
sub api_at
{
	my ($hour) = @_;
	my %slower = (orders => { 0 => { since => '2026-06-01T01:00:00.000Z', times => 6 } });
	$slower{billing}{8} = { since => '2026-06-01T01:00:00.000Z', times => 100 } if $hour <= 5;
	$slower{analytics}{10} = { since => '2026-06-01T04:00:00.000Z', times => 3 } if $hour <= 7;
	return reset_emulator($url, %fleet, slower => \%slower);
}

for my $hour (0 .. 7)
{
	set_clock(sprintf '2026-06-01 %02d:30', $hour);
	api_at($hour);
	capture();
	$receiver->stop if $hour == 7;
	if ($hour == 2)
	{
		# killed between a request and its record
		$receiver->answer_with('hang');
		local $ENV{PGOPTIONS} = $LOUD;
		my $session = open_session($node);
		my $pid = in_session($session, 'SELECT pg_backend_pid()');
		begin_in_session($session, 'CALL chpg_watch()');
		wait_until(sub { scalar $receiver->requests }, 'the receiver has a request');
		like(sql("SELECT query FROM pg_stat_activity WHERE pid = $pid"), qr{^CALL chpg_watch\(\);?$}, 'what pg_stat_activity shows of a delivery');
		kill_backend($node, $pid);
	}
	else { notices($node, 'CALL chpg_watch()') }
	is(sql('SELECT as_of FROM kept.watch_state'), sprintf('2026-06-01 %02d:00:00+00', $hour), "a watch at $hour:30");
}

# From here on by pg_cron, whose launcher sees each minute to which the clock is moved.
my @jobs = map { slurp_file("$FindBin::RealBin/../../docs/$_.md") =~ /^(SELECT cron\.schedule\('chpg (?:capture|watch|deliver)'[^\n]*\);)$/mg } qw(history alerts);
is(scalar @jobs, 3, 'the documentation has a job for captures, one for watches, and one for deliveries');
sql("CREATE EXTENSION pg_cron; @jobs");
sql("ALTER DATABASE postgres SET $_") for $LOUD =~ /-c (\S+)/g;

# Move the clock to this minute, and wait until these jobs have run in it, and no other one runs.
sub run_jobs
{
	my ($time, @names) = @_;
	my $list = join ', ', map { "'chpg $_'" } @names;

	set_clock("2026-06-01 $time");
	wait_until(
		sub {
			sql(qq{SELECT count(DISTINCT jobname) FILTER (WHERE jobname IN ($list) AND start_time >= '2026-06-01 $time'), count(*) FILTER (WHERE end_time IS NULL)
				FROM cron.job_run_details JOIN cron.job USING (jobid)}) eq @names . '|0';
		},
		"at $time pg_cron has run: @names");
	return;
}

run_jobs('07:50', 'deliver');
for my $hour (8 .. 12)
{
	if ($hour == 10)
	{
		$receiver->listen;
		webhook('second-secret');
	}
	api_at($hour);
	run_jobs(sprintf('%02d:07', $hour), qw(capture deliver));
	run_jobs(sprintf('%02d:37', $hour), qw(watch deliver));
	is(sql('SELECT as_of FROM kept.watch_state'), sprintf('2026-06-01 %02d:00:00+00', $hour), "a watch by pg_cron at $hour:37");
}
is(sql(q{SELECT jobname, count(*) FROM cron.job_run_details JOIN cron.job USING (jobid) WHERE jobname <> 'chpg deliver' GROUP BY 1 ORDER BY 1}), "chpg capture|5\nchpg watch|5", 'each job has run once in its minute');
is(sql(q{SELECT count(*) FROM cron.job_run_details WHERE status <> 'succeeded'}), '0', 'and none has failed')
  or diag(sql(q{SELECT command, status, return_message FROM cron.job_run_details ORDER BY runid}));

# What the watches noted
is(sql(q{SELECT service_name, string_agg(transition || ' ' || level, ', ' ORDER BY alert_id) FROM kept.alert GROUP BY 1 ORDER BY 1}),
	"billing|new WARN, worse ERROR, resolved ERROR\norders|new WARN, worse ERROR", 'the outbox has the transitions of two incidents, and no other');
is(sql(q{SELECT service_name, min(since), count(DISTINCT incident_id) FROM kept.alert GROUP BY 1 ORDER BY 1}), "billing|2026-06-01 01:00:00+00|1\norders|2026-06-01 01:00:00+00|1", 'each began at one o\'clock');
is(sql(q{SELECT worst_level, muted, state IN ('resolved', 'usual') FROM kept.finding_log WHERE service_name = 'analytics' AND kind = 'incident' AND worst_level IN ('WARN', 'ERROR')}), 'WARN|t|t', 'a third one was muted, and came to its end');
is(sql(q{SELECT count(*) FROM kept.finding_mute}), '0', 'and so did the mute');
is(sql(q{SELECT service, level, state FROM kept.finding WHERE level <> 'INFO'}), 'orders|ERROR|ongoing', 'one is open');

# What the receiver got
my @received = map { { %$_, alert => decode_json($_->{body}) } } $receiver->requests;
my %times;
$times{ $_->{headers}{'idempotency-key'} }++ for @received;
is(join(', ', map { "$_->{alert}{service_name} $_->{alert}{transition}" } @received), 'billing new, billing new, billing worse, orders new, orders worse, billing resolved', 'all transitions arrive, errors first and those of an incident in order, the one of the killed session twice');
is(join(' ', sort values %times), '1 1 1 1 2', 'which has one key');
is($received[1]{body}, $received[0]{body}, 'and one body');
is(join(' ', map { my $request = $_; grep { $request->{headers}{'x-chpg-signature'} eq 'sha256=' . hmac_sha256_hex($request->{body}, $_) } qw(first-secret second-secret) } @received), join(' ', ('first-secret') x 5, 'second-secret'), 'signed with the secret of their time');
is(sql(q{SELECT state, count(*) FROM kept.alert_delivery GROUP BY 1}), 'sent|5', 'nothing is left');
is(sql(q{SELECT DISTINCT a.noted_at::date = '2026-06-01', d.attempts BETWEEN 1 AND 6 FROM kept.alert a JOIN kept.alert_delivery d USING (alert_id)}), 't|t', 'within some tries');

# The report of the day before, and of the day
my ($before, $after) = map { sql("SELECT chpg_report(tstzrange('$_ 00:00Z', '$_ 12:00Z'))") } '2026-05-31', '2026-06-01';
unlike($before, qr/Slower than before/i, 'the report of Sunday has no incident');
like($after, qr/Slower than before/i, 'that of Monday has');

# Secrets
my @secrets = ('first-secret', 'second-secret', 'of-the-pager');
keeps_secrets(slurp_file($node->logfile), 'the log at debug5', @secrets);
my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
my $mapping = qr/^CREATE USER MAPPING FOR \S+ SERVER pager OPTIONS \([^;]*\);$/m;
my ($mapped) = $dump =~ /($mapping)/;
like($mapped, qr/second-secret.*of-the-pager/s, 'a dump has the secret and the URL in the user mapping, as documented');
keeps_secrets($dump =~ s/$mapping//r, 'all else in the dump: outbox, log of findings, runs of pg_cron', @secrets);

done_testing();
