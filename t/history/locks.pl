# History: captures and purges block no reader, however long another one reads.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 5);

# The partitions of a grain, as months from now.
sub months
{
	my ($grain) = @_;
	return sql(<<"SQL");
SET timezone = 'UTC';
SELECT string_agg(((extract(year FROM m) - extract(year FROM now())) * 12 + extract(month FROM m) - extract(month FROM now()))::text, ' ' ORDER BY m)
FROM (SELECT to_date(right(inhrelid::regclass::text, 6), 'YYYYMM') AS m FROM pg_inherits WHERE inhparent = 'kept.sealed_$grain'::regclass) p
SQL
}

avoid_midnight();
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '6 hours' WHERE name = 'backfill'});
is(months('hour'), '', 'a new history has no partitions');
sql('CALL chpg_capture(max_windows => 0)');
is(months($_), '0 1', "the first capture makes this month's and the next one's, for each $_") for 'hour', 'day';

# A long read, and the locks on the parent that others need.
my ($long, $maker) = map { open_session($node) } 1 .. 2;
my $READ = q{SET lock_timeout = '10s'; SELECT count(*) >= 0 FROM kept.pattern_hour};

sub begin_reading { return in_session($long, 'BEGIN; SELECT count(*) FROM kept.pattern_hour') }

# A capture of a month that has no partition yet
sql(q{DO $$ DECLARE part text; BEGIN FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'kept.sealed_hour'::regclass LOOP EXECUTE 'DROP TABLE ' || part; END LOOP; END $$});
begin_reading();
my $capture = $node->psql('postgres', q{SET lock_timeout = '10s'; CALL chpg_capture('hour')});
is($capture, 0, 'a capture of a new month waits for no reader');
is(months('hour') =~ s/^-1 //r, '0 1', 'and makes its partitions');
cmp_ok(sql(q{SELECT count(*) FROM kept.coverage WHERE status = 'ok'}), '>=', 4, 'and captures');

my $maker_pid = in_session($maker, 'SELECT pg_backend_pid()');
in_session($maker, q{SET lock_timeout = '10s'; BEGIN; SELECT _chpg_history_partition('hour', now() + interval '100 days')});
is($maker->{stderr}, '', 'a partition is made beside a reader');
is(sql("SELECT string_agg(DISTINCT mode, ' ' ORDER BY mode) FROM pg_locks WHERE pid = $maker_pid AND relation = 'kept.sealed_hour'::regclass"),
	'AccessShareLock ShareUpdateExclusiveLock', 'with a lock that readers do not mind');
is(sql($READ), 't', 'another reader does not wait before the capture commits');
in_session($maker, 'ROLLBACK');

# The partition is like one that PostgreSQL makes: with the indexes of its parent, and
# no others.
is(sql(q{SELECT string_agg(DISTINCT pg_get_indexdef(i.indexrelid) ~ 'UNIQUE' || ' ' || (x.inhparent IS NOT NULL), ', ' ORDER BY pg_get_indexdef(i.indexrelid) ~ 'UNIQUE' || ' ' || (x.inhparent IS NOT NULL)), count(*) / count(DISTINCT i.indrelid)
	FROM pg_index i JOIN pg_inherits p ON p.inhrelid = i.indrelid AND p.inhparent = 'kept.sealed_hour'::regclass LEFT JOIN pg_inherits x ON x.inhrelid = i.indexrelid}),
	'false true, true true|2', 'its indexes are parts of the parent\'s');

# A purge during a read of all partitions
in_session($long, 'COMMIT');
my $kept = sql('SELECT count(*) FROM kept.pattern_hour');
make_plantable($node);
sql(q{INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key) VALUES ('old', 'hour', now() - interval '100 days', planted.key(1, 'an old text'));
	UPDATE kept.pattern_key SET last_seen = now() - interval '500 days' WHERE query_id = 1;
	INSERT INTO kept.capture (service_id, grain, window_start, window_end, status) VALUES ('old', 'hour', now() - interval '100 days', now() - interval '100 days' + interval '1 hour', 'ok');
	SELECT planted.seal(now() - interval '50 days')});
my $OLD = q{SELECT (SELECT count(*) FROM kept.sealed_hour), (SELECT count(*) FROM kept.capture WHERE service_id = 'old'), (SELECT count(*) FROM kept.pattern_key WHERE query_id = 1), (SELECT count(*) FROM kept.query_text WHERE query_text = 'an old text')};
is(sql($OLD), '1|1|1|1', 'there is something old');
begin_reading();
begin_in_session($maker, 'SELECT chpg_history_purge()');
is(sql($READ), 't', 'others read beside the purge') for 1 .. 5;
await_in_session($maker, qr/NOTICE:  00000: partitions in use were emptied, not dropped: sealed_hour_\d{6}\nHINT:  The next purge drops them, once no view or column of others depends on them\./);
is(in_session($maker, 'SELECT 1') =~ s/\s//gr, 1, 'the purge ends, though the reader does not');
is(sql($OLD), '0|0|0|0', 'old partitions are gone');
in_session($long, 'COMMIT');
like(sql('SELECT chpg_history_purge()'), qr/^sealed_hour_\d{6}$/, 'the next purge drops the partition');
is(sql('SELECT count(*) FROM kept.pattern_hour') . '|' . sql('SELECT count(*) FROM chpg_history_purge()'), "$kept|0", 'and nothing else');

$_->quit for $long, $maker;
done_testing();
